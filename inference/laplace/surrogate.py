"""Draws of the population's parameters that come close to their posterior, from a polynomial in the sampler's coordinates.

There the posterior is close to a standard normal. The log of its ratio to one is described by a polynomial: linear, quadratic,
y_i^2 y_j and y_i^4. Its coefficients are found from a few points at which the integrated density (`inner`) and its
gradient are known: each point tells as many numbers as there are parameters, so that few are enough. What the next terms of Laplace's
method add is known by its values alone. What the polynomial misses the importance weights make good.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .emulator import Emulator

RIDGE = 10.0  # precision of the coefficients around 0, where a score's own is 1
PLAIN = 3.0  # ... of those of Laplace's next terms, of which only values are known: linear and squares
# ... in a large study, by degree, whose log density bends more: linear, quadratic, of third and fourth order
MANY_RIDGE = (0.1, 1.0, 1.0, 10.0)
MADE = 3  # points for each term at which a large study's corrections are made up by `emulator`
REACH = 2.0  # of a large study's draws beyond the root of their number of coordinates, in standard deviations
LEAST = 4.0  # below the median of the log ratio, that it counts at least: nothing within the region is left out
CAP = 0.999  # the share of the base's points whose ratios count in full
FURTHEST = 3.0  # standard deviations of the points fitted to, beyond which a polynomial would run away
POOL = 50_000  # points of the base at a time from which draws are chosen
WIDER = 1.3  # than the draws, by which the region they are in may widen
REBASED, MANY_REBASED = 2, 3  # times that the base is moved to where the draws are


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
class Region:
    """About where the draws of a large study are: a fit to few points is worth nothing beyond.

    Attributes
    ----------
    mean : array (p)
    root : array (p, p)
        Of the covariance.
    """

    mean: np.ndarray
    root: np.ndarray

    def holds(self, y: np.ndarray) -> np.ndarray:
        """Whether it holds points (n, p)."""
        apart = np.square(np.linalg.solve(self.root, (y - self.mean).T)).sum(axis=0)
        return apart < (np.sqrt(self.mean.size) + REACH) ** 2

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Normal points (count, p)."""
        return self.mean + rng.standard_normal((count, self.mean.size)) @ self.root.T


