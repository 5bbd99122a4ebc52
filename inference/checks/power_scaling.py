"""Power-scaling sensitivity: would a slightly stronger or weaker prior, or likelihood, change the results?"""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager

import numpy as np
import pandas as pd
import xarray as xr

from ...datasets.errors import list_some
from .check import Check, not_done
from .drawing import FIRST, SECOND, few_ticks, muted, rows, shortened, worded
from .learnt import learnt

TITLE = "Do priors and data agree?"
THRESHOLD = 0.05
FAR = 2.0
PLACE = "furthest of its priors' parameters from the centre (prior SDs)"
# population quantities that are reported, each with the priors that are its own
OWN = {
    "level": ("level",), "half_life": ("half_life",), "alpha_population": ("level", "half_life"),
    "trait_sd": ("total_sd", "variance_shares"), "process_sd": ("total_sd", "variance_shares"),
    "error_sd_total": ("total_sd", "variance_shares"), "rate_sd": ("rate_sd",), "spread_sd": ("spread_sd",),
    "level_change": ("level_change",), "theta_alpha": ("level_change", "speed_up"), "theta_beta": ("level_change", "speed_up"),
    "drift": ("drift",), "gamma_alpha": ("covariate_level", "covariate_speed"), "gamma_beta": ("covariate_level", "covariate_speed"),
}  # fmt: skip
MOST_ROWS = 40


def check(fit, prob: float) -> Check:
    """`arviz.psense_summary` on the population's quantities (Kallioinen et al. 2024, Statistics and Computing 34).

    Each quantity's own prior is scaled, all priors together, and the likelihood of all clinicians, by importance weights,
    without sampling. A small study moves with its priors whatever they are, so that alone is no fault: the check passes where no
    quantity that moves with its own prior lies far out in it, which is what a conflict of prior and data looks like.
    """
    posterior = fit.tree["posterior"].to_dataset()
    if posterior.sizes["chain"] * posterior.sizes["draw"] < 400:
        return not_done("power_scaling", TITLE, "There are too few draws.")
    names = [n for n in OWN if n in posterior and float(posterior[n].std()) > 0]
    table = _scaled(fit, names, None).rename(columns={"prior": "all priors"})
    own = pd.concat([_scaled(fit, [n for n in names if OWN[n] == priors], priors) for priors in dict.fromkeys(OWN[n] for n in names)])
    table = table.merge(own[["quantity", "prior"]], how="left", on="quantity")
    table["place"] = _places(fit, prob, table["quantity"])
    sensitive = table["prior"] >= THRESHOLD
    conflict = sensitive & (table["place"].abs() > FAR)
    leans = sensitive & ~conflict & (table["prior"] >= table["likelihood"])
    table["diagnosis"] = np.select(
        [conflict, leans, sensitive], ["prior and data disagree", "leans on its prior", "data and prior"], "data decide"
    )
    table = table.rename(columns={"prior": "own prior", "place": PLACE})
    table = table[["quantity", "diagnosis", "own prior", "all priors", "likelihood", PLACE]]
    said = []
    for mask, words in (
        (conflict, f"Prior and data disagree (the posterior lies more than {FAR:g} of the prior's SDs from its centre and moves with it)"),
        (leans, "Lean on their own prior, since the data say little"),
        (sensitive & ~conflict & ~leans, "Move with their own prior as well as with the data, and lie within it"),
    ):
        chosen = table[mask.to_numpy()].sort_values("own prior", ascending=False)
        if len(chosen):
            each = [f"{worded(n, 40)} ({v:.2f})" for n, v in zip(chosen["quantity"], chosen["own prior"], strict=True)]
            said.append(f"{words}: {list_some(each, 6)}.")
    if not said:
        said.append(f"No quantity of the population is sensitive to its own prior (threshold {THRESHOLD}).")
    together = table[(table["all priors"] >= THRESHOLD) & (table["diagnosis"] == "data decide")]["quantity"]
    if len(together):
        said.append(f"All priors together move {list_some([worded(q, 30) for q in together], 4)} a little.")
    shown = table.head(MOST_ROWS)

    def draw(figure):
        axes = figure.subplots()
        at = np.arange(len(shown))
        axes.axvline(THRESHOLD, color=muted(), linewidth=0.9, linestyle=(0, (3, 3)))
        for column, colour, marker in (("own prior", SECOND, "s"), ("all priors", SECOND, "|"), ("likelihood", FIRST, "o")):
            edge = {"markeredgewidth": 0} if marker != "|" else {}
            axes.plot(shown[column], at, linestyle="none", marker=marker, markersize=5, color=colour, label=column, **edge)
        rows(axes, [shortened(n) for n in shown["quantity"]])
        few_ticks(axes.xaxis, 6)
        axes.set_xlabel("sensitivity: change of the posterior as prior or likelihood is scaled")
        figure.legend(loc="outside lower center", ncols=3)

    caption = (
        "How far the posterior moves when a quantity's own prior (square), all priors (bar) or the likelihood (dot) is raised to a power "
        f"near 1; dashed: {THRESHOLD}, below which it is not worth mentioning."
    )
    return Check("power_scaling", TITLE, not conflict.any(), " ".join(said), table, draw, caption=caption, height=1.4 + 0.2 * len(shown))


def _places(fit, prob: float, quantities) -> list[float]:
    """Where the posterior median lies in the quantity's own priors, in their standard deviations; the furthest of several."""
    z = learnt(fit, prob).set_index("quantity")["median_z"].to_dict()
    out = []
    for quantity in quantities:
        name, _, label = quantity.partition("[")
        own = [z[key] for p in OWN[name] if (key := f"{p}[{label}" if label else p) in z]
        out.append(max(own, key=abs, default=np.nan))
    return out


def _scaled(fit, names: list[str], priors: tuple[str, ...] | None) -> pd.DataFrame:
    """Sensitivity of quantities to some priors (all without them) and to the likelihood."""
    import arviz as az

    chosen = None if priors is None else [p for p in priors if p in fit.tree["log_prior"]]
    with warnings.catch_warnings(), _without_log():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", RuntimeWarning)  # elements that do not move (a lever without the covariate) have none
        found = az.psense_summary(_needed(fit), var_names=names, prior_var_names=chosen, threshold=THRESHOLD, round_to=6)
    table = found.rename_axis("quantity").reset_index()
    table["quantity"] = table["quantity"].astype(str)
    return table[np.isfinite(table["prior"]) & np.isfinite(table["likelihood"])][["quantity", "prior", "likelihood"]]


def _needed(fit) -> xr.DataTree:
    """The population's draws, and the likelihood of all clinicians as the one number of each draw that is scaled."""
    posterior = fit.tree["posterior"].to_dataset()
    total = fit.tree["log_likelihood"].to_dataset().sum("clinician")
    prior = fit.tree["log_prior"].to_dataset()
    return xr.DataTree.from_dict({"posterior": posterior[[n for n in OWN if n in posterior]], "log_likelihood": total, "log_prior": prior})


@contextmanager
def _without_log():
    """ArviZ logs its advice; ours is the sentence."""
    loggers = [logging.getLogger(n) for n in ("arviz_stats", "arviz.stats", "arviz_stats.psense")]
    before = [log.level for log in loggers]
    for log in loggers:
        log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for log, level in zip(loggers, before, strict=True):
            log.setLevel(level)
