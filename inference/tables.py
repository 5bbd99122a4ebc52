"""Tidy tables of a fit: one row a quantity, with its uncertainty and how well it was computed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from ..datasets.errors import UserError
from ..models.levers import LN2
from ..models.shapes import shape_parameters
from .convergence import SAMPLE, judged_of
from .store import BLOCK, block_of_draws

_SIGNED = ("gamma", "moderation", "selection", "period", "knot", "drift", "start", "level_rate")
LEVER_MEANING = {
    "alpha": "replenishment (points of 0-100 per {unit})",
    "beta": "depletion (per {unit})",
    "capacity": "steady state C* = alpha/beta (0-100)",
    "half_life": "half-life of a disturbance ({unit}s)",
}


def summarise(fit, values: xr.DataArray, prob: float, like: str | None = None) -> pd.DataFrame:
    """Mean, median, SD, equal-tailed interval, R-hat, bulk ESS and Monte Carlo error, one row for each scalar.

    Parameters
    ----------
    fit : Fit
    values : DataArray (chain, draw, at most one more dimension)
    prob : float
        Probability of the interval.
    like : str, optional
        A variable whose diagnostics were computed with the fit and that ``values`` are a monotone function of: bulk
        R-hat and ESS go by ranks, so they are the same (the folded part of R-hat is that of ``like``).
    """
    if not 0 < prob < 1:
        raise UserError(
            f"prob, the probability of the interval, must lie between 0 and 1 (such as 0.89); got {prob!r}."
        )
    flat = values.transpose(*SAMPLE, ...).to_numpy().reshape(values.sizes["chain"], values.sizes["draw"], -1)
    tail = (1 - prob) / 2
    low, median, high = np.quantile(flat, (tail, 0.5, 1 - tail), axis=(0, 1))
    frame = pd.DataFrame(
        {"median": median, "low": low, "high": high, "mean": flat.mean((0, 1)), "sd": flat.std((0, 1), ddof=1)}
    )
    names = ["rhat", "ess_bulk", "mcse_mean"]
    if like is None:
        judged = judged_of(flat.shape[2])
        return pd.concat([frame, fit.measures(flat[:, :, judged])[names].set_axis(judged).reindex(frame.index)], axis=1)
    known = fit.diagnostics.set_index("quantity")
    dims = [d for d in values.dims if d not in SAMPLE]
    members = values[dims[0]].to_numpy() if dims else [None]
    rows = known.reindex([like if m is None else f"{like}[{m}]" for m in members])
    frame[["rhat", "ess_bulk"]] = rows[["rhat", "ess_bulk"]].to_numpy()
    # the mean's error is not a matter of ranks; where ranks are all that is known, ESS of the bulk stands in
    frame["mcse_mean"] = frame["sd"] / np.sqrt(frame["ess_bulk"])
    if values.name == like:
        frame["mcse_mean"] = rows["mcse_mean"].to_numpy()
    return frame


def _levers(posterior: xr.Dataset, suffix: str, where: dict) -> dict[str, xr.DataArray]:
    posterior = posterior[[name + suffix for name in ("alpha", "beta", "capacity")]].isel(where)
    beta = posterior["beta" + suffix]
    return {
        "alpha": posterior["alpha" + suffix],
        "beta": beta,
        "capacity": posterior["capacity" + suffix],
        "half_life": (LN2 / beta).rename("half_life"),
    }


def _population_levers(posterior: xr.Dataset) -> dict[str, xr.DataArray]:
    return {
        "alpha": posterior["alpha_population"],
        "beta": posterior["beta_population"],
        "capacity": posterior["level"],
        "half_life": posterior["half_life"],
    }


def _against_population(fit, suffix, dim, prob, labels: pd.DataFrame) -> pd.DataFrame:
    """One row for each member and quantity, with the probability of lying above the population's median clinician."""
    posterior = fit.tree["posterior"].to_dataset()
    population = _population_levers(posterior)
    parts = []
    for members in blocks_of(posterior, dim):
        for name, values in _levers(posterior, suffix, {dim: members}).items():
            like = ("beta" if name == "half_life" else name) + suffix
            values = values.load()
            frame = pd.concat([labels.iloc[members].reset_index(drop=True), summarise(fit, values, prob, like)], axis=1)
            frame.insert(labels.shape[1], "quantity", name)
            frame["p_above_population"] = (values > population[name]).mean(SAMPLE).to_numpy().ravel()
            parts.append(frame)
    several = len(population)
    # quantity by quantity, however many blocks there were
    table = pd.concat([part for n in range(several) for part in parts[n::several]], ignore_index=True)
    table["interval"] = prob
    return table


