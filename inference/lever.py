"""The lever: whether an intervention works mostly by replenishment or mostly by slowing depletion."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..datasets.errors import UserError
from ..models.capacity import SPREADS
from ..models.priors import DEFAULTS
from .convergence import SAMPLE

PRIOR_DRAWS = 200_000
ZEROS = (0.0, 25.0, 50.0)


def lever(fit, prob: float = 0.89, zeros=ZEROS) -> pd.DataFrame:
    """How the change of log C* splits into replenishment and depletion.

    log C* changes by theta_alpha - theta_beta: by what replenishment adds and by what slower depletion adds. The split
    depends on where the scale has its zero. With the zero moved ``m`` points down, C* becomes C* + m, so that
    theta_alpha changes while theta_beta, and the change of C* in points, do not.

    Parameters
    ----------
    fit : Fit
    prob : float
        Probability of the intervals.
    zeros : sequence of float
        Points (0-100) by which the scale's zero is moved down; 0 is the scale as it is.

    Returns
    -------
    DataFrame
        One row for each intervention that acts on both levers and each zero, and, where the fit compared spreads, for each
        other spread with the scale as it is: intervention, spread, zero, and median, low and high of ``replenishment``
        (change of log alpha), ``depletion`` (minus the change of log beta) and ``share`` (of the change of log C* that
        replenishment makes; missing where the change's sign is not known at ``prob``); p_replenishment (probability that
        replenishment makes more of the change, in its direction), p_prior (the same before the data; one half with the
        default priors and the scale as it is), correlation (of both parts), rhat (largest of a refit with another
        spread), interval.

    Raises
    ------
    UserError
        If a zero is moved up so far that a C* would be negative.
    """
    posterior = fit.tree["posterior"].to_dataset()
    columns = ["intervention", "spread", "zero"]
    columns += [f"{part}_{q}" for part in ("replenishment", "depletion", "share") for q in ("median", "low", "high")]
    columns += ["p_replenishment", "p_prior", "correlation", "rhat", "interval"]
    if "intervention_two_levers" not in posterior.sizes:
        return pd.DataFrame(columns=columns)
    labels = posterior["intervention_two_levers"].to_numpy()
    spreads = [(fit.model.spread, posterior, zeros)]
    for spread in SPREADS:
        if f"spread_{spread}" in fit.tree.children:
            spreads.append((spread, fit.tree[f"spread_{spread}"].to_dataset(), (0.0,)))
    rows = [
        _row(draws, label, zero, prob) | {"spread": spread}
        for label in labels
        for spread, draws, moved in spreads
        for zero in moved
    ]
    table = pd.DataFrame(rows, columns=columns)
    before = _prior(fit.model)
    chance = {float(zero): _mostly_replenishment(*_split(*before, zero)) for zero in zeros}
    return table.assign(p_prior=table["zero"].map(chance), interval=prob)


def _row(posterior, label, zero, prob) -> dict:
    """One intervention with one zero."""
    tail = (1 - prob) / 2
    off = posterior["level"].transpose(*SAMPLE).to_numpy().ravel()
    alpha, beta = (
        posterior[f"theta_{q}"].sel(intervention=label).transpose(*SAMPLE).to_numpy().ravel() for q in ("alpha", "beta")
    )
    on = off * np.exp(alpha - beta)
    if min(off.min(), on.min()) + zero <= 0:
        raise UserError(f"zeros: moved by {zero:g} points, the zero lies above C* in some draws.")
    change, replenishment, depletion = _split(off, alpha - beta, beta, zero)
    row = {"intervention": str(label), "zero": float(zero)}
    sure = max((change > 0).mean(), (change < 0).mean()) > 1 - tail
    share = replenishment / change if sure else np.full(change.size, np.nan)
    for part, values in (("replenishment", replenishment), ("depletion", depletion), ("share", share)):
        low, median, high = np.quantile(values, (tail, 0.5, 1 - tail))
        row |= {f"{part}_median": median, f"{part}_low": low, f"{part}_high": high}
    row["p_replenishment"] = _mostly_replenishment(change, replenishment, depletion)
    row["rhat"] = posterior.attrs.get("rhat", np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):  # NaN where a part does not move
        row["correlation"] = float(np.corrcoef(replenishment, depletion)[0, 1])
    return row


def _split(off, log_change, theta_beta, zero):
    """Change of log C*, and the parts of replenishment and of slower depletion, with the zero moved down."""
    change = np.log((off * np.exp(log_change) + zero) / (off + zero))
    return change, change + theta_beta, -theta_beta


def _mostly_replenishment(change, replenishment, depletion) -> float:
    return float((np.sign(change) * (replenishment - depletion) > 0).mean())


def _prior(model):
    """Draws of C*, the change of log C* and theta_beta from the model's priors."""
    rng = np.random.default_rng(0)
    level, change, speed = (
        model.priors.get(name, DEFAULTS[name]).draw(rng, (PRIOR_DRAWS,)) for name in ("level", "level_change", "speed_up")
    )
    return level, change, speed - change / 2
