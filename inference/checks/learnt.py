"""What the data added to the priors: how much narrower posteriors are, and whether alpha and beta are told apart."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...datasets.errors import list_some
from ...models.levers import LAYERS
from ...models.priors import MEANINGS
from ..convergence import SAMPLE
from .check import Check, not_done
from .drawing import FIRST, few_ticks, muted, rows, shortened, worded

TITLE = "What did the data add to the priors?"
PRIOR_DRAWS = 20_000
# share of a prior's variance below which the data have hardly spoken
LITTLE = 0.3
# correlation of log alpha and log beta from which only their ratio is known
TIED = 0.9
# what users read first: those that must not be mostly the prior's
HEADLINE = ("level", "half_life", "level_change", "speed_up")
MOST_ROWS = 40


def check(fit, prob: float) -> Check:
    """Prior against posterior of every parameter with a prior of its own, and the correlation of alpha and beta.

    Passes where the data took at least 30 % off the variance of each headline parameter's prior (level, half-life,
    effects), on the log scale for positive ones.
    """
    posterior = fit.tree["posterior"]
    if posterior.sizes["chain"] * posterior.sizes["draw"] < 100:
        return not_done("learnt", TITLE, "There are too few draws.")
    table = learnt(fit, prob)
    tied = alpha_beta_correlation(fit)
    table["about"] = np.where(table["learnt"] < LITTLE, "mostly the prior's", np.where(table["learnt"] < 0.75, "both", "mostly the data's"))
    head = table[table["parameter"].isin(HEADLINE)]
    mostly = head[head["learnt"] < LITTLE]
    said = []
    if len(mostly):
        names = ", ".join(f"{worded(q)} ({_percent(max(v, 0))} of the prior's variance gone)" for q, v in
                          zip(mostly["quantity"], mostly["learnt"], strict=True))  # fmt: skip
        said.append(f"Mostly the prior's, so that the number says what was believed rather than what was seen: {names}.")
    else:
        said.append("The level, the half-life and the effects are mostly the data's, or of data and prior both.")
    if abs(tied) > TIED:
        said.append(
            f"α and β go together in the posterior (correlation of their logs {tied:.2f}): their ratio C* is known better than either."
        )
    else:
        said.append(f"The correlation of log α and log β in the posterior is {tied:.2f}.")
    others = table[~table["parameter"].isin(HEADLINE) & (table["learnt"] < LITTLE)]["quantity"]
    if len(others):
        said.append(f"Among the rest the prior decides {list_some([worded(q, 40) for q in others], 6)}.")
    shown = table.head(MOST_ROWS)

    def draw(figure):
        axes = figure.subplots()
        at = range(len(shown))
        axes.hlines(at, shown["prior_low_z"], shown["prior_high_z"], color=muted(), alpha=0.3, linewidth=8)
        axes.hlines(at, shown["low_z"], shown["high_z"], color=FIRST, linewidth=2.6)
        axes.plot(shown["median_z"], at, linestyle="none", marker="o", markersize=5, color=FIRST, markeredgewidth=0)
        rows(axes, [shortened(n) for n in shown["quantity"]])
        few_ticks(axes.xaxis, 7)
        axes.set_xlabel("standard deviations of the prior, from its centre")

    caption = (
        "Broad pale bar: prior; narrow line: posterior. Where the line is as long as the bar, the data said little. Positive "
        "parameters are compared on the log scale."
    )
    table = table.drop(columns="parameter")
    return Check("learnt", TITLE, mostly.empty, " ".join(said), table, draw, caption=caption, height=1.2 + 0.22 * len(shown))


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def alpha_beta_correlation(fit) -> float:
    """Posterior correlation of log alpha and log beta of the median clinician."""
    posterior = fit.tree["posterior"]
    alpha, beta = (np.log(posterior[f"{q}_population"].to_numpy()).ravel() for q in ("alpha", "beta"))
    return float(np.corrcoef(alpha, beta)[0, 1])


def _rest(prior, layers, layer: str) -> tuple[float, float]:
    """Parameters of a share's beta distribution where only some layers share the variance."""
    weight = {name: c for name, c in zip(LAYERS, prior.concentration, strict=True) if name in set(layers)}
    return weight[layer], sum(weight.values()) - weight[layer]


def learnt(fit, prob: float) -> pd.DataFrame:
    """Prior against posterior of every parameter with a prior of its own.

    Returns
    -------
    DataFrame
        quantity, parameter, meaning, prior_median, prior_low, prior_high, median, low, high, learnt (1 - posterior variance over
        prior variance, on the log scale for positive parameters; near 0: the data said little), and the intervals on
        the prior's standardised scale (``_z``).
    """
    rng = np.random.default_rng(0)
    posterior = fit.tree["posterior"].to_dataset()
    tail = (1 - prob) / 2
    quantiles = [tail, 0.5, 1 - tail]
    out = []
    for name, meaning in MEANINGS.items():
        prior = fit.priors.get(name)
        if prior is None or name not in posterior:
            continue
        scale = np.log if prior.support == "positive" else np.asarray
        values = posterior[name].transpose(*SAMPLE, ...)
        dim = values.dims[2] if values.ndim > 2 else None
        labels = [None] if dim is None else values[dim].to_numpy()
        every = prior.draw(rng, (PRIOR_DRAWS,))
        for j, label in enumerate(labels):
            before = every
            if prior.support == "shares":  # a layer that was left out has none
                before = every[:, j] if len(labels) == every.shape[1] else rng.beta(*_rest(prior, labels, label), PRIOR_DRAWS)
            centre, spread = scale(before).mean(), scale(before).std()
            after = (values if label is None else values.sel({dim: label})).to_numpy().ravel()
            row = {"quantity": name if label is None else f"{name}[{label}]", "parameter": name, "meaning": meaning}
            row |= dict(zip(("prior_low", "prior_median", "prior_high"), np.quantile(before, quantiles), strict=True))
            row |= dict(zip(("low", "median", "high"), np.quantile(after, quantiles), strict=True))
            row["learnt"] = 1 - (scale(after).std() / spread) ** 2
            for key in ("prior_low", "prior_high", "low", "median", "high"):
                row[f"{key}_z"] = (scale(row[key]) - centre) / spread
            out.append(row)
    return pd.DataFrame(out)
