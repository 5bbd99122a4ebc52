"""The course of exposure to an intervention: its shapes, one after the other, and exposure averaged over cells of time.

Within a cell alpha, beta and omega are constant, set by the cell's average exposure. C* at time t acts on capacity at
the cell's end with weight exp(-beta (end - t)), so for C* exposure is averaged with that weight, at the median
clinician's beta; for beta and omega the average is plain. Cells are fine where exposure changes fast (from a spell's
start or end on they grow by 30 % from one to the next), so that the mean path differs from that under continuously
changing exposure by less than 1e-3 (`tests/models/test_course.py` solves the equation for comparison). Averages are
Gauss-Legendre sums over the parts of the cell before, during and after the spell, and so stay smooth in a delay that is
estimated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..datasets.errors import UserError, is_number, nearest
from .shapes import FAR, SHAPES

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(4)
_NODES, _WEIGHTS = (_NODES + 1) / 2, _WEIGHTS / 2
GROWTH = 1.3
# half-times after which the rest of a change is below 1e-4
SETTLED = 14.0
# beyond this the last node has all the weight, and exp(-x) would come to 0/0
STEEPEST = 30.0


@dataclass(frozen=True)
class Course:
    """Exposure to one intervention over time.

    Attributes
    ----------
    shapes : tuple of str
        Names in `SHAPES`, applied in this order.
    fixed : tuple of (str, float)
        Parameters held at a value; the rest are estimated.
    """

    shapes: tuple[str, ...] = ("pulse",)
    fixed: tuple[tuple[str, float], ...] = ()

    @classmethod
    def of(cls, given, where: str = "shape") -> Course:
        """From a name, a list of names, or a mapping with ``shape`` and optionally ``fixed``.

        Raises
        ------
        UserError
            For unknown shapes or parameters, impossible values, or shapes that exclude each other.
        """
        if isinstance(given, Course):
            return given
        given = dict(given) if isinstance(given, Mapping) else {"shape": given}
        for key in given:
            if key not in ("shape", "fixed"):
                raise UserError(f"{where}: unknown key {key!r}.{nearest(str(key), ('shape', 'fixed'))}")
        names = given.get("shape", "pulse")
        names = (names,) if isinstance(names, str) else names
        if not isinstance(names, (list, tuple)) or not names:
            raise UserError(f"{where} must be the name of a shape or a list of names; got {names!r}.")
        for name in names:
            if name not in SHAPES:
                raise UserError(f"{where}: no shape {name!r}.{nearest(str(name), SHAPES)} Known: {', '.join(SHAPES)}.")
            if list(names).count(name) > 1:
                raise UserError(f"{where}: {name!r} is named more than once.")
        endless = [name for name in names if SHAPES[name].endless]
        others = [name for name in names if SHAPES[name].after is not None] + endless[1:]
        if endless and others:
            raise UserError(
                f"{where}: {endless[0]!r} and {others[0]!r} say different things on what comes after the end."
            )
        return cls(tuple(names), _fixed(given.get("fixed", {}), names, where))

    def to_dict(self) -> dict:
        return {"shape": list(self.shapes), "fixed": dict(self.fixed)}

    @property
    def chain(self):
        return [SHAPES[name] for name in self.shapes]

    @property
    def parameters(self) -> tuple[str, ...]:
        return tuple(name for shape in self.chain for name in shape.parameters)

    @property
    def estimated(self) -> tuple[str, ...]:
        """Parameters that are sampled."""
        held = dict(self.fixed)
        return tuple(name for name in self.parameters if name not in held)

    @property
    def is_plain(self) -> bool:
        """Whether exposure is the dose while the spell runs, constant between its dates."""
        return all(shape.spell is None and shape.during is None and shape.after is None for shape in self.chain)

    @property
    def lasts(self) -> bool:
        """Whether exposure to a spell without an end comes to 1 and stays there."""
        p = dict.fromkeys(self.estimated, 1.0)
        return abs(float(self.mean(1e9, 2e9, 0.0, FAR, 1.0, 0.0, p, np)) - 1.0) < 0.01

    def mean(self, low, high, start, end, dose, rate, given: Mapping, math):
        """Average exposure from ``low`` to ``high`` (arrays that broadcast) that comes of one spell each.

        Parameters
        ----------
        rate : float
            Weight falls by this rate with the distance from ``high``; 0 for a plain average.
        given : mapping
            Values of the estimated parameters.
        math : module
            ``numpy`` or ``pytensor.tensor``.
        """
        p = dict(self.fixed) | dict(given)
        for shape in self.chain:
            if shape.spell is not None:
                start, end, dose = shape.spell(start, end, dose, p, math)
        during = [shape.during for shape in self.chain if shape.during is not None]
        after = [shape.after for shape in self.chain if shape.after is not None]
        left = math.maximum(low, start)
        right = math.maximum(left, math.minimum(high, end))
        total = _weight(left, right, high, rate, math) * _average(during, left - start, right - left, rate, p, math)
        if after:
            left = math.maximum(low, end)
            right = math.maximum(left, high)
            reached = _product(during, end - start, p, math)
            late = _weight(left, right, high, rate, math) * _average(after, left - end, right - left, rate, p, math)
            total = total + reached * late
        return dose * total / _weight(low, high, high, rate, math)

    def cuts(self, start: float, end: float, gap: float, until: float) -> np.ndarray:
        """Times at which cells are to be cut because of one spell, beside its own dates."""
        if self.is_plain:
            return np.empty(0)
        p = dict(self.fixed)
        moving = any(shape.moves and name not in p for shape in self.chain for name in shape.parameters)
        if not moving:
            for shape in self.chain:
                if shape.moves:
                    start, end, _ = shape.spell(start, end, 1.0, p, np)
        found = [start, end]
        if moving and start < until:  # the date of the change is not known: even cells
            found += list(np.arange(start, until, min(gap / 8, (until - start) / 64)))
        for date, active in ((start, "during"), (end, "after")):
            scales = [p.get(n) for s in self.chain if getattr(s, active) is not None for n in s.parameters]
            if not scales or date >= until or moving:
                continue
            first = min((v / 8 if v is not None else gap / 16) for v in scales)
            length = until - date if None in scales else min(until - date, SETTLED * max(scales))
            count = max(math.ceil(math.log(max(length / first, 1.0)) / math.log(GROWTH)), 0)
            found += list(date + first * GROWTH ** np.arange(count + 1))
        return np.array([t for t in found if np.isfinite(t)])

    def sentence(self) -> str:
        """What the shapes say, for the report."""
        held = "; ".join(f"{name} = {value:g}" for name, value in self.fixed)
        told = ", and ".join(shape.meaning for shape in self.chain)
        free = ", ".join(self.estimated)
        return told + (f" ({held})" if held else "") + (f"; {free} estimated" if free else "")


def _product(factors, since, p, math):
    value = 1.0
    for factor in factors:
        value = value * factor(since, p, math)
    return value


def _weight(left, right, high, rate, math):
    """Integral of exp(-rate (high - t)) from left to right; 0 where the part does not begin before ``high``."""
    length = right - left
    x = rate * length
    share = math.where(x > 1e-8, -math.expm1(-x) / math.maximum(x, 1e-8), 1.0)
    return length * share * math.exp(-rate * math.maximum(high - right, 0.0))


def _average(factors, since, length, rate, p, math):
    """Average of the product of ``factors`` over ``length`` from ``since`` on, later times weighing more."""
    if not factors:
        return 1.0
    steep = math.minimum(rate * length, STEEPEST)
    weights = [w * math.exp(-steep * (1.0 - u)) for u, w in zip(_NODES, _WEIGHTS, strict=True)]
    values = [_product(factors, since + length * u, p, math) for u in _NODES]
    return sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)


def _fixed(given, names, where) -> tuple[tuple[str, float], ...]:
    known = [parameter for name in names for parameter in SHAPES[name].parameters]
    if not isinstance(given, Mapping):
        raise UserError(f"{where}: fixed must name parameters with their values, such as {{ onset = 2.0 }}; got {given!r}.")
    for name, value in given.items():
        if name not in known:
            has = f"has {', '.join(known)}" if known else "has no parameters"
            raise UserError(f"{where}: {', '.join(names)} has no parameter {name!r}.{nearest(str(name), known)} It {has}.")
        if not (is_number(value) and value > 0):
            raise UserError(f"{where}: {name} must be a positive number; got {value!r}.")
    return tuple((name, float(given[name])) for name in known if name in given)
