"""Which lever an intervention moves: what replenishment and what slower depletion add to the change of log C*."""

from __future__ import annotations

import numpy as np

from ..format import short
from .axes import intervention_colour, legend_below, plain_axis, truth_handle
from .style import MUTED, TRUTH, WIDTH, Drawn, new_figure

MOST_DRAWS = 500
MOST_PANELS = 9


def draw(material) -> Drawn | None:
    shown = [k for k in range(len(material.interventions)) if _both_move(material, k)][:MOST_PANELS]
    if not shown:
        return None
    parts = {"x": material.samples("theta_alpha"), "y": -material.samples("theta_beta")}
    chosen = np.linspace(0, material.draws - 1, min(material.draws, MOST_DRAWS)).astype(int)
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    side = WIDTH / 3 if columns == 3 else 3.1
    figure = new_figure(side * columns, 0.6 + 0.3 * ("truth" in material.intervention_table) + side * 0.95 * rows)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    reach = 1.1 * max(np.abs(np.quantile(part[:, shown], [0.002, 0.998])).max() for part in parts.values())
    reach = max(reach, 0.15)
    table = material.intervention_table
    has_truth = "truth" in table
    for axes, k in zip(grid.flat, shown, strict=False):
        for percent in _LINES:
            total = np.log1p(percent / 100)
            if abs(total) < 1.6 * reach:
                axes.plot([-reach, reach], [total + reach, total - reach], color=MUTED, linewidth=0.7, alpha=0.55)
                _label(axes, total, percent, reach)
        for line in (axes.axvline, axes.axhline):
            line(0, color=MUTED, linewidth=0.8, linestyle=(0, (3, 3)))
        axes.plot(parts["x"][chosen, k], parts["y"][chosen, k], linestyle="none", marker="o", markersize=2.2,
                  color=intervention_colour(k), alpha=0.35, markeredgewidth=0)  # fmt: skip
        if has_truth:
            mine = table[table["intervention"] == material.interventions[k]].set_index("effect")["truth"]
            axes.plot(np.log(mine.get("ratio_alpha")), -np.log(mine.get("ratio_beta")), linestyle="none", marker="D",
                      markersize=6, color="none", markeredgecolor=TRUTH, markeredgewidth=1.5)  # fmt: skip
        axes.set_xlim(-reach, reach)
        axes.set_ylim(-reach, reach)
        axes.set_title(short(material.interventions[k], 26 if columns < 3 else 22))
        axes.set_box_aspect(1)
        plain_axis(axes.xaxis)
        plain_axis(axes.yaxis)
    for axes in grid.flat[len(shown) :]:
        axes.set_visible(False)
    for n, axes in enumerate(grid.flat[: len(shown)]):
        lowest = n + columns >= len(shown)
        axes.tick_params(labelbottom=lowest)
        axes.set_xlabel("change of log \u03b1" if lowest else "")
        axes.set_ylabel("" if n % columns else "minus change of log \u03b2")
    legend_below(figure, [truth_handle()] if has_truth else [])
    return Drawn(
        figure,
        "Posterior draws of what each intervention adds to replenishment against what it takes off depletion.",
        "Each dot is a posterior draw: to the right more replenishment, upwards slower depletion. Along a slanted line the "
        "change of C* is the same, as labelled. A cloud stretched along the lines means that the change of C* is known "
        "better than the lever that made it.",
    )


_LINES = (-50, -25, 0, 25, 50, 100)


def _label(axes, total: float, percent: int, reach: float) -> None:
    """The line's change of C*, where it leaves the panel at the right or at the bottom."""
    x, y = (reach, total - reach) if total >= 0 else (total + reach, -reach)
    axes.annotate(f"{percent:+d}\u00a0%".replace("-", "\u2212") if percent else "0", (x, y), xytext=(-2, 3),
                  textcoords="offset points", ha="right", va="bottom", fontsize=6.5, color=MUTED)  # fmt: skip


def _both_move(material, k: int) -> bool:
    return all(np.ptp(material.samples(f"theta_{lever}")[:, k]) > 0 for lever in ("alpha", "beta"))
