"""Study + description -> the flat arrays that the likelihood reads: steps, epochs, surveys."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from .terms import Terms, build_terms

# PyMC holds integer data as int32; one type for all means one compilation of each kernel
INDEX = np.int32


@dataclass(frozen=True)
class Layout:
    """Steps of every clinician; arrays as in `likelihood.filter.log_likelihood`.

    ``step_point`` numbers the requested extra time points (-1: the step ends at none).
    """

    step_offset: np.ndarray
    step_prelude: np.ndarray
    step_gap: np.ndarray
    step_epoch: np.ndarray
    step_survey: np.ndarray
    step_point: np.ndarray


@dataclass(frozen=True)
class Design:
    """What the builder, the simulator and the results need to know of a study under a description.

    Attributes
    ----------
    layout : Layout
    epoch_clinician, epoch_base, epoch_last : int arrays
        Owner of each epoch; each clinician's epoch with interventions off and covariates at their mean; the epoch in
        force at the last survey.
    epoch_start : int array (clinicians)
        Like the base epoch, but in the calendar period of the first survey: the level that the start is set by.
    epoch_columns : float array (epochs x (terms, interventions, periods))
        Values of the terms, doses, and 1 in the column of the calendar period; the base epochs have no period.
    mean_exposure : float array (clinicians x selected interventions), centred
    selected : tuple of int, interventions whose mean exposure enters the level
    period_edges : float array, boundaries of the calendar periods (empty: no period effect)
    staggered : tuple of int, interventions rolled out at different times
    """

    layout: Layout
    terms: Terms
    epoch_clinician: np.ndarray
    epoch_base: np.ndarray
    epoch_start: np.ndarray
    epoch_last: np.ndarray
    epoch_columns: np.ndarray
    mean_exposure: np.ndarray
    selected: tuple[int, ...]
    period_edges: np.ndarray
    staggered: tuple[int, ...]
    survey_score: np.ndarray
    survey_repeats: np.ndarray
    survey_indicator: np.ndarray
    unit_code: np.ndarray
    n_units: int
    indicators: tuple[str, ...]
    interventions: tuple[str, ...]
    on_alpha: np.ndarray
    on_beta: np.ndarray
    error_floor: np.ndarray

    @property
    def n_clinicians(self) -> int:
        return self.unit_code.size

    @property
    def n_epochs(self) -> int:
        return self.epoch_columns.shape[0]

    @property
    def n_periods(self) -> int:
        return max(self.period_edges.size - 1, 0)

    def data(self, layout: Layout | None = None, start_anchor: float = 1.0) -> tuple[np.ndarray, ...]:
        """Data arguments of the likelihood, in its order."""
        layout = layout or self.layout
        return (
            layout.step_offset, layout.step_prelude, layout.step_gap, layout.step_epoch, layout.step_survey,
            self.epoch_start, self.survey_score, self.survey_repeats, self.survey_indicator,
            np.full(self.n_clinicians, start_anchor),
        )  # fmt: skip


class Timeline:
    """Epochs and steps of each clinician, from occasions, spells and period boundaries."""

    def __init__(self, study, terms: Terms, period_edges: np.ndarray):
        self.study = study
        self.terms = terms
        self.edges = period_edges
        occasions = study.occasions
        self.time = occasions["time"].to_numpy(float)
        count = study.n_clinicians
        self.occasion_offset = np.concatenate([[0], np.cumsum(np.bincount(occasions["clinician"], minlength=count))])
        spells = study.spells.sort_values("clinician", kind="stable")
        self.spell_offset = np.concatenate(
            [[0], np.cumsum(np.bincount(spells["clinician"].astype(int), minlength=count))]
        )
        self.spell = {c: spells[c].to_numpy(float) for c in ("start", "end", "dose")}
        self.spell["intervention"] = spells["intervention"].to_numpy(int)
        surveys = study.surveys
        self.survey_offset = np.concatenate(
            [[0], np.cumsum(np.bincount(surveys["occasion"], minlength=len(occasions)))]
        )
        # the same covariate values are the same state
        _, state = np.unique(terms.occasion, axis=0, return_inverse=True)
        self.state = state.reshape(-1)
        self.varies = bool(terms.names) and not np.allclose(
            terms.occasion, terms.clinician[occasions["clinician"].to_numpy()], atol=1e-12
        )

    def points(self, i: int, extra=()) -> tuple[np.ndarray, float]:
        """Break points of clinician i (sorted, unique), and the time of the first survey."""
        times = self.time[self.occasion_offset[i] : self.occasion_offset[i + 1]]
        first, last = times[0], times[-1]
        mine = slice(self.spell_offset[i], self.spell_offset[i + 1])
        starts, ends = self.spell["start"][mine], self.spell["end"][mine]
        begin = min(first, starts.min(initial=first))
        # before the interval that the first row describes covariates are at the person's mean
        known = self.known_from(first)
        begin = min(begin, known)
        cuts = np.concatenate([starts, ends, self.edges[1:-1], np.asarray(extra, float), [known]])
        cuts = cuts[(cuts > begin) & (cuts < last)]
        return np.unique(np.concatenate([[begin], cuts, times])), first

    def known_from(self, first: float) -> float:
        """When the first row's covariates begin to hold: one median gap before it, or at it."""
        gap = self.study.median_gap
        return first - gap if self.varies and self.study.holds == "before" and np.isfinite(gap) else first

    def period(self, time):
        """Calendar period of a time; times before the study belong to the first."""
        return np.clip(np.searchsorted(self.edges, time, side="right") - 1, 0, self.edges.size - 2)

    def states(self, i: int, points: np.ndarray) -> np.ndarray:
        """State in force between successive points: covariate row, period, doses (intervals x ...)."""
        middle = (points[:-1] + points[1:]) / 2
        rows = slice(self.occasion_offset[i], self.occasion_offset[i + 1])
        times = self.time[rows]
        out = np.zeros((middle.size, 2 + len(self.study.interventions)))
        if self.varies:
            if self.study.holds == "before":
                at = np.searchsorted(times, points[1:], side="left")
            else:
                at = np.searchsorted(times, points[:-1], side="right") - 1
            out[:, 0] = rows.start + np.clip(at, 0, times.size - 1)
            # a representative occasion of the same values, so that equal states are one epoch
            states = self.state[out[:, 0].astype(int)]
            _, first, inverse = np.unique(states, return_index=True, return_inverse=True)
            out[:, 0] = np.where(middle < self.known_from(times[0]), -1, out[first[inverse], 0])
        else:
            out[:, 0] = rows.start
        if self.edges.size:
            out[:, 1] = self.period(np.maximum(middle, times[0]))
        else:
            out[:, 1] = -1
        for s in range(self.spell_offset[i], self.spell_offset[i + 1]):
            inside = (middle >= self.spell["start"][s]) & (middle < self.spell["end"][s])
            out[inside, 2 + self.spell["intervention"][s]] = self.spell["dose"][s]
        return out


