"""A quick posterior: the population's parameters by importance sampling, effects of units and clinicians given each of them.

In the manner of INLA (Rue, Martino & Chopin 2009, JRSS B 71): at each point of the population's parameters the effects are
integrated out by Laplace's method and its next terms (`inner`). Points are drawn from a polynomial approximation of what comes out
(`surrogate`) and weighted by the ratio of the two. Pareto-smoothed weights (Vehtari et al. 2024, JMLR 25) say how far to
trust it. For some draws clinicians' effects are integrated as a whole (`rays`), which tells what the expansion lacks elsewhere
(`beyond`). In large studies most points get the next terms as other points tell them (`emulator`), at last also some draws that
are worked out in full, of which a few tell what these lack to the integral. What that leaves is told beside the weights.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...datasets.errors import UserError
from ..psis import HIGH_K, good_k, smoothed
from ..store import need_room
from .beyond import DRAWN, FOLDS, LITTLE_OF_MANY, SEEN, Beyond, InFull, met, seen, seen_of_many
from .emulator import Emulator
from .laplace import LARGE
from .surrogate import Region, all_told, fitted

PILOTS = 12  # points for each of the population's parameters that the polynomial is fitted to
LEAST_PILOTS = 64
REFITS = 3  # of the polynomial, with the points of the greatest weights
ENOUGH = 0.3  # effective share of the first proposals from which there is no refit
FIRST = 0.3  # weight of the first of several sets of such points, which lies less well
# turns of the log density about the mode, where a normal's is 1: where it is flat there, it may bend soon, or be wide
LEAST_TURN, LEAST_WIDE = 0.7, 0.2
FEW_PILOTS = 2.0  # points for each parameter of a large study that tell where its posterior lies, and as many there
LEAST_FEW = 54
HOPED = 0.85  # effective share of a large study's proposals that is hoped for from a better polynomial
MOST_LEFT = 0.6  # of the corrections by what the pilots tell of them: with less, a large study's proposals are integrated in brief
CHECKED = 64  # draws of those in brief that are worked out in full: weights cannot tell by what their corrections err
CHECKS = 2  # times that this is done where it moves the weights: what is left counts where the draws are at last
GREATEST = 32  # points in brief of the greatest weights that are worked out in full for another polynomial
MOST_PROPOSALS = 8  # for each draw asked for
NO_MEAN_K = 1.0  # Pareto k from which weights have no mean, so that more proposals help nothing
ENOUGH_FOR_K = 300  # proposals that tell such a k
LEAST_RATE = 0.2  # effective share of the proposals that is counted on when more are made
IN_MEMORY = 2.5e7  # numbers of draws in memory; more lie in a temporary file


@dataclass(frozen=True)
class Quick:
    """Draws in the sampler's coordinates.

    Attributes
    ----------
    draws : array (n, size)
    chosen : int array (draws)
        Rows of ``draws``: with equal weights, they are draws from the posterior.
    pareto_k : float
        Of the importance weights of the population's parameters.
    effective : float
        Effective number of proposals.
    proposals : int
    left : float
        Standard deviation of what log densities lack, at a few draws for which it was worked out, as the other points tell it: the
        integral over clinicians' effects in place of the expansion, and in a large study the expansion's next terms. What weights, and so
        Pareto k, do not tell. Infinite where one of a large study's draws has no density, and not a number where they are too few to say.
    """

    draws: np.ndarray
    chosen: np.ndarray
    pareto_k: float
    effective: float
    proposals: int
    left: float = 0.0


def quick_posterior(effects, draws: int, seed: int) -> Quick:
    """Draws from the posterior by importance sampling.

    Parameters
    ----------
    effects : Effects
        Or what integrates the effects out elsewhere.
    draws : int
        As many effective ones are aimed at.
    seed : int

    Raises
    ------
    UserError
        Where the density can be computed at none of the first points.
    """
    s = effects.structure
    rng = np.random.default_rng([seed, 1])
    p, large = s.population.size, s.unit_of.size >= LARGE
    pilots = max(PILOTS * p, LEAST_PILOTS)
    rows = _room(max(MOST_PROPOSALS * draws, pilots), s.size)
    groups, region = _first_groups(effects, pilots, seed, rng, large)
    batch = max(draws // 4, len(groups[-1][0]) if large else pilots)
    # what other points tell of corrections: all of them, where proposals are worked out in brief, or what the expansion lacks
    more, brief, left, told, wholes, beyond = None, False, 0.0, [], [], None
    for refits in range(REFITS + 1):
        surrogate = fitted(_weighted(groups), rng, region, more if brief else None)
        if large:
            region = Region(surrogate.mean, surrogate.root)
            if not brief and surrogate.correction.left < MOST_LEFT:
                more, brief = surrogate.correction, True
        points, values, wanted = np.empty((0, p)), [], batch
        while wanted > 0:
            begun = len(points) > 0
            new, found = _evaluated(effects, surrogate.draw(wanted, rng), seed, len(points), rows, brief, scored=large)
            points, values = np.concatenate([points, new]), values + found
            weights, k, effective, lacking = _weighed(points, values, surrogate, more, draws)
            if not (begun or brief):
                corrections = np.array([value.correction for value in values])
                chosen = _resampled(weights, DRAWN, np.random.default_rng([seed, 4]))
                wholes.append(seen(effects, points, corrections, chosen, seed))
                more = Beyond(*map(np.concatenate, zip(*wholes, strict=True)))
                left = more.left
                weights, k, effective, lacking = _weighed(points, values, surrogate, more, draws)
            anew = effective < ENOUGH * len(points)
            if refits == 0:  # a large study's proposals are dear, and others' were fitted to the expansion
                anew = lacking > draws / HOPED if large else anew or more.matters
            again = refits < REFITS and (brief and k > HIGH_K if begun else anew or k > HIGH_K - 0.1)
            if brief and not (begun or again):
                for check in range(CHECKS):
                    drawn = points[_resampled(weights, CHECKED, np.random.default_rng([seed, 4, check]))]
                    known, left = _checked(effects, groups, told, drawn, seed)
                    if not known:
                        break
                    told += known
                    beyond, whole = seen_of_many(effects, *known[0], wholes, seed)
                    wholes.append(whole)
                    more, left = InFull(Emulator(*all_told(groups, *told)), beyond), float(np.hypot(left, beyond.left))
                    weights, k, effective, lacking = _weighed(points, values, surrogate, more, draws)
                    if not beyond.matters or np.std(whole[2]) < LITTLE_OF_MANY:
                        break
                again = refits < REFITS and (k > HIGH_K or effective < ENOUGH * len(points))
            if again:
                best = np.argsort(-weights)[:pilots]
                if large:
                    groups.append(_group(points[best], [values[n] for n in best], brief))
                else:  # most looks go without scores of proposals, where each takes as long as half of all the rest
                    groups.append(_group(*_evaluated(effects, points[best], seed, 0), False, more))
                if brief:  # where weights are greatest, corrections may be off
                    groups.append(_group(*_evaluated(effects, points[best[:GREATEST]], seed, 0)))
                    more = InFull(Emulator(*all_told(groups, *told)), beyond)
                break
            wanted = 0 if left == np.inf else _wanted(lacking, k, len(points), MOST_PROPOSALS * draws)
        else:
            return Quick(rows, _resampled(weights, draws, np.random.default_rng([seed, 3])), k, effective, len(points), left)


def _wanted(lacking: float, k: float, made: int, most: int) -> int:
    """How many proposals are to follow those that were made, of which at most so many."""
    if k > NO_MEAN_K:
        return min(ENOUGH_FOR_K, most) - made
    if good_k(made) < k < HIGH_K:  # too few for such a tail
        enough = 1.02 * 10 ** (1 / (1 - k)) - made
        lacking = max(lacking, enough) if made + enough <= most else lacking
    return min(most - made, math.ceil(lacking))


def _weighed(points, values, surrogate, more, draws):
    """Smoothed weights, Pareto k, the effective number of points, and how many more it takes as they go."""
    corrections = np.array([value.correction for value in values])  # 0 in brief
    logs = np.array([value.laplace for value in values]) + corrections
    if more is not None:
        logs += more(points, corrections)
    weights, k = smoothed(logs - surrogate.log_density(points))
    effective = 1 / float(np.square(weights).sum())
    return weights, k, effective, (draws - effective) / max(effective / len(points), LEAST_RATE)


def _first_groups(effects, pilots, seed, rng, large):
    """Points that the first surrogate is fitted to, and the region of a large study's."""
    p = effects.structure.population.size

    def group(points):
        return _group(*_evaluated(effects, points, seed, 0))

    if not large:
        first = group(rng.standard_normal((pilots, p)))
        return [first, group(fitted(_weighted([first]), rng).draw(pilots, rng))], None
    count = max(round(FEW_PILOTS * p), LEAST_FEW)
    scouts = group(rng.standard_normal((count, p)))
    region = Region(*_middle(*scouts))
    return [scouts, group(region.draw(count, rng))], region


