"""The sampled parameters of a model on a study: names, dimensions, priors. One list for builder, simulator, report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .levers import LAYERS
from .priors import Prior, priors_in_force

STANDARD_NORMAL = Prior.of("normal", mean=0, sd=1)
# below this median number of surveys a clinician's sampled level is better non-centred (DESIGN section 1)
CENTRED_FROM = 8

_SUPPORTS = {
    "real": lambda x: np.isfinite(x).all(),
    "positive": lambda x: np.isfinite(x).all() and (x >= 0).all(),
    "share": lambda x: (x > 0).all() and (x < 1).all(),
    "shares": lambda x: x.ndim == 1 and (x >= 0).all() and abs(x.sum() - 1) < 1e-6,
}
_WORDS = {
    "real": "finite", "positive": "0 or more", "share": "between 0 and 1", "shares": "a list of shares that sum to 1",
}  # fmt: skip


@dataclass(frozen=True)
class Parameter:
    """A sampled parameter: its dimensions, its prior, and whether it is a standardised effect (prior fixed)."""

    name: str
    dims: tuple[str, ...]
    prior: Prior
    latent: bool = False


def coordinates(study, design) -> dict[str, list]:
    """Named coordinates of the model."""
    both = design.on_alpha & design.on_beta
    terms_both = design.terms.on_alpha & design.terms.on_beta
    coords = {
        "clinician": list(study.clinicians["clinician"]),
        "unit": list(study.units),
        "layer": list(design.layers),
        "intervention": list(design.interventions),
        "intervention_two_levers": [n for n, b in zip(design.interventions, both, strict=True) if b],
        "intervention_selected": [design.interventions[k] for k in design.selected],
        "term": list(design.terms.names),
        "term_two_levers": [n for n, b in zip(design.terms.names, terms_both, strict=True) if b],
        "moderation": list(design.moderation.names),
        "moderation_two_levers": [
            n for n, a, b in zip(design.moderation.names, design.moderation.on_alpha, design.moderation.on_beta, strict=True)
            if a and b
        ],
        "intervention_by_unit": [design.interventions[k] for k in design.moderation.by_unit],
        "intervention_by_clinician": [design.interventions[k] for k in design.moderation.by_clinician],
        **({design.secular.dim: list(design.secular.labels)} if design.secular.dim else {}),
        **{f"intervention_{name}": who for name, who in design.estimated_shapes().items()},
        "indicator": list(design.indicators),
        "indicator_further": list(design.indicators[1:]),
    }
    return {name: values for name, values in coords.items() if values}


def parameter_table(model, study, design) -> list[Parameter]:
    """Sampled parameters in order, with the model's own priors in place of the defaults where given."""
    priors = priors_in_force(model, study)
    coords = coordinates(study, design)
    table: list[Parameter] = []

    def add(name, *dims, latent=False):
        if all(dim in coords for dim in dims):
            table.append(Parameter(name, dims, STANDARD_NORMAL if latent else priors[name], latent))

    add("level")
    add("half_life")
    add("total_sd")
    share = priors["variance_shares"].concentration
    priors["variance_shares"] = Prior.of(
        "dirichlet", concentration=tuple(c for layer, c in zip(LAYERS, share, strict=True) if layer in design.layers)
    )
    add("variance_shares", "layer")
    if "trait" in design.layers:
        add("level_rate_concordance")
    add("rate_sd")
    add("rate_z", "clinician", latent=True)
    if model.spread == "free":
        add("spread_sd")
        add("spread_z", "clinician", latent=True)
    if model.level == "sampled":
        add("level_effect" if centred_level(study) else "level_z", "clinician", latent=True)
    if design.n_units > 1:
        add("unit_level_sd")
        add("unit_level_z", "unit", latent=True)
        add("unit_rate_sd")
        add("unit_rate_z", "unit", latent=True)
    if model.start == "displaced":
        add("start_shift")
        add("start_sd_ratio")
    elif model.start == "free":
        add("start_mean")
        add("start_sd")
    add("level_change", "intervention")
    add("speed_up", "intervention_two_levers")
    if model.spread == "free":
        add("spread_change", "intervention")
    for name in design.estimated_shapes():
        add(name, f"intervention_{name}")
    add("selection", "intervention_selected")
    add("covariate_level", "term")
    add("covariate_speed", "term_two_levers")
    add("moderation_level", "moderation")
    add("moderation_speed", "moderation_two_levers")
    for who in ("unit", "clinician"):
        add(f"effect_{who}_sd", f"intervention_by_{who}")
        add(f"effect_{who}_z", f"intervention_by_{who}", who, latent=True)
    if design.secular.n_columns:
        add(design.secular.parameter, *([design.secular.dim] if design.secular.dim else []))
    add("intercept", "indicator_further")
    add("loading", "indicator_further")
    add("error_sd", "indicator_further")
    return table


def centred_level(study) -> bool:
    """Whether sampled levels are centred: clinicians have enough surveys for it."""
    answered = study.surveys.loc[study.surveys["capacity"].notna(), "occasion"].to_numpy()
    per_clinician = np.bincount(study.occasions["clinician"].to_numpy()[answered], minlength=study.n_clinicians)
    return bool(np.median(per_clinician) >= CENTRED_FROM)


def draw_parameters(table: list[Parameter], coords: Mapping, given: Mapping | None, rng) -> dict[str, np.ndarray]:
    """One draw from the priors, except for the values given by name.

    Raises
    ------
    UserError
        For a name that the model does not have, or a value of the wrong shape.
    """
    from ..datasets.errors import UserError, nearest

    given = dict(given or {})
    raw_effect = "level_effect" not in given
    names = [parameter.name for parameter in table]
    values = {}
    for parameter in table:
        shape = tuple(len(coords[dim]) for dim in parameter.dims)
        size = shape[:-1] if parameter.prior.family == "dirichlet" else shape
        drawn = np.asarray(parameter.prior.draw(rng, size), float)  # drawn always: the rest keep their random numbers
        if parameter.name in given:
            value = np.asarray(given.pop(parameter.name), float)
            if value.ndim and value.shape != shape:
                raise UserError(
                    f"parameter {parameter.name}: expected shape {shape} ({', '.join(parameter.dims)}), got {value.shape}."
                )
            if not _SUPPORTS[parameter.prior.support](value):
                raise UserError(
                    f"parameter {parameter.name}: {value.tolist()} is not possible; it must be {_WORDS[parameter.prior.support]}."
                )
            drawn = np.broadcast_to(value, shape).copy()
        values[parameter.name] = drawn
    if given:
        unknown = next(iter(given))
        raise UserError(f"the model has no parameter {unknown!r}.{nearest(unknown, names)} It has: {', '.join(names)}.")
    if "level_effect" in values and raw_effect:  # its table entry is the standardised effect
        trait = values["total_sd"] * np.sqrt(values["variance_shares"][0]) / values["level"]
        values["level_effect"] = values["level_effect"] * trait
    return values
