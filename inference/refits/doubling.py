"""Twice the draws from another seed: does the fit say the same? (WAMBS, Depaoli & van de Schoot 2017, points 3 and 5)"""

from __future__ import annotations

import numpy as np

from ...datasets.errors import UserError
from .agreement import agreement
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
        (all differences in Monte Carlo errors), ``relative`` (largest difference in posterior standard deviations), and the
        second fit's ``sampling``, ``rhat``, ``divergences``, ``warnings``.
    """
    ledger = ledger or Ledger()
    if JOB not in ledger.results:
        ledger.add(JOB, _compared(fit, prob, progress))
    return ledger.results[JOB]


def _compared(fit, prob: float, progress: bool) -> dict:
    from ..fitting import fit as fit_again

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
    return {
        "rows": rows, "count": len(table), "z": np.round(table["z"].to_numpy(), 4).tolist(),
        "relative": float((table["other"] - table["one"]).abs().div(table["sd"]).max()), "sampling": twice,
        "rhat": float(again.diagnostics["rhat"].max()), "divergences": again.divergences, "warnings": again.warnings,
    }  # fmt: skip
