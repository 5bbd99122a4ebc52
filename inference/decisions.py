"""What to choose: probability of a worthwhile benefit, ranks, and what a wrong choice is expected to cost."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from ..datasets.errors import UserError, is_number, known_interventions
from ..models.priors import DEFAULTS, Prior
from .options import NONE, check_points, check_prob

FITTED = "as fitted"
# priors of each programme's change of log C*, in place of the fitted one
EFFECT_PRIORS = {
    "vague": Prior.of("normal", mean=0, sd=0.5),
    "sceptical": Prior.of("normal", mean=0, sd=0.05),
    "optimistic": Prior.of("normal", mean=0.1, sd=0.1),
    "pessimistic": Prior.of("normal", mean=-0.1, sd=0.1),
}
# above this the weights of other priors rest on too few draws (Vehtari et al. 2024, JMLR 25)
UNRELIABLE = 0.7


def decisions(
    fit, worthwhile: float, *, points: str = "capacity", costs: Mapping[str, float] | None = None,
    priors: Mapping[str, Prior | Mapping] = EFFECT_PRIORS, prob: float = 0.89,
) -> pd.DataFrame:  # fmt: skip
    """Set the programmes against each other and against none, under the fitted and under other priors.

    The change is that of C* averaged over the clinicians studied, more being better.

    Parameters
    ----------
    fit : Fit
    worthwhile : float
        The smallest worthwhile change, above 0. There is no default: only who decides can know it.
    points : {"capacity", "score"}
        Whether it is in points of 0-100, or in the first score's own points (then as an improvement, above 0 too).
    costs : mapping, optional
        Cost by programme, in any unit and for the same number of clinicians.
    priors : mapping of str to Prior
        Priors of each programme's change of log C*, all replaced at once. Draws are weighted anew (Pareto-smoothed
        importance sampling) and not sampled again.
    prob : float
        Probability of the intervals.

    Returns
    -------
    DataFrame
        One row for each prior and option ("no programme" among them): prior, option; median, low and high of the change
        of C* (0-100); p_benefit, p_worthwhile, p_equivalent (within the smallest worthwhile change of none, the region of
        practical equivalence), p_harm (worse than none by as much); p_best, expected_rank (1 is best), expected_loss
        (points lost on average against the best option); with costs, cost_per_point_median, _low and _high (infinite
        where nothing is gained); pareto_k (above 0.7: the numbers under this prior are not reliable), interval.

    Raises
    ------
    UserError
        If there is no intervention, if `worthwhile` is missing or not above 0, or for costs of unknown programmes.
    """
    if "contrasts" not in fit.tree.children or "capacity_change" not in fit.tree["contrasts"]:
        raise UserError("decisions need an intervention, and the study has none.")
    _check_number("worthwhile, the smallest worthwhile change", worthwhile)
    check_points(points)
    check_prob(prob)
    names = fit.tree["posterior"]["intervention"].to_numpy().astype(str)
    costs = _check_costs(costs, names)
    if points == "score":
        low, high = next(iter(fit.facts["study"]["scores"].values()))["range"]
        worthwhile = worthwhile * 100 / (high - low)
    change = fit.tree["contrasts"]["capacity_change"].transpose("chain", "draw", "intervention").to_numpy()
    change = change.reshape(-1, names.size)
    log_change = fit.tree["posterior"]["level_change"].transpose("chain", "draw", "intervention").to_numpy()
    fitted = fit.model.priors.get("level_change", DEFAULTS["level_change"])
    tables = [_table(FITTED, np.full(len(change), 1 / len(change)), change, names, worthwhile, costs, prob)]
    for label, given in priors.items():
        prior = given if isinstance(given, Prior) else Prior.from_dict(given)
        weights, k = _weights(log_change.reshape(-1, names.size), prior, fitted)
        tables.append(_table(label, weights, change, names, worthwhile, costs, prob).assign(pareto_k=k))
    return pd.concat(tables, ignore_index=True).assign(interval=prob)


def _table(label, weights, change, names, worthwhile, costs, prob) -> pd.DataFrame:
    options = [*names, NONE]
    value = np.column_stack([change, np.zeros(len(change))])
    order = np.argsort(np.argsort(-value, axis=1, kind="stable"), axis=1) + 1
    loss = value.max(axis=1, keepdims=True) - value
    tail = (1 - prob) / 2
    rows = []
    for j, option in enumerate(options):
        v = value[:, j]
        low, median, high = _quantiles(v, weights, (tail, 0.5, 1 - tail))
        row = {"prior": label, "option": option, "median": median, "low": low, "high": high}
        if option != NONE:
            row |= {
                "p_benefit": weights @ (v > 0), "p_worthwhile": weights @ (v > worthwhile),
                "p_equivalent": weights @ (np.abs(v) <= worthwhile), "p_harm": weights @ (v < -worthwhile),
            }  # fmt: skip
        row |= {"p_best": weights @ (order[:, j] == 1), "expected_rank": weights @ order[:, j], "expected_loss": weights @ loss[:, j]}
        if option in costs:
            with np.errstate(divide="ignore"):
                each = np.where(v > 0, costs[option] / np.maximum(v, 0), math.inf)
            # costs are never interpolated between a number and infinity
            low, median, high = _quantiles(each, weights, (tail, 0.5, 1 - tail))
            row |= {"cost_per_point_median": median, "cost_per_point_low": low, "cost_per_point_high": high}
        rows.append(row)
    columns = ["prior", "option", "median", "low", "high", "p_benefit", "p_worthwhile", "p_equivalent", "p_harm", "p_best"]
    columns += ["expected_rank", "expected_loss"]
    columns += [f"cost_per_point_{q}" for q in ("median", "low", "high")] if costs else []
    return pd.DataFrame(rows).reindex(columns=columns)


def _weights(log_change, prior, fitted) -> tuple[np.ndarray, float]:
    """Smoothed weights of the draws under another prior, and the shape of their tail."""
    from arviz_stats.base import array_stats

    ratio = (prior.log_density(log_change) - fitted.log_density(log_change)).sum(axis=1)
    log_weights, k = array_stats.psislw(ratio.max() - ratio)  # it takes the negative of the log ratios
    weights = np.exp(log_weights - log_weights.max())
    return weights / weights.sum(), float(k)


def _quantiles(values, weights, at) -> list[float]:
    """Weighted quantiles: the smallest value with at least so much weight up to it."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return [float(values[order][min(np.searchsorted(reached, q * reached[-1]), len(order) - 1)]) for q in at]


def _check_number(what, value):
    if not (is_number(value) and value > 0):
        raise UserError(f"{what}, must be a number above 0; got {value!r}.")


def _check_costs(costs, names) -> dict[str, float]:
    costs = dict(costs or {})
    known_interventions(costs, names)
    for name, cost in costs.items():
        _check_number(f"the cost of {name}", cost)
    return {name: float(cost) for name, cost in costs.items()}
