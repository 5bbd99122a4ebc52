"""Leaving out one answer at a time: how well each is predicted by the others, and which ones the fit leans on."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...datasets.errors import list_some
from ..convergence import SAMPLE
from ..leave_one_out import Unusable, elpd
from ..psis import good_k
from .check import Check, not_done
from .drawing import FIRST, SECOND, few_ticks, muted

TITLE = "Can each answer be predicted from the others?"
MOST_NAMED = 5
MOST_ROWS = 40
FEW = 0.01


def check(fit, prob: float) -> Check:
    """PSIS-LOO for each answer, from the smoother's leave-one-out densities (see `derive.survey_log_likelihood`).

    Passes where at most one answer in a hundred has a Pareto k above 0.7 (less for few
    draws: Vehtari et al. 2024, JMLR 25) and none above 1.
    """
    values = fit.tree["log_likelihood_survey"]["scores"].transpose(*SAMPLE, "survey")
    try:
        found = elpd(values.to_numpy(), lambda _: fit.survey_weights)
    except Unusable as reason:
        return not_done("loo", TITLE, f"Not possible: {reason}.")
    constant = fit.tree["constant_data"].to_dataset()
    rows = values["survey"].to_numpy()
    names = fit.tree["posterior"]["clinician"].to_numpy().astype(str)
    who = constant["survey_clinician"].to_numpy().astype(int)[rows]
    k, each = found.pareto_k.to_numpy(), found.elpd_i.to_numpy()
    order = np.argsort(-k, kind="stable")
    table = pd.DataFrame({
        "clinician": names[who], "time": constant["survey_time"].to_numpy().astype(float)[rows],
        "score_0_100": fit.tree["observed_data"]["scores"].to_numpy().astype(float)[rows], "elpd": each, "pareto_k": k,
    }).iloc[order[:MOST_ROWS]].reset_index(drop=True)  # fmt: skip
    limit = good_k(values.sizes["chain"] * values.sizes["draw"])
    bad = k > limit
    passed = bool(bad.mean() <= FEW and k.max() <= 1)
    said = (
        f"Leaving out each of {k.size} answers in turn, the log predictive density sums to {found.elpd:.0f} (standard error "
        f"{found.se:.0f}), with {found.p:.0f} effective parameters."
    )
    if bad.any():
        counts = pd.Series(names[who[bad]]).value_counts()
        told = list_some([f"{name} ({n})" for name, n in counts.items()], MOST_NAMED)
        said += (
            f" Pareto k is above {limit:.2g} for {bad.sum()} of them (highest {k.max():.2f}): the fit leans on these answers, and their "
            f"densities are not reliable{', but they are few' if passed else ''}. They are of {told}."
        )
    else:
        said += f" Pareto k is at most {k.max():.2f}, so no single answer moves the fit much."

    def draw(figure):
        axes = figure.subplots()
        at = np.arange(k.size)
        axes.scatter(at[~bad], k[~bad], s=5, color=FIRST, alpha=0.5, linewidth=0, rasterized=k.size > 5000)
        axes.scatter(at[bad], k[bad], s=14, color=SECOND, linewidth=0)
        axes.axhline(limit, color=muted(), linewidth=0.9, linestyle=(0, (3, 3)))
        axes.set_xlabel("answers, in the order of clinicians and times")
        axes.set_ylabel("Pareto k")
        few_ticks(axes.yaxis, 5)
        axes.margins(x=0.01)

    caption = (
        f"Pareto k of each answer; dashed: {limit:.2g}, above which leaving the answer out would move the fit too much to be judged "
        "without fitting again."
    )
    return Check("loo", TITLE, passed, said, table, draw, caption=caption, height=2.6)
