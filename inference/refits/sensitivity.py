"""The sensitivity panel: the same estimands under other assumptions, each fitted anew."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Mapping

import numpy as np

from ...datasets.dropout import left_early
from ...datasets.errors import UserError, is_number
from ..convergence import SAMPLE
from .jobs import run_jobs
from .ledger import Ledger
from .variants import VARIANTS, check_names, influential

POPULATION = ("capacity", "half_life", "trait_sd", "process_sd", "error_sd_total")
EFFECTS = ("capacity_change", "ratio_alpha", "ratio_beta")
RETRY = 1.02  # half the draws have a larger R-hat by chance
KEPT = ("median", "low", "high", "mean", "sd", "mcse_mean", "p_positive", "rhat")


def sensitivity(
    fit, *, other=None, only=None, draws: int | None = None, tune: int | None = None, prob: float = 0.89, estimands: Mapping | None = None,
    delta: float | None = None, ledger: Ledger | None = None, **how,
) -> dict:  # fmt: skip
    """Fit the model again under each other assumption that applies.

    Parameters
    ----------
    fit : Fit
        With its study.
    other : Study or function () -> Study, optional
        The same study under the other reading of ``holds``; without it that variant is not done.
    only : list of str, optional
        Names in `VARIANTS`; default: all. What the ledger holds already is shown too.
    draws, tune : int, optional
        Of each chain of a refit; default: half of those of the fit, at least 500 (or as many as it has).
    prob : float
    estimands : mapping, optional
        Arguments of `Fit.estimands`; what is shown beside the changes of C* and of both levers.
    delta : float, optional
        Points (0-100) by which those who left early while exposed are taken to be lower under the programme, than the model
        says of them. It has no default; without it only the delta at which the conclusion turns is given.
    ledger : Ledger, optional
        Takes the refits as they come.
    **how
        As for `jobs.run_jobs`: workers, scheduler, progress.

    Returns
    -------
    dict
        Plain values: ``variants`` (the fit itself first: name, words, believed, and either rows, divergences, draws, rhat, seconds,
        or why_not; ``clinicians``, the codes of those left out) and ``dropout`` (by programme: left, exposed, share, and the deltas
        at which the median and the interval's end reach no effect).

    Raises
    ------
    UserError
        For names of assumptions and a delta that make no sense. An assumption that does not apply is in the result, with why.
    """
    check_names(only)
    if fit.approximate:
        raise UserError("other assumptions are sampled, and cannot be compared with a quick look; sample the model as it is first.")
    if delta is not None and not is_number(delta):
        raise UserError(f"delta must be a number of points (0-100), such as -5; got {delta!r}.")
    ledger = Ledger() if ledger is None else ledger
    study, model = fit.study, fit.model
    sampling = fit.facts["sampling"]
    fewer = {"draws": draws or _half(sampling["draws"]), "tune": tune or _half(sampling["tune"])}
    given = {
        "settings": {"chains": sampling["chains"], "seed": sampling["seed"], "target_accept": sampling["target_accept"]} | fewer,
        "asked": _asked(estimands), "prob": prob,
    }  # fmt: skip
    jobs, undone = {}, {}
    for name, variant in VARIANTS.items():
        if only and name not in (*only, *ledger.results):
            continue
        try:
            made = variant.make(model, study, fit, other)
            if made is not None:
                made[0].equations(made[1])  # meets whatever does not fit before anything is sampled
                jobs[name] = made
        except UserError as error:
            undone[name] = str(error)
    done = run_jobs(_prepare, given, _work, jobs, ledger=ledger, **how)
    base = {"name": "base", "words": "as fitted", "believed": True, "seconds": None} | _summary(fit, given)
    variants = [base]
    for name, variant in VARIANTS.items():
        head = {"name": name, "words": variant.words, "believed": variant.believed}
        if name in done:
            if name == "not_influential":
                head["clinicians"] = influential(fit).tolist()
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # convergence is in the result
        try:
            found = fit_again(model, study, **given["settings"], progress=False, cores=1, retry_above=RETRY)
            return _summary(found, given) | {"seconds": round(time.perf_counter() - started, 1)}
        except UserError as error:
            return {"why_not": str(error)}
        except RuntimeError as error:  # the sampler found no place to start from
            return {"why_not": f"it could not be sampled ({str(error).splitlines()[0]})"}


def _summary(fit, given: Mapping) -> dict:
    posterior = fit.tree["posterior"]
    return {
        "rows": rows_of(fit, given["asked"], given["prob"]), "divergences": fit.divergences,
        "draws": posterior.sizes["chain"] * posterior.sizes["draw"], "rhat": _plain(fit.diagnostics["rhat"].max()),
    }  # fmt: skip


def _plain(value) -> float | None:
    value = float(value)
    return value if math.isfinite(value) else None


def rows_of(fit, asked: Mapping, prob: float) -> list[dict]:
    """The estimands of a fit, for everyone, and what the population is like."""
    out = []
    if fit.facts["study"]["interventions"]:
        table = fit.estimands(prob=prob, **asked)
        table = table[(table["group"] == table["group"].iloc[0]) & (table["against"] != "")]
        out = [
            {"option": r["option"], "against": r["against"], "estimand": r["estimand"]} | {k: _plain(r[k]) for k in KEPT}
            for _, r in table.iterrows()
        ]
    population = fit.population(prob).set_index("quantity")
    for name in POPULATION:
        row = population.loc[name]
        out.append({"option": "", "against": "", "estimand": name} | {k: _plain(row[k]) for k in KEPT})
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
                moved = {"median": median, "low": low, "high": high}
                entry |= {"delta": delta, "p_positive_delta": float((change[:, k] + delta * share > 0).mean())}
                entry |= {f"{q}_delta": v + delta * share for q, v in moved.items()}
        out.append(entry)
    return out
