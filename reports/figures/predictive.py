"""Posterior predictive check: would the fitted model have produced scores like these?"""

from __future__ import annotations

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..format import level, short
from .axes import legend_below, plain_axis
from .style import BLUE, INK, MUTED, WIDTH, Drawn, new_figure

MOST_SCORES = 4


def draw(material) -> Drawn | None:
    from ..checks import predictive_checks

    table, replicates = predictive_checks(material)
    table = table[np.isfinite(table["observed"])]
    names = list(material.scores)[:MOST_SCORES]
    names = [n for n in names if (table["score"] == n).any()]
    if not names:
        return None
    most = max((table["score"] == n).sum() for n in names)
    columns = 3
    rows_each = 1 + -(-most // columns)
    figure = new_figure(WIDTH, 0.6 + (0.7 + 1.25 * rows_each) * len(names))
    grid = figure.add_gridspec(
        rows_each * len(names), columns, height_ratios=[1.5, *[1.0] * (rows_each - 1)] * len(names)
    )
    for block, name in enumerate(names):
        axes = figure.add_subplot(grid[block * rows_each, :])
        _distribution(axes, material, list(material.scores).index(name))
        axes.set_title(f"{short(name, 40)}: distribution of scores")
        for n, (key, row) in enumerate(table[table["score"] == name].iterrows()):
            axes = figure.add_subplot(grid[block * rows_each + 1 + n // columns, n % columns])
            values = replicates[key][np.isfinite(replicates[key])]
            axes.hist(values, bins=24, color=BLUE, alpha=0.45, linewidth=0)
            axes.axvline(row["observed"], color=INK, linewidth=1.6)
            axes.set_title(row["statistic"], fontsize=8.5, fontweight="normal")
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
            axes.margins(x=0.08)
            plain_axis(axes.xaxis, 4)
    legend_below(
        figure,
        [
            Line2D([], [], color=INK, linewidth=1.6, label="observed"),
            Patch(facecolor=BLUE, alpha=0.45, label=f"replicated (band: {level(material.prob)})"),
        ],
    )
    return Drawn(
        figure,
        "Observed scores against scores replicated from the fitted model: distribution and summary statistics.",
        "Replicated scores come from new paths and new errors of the same clinicians on the same days. An observed "
        "value far "
        "out in the tail of the replicates is something that the model does not reproduce.",
    )


def _distribution(axes, material, indicator: int) -> None:
    from ..checks import as_answered

    mine = ((material.surveys["indicator"] == indicator) & material.surveys["score"].notna()).to_numpy()
    observed = material.surveys["score"].to_numpy()[mine]
    replicated = as_answered(material, material.replicated[:, mine], indicator)
    edges = _edges(material, indicator)
    counts = np.stack([np.histogram(r, edges)[0] for r in replicated]) / mine.sum()
    tail = (1 - material.prob) / 2
    low, middle, high = np.quantile(counts, [tail, 0.5, 1 - tail], axis=0)
    centre = (edges[:-1] + edges[1:]) / 2
    axes.fill_between(centre, low, high, color=BLUE, alpha=0.3, linewidth=0, step="mid")
    axes.step(centre, middle, where="mid", color=BLUE, linewidth=1)
    axes.plot(centre, np.histogram(observed, edges)[0] / mine.sum(), color=INK, marker="o", markersize=3, linewidth=0.9)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("score on the scale of capacity (0\N{EN DASH}100)")
    axes.set_ylabel("share of answers")
    axes.spines["left"].set_color(MUTED)
    plain_axis(axes.yaxis, 4)
    plain_axis(axes.xaxis, 6)


def _edges(material, indicator: int) -> np.ndarray:
    """Bins as wide as a whole number of the score's steps, each possible answer in the middle of its share of a bin."""
    score = list(material.scores.values())[indicator]
    low, high = score["range"]
    step = 100 * score["step"] / (high - low) if score["step"] else 5.0
    width = step * max(1, round(5.0 / step))
    return np.arange(-step / 2, 100 + width, width)
