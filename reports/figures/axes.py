"""Parts that several figures share: rows with intervals, time axes, legends."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from ...inference.checks.drawing import rows_axis as rows_axis
from ..format import number
from .style import GRID, MUTED, PAPER, SERIES, TRUTH


def intervention_colour(k: int) -> str:
    return SERIES[k % len(SERIES)]


def time_axis(axes, material, label: bool = True, ticks: int = 7) -> None:
    """Dates or numbers along the x axis, over the study's own span."""
    first, last = material.time.place([material.description["first"], material.description["last"]])
    margin = 0.015 * (last - first) or 0.5
    axes.set_xlim(first - margin, last + margin)
    if material.time.is_dated:
        locator = AutoDateLocator(minticks=2, maxticks=ticks)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(ticks))
    if label:
        axes.set_xlabel(material.time.label)


def intervals(axes, table, colour: str, rows=None, *, thick: float = 2.2, dot: float = 5.0) -> None:
    """Median and interval of each row of a table, drawn along x at rows 0, 1, ... from the top."""
    rows = np.arange(len(table)) if rows is None else np.asarray(rows)
    axes.hlines(rows, table["low"], table["high"], color=colour, linewidth=thick, zorder=2)
    axes.plot(table["median"], rows, linestyle="none", marker="o", markersize=dot, color=colour,
              markeredgecolor=PAPER, markeredgewidth=dot / 7, zorder=3)  # fmt: skip
    if "truth" in table:
        axes.plot(table["truth"], rows, linestyle="none", marker="D", markersize=dot * 0.85, color="none",
                  markeredgecolor=TRUTH, markeredgewidth=1.2, zorder=4)  # fmt: skip


def reference(axes, value: float) -> None:
    """The line of no effect, or of the population's median clinician."""
    axes.axvline(value, color=MUTED, linewidth=0.9, linestyle=(0, (3, 3)), zorder=1)


def ratio_axis(axes, low: float, high: float) -> None:
    """A logarithmic axis of ratios with plain numbers on it, always around 1."""
    low, high = (v if math.isfinite(v) and v > 0 else 1.0 for v in (low, high))
    reach = max(high, 1 / low, 1.1) ** 1.08
    axes.set_xscale("log")
    axes.set_xlim(min(low / 1.05, 1 / min(reach, 1.25)), max(high * 1.05, min(reach, 1.25)))
    left, right = axes.get_xlim()
    for candidates in (
        (0.01, 0.1, 1, 10, 100),
        (0.1, 0.25, 0.5, 1, 2, 4, 10),
        (0.5, 0.7, 1, 1.5, 2, 3),
        (0.8, 0.9, 1, 1.1, 1.25),
    ):
        ticks = [t for t in candidates if left <= t <= right]
        if len(ticks) >= 3:
            break
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def plain_axis(axis, ticks: int = 5) -> None:
    """Few ticks, with true minus signs and no offsets."""
    axis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda v, _: number(v, _places(axis))))


def _places(axis) -> int:
    ticks = axis.get_majorticklocs()
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    places = 0
    while places < 6 and abs(step * 10**places - round(step * 10**places)) > 1e-6:
        places += 1
    return places


def soft_grid(axes, axis: str = "x") -> None:
    axes.grid(True, axis=axis, color=GRID, zorder=0)
    axes.set_axisbelow(True)


def truth_handle() -> Line2D:
    return Line2D([], [], linestyle="none", marker="D", markersize=5, color="none", markeredgecolor=TRUTH,
                  markeredgewidth=1.2, label="truth (simulated)")  # fmt: skip


def legend_below(figure, handles) -> None:
    if handles:
        longest = max(len(h.get_label()) for h in handles)
        figure.legend(handles=handles, loc="outside lower center", ncols=max(1, min(len(handles), 84 // (longest + 8))))
