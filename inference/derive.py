"""From posterior draws to the reported quantities: one pass over the draws, parameters -> levers -> results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr

from ..models.design import Design, build_design
from ..models.exposure import exposed_clinicians
from ..models.levers import levers
from ..models.likelihood import filter as kalman
from ..models.likelihood import smoother
from ..models.parameters import coordinates, parameter_table
from ..models.simulation import new_answers
from ..models.timeline import lay_out

MOST_PATH_DRAWS = 500
MOST_LOO_NUMBERS = 5_000_000
GRID_POINTS = 60


@dataclass(frozen=True)
class Draws:
    """Posterior draws of the sampled parameters with what is needed to turn each into levers."""

    model: object
    study: object
    design: Design
    values: dict[str, np.ndarray]  # name -> (chains, draws, ...)
    chains: int
    draws: int

    @classmethod
    def of(cls, posterior: xr.Dataset, model, study) -> Draws:
        design, _, _ = build_design(model, study)
        table = parameter_table(model, study, design)
        values = {p.name: posterior[p.name].transpose("chain", "draw", *p.dims).to_numpy() for p in table}
        return cls(model, study, design, values, posterior.sizes["chain"], posterior.sizes["draw"])

    def __iter__(self) -> Iterator[tuple[int, int, object]]:
        return self.some(range(self.draws))

    def some(self, draws) -> Iterator[tuple[int, int, object]]:
        """(chain, position among ``draws``, levers) for the chosen draws of every chain."""
        for c in range(self.chains):
            for n, d in enumerate(draws):
                yield c, n, levers(self.point(c, d), self.design, self.model, np)

    def point(self, chain: int, draw: int) -> dict[str, np.ndarray]:
        """The sampled parameters of one draw."""
        return {name: value[chain, draw] for name, value in self.values.items()}

    def thinned(self, most: int) -> np.ndarray:
        """Evenly spaced draws of each chain, at most ``most`` in all."""
        per_chain = max(1, most // self.chains)
        if per_chain >= self.draws:
            return np.arange(self.draws)
        return np.unique(np.linspace(0, self.draws - 1, per_chain).astype(int))

    def data(self, layout=None):
        return self.design.data(layout)


def derive(draws: Draws, rng: np.random.Generator) -> tuple[dict, dict, dict, np.ndarray]:
    """Quantities by clinician, contrasts of interventions, and the log-likelihood.

    Returns
    -------
    posterior : dict of name -> (dims, array)
        ``alpha``, ``capacity``, ``level_deviation`` (the drawn e_i) and the values in force at the last survey.
    contrasts : dict of name -> (dims, array)
    individual : dict of name -> (dims, array)
        What estimands need of each clinician beside these: ``state_last``, capacity at the last survey, and, where
        effects vary, ``level_deviation_effect`` and ``rate_deviation_effect``, what is added to an intervention's change
        of log C* and log beta.
    log_likelihood : array (chain, draw, clinician)
    """
    design = draws.design
    shape = (draws.chains, draws.draws)
    count, programmes = design.n_clinicians, len(design.interventions)
    by_clinician = {
        name: np.empty((*shape, count))
        for name in ("alpha", "capacity", "level_deviation", "alpha_last", "beta_last", "capacity_last")
    }
    log_likelihood = np.empty((*shape, count))
    change = np.empty((*shape, programmes))
    change_exposed = np.full((*shape, programmes), np.nan)
    exposed = exposed_clinicians(draws.study)
    varied = [k for k in range(programmes) if design.moderation.varies(k)]
    more = np.zeros((2, *shape, programmes if varied else 0, count))
    states = np.empty((*shape, count))
    data = draws.data()
    normals, state_normals = rng.standard_normal((2, *shape, count))
    for c, d, lever in draws:
        arguments = lever.arguments
        log_likelihood[c, d], mean, var = kalman.log_likelihood(*data, *arguments)
        deviation = mean + np.sqrt(var) * normals[c, d]
        states[c, d] = smoother.last_states(*data, *arguments, deviation, state_normals[c, d])
        level, rate = arguments[0], arguments[1]
        capacity = level[design.epoch_base] * (1 + deviation)
        last = level[design.epoch_last] * (1 + deviation)
        by_clinician["level_deviation"][c, d] = deviation
        by_clinician["capacity"][c, d] = capacity
        by_clinician["alpha"][c, d] = capacity * rate[design.epoch_base]
        by_clinician["capacity_last"][c, d] = last
        by_clinician["beta_last"][c, d] = rate[design.epoch_last]
        by_clinician["alpha_last"][c, d] = last * rate[design.epoch_last]
        for k in range(programmes):
            own_level, own_rate = lever.deviations.get(k, (0.0, 0.0))
            if varied:
                more[0, c, d, k], more[1, c, d, k] = own_level, own_rate
            moved = np.expm1(lever.theta_alpha[k] - lever.theta_beta[k] + own_level) * capacity
            change[c, d, k] = moved.mean()
            if exposed[:, k].any():
                change_exposed[c, d, k] = moved[exposed[:, k]].mean()
    contrasts = {}
    if programmes:
        score = next(iter(draws.study.scores.values()))
        dims = ("chain", "draw", "intervention")
        contrasts = {
            "capacity_change": (dims, change),
            "capacity_change_exposed": (dims, change_exposed),
            "score_change": (dims, score.change_to_points(change)),
        }
    dims = ("chain", "draw", "clinician")
    posterior = {name: (dims, value) for name, value in by_clinician.items()}
    individual = {"state_last": (dims, states)}
    if varied:
        names = ("level_deviation_effect", "rate_deviation_effect")
        individual |= {n: (("chain", "draw", "intervention", "clinician"), v) for n, v in zip(names, more, strict=True)}
    return posterior, contrasts, individual, log_likelihood


def survey_log_likelihood(draws: Draws) -> xr.Dataset:
    """log p(answer | the clinician's other answers), answered surveys only.

    Thinned evenly where draws x surveys would pass five million numbers.
    """
    design = draws.design
    answered = np.flatnonzero(~np.isnan(design.survey_score))
    chosen = draws.thinned(max(MOST_LOO_NUMBERS // max(answered.size, 1), draws.chains))
    out = np.empty((draws.chains, chosen.size, answered.size))
    data = draws.data()
    for c, n, lever in draws.some(chosen):
        out[c, n] = smoother.leave_one_out(*data, *lever.arguments)[2][answered]
    return xr.Dataset(
        {"scores": (("chain", "draw", "survey"), out)},
        coords={"chain": np.arange(draws.chains), "draw": chosen, "survey": answered},
    )


def time_grid(study) -> list[np.ndarray]:
    """Evenly spaced times of each clinician, on one grid for the whole study."""
    time = study.occasions["time"].to_numpy(float)
    grid = np.linspace(time.min(), time.max(), GRID_POINTS)
    return [grid[(grid > a) & (grid < b)] for a, b in zip(*study.follow_up, strict=True)]


def latent_paths(draws: Draws, deviations: np.ndarray, rng: np.random.Generator) -> tuple[xr.Dataset, xr.Dataset]:
    """Smoothed latent capacity at surveys and on a grid, and replicated scores.

    Parameters
    ----------
    deviations : array (chain, draw, clinician)
        The drawn level deviations, so that paths and levels of one draw belong together.

    Returns
    -------
    paths : Dataset
        ``at_survey`` (chain, draw, survey), ``on_grid`` (chain, draw, grid), float32, at most 500 draws.
    replicated : Dataset
        ``scores`` (chain, draw, survey): new paths and new errors for the same clinicians (0-100), as the
        questionnaire records them: rounded to its step and cut to its range.
    """
    model, study, design = draws.model, draws.study, draws.design
    _, timeline, epoch = build_design(model, study)
    grid = time_grid(study)
    layout = lay_out(timeline, epoch, grid)
    chosen = draws.thinned(MOST_PATH_DRAWS)
    shape = (draws.chains, chosen.size)
    at_survey = np.empty((*shape, design.survey_score.size), np.float32)
    on_grid = np.empty((*shape, sum(map(len, grid))), np.float32)
    replicated = np.empty((*shape, design.survey_score.size), np.float32)
    ends_at_survey = np.flatnonzero(layout.step_survey >= 0)
    ends_at_point = np.flatnonzero(layout.step_point >= 0)
    data = draws.data(layout)
    for c, n, lever in draws.some(chosen):
        deviation = deviations[c, chosen[n]]
        path = smoother.draw_paths(*data, *lever.arguments, deviation, rng.standard_normal(layout.step_gap.size))
        at_survey[c, n, layout.step_survey[ends_at_survey]] = path[ends_at_survey]
        on_grid[c, n, layout.step_point[ends_at_point]] = path[ends_at_point]
        replicated[c, n] = new_answers(design, study, lever.arguments, deviation, rng)[1]
    coords = {"chain": np.arange(draws.chains), "draw": chosen}
    owner = np.repeat(np.arange(study.n_clinicians), [len(g) for g in grid])
    paths = xr.Dataset(
        {"at_survey": (("chain", "draw", "survey"), at_survey), "on_grid": (("chain", "draw", "grid"), on_grid)},
        coords=coords | {
            "grid_clinician": ("grid", owner),
            "grid_time": ("grid", np.concatenate(grid) if grid else np.empty(0)),
        },
    )  # fmt: skip
    return paths, xr.Dataset({"scores": (("chain", "draw", "survey"), replicated)}, coords=coords)


def model_coordinates(draws: Draws) -> dict[str, list]:
    return coordinates(draws.study, draws.design)
