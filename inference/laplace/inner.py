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
from .arrow import forward, solve, spread
from .coordinates import density_at
from .newton import mode_of_effects

NARROW = 0.05  # standard deviations, near enough for third derivatives at the mode
ADJOINT = 1e-3
REACH = 1.0  # of the points that tell how far the conditional is from a normal, in its standard deviations
MOST_CORRECTION = 0.5  # of one clinician or unit, at which the expansion no longer holds: what it adds is bent to stay below
MOST_SHIFT = 1.0  # from an effect's mode to its mean, in standard deviations


@njit(nogil=True, error_model="numpy")
def along(call, y, z_unit, z_clinician, sign, unit, clinician, unit_of, own, coupling, schur, moved, gradient):
    """Gradient at the point that lies ``sign`` times the standardised deviations away from ``y``."""
    moved[:] = 0.0
    spread(z_unit, z_clinician, unit, clinician, unit_of, own, coupling, schur, moved)
    for a in range(y.size):
        moved[a] = y[a] + sign * moved[a]
    density_at(call, moved, gradient)


@njit(nogil=True, error_model="numpy")
def bent(correction):
    return MOST_CORRECTION * math.tanh(correction / MOST_CORRECTION)


@njit(nogil=True, error_model="numpy")
def _both_ways(call, y, axis, reach, z_unit, z_clinician, unit, clinician, unit_of, own, coupling, schur, moved, there, back):
    """Gradients ``there`` and ``back`` at both ends of an axis, clinicians' first, then units'. Deviations are zero before and after."""
    k = z_clinician.shape[1]
    if axis >= k:
        z_unit[:, axis - k] = reach
    else:
        z_clinician[:, axis] = reach
    along(call, y, z_unit, z_clinician, 1.0, unit, clinician, unit_of, own, coupling, schur, moved, there)
    along(call, y, z_unit, z_clinician, -1.0, unit, clinician, unit_of, own, coupling, schur, moved, back)
    z_unit[:] = 0.0
    z_clinician[:] = 0.0


@njit(nogil=True, error_model="numpy")
def _add_half_bend(there, back, gradient, reach, total):
    """Add half the gradient's second derivative along an axis."""
    for a in range(gradient.size):
        total[a] += (there[a] + back[a] - 2 * gradient[a]) / (2 * reach**2)


@njit(nogil=True, error_model="numpy")
def _score(call, y, unit, clinician, unit_of, own, coupling, schur, gradient, there, back, moved, z_unit, z_clinician, score):
    """Derivatives of Laplace's value by the population's parameters, as far as ``score`` is read.

    The log determinant of the effects' curvature changes with the parameters, by third derivatives, and with the effects' mode, which
    follows the parameters. How it follows need not be known: what it contributes is the change of the gradient along the
    step that the same third derivatives lead to from the mode (the adjoint of Kristensen et al. 2016, JSS 70, section 2).
    """
    slopes = np.zeros(y.size)  # minus half the derivative of the log determinant
    for axis in range(z_clinician.shape[1] + z_unit.shape[1]):
        _both_ways(call, y, axis, NARROW, z_unit, z_clinician, unit, clinician, unit_of, own, coupling, schur, moved, there, back)
        _add_half_bend(there, back, gradient, NARROW, slopes)
    moved[:] = 0.0
    solve(slopes, unit, clinician, unit_of, own, coupling, schur, moved)
    for a in range(y.size):
        back[a] = y[a] + ADJOINT * moved[a]
    density_at(call, back, there)
    for a in range(y.size):
        score[a] = gradient[a] + slopes[a] + (there[a] - gradient[a]) / ADJOINT


@njit(nogil=True, error_model="numpy")
def own_terms(call, y, unit, clinician, unit_of, own, coupling, schur, gradient, room, z_unit, z_clinician, total, third, corrections):
    """Add to ``corrections`` (clinicians) the expansion's terms by each clinician's own effects, but not traces.

    Fills ``third`` (clinicians, k, k) with f_acc by [i, a, c] in standardised coordinates, and adds to ``total`` (size) the expectation of
    the gradient over the normal, less that at the mode: half the traces. ``z_unit`` and ``z_clinician`` are zero before and after.
    """
    m = unit.shape[0]
    k, count = clinician.shape
    there, back, moved = room[0], room[1], room[3]
    fourth = np.empty((count, k, k))  # f_accc by [i, a, c]
    plus, minus = np.empty(k), np.empty(k)
    for axis in range(k + m):
        _both_ways(call, y, axis, REACH, z_unit, z_clinician, unit, clinician, unit_of, own, coupling, schur, moved, there, back)
        _add_half_bend(there, back, gradient, REACH, total)
        if axis < k:
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
    for a in range(k):
        for b in range(a + 1, k):  # f_aabb, from points between the two axes
            z_clinician[:, a] = REACH
            z_clinician[:, b] = REACH
            along(call, y, z_unit, z_clinician, 1.0, unit, clinician, unit_of, own, coupling, schur, moved, there)
            along(call, y, z_unit, z_clinician, -1.0, unit, clinician, unit_of, own, coupling, schur, moved, back)
            z_clinician[:] = 0.0
            for i in range(count):
                for c in range(k):
                    place = clinician[c, i]
                    plus[c], minus[c] = there[place] - back[place], there[place] + back[place] - 2 * gradient[place]
                forward(own[i], plus)
                sums = 3 * (plus[a] + 2 * REACH) / REACH**3
                corrections[i] += (sums - fourth[i, a, a] - 3 * fourth[i, b, a] - fourth[i, a, b]) / 12
                if k > 2:  # f_abc, of which each is met three times
                    forward(own[i], minus)
                    for c in range(k):
                        if c != a and c != b:
                            corrections[i] += ((minus[c] / REACH**2 - third[i, c, a] - third[i, c, b]) / 2) ** 2 / 6
    for i in range(count):
        for a in range(k):
            corrections[i] += fourth[i, a, a] / 8 - third[i, a, a] ** 2 / 6
            for c in range(k):
                corrections[i] += third[i, a, c] ** 2 / 4


