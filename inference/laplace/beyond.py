"""What the expansion's corrections lack to the integral over clinicians' effects, from few draws at which both are known.

In most studies next to nothing. Where clinicians' effects are known so badly that their densities are far from normal it grows with the
corrections themselves, which are therefore among what it is told from, and the draws with the greatest are among those that tell it.
"""

from __future__ import annotations

import numpy as np

from .emulator import Emulator

LITTLE = 0.05  # standard deviation of what is lacking, below which it is left as it is
DRAWN = 512  # draws, equally weighted, that the points are taken from
WHOLE = 48  # of them for which the integral is worked out; if they lack more than little, as many of those with the greatest corrections
SEEN = 8  # different draws at least, to tell a standard deviation
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
    random : bool array (n)
        Which points are draws like any others.

    Attributes
    ----------
    left : float
        Standard deviation over the draws of what is still lacking, as the other points tell it; not a number where they are too few.
    """

    def __init__(self, y: np.ndarray, corrections: np.ndarray, lacking: np.ndarray, random: np.ndarray):
        seen = np.isfinite(lacking)
        y, corrections, lacking, random = y[seen], corrections[seen], lacking[seen], random[seen]
        self._emulator, self.left = None, np.nan
        if random.sum() < SEEN:
            return
        off = lacking.copy()
        if lacking.std() >= LITTLE:
            self._middle, self._size = float(corrections.mean()), max(float(corrections.std()), 1e-12)
            self._low, self._high = lacking.min(), lacking.max()
            rows = self._rows(y, corrections)
            self._emulator = Emulator(rows, lacking)
            for fold in range(FOLDS):  # scales that all points gave would promise too much
                out = np.flatnonzero(random)[fold::FOLDS]
                others = np.delete(np.arange(len(rows)), out)
                off[out] -= np.clip(Emulator(rows[others], lacking[others])(rows[out]), self._low, self._high)
        self.left = float(np.std(off[random], ddof=1))

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
    rows = np.random.default_rng([seed, 5]).permutation(np.unique(chosen))

    def lacking(some):
        values = effects.at(points[some], [[seed, 2, n] for n in range(len(some))], keep=False, scored=False, whole=True)
        return np.array([value.correction for value in values]) - corrections[some]

    first, rest = rows[:WHOLE], rows[WHOLE:]
    found = lacking(first)
    known = found[np.isfinite(found)]
    if rest.size and known.size and known.std() >= LITTLE:
        furthest = rest[np.argsort(-np.abs(corrections[rest] - np.median(corrections[rows])))[:WHOLE]]
        found = np.concatenate([found, lacking(furthest)])
        first = np.concatenate([first, furthest])
    return points[first], corrections[first], found, np.arange(len(first)) < min(len(rows), WHOLE)
