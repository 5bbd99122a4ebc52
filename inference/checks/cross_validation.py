"""Predictions of what the fit has not seen: clinicians, units, and the future."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import xarray as xr

from ..convergence import REFIT_RHAT, RHAT_LIMIT, SAMPLE
from .check import Check, not_done
from .drawing import FIRST, SECOND, few_ticks, ink, muted

TITLE = "Does it predict clinicians, units and a future that it has not seen?"
ERROR = 0.01  # chance of a member said to differ where none does, over all members of a kind (Bonferroni)


def check(fit, prob: float, evidence: dict | None) -> Check:
    """K-fold cross-validation by clinician and by unit, and forecasts from several origins.

    Passes where no clinician or unit lies outside what is predicted of one that is not there, forecasts are no worse than the
    last value and the mean of the past (by more than two standard errors of the difference in absolute errors), and their
    intervals hold about as many answers as they say.
    """
    if evidence is None:
        return not_done("cross_validation", TITLE, "Not done: `equipoise crossvalidate` fits without some clinicians, units and times.")
    rows, said, good = [], [], []
    for kind in evidence["left_out"]:
        table, sentence, passed = _left_out(fit, evidence, kind)
        rows.append(table)
        said.append(sentence)
        good.append(passed)
    scored = forecasts(evidence)
    if len(scored):
        table, sentence, passed = _future(scored, evidence["prob"])
        rows.append(table)
        said.append(sentence)
        good.append(passed)
    bad = [r["refit"] for r in evidence["refits"] if r["rhat"] > REFIT_RHAT]
    if bad:
        said.append(f"Not converged (R-hat above {REFIT_RHAT}): {', '.join(bad)}.")
        good.append(False)
    elif any(r["rhat"] > RHAT_LIMIT or r["divergences"] for r in evidence["refits"]):
        worst = max(r["rhat"] for r in evidence["refits"])
        lost = sum(r["divergences"] for r in evidence["refits"])
        said.append(f"Of {len(evidence['refits'])} refits with fewer draws, R-hat is at most {worst:.3f}, with {lost} divergent draws.")

    def draw(figure):
        kinds = list(evidence["left_out"])
        axes = np.atleast_1d(figure.subplots(1, len(kinds) + bool(len(scored))))
        for part, kind in zip(axes, kinds, strict=False):
            _draw_members(part, evidence["left_out"][kind], kind)
        if len(scored):
            _draw_future(axes[-1], scored)

    caption = (
        "Members left out: mean answer observed against predicted (two standard deviations) for one that the fit has not seen. "
        "Forecasts: mean absolute error by how far ahead, of the model and of two simple forecasts."
    )
    table = pd.concat(rows, ignore_index=True)
    return Check("cross_validation", TITLE, all(good), " ".join(said), table, draw, caption=caption, height=3.0)


def _left_out(fit, evidence: dict, kind: str):
    """K-fold sums by `arviz.loo_kfold`, and members that lie outside what is predicted of one not there."""
    found = kfold(fit, evidence, kind)
    mine = evidence["left_out"][kind]
    below = np.array(mine["below"], float)
    known = np.isfinite(below)
    odd = outside(mine)
    names = fit.tree["posterior"]["clinician"] if kind == "clinician" else fit.tree["constant_data"]["unit_name"]
    names = names.to_numpy().astype(str)
    sentence = (
        f"Leaving out {kind}s ({found.n_folds} folds), the log predictive density of {found.n_data_points} clinicians' answers sums to "
        f"{found.elpd:.0f} (standard error {found.se:.0f})"
    )
    if odd.size:
        told = "; ".join(
            f"{names[mine['member'][i]]} (mean {mine['observed'][i]:.0f}, predicted {mine['predicted'][i]:.0f}, "
            f"SD {mine['predicted_sd'][i]:.0f})"
            for i in odd[:5]
        )
        sentence += f". Unlike what is predicted of a {kind} not seen: {told}{f' and {odd.size - 5} more' if odd.size > 5 else ''}."
    else:
        sentence += f"; no {kind}'s mean lies outside what is predicted of one not seen."
    row = {
        "left out": f"{kind}s, {found.n_folds} folds", "count": int(known.sum()), "elpd": float(found.elpd), "se": float(found.se),
        "effective parameters": float(found.p), "outside": int(odd.size),
    }  # fmt: skip
    return pd.DataFrame([row]), sentence, not odd.size


def outside(mine: dict) -> np.ndarray:
    """Members whose mean answer lies outside what is predicted of one not seen, at an error of 1 % over all of them.

    So small tails are not to be had from a few thousand replicates: such a member lies beyond (nearly) all of them, and as far
    out in standard deviations as a normal distribution would put none of so many.
    """
    from scipy.stats import norm

    below = np.array(mine["below"], float)
    known = np.isfinite(below)
    count = max(int(known.sum()), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.abs(np.array(mine["observed"], float) - np.array(mine["predicted"], float)) / np.array(mine["predicted_sd"], float)
    tail = 2 * np.minimum(below, 1 - below)
    edge = np.maximum(ERROR / count, 2.5 / np.array(mine["replicates"], float))
    return np.flatnonzero(known & (tail < edge) & (z > norm.isf(ERROR / count / 2)))


def kfold(fit, evidence: dict, kind: str):
    """`arviz.loo_kfold` over clinicians who answered, with the densities of the refits that were made."""
    import arviz as az

    elpd = np.full(fit.tree["posterior"].sizes["clinician"], np.nan)
    mine = evidence["left_out"][kind]
    elpd[np.array(mine["clinician"], int)] = np.array(mine["elpd"], float)
    constant = fit.tree["constant_data"]
    answered = np.isfinite(fit.tree["observed_data"]["scores"].to_numpy())
    who = np.unique(constant["survey_clinician"].to_numpy().astype(int)[answered])
    tree = xr.DataTree.from_dict({
        name: fit.tree[name].to_dataset() if name == "posterior" else fit.tree[name].to_dataset().isel(clinician=who)
        for name in ("posterior", "log_likelihood")
    } | {"observed_data": xr.Dataset({"scores": ("clinician", np.zeros(who.size))})})  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return az.loo_kfold(
            tree, _made(tree, elpd[who]), folds=np.array(evidence["folds"][kind], int)[who] + 1, var_name="scores", pointwise=True
        )


def _made(tree, elpd: np.ndarray):
    """What `arviz.loo_kfold` asks for a refit: ours are made, so it hands on what came of them."""
    from arviz_stats.loo import SamplingWrapper

    class Made(SamplingWrapper):
        def sel_observations(self, idx):
            return None, np.asarray(idx)

        def sample(self, modified_observed_data):
            return None

        def get_inference_data(self, fitted_model):
            return tree

        def log_likelihood__i(self, excluded_obs, idata__i):
            index = np.atleast_1d(excluded_obs)
            return xr.DataArray(elpd[index][None, None], dims=(*SAMPLE, "clinician"), name="scores")

    return Made(model=None, idata_orig=tree)


def forecasts(evidence: dict) -> pd.DataFrame:
    """One row a forecast answer: clinician, time, observed, median, low, high, crps, last, average."""
    if not evidence["forecasts"] or not evidence["forecasts"]["clinician"]:
        return pd.DataFrame()
    return pd.DataFrame({key: np.array(v, float) for key, v in evidence["forecasts"].items()})


def _future(scored: pd.DataFrame, prob: float):
    errors = {
        "model": (scored["median"] - scored["observed"]).abs(), "last value": (scored["last"] - scored["observed"]).abs(),
        "mean of the past": (scored["average"] - scored["observed"]).abs(),
    }  # fmt: skip
    inside = ((scored["low"] <= scored["observed"]) & (scored["observed"] <= scored["high"])).astype(float)
    covered, spread = inside.mean(), _clustered(inside - inside.mean(), scored["clinician"])
    rows, worse, told = [], [], []
    for name, error in errors.items():
        row = {"left out": f"the future, {name}", "count": len(scored), "mean absolute error": error.mean()}
        if name == "model":
            row |= {"crps": scored["crps"].mean(), "coverage": covered}
        else:
            difference = error - errors["model"]
            se = _clustered(difference - difference.mean(), scored["clinician"])
            row |= {"worse than the model by": difference.mean(), "its se": se}
            told.append(f"{error.mean():.1f} for the {name} (difference {difference.mean():.1f}, standard error {se:.1f})")
            worse.append(difference.mean() < -2 * se)
        rows.append(row)
    off = covered < prob - max(3 * spread, 0.02)
    sentence = (
        f"Forecasts of {len(scored)} answers from those before miss by {errors['model'].mean():.1f} points on average, against "
        f"{' and '.join(told)}; their {100 * prob:.4g} % intervals hold {100 * covered:.0f} %{', too few' if off else ''}."
    )
    if any(worse):
        sentence += " A simple forecast does better than the model."
    return pd.DataFrame(rows), sentence, not (any(worse) or off)


def _clustered(residual: pd.Series, clinician: pd.Series) -> float:
    """Standard error of a mean whose terms belong together by clinician."""
    total = residual.groupby(clinician).sum()
    return float(np.sqrt((total**2).sum()) / len(residual))


def _draw_members(axes, mine: dict, kind: str) -> None:
    predicted, spread, observed = (np.array(mine[key], float) for key in ("predicted", "predicted_sd", "observed"))
    order = np.argsort(observed)
    at = np.arange(order.size)
    axes.vlines(at, (predicted - 2 * spread)[order], (predicted + 2 * spread)[order], color=muted(), alpha=0.35, linewidth=1.2)
    axes.plot(at, predicted[order], linestyle="none", marker="_", markersize=4, color=FIRST)
    axes.plot(at, observed[order], linestyle="none", marker="o", markersize=2.6, color=ink(), markeredgewidth=0)
    axes.set_title(f"{kind}s left out", fontsize=8.5, fontweight="normal")
    axes.set_xlabel("in the order of the mean answer")
    axes.set_ylabel("mean answer (0\N{EN DASH}100)")
    few_ticks(axes.xaxis, 4)
    few_ticks(axes.yaxis, 5)


def _draw_future(axes, scored: pd.DataFrame) -> None:
    ahead = scored["time"] - scored["time"].min()
    bins = pd.qcut(ahead, min(6, ahead.nunique()), duplicates="drop")
    for column, label, colour in (("median", "model", FIRST), ("last", "last value", SECOND), ("average", "mean", "C2")):
        error = (scored[column] - scored["observed"]).abs().groupby(bins, observed=True).mean()
        axes.plot([interval.mid for interval in error.index], error.to_numpy(), marker="o", markersize=3, color=colour, label=label)
    axes.set_title("forecasts", fontsize=8.5, fontweight="normal")
    axes.set_xlabel("time since the first origin")
    axes.set_ylabel("mean absolute error")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=7)
    few_ticks(axes.xaxis, 4)
    few_ticks(axes.yaxis, 4)