def period_boundaries(study, periods: int) -> np.ndarray:
    """Boundaries of ``periods`` calendar periods of equal length over the study (empty for fewer than two)."""
    if periods < 2:
        return np.empty(0)
    time = study.occasions["time"].to_numpy(float)
    return np.linspace(time.min(), time.max(), periods + 1)


def staggered_roll_outs(study) -> tuple[int, ...]:
    """Interventions that start at different dates and then run on: programme and calendar time are confounded."""
    time = study.occasions["time"].to_numpy(float)
    last = np.full(study.n_clinicians, -np.inf)
    np.maximum.at(last, study.occasions["clinician"].to_numpy(), time)
    found = []
    for k in range(len(study.interventions)):
        spells = study.spells[study.spells["intervention"] == k]
        if spells.empty:
            continue
        code = spells["clinician"].to_numpy(int)
        stays = (np.bincount(code, minlength=study.n_clinicians)[code] == 1) & (spells["end"].to_numpy() >= last[code])
        starts = np.unique(spells["start"].to_numpy()[stays])
        if stays.mean() >= 0.8 and starts.size > 1 and np.ptp(starts) > study.median_gap:
            found.append(k)
    return tuple(found)


def mean_exposures(study) -> np.ndarray:
    """Share of the follow-up that each clinician was exposed, dose-weighted (clinicians x interventions)."""
    time = study.occasions["time"].to_numpy(float)
    code = study.occasions["clinician"].to_numpy()
    first = np.full(study.n_clinicians, np.inf)
    last = np.full(study.n_clinicians, -np.inf)
    np.minimum.at(first, code, time)
    np.maximum.at(last, code, time)
    share = np.zeros((study.n_clinicians, len(study.interventions)))
    for spell in study.spells.itertuples():
        i = spell.clinician
        if last[i] > first[i]:
            length = max(min(spell.end, last[i]) - max(spell.start, first[i]), 0.0)
            share[i, spell.intervention] += spell.dose * length / (last[i] - first[i])
        elif spell.start <= first[i] < spell.end:
            share[i, spell.intervention] = spell.dose
    return share


