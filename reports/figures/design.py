"""Who was surveyed and exposed when: a line for each clinician, in the order of units."""

from __future__ import annotations

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..format import count, short
from .axes import intervention_colour, legend_below, time_axis
from .style import GRID, INK, MUTED, WIDTH, Drawn, new_figure

MOST_ROWS = 300
MOST_TICKS = 12_000
MOST_UNIT_NAMES = 40


def draw(material) -> Drawn:
    order, unit, surveys = _order(material), material.clinician_unit, material.surveys
    place = np.full(len(unit), -1)
    place[order] = np.arange(len(order))
    figure = new_figure(WIDTH, float(np.clip(1.6 + 0.12 * len(order), 2.2, 8.5)))
    axes = figure.add_subplot()

    followed = surveys.groupby("clinician")["time"].agg(["min", "max"]).reindex(order)
    axes.plot(*_dashes(material, followed["min"], followed["max"], place[order]), color=GRID, linewidth=0.8, zorder=1)
    spells = material.spells[place[material.spells["clinician"].astype(int)] >= 0]
    lanes = max(len(material.interventions), 1)
    for k in range(len(material.interventions)):
        mine = spells[spells["intervention"] == k]
        if mine.empty:  # a programme that nobody had
            continue
        left, right = material.time.place(mine["start"]), material.time.place(mine["end"])
        low = place[mine["clinician"].astype(int)] - 0.42 + 0.84 * k / lanes
        high = low + 0.84 / lanes
        corners = np.stack(
            [np.column_stack(p) for p in ((left, low), (right, low), (right, high), (left, high))], axis=1
        )
        colour = intervention_colour(k)
        # a partial dose is paler
        bars = PolyCollection(
            corners, facecolors=colour, edgecolors="none", alpha=0.25 + 0.45 * mine["dose"].to_numpy()
        )
        axes.add_collection(bars)

    dense = len(surveys) > MOST_TICKS
    once = surveys.drop_duplicates(["clinician", "time"]) if not dense else surveys.iloc[:0]
    answered = surveys[surveys["score"].notna()].groupby(["clinician", "time"]).size()
    has_answer = [key in answered.index for key in zip(once["clinician"], once["time"], strict=True)]
    has_answer = np.array(has_answer, bool)
    rows = place[once["clinician"]]
    size = float(np.clip(150 / max(len(order), 1), 1.0, 4.5))
    at = material.time.place(once["time"])
    seen = rows >= 0
    axes.plot(at[seen & has_answer], rows[seen & has_answer], linestyle="none", marker="o", markersize=size * 0.62,
              color=INK, markeredgewidth=0, zorder=3)  # fmt: skip
    axes.plot(at[seen & ~has_answer], rows[seen & ~has_answer], linestyle="none", marker="x", markersize=size,
              color=MUTED, markeredgewidth=max(0.5, size / 5), zorder=3)  # fmt: skip

    _name_rows(axes, material, order, unit)
    axes.set_ylim(len(order) - 0.3, -0.7)
    time_axis(axes, material)
    handles = [
        Patch(facecolor=intervention_colour(k), alpha=0.7, label=short(n)) for k, n in enumerate(material.interventions)
    ]
    if not dense:
        handles.append(Line2D([], [], linestyle="none", marker="o", markersize=3.5, color=INK, label="survey answered"))
        if (~has_answer).any():
            handles.append(
                Line2D([], [], linestyle="none", marker="x", markersize=5, color=MUTED, label="score missing")
            )
    legend_below(figure, handles)
    left_out = len(unit) - len(order)
    caption = (
        "One line for each clinician from first to last survey, grouped by unit. "
        + ("Bars: exposure, paler for partial doses. " if material.interventions else "")
        + (f"{count(left_out, 'clinician')} left out, evenly, to keep the lines apart. " if left_out else "")
        + ("Single surveys are too many to be drawn." if dense else "")
    )
    who = f"{count(len(order), 'clinician')} in {count(len(set(unit)), 'unit')}"
    alt = f"Design of the study: surveys and exposure over time of {who}."
    return Drawn(figure, alt, caption.strip())


def _order(material) -> np.ndarray:
    """Clinicians by unit and first exposure, thinned evenly where they are too many to be told apart."""
    unit = material.clinician_unit
    first = np.full(len(unit), np.inf)
    np.minimum.at(first, material.spells["clinician"].to_numpy(int), material.spells["start"].to_numpy(float))
    by_unit = np.full(len(material.unit_names), np.inf)
    np.minimum.at(by_unit, unit, first)
    order = np.lexsort((np.arange(len(unit)), first, unit, by_unit[unit]))
    if len(order) > MOST_ROWS:
        order = order[np.linspace(0, len(order) - 1, MOST_ROWS).round().astype(int)]
    return order


def _dashes(material, start, end, rows):
    """Many separate lines as one, with gaps between them: a hundredth of the drawing's size."""
    x = np.column_stack([material.time.place(start), material.time.place(end), np.full(len(rows), np.nan)]).ravel()
    return x, np.column_stack([rows, rows, rows]).astype(float).ravel()


def _name_rows(axes, material, order, unit):
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    units = len(material.unit_names)
    if units == 1:
        if len(order) <= 45:
            axes.set_yticks(range(len(order)), [short(material.clinician_names[i], 16) for i in order], fontsize=7.5)
        else:
            axes.set_yticks([])
        return
    codes = unit[order]
    edges = np.flatnonzero(np.diff(codes)) + 0.5
    bounds = np.concatenate([[-0.5], edges, [len(order) - 0.5]])
    axes.hlines(edges, *material.time.place([material.description["first"], material.description["last"]]),
                color=GRID, linewidth=0.6, zorder=0)  # fmt: skip
    middles = (bounds[:-1] + bounds[1:]) / 2
    names = [short(material.unit_names[codes[int(b + 0.5)]], 20) for b in bounds[:-1]]
    size = 8.5 if len(names) <= 25 else 7
    step = int(np.ceil(len(names) / MOST_UNIT_NAMES))
    axes.set_yticks(middles[::step], names[::step], fontsize=size)
