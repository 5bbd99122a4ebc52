"""Other assumptions under which the same question is asked again: one entry each in `VARIANTS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ...datasets.errors import UserError, nearest
from ...models.capacity import SPREADS, STARTS
from ...models.priors import Prior, priors_in_force
from ..convergence import SAMPLE
from ..psis import psis

INFLUENTIAL = 0.05  # share of clinicians who are left out as the most influential, at least one
FEWEST = 5  # clinicians from which one can be left out


@dataclass(frozen=True)
class Variant:
    """One other assumption.

    Attributes
    ----------
    words : str
        What is changed.
    make : function (model, study, fit, other) -> (model, study), or None where it is what was fitted
        ``other`` gives the study under the other reading of `holds`, if there is one. Raises `UserError`, with the reason, where
        it does not apply.
    believed : bool
        Whether it is an assumption that could be made; the others show what a known mistake would do.
    """

    words: str
    make: Callable
    believed: bool = True


def check_names(names) -> None:
    """Raise `UserError` for a name that is no variant's."""
    for name in names or ():
        if name not in VARIANTS:
            raise UserError(f"there is no assumption {name!r}.{nearest(str(name), VARIANTS)} Known: {', '.join(VARIANTS)}.")


def _left_out(layer: str) -> Callable:
    def make(model, study, fit, other):
        if model.left_out == layer:
            return None
        if model.left_out != "none":
            raise UserError(f"the model leaves out the {model.left_out} already")
        level = "integrated" if layer == "trait" else model.level
        return replace(model, left_out=layer, level=level), study

    return make


def _option(name: str, value) -> Callable:
    return lambda model, study, fit, other: None if getattr(model, name) == value else (replace(model, **{name: value}), study)


def _half_life(factor: float) -> Callable:
    def make(model, study, fit, other):
        prior = priors_in_force(model, study)["half_life"]
        moved = {k: v * factor if k in ("median", "mean", "sd") else v for k, v in prior.arguments}
        return replace(model, priors=dict(model.priors) | {"half_life": Prior.of(prior.family, **moved)}), study

    return make


def _scaled(factor: float, *names: str) -> Callable:
    """Priors with their standard deviations multiplied, on the log scale for lognormal ones."""

    def make(model, study, fit, other):
        now = priors_in_force(model, study)
        used = [name for name in names if name in fit.tree["posterior"]]
        if not used:
            raise UserError("the study has no intervention")
        return replace(model, priors=dict(model.priors) | {name: _wider(now[name], factor) for name in used}), study

    return make


def _wider(prior: Prior, by: float) -> Prior:
    arguments = dict(prior.arguments)
    for name, value in prior.arguments:
        if name in ("sd", "scale"):
            arguments[name] = value * by
        elif name == "factor":
            arguments[name] = value**by
    return Prior.of(prior.family, **arguments)


def _other_reading(model, study, fit, other):
    if not study.varying and "column" not in study.exposure_source.values():
        raise UserError("no covariate varies in time, and interventions come from spells with dates of their own")
    read = other() if callable(other) else other
    if read is None:
        raise UserError("the study under the other reading is not at hand")
    return model, read


def _without_units(model, study, fit, other):
    if study.n_units < 2:
        raise UserError("the study has one unit")
    recognised = model.study_designs(study)
    kind, periods = model.resolve_secular(study, recognised)
    joined = replace(study, clinicians=study.clinicians.assign(unit="all"))
    _, by_clinician = model.resolve_varying(study, recognised)
    # the design was recognised from the units; what it brought is kept
    more = {"periods": periods} if kind == "periods" else {}
    return replace(
        model, design="", randomised=model.is_randomised, secular=kind, varying="clinician" if by_clinician else "none", **more
    ), joined


def _secular(to: str) -> Callable:
    def make(model, study, fit, other):
        now, _ = model.resolve_secular(study, model.study_designs(study))
        return None if now == to else (replace(model, secular=to, periods=None), study)

    return make


