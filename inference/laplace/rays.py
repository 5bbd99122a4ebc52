"""The integral over each clinician's effects, given the population's parameters and the units' effects at their mode, in compiled code.

With f the log density of a clinician's k effects about their mode, L L' their precision there, and w = mode + r L^-T d, the integral of
exp(f(w) - f(mode)) is that of the normal with this precision times the mean over directions d of

    2^(1 - k/2) / Gamma(k/2)  integral of r^(k-1) exp(f(r) - f(0)) dr .

Along each of a set of directions f(r) - f(0) is the integral of a polynomial through its slopes at a few lengths (a spherical-radial
rule: Monahan & Genz 1997, JASA 92). All clinicians are moved together, so that the number of gradients does not depend on how many
there are: ten to thirty times as many as the expansion of `inner.integrated` takes, which it tells the worth of.
"""

from __future__ import annotations

import math
from functools import cache
from itertools import combinations, product

import numpy as np
from numpy.polynomial import chebyshev, legendre

from ...models.likelihood.kept import njit
from .arrow import forward
from .inner import along, bent, own_terms
from .newton import mode_of_effects

FURTHEST = 7.0  # standard deviations
SLOPES = 10  # along a ray
LENGTHS = 32  # at which the integral along a ray is worked out
ANGLES = 10  # of rays in the plane
TURNS = {3: 3}  # of the few rays in three dimensions
HIGHEST = 10.0  # log density above the mode's, from which it is none


@cache
def rule(k: int) -> tuple[np.ndarray, ...]:
    """Directions (n, k) and their weights (n); lengths of slopes (s); what turns slopes into log densities (l, s); weights of these (l)."""
    directions, shares = _directions(k)
    nodes = np.cos(np.pi * (np.arange(SLOPES) + 0.5) / SLOPES)
    at, weight = legendre.leggauss(LENGTHS)
    terms = np.stack([chebyshev.chebval(at, chebyshev.chebint(term, lbnd=-1)) for term in np.eye(SLOPES)], axis=1)
    to_logs = FURTHEST / 2 * terms @ np.linalg.inv(chebyshev.chebvander(nodes, SLOPES - 1))
    lengths = FURTHEST / 2 * (at + 1)
    normal = 2 ** (k / 2 - 1) * math.gamma(k / 2)
    return directions, shares, FURTHEST / 2 * (nodes + 1), to_logs, FURTHEST / 2 * weight * lengths ** (k - 1) / normal


def _directions(k: int) -> tuple[np.ndarray, np.ndarray]:
    """Points on the sphere and weights that sum to 1, exact for polynomials of degree 7.

    In the plane they are evenly spread; else points on the axes, between two and between three of them, whose weights follow from the
    moments of sixth degree (fully symmetric rules: Stroud 1971, Approximate calculation of multiple integrals, chapter 8), turned so
    that none is an effect's own axis, along which densities differ most.
    """
    if k == 1:
        return np.array([[1.0], [-1.0]]), np.full(2, 0.5)
    if k == 2:
        angles = 2 * np.pi * np.arange(ANGLES) / ANGLES
        return np.stack([np.cos(angles), np.sin(angles)], axis=1), np.full(ANGLES, 1 / ANGLES)
    points = [
        np.array([
            np.array(signs) @ np.eye(k)[list(axes)] / math.sqrt(n)
            for axes in combinations(range(k), n) for signs in product((1, -1), repeat=n)
        ]) for n in (1, 2, 4 if k == 4 else 3)
    ]  # fmt: skip
    # E x^2 y^2 z^2 = 1/d, E x^4 y^2 = 3/d and E x^6 = 15/d
    d = k * (k + 2) * (k + 4)
    weights = [(15 - (5 - k) * (k - 1) - (k - 1) * (k - 2) / 2) / (2 * d), 2 * (5 - k) / d, 27 / (8 * d)]
    if k == 4:  # the 48 roots of F4, alike, are fewer
        weights = [1 / 48] * 3
    turns = np.linalg.qr(np.random.default_rng(3).standard_normal((TURNS.get(k, 1), k, k)))[0]
    weights = np.repeat(weights, [len(each) for each in points]) / len(turns)
    return np.concatenate([np.concatenate(points) @ turn for turn in turns]), np.tile(weights, len(turns))


@njit(nogil=True, error_model="numpy")
def lacking(call, y, unit, clinician, unit_of, close, directions, shares, lengths, to_logs, weights):
    """What the expansion's terms of clinicians' own effects lack, in all.

    Parameters
    ----------
    call, y, unit, clinician, unit_of, close
        As in `inner.integrated`; ``y`` is moved to the mode.
    directions, shares, lengths, to_logs, weights
        As from `rule`.

    Returns
    -------
    float
        NaN where a density along the way cannot be computed, or is far higher than at the mode.
    """
    m, units = unit.shape
    k, count = clinician.shape
    size = y.size
    own, coupling, schur = np.empty((count, k, k)), np.empty((count, k, m)), np.empty((units, m, m))
    gradient, room = np.empty(size), np.empty((4, size))
    value, half = mode_of_effects(call, y, unit, clinician, unit_of, own, coupling, schur, close, False, y, gradient, room)
    if not math.isfinite(value - half):
        return np.nan
    there, moved = room[0], room[3]
    z_unit, z_clinician = np.zeros((units, m)), np.zeros((count, k))
    third, terms, total = np.empty((count, k, k)), np.zeros(count), np.zeros(size)
    own_terms(call, y, unit, clinician, unit_of, own, coupling, schur, gradient, room, z_unit, z_clinician, total, third, terms)
    integrals, slopes, column = np.zeros(count), np.empty((count, lengths.size)), np.empty(k)
    for d in range(len(directions)):
        for s in range(lengths.size):
            for a in range(k):
                z_clinician[:, a] = lengths[s] * directions[d, a]
            along(call, y, z_unit, z_clinician, 1.0, unit, clinician, unit_of, own, coupling, schur, moved, there)
            for i in range(count):
                for a in range(k):
                    column[a] = there[clinician[a, i]]
                forward(own[i], column)
                slopes[i, s] = 0.0
                for a in range(k):
                    slopes[i, s] += directions[d, a] * column[a]
        for i in range(count):
            for r in range(weights.size):
                log = 0.0
                for s in range(lengths.size):
                    log += to_logs[r, s] * slopes[i, s]
                integrals[i] += shares[d] * weights[r] * math.exp(log) if log < HIGHEST else np.nan
    found = 0.0
    for i in range(count):
        for a in range(k):
            trace = 0.0
            for c in range(k):
                trace += third[i, a, c]
            terms[i] += trace**2 / 8
        found += math.log(integrals[i]) - bent(terms[i])
    return found
