"""Caterpillar of the units: alpha, beta and C* of each unit's median clinician."""

from __future__ import annotations

import numpy as np

from ..format import short
from .axes import intervals, legend_below, plain_axis, reference, rows_axis, soft_grid, truth_handle
from .style import BLUE, WIDTH, Drawn, new_figure

MOST_ROWS = 80


def draw(material) -> Drawn | None:
    if len(material.unit_names) < 2:
        return None
    table = material.unit_table
    wide = {name: table[table["quantity"] == name].set_index("unit") for name in ("alpha", "beta", "capacity")}
    order = wide["capacity"]["median"].sort_values(kind="stable", ascending=False).index
    left_out = len(order) - MOST_ROWS
    if left_out > 0:
        order = order[np.linspace(0, len(order) - 1, MOST_ROWS).round().astype(int)]
    per_row = 0.25 if len(order) <= 20 else 0.16 if len(order) <= 45 else 0.115
    has_truth = "truth" in table
    figure = new_figure(WIDTH, 1.1 + per_row * len(order) + 0.25 * has_truth)
    size = min(8.5, per_row * 58)
    all_axes = figure.subplots(1, 3, sharey=True)
    unit = material.time_unit
    titles = {
        "capacity": ("steady state C*", "points of 0\N{EN DASH}100"),
        "alpha": ("replenishment α", f"points per {unit}"),
        "beta": ("depletion β", f"per {unit}"),
    }
    for axes, (name, (title, label)) in zip(all_axes, titles.items(), strict=True):
        intervals(
            axes, wide[name].loc[order], BLUE, thick=1.8 if per_row > 0.12 else 1.2, dot=4.5 if per_row > 0.12 else 3.2
        )
        rows_axis(axes, [short(n, 22) for n in order], size)
        population = material.row(material.population_table, quantity=name)
        reference(axes, population["median"])
        soft_grid(axes)
        plain_axis(axes.xaxis, 4)
        axes.set_title(title)
        axes.set_xlabel(label)
    legend_below(figure, [truth_handle()] if has_truth else [])
    return Drawn(
        figure,
        f"Steady state, replenishment and depletion of {len(order)} units with intervals, in the order of C*.",
        "Dot: posterior median; line: interval; dashed: the population's median clinician. Units in the order of C*."
        + (f" {left_out} units left out, evenly over the ranks." if left_out > 0 else ""),
    )
