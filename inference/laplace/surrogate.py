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
# ... where linear terms are many times as large: of these, squares, products, and terms of higher order, which would stand for them
MANY_RIDGE = (0.1, 1.0, 1.0, 10.0)
PLAIN = ((3.0, 3.0),)  # ... of those of Laplace's next terms, of which only values are known: linear and squares
# ... and in large studies also of products and of terms of third and fourth order, which few but wide directions have: what leaves least
# of each point by what the others tell
RIDGES = (
    (0.1, 1.0, 3.0, 1e3), (0.1, 1.0, 10.0, 1e2), (0.1, 1.0, 30.0, 1e3), (0.1, 1.0, 30.0, 1e5), (0.1, 0.1, 1e4, 1e6), (3.0, 3.0, 1e4, 1e6),
)  # fmt: skip
LEAST = 4.0  # below the median of the log ratio, that it counts at least: no region is left out
CAP = 0.999  # the share of the base's points whose ratios count in full
FURTHEST = 3.0  # standard deviations of the points fitted to, beyond which a polynomial would run away
FURTHER = 1.5  # ... times as far that of corrections, which are smaller, holds: draws are weighted with it
POOL = 50_000  # points of the base at a time from which draws are chosen
REBASED = 2  # times that the base is moved to where the draws are


@dataclass(frozen=True)
class Polynomial:
    """Without a constant; outside its box it goes on as it is at its edge.

    Attributes
    ----------
    box : array (2, p)
        Where it holds.
    linear, quartic : arrays (p)
    quadratic : array (p, p)
        Upper triangular: of y_i y_j.
    cubic : array (p, p)
        [i, j]: of y_i^2 y_j.
    """

    box: np.ndarray
    linear: np.ndarray
    quadratic: np.ndarray
    cubic: np.ndarray
    quartic: np.ndarray

    @classmethod
    def of(cls, coefficients: np.ndarray, box: np.ndarray) -> Polynomial:
        """From coefficients in the order of `_features`."""
        p = box.shape[1]
        pairs = np.triu_indices(p)
        linear, upper, cubic, quartic = np.split(coefficients, np.cumsum([p, pairs[0].size, p * p]))
        quadratic = np.zeros((p, p))
        quadratic[pairs] = upper
        return cls(box, linear, quadratic, cubic.reshape(p, p), quartic)

    def __call__(self, y: np.ndarray) -> np.ndarray:
        """At points (n, p)."""
        y = np.clip(y, *self.box)
        squares = np.square(y)
        found = y @ self.linear + ((y @ self.quadratic.T) * y).sum(axis=1)
        return found + ((squares @ self.cubic) * y).sum(axis=1) + np.square(squares) @ self.quartic


@dataclass(frozen=True)
class Surrogate:
    """A density close to the posterior's: a polynomial plus a standard normal's log density, drawn from by way of a normal base.

    Attributes
    ----------
    polynomial : Polynomial
    mean : array (p)
        Of the base.
    root : array (p, p)
        Lower triangular factor of its covariance.
    low, high : float
        Between which the log ratio of the density to the base is kept.
    correction : Polynomial, optional
        What Laplace's next terms are expected to add, up to a constant; holds further out, where draws may lie.
    left : float
        Standard deviation of what is left of Laplace's next terms at a point by what the other points tell of them; least of all ridges,
        so that it is somewhat less than at other points.
    """

    polynomial: Polynomial
    mean: np.ndarray
    root: np.ndarray
    low: float = -np.inf
    high: float = np.inf
    correction: Polynomial | None = None
    left: float = np.inf

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


def fitted(groups, rng: np.random.Generator, many: bool = False) -> Surrogate:
    """The surrogate that fits at groups of points.

    Parameters
    ----------
    groups : sequence of (weight, y, ratio, scores, correction)
        Each with the weight of its residuals; ``y`` (n, p), ``ratio`` (n), the log of Laplace's integrated density over the
        standard normal's, ``scores`` (n, p), its derivatives or, with ``many``, None, and ``correction`` (n), what the expansion's
        next terms add. The box holds the last group's points, with ``many`` those of all.
    rng : Generator
    many : bool
        Whether there are so many effects that what their integrals err by, each by little, adds up to more than the posterior is wide.
        ``scores`` then lead elsewhere than ``ratio``, which is believed, and corrections are more than linear terms and squares.
    """
    p = groups[0][1].shape[1]
    weights = np.concatenate([np.full(len(y), weight) for weight, y, *_ in groups])
    gram, moments, terms = 0.0, 0.0, []
    for weight, y, _, scores, _ in groups:
        some, slopes = _features(y)
        terms.append(some)
        if scores is None:
            continue
        gram = gram + weight**2 * (slopes.T @ slopes)
        moments = moments + weight**2 * (slopes.T @ scores.reshape(-1))
    ratio = np.concatenate([ratio for _, _, ratio, *_ in groups])
    correction = np.concatenate([correction for *_, correction in groups])
    group = np.zeros(weights.size, int) if many else np.repeat(np.arange(len(groups)), [len(y) for _, y, *_ in groups])

    def centred(values):
        """Less the mean of its group, weighted."""
        values = values.copy()
        for n in range(group[-1] + 1):
            values[group == n] -= np.average(values[group == n], axis=0, weights=np.square(weights[group == n]))
        return (values.T * weights).T

    terms, ratio, correction = centred(np.concatenate(terms)), centred(ratio), centred(correction)
    if not many:
        gram, moments = gram + terms.T @ terms, moments + terms.T @ ratio
    pairs = np.triu_indices(p)
    kinds = np.repeat([0, 1, 3, 3], [p, pairs[0].size, p * p, p])
    kinds[p : p + pairs[0].size][pairs[0] != pairs[1]] = 2
    found = np.linalg.solve(gram + np.diag(np.array(MANY_RIDGE)[kinds] if many else np.full(kinds.size, RIDGE)), moments)
    used = (kinds < 2) | many
    given = terms[:, used], kinds[used], weights, RIDGES if many else PLAIN
    corrections, more = np.zeros((2, kinds.size))
    corrections[used], left = _next_terms(correction, *given)
    more[used] = _next_terms(ratio + correction - terms @ found, *given)[0] if many else corrections[used]
    reaches = [(y.mean(axis=0), FURTHEST * y.std(axis=0)) for _, y, *_ in (groups if many else groups[-1:])]
    box = np.stack([np.min([middle - reach for middle, reach in reaches], axis=0), np.max([m + reach for m, reach in reaches], axis=0)])
    middle, reach = box.mean(axis=0), FURTHER * (box[1] - box[0]) / 2
    further = Polynomial.of(corrections, np.stack([middle - reach, middle + reach]))
    return Surrogate(Polynomial.of(found + more, box), np.zeros(p), np.eye(p), correction=further, left=left).bounded(rng)


def _next_terms(values, rows, kinds, weights, ridges):
    """Coefficients of Laplace's next terms, and the standard deviation of what is left of them at each point by what the others tell."""
    best = None
    for ridge in ridges:
        variances = 1 / np.array(ridge)[kinds]
        precision = np.linalg.inv((rows * variances) @ rows.T + np.eye(len(rows)))
        scaled = precision @ values
        apart = scaled / np.diag(precision) / weights
        left = float(np.sqrt(np.average(np.square(apart), weights=weights**2)))
        if best is None or left < best[1]:
            best = variances * (rows.T @ scaled), left
    return best


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
