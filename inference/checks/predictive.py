"""Posterior predictive checks: would the fitted model have produced answers like these?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from .answers import Answers, answers, first_starts
from .check import Check, not_done
from .drawing import bars, few_ticks, ink, panels, shortened
from .statistics import statistics_of

TITLE = "Does the model reproduce the answers?"
ERROR = 0.05  # chance of a statistic said to be off where the model is right, over all statistics (Bonferroni)
LEAST = 100  # replicates that such small tails need


def check(fit, prob: float) -> Check:
    """Level, spread, autocorrelation, ends of the scale, changes after starts and drift: observed against replicated.

    Replicates are new paths and new errors of the same clinicians at the same times, rounded and cut as the
    questionnaire does (Gelman, Meng & Stern 1996). Their tail probabilities err on the side of passing.
    """
    table, replicates, found = statistics(fit, prob)
    known = table[table["tail"].notna()]
    drawn = len(found[0].replicated) if found else 0
    if known.empty or drawn < LEAST:
        return not_done("predictive", TITLE, "There are too few draws or answers to compare replicated answers with the observed ones.")
    several = len(found) > 1
    odd = far_out(known, drawn)
    said = f"{inside(known)} of {len(known)} statistics of the answers lie within the {100 * prob:.4g} % interval of their replicates"
    if odd.empty:
        said += "; none is further out than chance would put one of so many."
    else:
        said += f". Not reproduced: {told(odd, 'replicated', several)}."

    caption = (
        "Line: observed; bars: the same statistic of answers replicated from the fitted model, with new paths and new errors of "
        "the same clinicians at the same times. A line far out in the tail is something that the model does not reproduce."
    )
    return Check("predictive", TITLE, odd.empty, said, table, lambda figure: histograms(figure, known, replicates, several),
                 caption=caption, height=height_of(known))  # fmt: skip


def far_out(known: pd.DataFrame, drawn: int) -> pd.DataFrame:
    """Statistics further out than chance would put any of so many, as far as so many replicates can tell."""
    return known[known["tail"] < max(ERROR / len(known), 1.5 / drawn)]


def inside(known: pd.DataFrame) -> int:
    """How many statistics lie in the interval of their replicates."""
    return int(((known["low"] <= known["observed"]) & (known["observed"] <= known["high"])).sum())


def told(odd: pd.DataFrame, verb: str, several: bool) -> str:
    """Statistics with the interval of their replicates; with their score's name where there are several."""
    return "; ".join(
        f"{r.statistic}{f' of {r.score}' if several else ''} {r.observed:.3g}, {verb} {r.low:.3g} to {r.high:.3g}" for r in odd.itertuples()
    )


def histograms(figure, known: pd.DataFrame, replicates: dict[int, np.ndarray], several: bool) -> None:
    """One panel for each statistic: its replicates, and the observed value."""
    for axes, (n, row) in zip(panels(figure, len(known)), known.iterrows(), strict=True):
        bars(axes, replicates[n], 24)
        axes.axvline(row["observed"], color=ink(), linewidth=1.6)
        label = f"{row['score']}: {row['statistic']}" if several else row["statistic"]
        axes.set_title(shortened(label, 40), fontsize=7.5, fontweight="normal")
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.margins(x=0.08)
        few_ticks(axes.xaxis, 4)


def height_of(known: pd.DataFrame) -> float:
    """Inches for so many panels."""
    return 0.4 + 1.15 * -(-len(known) // 3)


def statistics(fit, prob: float, found: list[Answers] | None = None) -> tuple[pd.DataFrame, dict[int, np.ndarray], list[Answers]]:
    """Statistics of the observed and of the replicated answers; ``found`` are answers with other replicates.

    Returns
    -------
    table : DataFrame
        One row for each score and statistic: score, statistic, observed, median, low, high (replicates), p_above (share of
        replicates above the observed value, equal ones counted half), tail (twice the smaller tail).
    replicates : dict of int to array
        Row of the table -> the statistic in each replicate.
    answers : list of Answers
    """
    found = answers(fit) if found is None else found
    facts = fit.facts["study"]
    starts, rows, replicates = first_starts(fit), [], {}
    edge = (1 - prob) / 2
    for mine in found:
        gap, n_units = facts["description"]["gap"]["median"], fit.tree["constant_data"].sizes["unit"]
        for name, statistic in statistics_of(mine, gap, starts, facts["interventions"], n_units).items():
            value, repeated = float(statistic(mine.observed[None])[0]), statistic(mine.replicated)
            usable = repeated[np.isfinite(repeated)]
            known = usable.size > 0 and np.isfinite(value)
            low, middle, high = np.quantile(usable, [edge, 0.5, 1 - edge]) if usable.size else [np.nan] * 3
            equal = np.isclose(usable, value, rtol=0, atol=1e-9)
            above = float(((usable > value) & ~equal).mean() + 0.5 * equal.mean()) if known else np.nan
            replicates[len(rows)] = repeated
            rows.append(
                {"score": mine.score, "statistic": name, "observed": value, "median": middle, "low": low, "high": high,
                 "p_above": above, "tail": 2 * min(above, 1 - above) if known else np.nan}
            )  # fmt: skip
    columns = ["score", "statistic", "observed", "median", "low", "high", "p_above", "tail"]
    return pd.DataFrame(rows, columns=columns), replicates, found
