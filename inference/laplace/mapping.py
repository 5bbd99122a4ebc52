"""The map from the sampler's coordinates to the model's unconstrained parameters, and its transposed derivative.

Numba functions over plain arrays; `coordinates` says what they compute. Arrays of effects have the clinicians (or units) as
their last axis, so that the innermost loops run over clinicians side by side.
"""

import math

import numpy as np

from ...models.likelihood.kept import njit
from .quantile import log_half_normal


@njit(nogil=True, error_model="numpy")
def keep(p, units, m, count, k):
    """Room for what `back` needs of `there`."""
    return np.empty((2, p)), np.empty((m, m + 3, units)), np.empty((k, k + 3, count))


@njit(nogil=True, error_model="numpy")
def _blocks(predicted, information, ratio, y, kept, out):
    """Effects of all blocks: R'R = I + D information D (D = diagonal of ``ratio``), out = (R'R)^-1 D weight + R^-1 y,

    with weight = (I + information) predicted, so that out is predicted + R^-1 y where D is I. ``kept[a, b]`` holds R[a, b],
    its last three columns mean, weight and y. Returns the sum of the logs of R's diagonals.
    """
    k, n = predicted.shape
    mean, weight, normal = kept[:, k], kept[:, k + 1], kept[:, k + 2]
    logs = 0.0
    product = np.ones(n)
    for a in range(k):
        w = weight[a]
        w[:] = predicted[a]
        for b in range(k):
            info, p = information[a, b], predicted[b]
            for i in range(n):
                w[i] += info[i] * p[i]
        normal[a, :] = y[a]
    for a in range(k):
        for b in range(a, k):
            r, info = kept[a, b], information[a, b]
            scale = ratio[a] * ratio[b]
            own = 1.0 if a == b else 0.0
            for i in range(n):
                r[i] = own + scale * info[i]
            for c in range(a):
                left, right = kept[c, a], kept[c, b]
                for i in range(n):
                    r[i] -= left[i] * right[i]
            if a == b:
                for i in range(n):
                    r[i] = math.sqrt(r[i])
                    product[i] *= r[i]
            else:
                diagonal = kept[a, a]
                for i in range(n):
                    r[i] /= diagonal[i]
    for i in range(n):
        logs += math.log(product[i])
    for a in range(k):  # R' x = D weight
        m, w, diagonal = mean[a], weight[a], kept[a, a]
        for i in range(n):
            m[i] = ratio[a] * w[i]
        for b in range(a):
            r, other = kept[b, a], mean[b]
            for i in range(n):
                m[i] -= r[i] * other[i]
        for i in range(n):
            m[i] /= diagonal[i]
    for a in range(k - 1, -1, -1):  # R x = that, and R x = y
        m, o, diagonal = mean[a], out[a], kept[a, a]
        o[:] = y[a]
        for b in range(a + 1, k):
            r, other, others = kept[a, b], mean[b], out[b]
            for i in range(n):
                m[i] -= r[i] * other[i]
                o[i] -= r[i] * others[i]
        for i in range(n):
            m[i] /= diagonal[i]
            o[i] /= diagonal[i]
    for a in range(k):
        for i in range(n):
            out[a, i] += mean[a, i]
    return logs