def lay_out(timeline: Timeline, epoch_of: dict, extra: list[np.ndarray] | None = None) -> Layout:
    """Steps of every clinician, with ``extra[i]`` time points of clinician i beside the surveys."""
    offset, prelude, gap, epoch, survey, point = [0], [], [], [], [], []
    points_before = 0
    for i in range(timeline.study.n_clinicians):
        wanted = np.asarray(extra[i], float) if extra is not None else np.empty(0)
        points, first = timeline.points(i, wanted)
        keys = [(i, *row) for row in timeline.states(i, points)]
        for key in keys:
            epoch_of.setdefault(key, len(epoch_of))
        at_first = int(np.searchsorted(points, first))
        prelude.append(at_first)
        steps = [(points[j + 1] - points[j], epoch_of[keys[j]], points[j + 1]) for j in range(at_first)]
        # a step of no length ends at the first survey; its epoch is what was in force before
        begin = epoch_of[keys[at_first - 1]] if at_first else timeline.base[i]
        following = [(0.0, begin, first)]
        following += [(points[j + 1] - points[j], epoch_of[keys[j]], points[j + 1]) for j in range(at_first, len(keys))]
        for length, k, _ in steps:
            gap.append(length)
            epoch.append(k)
            survey.append(-1)
            point.append(-1)
        times = timeline.time[timeline.occasion_offset[i] : timeline.occasion_offset[i + 1]]
        for length, k, end in following:
            o = int(np.searchsorted(times, end))
            at_occasion = o < times.size and times[o] == end
            occasion = timeline.occasion_offset[i] + o
            rows = (
                range(timeline.survey_offset[occasion], timeline.survey_offset[occasion + 1]) if at_occasion else [-1]
            )
            w = int(np.searchsorted(wanted, end))
            hit = points_before + w if w < wanted.size and wanted[w] == end else -1
            for n, row in enumerate(rows):
                gap.append(length if n == 0 else 0.0)
                epoch.append(k)
                survey.append(row)
                point.append(hit if n == 0 else -1)
        offset.append(len(gap))
        points_before += wanted.size
    index = [np.array(values, INDEX) for values in (offset, prelude, epoch, survey, point)]
    return Layout(index[0], index[1], np.array(gap, float), *index[2:])


def build_design(model, study) -> tuple[Design, Timeline, dict]:
    """Arrays of a study under a description (a `CapacityModel`), validated.

    Returns the design, and the timeline and epoch numbers from which `lay_out` makes layouts with further times.
    """
    terms = build_terms(study, model.replenishment, model.depletion, model.split_covariates)
    on_alpha, on_beta = model.levers(study.interventions)
    staggered = staggered_roll_outs(study)
    edges = period_boundaries(study, model.resolve_periods(study, staggered))
    timeline = Timeline(study, terms, edges)
    count, n_interventions = study.n_clinicians, len(study.interventions)

    epoch_of: dict = {("base", i): i for i in range(count)}
    if edges.size:  # the start: as the base, in the calendar period of the first survey
        epoch_of |= {("start", i): count + i for i in range(count)}
    timeline.base = np.arange(count, dtype=INDEX)
    layout = lay_out(timeline, epoch_of)
    n_epochs = len(epoch_of)
    owner = np.empty(n_epochs, INDEX)
    values = np.zeros((n_epochs, len(terms.names)))
    dose = np.zeros((n_epochs, n_interventions))
    period = np.zeros((n_epochs, max(edges.size - 1, 0)))
    for key, k in epoch_of.items():
        if key[0] in ("base", "start"):
            owner[k] = key[1]
            values[k] = terms.clinician[key[1]]
            if key[0] == "start":
                period[k, int(timeline.period(timeline.time[timeline.occasion_offset[key[1]]]))] = 1.0
        else:
            owner[k] = key[0]
            values[k] = terms.clinician[key[0]] if key[1] < 0 else terms.occasion[int(key[1])]
            dose[k] = key[3:]
            if edges.size:
                period[k, int(key[2])] = 1.0

    exposure = mean_exposures(study)
    exposure -= exposure.mean(axis=0, keepdims=True)
    adjust = model.adjust_selection
    selected = tuple(k for k in range(n_interventions) if adjust and exposure[:, k].std() > 0.01)
    surveys = study.surveys
    floor = [0.0 if s.step is None else s.step_capacity**2 / 12 for s in study.scores.values()]
    design = Design(
        layout=layout,
        terms=terms,
        epoch_clinician=owner,
        epoch_base=timeline.base,
        epoch_start=timeline.base + INDEX(count if edges.size else 0),
        epoch_last=layout.step_epoch[layout.step_offset[1:] - 1],
        epoch_columns=np.concatenate([values, dose, period], axis=1),
        mean_exposure=exposure[:, list(selected)],
        selected=selected,
        period_edges=edges,
        staggered=staggered,
        survey_score=surveys["capacity"].to_numpy(float).copy(),
        survey_repeats=surveys["repeats"].to_numpy(float).copy(),
        survey_indicator=surveys["indicator"].to_numpy(INDEX).copy(),
        unit_code=np.asarray(study.unit_code, int),
        n_units=study.n_units,
        indicators=tuple(study.scores),
        interventions=tuple(study.interventions),
        on_alpha=on_alpha,
        on_beta=on_beta,
        error_floor=np.array(floor),
    )
    for field in fields(layout):
        getattr(layout, field.name).setflags(write=False)
    return design, timeline, epoch_of
