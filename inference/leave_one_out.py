"""How well each of several fits predicts answers it has not seen, on the answers that they share.

Leave-one-out by Pareto-smoothed importance sampling (Vehtari, Gelman & Gabry 2017, Statistics and Computing 27), stacking
weights (Yao et al. 2018, Bayesian Analysis 13). An elpd difference under about 4, or under twice its standard error, is
no reason to prefer a model (Sivula, Magnusson & Vehtari 2020, arXiv:2008.10296).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from ..datasets.errors import list_some
from ..datasets.times import DAYS
from .convergence import SAMPLE
from .psis import HIGH_K, LEAST_DRAWS, psis

SMALL_DIFFERENCE = 4.0
MOST_NAMED = 3  # analyses in one sentence; the table has them all
LEFT_OUT = {"survey": "log_likelihood_survey", "clinician": "log_likelihood"}
COLUMNS = (
    "unit_left_out", "analysis", "rank", "elpd", "se", "elpd_diff", "se_diff", "weight", "p_loo", "n_left_out",
    "n_high_k", "draws",
)  # fmt: skip


def is_small(difference: float, se: float) -> bool:
    """Whether an elpd difference is no reason to prefer a model; the head of this file has the source."""
    return not (abs(difference) >= SMALL_DIFFERENCE and abs(difference) >= 2 * se)


def leave_one_out(fits: Mapping) -> tuple[pd.DataFrame, list[str]]:
    """Leave-one-survey-out and leave-one-clinician-out among the fits with the same answers.

    Only answers count: covariates, programmes, units and unanswered surveys may differ.

    Parameters
    ----------
    fits : mapping of str to Fit
        Their studies are not needed.

    Returns
    -------
    table : DataFrame
        One row for each unit left out ("survey" or "clinician") and analysis, best first: unit_left_out, analysis, rank
        (1 is best), elpd (sum of log predictive densities, on the scale 0-100), se, elpd_diff (to the best; at most 0),
        se_diff, weight (stacking), p_loo (effective number of parameters), n_left_out, n_high_k (left-out units with a
        Pareto k over 0.7), draws. Empty where no two fits hold the same answers.
    notes : list of str
        Which fits are not compared and why, and what limits the rest.
    """
    answers = {label: _answers(fit) for label, fit in fits.items()}
    chosen, notes = _with_the_same_answers(answers)
    tables = []
    for left_out in LEFT_OUT if chosen else ():
        found, failed = {}, []
        for label in chosen:
            try:
                found[label] = elpd(_log_likelihood(fits[label], left_out, answers[label]))
            except Unusable as reason:
                failed.append(f"Leaving out {left_out}s is not possible with {label}: {reason}.")
        notes += failed
        if len(found) > 1:
            tables.append(_compared(found, left_out))
    sizes = {n: [fits[n].tree[g].sizes["draw"] for g in (LEFT_OUT["survey"], "posterior")] for n in chosen}
    thinned = [f"{used} of {every} with {n}" for n, (used, every) in sizes.items() if used < every]
    if thinned:
        notes.append(f"Leaving out surveys, only some draws of each chain are used, evenly spaced: {', '.join(thinned)}.")
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(COLUMNS))
    return table, notes + _high_k_notes(table)


class Unusable(Exception):
    """Why one fit's log-likelihood cannot be used."""


def _answers(fit) -> pd.DataFrame:
    """The answers in an order of their own: clinician, indicator, time (days from the first answer), score (0-100)."""
    constant, study = fit.tree["constant_data"], fit.facts["study"]
    names = fit.tree["posterior"]["clinician"].to_numpy().astype(str)
    frame = pd.DataFrame({
        "clinician": names[constant["survey_clinician"].to_numpy().astype(int)],
        "indicator": np.array(list(study["scores"]))[constant["survey_indicator"].to_numpy().astype(int)],
        "time": constant["survey_time"].to_numpy().astype(float) * DAYS[study["time_unit"]],
        "score": fit.tree["observed_data"]["scores"].to_numpy().astype(float),
        "repeats": constant["survey_repeats"].to_numpy().astype(int),
        "survey": np.arange(constant.sizes["survey"]),
    })  # fmt: skip
    frame = frame[frame["score"].notna()].sort_values(["clinician", "indicator", "time"], kind="stable")
    return frame.assign(time=frame["time"] - frame["time"].min()).reset_index(drop=True)


def _difference(one: pd.DataFrame, other: pd.DataFrame) -> str:
    """In what the other's answers differ, in words; empty where they are the same."""
    scores = [set(a["indicator"]) for a in (one, other)]
    if scores[0] != scores[1]:
        return f"other scores ({list_some(sorted(scores[1]))}, not {list_some(sorted(scores[0]))})"
    if set(one["clinician"]) != set(other["clinician"]):
        counts = [a["clinician"].nunique() for a in (other, one)]
        return f"other clinicians ({counts[0]}, not {counts[1]})" if counts[0] != counts[1] else "other clinicians"
    if len(one) != len(other):
        return f"{len(other)} answers, not {len(one)}"
    if not one[["clinician", "indicator"]].equals(other[["clinician", "indicator"]]):
        return "other answers of some clinicians"
    if not np.allclose(one["time"], other["time"], rtol=1e-9, atol=1e-4):
        return "answers at other times"
    if not np.allclose(one["score"], other["score"], rtol=1e-9, atol=1e-9):
        return f"other values of {(~np.isclose(one['score'], other['score'])).sum()} answers"
    return "" if one["repeats"].equals(other["repeats"]) else "repeated answers joined by another rule"


