"""Forest of the interventions: ratio on alpha, ratio on beta, change of C*."""

from __future__ import annotations

from ..format import short
from .axes import (
    intervals,
    intervention_colour,
    legend_below,
    plain_axis,
    ratio_axis,
    reference,
    rows_axis,
    soft_grid,
    truth_handle,
)
from .style import MUTED, WIDTH, Drawn, new_figure

PANELS = {
    "ratio_alpha": ("replenishment α", "ratio, on to off"),
    "ratio_beta": ("depletion β", "ratio, on to off"),
    "capacity_change": ("steady state C*", "change (points of 0\N{EN DASH}100)"),
}


def draw(material) -> Drawn | None:
    if not material.interventions:
        return None
    table = material.intervention_table
    names = material.interventions
    has_truth = "truth" in table
    figure = new_figure(WIDTH, 1.35 + 0.42 * len(names) + 0.25 * has_truth)
    all_axes = figure.subplots(1, 3, sharey=True)
    ratios = table[table["effect"].isin(["ratio_alpha", "ratio_beta"])]
    drawn = ratios[[c for c in ("low", "high", "truth") if c in ratios]]
    for axes, (effect, (title, label)) in zip(all_axes, PANELS.items(), strict=True):
        rows = table[table["effect"] == effect].reset_index(drop=True)
        for k, row in enumerate(rows.index):
            if effect.startswith("ratio") and not rows.loc[row, "sd"] > 0:
                axes.text(1, k - 0.12, "held at 1", ha="center", va="bottom", fontsize=8, color=MUTED)
            else:
                intervals(axes, rows.loc[[row]], intervention_colour(k), [k], thick=2.6, dot=6)
        rows_axis(axes, [short(n, 24) for n in names], 9)
        if effect.startswith("ratio"):
            ratio_axis(axes, drawn.min().min(), drawn.max().max())
            reference(axes, 1)
        else:
            plain_axis(axes.xaxis, 4)
            reference(axes, 0)
        soft_grid(axes)
        axes.set_title(title)
        axes.set_xlabel(label)
    legend_below(figure, [truth_handle()] if has_truth else [])
    return Drawn(
        figure,
        "Effects of the interventions on replenishment, depletion and steady state, with intervals.",
        "Dot: posterior median; line: interval; dashed: no effect. The change of C* is averaged over all clinicians "
        "studied.",
    )
