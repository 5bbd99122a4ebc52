"""Convergence of every parameter and every derived quantity, in numbers and in sentences."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import xarray as xr

from .mixing import mixing

SAMPLE = ("chain", "draw")
RHAT_LIMIT = 1.01
REFIT_RHAT = 1.05  # of refits, which have fewer draws: tried once more above it, and not judged
ESS_LIMIT = 400
# R-hat above its limit by no more than the limit is above 1, of a quantity of which so many of the draws are effective: of thousands of
# quantities some may be there by chance
NARROW, WELL_MIXED = 2.0, 0.25
SLOW = 0.1  # of the draws that are effective; fewer ask for longer trajectories rather than more draws
# (Vehtari et al. 2021, Bayesian Analysis 16: rank-normalised R-hat below 1.01, bulk and tail ESS of at least 400)
MOST_MEMBERS = 2000  # of one quantity, such as clinicians; of more, so many are judged, each taking some milliseconds:
JUDGED = 200


def diagnose(*datasets: xr.Dataset) -> pd.DataFrame:
    """R-hat, bulk and tail ESS of every scalar; of quantities with very many members, of some drawn at random.

    Returns
    -------
    DataFrame
        Columns quantity (such as ``alpha[c01]``), variable, rhat, ess_bulk, ess_tail, mcse_mean; quantities that cannot move
        (an effect fixed at 0) are left out.
    """
    columns, labels, variables = [], [], []
    for dataset in datasets:
        for name, values in dataset.data_vars.items():
            if not {"chain", "draw"} <= set(values.dims):
                continue
            dims = [d for d in values.dims if d not in SAMPLE]
            values = values.isel({d: judged_of(values.sizes[d]) for d in dims})
            flat = values.transpose(*SAMPLE, *dims).to_numpy()
            columns.append(flat.reshape(*flat.shape[:2], -1))
            labels += labels_of(values, dims)
            variables += [name] * columns[-1].shape[2]
    draws = np.concatenate(columns, axis=2)
    table = pd.DataFrame({"quantity": labels, "variable": variables})
    return pd.concat([table, measures(draws)], axis=1).dropna(ignore_index=True)


def judged_of(count: int) -> np.ndarray:
    """Which of so many members are judged: all, or some drawn at random."""
    return np.arange(count) if count <= MOST_MEMBERS else np.sort(np.random.default_rng(0).choice(count, JUDGED, replace=False))


def measures(draws: np.ndarray) -> pd.DataFrame:
    """R-hat, bulk and tail ESS and the mean's Monte Carlo error; NaN where nothing moves or draws are too few.

    Parameters
    ----------
    draws : array (chains, draws, quantities)
    """
    names = ("rhat", "ess_bulk", "ess_tail", "mcse_mean")
    out = pd.DataFrame(np.nan, index=range(draws.shape[2]), columns=list(names))
    # an effect that was fixed does not move; NaN draws (nobody exposed) cannot be judged
    moving = np.flatnonzero(np.ptp(draws, axis=(0, 1)) > 1e-12 * np.abs(draws).max(axis=(0, 1), initial=1e-300))
    if draws.shape[1] < 4 or not moving.size:
        return out
    chosen = draws[:, :, moving]
    results = mixing(chosen)
    if draws.shape[0] == 1:  # there is no R-hat of one chain: its halves stand for two
        half = draws.shape[1] // 2
        results["rhat"] = mixing(chosen[0, : 2 * half].reshape(2, half, -1))["rhat"]
    for name in names:
        out.loc[moving, name] = results[name]
    return out


def weighted(table: pd.DataFrame, effective: float) -> pd.DataFrame:
    """`measures` of independent draws that were resampled by importance weights worth so many; of them there is no R-hat."""
    share = {ess: np.minimum(1.0, effective / table[ess]) for ess in ("ess_bulk", "ess_tail")}
    sizes = {ess: table[ess] * part for ess, part in share.items()}
    return table.assign(rhat=np.nan, mcse_mean=table["mcse_mean"] / np.sqrt(share["ess_bulk"]), **sizes)


def labels_of(array, dims) -> list[str]:
    """Names of an array's elements, such as ``alpha[c01]``, in the order in which they lie."""
    if not dims:
        return [array.name]
    index = product(*(array[d].to_numpy() if d in array.coords else range(array.sizes[d]) for d in dims))
    return [f"{array.name}[{', '.join(map(str, key))}]" for key in index]


def problems(table: pd.DataFrame, divergences: int, draws: int) -> list[str]:
    """Sentences on what has not converged; empty where all is well."""
    found = []
    if divergences:
        found.append(
            f"{divergences} of {draws} draws diverged: parts of the posterior may be missing from these results."
        )
    if table.empty:
        return [*found, "Too few draws to judge convergence."]
    bad = table[~(table["rhat"] <= RHAT_LIMIT)].sort_values("rhat", ascending=False)
    if len(bad):
        worst = bad.iloc[0]
        found.append(
            f"{len(bad)} of {len(table)} quantities have R-hat above {RHAT_LIMIT} "
            f"(worst: {worst['quantity']}, {worst['rhat']:.3f}): the chains disagree."
        )
    few = table[~(table[["ess_bulk", "ess_tail"]].min(axis=1) >= ESS_LIMIT)]
    if len(few):
        worst = few.loc[few[["ess_bulk", "ess_tail"]].min(axis=1).idxmin()]
        found.append(
            f"{len(few)} of {len(table)} quantities have an effective sample size under {ESS_LIMIT} "
            f"(worst: {worst['quantity']}, bulk {worst['ess_bulk']:.0f}, tail {worst['ess_tail']:.0f}): "
            "their intervals are imprecise; ask for more draws."
        )
    return found


def needs_another_try(table: pd.DataFrame, divergences: int, limit: float = RHAT_LIMIT, draws: int = 0) -> bool:
    """Whether the sampler should try again with a higher acceptance target and longer trajectories.

    Parameters
    ----------
    table : DataFrame from `diagnose`
    divergences : int
    limit : float
        Of R-hat.
    draws : int
        Of all chains; less than a tenth of them effective is too few.
    """
    return bool(divergences) or bool(((table["rhat"] > limit) | (table["ess_bulk"] < SLOW * draws)).any())


def is_narrow(table: pd.DataFrame, divergences: int, limit: float = RHAT_LIMIT, draws: int = 0) -> bool:
    """Whether a run that `needs_another_try` failed so narrowly that more draws will do.

    Nothing diverged, few effective draws there are of none, and R-hat is above its limit by little where draws mix well. Its largest
    value over thousands of quantities passes 1.01 now and then however well 4 chains of 1,000 draws mix: it varies from one to the other.
    """
    far, slow = table["rhat"] > 1 + NARROW * (limit - 1), table["ess_bulk"] < SLOW * draws
    mixed_badly = (table["rhat"] > limit) & (table["ess_bulk"] < WELL_MIXED * draws)
    return not (divergences or (far | slow | mixed_badly).any())
