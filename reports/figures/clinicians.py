"""Caterpillar of all clinicians: C*, beta and alpha in the order of C*."""

from __future__ import annotations

import numpy as np

from ..format import count
from .axes import legend_below, plain_axis, soft_grid, truth_handle
from .style import BLUE, MUTED, TRUTH, WIDTH, Drawn, new_figure

MOST = 600  # drawn one by one; of more, so many evenly over the ranks


def draw(material) -> Drawn | None:
    table = material.clinician_table
    n = len(material.clinician_names)
    if n < 2:
        return None
    wide = {name: table[table["quantity"] == name].reset_index(drop=True) for name in ("capacity", "alpha", "beta")}
    order = np.argsort(wide["capacity"]["median"].to_numpy(), kind="stable")
    every, rank = n, np.arange(1, n + 1)
    if n > MOST:
        rank = np.linspace(1, n, MOST).round().astype(int)
        order, n = order[rank - 1], MOST
    has_truth = "truth" in table
    figure = new_figure(WIDTH, 5.6 + 0.25 * has_truth)
    all_axes = figure.subplots(3, 1, sharex=True, height_ratios=[1.5, 1, 1])
    unit = material.time_unit
    labels = {"capacity": "C* (0\N{EN DASH}100)", "alpha": f"α (points per {unit})", "beta": f"β (per {unit})"}
    line = float(np.clip(200 / n, 0.6, 2.2))
    for axes, (name, label) in zip(all_axes, labels.items(), strict=True):
        rows = wide[name].iloc[order]
        axes.vlines(rank, rows["low"], rows["high"], color=BLUE, alpha=0.45, linewidth=line)
        size = float(np.clip(300 / n, 2.2, 4.0))
        axes.plot(rank, rows["median"], linestyle="none", marker="o", markersize=size, color=BLUE, markeredgewidth=0)
        if has_truth:
            axes.plot(rank, rows["truth"], linestyle="none", marker="D", markersize=size, color="none",
                      markeredgecolor=TRUTH, markeredgewidth=0.8)  # fmt: skip
        population = material.row(material.population_table, quantity=name)
        axes.axhline(population["median"], color=MUTED, linewidth=0.9, linestyle=(0, (3, 3)))
        soft_grid(axes, "y")
        plain_axis(axes.yaxis, 5)
        axes.set_ylabel(label)
    plain_axis(all_axes[-1].xaxis, min(8, n))
    all_axes[-1].set_xlabel("clinicians, in the order of C*")
    legend_below(figure, [truth_handle()] if has_truth else [])
    return Drawn(
        figure,
        f"Steady state, replenishment and depletion of {count(n, 'clinician')} with intervals, in the order of C*.",
        "Dot: posterior median; line: interval; dashed: the population's median clinician. Interventions off, "
        "covariates "
        "at the clinician's own mean."
        + (f" {n:,} of {every:,} clinicians, evenly over the ranks." if n < every else ""),
    )
