"""Twice the draws from another seed: does the fit say the same? (WAMBS, Depaoli & van de Schoot 2017, points 3 and 5)"""

from __future__ import annotations

import numpy as np

from ...datasets.errors import UserError
from .agreement import agreement, independent
from .ledger import Ledger

JOB = "twice the draws"
MOST_ROWS = 400


def doubling(fit, *, prob: float = 0.89, ledger: Ledger | None = None, progress: bool = True) -> dict:
    """Sample again with twice the draws, twice the warm-up and another seed, and compare.

    Parameters
    ----------
    fit : Fit
        With its study.

    Returns
    -------
    dict
        Plain values: ``rows`` (the largest differences, of the population and the effects all), ``count`` (numbers compared), ``z``
        (all differences in Monte Carlo errors), ``independent`` (how many independent ones they are worth), ``relative`` (largest
        difference of a mean of the population or of an effect, in posterior standard deviations), ``percent`` (the same in percent of
        the mean, where its interval leaves out 0), and the second fit's ``sampling``, ``rhat``, ``ess``, ``divergences``,
        ``warnings``.
    """
    ledger = ledger or Ledger()
    if JOB not in ledger.results:
        ledger.add(JOB, _compared(fit, prob, progress))
    return ledger.results[JOB]


def _compared(fit, prob: float, progress: bool) -> dict:
    from ..fitting import fit as fit_again

    if fit.approximate:
        raise UserError("a quick look has no chains whose draws could be doubled; sample first.")
    if not fit.complete:
        raise UserError("an interrupted run cannot be compared with twice its draws; run it to the end first.")
    asked = fit.facts["sampling"]
    twice = {"draws": 2 * asked["draws"], "tune": 2 * asked["tune"], "chains": asked["chains"], "seed": asked["seed"] + 1,
             "target_accept": asked["target_accept"]}  # fmt: skip
    again = fit_again(fit.model, fit.study, **twice, progress=progress)
    table = agreement(fit, again, prob)
    order = table.assign(size=table["z"].abs(), first=table["group"] == "members").sort_values(
        ["first", "size"], ascending=[True, False], kind="stable"
    )
    rows = order.head(MOST_ROWS).drop(columns=["size", "first"]).to_dict("records")
    means = table[(table["group"] != "members") & (table["what"] == "mean")]
    return {
        "rows": rows, "count": len(table), "z": np.round(table["z"].to_numpy(), 4).tolist(),
        "independent": independent(fit), "relative": float((means["other"] - means["one"]).abs().div(means["sd"]).max()),
        "percent": _percent(table, means), "sampling": twice, "rhat": float(again.diagnostics["rhat"].max()),
        "ess": float(again.diagnostics[["ess_bulk", "ess_tail"]].min().min()), "divergences": again.divergences,
        "warnings": again.warnings,
    }  # fmt: skip


def _percent(table, means) -> float | None:
    """WAMBS' relative deviation; of a mean near 0 it says nothing."""
    low, high = (table[table["what"] == end].set_index("quantity")["one"] for end in ("low", "high"))
    known = means[means["quantity"].map(low * high) > 0]
    deviation = (known["other"] - known["one"]).abs() / known["one"].abs()
    return 100 * float(deviation.max()) if len(deviation) else None
