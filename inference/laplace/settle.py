"""Finding the warp in which a posterior is about standard normal.

By steps towards the least Kullback-Leibler divergence of the warped normal from the posterior (compare Bigoni, Spantini & Marzouk 2016,
NIPS workshop on variational inference). A polynomial of third degree is fitted to the scores of the log density's ratio to the normal,
at all points so far that lie where the normal has its mass: its slope says where to go, its squares how wide the normal is to be, and
its products how what is known well follows what is not. What Laplace's next terms add has no scores; its values tell a polynomial of
second degree.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ...datasets.errors import UserError
from .warp import Warp

SOFT = 8  # coordinates, known least, whose products others may follow
REACH = 2.6  # of the squared distances of points that tell, in standard deviations beyond their mean
RIDGE = (0.1, 3.0, 3.0)  # precision of the coefficients around 0, by degree, where a score's own is 1
LARGE_SCORE = 2.0  # of the ratio, root mean square over coordinates, beyond which a point tells less
OLD = 0.84  # weight of a score, for each step that has been made since
LEAST_TURN, MOST_TURN = 0.5, 16.0  # precisions that count, of one step
MOST_SHIFT, MOST_CURL = 2.0, 0.15  # of one step
NOISE, SQUARES = 0.05, 0.3  # SD of a correction's error, and variance of coefficients of squares where that of slopes is 1
FLOOR = 10.0  # below the median of the log ratio, that it counts at least
CLOSE = 0.2  # standard deviation of the log ratio that is good enough
GAIN, PATIENCE = 0.1, 2  # of the bound, that counts as one, and steps without it after which the best is taken
OFFER = 1.5  # root mean square of the ratio's scores at a point that is worth handing on
LEAST_OFFERED = 20  # such points, the least steep, are handed on at least
TRIES = 4  # of a step, each a third of the one before


@dataclass
class _Seen:
    """All points so far, in the sampler's coordinates."""

    y: list = field(default_factory=list)
    scores: list = field(default_factory=list)
    laplace: list = field(default_factory=list)
    corrections: list = field(default_factory=list)

    def add(self, y, scores, laplace, corrections):
        for room, new in zip((self.y, self.scores, self.laplace, self.corrections), (y, scores, laplace, corrections), strict=True):
            room.append(new)

    def near(self, warp: Warp):
        """Those where the warped normal has its mass: z, the scores there, Laplace's log density, corrections, and the points' ages."""
        z = warp.back(np.concatenate(self.y))
        near = np.square(z).sum(axis=1) < z.shape[1] + REACH * np.sqrt(2 * z.shape[1])
        ages = np.repeat(np.arange(len(self.y))[::-1], [len(y) for y in self.y])
        z = z[near]
        scores = warp.scores(z, np.concatenate(self.scores)[near])
        return z, scores, np.concatenate(self.laplace)[near] + warp.log_jacobian, np.concatenate(self.corrections)[near], ages[near]


def settled(effects, warp: Warp, count: int, rounds: int, rng: np.random.Generator):
    """The best warp that was found, and the points that say so.

    Parameters
    ----------
    effects : Effects
    warp : Warp
        Where to begin.
    count : int
        Points of a step; even.
    rounds : int
        Steps at most.
    rng : Generator

    Returns
    -------
    warp : Warp
    group : tuple
        Points near the middle (n, p) in its coordinates, with the log ratio of Laplace's density to a standard normal's (n), its
        derivatives (n, p) and corrections (n), as `surrogate.fitted` takes them.

    Raises
    ------
    UserError
        Where the density can be computed at none of the first points.
    """
    seen, best, since, size = _Seen(), None, 0, 1.0
    level, spread = _looked(effects, warp, count, rng, seen)
    if not np.isfinite(level):
        raise UserError(
            "the quick look found no point near the mode at which this posterior can be computed; sample instead "
            '(`equipoise run` without --quick, method = "nuts").'
        )
    for made in range(rounds):
        if best is None or level > best[0] + GAIN:
            since = made
        if best is None or level > best[0]:
            best = level, warp
        if spread < CLOSE or made - since > PATIENCE:
            break
        step, size = _step(seen, warp), min(1.0, 2 * size)
        for _ in range(TRIES):
            tried = warp.after(*step(size))
            there, wider = _looked(effects, tried, count, rng, seen)  # where it fails, this tells what is there
            if there > level - (spread + wider) / np.sqrt(count):
                break
            size /= 3
        else:
            break
        warp, level, spread = tried, there, wider
    warp = best[1]
    z, scores, laplace, corrections, _ = seen.near(warp)
    return warp, worth_handing_on((z, laplace + 0.5 * np.square(z).sum(axis=1), scores + z, corrections))


