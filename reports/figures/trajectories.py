"""Scores and fitted latent capacity of a readable few, from the lowest C* to the highest."""

from __future__ import annotations

from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..format import level, short
from .axes import intervention_colour, legend_below, time_axis
from .style import BLUE, INK, MUTED, WIDTH, Drawn, new_figure

COLUMNS = 3
_MARKERS = "osD^v"


def draw(material) -> Drawn | None:
    shown = material.shown
    if not len(shown):
        return None
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure = new_figure(WIDTH, 0.95 + 1.55 * rows)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    paths, surveys = material.trajectories, material.surveys
    capacity = material.median_capacity
    low, high = -3.0, 103.0
    for axes, i in zip(grid.flat, shown, strict=False):
        _spells(axes, material, i)
        path = paths[paths["clinician"] == i]
        at = material.time.place(path["time"])
        if len(path) > 1:
            axes.fill_between(at, path["low"], path["high"], color=BLUE, alpha=0.25, linewidth=0)
            axes.plot(at, path["median"], color=BLUE, linewidth=1.3)
        else:  # one survey is a point in time: a band would have no width
            axes.vlines(at, path["low"], path["high"], color=BLUE, alpha=0.4, linewidth=3)
        axes.axhline(capacity[i], color=MUTED, linewidth=0.8, linestyle=(0, (3, 3)))
        mine = surveys[surveys["clinician"] == i]
        for k in range(len(material.scores)):
            points = mine[(mine["indicator"] == k) & mine["score"].notna()]
            axes.plot(material.time.place(points["time"]), points["score"], linestyle="none", color=INK,
                      marker=_MARKERS[k % len(_MARKERS)], markersize=2.8, markeredgewidth=0)  # fmt: skip
        low, high = min(low, path["low"].min() - 2), max(high, path["high"].max() + 2)
        axes.set_title(short(material.clinician_names[i], 24), fontsize=8.5, fontweight="normal")
    grid[0, 0].set_ylim(low, high)
    grid[0, 0].set_yticks([0, 25, 50, 75, 100])
    for axes in grid.flat[len(shown) :]:
        axes.set_visible(False)
    for n, axes in enumerate(grid.flat[: len(shown)]):
        time_axis(axes, material, label=False, ticks=4)
        lowest = n + columns >= len(shown)
        axes.tick_params(labelbottom=lowest)
        axes.set_xlabel(material.time.label if lowest else "")
    figure.supylabel("capacity (0\N{EN DASH}100)", fontsize=9)
    handles = [
        Line2D([], [], linestyle="none", marker=_MARKERS[k % len(_MARKERS)], markersize=3.5, color=INK, label=short(n))
        for k, n in enumerate(material.scores)
    ]
    handles += [
        Line2D([], [], color=BLUE, label="latent capacity"),
        Patch(facecolor=BLUE, alpha=0.25, label=f"{level(material.prob)} band"),
        Line2D([], [], color=MUTED, linewidth=0.8, linestyle=(0, (3, 3)), label="own C*"),
    ]
    handles += [
        Patch(facecolor=intervention_colour(k), alpha=0.45, label=short(n))
        for k, n in enumerate(material.interventions)
    ]
    legend_below(figure, handles)
    return Drawn(
        figure,
        f"Observed scores and fitted latent capacity over time of {len(shown)} clinicians, from the lowest to the "
        "highest C*.",
        "Chosen evenly over the ranks of C*, from low to high. Scores are shown on the scale of capacity, higher is "
        "better; "
        "they scatter around the band, which is for capacity and not for single answers. Dashed: the clinician's own "
        "C* "
        "with interventions off and covariates at their mean.",
    )


def _spells(axes, material, i: int) -> None:
    """Exposure as a faint background with a strip of full colour at the foot, so that overlapping ones stay apart."""
    spells = material.spells[material.spells["clinician"] == i]
    for row in spells.itertuples():
        k = int(row.intervention)
        left, right = material.time.place([row.start, row.end])
        colour = intervention_colour(k)
        axes.axvspan(left, right, color=colour, alpha=0.08 + 0.07 * row.dose, linewidth=0)
        axes.axvspan(
            left, right, 0.035 * k, 0.035 * (k + 1) - 0.007, color=colour, alpha=0.3 + 0.6 * row.dose, linewidth=0
        )
