"""Draws of the population's parameters that come close to their posterior, from a polynomial in the sampler's coordinates.

There the posterior is close to a standard normal. The log of its ratio to one is described by a polynomial: linear, quadratic,
y_i^2 y_j and y_i^4. Its coefficients are found from a few points at which the integrated density (`inner`) and its
gradient are known: each point tells as many numbers as there are parameters, so that few are enough. What the polynomial misses
the importance weights make good.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RIDGE = 10.0  # precision of the coefficients around 0, where a score's own is 1
CORRECTION_RIDGE = 3.0  # ... of those of Laplace's next terms, of which only values are known
LEAST = 4.0  # that the log ratio counts at least, relative to its median: no region is left out
CAP = 0.995  # the share of a standard normal's points whose ratios count in full
POOL = 20_000  # standard normal points at a time from which draws are chosen


@dataclass(frozen=True)
class Surrogate:
    """Log ratio of the posterior to a standard normal, up to a constant, as a polynomial.

    Attributes
    ----------
    linear, quartic : arrays (p)
    quadratic : array (p, p)
        Upper triangular: of y_i y_j.
    cubic : array (p, p)
        [i, j]: of y_i^2 y_j.
    low, high : float
        Between which it is kept.
    """

    linear: np.ndarray
    quadratic: np.ndarray
    cubic: np.ndarray
    quartic: np.ndarray
    low: float = -np.inf
    high: float = np.inf

    def __call__(self, y: np.ndarray) -> np.ndarray:
        """Log ratio at points (n, p)."""
        squares = np.square(y)
        ratio = y @ self.linear + ((y @ self.quadratic.T) * y).sum(axis=1)
        ratio += ((squares @ self.cubic) * y).sum(axis=1) + np.square(squares) @ self.quartic
        return np.clip(ratio, self.low, self.high)

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Independent points (count, p) from the standard normal times the ratio, by rejection."""
        found = np.empty((0, self.linear.size))
        while len(found) < count:
            y = rng.standard_normal((POOL, self.linear.size))
            found = np.concatenate([found, y[np.log(rng.random(POOL)) < self(y) - self.high]])
        return found[:count]


def fitted(y: np.ndarray, ratio: np.ndarray, scores: np.ndarray, correction: np.ndarray, rng: np.random.Generator) -> Surrogate:
    """The polynomial that fits at points of a standard normal.

    Parameters
    ----------
    y : array (n, p)
    ratio : array (n)
        Log of Laplace's integrated density over the standard normal's.
    scores : array (n, p)
        Derivatives of ``ratio``.
    correction : array (n)
        What the next terms of the expansion add to ``ratio``.
    rng : Generator
    """
    n, p = y.shape
    pairs = np.triu_indices(p)
    features = [y, y[:, pairs[0]] * y[:, pairs[1]], (np.square(y)[:, :, None] * y[:, None, :]).reshape(n, -1), y**4]
    slopes = [np.broadcast_to(np.eye(p), (n, p, p)), np.zeros((n, p, pairs[0].size)), np.zeros((n, p, p, p)), np.zeros((n, p, p))]
    for c, (i, j) in enumerate(zip(*pairs, strict=True)):
        slopes[1][:, i, c] += y[:, j]
        slopes[1][:, j, c] += y[:, i]
    every = np.arange(p)
    for i in range(p):
        slopes[2][:, i, i, :] += 2 * y[:, [i]] * y
        slopes[2][:, every, i, every] += np.square(y[:, [i]])
        slopes[3][:, i, i] = 4 * y[:, i] ** 3
    slopes = np.concatenate([s.reshape(n * p, -1) for s in slopes], axis=1)
    features = np.concatenate(features, axis=1)
    rows = np.concatenate([slopes, features - features.mean(axis=0)])
    found = _ridge(rows, np.concatenate([scores.reshape(-1), ratio - ratio.mean()]), RIDGE)
    splits = np.cumsum([p, pairs[0].size, p * p])
    linear, upper, cubic, quartic = np.split(found, splits)
    quadratic = np.zeros((p, p))
    quadratic[pairs] = upper
    simple = np.concatenate([y, np.square(y)], axis=1)
    more = _ridge(simple - simple.mean(axis=0), correction - correction.mean(), CORRECTION_RIDGE)
    quadratic[every, every] += more[p:]
    bare = Surrogate(linear + more[:p], quadratic, cubic.reshape(p, p), quartic)
    at = bare(rng.standard_normal((POOL, p)))
    return Surrogate(bare.linear, bare.quadratic, bare.cubic, bare.quartic, float(np.median(at)) - LEAST, float(np.quantile(at, CAP)))


def _ridge(rows, values, precision):
    return np.linalg.solve(rows.T @ rows + precision * np.eye(rows.shape[1]), rows.T @ values)
