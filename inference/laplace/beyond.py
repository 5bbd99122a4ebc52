"""What the expansion's corrections lack to the integral over clinicians' effects, from few draws at which both are known.

In most studies next to nothing. Where clinicians' effects are known so badly that their densities are far from normal it grows with the
corrections themselves, which are therefore among what it is told from, and the draws with the greatest are among those that tell it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .emulator import Emulator

LITTLE = 0.05  # standard deviation of what is lacking, below which it is left as it is
DRAWN = 512  # draws, equally weighted, that the points are taken from
FEW = 0.1  # ... that will do in a large study, where each point takes long
WHOLE = 48  # of them for which the integral is worked out; if they lack more than little, as many of those with the greatest corrections
WHOLE_OF_MANY = 16  # of a large study's; if they leave more than few, as many once more
SEEN = 8  # different draws at least, to tell a standard deviation
UNKNOWN = 0.05  # share of the draws for which it may be unknown
FOLDS = 4  # of the draws, each in turn left to what the others tell


class Beyond:
    """What is to be added to corrections.

    Parameters
    ----------
    y : array (n, p)
        The population's parameters in the sampler's coordinates.
    corrections : array (n)
        By the expansion.
    lacking : array (n)
        What they lack.
    times : int array (n)
        How often a draw was taken at random; 0 for points that were chosen.

    Attributes
    ----------
    left : float
        Standard deviation over the draws of what is still lacking, as the other points tell it; not a number where they are too few, or
        where for some of them it cannot be computed.
    """

    def __init__(self, y: np.ndarray, corrections: np.ndarray, lacking: np.ndarray, times: np.ndarray):
        known = np.isfinite(lacking)
        unknown = times[~known].sum() / times.sum()
        y, corrections, lacking, times = y[known], corrections[known], lacking[known], times[known]
        self._emulator, self.left = None, np.nan
        if (times > 0).sum() < SEEN:
            return
        self.left = _spread(lacking, times)
        if lacking.std() >= LITTLE:
            self._middle, self._size = float(corrections.mean()), max(float(corrections.std()), 1e-12)
            self._low, self._high = lacking.min(), lacking.max()
            rows, off = self._rows(y, corrections), lacking.copy()
            for fold in range(FOLDS):  # scales that all points gave would promise too much
                out = np.flatnonzero(times)[fold::FOLDS]
                others = np.delete(np.arange(len(rows)), out)
                off[out] -= np.clip(Emulator(rows[others], lacking[others])(rows[out]), self._low, self._high)
            if _spread(off, times) < self.left:
                self._emulator, self.left = Emulator(rows, lacking), _spread(off, times)
        if unknown > UNKNOWN:
            self.left = np.nan

    @property
    def matters(self) -> bool:
        """Whether anything is added."""
        return self._emulator is not None

    def _rows(self, y, corrections):
        return np.column_stack([y, (corrections - self._middle) / self._size])

    def __call__(self, y: np.ndarray, corrections: np.ndarray) -> np.ndarray:
        """At points (n, p) with these corrections (n); never beyond what was seen."""
        if not self.matters:
            return np.zeros(len(y))
        return np.clip(self._emulator(self._rows(y, corrections)), self._low, self._high)


def _spread(values, times) -> float:
    return float(np.std(np.repeat(values, times), ddof=1))


@dataclass(frozen=True)
class InFull:
    """What points of a large study in brief lack.

    Attributes
    ----------
    emulator : Emulator
        Of the expansion's next terms.
    beyond : Beyond, optional
    """

    emulator: Emulator
    beyond: Beyond | None = None

    def __call__(self, y: np.ndarray, corrections: np.ndarray | None = None) -> np.ndarray:
        """At points (n, p), of which there are no corrections."""
        told = self.emulator(y)
        return told if self.beyond is None else told + self.beyond(y, told)


def seen_of_many(effects, points, corrections, before, seed) -> tuple[Beyond, tuple[np.ndarray, ...]]:
    """As `seen`, of different draws of a large study, with what was seen ``before``; and what is made from it."""
    rows = np.random.default_rng([seed, 5]).permutation(len(points))[: 2 * WHOLE_OF_MANY]
    found, rest = (np.empty((0, points.shape[1])), *np.empty((2, 0)), np.empty(0, int)), rows
    while True:
        some, rest = rest[:WHOLE_OF_MANY], rest[WHOLE_OF_MANY:]
        new = points[some], corrections[some], _lacking(effects, points[some], corrections[some], seed), np.ones(len(some), int)
        found = tuple(map(np.concatenate, zip(found, new, strict=True)))
        earlier = [(y, by, lacking, 0 * times) for y, by, lacking, times in before]  # draws of another polynomial
        beyond = Beyond(*map(np.concatenate, zip(*earlier, found, strict=True)))
        if not rest.size or beyond.left < FEW:
            return beyond, found


def _lacking(effects, points, corrections, seed):
    values = effects.at(points, [[seed, 2, n] for n in range(len(points))], keep=False, scored=False, whole=True)
    return np.array([value.correction for value in values]) - corrections


def seen(effects, points, corrections, chosen, seed) -> tuple[np.ndarray, ...]:
    """What `Beyond` is made from.

    Parameters
    ----------
    effects : Effects
    points : array (n, p)
    corrections : array (n)
    chosen : int array
        Rows of points that are draws; may be repeated.
    seed : int
    """
    rows = np.random.default_rng([seed, 5]).permutation(chosen)
    first, times = np.unique(rows[:WHOLE], return_counts=True)

    rest, found = np.setdiff1d(rows, first), _lacking(effects, points[first], corrections[first], seed)
    known = found[np.isfinite(found)]
    if rest.size and known.size and known.std() >= LITTLE:
        furthest = rest[np.argsort(-np.abs(corrections[rest] - np.median(corrections[rows])))[:WHOLE]]
        more = _lacking(effects, points[furthest], corrections[furthest], seed)
        found, first = np.concatenate([found, more]), np.concatenate([first, furthest])
        times = np.concatenate([times, np.zeros(len(furthest), int)])
    return points[first], corrections[first], found, times
