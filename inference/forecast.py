"""Counterfactual paths: expected capacity from a stated date on, with and without each programme or under a plan."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..datasets.errors import UserError, is_number
from ..datasets.roll_out import read_roll_out, time_of
from ..datasets.times import DAYS
from ..models.design import build_design
from ..models.levers import LN2
from ..models.likelihood import smoother
from ..models.likelihood.filter import approach
from ..models.likelihood.kept import njit
from ..models.shapes import FAR
from ..models.timeline import combined, lay_out
from .derive import Draws
from .options import ALL, NONE, check_prob, joined, sparse

AS_RECORDED, PLAN = "as recorded", "planned roll-out"
POINTS = 48
MOST_DRAWS = 500
MOST_CELLS = 400
MOST_NUMBERS = 50_000_000  # regimes x draws x times x groups


def forecast(
    fit, *, start, horizon: float, roll_out=None, prob: float = 0.89, most: int = MOST_DRAWS
) -> pd.DataFrame:  # fmt: skip
    """Expected capacity of the population and of each unit from a date on, with and without each programme.

    Paths start from each clinician's smoothed state at ``start``, given all answers (also later ones); a clinician whose
    last survey was earlier is carried there with the exposure of that survey. From there expected capacity is followed exactly
    under each regime: no programme at all; each programme for everyone, beginning at ``start``; the spells as recorded,
    those without an end going on (of a 0/1 column: what was on at the last survey); and, where given, a planned roll-out in
    place of the recorded spells. Covariates are at each clinician's mean, secular time at its average.

    Parameters
    ----------
    fit : Fit
        With its study.
    start : number or date
        On the study's time axis; no default.
    horizon : float
        Length of the forecast, in the study's time unit.
    roll_out : DataFrame or path, optional
        Planned spells: clinician or unit, intervention, start, end, dose.
    prob : float
        Probability of the bands, which are of the group's mean expected path: chance ups and downs of single clinicians
        are not in them.
    most : int
        At most so many posterior draws, evenly spaced; fewer, but a hundred, where there are thousands of units.

    Returns
    -------
    DataFrame
        One row for each group ("all clinicians" and the units), regime and time: group, clinicians, regime, time, median,
        low, high (0-100), and gain_median, gain_low, gain_high (against no programme), interval.

    Raises
    ------
    UserError
        For a missing or impossible start or horizon, before the first survey of everybody, or spells that cannot be read.
    """
    study = fit.study
    if not study.interventions:
        raise UserError("a forecast compares programmes, and the study has none.")
    check_prob(prob)
    begin, plan = check_forecast(study, start, horizon, roll_out)
    draws = Draws.of(fit.tree["posterior"].to_dataset(), fit.model, study)
    followed = study.follow_up[0] <= begin
    regimes = _regimes(draws, begin, horizon, plan)
    edges = _edges(draws, begin, horizon, regimes, study)
    groups, weights = _groups(study, followed)
    # thousands of units: fewer draws, so that their paths fit into memory
    chosen = draws.thinned(min(most, max(100, MOST_NUMBERS // (len(regimes) * edges.size * len(groups)))))
    paths = np.empty((len(regimes), draws.chains, chosen.size, edges.size, len(groups)))
    deviations = fit.tree["posterior"]["level_deviation"].transpose("chain", "draw", "clinician").to_numpy()
    states = _States(draws, begin, fit.facts["sampling"]["seed"])
    exposed = {name: _Exposure(draws, spells, edges) for name, spells in regimes.items()}
    for c, n, lever in draws.some(chosen):
        deviation = deviations[c, chosen[n]]
        state = states(lever, deviation)
        base = lever.arguments[0][draws.design.epoch_base] * (1 + deviation)
        point = draws.point(c, chosen[n])
        moved = _moved(lever, draws.design)
        for r, exposure in enumerate(exposed.values()):
            path = _paths(state, base, lever.beta, *moved, *exposure(point), np.diff(edges))
            paths[r, c, n] = path.T @ weights
    return _table(paths, list(regimes), groups, np.diff(weights.indptr), edges, prob)


def check_forecast(study, start, horizon, roll_out=None):
    """The start as a time of the study, and the planned spells; raises `UserError` before anything is computed."""
    begin = time_of(study, start)
    if not (is_number(horizon) and horizon > 0):
        raise UserError(f"horizon must be a number above 0, in {study.time_unit}s; got {horizon!r}.")
    first = study.follow_up[0]
    if begin < first.min():
        ends = [_as_written(study, t) for t in (first.min(), study.follow_up[1].max())]
        raise UserError(
            f"start = {start} lies before the first survey of everybody: there is no state to start from. "
            f"The surveys run from {ends[0]} to {ends[1]}."
        )
    return begin, None if roll_out is None else read_roll_out(study, roll_out)


def _as_written(study, time: float) -> str:
    """A time as the user writes it: a date, or a number in the study's unit."""
    if study.origin is None:
        return f"{study.time_unit} {time:g}"
    return str((study.origin + pd.Timedelta(days=time * DAYS[study.time_unit])).date())


