"""Whether two fits of the same model say the same, as far as their Monte Carlo error lets them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from ..convergence import SAMPLE, labels_of

LEVEL = 0.01  # chance that two right fits are said to differ, over all numbers compared
# Monte Carlo errors are estimated too, those of an interval's ends roughly, so that differences have longer tails than the normal
# (benchmarks/doubling.py)
FREEDOM = 50
# what tables show: population, units, clinicians, effects; standardised effects are left aside
POPULATION = (
    "level", "half_life", "alpha_population", "beta_population", "trait_sd", "process_sd", "error_sd_total", "rate_sd", "spread_sd",
    "level_rate_correlation", "unit_level_sd", "unit_rate_sd", "start_shift", "theta_alpha", "theta_beta", "theta_omega", "gamma_alpha",
    "gamma_beta", "selection", "drift",
)  # fmt: skip
MEMBERS = ("alpha_unit", "beta_unit", "capacity_unit", "alpha", "beta", "capacity")


def agreement(one, other, prob: float = 0.89) -> pd.DataFrame:
    """Means, medians and interval ends of two fits side by side.

    Parameters
    ----------
    one, other : Fit
        Of the same model and study; numbers of draws may differ.
    prob : float

    Returns
    -------
    DataFrame
        One row for each quantity and number: quantity, group ("population", "effects" or "members"), what ("mean", "low",
        "median", "high"), one, other, mcse (of the difference: both Monte Carlo errors), sd (posterior, first fit), z (difference
        in Monte Carlo errors). Quantities that do not move are left out.
    """
    a, b = _columns(one), _columns(other)
    labels = [label for label in a if label in b]
    first, second = (np.stack([c[label] for label in labels], axis=2) for c in (a, b))
    moving = (np.ptp(first, axis=(0, 1)) > 0) & (np.ptp(second, axis=(0, 1)) > 0)
    labels = [label for label, m in zip(labels, moving, strict=True) if m]
    first, second = first[:, :, moving], second[:, :, moving]
    tail = (1 - prob) / 2
    loss = [fit.weighting_loss for fit in (one, other)]
    frames = []
    for what, at in (("mean", None), ("low", tail), ("median", 0.5), ("high", 1 - tail)):
        x, y = _value(first, at), _value(second, at)
        error = np.hypot(_error(first, at) * loss[0], _error(second, at) * loss[1])
        frames.append(pd.DataFrame({
            "quantity": [label for _, label in labels], "group": [group for group, _ in labels], "what": what, "one": x, "other": y,
            "mcse": error, "sd": first.std(axis=(0, 1)),
        }))  # fmt: skip
    table = pd.concat(frames, ignore_index=True)
    return table.assign(z=(table["other"] - table["one"]) / table["mcse"])


def beyond(table: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
    """Rows whose difference is more than chance would put on any of so many (Šidák)."""
    return table[table["z"].abs() > limit(len(table), level)]


def limit(count: int, level: float = LEVEL) -> float:
    """Monte Carlo errors that none of so many differences passes, but with this chance."""
    return float(stats.t.isf((1 - (1 - level) ** (1 / max(count, 1))) / 2, FREEDOM))


def independent(fit) -> float:
    """How many independent quantities the reported ones are worth, by their correlations in the posterior.

    The variance of a share of so many differences beyond a limit is that of as many independent ones: differences of two fits
    go together as the quantities do, and the indicators that they pass a limit at most as the squares.
    """
    draws = np.stack([values.ravel() for values in _columns(fit).values()], axis=1)
    draws = draws[:, np.ptp(draws, axis=0) > 0]
    together = np.atleast_2d(np.corrcoef(draws, rowvar=False))
    return float(len(together) ** 2 / (together**2).sum())


def identical(one, other) -> bool:
    """Whether the posterior draws of two fits are the same to the last bit."""
    a, b = one.tree["posterior"].to_dataset(), other.tree["posterior"].to_dataset()
    if set(a.data_vars) != set(b.data_vars):
        return False
    return all(np.array_equal(a[n].to_numpy(), b[n].transpose(*a[n].dims).to_numpy(), equal_nan=True) for n in a.data_vars)


def _columns(fit) -> dict[tuple[str, str], np.ndarray]:
    """(group, label) -> draws (chains, draws)."""
    posterior = fit.tree["posterior"].to_dataset()
    contrasts = fit.tree["contrasts"].to_dataset()
    out = {}
    for group, dataset, names in (
        ("population", posterior, POPULATION), ("effects", contrasts, ("capacity_change",)), ("members", posterior, MEMBERS),
    ):  # fmt: skip
        for name in names:
            if name not in dataset:
                continue
            values = dataset[name].transpose(*SAMPLE, ...)
            dims = values.dims[2:]
            where = "effects" if dims == ("intervention",) else group
            flat = values.to_numpy().reshape(*values.shape[:2], -1)
            out |= {(where, label): flat[..., n] for n, label in enumerate(labels_of(values, dims))}
    return out


def _value(draws: np.ndarray, at: float | None) -> np.ndarray:
    return draws.mean(axis=(0, 1)) if at is None else np.quantile(draws, at, axis=(0, 1))


def _error(draws: np.ndarray, at: float | None) -> np.ndarray:
    import arviz as az

    dataset = xr.Dataset({"x": ((*SAMPLE, "quantity"), draws)})
    found = az.mcse(dataset, method="mean") if at is None else az.mcse(dataset, method="quantile", prob=at)
    return found["x"].to_numpy()
