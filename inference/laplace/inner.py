"""Effects of units and clinicians integrated out at one point of the population's parameters, in compiled code.

Given the population's parameters, the effects w of units and clinicians are close to standard normal in the sampler's coordinates
(`coordinates`). Their mode is found by Newton's method; log p(theta, y) is Laplace's approximation there with the next terms of
its expansion; a draw of the effects is made from the normal whose mean is moved from the mode to where the third derivatives
say. All clinicians (or units) are moved together along one axis, so that the number of gradients does not depend on how many
there are (see `curvature`).
"""

import math

import numpy as np

from ...models.likelihood.kept import njit
from .arrow import backward, factor, forward, solve, spread
from .coordinates import density_at

STEP = 1e-5  # of differences of the gradient, from one side: they are off by as much of a third derivative, the same everywhere
REACH = 1.0  # of the points that tell how far the conditional is from a normal, in its standard deviations
LEAST = 0.1  # precision of an effect that counts at least, where its prior and what it was found to be give about 1
SOON = 3.0  # by how much each step along the gradient itself is to be shorter than the last, or the curvature is worked out
NEAR = 5e-3  # a move of the effects that leaves the curvature as it was
MOST_NEWTON = 30
MOST_STEP = 2.0  # that an effect may move at once
SAME = 0.1  # a step after which the curvature is worked out anew
MOST_CORRECTION = 0.5  # of one clinician or unit, at which the expansion no longer holds: what it adds is bent to stay below
MOST_SHIFT = 1.0  # from an effect's mode to its mean, in standard deviations


@njit(nogil=True, error_model="numpy")
def _curvature(call, y, gradient, unit, clinician, unit_of, own, coupling, schur, there):
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
def _along(call, y, z_unit, z_clinician, sign, unit, clinician, unit_of, own, coupling, schur, moved, gradient):
    """Gradient at the point that lies ``sign`` times the standardised deviations away from ``y``."""
    moved[:] = 0.0
    spread(z_unit, z_clinician, unit, clinician, unit_of, own, coupling, schur, moved)
    for a in range(y.size):
        moved[a] = y[a] + sign * moved[a]
    density_at(call, moved, gradient)


@njit(nogil=True, error_model="numpy")
def _mode(call, y, unit, clinician, unit_of, own, coupling, schur, close, gradient, room):
    """Move the effects of ``y`` to their mode. Value there and half the log determinant."""
    there, step = room[0], room[2]
    half, age, change, before = 0.0, np.inf, np.inf, np.inf  # age: how far the effects have moved since the curvature was worked out
    value = density_at(call, y, gradient)
    plain = True
    for _ in range(MOST_NEWTON):
        if not math.isfinite(value):
            return -np.inf, half
        if plain:  # the curvature is close to the identity
            step[:] = 0.0
            for places in (unit, clinician):
                for a in range(places.shape[0]):
                    for place in places[a]:
                        step[place] = gradient[place]
        else:
            if age > SAME:
                half = _curvature(call, y, gradient, unit, clinician, unit_of, own, coupling, schur, there)
                age = 0.0
            solve(gradient, unit, clinician, unit_of, own, coupling, schur, step)
        change = 0.0
        for places in (unit, clinician):
            for a in range(places.shape[0]):
                for place in places[a]:
                    moved = min(max(step[place], -MOST_STEP), MOST_STEP)
                    change = max(change, abs(moved))
                    y[place] += moved
        age += change
        value = density_at(call, y, gradient)
        if not plain and change < close:
            break
        plain = plain and SOON * change < before and change > NEAR
        before = change
    if age > NEAR:
        half = _curvature(call, y, gradient, unit, clinician, unit_of, own, coupling, schur, there)
    return value, half


@njit(nogil=True, error_model="numpy")
def _bent(correction):
    return MOST_CORRECTION * math.tanh(correction / MOST_CORRECTION)


