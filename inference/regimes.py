"""Expected capacity under a regime of programmes: exposure over time, and paths through cells of constant parameters."""

from __future__ import annotations

import math

import numpy as np

from ..models.levers import LN2
from ..models.likelihood.filter import approach
from ..models.likelihood.kept import njit
from ..models.shapes import FAR

LEAST_CELLS = 100
GROWTH = 1.05


def cells_until(courses, until: float) -> np.ndarray:
    """Edges of cells from 0 to ``until`` for programmes that begin at 0 and run on; one cell where exposure is constant.

    Finer than `Course.cuts`, which serve capacity itself at the surveys: a difference between two paths, and the area
    between them, are to be right to a thousandth of their own size.
    """
    cuts = [course.cuts(0.0, FAR, until / 8, until) for course in courses if not course.is_plain]
    changing = any(cut.size > 2 for cut in cuts)  # more than the dates between which exposure is constant
    inside = np.concatenate([np.linspace(0.0, until, LEAST_CELLS + 1 if changing else 2), *cuts])
    edges = np.unique(inside[(inside >= 0) & (inside <= until)])
    return np.unique(np.concatenate([edges, (edges[1:] + edges[:-1]) / 2])) if changing else edges


def exposure_of_new_spell(course, edges: np.ndarray, given: dict, draws: int) -> np.ndarray:
    """Average exposure in each cell to a programme that begins at 0 and runs on (draws x cells).

    Parameters
    ----------
    given : dict of name -> array (draws)
        Estimated parameters of the shape.
    """
    low, high = edges[:-1], edges[1:]
    if course.is_plain:
        return np.ones((draws, low.size))
    parameters = {name: values[:, None] for name, values in given.items()}
    return np.broadcast_to(course.mean(low, high, 0.0, FAR, 1.0, 0.0, parameters, np), (draws, low.size))


def step(state, level, rate, length):
    """Expected capacity at the end of a cell, and its integral over the cell (exact)."""
    share = -np.expm1(-rate * length)
    return state + share * (level - state), level * length + (state - level) * share / rate


@njit(nogil=True)
def _changes(level, rate, exposure, d, i, c):
    """Factors on C* and on beta of clinician i in cell c of draw d."""
    up, speed = 0.0, 0.0
    for k in range(exposure.shape[0]):
        j = i if level.shape[2] > 1 else 0
        up += exposure[k, d, c] * level[k, d, j]
        speed += exposure[k, d, c] * rate[k, d, j]
    return math.exp(up), math.exp(speed)


@njit(nogil=True)
def path(state, capacity, beta, level, rate, exposure, length):
    """Expected capacity after the last cell and its integral over all, from ``state`` at the first.

    Parameters
    ----------
    state, capacity, beta : float arrays (draws x clinicians)
        Where it starts, and C* and beta with programmes off.
    level, rate : float arrays (programmes x draws x clinicians, or x 1 where clinicians do not differ)
        Change of log C* and of log beta by each programme in full.
    exposure : float array (programmes x draws x cells)
    length : float array (cells)
    """
    end, area = np.empty(state.shape), np.empty(state.shape)
    alike = level.shape[2] == 1
    factors = np.empty((length.size, 2))
    for d in range(state.shape[0]):
        if alike:
            for c in range(length.size):
                factors[c] = _changes(level, rate, exposure, d, 0, c)
        for i in range(state.shape[1]):
            x, total = state[d, i], 0.0
            for c in range(length.size):
                if not alike:
                    factors[c] = _changes(level, rate, exposure, d, i, c)
                up, speed = factors[c, 0], factors[c, 1]
                target, decay = capacity[d, i] * up, beta[d, i] * speed
                share = approach(decay * length[c])
                total += target * length[c] + (x - target) * share / decay
                x += share * (target - x)
            end[d, i], area[d, i] = x, total
    return end, area


@njit(nogil=True)
def time_to_share(capacity, beta, level, rate, exposure, length, target, share):
    """Time from 0 until ``share`` of the way from ``capacity`` to ``target`` is done (NaN where it never is).

    Arguments as in `path`, with ``target`` (draws x clinicians). Within a cell parameters are constant, so the crossing is
    solved exactly.
    """
    found = np.full(capacity.shape, np.nan)
    alike = level.shape[2] == 1
    factors = np.empty((length.size, 2))
    for d in range(capacity.shape[0]):
        if alike:
            for c in range(length.size):
                factors[c] = _changes(level, rate, exposure, d, 0, c)
        for i in range(capacity.shape[1]):
            x, gone = capacity[d, i], 0.0
            goal = x + share * (target[d, i] - x)
            upwards = goal > x
            if goal == x:
                continue
            for c in range(length.size):
                if not alike:
                    factors[c] = _changes(level, rate, exposure, d, i, c)
                up, speed = factors[c, 0], factors[c, 1]
                level_here, decay = capacity[d, i] * up, beta[d, i] * speed
                after = x + approach(decay * length[c]) * (level_here - x)
                if (after >= goal) if upwards else (after <= goal):
                    inside = -math.log((goal - level_here) / (x - level_here)) / decay if after != goal else length[c]
                    found[d, i] = gone + min(max(inside, 0.0), length[c])
                    break
                x = after
                gone += length[c]
    return found


def long_cells(scale: float, longest: float) -> np.ndarray:
    """Edges that grow from a fiftieth of a time scale to ten times the longest, when nothing is left to come."""
    count = int(np.ceil(np.log(500 * longest / scale) / np.log(GROWTH)))
    return np.concatenate([[0.0], scale / 50 * GROWTH ** np.arange(count + 1)])


def half_life(beta):
    return LN2 / beta
