"""The map from the sampler's coordinates to the model's unconstrained parameters, and its transposed derivative.

Numba functions over plain arrays; `coordinates` says what they compute. Arrays of effects have the clinicians (or units) as
their last axis, so that the innermost loops run over clinicians side by side.
"""

import math

import numpy as np

from ...models.likelihood.kept import njit
from .blocks import blocks, blocks_back
from .population import population_back, population_there


@njit(nogil=True, error_model="numpy")
def keep(p, units, m, count, k):
    """Room for what `back` needs of `there`."""
    return np.empty((7, p)), np.empty((m, m + 3, units)), np.empty((k, k + 3, count))


@njit(nogil=True, error_model="numpy")
def _ratios(sd, growth, x, moved, population, log_sd):
    """What scales each effect's information: its standard deviation relative to the centre's, and how the rest of it grows."""
    out = np.empty(sd.size)
    for a in range(sd.size):
        total = 0.0
        for b in range(moved.size):
            total += growth[a, b] * moved[b]
        if sd[a] >= 0:
            total += x[population[sd[a]]] - log_sd[sd[a]]
        out[a] = math.exp(total)
    return out


@njit(nogil=True, error_model="numpy")
def _own(sd, x, population, log_sd):
    """Standard deviation of an effect relative to the centre's."""
    return math.exp(x[population[sd]] - log_sd[sd]) if sd >= 0 else 1.0


@njit(nogil=True, error_model="numpy")
def _by_ratios(sd, growth, by_ratio, by_moved, by_own):
    for a in range(sd.size):
        if sd[a] >= 0:
            by_own[sd[a]] += by_ratio[a]
        for b in range(by_moved.size):
            by_moved[b] += by_ratio[a] * growth[a, b]


@njit(nogil=True, error_model="numpy")
def _levels(level, effect, unit_of):
    """What is known of each clinician's level, which is relative to its unit's."""
    found = level[1].copy()
    for b in range(effect.shape[0]):
        along, by = level[2 + b], effect[b]
        for i in range(found.size):
            found[i] += along[i] * by[unit_of[i]]
    return found


@njit(nogil=True, error_model="numpy")
def _grips(log_odds, level, levels, grip):
    """What a clinician's level tells of its rate at the correlation c: a precision c^2/(1 - c^2 + v), and c/(1 - c^2 + v) times the level.

    ``level`` (2 + m, clinicians): v, the variance with which a level is known, and the level where its unit's effects are the centre's,
    both in its standard deviations; how it changes with these. ``levels`` (clinicians): as it is.
    """
    c = math.tanh(0.5 * log_odds)
    for i in range(levels.size):
        s = c / (1.0 - c * c + level[0, i])
        grip[0, i], grip[1, i] = c * s, s * levels[i]


@njit(nogil=True, error_model="numpy")
def _grips_back(log_odds, level, levels, by_grip, unit_of, by_effect):
    """Derivative by the log odds; those by the units' effects (m, units) are added to."""
    c = math.tanh(0.5 * log_odds)
    total = 0.0
    for i in range(levels.size):
        below = 1.0 - c * c + level[0, i]
        s = c / below
        slope = 1.0 / below + 2.0 * s * s
        total += by_grip[0, i] * (s + c * slope) + by_grip[1, i] * slope * levels[i]
        for b in range(by_effect.shape[0]):
            by_effect[b, unit_of[i]] += by_grip[1, i] * s * level[2 + b, i]
    return 0.5 * (1.0 - c * c) * total


@njit(nogil=True, error_model="numpy")
def there(
    y, x, population, unit, clinician, unit_of, unit_sd, clinician_sd, width_by, share, link, log_unit, log_sd, centre, scale, bend, funnel,
    sticks, unit_growth, clinician_growth, level, unit_follows, clinician_follows, coupling, unit_information, clinician_information,
    kept_population, kept_unit, kept_clinician,
):  # fmt: skip
    """Fill ``x`` with the parameters at ``y``, and ``kept_*`` with what `back` needs.

    Returns the log of the map's Jacobian determinant, up to a constant.
    """
    p = population.size
    m, units = unit.shape
    k, count = clinician.shape
    moved = np.empty(p)
    logs = population_there(
        y, x, moved, population, width_by, share, log_unit, log_sd, centre, scale, bend, funnel, sticks, kept_population
    )
    effect = np.empty((m, units))  # of a unit, on the scale of the centre's standard deviation
    if m:
        ratio = _ratios(unit_sd, unit_growth, x, moved, population, log_sd)
        predicted, normal, out = np.empty((m, units)), np.empty((m, units)), np.empty((m, units))
        _predict(predicted, normal, y, unit, centre, unit_follows, moved)
        logs -= blocks(predicted, unit_information, ratio, level, -1, normal, kept_unit, out)
        for a in range(m):
            own = _own(unit_sd[a], x, population, log_sd)
            for j in range(units):
                x[unit[a, j]] = out[a, j]
                effect[a, j] = own * out[a, j] - centre[unit[a, j]]
    ratio = _ratios(clinician_sd, clinician_growth, x, moved, population, log_sd)
    predicted, normal, out = np.empty((k, count)), np.empty((k, count)), np.empty((k, count))
    _predict(predicted, normal, y, clinician, centre, clinician_follows, moved)
    for a in range(k):
        for b in range(m):
            to, along, by = predicted[a], coupling[a, b], effect[b]
            for i in range(count):
                to[i] -= along[i] * by[unit_of[i]]
    grip = np.empty((2, count if link[0] >= 0 else 0))
    if link[0] >= 0:
        _grips(x[population[link[0]]], level, _levels(level, effect, unit_of), grip)
    logs -= blocks(predicted, clinician_information, ratio, grip, link[1], normal, kept_clinician, out)
    for a in range(k):
        for i in range(count):
            x[clinician[a, i]] = out[a, i]
    return logs


