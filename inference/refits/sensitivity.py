"""The sensitivity panel: the same estimands under other assumptions, each fitted anew."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from ...datasets.dropout import left_early
from ...datasets.errors import UserError
from ..convergence import SAMPLE
from .jobs import run_jobs
from .variants import VARIANTS, check_names

POPULATION = ("capacity", "half_life", "trait_sd", "process_sd", "error_sd_total")
EFFECTS = ("capacity_change", "ratio_alpha", "ratio_beta")
KEPT = ("median", "low", "high", "mean", "sd", "mcse_mean", "p_positive", "rhat")


def sensitivity(
    fit, *, other=None, only=None, draws: int | None = None, tune: int | None = None, prob: float = 0.89, estimands: Mapping | None = None,
    delta: float | None = None, **how,
) -> dict:  # fmt: skip
    """Fit the model again under each other assumption that applies.

    Parameters
    ----------
    fit : Fit
        With its study.
    other : Study, optional
        The same study under the other reading of ``holds``; without it that variant is not done.
    only : list of str, optional
        Names in `VARIANTS`; default: all.
    draws, tune : int, optional
        Of each chain of a refit; default: half of those of the fit, at least 500 (or as many as it has).
    prob : float
    estimands : mapping, optional
        Arguments of `Fit.estimands`; what is shown beside the changes of C* and of both levers.
    delta : float, optional
        Points (0-100) by which those who left early while exposed are taken to be lower under the programme, than the model
        says of them. It has no default; without it only the delta at which the conclusion turns is given.
    **how
        As for `jobs.run_jobs`: ledger, workers, scheduler, progress.

    Returns
    -------
    dict
        Plain values: ``variants`` (name, words, believed, done or why not, rows, divergences, rhat, seconds; the fit itself
        first) and ``dropout`` (by programme: left, exposed, share, and the deltas at which the median and the interval's
        end reach no effect).
    """
    check_names(only)
    study, model = fit.study, fit.model
    sampling = fit.facts["sampling"]
    fewer = {"draws": draws or _half(sampling["draws"]), "tune": tune or _half(sampling["tune"])}
    given = {
        "settings": {"chains": sampling["chains"], "seed": sampling["seed"], "target_accept": sampling["target_accept"]} | fewer,
        "asked": _asked(estimands), "prob": prob,
    }  # fmt: skip
    jobs, undone = {}, {}
    for name, variant in VARIANTS.items():
        if only and name not in only:
            continue
        try:
            made = variant.make(model, study, fit, other)
        except UserError as error:
            undone[name] = str(error)
            continue
        if made is not None:
            jobs[name] = made
        elif name == "holds" and study.holds is not None:
            undone[name] = "the study under the other reading is not at hand"
    done = run_jobs(_prepare, given, _work, jobs, **how)
    base = {"name": "base", "words": "as fitted", "believed": True, "rows": rows_of(fit, given["asked"], prob),
            "divergences": fit.divergences, "rhat": float(fit.diagnostics["rhat"].max()), "seconds": None}  # fmt: skip
    variants = [base]
    for name, variant in VARIANTS.items():
        head = {"name": name, "words": variant.words, "believed": variant.believed}
        if name in done:
            variants.append(head | done[name])
        elif name in undone:
            variants.append(head | {"why_not": undone[name]})
    return {"variants": variants, "dropout": dropout(fit, prob, delta), "sampling": given["settings"], "prob": prob}


def _half(count: int) -> int:
    return min(count, max(500, count // 2))


def _asked(estimands: Mapping | None) -> dict:
    asked = {k: v for k, v in (estimands or {}).items() if k not in ("by", "show")}
    show = (estimands or {}).get("show")
    if show is not None:
        show = list(dict.fromkeys([*EFFECTS, *([show] if isinstance(show, str) else show)]))
    return asked | {"show": show or list(EFFECTS)}


def _prepare(given: Mapping) -> Mapping:
    return given


def _work(given: Mapping, job) -> dict:
    from ..fitting import fit as fit_again

    model, study = job
    started = time.perf_counter()
    try:
        found = fit_again(model, study, **given["settings"], progress=False, cores=1)
    except UserError as error:
        return {"why_not": str(error)}
    return {
        "rows": rows_of(found, given["asked"], given["prob"]), "divergences": found.divergences,
        "rhat": float(found.diagnostics["rhat"].max()), "seconds": round(time.perf_counter() - started, 1),
    }  # fmt: skip


def rows_of(fit, asked: Mapping, prob: float) -> list[dict]:
    """The estimands of a fit, for everyone, and what the population is like."""
    out = []
    if fit.facts["study"]["interventions"]:
        table = fit.estimands(prob=prob, **asked)
        table = table[(table["group"] == table["group"].iloc[0]) & (table["against"] != "")]
        out = [
            {"option": r["option"], "against": r["against"], "estimand": r["estimand"]} | {k: float(r[k]) for k in KEPT}
            for _, r in table.iterrows()
        ]
    population = fit.population(prob).set_index("quantity")
    for name in POPULATION:
        row = population.loc[name]
        out.append({"option": "", "against": "", "estimand": name} | {k: float(row[k]) for k in KEPT})
    return out


def dropout(fit, prob: float, delta: float | None) -> list[dict]:
    """Pattern-mixture analysis of those who left early while exposed (Carpenter & Kenward 2013, chapter 10).

    Their C* under the programme is taken to be lower by delta than the model says; the average over all clinicians moves by
    delta times their share. The deltas at which the median, and the interval's nearer end, come to no effect are given.
    """
    names = fit.facts["study"]["interventions"]
    if not names:
        return []
    left, last = left_early(fit.study)
    spells = fit.study.spells
    change = fit.tree["contrasts"]["capacity_change"].transpose(*SAMPLE, "intervention").to_numpy().reshape(-1, len(names))
    tail = (1 - prob) / 2
    out = []
    for k, name in enumerate(names):
        mine = spells[spells["intervention"] == k]
        who = mine["clinician"].to_numpy(int)
        running = (mine["start"].to_numpy() < last[who]) & (mine["end"].to_numpy() >= last[who])
        exposed = np.zeros(left.size, bool)
        exposed[who[running]] = True
        share = float((left & exposed).mean())
        low, median, high = (float(v) for v in np.quantile(change[:, k], (tail, 0.5, 1 - tail)))
        entry = {"option": name, "left": int(left.sum()), "left_exposed": int((left & exposed).sum()), "share": share,
                 "median": median, "low": low, "high": high}  # fmt: skip
        if share > 0:
            end = low if low > 0 else high if high < 0 else None
            entry |= {"delta_median": -median / share, "delta_interval": None if end is None else -end / share}
            if delta is not None:
                entry |= {"delta": delta, **{f"{q}_delta": v + delta * share for q, v in
                                             (("median", median), ("low", low), ("high", high))}}  # fmt: skip
        out.append(entry)
    return out
