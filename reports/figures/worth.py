"""Forest of the comparisons: change of C*, of the half-life, and of capacity gained, for everyone."""

from __future__ import annotations

import numpy as np

from ..format import short
from .axes import (
    intervals,
    intervention_colour,
    legend_below,
    plain_axis,
    reference,
    rows_axis,
    soft_grid,
    truth_handle,
)
from .style import BLUE, WIDTH, Drawn, new_figure

MOST_ROWS = 24


def draw(material) -> Drawn | None:
    table = material.estimand_table
    if table is None:
        return None
    unit = material.time_unit
    panels = {
        "capacity_change": ("steady state C*", "change (points of 0\N{EN DASH}100)"),
        "half_life_change": ("half-life", f"change ({unit}s)"),
        "area": ("gained up to the horizon", f"points x {unit}s"),
        "time_to_90": ("time to 90 %", f"of the effect on C ({unit}s)"),
    }
    table = table[(table["group"] == table["group"].iloc[0]) & (table["against"] != "")]
    panels = {name: words for name, words in panels.items() if (table["estimand"] == name).any()}
    if "area" in panels:
        panels.pop("time_to_90", None)
    pairs = table[["option", "against"]].drop_duplicates()[:MOST_ROWS]
    if pairs.empty or not panels:
        return None
    has_truth = "truth" in table and table["truth"].notna().any()
    names = [f"{short(o, 24)}\nagainst {short(a, 24)}" for o, a in pairs.itertuples(index=False)]
    figure = new_figure(WIDTH, 1.25 + 0.46 * len(names) + 0.25 * has_truth)
    all_axes = np.atleast_1d(figure.subplots(1, len(panels), sharey=True))
    for axes, (estimand, (title, label)) in zip(all_axes, panels.items(), strict=True):
        rows = table[table["estimand"] == estimand].set_index(["option", "against"])
        for n, pair in enumerate(pairs.itertuples(index=False, name=None)):
            if pair in rows.index and np.isfinite(rows.loc[pair, "median"]):
                shown = rows.loc[[pair]] if has_truth else rows.loc[[pair]].drop(columns="truth", errors="ignore")
                known = pair[0] in material.interventions and pair[1] not in material.interventions
                colour = intervention_colour(material.interventions.index(pair[0])) if known else BLUE
                intervals(axes, shown, colour, [n], thick=2.4, dot=5.5)
        rows_axis(axes, names, 8)
        plain_axis(axes.xaxis, 4)
        if estimand != "time_to_90":
            reference(axes, 0)
        soft_grid(axes)
        axes.set_title(title)
        axes.set_xlabel(label)
    legend_below(figure, [truth_handle()] if has_truth else [])
    return Drawn(
        figure,
        f"What programmes are worth: {len(names)} comparisons with intervals.",
        "Dot: posterior median; line: interval; dashed: no effect. Averaged over "
        f"{table['group'].iloc[0]}, from every posterior draw.",
    )