def _regimes(draws: Draws, begin: float, horizon: float, plan) -> dict[str, list]:
    """Name of each regime -> by intervention, (start, end, dose) of each clinician's spells (clinicians x spells)."""
    study = draws.study
    count, programmes = study.n_clinicians, range(len(study.interventions))
    none = np.zeros((count, 0)), np.zeros((count, 0)), np.zeros((count, 0))
    new = np.full((count, 1), begin), np.full((count, 1), FAR), np.ones((count, 1))
    found = {NONE: [none for _ in programmes]}
    for k, name in enumerate(study.interventions):
        found[name] = [new if j == k else none for j in programmes]
    # a column tells of exposure up to the last survey only: what was on then is taken to go on
    recorded = study.spells.copy()
    from_column = recorded["intervention"].map(lambda k: study.exposure_source[study.interventions[k]] == "column")
    last = study.follow_up[1][recorded["clinician"].to_numpy(int)]
    recorded.loc[from_column.to_numpy(bool) & (recorded["end"].to_numpy() == last), "end"] = np.inf
    found[AS_RECORDED] = [_by_clinician(recorded, k, count) for k in programmes]
    if plan is not None:
        found[PLAN] = [_by_clinician(plan, k, count) for k in programmes]
    return found


def _by_clinician(spells: pd.DataFrame, k: int, count: int):
    mine = spells[spells["intervention"] == k]
    code = mine["clinician"].to_numpy(int)
    place = mine.groupby("clinician").cumcount().to_numpy()
    width = int(place.max()) + 1 if len(mine) else 0
    start, end, dose = np.zeros((count, width)), np.full((count, width), FAR), np.zeros((count, width))
    start[code, place] = mine["start"]
    end[code, place] = np.minimum(mine["end"], FAR)
    dose[code, place] = mine["dose"]
    return start, end, dose


def _edges(draws: Draws, begin, horizon, regimes, study) -> np.ndarray:
    """Times of the forecast: an even grid, and the dates at which exposure changes."""
    end = begin + horizon
    dates = [np.linspace(begin, end, POINTS + 1)]
    for spells in regimes.values():
        for course, (starts, ends, dose) in zip(draws.design.courses, spells, strict=True):
            pairs = np.unique(np.column_stack([starts[dose > 0], ends[dose > 0]]), axis=0)
            dates += [pairs.ravel()]
            for a, b in pairs[pairs[:, 0] < end][-40:]:  # the latest: earlier ones have settled
                dates.append(course.cuts(a, b, horizon / 8, end))
    # dates that differ by rounding are one; counted from the start, which must be the first
    since = np.unique(np.round(np.concatenate(dates) - begin, 9))
    times = begin + since[(since >= 0) & (since <= round(horizon, 9))]
    if times.size > MOST_CELLS:  # many dates close together: an even grid is as good
        times = np.linspace(begin, end, MOST_CELLS)
    return times


class _Exposure:
    """Average exposure of each clinician in each cell, for C* and plain (interventions x clinicians x cells)."""

    def __init__(self, draws: Draws, spells, edges):
        self.draws, self.edges = draws, edges
        # clinicians of one unit mostly share their spells
        self.unique = [
            np.unique(np.concatenate(s, axis=1), axis=0, return_inverse=True) if s[0].shape[1] else None for s in spells
        ]
        free = any(c.estimated for c in draws.design.courses)
        self.kept = None if free or any(not c.is_plain for c in draws.design.courses) else self._at({})

    def __call__(self, point):
        return self.kept if self.kept is not None else self._at(point)

    def _at(self, point):
        design = self.draws.design
        low, high = self.edges[:-1], self.edges[1:]
        shape = (2, len(design.interventions), design.n_clinicians, low.size)
        out = np.zeros(shape)
        place = design.estimated_shapes()
        rate = LN2 / float(point["half_life"]) if point else 0.0
        for k, (name, course, unique) in enumerate(zip(design.interventions, design.courses, self.unique, strict=True)):
            if unique is None:
                continue
            rows, member = unique
            start, end, dose = np.split(rows[:, None, :], 3, axis=2)
            given = {p: float(point[p][place[p].index(name)]) for p in course.estimated}
            for which, weight in enumerate((rate, 0.0)):
                each = course.mean(low[None, :, None], high[None, :, None], start, end, dose, weight, given, np)
                out[which, k] = combined(each, np)[member.reshape(-1)]
        return out[0], out[1]