@njit(nogil=True, error_model="numpy")
def _blocks_back(information, ratio, kept, g, by_y, by_predicted, by_log_ratio):
    """Derivatives of f(out) - sum of logs by y, predicted and (added to) the logs of ``ratio``, given g, those of f by out."""
    k, n = g.shape
    mean, weight, normal = kept[:, k], kept[:, k + 1], kept[:, k + 2]
    solved = np.empty((k, n))  # (R'R)^-1 g
    inverse = np.zeros((k, k, n))  # of R, upper triangular
    outer = np.empty((k, k, n))  # the derivative by R'R: of the mean, of R^-1 y, and of the logs
    for a in range(k):
        out, diagonal = by_y[a], kept[a, a]
        out[:] = g[a]
        for b in range(a):
            r, other = kept[b, a], by_y[b]
            for i in range(n):
                out[i] -= r[i] * other[i]
        for i in range(n):
            out[i] /= diagonal[i]
    for a in range(k - 1, -1, -1):
        out, diagonal = solved[a], kept[a, a]
        out[:] = by_y[a]
        for b in range(a + 1, k):
            r, other = kept[a, b], solved[b]
            for i in range(n):
                out[i] -= r[i] * other[i]
        for i in range(n):
            out[i] /= diagonal[i]
            inverse[a, a, i] = 1.0 / diagonal[i]
        for b in range(a + 1, k):
            inv = inverse[a, b]
            for c in range(a + 1, b + 1):
                r, other = kept[a, c], inverse[c, b]
                for i in range(n):
                    inv[i] -= r[i] * other[i]
            for i in range(n):
                inv[i] /= diagonal[i]
    for a in range(k):
        for b in range(k):
            o, sa, sb, ma, mb = outer[a, b], solved[a], solved[b], mean[a], mean[b]
            for i in range(n):
                o[i] = -0.5 * (sa[i] * mb[i] + sb[i] * ma[i])
    for c in range(k):
        for d in range(c, k):
            left, y = by_y[c], normal[d]
            log_part = 0.5 if c == d else 0.0
            for a in range(c + 1):
                for b in range(d + 1):
                    inv, inv2, o, o2 = inverse[a, c], inverse[b, d], outer[a, b], outer[b, a]
                    if c == d:
                        for i in range(n):
                            o[i] -= inv[i] * inv2[i] * (0.5 * left[i] * y[i] + log_part)
                    else:
                        for i in range(n):
                            part = 0.5 * inv[i] * inv2[i] * left[i] * y[i]
                            o[i] -= part
                        for i in range(n):
                            o2[i] -= 0.5 * inv[i] * inv2[i] * left[i] * y[i]
    for a in range(k):
        s, w = solved[a], weight[a]
        total = 0.0
        for i in range(n):
            total += s[i] * w[i]
        for b in range(k):
            info, o = information[a, b], outer[b, a]
            more = 0.0
            for i in range(n):
                more += info[i] * o[i]
            total += 2.0 * ratio[b] * more
        by_log_ratio[a] += total * ratio[a]
        for i in range(n):
            s[i] *= ratio[a]
    for a in range(k):  # weight = (I + information) predicted
        out = by_predicted[a]
        out[:] = solved[a]
        for b in range(k):
            info, s = information[a, b], solved[b]
            for i in range(n):
                out[i] += info[i] * s[i]


@njit(nogil=True, error_model="numpy")
def _ratios(sd, x, population, log_sd):
    """Each effect's standard deviation relative to the centre's; 1 where it is none of the parameters."""
    out = np.ones(sd.size)
    for a in range(sd.size):
        if sd[a] >= 0:
            out[a] = math.exp(x[population[sd[a]]] - log_sd[sd[a]])
    return out


