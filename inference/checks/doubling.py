"""Twice the draws from another seed give the same answers within Monte Carlo error."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from ..refits.agreement import LEVEL, limit
from .check import Check, not_done
from .drawing import FIRST, few_ticks, muted

TITLE = "Do twice the draws from another seed say the same?"
USUAL = 1.96  # Monte Carlo errors that one difference in twenty passes
SPREADS = 3.0  # standard deviations by which the share of those may pass it


def check(fit, prob: float, evidence: dict | None) -> Check:
    """Means, medians and interval ends of two runs; see `refits.doubling` and `refits.agreement`.

    Passes where the second run converged, no number differs by more than chance would put on any of so many (1 %), and the share of
    those beyond 1.96 Monte Carlo errors is no more than 5 % and three standard deviations, as many as the quantities are worth.
    """
    if evidence is None:
        return not_done("doubling", TITLE, "Not done: `equipoise run --doubling` samples twice the draws from another seed.")
    z = np.array([v for v in evidence["z"] if v is not None], float)
    most = limit(evidence["count"])
    out = int((np.abs(z) > most).sum())
    usual = float((np.abs(z) > USUAL).mean())
    allowed = 0.05 + SPREADS * math.sqrt(0.05 * 0.95 / evidence["independent"])
    sampling = evidence["sampling"]
    said = (
        f"With {sampling['chains']} chains of {sampling['draws']} draws and another seed, {evidence['count']} numbers (means, medians "
        f"and ends of intervals) differ by at most {np.abs(z).max():.1f} of their Monte Carlo errors (limit for so many: {most:.1f}); "
        f"{100 * usual:.0f} % differ by more than {USUAL} "
        f"(5 % expected, up to {100 * min(allowed, 1):.0f} % by chance, since quantities go together)."
    )
    shift = f"{100 * evidence['relative']:.3g} % of a posterior standard deviation"
    if evidence["percent"] is not None:
        shift += f", and by {evidence['percent']:.3g} % of themselves where their sign is known"
    said += f" Means of the population and of effects differ by at most {shift}."
    said += f" In the second run R-hat is at most {evidence['rhat']:.3f}, the effective sample size at least {evidence['ess']:.0f}."
    if out:
        said += f" {out} differ by more than chance: the first run, or the second, had not converged."
    elif usual > allowed:
        said += " Too many differ somewhat: the first run, or the second, had not converged."
    if evidence["warnings"]:
        said += f" The second run: {' '.join(evidence['warnings'])}"
    table = pd.DataFrame(evidence["rows"])[["quantity", "what", "one", "other", "mcse", "z"]]
    table = table.rename(columns={"one": "as fitted", "other": "twice the draws", "mcse": "Monte Carlo error of the difference"})

    def draw(figure):
        axes = figure.subplots()
        size = np.sort(np.abs(z))
        axes.plot(size, np.arange(1, size.size + 1) / size.size, color=FIRST, drawstyle="steps-post")
        from scipy.stats import halfnorm

        grid = np.linspace(0, max(most, size[-1]), 200)
        axes.plot(grid, halfnorm.cdf(grid), color=muted(), linewidth=0.9, linestyle=(0, (3, 3)))
        axes.axvline(most, color=muted(), linewidth=0.9)
        axes.set_xlabel("difference in Monte Carlo errors")
        axes.set_ylabel("share of numbers")
        few_ticks(axes.xaxis, 6)

    caption = (
        f"Line: differences between the two runs; dashed: what chance makes of independent ones; upright: the limit that none of so many "
        f"passes, but with a chance of {100 * LEVEL:.0f} %."
    )
    passed = not out and usual <= allowed and not evidence["warnings"]
    return Check("doubling", TITLE, passed, said, table, draw, caption=caption, height=2.6)
