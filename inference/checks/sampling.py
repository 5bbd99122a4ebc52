"""Convergence: R-hat, effective sample size, Monte Carlo error, divergences and energy (Vehtari et al. 2021)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..convergence import ESS_LIMIT, RHAT_LIMIT, SAMPLE
from .check import Check
from .drawing import few_ticks, ink, muted, panels

TITLE = "Did the chains converge?"
QUICK_TITLE = "Is the approximation good enough for a first look?"
WORST = 10
LEAST_ENERGY = 0.3
PARAMETERS = {
    "level": "C*, population",
    "half_life": "half-life",
    "trait_sd": "SD between clinicians",
    "process_sd": "SD over time (omega)",
    "error_sd_total": "SD of the answer",
    "rate_sd": "SD of log β",
}


def check(fit, prob: float) -> Check:
    """Every parameter and every derived quantity; passes where nothing has to be said at the head of the outputs."""
    if fit.approximate:
        return _quick(fit)
    table = fit.diagnostics
    posterior = fit.tree["posterior"].to_dataset()
    chains, draws = (posterior.sizes[s] for s in SAMPLE)
    energy = energy_information(fit)
    said = []
    if len(table):
        least = table[["ess_bulk", "ess_tail"]].min(axis=1)
        said.append(
            f"{len(table)} quantities: R-hat at most {table['rhat'].max():.4f} (limit {RHAT_LIMIT}), effective sample size at least "
            f"{least.min():.0f} (limit {ESS_LIMIT}), Monte Carlo error of the mean at most "
            f"{100 * _relative_error(fit).max():.1f} % of a posterior standard deviation."
        )
    said.append(f"{fit.divergences} of {chains * draws} draws diverged.")
    low = energy is not None and bool(np.nanmin(energy) < LEAST_ENERGY)
    if energy is not None:
        said.append(f"Energy information (E-BFMI) is at least {np.nanmin(energy):.2f}{f', below {LEAST_ENERGY}' if low else ''}.")
    ranked = table.assign(least=table[["ess_bulk", "ess_tail"]].min(axis=1))
    worst = pd.concat([ranked.nlargest(WORST // 2, "rhat"), ranked.nsmallest(WORST // 2, "least")]).drop_duplicates("quantity")
    worst = worst[["quantity", "rhat", "ess_bulk", "ess_tail", "mcse_mean"]].reset_index(drop=True)

    def draw(figure):
        from scipy.stats import rankdata

        names = [name for name in PARAMETERS if name in posterior]
        share = np.linspace(0, 1, 101)
        # the envelope of independent draws, about 95 % at each point
        envelope = 1.96 * np.sqrt(share * (1 - share) / draws * (1 - 1 / chains))
        for axes, name in zip(panels(figure, len(names)), names, strict=True):
            values = posterior[name].transpose(*SAMPLE).to_numpy()
            ranks = (rankdata(values, "ordinal").reshape(values.shape) - 0.5) / values.size
            axes.fill_between(share, -envelope, envelope, color=muted(), alpha=0.2, linewidth=0)
            axes.axhline(0, color=ink(), linewidth=0.5)
            for c in range(chains):
                ecdf = np.searchsorted(np.sort(ranks[c]), share, side="right") / draws
                axes.plot(share, ecdf - share, color=f"C{c % 6}", linewidth=1)
            axes.set_title(PARAMETERS[name], fontsize=8.5, fontweight="normal")
            few_ticks(axes.xaxis, 4)
            few_ticks(axes.yaxis, 4)
        figure.supxlabel("rank among all draws (share)", fontsize=9)
        figure.supylabel("chain's ECDF minus uniform", fontsize=9)

    caption = (
        "One line for each chain. Chains that agree stay in or near the grey band (for independent draws, pointwise 95 %; correlated "
        "draws wander a little further). A chain that leaves it for long saw another posterior."
    )
    passed = fit.complete and not fit.warnings and not low
    shown = draw if chains > 1 and draws >= 20 else None
    return Check("sampling", TITLE, passed, " ".join(said), worst, shown, caption=caption, height=3.6)


def _quick(fit) -> Check:
    """There are no chains; how far to trust the draws is told by their weights."""
    made = fit.facts["sampling"]
    said = (
        f"There are no chains: these are {made['draws']} draws of a quick look, an approximation. Its importance weights have a Pareto "
        f"k of {made['pareto_k']:.2f} and are worth {made['effective']:.0f} independent draws"
    )
    if "left" in made:
        said += (
            f". For some of them the density was worked out in full: its logarithm is off by {made['left']:.2f} (standard deviation over "
            f"the draws), so that no mean is off by more than about {made['left']:.2f} posterior standard deviations for that reason"
        )
    said += ". This look is not to be trusted: sample instead." if fit.doubtful else ". That is enough for a first look, not for a paper."
    measures = {"pareto_k": "Pareto k of the weights", "effective": "effective number of draws", "proposals": "proposals weighed"}
    measures |= {"left": "log densities off by (SD)"} if "left" in made else {}
    table = pd.DataFrame({"measure": list(measures.values()), "value": [made[name] for name in measures]})
    return Check("sampling", QUICK_TITLE, not fit.doubtful, said, table)


def energy_information(fit) -> np.ndarray | None:
    """Energy Bayesian fraction of missing information of each chain (Betancourt 2016); below 0.3 is a bad sign.

    It is about successive draws: None where only some of them were kept.
    """
    stats = fit.tree["sample_stats"]
    if fit.facts["sampling"].get("thin", 1) > 1 or "energy" not in stats or stats["energy"].sizes["draw"] < 4:
        return None
    energy = stats["energy"].transpose(*SAMPLE).to_numpy()
    spread = energy.var(axis=1)
    return np.divide((np.diff(energy, axis=1) ** 2).mean(axis=1), spread, out=np.full(len(energy), np.nan), where=spread > 0)


def _relative_error(fit) -> pd.Series:
    """Monte Carlo error of each mean in posterior standard deviations: one over the root of the effective sample size."""
    return 1 / np.sqrt(fit.diagnostics["ess_bulk"])
