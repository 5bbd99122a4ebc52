"""Forest of the same effects in several analyses: change of C*, both levers, and capacity gained where all share a horizon."""

from __future__ import annotations

import numpy as np
from matplotlib.lines import Line2D

from ..format import level, short
from .axes import legend_below, plain_axis, ratio_axis, reference, rows_axis, soft_grid
from .style import GRID, PAPER, SERIES, WIDTH, Drawn, new_figure

MOST_ROWS = 16
MARKERS = "osD^vPX<>"  # colours repeat, and some readers tell shapes better


def draw(comparison) -> Drawn | None:
    table = comparison.estimands
    if table.empty:
        return None
    table = table[table["comparable"] & (table["against"] != "") & np.isfinite(table["median"])]
    if table.empty:
        return None
    unit = comparison.fits[table["analysis"].iloc[0]].facts["study"]["time_unit"]  # where they differ, no area is comparable
    panels = {
        "capacity_change": ("steady state C*", "change (0\N{EN DASH}100)"),
        "ratio_alpha": ("replenishment α", "ratio"),
        "ratio_beta": ("depletion β", "ratio"),
        "area": ("capacity gained", f"points x {unit}s"),
    }
    panels = {name: words for name, words in panels.items() if (table["estimand"] == name).any()}
    table = table.assign(pair=list(zip(table["option"], table["against"], strict=True)))
    every = list(dict.fromkeys(table["pair"]))
    pairs = every[:MOST_ROWS]
    table = table[table["pair"].isin(pairs)]
    labels = [label for label in comparison.fits if (table["analysis"] == label).any()]
    step = 0.72 / len(labels)
    figure = new_figure(WIDTH, 1.2 + max(0.42, 0.17 * len(labels) + 0.12) * len(pairs) + 0.22 * (1 + len(labels) // 4))
    all_axes = np.atleast_1d(figure.subplots(1, len(panels), sharey=True))
    for axes, (estimand, (title, label)) in zip(all_axes, panels.items(), strict=True):
        mine = table[table["estimand"] == estimand]
        for k, analysis in enumerate(labels):
            rows = mine[mine["analysis"] == analysis]
            at = np.array([pairs.index(pair) for pair in rows["pair"]], float)
            _intervals(axes, rows, at + (k - (len(labels) - 1) / 2) * step, k)
        for n in range(1, len(pairs)):
            axes.axhline(n - 0.5, color=GRID, linewidth=0.7, zorder=0)
        rows_axis(axes, [f"{short(o, 24)}\nagainst {short(a, 24)}" for o, a in pairs], 8)
        if estimand.startswith("ratio"):
            ratio_axis(axes, mine["low"].min(), mine["high"].max())
        else:
            plain_axis(axes.xaxis, 4)
        reference(axes, 1 if estimand.startswith("ratio") else 0)
        soft_grid(axes)
        axes.set_title(title)
        axes.set_xlabel(label)
    legend_below(figure, [_handle(k, short(analysis, 40)) for k, analysis in enumerate(labels)])
    return Drawn(
        figure,
        f"Effects in {len(labels)} analyses: {len(pairs)} comparisons of programmes, an interval for each analysis.",
        f"Sign: posterior median; line: {level(comparison.prob)} interval; dashed: no effect; a sign without a line: the "
        "analysis holds this effect fixed. Each analysis has a colour and a sign of its own."
        + (f" The first {MOST_ROWS} of {len(every)} comparisons; all are in the table." if len(every) > MOST_ROWS else ""),
    )


def _colour(k: int) -> str:
    return SERIES[-1] if k == 0 else SERIES[(k - 1) % len(SERIES)]


def _intervals(axes, rows, at, k: int) -> None:
    axes.hlines(at, rows["low"], rows["high"], color=_colour(k), linewidth=1.9, zorder=2)
    axes.plot(rows["median"], at, linestyle="none", marker=MARKERS[k % len(MARKERS)], markersize=5.0, color=_colour(k),
              markeredgecolor=PAPER, markeredgewidth=0.7, zorder=3)  # fmt: skip


def _handle(k: int, label: str) -> Line2D:
    return Line2D([], [], color=_colour(k), linewidth=1.9, marker=MARKERS[k % len(MARKERS)], markersize=5.0,
                  markeredgecolor=PAPER, markeredgewidth=0.7, label=label)  # fmt: skip