@njit(nogil=True, error_model="numpy")
def integrated(call, y, unit, clinician, unit_of, close, normals, draw, score):
    """Log p(theta, y) with the effects integrated out, and one draw of them.

    From third and fourth derivatives f along the axes in which the curvature is the identity, Laplace's value is corrected by
    (sum f_iijj + sum_k (sum_i f_iik)^2) / 8 + sum (f_ijk)^2 / 12 (Shun & McCullagh 1995, JRSS B 57, section 2). The first and the last
    sum are over a clinician's own effects; third derivatives by three different effects are left out.

    Parameters
    ----------
    call : int64 array (3)
        Addresses of the density in the sampler's coordinates and of its data, and its size.
    y : array (size)
        The population's parameters and where the search for the effects' mode starts; they are moved there.
    unit, clinician : int arrays (m, units), (k, clinicians)
        Places of the effects.
    unit_of : int array (clinicians)
    close : float
        A step of the search that is the last, in standard deviations.
    normals : array (size)
        Standard normal at the effects' places.
    draw : array (size)
        Is filled with the population's parameters and a draw of the effects.
    score : array (size)
        Is filled, at the population's places, with derivatives of Laplace's value, but for how the effects' mode follows: nothing
        to first order where the coordinates hold.

    Returns
    -------
    log_marginal, correction : float
        Laplace's, up to a constant, and what its next terms add; minus infinity and 0 where the density cannot be computed on the
        way to the mode or around it. ``draw`` then has no deviations.
    """
    m, units = unit.shape
    k, count = clinician.shape
    size = y.size
    own, coupling, schur = np.empty((count, k, k)), np.empty((count, k, m)), np.empty((units, m, m))
    room = np.empty((4, size))
    gradient, there, back, moved = np.empty(size), room[0], room[1], room[3]
    value, half = _mode(call, y, unit, clinician, unit_of, own, coupling, schur, close, gradient, room)
    if not math.isfinite(value - half):
        draw[:] = y
        return -np.inf, 0.0
    total = np.zeros(size)  # expectation of the gradient over the normal, less that at the mode
    z_unit, z_clinician = np.zeros((units, m)), np.zeros((count, k))
    third, fourth = np.empty((count, k, k)), np.empty((count, k, k))  # f_acc, f_accc by [i, a, c]
    plus, minus = np.empty(k), np.empty(k)
    for axis in range(k + m):
        of_unit = axis >= k
        if of_unit:
            z_unit[:, axis - k] = REACH
        else:
            z_clinician[:, axis] = REACH
        _along(call, y, z_unit, z_clinician, 1.0, unit, clinician, unit_of, own, coupling, schur, moved, there)
        _along(call, y, z_unit, z_clinician, -1.0, unit, clinician, unit_of, own, coupling, schur, moved, back)
        z_unit[:] = 0.0
        z_clinician[:] = 0.0
        for a in range(size):
            total[a] += (there[a] + back[a] - 2 * gradient[a]) / (2 * REACH**2)
        if not of_unit:
            for i in range(count):
                for a in range(k):
                    place = clinician[a, i]
                    plus[a], minus[a] = there[place] - gradient[place], back[place] - gradient[place]
                forward(own[i], plus)
                forward(own[i], minus)
                for a in range(k):
                    third[i, a, axis] = (plus[a] + minus[a]) / REACH**2
                    fourth[i, a, axis] = 3 * (plus[a] - minus[a]) / REACH**3
                fourth[i, axis, axis] += 6 / REACH**2
    for a in range(size):
        score[a] = gradient[a] + total[a]
    corrections = np.zeros(count)
    for a in range(k):
        for b in range(a + 1, k):  # f_aabb, from points between the two axes
            z_clinician[:, a] = REACH
            z_clinician[:, b] = REACH
            _along(call, y, z_unit, z_clinician, 1.0, unit, clinician, unit_of, own, coupling, schur, moved, there)
            _along(call, y, z_unit, z_clinician, -1.0, unit, clinician, unit_of, own, coupling, schur, moved, back)
            z_clinician[:] = 0.0
            for i in range(count):
                for c in range(k):
                    place = clinician[c, i]
                    plus[c] = there[place] - back[place]
                forward(own[i], plus)
                sums = 3 * (plus[a] + 2 * REACH) / REACH**3
                corrections[i] += (sums - fourth[i, a, a] - 3 * fourth[i, b, a] - fourth[i, a, b]) / 12
    moved[:] = 0.0  # from the mode to the mean
    solve(total, unit, clinician, unit_of, own, coupling, schur, moved)
    correction = 0.0
    for i in range(count):
        for a in range(k):
            corrections[i] += fourth[i, a, a] / 8 - third[i, a, a] ** 2 / 6
            for c in range(k):
                corrections[i] += third[i, a, c] ** 2 / 4
            # ``total`` holds half the traces, in coordinates that are not yet standardised
            corrections[i] += total[clinician[a, i]] * moved[clinician[a, i]] / 2
        correction += _bent(corrections[i])
    for j in range(units):
        traces = 0.0
        for a in range(m):
            traces += total[unit[a, j]] * moved[unit[a, j]] / 2
        correction += _bent(traces)
    draw[:] = y
    if not math.isfinite(correction):
        return -np.inf, 0.0
    for a in range(m):
        for j in range(units):
            draw[unit[a, j]] += min(max(moved[unit[a, j]], -MOST_SHIFT), MOST_SHIFT)
            z_unit[j, a] = normals[unit[a, j]]
    for a in range(k):
        for i in range(count):
            draw[clinician[a, i]] += min(max(moved[clinician[a, i]], -MOST_SHIFT), MOST_SHIFT)
            z_clinician[i, a] = normals[clinician[a, i]]
    moved[:] = 0.0
    spread(z_unit, z_clinician, unit, clinician, unit_of, own, coupling, schur, moved)
    for a in range(size):
        draw[a] += moved[a]
    return value - half, correction
