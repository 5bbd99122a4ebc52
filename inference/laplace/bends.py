"""Coordinates of the population bent so that marginals are nearly normal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.special import ndtr

from .coordinates import Coordinates
from .mode import conditional_mode
from .population import bent, opened
from .quantile import log_half_normal

AT = 1.5  # standard normal quantiles that the bent marginal keeps, with the median
FAR = 2.0  # where a normal's log density has fallen by 2, and what is as good as that
STRAIGHT = 0.05
NEARLY_STRAIGHT = 0.4  # ... what will do in a large study, where each point takes long
FARTHER = (4.5, 8.0)  # ... and how far out such a study is looked at beyond `FAR`
PASSES = 2
MOVED = 1.0  # by which an axis's middle has moved that is looked at again
OUTWARD = (1.0, FAR, 3.0, 4.5, 6.0, 8.0)
FALL = 9.0  # of the log density, beyond which there is nothing


def bent_marginals(density, found: Coordinates, approximation, mapped=map) -> Coordinates:
    """With each of the population's coordinates bent so that its own marginal, cut along its axis, is nearly a standard normal.

    Parameters
    ----------
    density : Density, in `plain` coordinates
    found : Coordinates
    approximation : Approximation
    mapped : function, optional
        Does what `map` does.
    """
    columns = mapped(lambda k: _bent_marginal(density, found, approximation, k), range(found.bend.shape[1]))
    return replace(found, bend=np.stack(list(columns), axis=1))


def _bent_marginal(density, found, approximation, k):
    top = approximation.at.log_marginal
    both = [_log_marginal(density, found, approximation, k, t) - top for t in (-FAR, FAR)]
    if np.abs(np.add(both, FAR**2 / 2)).max() < STRAIGHT:
        return found.bend[:, k]
    points, values = [0.0], [0.0]
    for side, far in zip((-1.0, 1.0), both, strict=True):
        for size in OUTWARD:
            points.append(side * size)
            values.append(far if size == FAR else _log_marginal(density, found, approximation, k, side * size) - top)
            if not values[-1] > -FALL:
                break
    return _bend(np.array(points), np.array(values))


def _log_marginal(density, found, approximation, k, t):
    """Log density of the coordinate k at t, the others at 0, effects integrated out by Laplace's method."""
    theta, wider = moved_to(found, found.scale[:, k] * t)
    at = conditional_mode(density, found.structure, approximation.predicted(found.structure, theta))
    return at.log_marginal + np.log(wider).sum()