class _States:
    """Draws of each clinician's capacity at the start of the forecast."""

    def __init__(self, draws: Draws, begin: float, seed: int):
        self.draws, self.begin = draws, begin
        study = draws.study
        self.first, self.last = study.follow_up
        _, timeline, epoch = build_design(draws.model, study)
        inside = (self.first < begin) & (begin < self.last)
        self.layout = lay_out(timeline, epoch, [np.array([begin]) if i else np.empty(0) for i in inside])
        # the step at which each clinician's state is read: at the start, or else at the last survey
        offset = self.layout.step_offset
        self.at = offset[1:] - 1
        point = np.flatnonzero(self.layout.step_point >= 0)
        self.at[np.searchsorted(offset, point, side="right") - 1] = point
        first_survey = offset[:-1] + self.layout.step_prelude
        self.at = np.where(self.first >= begin, first_survey, self.at)
        self.rng = np.random.default_rng([seed, 3])
        self.data = draws.data(self.layout)
        self.gap = np.maximum(begin - self.last, 0.0)

    def __call__(self, lever, deviation):
        normals = self.rng.standard_normal(self.layout.step_gap.size)
        state = smoother.draw_paths(*self.data, *lever.arguments, deviation, normals)[self.at]
        # from the last survey to the start as at the last survey; no time passes where the start comes first
        level, rate = (lever.arguments[j][self.draws.design.epoch_last] for j in (0, 1))
        return state - np.expm1(-rate * self.gap) * (level * (1 + deviation) - state)


def _moved(lever, design):
    """Change of log C* and log beta by each intervention (interventions x clinicians)."""
    count, programmes = design.n_clinicians, len(design.interventions)
    level, rate = np.empty((2, programmes, count))
    for k in range(programmes):
        own = lever.deviations.get(k, (0.0, 0.0))
        level[k] = lever.theta_alpha[k] - lever.theta_beta[k] + own[0]
        rate[k] = lever.theta_beta[k] + own[1]
    return level, rate


@njit(nogil=True)
def _paths(state, capacity, beta, level, rate, level_exposure, plain_exposure, length):
    """Expected capacity at every edge (clinicians x edges); exposures are interventions x clinicians x cells."""
    count, cells = state.size, length.size
    out = np.empty((count, cells + 1))
    for i in range(count):
        x = state[i]
        out[i, 0] = x
        for c in range(cells):
            up, speed = 0.0, 0.0
            for k in range(level.shape[0]):
                up += level[k, i] * level_exposure[k, i, c]
                speed += rate[k, i] * plain_exposure[k, i, c]
            x += approach(beta[i] * np.exp(speed) * length[c]) * (capacity[i] * np.exp(up) - x)
            out[i, c + 1] = x
    return out


def _groups(study, followed) -> tuple[list[str], object]:
    names, weights = [ALL], [sparse(followed / followed.sum())]
    if study.n_units > 1:
        for u, name in enumerate(study.units):
            mine = followed & (study.unit_code == u)
            if mine.any():
                names.append(name)
                weights.append(sparse(mine / mine.sum()))
    return names, joined(weights)


def _table(paths, regimes, groups, sizes, edges, prob) -> pd.DataFrame:
    flat = paths.reshape(len(regimes), -1, edges.size, len(groups))
    tail = (1 - prob) / 2
    at = (0.5, tail, 1 - tail)
    own = np.quantile(flat, at, axis=1)  # 3 x regimes x times x groups
    gain = np.quantile(flat - flat[:1], at, axis=1)
    frames = []
    for g, group in enumerate(groups):
        for r, regime in enumerate(regimes):
            frame = pd.DataFrame({"time": edges})
            for prefix, values in (("", own), ("gain_", gain)):
                for q, name in enumerate(("median", "low", "high")):
                    frame[prefix + name] = values[q, r, :, g]
            frame.insert(0, "group", group)
            frame.insert(1, "clinicians", int(sizes[g]))
            frame.insert(2, "regime", regime)
            frames.append(frame)
    return pd.concat(frames, ignore_index=True).assign(interval=prob)
