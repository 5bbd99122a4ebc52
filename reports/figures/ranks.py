"""Rank plots: whether the chains agree on the key parameters (Vehtari et al. 2021, Bayesian Analysis 16)."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from .axes import plain_axis
from .style import BLUE, INK, MUTED, SERIES, WIDTH, Drawn, new_figure

PARAMETERS = {
    "level": "C*, population",
    "half_life": "half-life",
    "trait_sd": "SD between clinicians",
    "process_sd": "SD over time (omega)",
    "error_sd_total": "SD of the answer",
    "rate_sd": "SD of log β",
}


def draw(material) -> Drawn | None:
    posterior = material.posterior
    chains, draws = posterior.sizes["chain"], posterior.sizes["draw"]
    names = [name for name in PARAMETERS if name in posterior]
    if chains < 2 or draws < 20:
        return None
    figure = new_figure(WIDTH, 3.6)
    grid = figure.subplots(2, 3, sharex=True, sharey=True)
    # difference of a chain's rank ECDF from uniform, with the envelope of independent draws (about 95 % at each point)
    share = np.linspace(0, 1, 101)
    envelope = 1.96 * np.sqrt(share * (1 - share) / draws * (1 - 1 / chains))
    colours = (BLUE, *SERIES)
    for axes, name in zip(grid.flat, names, strict=False):
        values = posterior[name].transpose("chain", "draw").to_numpy()
        ranks = (rankdata(values, "ordinal").reshape(values.shape) - 0.5) / values.size
        axes.fill_between(share, -envelope, envelope, color=MUTED, alpha=0.2, linewidth=0)
        axes.axhline(0, color=INK, linewidth=0.5)
        for c in range(chains):
            ecdf = np.searchsorted(np.sort(ranks[c]), share, side="right") / draws
            axes.plot(share, ecdf - share, color=colours[c % len(colours)], linewidth=1)
        axes.set_title(PARAMETERS[name], fontsize=8.5, fontweight="normal")
        plain_axis(axes.xaxis, 4)
        plain_axis(axes.yaxis, 4)
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    figure.supxlabel("rank among all draws (share)", fontsize=9)
    figure.supylabel("chain's ECDF minus uniform", fontsize=9)
    return Drawn(
        figure,
        "Rank plots of the key parameters, one line for each chain.",
        "One line for each chain. Chains that agree stay in or near the grey band (for independent draws, pointwise "
        "95 %; "
        "correlated draws wander a little further). A chain that leaves it for long saw another posterior.",
    )
