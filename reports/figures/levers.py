"""Which lever an intervention moves: its effects on alpha and beta, drawn against each other."""

from __future__ import annotations

import numpy as np

from ..format import short
from .axes import intervention_colour, legend_below, ratio_axis, truth_handle
from .style import MUTED, TRUTH, WIDTH, Drawn, new_figure

MOST_DRAWS = 500
MOST_PANELS = 9


def draw(material) -> Drawn | None:
    shown = [k for k in range(len(material.interventions)) if _both_move(material, k)][:MOST_PANELS]
    if not shown:
        return None
    ratio = {lever: np.exp(material.samples(f"theta_{lever}")) for lever in ("alpha", "beta")}
    chosen = np.linspace(0, material.draws - 1, min(material.draws, MOST_DRAWS)).astype(int)
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    side = WIDTH / 3 if columns == 3 else 2.9
    figure = new_figure(side * columns, 0.6 + 0.3 * ("truth" in material.intervention_table) + side * 0.95 * rows)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    both = np.concatenate([ratio[lever][:, shown].ravel() for lever in ratio])
    low, high = np.quantile(both, [0.002, 0.998])
    table = material.intervention_table
    has_truth = "truth" in table
    for axes, k in zip(grid.flat, shown, strict=False):
        axes.plot(ratio["alpha"][chosen, k], ratio["beta"][chosen, k], linestyle="none", marker="o", markersize=2.2,
                  color=intervention_colour(k), alpha=0.35, markeredgewidth=0)  # fmt: skip
        ratio_axis(axes, low, high)
        limits = axes.get_xlim()
        axes.set_yscale("log")
        axes.set_ylim(limits)
        axes.yaxis.set_major_locator(axes.xaxis.get_major_locator())
        axes.yaxis.set_major_formatter(axes.xaxis.get_major_formatter())
        axes.yaxis.set_minor_locator(axes.xaxis.get_minor_locator())
        axes.plot(limits, limits, color=MUTED, linewidth=0.9)
        for line in (axes.axvline, axes.axhline):
            line(1, color=MUTED, linewidth=0.8, linestyle=(0, (3, 3)))
        if has_truth:
            mine = table[table["intervention"] == material.interventions[k]].set_index("effect")["truth"]
            axes.plot(mine.get("ratio_alpha"), mine.get("ratio_beta"), linestyle="none", marker="D", markersize=6,
                      color="none", markeredgecolor=TRUTH, markeredgewidth=1.5)  # fmt: skip
        axes.set_title(short(material.interventions[k], 26 if columns < 3 else 22))
        axes.set_box_aspect(1)
    for axes in grid.flat[len(shown) :]:
        axes.set_visible(False)
    for n, axes in enumerate(grid.flat[: len(shown)]):
        lowest = n + columns >= len(shown)
        axes.tick_params(labelbottom=lowest)
        axes.set_xlabel("ratio on replenishment α" if lowest else "")
        axes.set_ylabel("" if n % columns else "ratio on depletion β")
    legend_below(figure, [truth_handle()] if has_truth else [])
    return Drawn(
        figure,
        "Posterior draws of each intervention's ratio on replenishment against its ratio on depletion.",
        "Each dot is a posterior draw. Below the diagonal C* rises, above it falls. A cloud stretched along the "
        "diagonal "
        "means that the change of C* is known better than the lever that made it.",
    )


def _both_move(material, k: int) -> bool:
    return all(np.ptp(material.samples(f"theta_{lever}")[:, k]) > 0 for lever in ("alpha", "beta"))
