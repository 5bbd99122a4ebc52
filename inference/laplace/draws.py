"""What draws of the population's parameters say of the coordinates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import logit, ndtr

from .bends import AT, bend_of_quantiles
from .coordinates import Coordinates
from .population import opened
from .quantile import half_normal_position, log_half_normal


def plain_draws(names, structure, posterior) -> np.ndarray:
    """Draws of the population's parameters in `coordinates.plain` coordinates (draws, p).

    Parameters
    ----------
    names : list of str
        Unconstrained variables of the population in order; what is transformed has a name that ends in how.
    structure : Structure
    posterior : xarray.Dataset
    """
    s, columns = structure, []
    for name in names:
        own = next((name.removesuffix(end) for end in TRANSFORMS if name.endswith(end)), name)
        values = posterior[own].transpose("chain", "draw", ...).to_numpy()
        values = values.reshape(values.shape[0] * values.shape[1], -1)
        columns.append(TRANSFORMS.get(name[len(own) :], np.asarray)(values))
    theta = np.concatenate(columns, axis=1)
    for a in np.flatnonzero(~np.isnan(s.log_unit)):
        theta[:, a] = [half_normal_position(value) for value in theta[:, a] - s.log_unit[a]]
    if s.share.size:
        logs = theta[:, s.share]
        logs = np.concatenate([logs, -logs.sum(axis=1, keepdims=True)], axis=1)
        for j, (middle, slope, low, high) in enumerate(s.sticks.T):
            odds = logs[:, j] - np.logaddexp.reduce(logs[:, j + 1 :], axis=1) - middle
            bow = np.where(odds < 0, 0.25 / low**2, 0.25 / high**2)
            # the r at which r sqrt(slope^2 + bow r^2) is odds
            squared = 2 * odds**2 / (slope**2 + np.sqrt(slope**4 + 4 * bow * odds**2))
            theta[:, s.share[j]] = np.sign(odds) * np.sqrt(squared)
    return theta


def _centred_logs(shares):
    logs = np.log(shares)
    return (logs - logs.mean(axis=1, keepdims=True))[:, :-1]


# how PyMC names what it has transformed
TRANSFORMS = {"_log__": np.log, "_logodds__": logit, "_simplex__": _centred_logs}


def bent_to(theta: np.ndarray, found: Coordinates) -> Coordinates:
    """With scale and bends such that these draws (draws, p) are about standard normal in the coordinates."""
    s = found.structure
    moved = theta - found.centre[s.population]
    for a in np.flatnonzero(s.width_by >= 0):
        sd = s.width_by[a]
        own, unit = theta[:, sd], s.log_unit[sd]
        logs = own if np.isnan(unit) else np.array([unit + log_half_normal(value)[0] for value in own])
        moved[:, a] /= np.exp([opened(log - found.log_sd[sd], *found.funnel[:, a])[0] for log in logs])
    scale = np.linalg.cholesky(np.cov(moved.T))
    straight = solve_triangular(scale, moved.T, lower=True)
    quantiles = np.quantile(straight, ndtr([-AT, 0.0, AT]), axis=1)
    return replace(found, scale=scale, bend=np.stack([bend_of_quantiles(*q) for q in quantiles.T], axis=1))