@njit(nogil=True, error_model="numpy")
def there(
    y, x, population, unit, clinician, unit_of, unit_sd, clinician_sd, log_unit, log_sd, centre, scale, unit_follows, clinician_follows,
    coupling, unit_information, clinician_information, kept_population, kept_unit, kept_clinician,
):  # fmt: skip
    """Fill ``x`` with the parameters at ``y``, and ``kept_*`` with what `back` needs.

    Returns the log of the map's Jacobian determinant, up to a constant.
    """
    p = population.size
    m, units = unit.shape
    k, count = clinician.shape
    logs = 0.0
    moved = np.empty(p)
    for a in range(p):
        total = 0.0
        for b in range(a + 1):
            total += scale[a, b] * y[population[b]]
        moved[a] = total
        at = centre[population[a]] + total
        kept_population[0, a] = 1.0
        kept_population[1, a] = 0.0
        if not math.isnan(log_unit[a]):  # a standard deviation
            log_q, kept_population[0, a], log_slope, kept_population[1, a] = log_half_normal(at)
            at = log_unit[a] + log_q
            logs += log_slope
        x[population[a]] = at

    effect = np.empty((m, units))  # of a unit, on the scale of the centre's standard deviation
    if m:
        ratio = _ratios(unit_sd, x, population, log_sd)
        predicted, normal, out = np.empty((m, units)), np.empty((m, units)), np.empty((m, units))
        _predict(predicted, normal, y, unit, centre, unit_follows, moved)
        logs -= _blocks(predicted, unit_information, ratio, normal, kept_unit, out)
        for a in range(m):
            for j in range(units):
                x[unit[a, j]] = out[a, j]
                effect[a, j] = ratio[a] * out[a, j] - centre[unit[a, j]]
    ratio = _ratios(clinician_sd, x, population, log_sd)
    predicted, normal, out = np.empty((k, count)), np.empty((k, count)), np.empty((k, count))
    _predict(predicted, normal, y, clinician, centre, clinician_follows, moved)
    for a in range(k):
        for b in range(m):
            to, along, by = predicted[a], coupling[a, b], effect[b]
            for i in range(count):
                to[i] -= along[i] * by[unit_of[i]]
    logs -= _blocks(predicted, clinician_information, ratio, normal, kept_clinician, out)
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
    x, g, by_y, population, unit, clinician, unit_of, unit_sd, clinician_sd, log_unit, log_sd, centre, scale, unit_follows,
    clinician_follows, coupling, unit_information, clinician_information, kept_population, kept_unit, kept_clinician,
):  # fmt: skip
    """Fill ``by_y`` with the derivatives of f(x) plus the log of the Jacobian by y, given g, those of f by ``x``."""
    p = population.size
    m, units = unit.shape
    k, count = clinician.shape
    by_moved = np.zeros(p)
    given, by_normal, by_predicted = np.empty((k, count)), np.empty((k, count)), np.empty((k, count))
    for a in range(k):
        for i in range(count):
            given[a, i] = g[clinician[a, i]]
    ratio, by_ratio = _ratios(clinician_sd, x, population, log_sd), np.zeros(k)
    _blocks_back(clinician_information, ratio, kept_clinician, given, by_normal, by_predicted, by_ratio)
    _gather(by_y, by_moved, clinician, clinician_follows, by_normal, by_predicted)
    for a in range(k):
        if clinician_sd[a] >= 0:
            by_moved[clinician_sd[a]] += by_ratio[a] * kept_population[0, clinician_sd[a]]
    if m:
        ratio, by_ratio = _ratios(unit_sd, x, population, log_sd), np.zeros(m)
        given, by_normal, of_unit = np.empty((m, units)), np.empty((m, units)), np.empty((m, units))
        by_effect = np.zeros((m, units))
        for a in range(k):
            for b in range(m):
                to, along, by = by_effect[b], coupling[a, b], by_predicted[a]
                for i in range(count):
                    to[unit_of[i]] -= along[i] * by[i]
        for a in range(m):
            for j in range(units):
                given[a, j] = g[unit[a, j]] + by_effect[a, j] * ratio[a]
                by_ratio[a] += by_effect[a, j] * ratio[a] * x[unit[a, j]]
        _blocks_back(unit_information, ratio, kept_unit, given, by_normal, of_unit, by_ratio)
        _gather(by_y, by_moved, unit, unit_follows, by_normal, of_unit)
        for a in range(m):
            if unit_sd[a] >= 0:
                by_moved[unit_sd[a]] += by_ratio[a] * kept_population[0, unit_sd[a]]
    for a in range(p):
        by_moved[a] += g[population[a]] * kept_population[0, a] + kept_population[1, a]
    for a in range(p):
        total = 0.0
        for b in range(a, p):
            total += scale[b, a] * by_moved[b]
        by_y[population[a]] = total


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
