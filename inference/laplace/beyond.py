"""What the expansion's corrections lack to the integral over clinicians' effects, from few draws at which both are known.

In most studies next to nothing. Where clinicians' effects are known so badly that their densities are far from normal it grows with the
corrections themselves, which are therefore among what it is told from, and the draws with the greatest are among those that tell it.
A large study worked out in brief has neither: of few draws at random, its parameters tell it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .emulator import Emulator

LITTLE = 0.05  # standard deviation of what is lacking, below which it is left as it is
LITTLE_OF_MANY = 0.1  # ... that will do in a large study, where each point takes long
DRAWN = 512  # draws, equally weighted, that the points are taken from
WHOLE = 48  # of them for which the integral is worked out; if they lack more than little, as many of those with the greatest corrections
WHOLE_OF_MANY = 16  # of a large study's draws at a time
FURTHER = 0.5  # of the range of what a large study's few draws lack, by which it is gone beyond on either side
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
    further : float, optional
        Of the range of what is lacking, by which it may go beyond what was seen.

    Attributes
    ----------
    left : float
        Standard deviation over the draws of what is still lacking, as the other points tell it; not a number where they are too few, or
        where for some of them it cannot be computed.
    """

    def __init__(self, y: np.ndarray, corrections: np.ndarray, lacking: np.ndarray, times: np.ndarray, further: float = 0.0):
        known = np.isfinite(lacking)
        unknown = times[~known].sum() / times.sum()
        y, corrections, lacking, times = y[known], corrections[known], lacking[known], times[known]
        self._emulator, self.left = None, np.nan
        if (times > 0).sum() < SEEN:
            return
        self.left = _spread(lacking, times)
        if lacking.std() >= LITTLE:
            self._middle, self._size = float(corrections.mean()), max(float(corrections.std()), 1e-12)
            self._bounds = _bounds(lacking, further)
            rows, off = self._rows(y, corrections), lacking.copy()
            for fold in range(FOLDS):  # scales that all points gave would promise too much
                out = np.flatnonzero(times)[fold::FOLDS]
                others = np.delete(np.arange(len(rows)), out)
                off[out] -= np.clip(Emulator(rows[others], lacking[others])(rows[out]), *_bounds(lacking[others], further))
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
        """At points (n, p) with these corrections (n); never further beyond what was seen than it may go."""
        if not self.matters:
            return np.zeros(len(y))
        return np.clip(self._emulator(self._rows(y, corrections)), *self._bounds)


def _bounds(values, further) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return low - further * (high - low), high + further * (high - low)


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

    @property
    def left(self) -> float:
        """Of the expansion's next terms; see `Emulator`."""
        return self.emulator.left

    def __call__(self, y: np.ndarray, corrections: np.ndarray | None = None) -> np.ndarray:
        """At points (n, p), of which there are no corrections."""
        told = self.emulator(y)
        return told if self.beyond is None else told + self.beyond(y, np.zeros(len(y)))


def seen_of_many(effects, points, corrections, before, seed) -> tuple[Beyond, tuple[np.ndarray, ...]]:
    """What a large study in brief lacks, from up to `WHOLE_OF_MANY` of its draws.

    Parameters
    ----------
    effects : Effects
    points : array (n, p)
        Different draws.
    corrections : array (n)
        By the expansion.
    before : list of tuple
        What was seen of draws by other weights: it tells, but not what is left.
    seed : int

    Returns
    -------
    beyond : Beyond
        Without regard to corrections, which emulated ones would lead astray once more.
    seen : tuple of arrays
        What is new of what it is made from.
    """
    some = np.random.default_rng([seed, 5]).permutation(len(points))[:WHOLE_OF_MANY]
    points, corrections, none = points[some], corrections[some], np.zeros(len(some))
    earlier = [np.concatenate(each) for each in zip(*before, strict=True)] or [np.empty((0, points.shape[1])), *np.empty((3, 0))]
    lacking, others = met(points, earlier[0], earlier[2])
    new = np.isnan(lacking)
    lacking[new] = _lacking(effects, points[new], corrections[new], seed)
    rest = earlier[0][others], 0 * earlier[1][others], earlier[2][others], np.zeros(others.sum(), int)
    found = points, none, lacking, np.ones(len(some), int)
    return Beyond(*map(np.concatenate, zip(rest, found, strict=True)), FURTHER), found


def met(points: np.ndarray, earlier: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values at points (n, p) that are among earlier ones (m, p), else NaN; and which of the earlier ones (m) are none of these.

    A point that is left out of a fit must not be in it from an earlier time.
    """
    place = {y.tobytes(): n for n, y in enumerate(earlier)}
    at = np.array([place.get(y.tobytes(), -1) for y in points], int)
    found, own = np.full(len(points), np.nan), at >= 0
    found[own] = values[at[own]]
    keys = {y.tobytes() for y in points}
    return found, np.array([y.tobytes() not in keys for y in earlier], bool)


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
