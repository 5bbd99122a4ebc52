"""Pareto-smoothed importance sampling of leaving out (Vehtari, Gelman & Gabry 2017, Statistics and Computing 27)."""

from __future__ import annotations

import warnings

import numpy as np
import xarray as xr

from .convergence import SAMPLE

LEAST_DRAWS = 100
HIGH_K = 0.7
LEAST_TAIL = 5  # possible draws, with fewer of which k is not estimated


def good_k(draws: int) -> float:
    """Pareto k up to which so many draws are enough: 0.7, or less for fewer than about 2,200 (Vehtari et al. 2024, JMLR 25)."""
    return min(HIGH_K, 1 - 1 / float(np.log10(draws)))


def smoothed(log_weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Pareto-smoothed importance weights, which sum to 1, and the shape k of their tail.

    Parameters
    ----------
    log_weights : float array (draws)
        At least 25; minus infinity where a draw is impossible. Of fewer than five possible ones there is no tail to tell of, and
        k is infinite; five or more that are all equal need no smoothing, and k is 0.
    """
    possible = np.isfinite(log_weights)
    if not possible.any():
        return np.full(log_weights.size, 1 / log_weights.size), np.inf
    # without a constant, beside which `psis` would take different draws for equal ones
    values = np.where(possible, log_weights - log_weights[possible].max(), -np.inf)
    if possible.sum() < LEAST_TAIL:
        return np.exp(values) / np.exp(values).sum(), np.inf
    if np.ptp(values[possible]) < 1e-9:
        return possible / possible.sum(), 0.0
    values[~possible] = values[possible].min() - 100.0
    # what is left out has weights that are one over its likelihood
    found, k, _ = psis(-values[None, :, None])
    weights = np.exp(found.reshape(-1) - found.max())
    return weights / weights.sum(), float(np.nan_to_num(k[0], nan=np.inf))


def psis(log_likelihood: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Smoothed log weights of the draws that leave each column out.

    A column that is the same in all draws needs no weights, and ArviZ refuses it ("All tail values are the same"): it gets
    equal ones. The relative efficiency is that of the likelihoods themselves (section 2 of the paper).

    Parameters
    ----------
    log_likelihood : float array (chains, draws, left out)

    Returns
    -------
    log_weights : float array (chains, draws, left out)
        Their exponentials sum to 1 over the draws.
    k : float array (left out)
        Shapes of the tails; above 0.7 the weights cannot be trusted.
    efficiency : float
    """
    import arviz as az

    chains, draws, units = log_likelihood.shape
    height = np.abs(log_likelihood).max(axis=(0, 1))
    moving = np.flatnonzero(np.ptp(log_likelihood, axis=(0, 1)) > 1e-9 * np.maximum(height, 1.0))
    weights, k, efficiency = np.full(log_likelihood.shape, -np.log(chains * draws)), np.zeros(units), 1.0
    if moving.size:
        rows = xr.DataArray(log_likelihood[..., moving], dims=(*SAMPLE, "left_out"), name="scores")
        likelihood = np.exp(rows - rows.max(SAMPLE))
        size = az.ess(likelihood.to_dataset(), method="mean")["scores"].mean()
        efficiency = float(size) / (chains * draws) if np.isfinite(size) else 1.0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # high Pareto k are reported with what is made of them
            smoothed, found = rows.azstats.psislw(r_eff=efficiency, dim=list(SAMPLE))
        weights[..., moving] = smoothed.transpose(*SAMPLE, "left_out").to_numpy()
        k[moving] = found.to_numpy()
    return weights, k, efficiency
