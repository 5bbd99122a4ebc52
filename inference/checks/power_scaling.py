"""Power-scaling sensitivity: would a slightly stronger or weaker prior, or likelihood, change the results?"""

from __future__ import annotations

import warnings

import numpy as np

from .check import Check, not_done
from .drawing import FIRST, SECOND, few_ticks, muted, rows, shortened

TITLE = "Do the results lean on the priors, or fight them?"
THRESHOLD = 0.05
# population quantities that are reported; standardised effects and single clinicians are left aside
SHOWN = (
    "level", "half_life", "alpha_population", "trait_sd", "process_sd", "error_sd_total", "rate_sd", "spread_sd",
    "level_change", "theta_alpha", "theta_beta", "drift", "gamma_alpha", "gamma_beta",
)  # fmt: skip
MOST_ROWS = 40


def check(fit, prob: float) -> Check:
    """`arviz.psense_summary` on the population's quantities (Kallioinen et al. 2024, Statistics and Computing 34).

    All priors are scaled together, and the likelihood of all clinicians; both by importance weights, without sampling.
    Passes where no quantity shows a conflict of prior and data.
    """
    import arviz as az

    posterior = fit.tree["posterior"].to_dataset()
    if posterior.sizes["chain"] * posterior.sizes["draw"] < 400:
        return not_done("power_scaling", TITLE, "There are too few draws.")
    names = [n for n in SHOWN if n in posterior and float(posterior[n].std()) > 0]
    with warnings.catch_warnings(), _without_log():
        warnings.simplefilter("ignore", UserWarning)
        found = az.psense_summary(fit.tree, var_names=names, threshold=THRESHOLD, round_to=6)
    table = found.rename_axis("quantity").reset_index()
    table["quantity"] = table["quantity"].astype(str)
    table = table[np.isfinite(table["prior"]) & np.isfinite(table["likelihood"])]
    leans = (table["prior"] > THRESHOLD) & (table["likelihood"] <= THRESHOLD)
    conflict = (table["prior"] >= THRESHOLD) & (table["likelihood"] >= THRESHOLD)
    table["diagnosis"] = np.select([conflict, leans], ["prior and data both pull", "leans on the prior"], "data decide")
    table = table[["quantity", "prior", "likelihood", "diagnosis"]].reset_index(drop=True)
    said = []
    for mask, words in (
        (leans, "Lean on the prior, since the data say little"),
        (conflict, "Move with the prior and with the data, so that prior and data may disagree"),
    ):
        chosen = table[mask.to_numpy()].sort_values("prior", ascending=False)
        if len(chosen):
            few = ", ".join(f"{shortened(r.quantity, 40)} ({r.prior:.2f})" for r in chosen.head(6).itertuples())
            said.append(f"{words}: {few}{f' and {len(chosen) - 6} more' if len(chosen) > 6 else ''}.")
    if not said:
        said.append(f"No quantity of the population is sensitive to the priors (threshold {THRESHOLD}).")
    shown = table.head(MOST_ROWS)

    def draw(figure):
        axes = figure.subplots()
        at = np.arange(len(shown))
        axes.axvline(THRESHOLD, color=muted(), linewidth=0.9, linestyle=(0, (3, 3)))
        for column, colour, marker in (("prior", SECOND, "s"), ("likelihood", FIRST, "o")):
            axes.plot(shown[column], at, linestyle="none", marker=marker, markersize=5, color=colour, markeredgewidth=0, label=column)
        rows(axes, [shortened(n) for n in shown["quantity"]])
        few_ticks(axes.xaxis, 6)
        axes.set_xlabel("sensitivity: change of the posterior as prior or likelihood is scaled")
        figure.legend(loc="outside lower center", ncols=2)

    caption = (
        "How far the posterior moves when the prior (square) or the likelihood (dot) is raised to a power near 1; dashed: "
        f"{THRESHOLD}, below which it is not worth mentioning."
    )
    return Check("power_scaling", TITLE, not conflict.any(), " ".join(said), table, draw, caption=caption, height=1.4 + 0.2 * len(shown))


def _without_log():
    """ArviZ logs its advice; ours is the sentence."""
    import logging
    from contextlib import contextmanager

    @contextmanager
    def quiet():
        loggers = [logging.getLogger(n) for n in ("arviz_stats", "arviz.stats", "arviz_stats.psense")]
        before = [log.level for log in loggers]
        for log in loggers:
            log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for log, level in zip(loggers, before, strict=True):
                log.setLevel(level)

    return quiet()


