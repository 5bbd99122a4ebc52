"""Draws of the population's parameters that come close to their posterior, from a polynomial in the sampler's coordinates.

There the posterior is close to a standard normal. The log of its ratio to one is described by a polynomial: linear, quadratic,
y_i^2 y_j and y_i^4. Its coefficients are found from a few points at which the integrated density (`inner`) and its
gradient are known: each point tells as many numbers as there are parameters, so that few are enough. What the polynomial misses
the importance weights make good.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

RIDGE = 10.0  # precision of the coefficients around 0, where a score's own is 1
CORRECTION_RIDGE = 3.0  # ... of those of Laplace's next terms, of which only values are known
LEAST = 4.0  # below the median of the log ratio, that it counts at least: no region is left out
CAP = 0.999  # the share of the base's points whose ratios count in full
FURTHEST = 3.0  # standard deviations of the points fitted to, beyond which a polynomial would run away
POOL = 50_000  # points of the base at a time from which draws are chosen
REBASED = 2  # times that the base is moved to where the draws are


@dataclass(frozen=True)
class Surrogate:
    """A density close to the posterior's: a polynomial plus a standard normal's log density, drawn from by way of a normal base.

    Attributes
    ----------
    linear, quartic : arrays (p)
    quadratic : array (p, p)
        Upper triangular: of y_i y_j.
    cubic : array (p, p)
        [i, j]: of y_i^2 y_j.
    box : array (2, p)
        Where the polynomial holds.
    mean : array (p)
        Of the base.
    root : array (p, p)
        Lower triangular factor of its covariance.
    low, high : float
        Between which the log ratio of the density to the base is kept.
    corrections : array (2, p), optional
        What Laplace's next terms have of ``linear`` and of the diagonal of ``quadratic``.
    left : float
        Standard deviation of what is left of Laplace's next terms at a point by what the other points tell of them.
    """

    linear: np.ndarray
    quadratic: np.ndarray
    cubic: np.ndarray
    quartic: np.ndarray
    box: np.ndarray
    mean: np.ndarray
    root: np.ndarray
    low: float = -np.inf
    high: float = np.inf
    corrections: np.ndarray | None = None
    left: float = np.inf

    def polynomial(self, y: np.ndarray) -> np.ndarray:
        """At points (n, p); outside the box it goes on as it is at its edge."""
        y = np.clip(y, *self.box)
        squares = np.square(y)
        found = y @ self.linear + ((y @ self.quadratic.T) * y).sum(axis=1)
        return found + ((squares @ self.cubic) * y).sum(axis=1) + np.square(squares) @ self.quartic

    def correction(self, y: np.ndarray) -> np.ndarray:
        """What Laplace's next terms are expected to add at points (n, p), up to a constant."""
        y = np.clip(y, *self.box)
        return y @ self.corrections[0] + np.square(y) @ self.corrections[1]

    def log_density(self, y: np.ndarray) -> np.ndarray:
        """Of the points that `draw` gives, up to a constant."""
        base = -0.5 * np.square(np.linalg.solve(self.root, (y - self.mean).T)).sum(axis=0)
        return base + np.clip(self._ratio(y, base), self.low, self.high)

    def _ratio(self, y, base):
        return self.polynomial(y) - 0.5 * np.square(y).sum(axis=1) - base

    def _proposed(self, rng):
        z = rng.standard_normal((POOL, self.mean.size))
        y = self.mean + z @ self.root.T
        return y, self._ratio(y, -0.5 * np.square(z).sum(axis=1))

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Independent points (count, p), by rejection."""
        found = np.empty((0, self.mean.size))
        while len(found) < count:
            y, ratio = self._proposed(rng)
            kept = np.log(rng.random(POOL)) < np.clip(ratio, self.low, self.high) - self.high
            found = np.concatenate([found, y[kept]])
        return found[:count]

    def bounded(self, rng: np.random.Generator) -> Surrogate:
        """With a base that has the mean and covariance of its own draws, and ratios that are bounded."""
        found = self
        for n in range(REBASED + 1):
            _, ratio = found._proposed(rng)
            found = replace(found, low=float(np.median(ratio)) - LEAST, high=float(np.quantile(ratio, CAP)))
            if n < REBASED:
                y = found.draw(POOL // 10, rng)
                found = replace(found, mean=y.mean(axis=0), root=np.linalg.cholesky(np.cov(y.T).reshape(y.shape[1], -1)))
        return found


def fitted(groups, rng: np.random.Generator) -> Surrogate:
    """The surrogate that fits at groups of points.

    Parameters
    ----------
    groups : sequence of (weight, y, ratio, scores, correction)
        Each with the weight of its residuals; ``y`` (n, p), ``ratio`` (n), the log of Laplace's integrated density over the
        standard normal's, ``scores`` (n, p), its derivatives, and ``correction`` (n), what the expansion's next terms add. The last
        group's points lie as the surrogate's are to lie.
    rng : Generator
    """
    rows, wanted, simple, corrections = [], [], [], []
    for weight, y, ratio, scores, correction in groups:
        features, slopes = _features(y)
        rows += [weight * slopes, weight * (features - features.mean(axis=0))]
        wanted += [weight * scores.reshape(-1), weight * (ratio - ratio.mean())]
        few = np.concatenate([y, np.square(y)], axis=1)
        simple.append(weight * (few - few.mean(axis=0)))
        corrections.append(weight * (correction - correction.mean()))
    p = y.shape[1]
    found = _ridge(rows, wanted, RIDGE)
    more = _ridge(simple, corrections, CORRECTION_RIDGE)
    # without each point itself: what is left of it, over the share of it that it does not explain itself
    simple, weights = np.concatenate(simple), np.concatenate([np.full(len(y), weight) for weight, y, *_ in groups])
    known = np.linalg.inv(simple.T @ simple + CORRECTION_RIDGE * np.eye(2 * p))
    apart = (np.concatenate(corrections) - simple @ more) / (1 - np.einsum("ij,jk,ik->i", simple, known, simple))
    left = float(np.sqrt(np.average(np.square(apart / weights), weights=weights**2)))
    pairs, every = np.triu_indices(p), np.arange(p)
    linear, upper, cubic, quartic = np.split(found, np.cumsum([p, pairs[0].size, p * p]))
    quadratic = np.zeros((p, p))
    quadratic[pairs] = upper
    quadratic[every, every] += more[p:]
    middle, reach = y.mean(axis=0), FURTHEST * y.std(axis=0)
    box = np.stack([middle - reach, middle + reach])
    start = Surrogate(
        linear + more[:p], quadratic, cubic.reshape(p, p), quartic, box, np.zeros(p), np.eye(p),
        corrections=more.reshape(2, p), left=left,
    )  # fmt: skip
    return start.bounded(rng)


def _features(y):
    """The polynomial's terms (n, terms) and their derivatives (n p, terms)."""
    n, p = y.shape
    pairs, every = np.triu_indices(p), np.arange(p)
    terms = [y, y[:, pairs[0]] * y[:, pairs[1]], (np.square(y)[:, :, None] * y[:, None, :]).reshape(n, -1), y**4]
    slopes = [np.zeros((n, p, *shape)) for shape in ((p,), (pairs[0].size,), (p, p), (p,))]
    slopes[0][:] = np.eye(p)
    for c, (i, j) in enumerate(zip(*pairs, strict=True)):
        slopes[1][:, i, c] += y[:, j]
        slopes[1][:, j, c] += y[:, i]
    for i in range(p):
        slopes[2][:, i, i, :] += 2 * y[:, [i]] * y
        slopes[2][:, every, i, every] += np.square(y[:, [i]])
        slopes[3][:, i, i] = 4 * y[:, i] ** 3
    return np.concatenate(terms, axis=1), np.concatenate([s.reshape(n * p, -1) for s in slopes], axis=1)


def _ridge(rows, values, precision):
    rows, values = np.concatenate(rows), np.concatenate(values)
    return np.linalg.solve(rows.T @ rows + precision * np.eye(rows.shape[1]), rows.T @ values)
