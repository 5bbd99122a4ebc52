"""A quick posterior: the population's parameters by importance sampling from Laplace's approximation, effects given each of them.

In the manner of INLA (Rue, Martino & Chopin 2009, JRSS B 71): for every draw of the population's parameters the effects of
units and clinicians are integrated out by Laplace's method at their own mode, and the draw is weighted by what comes out
over the density it was drawn from. Pareto-smoothed weights (Vehtari et al. 2024, JMLR 25) say how far to trust it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy import special
from scipy.stats import qmc

from ..convergence import SAMPLE
from .coordinates import plain
from .laplace import Laplace
from .mode import beyond_laplace, conditional_mode

ROUNDS = 4  # of proposals at most, each learning from the last
PILOT = 256  # draws of a round that is not the last
CLOSE = 1e-3  # of the effects' mode, in conditional standard deviations: its square is what log densities err by
ENOUGH = 0.4  # effective share of the draws from which a round is the last
DEGREES = 8.0  # of freedom of the proposals: tails that are heavier than a posterior's
MOST = 20.0  # that the expansion's next terms may add: more is a sign that it does not hold
PARETO_K = 0.7  # above it importance weights are not to be trusted


@dataclass(frozen=True)
class Quick:
    """Draws of the unconstrained parameters.

    Attributes
    ----------
    draws : array (draws, size)
        In the model's own unconstrained parameters.
    pareto_k : float
        Of the importance weights of the population's parameters.
    effective : float
        Effective number of draws.
    proposals : int
    """

    draws: np.ndarray
    pareto_k: float
    effective: float
    proposals: int


def evaluate(found: Laplace, theta: np.ndarray, normals: np.ndarray) -> tuple[float, np.ndarray]:
    """Log p(theta, y) and the unconstrained parameters with one draw of the effects given ``theta``.

    Parameters
    ----------
    theta : array (p)
    normals : array (effects)
        Standard normal, one for each effect.
    """
    s, density = found.structure, found.density
    at = conditional_mode(density, s, found.approximation.predicted(s, theta), close=CLOSE)
    if not np.isfinite(at.log_marginal):
        return -np.inf, at.x
    # the normal's centre is moved from the mode to the mean
    more_to_come, gradient = beyond_laplace(density, s, at)
    unit, clinician = at.latent.solve(gradient[s.unit], gradient[s.clinician])
    split = s.unit.size
    more = at.latent.spread(normals[:split].reshape(s.unit.shape), normals[split:].reshape(s.clinician.shape))
    x = at.x.copy()
    x[s.unit] += np.clip(unit, -1, 1) + more[0]
    x[s.clinician] += np.clip(clinician, -1, 1) + more[1]
    return at.log_marginal + np.clip(more_to_come, -MOST, MOST), plain(found.structure).parameters(x)


def quick_posterior(found: Laplace, draws: int, seed: int, mapped: Callable | None = None, threads: int = 1) -> Quick:
    """Draws from the posterior by importance sampling.

    Parameters
    ----------
    found : Laplace
    draws : int
    seed : int
    mapped : function (jobs: list of (theta, seed)) -> iterable of (log density, parameters), optional
        Does the evaluations elsewhere, in order; by default here, over ``threads``.
    """
    s = found.structure
    p, effects = s.population.size, s.unit.size + s.clinician.size
    centre = found.approximation.at.x[s.population]
    root = np.linalg.cholesky(found.covariance)

    def here(jobs):
        with ThreadPoolExecutor(threads) as pool:
            yield from pool.map(lambda job: evaluate(found, job[0], np.random.default_rng(job[1]).standard_normal(effects)), jobs)

    for round_ in range(1, ROUNDS + 1):
        last = round_ == ROUNDS or draws <= PILOT
        while True:
            points = _student(draws if last else PILOT, p, seed + round_)
            theta = centre + points @ root.T
            jobs = [(point, [seed, round_, d]) for d, point in enumerate(theta)]
            values, parameters = zip(*(mapped or here)(jobs), strict=True)
            smooth, k = _smoothed(np.array(values) - _log_student(points))
            weights = np.exp(smooth - special.logsumexp(smooth))
            effective = 1 / np.square(weights).sum()
            if last or effective < ENOUGH * PILOT:
                break
            last = True  # the proposals will do
        if last:
            break
        # the next proposals have the weighted mean and covariance, with a little of the last round's for safety
        mean = weights @ theta
        spread = (theta - mean).T @ ((theta - mean) * weights[:, None])
        share = min(1.0, effective / (4 * p))
        centre = share * mean + (1 - share) * centre
        root = np.linalg.cholesky(share * spread + (1 - share) * root @ root.T)
    chosen = _resampled(weights, np.random.default_rng([seed, 0]))
    return Quick(np.array(parameters)[chosen], float(k), float(effective), len(points))


def _student(count: int, size: int, seed: int) -> np.ndarray:
    """Points of a multivariate Student t, spread evenly (scrambled Sobol points)."""
    power = math.ceil(math.log2(count))
    uniform = qmc.Sobol(size + 1, rng=np.random.default_rng([seed, 3])).random_base2(power)[:count]
    uniform = np.clip(uniform, 1e-10, 1 - 1e-10)
    chi2 = 2 * special.gammaincinv(DEGREES / 2, uniform[:, -1])
    return special.ndtri(uniform[:, :-1]) * np.sqrt(DEGREES / chi2)[:, None]


def _log_student(points: np.ndarray) -> np.ndarray:
    size = points.shape[1]
    return -0.5 * (DEGREES + size) * np.log1p(np.square(points).sum(axis=1) / DEGREES)


def _smoothed(log_weights: np.ndarray) -> tuple[np.ndarray, float]:
    import arviz  # noqa: F401  gives arrays their ``azstats``
    import xarray as xr

    possible = np.isfinite(log_weights)
    log_weights = np.where(possible, log_weights, log_weights[possible].min(initial=0.0) - 100.0)
    # ArviZ smooths the weights of leaving out, which are one over the likelihood
    rows = xr.DataArray(-log_weights[None], dims=SAMPLE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a high Pareto k is reported with what is made of it
        smooth, k = rows.azstats.psislw(r_eff=1.0, dim=list(SAMPLE))
    return smooth.to_numpy().reshape(-1), float(k)


def _resampled(weights: np.ndarray, rng) -> np.ndarray:
    """Systematic resampling, in random order."""
    positions = (rng.random() + np.arange(weights.size)) / weights.size
    chosen = np.minimum(np.searchsorted(np.cumsum(weights), positions), weights.size - 1)
    return rng.permutation(chosen)
