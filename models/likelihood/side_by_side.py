"""Log-likelihood and all gradients on the scale of the sampler, for packed clinicians: `gradients.log_scale_gradients`, faster.

What epochs add to their clinician's logs comes as effects of the epochs' columns, the same for all or each clinician's own, as a
shift of each epoch, or both.

Four versions: with each clinician's level integrated or without it (e = 0), on one thread or several. The numbers are bitwise
the same whatever the number of threads.
"""

import math

import numba
import numpy as np
from numba import njit, prange, types

from .adjoint import backward, to_parameters
from .blocks import COLUMNS, SLOT, exponentials, forward
from .elementary import log
from .lanes import WIDTH, broadcast, gather, load, muladd, scatter, select

LOG_2PI = math.log(2.0 * math.pi)
LEAST_ROWS = 5000  # of a block's rows x lanes: what a thread must have to do to be worth waking

# numba's own functions of these names hold addresses, so that code that calls them could not be cached
_get_num_threads = types.ExternalFunction("get_num_threads", types.intp())
_set_num_threads = types.ExternalFunction("set_num_threads", types.void(types.int32))


@njit(nogil=True, inline="always")
def _aligned(size):
    """Workspace that begins with a cache line."""
    work = np.empty(size + 8)
    return work[(64 - work.ctypes.data % 64) % 64 // 8 :]


@njit(nogil=True, inline="always")
def _run(begin, end, integrated, packed, given, out):
    """Blocks ``begin`` to ``end``."""
    blocks, _, _, _, _, _, _, _, lane_clinician, _, lane_answers = packed
    level_mean, level_var = given[3], given[4]
    log_density, d_level_mean, d_level_var = out[0], out[4], out[5]
    rows = 1
    n_slots = 1
    for b in range(begin, end):
        rows = max(rows, np.int64(blocks[b + 1, 0] - blocks[b, 0]))
        n_slots = max(n_slots, np.int64(blocks[b + 1, 2] - blocks[b, 2]))
    work = _aligned(rows * COLUMNS)
    slots = _aligned(n_slots * SLOT)
    buffer = _aligned(WIDTH)
    by_effect = _aligned(np.int64(given[2].shape[1]) * WIDTH)
    for b in range(begin, end):
        lane = b * WIDTH
        exponentials(b, packed, given, slots, work, by_effect)
        log_det, s_vv, s_vl, s_ll, slot, question = forward(b, integrated, packed, given, slots, work)
        twice = muladd(load(lane_answers, lane), broadcast(LOG_2PI), log_det)
        square = s_vv
        e = broadcast(0.0)
        e_var = broadcast(0.0)
        if integrated:  # as in `filter.integrate_level`
            mu = gather(level_mean, lane_clinician, lane, 1, 0)
            s2 = gather(level_var, lane_clinician, lane, 1, 0)
            d = muladd(s2, s_ll, broadcast(1.0))
            q = s_vl - mu * s_ll
            by_mean = q / d
            square = s_vv - 2.0 * mu * s_vl + mu * mu * s_ll - s2 * q * by_mean
            square = select(square < 0.0, broadcast(0.0), square)
            twice = twice + log(d)
            e = muladd(s2, by_mean, mu)
            e_var = s2 / d
            scatter(d_level_mean, lane_clinician, lane, 1, 0, by_mean)
            scatter(d_level_var, lane_clinician, lane, 1, 0, 0.5 * (by_mean * by_mean - s_ll / d))
        scatter(log_density, lane_clinician, lane, 1, 0, -0.5 * (twice + square))
        backward(b, integrated, e, e_var, slot, question, packed, given, out, slots, work, buffer)
        to_parameters(b, packed, out, slots, by_effect)


@njit(nogil=True, inline="always")
def _outputs(clinicians, epochs, effects, indicators):
    """Room for the results, in one piece: the allocator keeps it for the next call, where it would give small ones back."""
    filled, added = clinicians * (8 + effects), epochs * 3
    room = np.empty(filled + added + 3 * clinicians * indicators)
    room[filled:] = 0.0  # what is added to
    by_clinician = room[: clinicians * 5].reshape((5, clinicians))
    at = filled + added
    by_indicator = room[at:].reshape((3, clinicians, indicators))
    return (
        by_clinician[0],
        room[clinicians * 5 : clinicians * 8].reshape((clinicians, 3)),
        room[filled:at].reshape((epochs, 3)),
        room[clinicians * 8 : filled].reshape((clinicians, effects)),
        by_clinician[1], by_clinician[2], by_clinician[3], by_clinician[4],
        by_indicator[0], by_indicator[1], by_indicator[2],
    )  # fmt: skip


@njit(nogil=True, parallel=True)
def _threaded(threads, integrated, packed, given, out):
    blocks = packed[0]
    count = blocks.shape[0] - 1
    available = _get_num_threads()
    n = max(1, min(threads, available, np.int64(blocks[count, 0]) * WIDTH // LEAST_ROWS))
    _set_num_threads(n)
    for k in prange(n):
        _run(count * k // n, count * (k + 1) // n, integrated, packed, given, out)
    _set_num_threads(available)


@njit(nogil=True, inline="always")
def _serial(threads, integrated, packed, given, out):
    _run(0, packed[0].shape[0] - 1, integrated, packed, given, out)


def _version(integrated, run):
    @njit(nogil=True)
    def log_scale_gradients(threads, packed, given):
        """Log density of each clinician and its derivatives by all that is given.

        Parameters
        ----------
        threads : int
            At most so many are used.
        packed : tuple
            The arrays of `packing.pack`.
        given : tuple
            The parameters of `gradients.log_scale_gradients` from ``clinician`` on, with ``effects`` after ``shift``: (1 or
            clinicians) x (columns x 3), of the epochs' columns on the logs of level, rate and stationary standard deviation.
            ``shift`` may have no rows, which stands for zeros. Without the level, ``level_mean`` and ``level_var`` and the
            derivatives by them are left out.

        Returns
        -------
        tuple of float arrays
            As from `gradients.log_scale_gradients`; after ``shift`` by the effects, clinicians x (columns x 3), also where
            they are the same for all.
        """
        clinician = np.ascontiguousarray(given[0])
        shift = np.ascontiguousarray(given[1])
        none = np.empty(0)
        level = given[3:5] if integrated else (none, none)
        rest = given[5:] if integrated else given[3:]
        contiguous = (
            clinician, shift, np.ascontiguousarray(given[2]), np.ascontiguousarray(level[0]), np.ascontiguousarray(level[1]),
            np.ascontiguousarray(rest[0]), np.ascontiguousarray(rest[1]), np.ascontiguousarray(rest[2]),
            np.ascontiguousarray(rest[3]), np.ascontiguousarray(rest[4]),
        )  # fmt: skip
        out = _outputs(clinician.shape[0], shift.shape[0], given[2].shape[1], rest[2].size)
        run(threads, integrated, packed, contiguous, out)
        return out if integrated else out[:4] + out[6:]

    return log_scale_gradients


# by whether the level is integrated, and whether there may be several threads
VERSIONS = {
    (integrated, threaded): _version(integrated, _threaded if threaded else _serial)
    for integrated in (True, False) for threaded in (False, True)
}  # fmt: skip


def threads_are_safe() -> bool:
    """Whether several chains can use threads at once: numba's OpenMP and TBB layers allow it, its own does not.

    To be called in every process before one of the threaded versions runs, also where its machine code comes from a cache: it
    starts the threads, which the code takes for granted.
    """
    numba.get_num_threads()
    return numba.threading_layer() in ("omp", "tbb")