@njit(nogil=True, error_model="numpy")
def integrated(call, y, unit, clinician, unit_of, close, normals, draw, score, scored):
    """Log p(theta, y) with the effects integrated out, and one draw of them.

    From third and fourth derivatives f along the axes in which the curvature is the identity, Laplace's value is corrected by
    (sum f_iijj + sum_k (sum_i f_iik)^2) / 8 + sum (f_ijk)^2 / 12 (Shun & McCullagh 1995, JRSS B 57, section 2). The first and the last
    sum are over a clinician's own effects.

    Parameters
    ----------
    call : int64 array (2)
        Addresses of the density in the sampler's coordinates and of its data.
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
        Is filled, at the population's places, with derivatives of Laplace's value.
    scored : bool
        Whether it is.

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
    value, half = mode_of_effects(call, y, unit, clinician, unit_of, own, coupling, schur, close, False, y, gradient, room)
    if not math.isfinite(value - half):
        draw[:] = y
        return -np.inf, 0.0
    total, third, corrections = np.zeros(size), np.empty((count, k, k)), np.zeros(count)
    z_unit, z_clinician = np.zeros((units, m)), np.zeros((count, k))
    own_terms(call, y, unit, clinician, unit_of, own, coupling, schur, gradient, room, z_unit, z_clinician, total, third, corrections)
    if scored:
        _score(call, y, unit, clinician, unit_of, own, coupling, schur, gradient, there, back, moved, z_unit, z_clinician, score)
    moved[:] = 0.0  # from the mode to the mean
    solve(total, unit, clinician, unit_of, own, coupling, schur, moved)
    correction = 0.0
    for i in range(count):
        for a in range(k):
            # ``total`` holds half the traces, in coordinates that are not yet standardised
            corrections[i] += total[clinician[a, i]] * moved[clinician[a, i]] / 2
        correction += bent(corrections[i])
    for j in range(units):
        traces = 0.0
        for a in range(m):
            traces += total[unit[a, j]] * moved[unit[a, j]] / 2
        correction += bent(traces)
    draw[:] = y
    if not math.isfinite(correction):
        return -np.inf, 0.0
    _draw(moved, normals, unit, clinician, unit_of, own, coupling, schur, z_unit, z_clinician, draw)
    return value - half, correction


@njit(nogil=True, error_model="numpy")
def _draw(shift, normals, unit, clinician, unit_of, own, coupling, schur, z_unit, z_clinician, draw):
    """Move the effects of ``draw`` from their mode to a draw; ``shift`` leads to their mean, and is overwritten."""
    for places, z in ((unit, z_unit), (clinician, z_clinician)):
        for a in range(places.shape[0]):
            for i in range(places.shape[1]):
                draw[places[a, i]] += min(max(shift[places[a, i]], -MOST_SHIFT), MOST_SHIFT)
                z[i, a] = normals[places[a, i]]
    shift[:] = 0.0
    spread(z_unit, z_clinician, unit, clinician, unit_of, own, coupling, schur, shift)
    for a in range(draw.size):
        draw[a] += shift[a]


@njit(nogil=True, error_model="numpy")
def briefly_integrated(call, y, unit, clinician, unit_of, close, shift, normals, draw):
    """Log p(theta, y) by Laplace's method alone, and one draw of the effects, for about a third of the work of `integrated`.

    Parameters
    ----------
    call, y, unit, clinician, unit_of, close, normals, draw
        As in `integrated`.
    shift : array (size)
        From the effects' mode to their mean, as it is at another point.

    Returns
    -------
    log_marginal : float
        Up to a constant; minus infinity where the density cannot be computed. ``draw`` then has no deviations.
    """
    m, units = unit.shape
    k, count = clinician.shape
    own, coupling, schur = np.empty((count, k, k)), np.empty((count, k, m)), np.empty((units, m, m))
    room = np.empty((4, y.size))
    value, half = mode_of_effects(call, y, unit, clinician, unit_of, own, coupling, schur, close, True, shift, np.empty(y.size), room)
    draw[:] = y
    if not math.isfinite(value - half):
        return -np.inf
    moved = room[3]
    moved[:] = shift
    _draw(moved, normals, unit, clinician, unit_of, own, coupling, schur, np.empty((units, m)), np.empty((count, k)), draw)
    return value - half
