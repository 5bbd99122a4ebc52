"""The mode of the effects of units and clinicians given the population's parameters, by Newton's method, in compiled code."""

import math

import numpy as np

from ...models.likelihood.kept import njit
from .arrow import backward, factor, forward, solve
from .coordinates import density_at

STEP = 1e-5  # of differences of the gradient, from one side: they are off by as much of a third derivative, the same everywhere
LEAST = 0.1  # precision of an effect that counts at least, where its prior and what it was found to be give about 1
SOON = 3.0  # by how much each step along the gradient itself is to be shorter than the last, or the curvature is worked out
NEAR = 5e-3  # a move of the effects that leaves the curvature as it was
LAST = 0.02  # a step in brief at whose end nothing is worked out
MOST_NEWTON = 30
MOST_STEP = 2.0  # that an effect may move at once
SAME = 0.1  # a step after which the curvature is worked out anew


@njit(nogil=True, error_model="numpy")
def curvature_at(call, y, gradient, unit, clinician, unit_of, own, coupling, schur, there):
    """Fill the factors of clinicians (n, k, k), how they follow their unit (n, k, m) and the units' (units, m, m). Half the log
    determinant. ``gradient`` is the one at ``y``.
    """
    m, units = unit.shape
    k, count = clinician.shape
    between = np.empty((count, k, m))
    for axis in range(k + m):
        of_unit = axis >= k
        c = axis - k if of_unit else axis
        where = unit[c] if of_unit else clinician[c]
        for place in where:
            y[place] += STEP
        density_at(call, y, there)
        for place in where:
            y[place] -= STEP
        for a in range(k):
            for i in range(count):
                place = clinician[a, i]
                change = (gradient[place] - there[place]) / STEP
                if of_unit:
                    between[i, a, c] = change
                else:
                    own[i, a, c] = change
        if of_unit:
            for a in range(m):
                for j in range(units):
                    place = unit[a, j]
                    schur[j, a, c] = (gradient[place] - there[place]) / STEP
    logs = factor(own, LEAST)
    column = np.empty(k)
    for i in range(count):
        for b in range(m):
            for a in range(k):
                column[a] = between[i, a, b]
            forward(own[i], column)
            backward(own[i], column)
            for a in range(k):
                coupling[i, a, b] = column[a]
            for a in range(k):
                for c in range(m):
                    schur[unit_of[i], c, b] -= between[i, a, c] * column[a]
    return logs + factor(schur, LEAST)


@njit(nogil=True, error_model="numpy")
def _longest(step, unit, clinician):
    """The largest entry at the effects' places; that of a NaN is none."""
    longest = 0.0
    for places in (unit, clinician):
        for a in range(places.shape[0]):
            for place in places[a]:
                longest = max(longest, abs(step[place]))
    return longest


@njit(nogil=True, error_model="numpy")
def mode_of_effects(call, y, unit, clinician, unit_of, own, coupling, schur, close, brief, shift, gradient, room):
    """Move the effects of ``y`` to their mode. Value there and half the log determinant.

    Where ``brief``, a last short step is taken without the density being worked out at its end. The value there follows from the step, and
    so does the determinant: it changes by third derivatives, which lead from the mode to the mean (``shift``).
    """
    there, step = room[0], room[2]
    half, age, change, before = 0.0, np.inf, np.inf, np.inf  # age: how far the effects have moved since the curvature was worked out
    value = density_at(call, y, gradient)
    plain = True
    for _ in range(MOST_NEWTON):
        if not math.isfinite(value):
            return -np.inf, half
        if plain and brief:
            plain = _longest(gradient, unit, clinician) > NEAR
        if plain:  # the curvature is close to the identity
            step[:] = 0.0
            for places in (unit, clinician):
                for a in range(places.shape[0]):
                    for place in places[a]:
                        step[place] = gradient[place]
        else:
            if age > SAME:
                half = curvature_at(call, y, gradient, unit, clinician, unit_of, own, coupling, schur, there)
                age = 0.0
            solve(gradient, unit, clinician, unit_of, own, coupling, schur, step)
            if brief and age > NEAR and _longest(step, unit, clinician) < LAST:  # the last step's curvature is to be that of the mode
                half = curvature_at(call, y, gradient, unit, clinician, unit_of, own, coupling, schur, there)
                age = 0.0
                solve(gradient, unit, clinician, unit_of, own, coupling, schur, step)
        last = brief and not plain and _longest(step, unit, clinician) < LAST
        change = 0.0
        for places in (unit, clinician):
            for a in range(places.shape[0]):
                for place in places[a]:
                    if last:
                        value += 0.5 * gradient[place] * step[place]
                        half -= gradient[place] * shift[place]
                    moved = min(max(step[place], -MOST_STEP), MOST_STEP)
                    change = max(change, abs(moved))
                    y[place] += moved
        if last:
            break
        age += change
        value = density_at(call, y, gradient)
        if not plain and change < close:
            break
        plain = plain and SOON * change < before and change > NEAR
        before = change
    if age > NEAR:  # never after the last step in brief, whose end has no gradient
        half = curvature_at(call, y, gradient, unit, clinician, unit_of, own, coupling, schur, there)
    return value, half