def _checked(effects, groups, told, points, seed):
    """These draws with their corrections (none where one has no density), and the standard deviation of what is lacking at each of them to
    those that the rest tell without it and a few others.
    """
    points = np.unique(points, axis=0)
    y, corrections = all_told(groups, *told)
    found, others = met(points, y, corrections)
    new = np.isnan(found)
    values = list(effects.at(points[new], [[seed, 2, n] for n in range(new.sum())], keep=False, scored=False))
    if not all(np.isfinite(value.laplace) for value in values):  # in brief there was a density
        return [], np.inf
    found[new] = [value.correction for value in values]
    lacking = np.empty(len(points))
    for fold in range(FOLDS):
        out = np.arange(len(points)) % FOLDS == fold
        if out.any():
            rows = np.concatenate([y[others], points[~out]]), np.concatenate([corrections[others], found[~out]])
            lacking[out] = found[out] - Emulator(*rows)(points[out])
    return [(points, found)], float(np.std(lacking, ddof=1)) if len(points) >= SEEN else np.nan


def _middle(y, ratio, scores, correction):
    """About where the density with its corrections is highest, and a root of its covariance.

    Corrections of many effects add up to more than the density is wide; and a standard deviation between few units may be known less
    well than its curvature at the mode says.
    """
    rows = np.concatenate([np.ones((len(y), 1)), y], axis=1)
    turns = np.linalg.lstsq(rows, scores - y, rcond=None)[0][1:]
    turns = (turns + turns.T) / 2
    level = ratio - 0.5 * np.square(y).sum(axis=1) + correction - 0.5 * ((y @ turns) * y).sum(axis=1)
    slope = np.linalg.lstsq(rows, level, rcond=None)[0][1:]
    values, vectors = np.linalg.eigh(-turns)
    return (vectors / np.maximum(values, LEAST_TURN)) @ vectors.T @ slope, vectors / np.sqrt(np.maximum(values, LEAST_WIDE))


