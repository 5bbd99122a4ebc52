"""From posterior draws to the reported quantities: one pass over the draws, parameters -> levers -> results."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import xarray as xr

from ..models.design import Design, build_design
from ..models.exposure import exposed_clinicians
from ..models.levers import levers
from ..models.likelihood import filter as kalman
from ..models.likelihood import smoother
from ..models.parameters import coordinates, parameter_table
from ..models.part import part_of, surveys_of
from ..models.simulation import new_answers
from ..models.timeline import lay_out
from .cores import available_cores
from .over_workers import block_by_block
from .store import Drawn, bytes_on_disk, is_large

MOST_PATH_DRAWS = 500
MOST_PATH_POINTS = 200_000  # surveys and points of the grid; above it some clinicians stand for all
MOST_LOO_NUMBERS = 5_000_000
PANEL_DRAWS = 400  # of which answers left out are to be had for those clinicians
GRID_POINTS = 60
THREADED_FROM = 2_000  # clinicians
BY_CLINICIAN = ("alpha", "capacity", "level_deviation", "alpha_last", "beta_last", "capacity_last")
RECORDED = ("beta", "omega")  # of each clinician, by the model itself
LAST = ("state_last", "log_likelihood")
VARIED = ("level_deviation_effect", "rate_deviation_effect")


@dataclass(frozen=True)
class Draws:
    """Posterior draws of the sampled parameters with what is needed to turn each into levers.

    Of all clinicians, or (``members``, their codes) of some; ``surveys`` are then the numbers of theirs.
    """

    model: object
    study: object
    design: Design
    values: dict[str, np.ndarray]  # name -> (chains, draws, ...)
    chains: int
    draws: int
    members: np.ndarray | None = None
    surveys: np.ndarray | None = None

    @classmethod
    def of(cls, posterior: xr.Dataset, model, study, members: np.ndarray | None = None) -> Draws:
        design, _, _ = build_design(model, study)
        table = parameter_table(model, study, design)
        surveys = np.arange(design.survey_score.size)
        if members is not None:
            surveys = surveys_of(design, members)
            design = part_of(design, members)
            posterior = posterior.isel(clinician=members)
        values = {p.name: posterior[p.name].transpose("chain", "draw", *p.dims).to_numpy() for p in table}
        return cls(model, study, design, values, posterior.sizes["chain"], posterior.sizes["draw"], members, surveys)

    def __iter__(self) -> Iterator[tuple[int, int, object]]:
        return self.some(range(self.draws))

    def some(self, draws) -> Iterator[tuple[int, int, object]]:
        """(chain, position among ``draws``, levers) for the chosen draws of every chain."""
        for c in range(self.chains):
            for n, d in enumerate(draws):
                yield c, n, self.lever(c, d)

    def lever(self, chain: int, draw: int):
        """The levers of one draw."""
        return levers(self.point(chain, draw), self.design, self.model, np)

    def part(self, chain: int, draws: slice) -> dict[str, np.ndarray]:
        """The sampled parameters of a stretch of draws of one chain, as arrays (1, draws, ...)."""
        return {name: value[chain : chain + 1, draws] for name, value in self.values.items()}

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


def panel_of(study, seed: int) -> np.ndarray | None:
    """Codes of the clinicians whose paths, replicated answers and left-out answers are kept; None: of everybody.

    Where these would be too many numbers, some clinicians stand for all, drawn at random.
    """
    answered = np.bincount(
        study.occasions["clinician"].to_numpy()[study.surveys["occasion"].to_numpy()[study.surveys["points"].notna().to_numpy()]],
        minlength=study.n_clinicians,
    )
    if len(study.surveys) + study.n_clinicians * GRID_POINTS <= MOST_PATH_POINTS:
        return None
    order = np.random.default_rng([seed, 3]).permutation(study.n_clinicians)
    enough = int(np.searchsorted(np.cumsum(answered[order]), MOST_LOO_NUMBERS // PANEL_DRAWS, side="right"))
    return np.sort(order[: max(enough, 1)])


def sizes_of(design: Design, chains: int, draws: int) -> dict[str, dict[str, int]]:
    """By name, the dimensions of what `derive` gives of each clinician."""
    programmes, sizes = len(design.interventions), {"chain": chains, "draw": draws, "clinician": design.n_clinicians}
    varied = any(design.moderation.varies(k) for k in range(programmes))
    by_programme = {"chain": chains, "draw": draws, "intervention": programmes, "clinician": design.n_clinicians}
    return dict.fromkeys((*BY_CLINICIAN, *LAST), sizes) | dict.fromkeys(VARIED if varied else (), by_programme)


def bytes_of_results(model, study, chains: int, draws: int) -> int:
    """What saved draws of single clinicians take at the least on the disk, where they are kept apart from the rest (`store`)."""
    most = {"chain": chains, "draw": draws, "intervention": max(len(study.interventions), 1), "clinician": study.n_clinicians}
    if not is_large(most):
        return 0
    design, _, _ = build_design(model, study)
    sampled = sum("clinician" in parameter.dims for parameter in parameter_table(model, study, design)) + len(RECORDED)
    sizes = sizes_of(design, chains, draws)
    return bytes_on_disk(sizes) + sampled * bytes_on_disk({"alpha": sizes["alpha"]})


def derive(draws: Draws, rng: np.random.Generator) -> tuple[dict, dict, dict, xr.Variable]:
    """Quantities by clinician, contrasts of interventions, and the log-likelihood.

    Every draw has random numbers of its own, so that neither blocks nor threads nor workers (`cluster.on_cluster`) change them.
    Where the quantities are large they are written to disk block by block as they come, see `store`.

    Returns
    -------
    posterior : dict of name -> variable (chain, draw, clinician)
        ``alpha``, ``capacity``, ``level_deviation`` (the drawn e_i) and the values in force at the last survey.
    contrasts : dict of name -> (dims, array)
    individual : dict of name -> variable
        What estimands need of each clinician beside these: ``state_last``, capacity at the last survey, and, where
        effects vary, ``level_deviation_effect`` and ``rate_deviation_effect``, what is added to an intervention's change
        of log C* and log beta.
    log_likelihood : variable (chain, draw, clinician)
    """
    design = draws.design
    programmes, count = len(design.interventions), design.n_clinicians
    drawn = Drawn(sizes_of(design, draws.chains, draws.draws))
    change = np.empty((2, draws.chains, draws.draws, programmes))
    seeds = rng.bit_generator.seed_seq.spawn(draws.chains * draws.draws)

    def jobs():
        for chain, block in drawn.blocks(draws.chains, draws.draws, count):
            own = slice(chain * draws.draws + block.start, chain * draws.draws + block.stop)
            yield (chain, block), (draws.part(chain, block), seeds[own])

    given = replace(draws, values={}, study=None), exposed_clinicians(draws.study)
    threads = min(available_cores(), 8) if count >= THREADED_FROM else 1
    for (chain, block), values in block_by_block(partial(_block, threads=threads), _block, given, jobs()):
        change[:, chain, block] = values.pop("change")
        drawn.write(chain, block, values)
    contrasts = {}
    if programmes:
        score = next(iter(draws.study.scores.values()))
        dims = ("chain", "draw", "intervention")
        contrasts = {
            "capacity_change": (dims, change[0]),
            "capacity_change_exposed": (dims, change[1]),
            "score_change": (dims, score.change_to_points(change[0])),
        }
    kept = drawn.variables()
    individual = {name: kept[name] for name in ("state_last", *VARIED) if name in kept}
    return {name: kept[name] for name in BY_CLINICIAN}, contrasts, individual, kept["log_likelihood"]


def _block(given, part, threads: int = 1) -> dict[str, np.ndarray]:
    """Quantities of a block of draws, of one chain: arrays (draws, ...), and ``change`` (2, draws, programmes)."""
    draws, exposed = given
    values, seeds = part
    draws = replace(draws, values=values, chains=1, draws=len(seeds))
    design, data = draws.design, draws.data()
    programmes, count = len(design.interventions), design.n_clinicians
    varied = any(design.moderation.varies(k) for k in range(programmes))
    change = np.full((2, len(seeds), programmes), np.nan)

    def one(draw: int) -> dict[str, np.ndarray]:
        lever = draws.lever(0, draw)
        found, moved = _one(lever, design, data, np.random.default_rng(seeds[draw]))
        change[0, draw] = moved.mean(axis=1)
        for k in range(programmes):
            if exposed[:, k].any():
                change[1, draw, k] = moved[k, exposed[:, k]].mean()
        if varied:
            pairs = [lever.deviations.get(k, (np.zeros(count), np.zeros(count))) for k in range(programmes)]
            found |= {name: np.array([pair[n] for pair in pairs]) for n, name in enumerate(VARIED)}
        return found

    out: dict[str, np.ndarray] = {}
    with ThreadPoolExecutor(threads) as pool:
        for n, found in enumerate((pool.map if threads > 1 else map)(one, range(len(seeds)))):
            for name, value in found.items():
                out.setdefault(name, np.empty((len(seeds), *value.shape)))[n] = value
    return out | {"change": change}


def _one(lever, design: Design, data, rng) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """What one draw comes to for each clinician, and the change of C* by each programme (programmes x clinicians)."""
    arguments, count = lever.arguments, design.n_clinicians
    log_likelihood, mean, var = kalman.log_likelihood(*data, *arguments)
    deviation = mean + np.sqrt(var) * rng.standard_normal(count)
    state = smoother.last_states(*data, *arguments, deviation, rng.standard_normal(count))
    level, rate = arguments[0], arguments[1]
    capacity, last = (level[epoch] * (1 + deviation) for epoch in (design.epoch_base, design.epoch_last))
    beta_last = rate[design.epoch_last]
    found = {
        "alpha": capacity * rate[design.epoch_base], "capacity": capacity, "level_deviation": deviation,
        "alpha_last": last * beta_last, "beta_last": beta_last, "capacity_last": last,
        "state_last": state, "log_likelihood": log_likelihood,
    }  # fmt: skip
    moved = np.empty((len(design.interventions), count))
    for k in range(len(moved)):
        own = lever.deviations.get(k, (0.0, 0.0))[0]
        moved[k] = np.expm1(lever.theta_alpha[k] - lever.theta_beta[k] + own) * capacity
    return found, moved


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
        coords={"chain": np.arange(draws.chains), "draw": chosen, "survey": draws.surveys[answered]},
    )


def time_grid(study, members: np.ndarray | None = None) -> list[np.ndarray]:
    """Evenly spaced times of each clinician (none of those who are not among ``members``), on one grid for the whole study."""
    time = study.occasions["time"].to_numpy(float)
    grid = np.linspace(time.min(), time.max(), GRID_POINTS)
    wanted = np.ones(study.n_clinicians, bool) if members is None else np.isin(np.arange(study.n_clinicians), members)
    follow_up = zip(*study.follow_up, wanted, strict=True)
    return [grid[(grid > a) & (grid < b)] if mine else np.empty(0) for a, b, mine in follow_up]


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
    study, design = draws.study, draws.design
    whole, timeline, epoch = build_design(draws.model, study)
    grid = time_grid(study, draws.members)
    layout = lay_out(timeline, epoch, grid)
    if draws.members is not None:
        layout = part_of(replace(whole, layout=layout), draws.members).layout
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
    coords = {"chain": np.arange(draws.chains), "draw": chosen, "survey": draws.surveys}
    owner = np.repeat(np.arange(study.n_clinicians), [len(g) for g in grid])
    grid_coords = {"grid_clinician": ("grid", owner), "grid_time": ("grid", np.concatenate([*grid, np.empty(0)]))}
    paths = xr.Dataset(
        {"at_survey": (("chain", "draw", "survey"), at_survey), "on_grid": (("chain", "draw", "grid"), on_grid)},
        coords=coords | grid_coords,
    )
    return paths, xr.Dataset({"scores": (("chain", "draw", "survey"), replicated)}, coords=coords)


def model_coordinates(draws: Draws) -> dict[str, list]:
    return coordinates(draws.study, draws.design)
