"""The sampler's coordinates: those in which Laplace's approximation of the posterior is a standard normal.

With theta the population's parameters (standard deviations and shares as normal quantiles, see `population`), w the standardised
effects of a unit or a clinician, y standard normal under the approximation, and t the bent y_theta,

    theta = centre + F S t
    w     = (R'R)^-1 (D (I + J) w0 + g) + R^-1 y_w,     R'R = I + D J D + G .

J is the information that the study adds, at the centre, to the effects' own precision of 1; D scales its root: the effects' standard
deviations relative to the centre's, times how the information grows with theta. w0 is where the mode is expected: the centre, how it
follows theta, and for a clinician less how it follows its unit. G and g are what a clinician's level, which is integrated out, tells of
its rate at the correlation of the two: c^2/(1 - c^2 + v) and c/(1 - c^2 + v) times the level, with v the variance with which it is
known; the level moves with the unit's. F widens means of units' effects where units differ more, and the
correlation where rates differ less. At the centre F and D are I.

An effect that the study knows well thus follows what it knows (as if it were centred), one of which it knows nothing follows its prior
(as if it were not), and the rest lie between, each by its own weight, also where a standard deviation or the correlation is far from
the centre's (compare Papaspiliopoulos, Roberts & Skoeld 2007, Statistical Science 22). The log of the map's Jacobian is added, so that
the density is the model's own, whatever the approximation is worth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
from numba import carray, types
from numba.extending import intrinsic

from ...models.likelihood import kept
from ...models.likelihood.kept import njit
from .mapping import back, keep, there
from .structure import Structure


@dataclass(frozen=True)
class Coordinates:
    """The map between the sampler's coordinates and the model's unconstrained parameters.

    Attributes
    ----------
    structure : Structure
    log_sd : array (p)
        Log of the parameter at the centre, where it is a standard deviation.
    centre : array (size)
        Of effects, that from which the mode at the centre follows.
    scale : array (p, p)
        Lower triangular S.
    bend : array (3, p)
        Shift, slope and turn of `population.bent`.
    funnel : array (3, p)
        What `population.opened` needs of parameters whose scale follows a standard deviation: share, own, mean.
    unit_growth, clinician_growth : arrays (m, p), (k, p)
        How the log of an effect's root information grows with the population's parameters.
    level : array (2 + m, clinicians)
        The variance with which a clinician's level is known, and the level, both in its standard deviations; and how the level, which
        is relative to the unit's, changes with each of the unit's effects.
    unit_follows, clinician_follows : arrays (units, m, p), (clinicians, k, p)
    coupling : array (clinicians, k, m)
    unit_information, clinician_information : arrays (units, m, m), (clinicians, k, k)
        What the study adds, at the centre, to the precision of 1 that a standardised effect has of its own; without what the
        level tells of the rate.
    """

    structure: Structure
    log_sd: np.ndarray
    centre: np.ndarray
    scale: np.ndarray
    bend: np.ndarray
    funnel: np.ndarray
    unit_growth: np.ndarray
    clinician_growth: np.ndarray
    level: np.ndarray
    unit_follows: np.ndarray
    clinician_follows: np.ndarray
    coupling: np.ndarray
    unit_information: np.ndarray
    clinician_information: np.ndarray

    def parameters(self, y: np.ndarray) -> np.ndarray:
        """The unconstrained parameters at ``y`` (size)."""
        out = np.empty(y.size)
        s = self.structure
        there(np.asarray(y, float), out, *self.arrays, *keep(s.population.size, *s.unit.shape, *s.clinician.shape))
        return out

    @cached_property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """What `mapping` takes: clinicians and units are the last axes there."""
        s = self.structure
        integers = (
            s.population, s.unit.T, s.clinician.T, s.unit_of, s.unit_sd, s.clinician_sd, s.width_by, s.share, s.link
        )  # fmt: skip
        reals = (
            s.log_unit, self.log_sd, self.centre, self.scale, self.bend, self.funnel, s.sticks, self.unit_growth, self.clinician_growth,
            self.level,
        )  # fmt: skip
        by_block = (self.unit_follows, self.clinician_follows, self.coupling, self.unit_information, self.clinician_information)
        reals += tuple(np.moveaxis(a, 0, -1) for a in by_block)
        return (*(np.ascontiguousarray(a, np.int64) for a in integers), *(np.ascontiguousarray(a, float) for a in reals))


def _calling(context, builder, signature, arguments, words):
    """Call a compiled function by its address (first argument; its data last): ``words`` integers, then arrays of doubles.

    Arrays are arguments, not their addresses: numba frees what it sees no more use of.
    """
    from llvmlite import ir

    word, pointer, data = ir.IntType(64), ir.DoubleType().as_pointer(), ir.IntType(8).as_pointer()
    reals = [
        context.make_array(kind)(context, builder, value).data
        for kind, value in zip(signature.args[1 + words : -1], arguments[1 + words : -1], strict=True)
    ]
    kind = ir.FunctionType(word, [word] * words + [pointer] * len(reals) + [data])
    function = builder.inttoptr(arguments[0], kind.as_pointer())
    return builder.call(function, [*arguments[1 : 1 + words], *reals, builder.inttoptr(arguments[-1], data)])


@intrinsic
def _call_density(typingctx, address, size, x, gradient, value, data):
    """Call a compiled density by its address."""

    def generate(context, builder, signature, arguments):
        return _calling(context, builder, signature, arguments, 1)

    return types.int64(types.int64, types.uint64, x, gradient, value, types.int64), generate


@njit(nogil=True, error_model="numpy")
def density_at(call, y, gradient):
    """Value of a compiled density at ``y``, and its ``gradient`` filled in; minus infinity and NaN where it cannot be computed.

    ``call`` (int64) holds the addresses of the function and of its data.
    """
    value = np.empty(1)
    if _call_density(call[0], np.uint64(y.size), y, gradient, value, call[1]) != 0:
        gradient[:] = np.nan
        return -np.inf
    return value[0]


@intrinsic
def _call_expansion(typingctx, address, size, expanded, x, out, data):
    """Call a compiled expansion (all that is recorded of a draw) by its address."""

    def generate(context, builder, signature, arguments):
        return _calling(context, builder, signature, arguments, 2)

    return types.int64(types.int64, types.uint64, types.uint64, x, out, types.int64), generate


@intrinsic
def _pointer(typingctx, address):
    """A number as a pointer."""
    from llvmlite import ir

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), generate


# what the callbacks find at their data pointer: two addresses of functions, that of their data, six sizes, and the arrays
HEAD = 9 + 24


@njit(error_model="numpy")
def _map(head):
    p, units, m, count, k, n = head[3], head[4], head[5], head[6], head[7], head[8]
    size = p + units * m + count * k
    i, f = np.int64, np.float64
    return (
        carray(_pointer(head[9]), (p,), i), carray(_pointer(head[10]), (m, units), i),
        carray(_pointer(head[11]), (k, count), i), carray(_pointer(head[12]), (count,), i),
        carray(_pointer(head[13]), (m,), i), carray(_pointer(head[14]), (k,), i),
        carray(_pointer(head[15]), (p,), i), carray(_pointer(head[16]), (n,), i), carray(_pointer(head[17]), (2,), i),
        carray(_pointer(head[18]), (p,), f), carray(_pointer(head[19]), (p,), f),
        carray(_pointer(head[20]), (size,), f), carray(_pointer(head[21]), (p, p), f),
        carray(_pointer(head[22]), (3, p), f), carray(_pointer(head[23]), (3, p), f), carray(_pointer(head[24]), (4, n), f),
        carray(_pointer(head[25]), (m, p), f), carray(_pointer(head[26]), (k, p), f), carray(_pointer(head[27]), (2 + m, count), f),
        carray(_pointer(head[28]), (m, p, units), f), carray(_pointer(head[29]), (k, p, count), f),
        carray(_pointer(head[30]), (k, m, count), f),
        carray(_pointer(head[31]), (m, m, units), f), carray(_pointer(head[32]), (k, k, count), f),
    )  # fmt: skip


_REALS = types.CPointer(types.double)


def _density(size, y_, gradient_, value_, head_):
    head = carray(head_, (HEAD,))
    arrays = _map(head)
    rooms = keep(head[3], head[4], head[5], head[6], head[7])
    y = carray(y_, (size,))
    x = np.empty(size)
    gradient = np.empty(size)
    value = carray(value_, (1,))
    logs = there(y, x, *arrays, *rooms)
    failed = _call_density(head[0], size, x, gradient, value, head[2])
    if failed == 0:
        value[0] += logs
        by_y = carray(gradient_, (size,))
        back(x, gradient, by_y, *arrays, *rooms)
        # as nutpie's own callbacks tell what is no number
        if not np.isfinite(by_y).all():
            return 3
        if not math.isfinite(value[0]):
            return 4
    return failed


def _expansion(size, expanded, y_, out_, head_):
    head = carray(head_, (HEAD,))
    x = np.empty(size)
    there(carray(y_, (size,)), x, *_map(head), *keep(head[3], head[4], head[5], head[6], head[7]))
    return _call_expansion(head[1], size, expanded, x, carray(out_, (expanded,)), head[2])


@cache
def _callbacks():
    """Density and expansion as C functions; from the cache on disk where they are there."""
    word, head = types.uint64, types.CPointer(types.int64)
    return (
        kept.cfunc(types.int64(word, _REALS, _REALS, _REALS, head), _density, error_model="numpy"),
        kept.cfunc(types.int64(word, word, _REALS, _REALS, head), _expansion, error_model="numpy"),
    )


def in_coordinates(compiled, coordinates: Coordinates):
    """The compiled model as a function of the sampler's coordinates; its draws are those of the model.

    Chains start at draws from the approximation.
    """
    arrays = coordinates.arrays
    s = coordinates.structure
    head = np.array(
        [
            compiled.compiled_logp_func.address, compiled.compiled_expand_func.address, compiled.user_data.ctypes.data,
            s.population.size, *s.unit.shape, *s.clinician.shape, s.share.size, *(a.ctypes.data for a in arrays),
        ],
        np.int64,
    )  # fmt: skip

    def start(seed=None):
        return np.random.default_rng(seed).standard_normal(s.size)

    density, expansion = _callbacks()
    return replace(
        compiled,
        compiled_logp_func=density,
        compiled_expand_func=expansion,
        user_data=head,
        initial_point_func=start,
        # all that the addresses point to lives as long as the model does
        logp_func=(compiled, coordinates),
    )


def coordinates_of(compiled) -> Coordinates | None:
    """The coordinates that a compiled model was put in; None where it is as it was compiled."""
    return compiled.logp_func[1] if isinstance(compiled.logp_func, tuple) else None


def plain(structure: Structure) -> Coordinates:
    """Coordinates that are the parameters themselves, with standard deviations and shares as (nearly) normal quantiles."""
    s, p, zero = structure, structure.population.size, np.zeros
    (units, m), (count, k) = s.unit.shape, s.clinician.shape
    level = np.concatenate([np.full((1, count), np.inf), zero((1 + m, count))])  # a level of which nothing is known tells nothing
    blocks = (units, m, p), (count, k, p), (count, k, m), (units, m, m), (count, k, k)
    return Coordinates(
        s, zero(p), zero(s.size), np.eye(p), np.stack([zero(p), np.ones(p), zero(p)]), zero((3, p)), zero((m, p)), zero((k, p)), level,
        *map(zero, blocks),
    )  # fmt: skip
