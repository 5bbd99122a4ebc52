"""Twice the draws from another seed give the same answers within Monte Carlo error."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..refits.agreement import LEVEL, limit
from .check import Check, not_done
from .drawing import FIRST, few_ticks, muted

TITLE = "Do twice the draws from another seed say the same?"


def check(fit, prob: float, evidence: dict | None) -> Check:
    """Means, medians and interval ends of two runs; see `refits.doubling` and `refits.agreement`.

    Passes where the second run converged and no number differs by more than chance would put on any of so many (1 %).
    """
    if evidence is None:
        return not_done("doubling", TITLE, "Not done: `equipoise run --doubling` samples twice the draws from another seed.")
    z = np.array([v for v in evidence["z"] if v is not None], float)
    most = limit(evidence["count"])
    out = int((np.abs(z) > most).sum())
    usual = float((np.abs(z) > 1.96).mean())
    sampling = evidence["sampling"]
    said = (
        f"With {sampling['chains']} chains of {sampling['draws']} draws and another seed, {evidence['count']} numbers (means, medians "
        f"and ends of intervals) differ by at most {np.abs(z).max():.1f} of their Monte Carlo errors (limit for so many: {most:.1f}), "
        f"that is at most {100 * evidence['relative']:.0f} % of a posterior standard deviation; {100 * usual:.0f} % differ by more than "
        "1.96 (5 % expected)."
    )
    if out:
        said += f" {out} differ by more than chance: the first run, or the second, had not converged."
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
    passed = not out and not evidence["warnings"]
    return Check("doubling", TITLE, passed, said, table, draw, caption=caption, height=2.6)