def blocks_of(posterior: xr.Dataset, dim: str) -> list[slice]:
    """Members of a dimension in blocks, so that few numbers are in memory at once."""
    count = posterior.sizes[dim]
    step = max(1, BLOCK // (posterior.sizes["chain"] * posterior.sizes["draw"]))
    return [slice(begin, min(begin + step, count)) for begin in range(0, count, step)]


def mean_capacity(fit) -> tuple[xr.DataArray, xr.DataArray]:
    """C* averaged over each unit's clinicians and over everybody's, from every draw; by blocks of draws."""
    capacity = fit.tree["posterior"]["capacity"].transpose(*SAMPLE, "clinician")
    code = fit.tree["constant_data"]["clinician_unit"].to_numpy()
    order = np.argsort(code, kind="stable")
    first = np.flatnonzero(np.diff(code[order], prepend=-1))
    size = np.bincount(code)
    by_unit = np.empty((*capacity.shape[:2], size.size))
    overall = np.empty(capacity.shape[:2])
    step = block_of_draws(code.size)
    for chain in range(capacity.sizes["chain"]):
        for begin in range(0, capacity.sizes["draw"], step):
            draws = slice(begin, begin + step)
            values = capacity[chain, draws].to_numpy()
            by_unit[chain, draws] = np.add.reduceat(values[:, order], first, axis=1) / size
            overall[chain, draws] = values.mean(axis=1)
    coords = {dim: capacity[dim] for dim in SAMPLE}
    return (
        xr.DataArray(by_unit, dims=(*SAMPLE, "unit"), coords=coords, name="capacity"),
        xr.DataArray(overall, dims=SAMPLE, coords=coords, name="capacity"),
    )


def clinicians(fit, prob: float) -> pd.DataFrame:
    """alpha, beta, C* and half-life of every clinician: interventions off, covariates at the clinician's mean.

    Returns
    -------
    DataFrame
        One row for each clinician and quantity: clinician, unit, quantity, median, low, high, mean, sd, rhat,
        ess_bulk, mcse_mean, p_above_population (probability of lying above the population's median clinician), interval.
    """
    posterior = fit.tree["posterior"].to_dataset()
    constant = fit.tree["constant_data"]
    unit = constant["unit_name"].to_numpy()[constant["clinician_unit"].to_numpy()]
    labels = pd.DataFrame({"clinician": posterior["clinician"].to_numpy().astype(str), "unit": unit.astype(str)})
    return _against_population(fit, "", "clinician", prob, labels)


def units(fit, prob: float) -> pd.DataFrame:
    """alpha, beta, C* and half-life of every unit's median clinician, and the mean C* over its clinicians.

    Returns
    -------
    DataFrame
        Columns as in `clinicians`, without clinician, with the number of clinicians; the quantity ``capacity_mean`` is
        the average of C* over the clinicians of the unit.
    """
    code = fit.tree["constant_data"]["clinician_unit"].to_numpy()
    names = fit.tree["constant_data"]["unit_name"].to_numpy().astype(str)
    labels = pd.DataFrame({"unit": names, "clinicians": np.bincount(code, minlength=names.size)})
    table = _against_population(fit, "_unit", "unit", prob, labels)
    average, overall = mean_capacity(fit)
    mean_table = pd.concat([labels, summarise(fit, average, prob)], axis=1)
    mean_table.insert(2, "quantity", "capacity_mean")
    mean_table["p_above_population"] = (average > overall).mean(SAMPLE).to_numpy()
    mean_table["interval"] = prob
    table = pd.concat([table, mean_table], ignore_index=True)
    if names.size == 1:  # the only unit is the population
        table["p_above_population"] = np.nan
    return table


def interventions(fit, prob: float) -> pd.DataFrame:
    """Effects of every intervention.

    Returns
    -------
    DataFrame
        One row for each intervention and effect: ``ratio_alpha`` and ``ratio_beta`` (1: no effect), ``ratio_omega``,
        ``capacity_change`` (mean change of C* over the clinicians studied, 0-100 points), ``capacity_change_exposed``
        (over those exposed), ``score_change`` (in the first score's own points and sign); columns as in `clinicians`,
        with p_positive, the probability that the effect is above 0 (a ratio above 1).
    """
    if "intervention" not in fit.tree["posterior"].sizes:
        return pd.DataFrame(
            columns=["intervention", "effect", "median", "low", "high", "mean", "sd", "p_positive", "interval"]
        )
    posterior, contrasts = fit.tree["posterior"].to_dataset(), fit.tree["contrasts"].to_dataset()
    effects = {
        "ratio_alpha": (np.exp(posterior["theta_alpha"]).rename("ratio_alpha"), 1, "theta_alpha"),
        "ratio_beta": (np.exp(posterior["theta_beta"]).rename("ratio_beta"), 1, "theta_beta"),
        "capacity_change": (contrasts["capacity_change"], 0, "capacity_change"),
        "capacity_change_exposed": (contrasts["capacity_change_exposed"], 0, "capacity_change_exposed"),
        "score_change": (contrasts["score_change"], 0, "score_change"),
    }
    if "theta_omega" in posterior:  # not where one omega or one sigma is shared
        effects["ratio_omega"] = (np.exp(posterior["theta_omega"]).rename("ratio_omega"), 1, "theta_omega")
    frames = []
    for name, (values, none, like) in effects.items():
        frame = summarise(fit, values, prob, like)
        frame.insert(0, "intervention", posterior["intervention"].to_numpy().astype(str))
        frame.insert(1, "effect", name)
        sign = (values > none).mean(SAMPLE).to_numpy()
        # a lever the intervention was not let act on has no sign
        frame["p_positive"] = np.where(values.std(SAMPLE).to_numpy() > 0, sign, np.nan)
        frames.append(frame)
    table = pd.concat(frames, ignore_index=True)
    table["interval"] = prob
    order = {name: n for n, name in enumerate(posterior["intervention"].to_numpy().astype(str))}
    return table.sort_values("intervention", key=lambda s: s.map(order), kind="stable", ignore_index=True)


def population(fit, prob: float) -> pd.DataFrame:
    """The population: its median clinician, the clinicians' average, the layers of spread, covariate effects.

    Returns
    -------
    DataFrame
        One row a quantity: quantity, meaning, and columns as in `clinicians`, with p_positive for quantities that can
        take either sign (missing for the others).
    """
    posterior = fit.tree["posterior"].to_dataset()
    unit = fit.facts["study"]["time_unit"]
    meaning = {name: text.format(unit=unit) + ", median clinician" for name, text in LEVER_MEANING.items()}
    quantities = {name: (values, meaning[name]) for name, values in _population_levers(posterior).items()}
    quantities["capacity_mean"] = (
        mean_capacity(fit)[1],
        "C* averaged over the clinicians studied (0-100)",
    )
    for name, text in (
        ("trait_sd", "standard deviation between clinicians' levels (0-100)"),
        ("process_sd", "omega: standard deviation within a clinician over time (0-100)"),
        ("error_sd_total", "standard deviation of a single answer around capacity, rounding included (0-100)"),
        ("rate_sd", "standard deviation of log beta between clinicians"),
        ("spread_sd", "standard deviation of log omega between clinicians"),
        ("level_rate_correlation", "correlation of level and log beta between clinicians"),
        ("unit_level_sd", "standard deviation of log C* between units"),
        ("unit_rate_sd", "standard deviation of log beta between units"),
        ("start_shift", "distance from the steady state at the first survey (0-100)"),
        ("drift", "change of log C* from the first to the last survey of the study"),
    ):
        if name in posterior:
            quantities[name] = (posterior[name], text)
    for name, dim, text in (
        ("gamma_alpha", "term", "change of log alpha by a unit of the scaled covariate"),
        ("gamma_beta", "term", "change of log beta by a unit of the scaled covariate"),
        *((name, f"intervention_{name}", f"{text}") for name, text in shape_parameters().items()),
        ("selection", "intervention_selected", "log C* of always against never exposed clinicians (selection)"),
        ("moderation_alpha", "moderation", "change of an effect on log alpha by a unit of the scaled covariate"),
        ("moderation_beta", "moderation", "change of an effect on log beta by a unit of the scaled covariate"),
        ("effect_unit_sd", "intervention_by_unit", "standard deviation of the effect on log C* between units"),
        ("effect_clinician_sd", "intervention_by_clinician", "standard deviation of the effect on log C* between clinicians"),
        ("period_effect", "period", "deviation of log C* in a calendar period"),
        ("knot_effect", "knot", "deviation of log C* at a knot of the spline over calendar time"),
        ("intercept", "indicator_further", "intercept of a further score (0-100)"),
        ("loading", "indicator_further", "loading of a further score"),
    ):
        for label in posterior[dim].to_numpy() if name in posterior else ():
            values = posterior[name]
            if name in ("period_effect", "knot_effect"):  # reported around its average, as it enters the model
                values = values - values.mean(dim)
            values = values.sel({dim: label}, drop=True)
            if float(values.std()) > 0:
                quantities[f"{name}[{label}]"] = (values, text)
    frames = []
    for name, (values, text) in quantities.items():
        frame = summarise(fit, values, prob)
        frame.insert(0, "quantity", name)
        frame.insert(1, "meaning", text)
        signed = bool((values < 0).any()) or name.startswith(_SIGNED)
        frame["p_positive"] = float((values > 0).mean()) if signed else np.nan
        frames.append(frame)
    table = pd.concat(frames, ignore_index=True)
    table["interval"] = prob
    return table
