"""New scores from the model: simulated studies with known truth, and draws from the prior predictive distribution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from ..datasets.errors import UserError
from .design import build_design
from .levers import LN2, levers
from .likelihood import smoother
from .parameters import coordinates, draw_parameters, parameter_table


@dataclass(frozen=True)
class Simulation:
    """A simulated study and the truth behind it.

    Attributes
    ----------
    study : Study
        The design with new scores; what was missing in the design is missing here.
    parameters : dict of str to array
        Every sampled parameter of the model.
    clinicians : DataFrame
        Columns clinician, unit, alpha, beta, capacity, half_life, omega: the reported quantities (interventions off).
    units : DataFrame
        Columns unit, alpha, beta, capacity: the unit's median clinician.
    effects : DataFrame
        Columns intervention, theta_alpha, theta_beta, theta_omega, capacity_change (mean over clinicians, 0-100).
    path : float array (surveys)
        Latent capacity at each survey.
    clipped : float
        Share of scores that fell outside the score's range and were moved to its end.
    """

    study: object
    parameters: dict
    clinicians: pd.DataFrame
    units: pd.DataFrame
    effects: pd.DataFrame
    path: np.ndarray
    clipped: float


def draw_deviation(arguments, rng) -> np.ndarray:
    """Each clinician's level deviation e from its prior, given the likelihood's arguments."""
    return arguments[3] + np.sqrt(arguments[4]) * rng.standard_normal(arguments[3].size)


def new_scores(design, arguments, deviation, rng, layout=None):
    """New latent paths at every step and scores (0-100, neither rounded nor clipped), given parameters."""
    layout = layout or design.layout
    data = design.data(layout)
    level, rate, variance, _, _, start_shift, start_var, intercept, loading, error = arguments
    return smoother.simulate(
        *data[:6], *data[7:], level, rate, variance, start_shift, start_var, intercept, loading, error, deviation,
        rng.standard_normal(design.n_clinicians), rng.standard_normal(layout.step_gap.size),
        rng.standard_normal(design.survey_score.size),
    )  # fmt: skip


def new_answers(design, study, arguments, deviation, rng, layout=None):
    """New latent paths and scores as a questionnaire records them: rounded, cut to the range; and the share that was cut.

    The error of rounding is made by rounding, and not added as noise as well.
    """
    arguments = list(arguments)
    arguments[9] = np.maximum(arguments[9] - design.error_floor, 0.0)
    path, score = new_scores(design, arguments, deviation, rng, layout)
    return path, *_as_answered(score, design, study.scores)


def simulate(model, study, parameters: Mapping | None = None, seed=None, *, rounded: bool = True) -> Simulation:
    """Draw new scores for any model and study design.

    Parameters
    ----------
    model : CapacityModel
    study : Study
        Gives the design: who is surveyed when, exposure, covariates, which scores are missing. Its scores are not used.
    parameters : mapping, optional
        Values of sampled parameters by name (scalars are repeated over dimensions); the rest are drawn from the priors.
    seed : int or numpy.random.Generator, optional
    rounded : bool
        Round scores to the score's step and clip them to its range, as a questionnaire does. Without it they follow
        the model exactly (normal errors, rounding counted as error of variance step^2/12).

    Returns
    -------
    Simulation

    Examples
    --------
    >>> from equipoise import CapacityModel, datasets, simulate
    >>> design = datasets.design_study(clinicians=6, surveys=8, time_unit="week")
    >>> new = simulate(CapacityModel(), design, {"half_life": 3.0}, seed=1)
    >>> new.study.n_clinicians, float(new.parameters["half_life"])
    (6, 3.0)
    """
    rng = np.random.default_rng(seed)
    design, _, _ = build_design(model, study)
    coords = coordinates(study, design)
    table = parameter_table(model, study, design)
    values = draw_parameters(table, coords, parameters, rng)
    derived = levers(values, design, model, np)
    arguments = derived.arguments
    deviation = draw_deviation(arguments, rng)
    if rounded:
        path, score, clipped = new_answers(design, study, arguments, deviation, rng)
    else:
        (path, score), clipped = new_scores(design, arguments, deviation, rng), 0.0
    at_survey = np.full(score.size, np.nan)
    seen = design.layout.step_survey >= 0
    at_survey[design.layout.step_survey[seen]] = path[seen]
    score[np.isnan(design.survey_score)] = np.nan

    base = arguments[0][design.epoch_base]
    capacity = base * (1 + deviation)
    clinicians = study.clinicians[["clinician", "unit"]].copy()
    clinicians["alpha"] = capacity * derived.beta
    clinicians["beta"] = derived.beta
    clinicians["capacity"] = capacity
    clinicians["half_life"] = LN2 / derived.beta
    clinicians["omega"] = derived.omega_clinician
    units = pd.DataFrame(
        {
            "unit": list(study.units),
            "alpha": derived.capacity_unit * derived.beta_unit,
            "beta": derived.beta_unit,
            "capacity": derived.capacity_unit,
        }
    )
    change = derived.theta_alpha - derived.theta_beta
    effects = pd.DataFrame(
        {
            "intervention": list(design.interventions),
            "theta_alpha": derived.theta_alpha,
            "theta_beta": derived.theta_beta,
            "theta_omega": derived.theta_omega,
            "capacity_change": [
                float((capacity * np.expm1(d + derived.deviations.get(k, (0.0, 0.0))[0])).mean()) for k, d in enumerate(change)
            ],
        }
    )
    return Simulation(study.with_scores(score), values, clinicians, units, effects, at_survey, clipped)


def _as_answered(score, design, scores):
    """Round to possible answers and clip to the range, score by score."""
    score = score.copy()
    outside = np.zeros(score.size, bool)
    for j, described in enumerate(scores.values()):
        mine = design.survey_indicator == j
        points = described.to_points(score[mine])
        low, high = described.range
        outside[mine] = (points < low) | (points > high)
        if described.step is not None:
            step = described.step / design.survey_repeats[mine]  # a mean of n answers lies on a finer grid
            points = low + np.round((points - low) / step) * step
        score[mine] = described.to_capacity(np.clip(points, low, high))
    return score, float(outside.mean()) if outside.size else 0.0


def prior_predictive(model, study, draws: int = 200, seed=None) -> xr.DataTree:
    """Parameters, derived quantities and scores drawn from the prior, for the study's design.

    Parameters
    ----------
    model : CapacityModel
    study : Study
    draws : int
    seed : int, optional

    Returns
    -------
    xarray.DataTree
        Groups ``prior`` (sampled parameters, ``alpha``, ``beta``, ``capacity`` by clinician, effects),
        ``prior_predictive`` and ``observed_data`` (``scores``, 0-100, dimension survey), as ArviZ reads them.
    """
    if draws < 1:
        raise UserError(f"draws must be at least 1; got {draws}.")
    rng = np.random.default_rng(seed)
    design, _, _ = build_design(model, study)
    coords = coordinates(study, design)
    table = parameter_table(model, study, design)
    dims = {p.name: p.dims for p in table} | {
        "alpha": ("clinician",), "beta": ("clinician",), "capacity": ("clinician",),
        "theta_alpha": ("intervention",), "theta_beta": ("intervention",),
    }  # fmt: skip
    kept: dict[str, list] = {name: [] for name in dims}
    scores = np.empty((draws, design.survey_score.size))
    for n in range(draws):
        values = draw_parameters(table, coords, None, rng)
        derived = levers(values, design, model, np)
        deviation = draw_deviation(derived.arguments, rng)
        scores[n] = new_scores(design, derived.arguments, deviation, rng)[1]
        capacity = derived.arguments[0][design.epoch_base] * (1 + deviation)
        values |= {
            "alpha": capacity * derived.beta, "beta": derived.beta, "capacity": capacity,
            "theta_alpha": derived.theta_alpha, "theta_beta": derived.theta_beta,
        }  # fmt: skip
        for name, value in values.items():
            kept[name].append(value)
    prior = xr.Dataset(
        {
            name: (("chain", "draw", *dims[name]), np.array(values)[None])
            for name, values in kept.items()
            if all(dim in coords for dim in dims[name])
        },
        coords={name: coords[name] for name in {d for ds in dims.values() for d in ds} & set(coords)}
        | {"chain": [0], "draw": np.arange(draws)},
    )
    sampled = xr.Dataset({"scores": (("chain", "draw", "survey"), scores[None])}, coords={"chain": [0]})
    observed = xr.Dataset({"scores": (("survey",), design.survey_score)})
    return xr.DataTree.from_dict({"prior": prior, "prior_predictive": sampled, "observed_data": observed})
