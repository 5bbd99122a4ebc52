"""The three layers of spread: between clinicians, within a clinician over time, the single answer."""

from __future__ import annotations

from .axes import intervals, legend_below, plain_axis, rows_axis, soft_grid, truth_handle
from .style import BLUE, WIDTH, Drawn, new_figure

LAYERS = {
    "trait_sd": "between clinicians",
    "process_sd": "within a clinician, over time",
    "error_sd_total": "the single answer",
}


def draw(material) -> Drawn:
    table = material.population_table
    table = table[table["quantity"].isin(LAYERS)]
    table = table.set_index("quantity").loc[[name for name in LAYERS if name in set(table["quantity"])]].reset_index()
    has_truth = "truth" in table and table["truth"].notna().any()
    figure = new_figure(WIDTH, 1.75 + 0.25 * has_truth)
    axes = figure.add_subplot()
    intervals(axes, table if has_truth else table.drop(columns="truth", errors="ignore"), BLUE)
    rows_axis(axes, [LAYERS[name] for name in table["quantity"]])
    axes.set_xlim(left=0)
    plain_axis(axes.xaxis, 6)
    soft_grid(axes)
    axes.set_xlabel("standard deviation (points of 0\N{EN DASH}100)")
    legend_below(figure, [truth_handle()] if has_truth else [])
    return Drawn(
        figure,
        "Standard deviations between clinicians, within clinicians over time, and of single answers, with intervals.",
        "Dot: posterior median; line: interval. Differences between scores come from all three layers; only the first "
        "two are capacity.",
    )