def moved_to(found: Coordinates, moved: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The population's parameters that far from the centre, and by how much each is wider there (p)."""
    s = found.structure
    theta, wider = found.centre[s.population] + moved, np.ones(moved.size)
    for a in np.flatnonzero(s.width_by >= 0):
        sd = s.width_by[a]
        log_sd = theta[sd] if np.isnan(s.log_unit[sd]) else s.log_unit[sd] + log_half_normal(theta[sd])[0]
        wider[a] = np.exp(opened(log_sd - found.log_sd[sd], *found.funnel[:, a])[0])
        theta[a] = found.centre[s.population[a]] + moved[a] * wider[a]
    return theta, wider


def bent_standard_deviations(found: Coordinates, effects_in, recentred) -> Coordinates:
    """Of a large study: bent as `bent_marginals` does, but only standard deviations, and with the next terms of Laplace's method.

    All else is known well enough for a nearly normal marginal. Standard deviations between units, or of what differs little, are
    not; and what Laplace's method errs by for many effects changes with them. Those that are bent are so once more, with all others
    at their own middles.

    Parameters
    ----------
    found : Coordinates
    effects_in : function
        The `Effects` in given coordinates.
    recentred : function
        Gives coordinates whose centre is where the bent ones have it.
    """
    axes = np.flatnonzero(~np.isnan(found.structure.log_unit))
    for n in range(PASSES):
        if n:
            found = recentred(found)
        bends, anew = found.bend.copy(), []
        for k, cut in _cuts(effects_in(found), axes).items():
            quantiles = _quantiles(*np.array(cut).T)
            if quantiles is not None:
                bends[:, k] = bend_of_quantiles(*(bent(t, *found.bend[:, k])[0] for t in quantiles))
            if len(cut) > 3 or (quantiles is not None and abs(quantiles[1]) > MOVED):
                anew.append(k)
        found, axes = replace(found, bend=bends), np.array(anew, int)
        if not axes.size:
            break
    return found


def _cuts(effects, axes) -> dict[int, list[tuple[float, float]]]:
    """Points along each axis and the log density there, as far out as there is something; three where it is as curved as a normal's."""
    p = effects.structure.population.size

    def log_densities(axes, at):
        points = np.zeros((len(at), p))
        points[range(len(at)), axes] = at
        return np.array([v.laplace + v.correction for v in effects.at(points, range(len(at)), keep=False, scored=False)])

    first = log_densities([0, *axes, *axes], [0.0] + [-FAR] * axes.size + [FAR] * axes.size)
    if not np.isfinite(first[0]):
        return {}
    cuts = {k: [(-FAR, low), (0.0, first[0]), (FAR, high)] for k, low, high in zip(axes, *np.split(first[1:], 2), strict=True)}
    # a slope moves a normal and bends nothing
    open_ends = [(k, side) for k, cut in cuts.items() for side in (-1, 1) if not abs(_turned(cut)) < NEARLY_STRAIGHT]
    reached = FAR
    for size in FARTHER:
        open_ends = [(k, side) for k, side in open_ends if dict(cuts[k])[side * reached] > first[0] - FALL]
        at, reached = [side * size for _, side in open_ends], size
        for (k, _), t, value in zip(open_ends, at, log_densities([k for k, _ in open_ends], at), strict=True):
            cuts[k].append((t, value))
    return cuts


def _turned(cut) -> float:
    """By how much the log density at `FAR` differs from a normal's, both sides taken together."""
    (_, low), (_, middle), (_, high) = cut
    return (low + high) / 2 - middle + FAR**2 / 2


def _quantiles(points, values):
    """Those at standard normal ones of -`AT`, 0 and `AT`; None where the density is not known far enough.

    Of the density with these logs at these points; three of them are a normal's.
    """
    order = np.argsort(points)
    points, values = points[order], values[order]
    finite = np.isfinite(values)
    points, values = points[finite], values[finite]
    if points.size < 3 or points[0] > -FAR or points[-1] < FAR:
        return None
    if points.size == 3:
        precision = (2 * values[1] - values[0] - values[2]) / FAR**2
        if not precision > 0:
            return None
        middle, reach = np.clip((values[2] - values[0]) / (2 * FAR * precision), -FAR, FAR), AT / np.sqrt(precision)
        return middle - reach, middle, middle + reach
    grid = np.linspace(points[0], points[-1], 2001)
    # what is interpolated is what it differs by from a normal, which bends less
    log = PchipInterpolator(points, values + points**2 / 2)(grid) - grid**2 / 2
    density = np.exp(log - log.max())
    mass = np.cumsum(density)
    return np.interp(ndtr([-AT, 0.0, AT]), (mass - density / 2) / mass[-1], grid)


def _bend(points, values):
    """Shift, slope and turn of `population.bent` that give three quantiles of the density with these logs at these points."""
    quantiles = _quantiles(points, values)
    return (0.0, 1.0, 0.0) if quantiles is None else bend_of_quantiles(*quantiles)


def bend_of_quantiles(low, middle, high):
    """Shift, slope and turn of `population.bent` that give these quantiles at standard normal ones of -`AT`, 0 and `AT`."""
    turn = (high + low - 2 * middle) / (2 * np.log(np.cosh(AT)))
    slope = (high - low) / (2 * AT)
    return middle, slope, np.clip(turn, -0.8 * slope, 0.8 * slope)
