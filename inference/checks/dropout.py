"""Dropout: did those who stopped answering do worse before they left?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...datasets.dropout import GAPS, left_early
from .answers import answers
from .check import Check, not_done
from .drawing import bars, few_ticks, ink, muted

TITLE = "Did those who stopped answering do worse before they left?"
TAIL = 0.01
LEAST = 5  # leavers from which something can be said


def check(fit, prob: float) -> Check:
    """The last answer of those who left early against their own earlier ones, and against replicates that leave at the same time.

    Dropout that depends on what was answered is allowed for by the likelihood; dropout that depends on capacity itself is not,
    and shows here in part, since the last answers are the nearest to it (Little & Rubin 2019, chapter 15).
    """
    left, _ = left_early(fit.study)
    mine = answers(fit)[0]
    counts = np.bincount(mine.clinician, minlength=left.size)
    usable = left & (counts >= 2)
    # the last answer of each, and the mean of those before it
    order = np.lexsort((mine.time, mine.clinician))
    final = order[np.flatnonzero(np.diff(mine.clinician[order], append=-1))]
    at = np.full(left.size, -1)
    at[mine.clinician[final]] = final
    share = (
        f"{left.sum()} of {left.size} clinicians stopped answering more than {GAPS:g} median gaps before the study's end, sooner than "
        "others"
    )
    if usable.sum() < LEAST:
        return not_done("dropout", TITLE, f"{share}: too few to tell whether they differed.")

    def fall(scores):
        """Mean over those who left of their last answer less the mean of their earlier ones."""
        total = np.zeros((len(scores), left.size))
        np.add.at(total, (slice(None), mine.clinician), scores)
        ends = scores[:, at[usable]]
        before = (total[:, usable] - ends) / (counts[usable] - 1)
        return (ends - before).mean(axis=1)

    observed, replicated = float(fall(mine.observed[None])[0]), fall(mine.replicated)
    above = float((replicated > observed).mean() + 0.5 * (replicated == observed).mean())
    tail = 2 * min(above, 1 - above)
    low, middle, high = np.quantile(replicated, ((1 - prob) / 2, 0.5, (1 + prob) / 2))
    means = np.bincount(mine.clinician, mine.observed, left.size) / np.maximum(counts, 1)
    stayed = ~left & (counts > 0)
    rows = [{"statistic": "last answer less the mean of earlier ones, of those who left", "observed": observed, "median": middle,
             "low": low, "high": high, "tail": tail}]  # fmt: skip
    if stayed.any():
        apart = means[usable].mean() - means[stayed].mean()
        rows.append({"statistic": "mean answer of those who left less that of the others", "observed": apart})
    table = pd.DataFrame(rows)
    passed = tail >= TAIL
    side = "below" if observed < 0 else "above"
    said = f"{share}. Their last answer lay {abs(observed):.1f} points {side} the mean of their earlier ones"
    if passed:
        said += f", as the model expects of anybody's answers then ({low:.1f} to {high:.1f})."
    else:
        worse = "worse" if observed < middle else "better"
        said += (
            f", where the model expects {low:.1f} to {high:.1f}: they left when they were doing {worse}, so dropout may depend on "
            "capacity. What they would have answered later cannot be known; the sensitivity panel says how far off it would have to be."
        )

    def draw(figure):
        axes = figure.subplots()
        bars(axes, replicated, 30)
        axes.axvline(observed, color=ink(), linewidth=1.6)
        axes.axvline(0, color=muted(), linewidth=0.9, linestyle=(0, (3, 3)))
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("last answer less the mean of earlier ones, points of 0\N{EN DASH}100")
        few_ticks(axes.xaxis, 6)

    caption = (
        "Line: observed, averaged over those who left early; bars: replicates of the same clinicians, who leave at the same time "
        "whatever they answer."
    )
    return Check("dropout", TITLE, passed, said, table, draw, caption=caption, height=2.2)