def _with_the_same_answers(answers: Mapping[str, pd.DataFrame]) -> tuple[list[str], list[str]]:
    """The largest set of labels whose answers are the same (none if that is one alone), and why others are left out."""
    groups: list[list[str]] = []
    for label, mine in answers.items():
        home = next((g for g in groups if not _difference(answers[g[0]], mine)), None)
        if home is None:
            groups.append([label])
        else:
            home.append(label)
    chosen = max(groups, key=len)
    rest = [label for label in answers if label not in chosen]
    why = [f"{label} holds {_difference(answers[chosen[0]], answers[label])}" for label in rest]
    if len(chosen) < 2:
        return [], [
            f"Predictions are not compared, since that makes sense only for the same answers: against {chosen[0]}, "
            f"{'; '.join(why)}."
        ]
    return chosen, [f"Left out of the comparison of predictions: against {chosen[0]}, {w}." for w in why]


def _log_likelihood(fit, left_out: str, answers: pd.DataFrame) -> np.ndarray:
    """(chain, draw, unit left out), in the order of the answers; clinicians who never answered are left aside."""
    values = fit.tree[LEFT_OUT[left_out]]["scores"].transpose(*SAMPLE, left_out)
    if left_out == "survey":
        return values.sel(survey=answers["survey"].to_numpy()).to_numpy()
    at = pd.Index(values["clinician"].to_numpy().astype(str)).get_indexer(answers["clinician"].unique())
    return values.to_numpy()[..., at]


def elpd(log_likelihood: np.ndarray, smooth=psis):
    """`arviz.loo` with pointwise values; ``smooth`` is `psis.psis`, or gives what it has given before."""
    import arviz as az

    chains, draws, _ = log_likelihood.shape
    if chains * draws < LEAST_DRAWS:
        raise Unusable(f"it has {chains * draws} draws, and {LEAST_DRAWS} are needed")
    if not np.isfinite(log_likelihood).all():
        raise Unusable("its log-likelihood is not finite in some draws")
    values = xr.DataArray(log_likelihood, dims=(*SAMPLE, "left_out"), name="scores")
    weights, k, efficiency = smooth(log_likelihood)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # high Pareto k are counted in the table
        tree = xr.DataTree.from_dict({"log_likelihood": values.to_dataset()})
        return az.loo(
            tree, pointwise=True, reff=efficiency, log_weights=values.copy(data=weights),
            pareto_k=xr.DataArray(k, dims=("left_out",)),
        )  # fmt: skip


def _compared(elpds: Mapping, left_out: str) -> pd.DataFrame:
    import arviz as az

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = az.compare(dict(elpds), method="stacking", round_to="none")
    weight = found["weight"].to_numpy(float).clip(0)  # the optimiser may end a rounding error below 0
    labels = list(found.index)
    table = pd.DataFrame({
        "unit_left_out": left_out, "analysis": labels, "rank": np.arange(1, len(labels) + 1),
        "elpd": found["elpd"].to_numpy(float), "se": found["se"].to_numpy(float),
        "elpd_diff": found["elpd_diff"].to_numpy(float), "se_diff": found["dse"].to_numpy(float),
        "weight": weight / weight.sum(), "p_loo": found["p"].to_numpy(float),
        "n_left_out": [elpds[n].n_data_points for n in labels],
        "n_high_k": [int((elpds[n].pareto_k.to_numpy() > HIGH_K).sum()) for n in labels],
        "draws": [elpds[n].n_samples for n in labels],
    })  # fmt: skip
    return table[list(COLUMNS)]


def _high_k_notes(table: pd.DataFrame) -> list[str]:
    """Where importance sampling fails, and so the sum with it."""
    notes = []
    for left_out, rows in table.groupby("unit_left_out", sort=False):
        high = rows[rows["n_high_k"] > 0].sort_values("analysis")
        if len(high):
            said = ", ".join(f"{r.n_high_k} of {r.n_left_out} with {r.analysis}" for r in high.itertuples())
            if len(high) > MOST_NAMED:
                few, most = high["n_high_k"].min(), high["n_high_k"].max()
                said = f"{few} to {most} of {high['n_left_out'].iloc[0]} with {len(high)} of {len(rows)} analyses"
            own = "" if left_out == "survey" else " (the clinician's own rate and spread are among what is sampled)"
            notes.append(
                f"Leaving out {left_out}s, Pareto k is above {HIGH_K} for {said}: they move the posterior too much for "
                f"leave-one-out without sampling again{own}; the more there are, the less the numbers can be trusted."
            )
    return notes
