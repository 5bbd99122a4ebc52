"""Cross-validation with refits: clinicians and units that the fit has not seen, and the future of those it has.

The model is compiled once in each worker; answers that are left out are missing ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from ...models.levers import levers
from ...models.likelihood import filter as kalman
from ...models.likelihood import smoother
from ...models.simulation import draw_deviation, new_answers
from ..sampling import Sampling
from .jobs import run_jobs
from .refit import Refit, Refitted

ORIGINS = (1 / 2, 2 / 3, 5 / 6)  # shares of the study's answers after which the future begins
KINDS = ("clinician", "unit", "future")
FRESH = 4  # sets of effects of a clinician or unit who is not there, for each draw


def cross_validate(
    model, study, *, folds: int = 10, draws: int = 500, tune: int = 500, chains: int = 2, seed: int = 1,
    target_accept: float = 0.8, prob: float = 0.89, kinds=KINDS, **how,
) -> dict:  # fmt: skip
    """Fit without some clinicians, without some units, and without the future, and predict what was left out.

    Parameters
    ----------
    model : CapacityModel
    study : Study
    folds : int
        Clinicians, and units, are left out in so many groups (each unit by itself where there are as few).
    draws, tune, chains, seed, target_accept
        Of each refit.
    prob : float
        Probability of the forecasts' intervals.
    kinds : sequence of str
        Of "clinician", "unit" and "future".
    **how
        As for `jobs.run_jobs`: ledger, workers, scheduler, progress.

    Returns
    -------
    dict
        Plain values: ``folds`` (by kind "clinician" and "unit", the fold of each clinician), ``left_out`` (by kind: members,
        elpd of each clinician, observed mean and its place among predicted ones by member), ``forecasts`` (one entry an
        answer: clinician, time, observed, median, mean, low, high, crps, last, average), ``refits`` (divergences, rhat, tries).
    """
    settings = Sampling(draws, tune, chains, seed, target_accept)
    plan = {kind: fold for kind, fold in plan_folds(study, folds, seed).items() if kind in kinds}
    jobs = {}
    for kind, fold in plan.items():
        for n in np.unique(fold):
            jobs[f"{kind} {n + 1}"] = {"kind": kind, "left_out": np.flatnonzero(fold == n).tolist()}
    for n, (begin, end) in enumerate(windows(study) if "future" in kinds else []):
        jobs[f"future {n + 1}"] = {"kind": "future", "begin": begin, "end": end}
    given = {"model": model, "study": study, "settings": settings, "prob": prob}
    done = run_jobs(prepare, given, work, jobs, **how)
    out: dict = {"folds": {k: v.tolist() for k, v in plan.items()}, "left_out": {}, "forecasts": {}, "prob": prob}
    for kind in plan:
        parts = [done[name] for name, job in jobs.items() if job["kind"] == kind]
        out["left_out"][kind] = {key: [v for part in parts for v in part[key]] for key in parts[0] if key != "refit"}
    futures = [done[name] for name, job in jobs.items() if job["kind"] == "future"]
    if futures:
        out["forecasts"] = {key: [v for part in futures for v in part[key]] for key in futures[0] if key != "refit"}
    out["refits"] = [{"refit": name} | result["refit"] for name, result in done.items()]
    out["sampling"] = vars(settings)
    return out


def plan_folds(study, folds: int, seed: int) -> dict[str, np.ndarray]:
    """The fold of each clinician, leaving out clinicians (spread over the units), and leaving out whole units."""
    rng = np.random.default_rng([seed, 7])
    plan = {}
    if study.n_clinicians > 1:
        order = np.argsort(study.unit_code + rng.random(study.n_clinicians), kind="stable")
        by_clinician = np.empty(study.n_clinicians, int)
        by_clinician[order] = np.arange(study.n_clinicians) % min(folds, study.n_clinicians)
        plan["clinician"] = by_clinician
    if study.n_units > 1:
        of_unit = rng.permutation(study.n_units) % min(folds, study.n_units)
        plan["unit"] = of_unit[study.unit_code]
    return plan


def windows(study) -> list[tuple[float, float]]:
    """From when to when the future is forecast: after each origin up to the next."""
    answered = study.surveys["capacity"].notna().to_numpy()
    time = study.occasions["time"].to_numpy(float)[study.surveys["occasion"].to_numpy()[answered]]
    cuts = [*np.quantile(time, ORIGINS, method="inverted_cdf"), np.inf]
    return [(float(a), float(b)) for a, b in pairwise(cuts) if b > a and (time > a).any()]


def prepare(given: Mapping) -> tuple[Refit, Mapping]:
    return Refit(given["model"], given["study"]), given


def work(context, job: Mapping) -> dict:
    refit, given = context
    capacity = refit.design.survey_score
    occasions = refit.study.occasions
    at = refit.study.surveys["occasion"].to_numpy()
    who, time = occasions["clinician"].to_numpy()[at], occasions["time"].to_numpy(float)[at]
    if job["kind"] == "future":
        hidden = time > job["begin"]
        fitted = refit.sample(np.where(hidden, np.nan, capacity), given["settings"])
        wanted = np.flatnonzero(hidden & (time <= job["end"]) & ~np.isnan(capacity))
        found = _forecast(refit, fitted, wanted, who, time, given["prob"])
    else:
        left_out = np.array(job["left_out"], int)
        fitted = refit.sample(np.where(np.isin(who, left_out), np.nan, capacity), given["settings"])
        found = _unseen(refit, fitted, left_out, who, job["kind"])
    convergence = {"divergences": fitted.divergences, "rhat": fitted.rhat, "tries": fitted.tries}
    return found | {"refit": convergence}


def _unseen(refit: Refit, fitted: Refitted, left_out, who, kind: str) -> dict:
    """Log predictive density of each clinician left out, and their (or their unit's) mean answer among predicted ones."""
    design, draws = refit.design, fitted.draws
    rng = np.random.default_rng([int(left_out[0]), 11])
    answered = ~np.isnan(design.survey_score)
    group = left_out if kind == "clinician" else np.unique(design.unit_code[left_out])
    owner = who if kind == "clinician" else design.unit_code[who]
    mine = answered & np.isin(owner, group)
    place = np.searchsorted(group, owner[mine])
    size = np.bincount(place, minlength=group.size)
    full = design.data()
    density, repeated = [], []
    for c in range(draws.chains):
        for d in range(draws.draws):
            point = draws.point(c, d)
            for _ in range(FRESH):
                lever = levers(_fresh(point, refit, left_out, kind, rng), design, refit.model, np)
                density.append(kalman.log_likelihood(*full, *lever.arguments)[0][left_out])
                own = draw_deviation(lever.arguments, rng)
                score = new_answers(design, refit.study, lever.arguments, own, rng)[1]
                repeated.append(np.bincount(place, score[mine], group.size))
    density = np.array(density)
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = np.bincount(place, design.survey_score[mine], group.size) / size
        predicted = np.array(repeated) / size
    top = density.max(axis=0)
    elpd = top + np.log(np.exp(density - top).mean(axis=0))
    below = (predicted < observed).mean(axis=0)
    return {
        "clinician": left_out.tolist(), "elpd": elpd.tolist(), "member": group.tolist(), "observed": observed.tolist(),
        "predicted": predicted.mean(axis=0).tolist(), "predicted_sd": predicted.std(axis=0).tolist(),
        "below": np.where(size > 0, below, np.nan).tolist(), "replicates": [len(predicted)] * group.size,
    }  # fmt: skip


def _fresh(point: dict, refit: Refit, left_out, kind: str, rng) -> dict:
    """The draw with new standardised effects of those left out: their posterior is the prior, so more can be had."""
    dims = {"clinician": left_out, "unit": np.unique(refit.design.unit_code[left_out]) if kind == "unit" else []}
    point = dict(point)
    for parameter in refit.table:
        dim = parameter.dims[-1] if parameter.dims else ""
        if parameter.latent and len(dims.get(dim, ())) and parameter.name != "level_effect":
            value = np.array(point[parameter.name], copy=True)
            value[..., dims[dim]] = rng.standard_normal((*value.shape[:-1], len(dims[dim])))
            point[parameter.name] = value
    return point


def _forecast(refit: Refit, fitted: Refitted, wanted, who, time, prob: float) -> dict:
    """Forecasts of answers after an origin from those up to it, beside the last value and the mean before."""
    design, draws = refit.design, fitted.draws
    rng = np.random.default_rng([wanted.size, 13])
    past = fitted.draws.design.survey_score
    data, seen = draws.data(), ~np.isnan(past)
    # only those with an answer before: nobody has a last value otherwise
    before = np.bincount(who[seen], minlength=design.n_clinicians)
    wanted = wanted[(before[who[wanted]] > 0) & (design.survey_indicator[wanted] == 0)]
    ends = np.flatnonzero(design.layout.step_survey >= 0)
    step_of = np.empty(past.size, int)
    step_of[design.layout.step_survey[ends]] = ends
    samples = np.empty((draws.chains * draws.draws, wanted.size), np.float32)
    for n, (_, _, lever) in enumerate(draws):
        arguments = lever.arguments
        _, mean, var = kalman.log_likelihood(*data, *arguments)
        deviation = mean + np.sqrt(var) * rng.standard_normal(mean.size)
        path = smoother.draw_paths(*data, *arguments, deviation, rng.standard_normal(design.layout.step_gap.size))
        noise = np.sqrt(arguments[9][0] / design.survey_repeats[wanted]) * rng.standard_normal(wanted.size)
        samples[n] = path[step_of[wanted]] + noise
    tail = (1 - prob) / 2
    low, median, high = np.quantile(samples, (tail, 0.5, 1 - tail), axis=0)
    observed = design.survey_score[wanted]
    last, average = _references(past, who, time, wanted, design.survey_indicator)
    return {
        "clinician": who[wanted].tolist(), "time": time[wanted].tolist(), "observed": observed.tolist(),
        "median": median.tolist(), "mean": samples.mean(axis=0, dtype=float).tolist(), "low": low.tolist(), "high": high.tolist(),
        "crps": _crps(samples, observed).tolist(), "last": last.tolist(), "average": average.tolist(),
    }  # fmt: skip


def _references(past, who, time, wanted, indicator) -> tuple[np.ndarray, np.ndarray]:
    """Each clinician's last answer before the origin, and the mean of those before."""
    seen = np.flatnonzero(~np.isnan(past) & (indicator == 0))
    order = seen[np.lexsort((time[seen], who[seen]))]
    count = who.max() + 1
    last = np.full(count, np.nan)
    last[who[order]] = past[order]  # the later overwrite the earlier
    with np.errstate(invalid="ignore", divide="ignore"):
        average = np.bincount(who[seen], past[seen], count) / np.bincount(who[seen], minlength=count)
    return last[who[wanted]], average[who[wanted]]


def _crps(samples: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Continuous ranked probability score from samples (Gneiting & Raftery 2007, equation 21)."""
    ordered = np.sort(samples.astype(float), axis=0)
    n = len(ordered)
    weight = (2 * np.arange(1, n + 1) - n - 1)[:, None]
    spread = (weight * ordered).sum(axis=0) / n**2
    return np.abs(ordered - observed).mean(axis=0) - spread