def worth_handing_on(group):
    """Without points of a group, as of `settled`, at which the ratio is so steep that they would lead a polynomial astray."""
    steepness = np.square(group[2]).mean(axis=1)
    kept = steepness <= max(OFFER**2, *np.sort(steepness)[:LEAST_OFFERED])
    return tuple(values[kept] for values in group)


def _looked(effects, warp, count, rng, seen) -> tuple[float, float]:
    """The warped normal's evidence bound and the standard deviation of its log ratio, at points of which each has its opposite."""
    half = rng.standard_normal((count // 2, len(warp.mean)))
    z = np.concatenate([half, -half])
    y = warp.there(z)
    values = list(effects.at(y, [[0]] * len(y), keep=False))
    laplace, corrections = (np.array([getattr(v, name) for v in values]) for name in ("laplace", "correction"))
    scores = np.array([v.score for v in values])
    known = np.isfinite(laplace) & np.isfinite(corrections) & np.isfinite(scores).all(axis=1)
    if 2 * known.sum() < count:
        return -np.inf, np.inf
    seen.add(y[known], scores[known], laplace[known], corrections[known])
    ratio = np.where(known, laplace + corrections + 0.5 * np.square(z).sum(axis=1), -np.inf)
    ratio = np.maximum(ratio, np.median(ratio) - FLOOR)
    return float(ratio.mean()) + warp.log_jacobian, float(ratio.std())


def _step(seen: _Seen, warp: Warp):
    """What `Warp.after` takes, as a function of the step's size."""
    z, scores, _, corrections, ages = seen.near(warp)
    slopes = scores + z + _slopes_of(z, corrections)
    weights = OLD**ages / np.sqrt(1 + np.square(slopes).mean(axis=1) / LARGE_SCORE**2)
    slope, turns, curl = _cubic(z, slopes, weights)
    values, vectors = np.linalg.eigh(np.eye(len(slope)) - turns)
    values = np.clip(values, LEAST_TURN, MOST_TURN)
    shift = (vectors / values) @ (vectors.T @ slope)
    shift *= min(1.0, MOST_SHIFT / max(float(np.linalg.norm(shift)), 1e-12))
    curl = np.clip(curl, -MOST_CURL, MOST_CURL)
    return lambda size: (size * shift, np.linalg.cholesky((vectors / values**size) @ vectors.T), size * curl)


def _slopes_of(z, values):
    """Derivatives at points (n, p) of the polynomial of second degree that these values (n) tell."""
    inner = z @ z.T
    covariance = 1 + inner + SQUARES * np.square(inner) / 2
    weights = np.linalg.solve(covariance + NOISE**2 * np.eye(len(z)), values - values.mean())
    return ((1 + SQUARES * inner) * weights) @ z


def _cubic(z, slopes, weights):
    """Slope (p), turns (p, p) and curl (p, p, p) of the polynomial with these slopes (n, p).

    Of third degree are products with at least two of the first `SOFT`.
    """
    n, p = z.shape
    one = p  # the place of a factor that is 1
    terms = [(a, one, one) for a in range(p)] + [(a, b, one) for a in range(p) for b in range(a + 1)]
    terms += [(a, b, c) for a in range(p) for b in range(min(a + 1, SOFT)) for c in range(b + 1)]
    terms = np.array(terms)
    factors = np.column_stack([z, np.ones(n)])
    gram, moments = np.zeros((len(terms), len(terms))), np.zeros(len(terms))
    for i in range(p):
        of = np.flatnonzero((terms == i).any(axis=1))
        own = np.zeros((n, of.size))
        for place in range(3):
            hit = terms[of, place] == i
            first, second = np.delete(terms[of[hit]], place, axis=1).T
            own[:, hit] += factors[:, first] * factors[:, second]
        own *= weights[:, None]
        gram[np.ix_(of, of)] += own.T @ own
        moments[of] += own.T @ (weights * slopes[:, i])
    ridge = np.array(RIDGE)[(terms < one).sum(axis=1) - 1]
    found = np.linalg.solve(gram + np.diag(ridge), moments)
    slope, turns, curl = found[:p], np.zeros((p, p)), np.zeros((p, p, p))
    for (a, b, c), value in zip(terms[p:], found[p:], strict=True):
        if c == one:
            turns[a, b] += value
            turns[b, a] += value
        elif a > b:  # the square of z_a - curl has this product in it
            curl[a, b, c] += value / 2
            curl[a, c, b] += value / 2
    return slope, turns, curl