def _weighted(groups):
    return [(FIRST if n == 0 else 1.0, *group) for n, group in enumerate(groups)]


def _evaluated(effects, points, seed: int, made: int, rows=None, brief: bool = False, scored: bool = True):
    """The points and what comes out there; draws of the effects fill ``rows`` from ``made`` on."""
    if isinstance(rows, np.memmap):  # a page for which the disk has no room would end the process
        need_room(Path(tempfile.gettempdir()), 8 * len(points) * rows.shape[1])
    values, seeds = [], ([seed, 2, made + n] for n in range(len(points)))
    for n, value in enumerate(effects.at(points, seeds, keep=rows is not None, brief=brief, scored=scored)):
        if rows is not None:
            rows[made + n] = value.draw
        values.append(replace(value, draw=None))
    return points, values


def _group(y, values, brief: bool = False, more=None):
    """What the surrogate is fitted to: relative to the standard normal, without points at which nothing comes out.

    In ``brief``, scores and corrections are not told; ``more`` tells what corrections lack.
    """
    kept = [n for n, value in enumerate(values) if np.isfinite(value.laplace) and np.isfinite(value.score).all()]
    if not kept:
        raise UserError(
            "the quick look found no point near the mode at which this posterior can be computed; sample instead "
            '(`equipoise run` without --quick, method = "nuts").'
        )
    y, values = y[kept], [values[n] for n in kept]
    ratio = np.array([v.laplace for v in values]) + 0.5 * np.square(y).sum(axis=1)
    if brief:
        return y, ratio, None, None
    corrections = np.array([v.correction for v in values])
    if more is not None:
        corrections = corrections + more(y, corrections)
    return y, ratio, np.array([v.score for v in values]).reshape(y.shape) + y, corrections


def _room(count: int, size: int) -> np.ndarray:
    """Rows for draws; pages that are not used take no room."""
    if count * size <= IN_MEMORY:
        return np.empty((count, size))
    with tempfile.TemporaryFile(prefix="equipoise-draws-") as file:  # lasts as long as the array
        return np.memmap(file, float, "w+", shape=(count, size))


def _resampled(weights: np.ndarray, draws: int, rng) -> np.ndarray:
    """Systematic resampling, in random order."""
    positions = (rng.random() + np.arange(draws)) / draws
    chosen = np.minimum(np.searchsorted(np.cumsum(weights), positions), weights.size - 1)
    return rng.permutation(chosen)
