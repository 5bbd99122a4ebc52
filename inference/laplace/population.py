"""The population's part of the map: from standard normal coordinates to the unconstrained parameters of `coordinates.plain`'s model.

Three things make it more than a linear map, each with a derivative and a Jacobian in closed form:

- each coordinate is bent, with a slope of its own on either side, as a marginal that is skewed asks for (the split normal of
  Martins et al. 2013, Computational Statistics & Data Analysis 67, made smooth);
- a parameter that is the mean of units' effects is known the less, the more units differ, and the correlation of clinicians' rates with
  their levels the better, the more rates differ: its scale follows their standard deviation;
- standard deviations are normal quantiles (`quantile`), and so are, nearly, shares of the variance (`stick`).
"""

import math

import numpy as np

from ...models.likelihood.kept import njit
from .quantile import log_half_normal

LOG2 = math.log(2.0)


@njit(nogil=True, error_model="numpy")
def bent(y, shift, slope, turn):
    """``shift + slope y + turn log cosh y``, its derivative d, and the derivative of log d; slope > |turn|."""
    size, tanh = abs(y), math.tanh(y)
    d = slope + turn * tanh
    return shift + slope * y + turn * (size + math.log1p(math.exp(-2.0 * size)) - LOG2), d, turn * (1.0 - tanh * tanh) / d


@njit(nogil=True, error_model="numpy")
def stick(r, middle, slope, low, high):
    """The log odds of a share at r, their derivative d, and the log of d with its derivative.

    A share with a beta prior of concentrations ``low`` and ``high`` has a log density that falls in a line by its log odds, by
    ``low`` towards zero and by ``high`` towards one, where the study does not tell it. By r, which grows with the root of the
    log odds there, it falls as a normal's.
    """
    bow = 0.25 / (low * low) if r < 0 else 0.25 / (high * high)
    q = math.sqrt(slope * slope + bow * r * r)
    part = bow * r / q
    d = q + r * part
    return middle + r * q, d, math.log(d), part * (3.0 - r * part / q) / d


@njit(nogil=True, error_model="numpy")
def opened(log_ratio, share, own, mean):
    """Log of how much wider a parameter is where effects' standard deviation is exp(log_ratio) times the centre's; its derivative.

    ``own``: variance of one effect's own measurement, relative to the effects' variance at the centre. A ``mean`` (> 0) of effects is
    known the less the more they differ: ``share`` of its variance comes from them, and it is proportional to 1 - share + share (own +
    ratio^2) / (own + 1). A correlation of effects with something else is known the better: ``share`` of its precision comes from
    them, and it is proportional to 1 - share + share ratio^2 (own + 1) / (own + ratio^2).
    """
    squared = math.exp(2.0 * log_ratio)
    if mean > 0:
        differing = share * squared / (own + 1.0)
        variance = 1.0 - share + share * own / (own + 1.0) + differing
        return 0.5 * math.log(variance), differing / variance
    told = share * squared * (own + 1.0) / (own + squared)
    precision = 1.0 - share + told
    return -0.5 * math.log(precision), -told * own / ((own + squared) * precision)


@njit(nogil=True, error_model="numpy")
def population_there(y, x, moved, population, width_by, share, log_unit, log_sd, centre, scale, bend, funnel, sticks, kept):
    """Fill the population's ``x``, and ``moved`` with how far it is from the centre in `plain` coordinates.

    ``kept`` (7, p): the slope of x by the plain coordinate and the derivative of its log; the bent coordinate's derivative and that of its
    log; the factor of the scale and the derivative of its log; ``moved``. Returns the log of the Jacobian.
    """
    p = population.size
    logs = 0.0
    bent_y = np.empty(p)
    for a in range(p):
        bent_y[a], kept[2, a], kept[3, a] = bent(y[population[a]], bend[0, a], bend[1, a], bend[2, a])
        logs += math.log(kept[2, a])
    for a in range(p):
        total = 0.0
        for b in range(a + 1):
            total += scale[a, b] * bent_y[b]
        moved[a] = total
        at = centre[population[a]] + total
        kept[0, a], kept[1, a] = 1.0, 0.0
        kept[4, a], kept[5, a] = 1.0, 0.0
        if not math.isnan(log_unit[a]):  # a standard deviation
            log_q, kept[0, a], log_slope, kept[1, a] = log_half_normal(at)
            at = log_unit[a] + log_q
            logs += log_slope
        x[population[a]] = at
    for a in range(p):
        if width_by[a] >= 0:
            sd = width_by[a]
            log_factor, kept[5, a] = opened(x[population[sd]] - log_sd[sd], funnel[0, a], funnel[1, a], funnel[2, a])
            kept[4, a] = math.exp(log_factor)
            logs += log_factor
            moved[a] *= kept[4, a]
            x[population[a]] = centre[population[a]] + moved[a]
        kept[6, a] = moved[a]
    if share.size:
        left, total = 0.0, 0.0
        for j in range(share.size):
            a = share[j]
            odds, kept[0, a], log_slope, kept[1, a] = stick(x[population[a]], sticks[0, j], sticks[1, j], sticks[2, j], sticks[3, j])
            logs += log_slope
            size = math.log1p(math.exp(-abs(odds)))
            x[population[a]] = left - size + min(odds, 0.0)  # log of the share
            total += x[population[a]]
            left -= size + max(odds, 0.0)  # log of what is left
        total = (total + left) / (share.size + 1)
        for j in range(share.size):
            x[population[share[j]]] -= total
    return logs


@njit(nogil=True, error_model="numpy")
def population_back(x, g, by_y, by_moved, by_own, population, width_by, share, scale, kept):
    """Fill the population's ``by_y``; ``by_moved`` and ``by_own`` hold what effects add to the derivatives by ``moved`` and by ``x``."""
    p = population.size
    by_x = np.empty(p)
    for a in range(p):
        by_x[a] = g[population[a]] + by_own[a]
    if share.size:
        layers = share.size + 1
        last = 0.0  # the centred logs sum to zero
        for j in range(share.size):
            last -= x[population[share[j]]]
        top = last
        for j in range(share.size):
            top = max(top, x[population[share[j]]])
        mean = 0.0
        for j in range(share.size):
            mean += by_x[share[j]] / layers
        below, beneath = -mean, math.exp(last - top)  # derivatives by, and sum of, the shares after this one
        for j in range(share.size - 1, -1, -1):
            a = share[j]
            own = by_x[a] - mean
            size = math.exp(x[population[a]] - top)
            part = size / (size + beneath)
            by_x[a] = own * (1.0 - part) - part * below
            below += own
            beneath += size
    for a in range(p):
        if width_by[a] >= 0:
            own = by_moved[a] + by_x[a]
            by_x[width_by[a]] += (own * kept[6, a] + 1.0) * kept[5, a]
    for a in range(p):
        by_moved[a] += by_x[a] * kept[0, a] + kept[1, a]
        by_moved[a] *= kept[4, a]
    for a in range(p):
        total = 0.0
        for b in range(a, p):
            total += scale[b, a] * by_moved[b]
        by_y[population[a]] = total * kept[2, a] + kept[3, a]
