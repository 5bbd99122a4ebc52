"""What the data added to the priors: prior and posterior intervals, in standard deviations of the prior."""

from __future__ import annotations

from ..format import short
from .axes import plain_axis, rows_axis, soft_grid
from .style import BLUE, MUTED, WIDTH, Drawn, new_figure


def draw(material) -> Drawn | None:
    from ..checks import learnt

    table = learnt(material)
    if table.empty:
        return None
    table = table.head(40)
    figure = new_figure(WIDTH, 1.2 + 0.22 * len(table))
    axes = figure.add_subplot()
    rows = range(len(table))
    axes.hlines(rows, table["prior_low_z"], table["prior_high_z"], color=MUTED, alpha=0.3, linewidth=8)
    axes.hlines(rows, table["low_z"], table["high_z"], color=BLUE, linewidth=2.6)
    axes.plot(table["median_z"], rows, linestyle="none", marker="o", markersize=5, color=BLUE, markeredgewidth=0)
    rows_axis(axes, [short(n, 34) for n in table["quantity"]], 8)
    soft_grid(axes)
    plain_axis(axes.xaxis, 7)
    axes.set_xlabel("standard deviations of the prior, from its centre")
    return Drawn(
        figure,
        "Prior and posterior intervals of the parameters in units of the prior's standard deviation.",
        "Broad pale bar: prior; narrow line: posterior. Where the line is as long as the bar, the data said little. "
        "Positive parameters are compared on the log scale.",
    )
