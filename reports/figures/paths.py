"""Expected capacity from a date on, with and without each programme: everyone, and each unit."""

from __future__ import annotations

from matplotlib.lines import Line2D

from ...inference.forecast import AS_RECORDED, PLAN
from ...inference.options import NONE
from ..format import short
from .axes import intervention_colour, legend_below, plain_axis
from .style import BLUE, INK, MUTED, WIDTH, Drawn, new_figure

MOST_PANELS = 13
COLUMNS = 3
BANDS = 4  # more regimes than this, and bands would hide each other


def draw(material) -> Drawn | None:
    table = material.forecast_table
    if table is None:
        return None
    groups = list(table["group"].drop_duplicates())
    left_out = len(groups) - MOST_PANELS
    shown = groups[:MOST_PANELS]
    rows = -(-(len(shown) - 1) // COLUMNS)
    figure = new_figure(WIDTH, 3.3 + 1.5 * rows)
    grid = figure.add_gridspec(rows + 1, COLUMNS, height_ratios=[2.2] + [1.3] * rows)
    first = figure.add_subplot(grid[0, :])
    panels = [first] + [
        figure.add_subplot(grid[1 + n // COLUMNS, n % COLUMNS], sharex=first, sharey=first) for n in range(len(shown) - 1)
    ]
    regimes = list(table["regime"].drop_duplicates())
    for n, (axes, group) in enumerate(zip(panels, shown, strict=True)):
        for regime in regimes:
            mine = table[(table["group"] == group) & (table["regime"] == regime)]
            at = material.time.place(mine["time"])
            colour, dash = _look(material, regime)
            if len(regimes) <= BANDS or regime in (NONE, PLAN) or regime in material.interventions:
                axes.fill_between(at, mine["low"], mine["high"], color=colour, alpha=0.13, linewidth=0)
            axes.plot(at, mine["median"], color=colour, linestyle=dash, linewidth=1.5 if n == 0 else 1.1)
        size = int(table.loc[table["group"] == group, "clinicians"].iloc[0])
        axes.set_title(f"{short(group, 22)} ({size})", fontsize=9 if n == 0 else 8.5, fontweight="bold" if n == 0 else "normal")
        lowest = n == 0 or n + COLUMNS >= len(shown)
        axes.tick_params(labelbottom=lowest, labelleft=n == 0 or (n - 1) % COLUMNS == 0)
        if material.time.is_dated:
            axes.xaxis_date()
        else:
            plain_axis(axes.xaxis, 7 if n == 0 else 4)
        plain_axis(axes.yaxis, 5 if n == 0 else 3)
        if lowest:
            axes.set_xlabel(material.time.label)
    figure.supylabel("expected capacity (0\N{EN DASH}100)", fontsize=9)
    handles = [
        Line2D([], [], color=_look(material, r)[0], linestyle=_look(material, r)[1], label=short(r, 24)) for r in regimes
    ]
    legend_below(figure, handles)
    return Drawn(
        figure,
        f"Expected capacity with and without each programme: everyone, and {len(shown) - 1} units.",
        "Line: posterior median of the group's mean expected path; band: interval. Each path starts from where the "
        "clinicians were at the date, and a single programme begins then for everyone; covariates stay at their means."
        + (f" {left_out} units left out." if left_out > 0 else ""),
    )


def _look(material, regime):
    if regime in material.interventions:
        return intervention_colour(material.interventions.index(regime)), "-"
    return {NONE: (MUTED, "-"), AS_RECORDED: (INK, (0, (4, 2))), PLAN: (BLUE, (0, (1, 1)))}[regime]
