"""What a standard deviation of each covariate does to alpha and to beta."""

from __future__ import annotations

import numpy as np

from ..format import short
from .axes import intervals, legend_below, ratio_axis, reference, rows_axis, soft_grid, truth_handle
from .style import BLUE, WIDTH, Drawn, new_figure

LEVERS = {"gamma_alpha": "on replenishment α", "gamma_beta": "on depletion β"}


def draw(material) -> Drawn | None:
    table = material.population_table
    panels = {lever: table[table["quantity"].str.startswith(lever + "[")].copy() for lever in LEVERS}
    panels = {lever: panel for lever, panel in panels.items() if len(panel)}
    if not panels:
        return None
    terms = list(dict.fromkeys(q[len(lever) + 1 : -1] for lever, panel in panels.items() for q in panel["quantity"]))
    has_truth = any("truth" in p and p["truth"].notna().any() for p in panels.values())
    figure = new_figure(WIDTH, 1.2 + 0.3 * len(terms) + 0.25 * has_truth)
    all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    ends = [(p["low"].min(), p["high"].max()) for p in panels.values()]
    low, high = np.exp(min(e[0] for e in ends)), np.exp(max(e[1] for e in ends))
    for axes, (lever, panel) in zip(all_axes, panels.items(), strict=True):
        rows = [terms.index(q[len(lever) + 1 : -1]) for q in panel["quantity"]]
        drawn = [c for c in ("median", "low", "high", "truth") if c in panel]
        panel[drawn] = np.exp(panel[drawn])
        intervals(axes, panel, BLUE, rows)
        rows_axis(axes, [short(t) for t in terms])
        ratio_axis(axes, low, high)
        reference(axes, 1)
        soft_grid(axes)
        axes.set_title(LEVERS[lever])
        axes.set_xlabel("ratio for +1 SD")
    legend_below(figure, [truth_handle()] if has_truth else [])
    return Drawn(
        figure,
        "Ratios by which one standard deviation of each covariate changes replenishment and depletion, with intervals.",
        "Ratio for one standard deviation more of the covariate; 1 (dashed): no difference. “(mean)” compares "
        "clinicians, "
        "“(deviation)” the same clinician at different times.",
    )