@dataclass(frozen=True)
class Surrogate:
    """A density close to the posterior's: a polynomial plus a standard normal's log density, drawn from by way of a normal base.

    Attributes
    ----------
    polynomial : Polynomial
    mean : array (p)
        Of the base.
    root : array (p, p)
        Of its covariance.
    low, high : float
        Between which the log ratio of the density to the base is kept.
    region : Region, optional
        Outside which nothing is drawn; wider than the draws, whose base it moves with.
    correction : Emulator or InFull, optional
        What Laplace's next terms are expected to add in a large study, and what they lack.
    """

    polynomial: Polynomial
    mean: np.ndarray
    root: np.ndarray
    low: float = -np.inf
    high: float = np.inf
    region: Region | None = None
    correction: Emulator | None = None

    def log_density(self, y: np.ndarray) -> np.ndarray:
        """Of points that `draw` gives, up to a constant, such that differences of the base are not rounded away by a huge ratio."""
        base = -0.5 * np.square(np.linalg.solve(self.root, (y - self.mean).T)).sum(axis=0)
        return base + (np.clip(self._ratio(y, base), self.low, self.high) - self.high)

    def _ratio(self, y, base):
        return self.polynomial(y) - 0.5 * np.square(y).sum(axis=1) - base

    def _proposed(self, rng):
        z = rng.standard_normal((POOL, self.mean.size))
        y = self.mean + z @ self.root.T
        ratio = self._ratio(y, -0.5 * np.square(z).sum(axis=1))
        inside = ... if self.region is None else self.region.holds(y)
        return y[inside], ratio[inside]

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Independent points (count, p), by rejection."""
        found = np.empty((0, self.mean.size))
        while len(found) < count:
            y, ratio = self._proposed(rng)
            kept = np.log(rng.random(len(y))) < np.clip(ratio, self.low, self.high) - self.high
            found = np.concatenate([found, y[kept]])
        return found[:count]

    def bounded(self, rng: np.random.Generator) -> Surrogate:
        """With a base that has the mean and covariance of its own draws, and ratios that are bounded."""
        found, times = self, REBASED if self.region is None else MANY_REBASED
        for n in range(times + 1):
            _, ratio = found._proposed(rng)
            found = replace(found, low=float(np.median(ratio)) - LEAST, high=float(np.quantile(ratio, CAP)))
            if n < times:
                y = found.draw(POOL // 10, rng)
                mean, root = y.mean(axis=0), np.linalg.cholesky(np.cov(y.T).reshape(y.shape[1], -1))
                region = None if self.region is None else Region(mean, WIDER * root)
                found = replace(found, mean=mean, root=root, region=region)
        return found


def fitted(groups, rng: np.random.Generator, region: Region | None = None, correction: Emulator | None = None) -> Surrogate:
    """The surrogate that fits at groups of points.

    Parameters
    ----------
    groups : sequence of (weight, y, ratio, scores, correction)
        Each with the weight of its residuals; ``y`` (n, p), ``ratio`` (n), the log of Laplace's integrated density over the
        standard normal's, ``scores`` (n, p), its derivatives, and ``correction`` (n), what the expansion's next terms add. The last two
        are None for points in brief. The box holds the last group's points, in a large study those of all.
    rng : Generator
    region : Region, optional
        Of a large study, where corrections of many effects, each small, add up to more than the posterior is wide.
    correction : Emulator or InFull, optional
        Of these, where it is known already.
    """
    p = groups[0][1].shape[1]
    weights = np.concatenate([np.full(len(y), weight) for weight, y, *_ in groups])
    degrees = np.repeat([1, 2, 3, 4], [p, p * (p + 1) // 2, p * p, p])
    gram, moments = np.zeros((degrees.size, degrees.size)), np.zeros(degrees.size)
    for weight, y, _, scores, _ in groups:
        for i in range(p if scores is not None else 0):  # few terms have a derivative by each
            slopes, of = _slopes(y, i)
            gram[np.ix_(of, of)] += weight**2 * (slopes.T @ slopes)
            moments[of] += weight**2 * (slopes.T @ scores[:, i])

    def centred(values, group):
        """Less the mean of its group, weighted."""
        values = values.copy()
        for n in np.unique(group):
            values[group == n] -= np.average(values[group == n], axis=0, weights=np.square(weights[group == n]))
        return (values.T * weights).T

    group = np.repeat(np.arange(len(groups)) if region is None else np.zeros(len(groups), int), [len(y) for _, y, *_ in groups])
    terms = centred(np.concatenate([_features(y) for _, y, *_ in groups]), group)
    ratio = centred(np.concatenate([ratio for _, _, ratio, *_ in groups]), group)
    ridge = np.full(degrees.size, RIDGE) if region is None else np.array(MANY_RIDGE)[degrees - 1]
    found = np.linalg.solve(gram + terms.T @ terms + np.diag(ridge), moments + terms.T @ ratio)
    emulator = None
    if region is None:
        i, j = np.triu_indices(p)
        plain = np.flatnonzero(np.concatenate([np.ones(p, bool), i == j, np.zeros(p * p + p, bool)]))
        rows, values = terms[:, plain], centred(np.concatenate([values for *_, values in groups]), group)
        found[plain] += np.linalg.solve(rows.T @ rows + PLAIN * np.eye(plain.size), rows.T @ values)
    else:
        emulator = correction or Emulator(*all_told(group[1:] for group in groups))
        y = region.draw(MADE * found.size, rng)
        rows, made = _features(y), emulator(y)
        rows, made = rows - rows.mean(axis=0), made - made.mean()
        found += np.linalg.solve(rows.T @ rows + np.eye(found.size), rows.T @ made)
    reaches = [(y.mean(axis=0), FURTHEST * y.std(axis=0)) for _, y, *_ in (groups[-1:] if region is None else groups)]
    box = np.stack([np.min([middle - reach for middle, reach in reaches], axis=0), np.max([m + reach for m, reach in reaches], axis=0)])
    base = Region(np.zeros(p), np.eye(p)) if region is None else region
    return Surrogate(Polynomial.of(found, box), base.mean, base.root, region=region, correction=emulator).bounded(rng)


def all_told(groups, *more):
    """Points (n, p) of groups (y, ratio, scores, correction) that are not in brief, and the corrections there; with ``more`` of both.

    Each point once: one that is met again would pass for proof that nothing is left.
    """
    told = [(y, correction) for y, _, _, correction in groups if correction is not None]
    y, corrections = map(np.concatenate, zip(*told, *more, strict=True))
    first = np.sort(np.unique(y, axis=0, return_index=True)[1])
    return y[first], corrections[first]


def _features(y):
    """The polynomial's terms (n, terms)."""
    first, second = np.triu_indices(y.shape[1])
    cubic = (np.square(y)[:, :, None] * y[:, None, :]).reshape(len(y), -1)
    return np.concatenate([y, y[:, first] * y[:, second], cubic, y**4], axis=1)


def _slopes(y, i):
    """Derivatives by coordinate i of the terms that have one (n, some), and which these are (some)."""
    n, p = y.shape
    every, others = np.arange(p), np.delete(np.arange(p), i)
    low, high = np.minimum(i, every), np.maximum(i, every)
    quadratic = p + low * p - low * (low - 1) // 2 + high - low
    cubic = p + p * (p + 1) // 2
    of = np.concatenate([[i], quadratic, cubic + i * p + every, cubic + others * p + i, [cubic + p * p + i]])
    own = np.where(every == i, 2.0, 1.0)
    cubes = np.where(every == i, 3.0, 2.0) * y[:, [i]] * y
    return np.concatenate([np.ones((n, 1)), own * y, cubes, np.square(y[:, others]), 4 * y[:, [i]] ** 3], axis=1), of