@njit(nogil=True, error_model="numpy")
def _predict(predicted, normal, y, positions, centre, follows, moved):
    for a in range(positions.shape[0]):
        to, place, own = predicted[a], positions[a], normal[a]
        for i in range(place.size):
            to[i] = centre[place[i]]
            own[i] = y[place[i]]
        for b in range(moved.size):
            along, by = follows[a, b], moved[b]
            for i in range(place.size):
                to[i] += along[i] * by


@njit(nogil=True, error_model="numpy")
def back(
    x, g, by_y, population, unit, clinician, unit_of, unit_sd, clinician_sd, width_by, share, link, log_unit, log_sd, centre, scale, bend,
    funnel, sticks, unit_growth, clinician_growth, level, unit_follows, clinician_follows, coupling, unit_information,
    clinician_information, kept_population, kept_unit, kept_clinician,
):  # fmt: skip
    """Fill ``by_y`` with the derivatives of f(x) plus the log of the Jacobian by y, given g, those of f by ``x``."""
    p = population.size
    m, units = unit.shape
    k, count = clinician.shape
    moved = kept_population[6]
    by_moved, by_own = np.zeros(p), np.zeros(p)
    given, by_normal, by_predicted = np.empty((k, count)), np.empty((k, count)), np.empty((k, count))
    for a in range(k):
        for i in range(count):
            given[a, i] = g[clinician[a, i]]
    ratio, by_ratio = _ratios(clinician_sd, clinician_growth, x, moved, population, log_sd), np.zeros(k)
    by_grip = np.empty((2, count if link[0] >= 0 else 0))
    blocks_back(clinician_information, ratio, link[1], kept_clinician, given, by_normal, by_predicted, by_ratio, by_grip)
    _gather(by_y, by_moved, clinician, clinician_follows, by_normal, by_predicted)
    _by_ratios(clinician_sd, clinician_growth, by_ratio, by_moved, by_own)
    effect, by_effect = np.empty((m, units)), np.zeros((m, units))
    for a in range(m):
        own = _own(unit_sd[a], x, population, log_sd)
        for j in range(units):
            effect[a, j] = own * x[unit[a, j]] - centre[unit[a, j]]
    if link[0] >= 0:
        levels = _levels(level, effect, unit_of)
        by_own[link[0]] += _grips_back(x[population[link[0]]], level, levels, by_grip, unit_of, by_effect)
    if m:
        ratio, by_ratio = _ratios(unit_sd, unit_growth, x, moved, population, log_sd), np.zeros(m)
        given, by_normal, of_unit = np.empty((m, units)), np.empty((m, units)), np.empty((m, units))
        for a in range(k):
            for b in range(m):
                to, along, by = by_effect[b], coupling[a, b], by_predicted[a]
                for i in range(count):
                    to[unit_of[i]] -= along[i] * by[i]
        for a in range(m):
            own = _own(unit_sd[a], x, population, log_sd)
            total = 0.0
            for j in range(units):
                given[a, j] = g[unit[a, j]] + by_effect[a, j] * own
                total += by_effect[a, j] * own * x[unit[a, j]]
            if unit_sd[a] >= 0:
                by_own[unit_sd[a]] += total
        blocks_back(unit_information, ratio, -1, kept_unit, given, by_normal, of_unit, by_ratio, by_grip)
        _gather(by_y, by_moved, unit, unit_follows, by_normal, of_unit)
        _by_ratios(unit_sd, unit_growth, by_ratio, by_moved, by_own)
    population_back(x, g, by_y, by_moved, by_own, population, width_by, share, scale, kept_population)


@njit(nogil=True, error_model="numpy")
def _gather(by_y, by_moved, positions, follows, by_normal, by_predicted):
    for a in range(positions.shape[0]):
        place, own, given = positions[a], by_normal[a], by_predicted[a]
        for i in range(place.size):
            by_y[place[i]] = own[i]
        for b in range(by_moved.size):
            along = follows[a, b]
            total = 0.0
            for i in range(place.size):
                total += along[i] * given[i]
            by_moved[b] += total