def influential(fit) -> np.ndarray:
    """Codes of the clinicians whom leaving out moves the answers most: 5 % of them, at least one, most influential first.

    Without refitting: draws are weighted anew (Pareto-smoothed importance sampling). Influence is the largest shift, in posterior
    standard deviations, of the mean of the median clinician's C* and log half-life, and of each programme's change of C* and effects
    on log alpha and log beta. Weights that are too uneven to be trusted (Pareto k above 0.7) are those of influential clinicians.
    """
    posterior, contrasts = fit.tree["posterior"].to_dataset(), fit.tree["contrasts"].to_dataset()
    values = [posterior["level"], np.log(posterior["half_life"])]
    if "intervention" in posterior.coords:
        effects = (contrasts["capacity_change"], posterior["theta_alpha"], posterior["theta_beta"])
        values += [v.isel(intervention=k) for v in effects for k in range(v.sizes["intervention"])]
    draws = np.stack([v.transpose(*SAMPLE).to_numpy().ravel() for v in values], axis=1)
    draws = draws[:, draws.std(axis=0) > 1e-12]
    weights, _, _ = psis(fit.tree["log_likelihood"]["scores"].transpose(*SAMPLE, "clinician").to_numpy())
    weights = np.exp(weights.reshape(len(draws), -1))
    shift = np.abs(weights.T @ (draws - draws.mean(axis=0)) / draws.std(axis=0)).max(axis=1)
    count = max(1, round(INFLUENTIAL * shift.size))
    return np.argsort(-shift, kind="stable")[:count]


def _without_influential(model, study, fit, other):
    if study.n_clinicians < FEWEST:
        raise UserError(f"the study has fewer than {FEWEST} clinicians")
    return model, study.without(influential(fit))


EFFECTS = ("level_change", "speed_up", "spread_change")
SPREAD_PRIORS = (
    "total_sd", "rate_sd", "spread_sd", "unit_level_sd", "unit_rate_sd", "start_shift", "start_sd_ratio", "start_mean", "start_sd",
    "selection", "effect_unit_sd", "effect_clinician_sd", "period_effect", "drift", "knot_effect", "error_sd",
)  # fmt: skip

VARIANTS = {
    "all_layers": Variant("trait, process and error all in the model", _option("left_out", "none")),
    "no_error": Variant("measurement error left out (rounding stays)", _left_out("error"), believed=False),
    "no_trait": Variant("differences between clinicians' levels left out", _left_out("trait"), believed=False),
    **{
        f"spread_{spread}": Variant(words, _option("spread", spread), believed)
        for spread, words, believed in zip(
            SPREADS,
            ("a stationary spread of each clinician's own", "one stationary spread (omega) for all", "one diffusion (sigma) for all"),
            (True, True, False),
            strict=True,
        )
    },
    "half_life_longer": Variant("half-life prior: median times 3", _half_life(3.0)),
    "half_life_shorter": Variant("half-life prior: median divided by 3", _half_life(1 / 3)),
    "holds": Variant("the other reading of `holds`", _other_reading),
    **{
        f"start_{start}": Variant(words, _option("start", start))
        for start, words in zip(
            STARTS,
            ("start near the own level, with a displacement", "start in the stationary distribution", "start free of the own level"),
            strict=True,
        )
    },
    "sceptical": Variant("sceptical priors of the effects (a third as wide)", _scaled(1 / 3, *EFFECTS)),
    "wide_effects": Variant("wide priors of the effects (three times as wide)", _scaled(3.0, *EFFECTS)),
    "wide_spreads": Variant("wide priors of spreads, start and calendar time (three times as wide)", _scaled(3.0, *SPREAD_PRIORS)),
    "no_units": Variant("without units", _without_units),
    "secular_none": Variant("no secular time", _secular("none")),
    "secular_linear": Variant("secular time as a line", _secular("linear")),
    "secular_spline": Variant("secular time as a spline", _secular("spline")),
    "secular_periods": Variant("secular time as free periods", _secular("periods")),
    "not_influential": Variant("without the 5 % of clinicians with most influence on these numbers", _without_influential),
}
