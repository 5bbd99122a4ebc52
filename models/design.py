"""Study + description -> the flat arrays that the likelihood reads: steps, epochs, surveys."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from ..datasets.errors import UserError
from .course import Course
from .exposure import mean_exposures
from .moderation import Moderation, build_moderation, split_formula
from .secular import Secular, secular_time
from .study_designs import Recognised
from .terms import Terms, build_terms
from .timeline import INDEX, Cells, Layout, Timeline, lay_out


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
    epoch_columns : float array (epochs x (terms, interventions, secular time))
        Values of the terms, doses (0 where exposure has a shape: `cells`), and the columns of secular time; the base
        epochs are at its average.
    mean_exposure : float array (clinicians x selected interventions), centred
    selected : tuple of int, interventions whose mean exposure enters the level
    secular : Secular, what calendar time does
    recognised : dict of str to Recognised, the study design of each intervention
    moderation : Moderation, what the effects vary with
    survey_score, survey_repeats, survey_indicator : arrays (surveys)
        Scores on the 0-100 scale (NaN where missing), answers averaged in each, and the code of the indicator.
    unit_code : int array (clinicians)
    unit_terms, unit_exposure : float arrays (units x terms), (units x selected interventions)
        Means over each unit's clinicians of the terms and of `mean_exposure`.
    on_alpha, on_beta : bool arrays (interventions)
        The levers on which each intervention acts.
    error_floor : float array (indicators)
        Variance of rounding to the score's step (0-100 scale, squared); 0 without a step.
    courses : tuple of Course (interventions)
    cells : tuple of Cells
        One for each intervention whose exposure has a shape.
    layers : tuple of str
        The layers of spread that share the total variance.
    start_anchor : float
        1 where capacity at the first survey lies around the clinician's level, 0 where it is free of it.
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
    secular: Secular
    recognised: dict[str, Recognised]
    moderation: Moderation
    survey_score: np.ndarray
    survey_repeats: np.ndarray
    survey_indicator: np.ndarray
    unit_code: np.ndarray
    unit_terms: np.ndarray
    unit_exposure: np.ndarray
    n_units: int
    indicators: tuple[str, ...]
    interventions: tuple[str, ...]
    on_alpha: np.ndarray
    on_beta: np.ndarray
    error_floor: np.ndarray
    courses: tuple[Course, ...]
    cells: tuple[Cells, ...]
    layers: tuple[str, ...]
    start_anchor: float

    @property
    def n_clinicians(self) -> int:
        return self.unit_code.size

    @property
    def n_epochs(self) -> int:
        return self.epoch_columns.shape[0]

    def estimated_shapes(self) -> dict[str, list[str]]:
        """Shape parameters that are sampled, each with the interventions that have it."""
        found: dict[str, list[str]] = {}
        for label, course in zip(self.interventions, self.courses, strict=True):
            for name in course.estimated:
                found.setdefault(name, []).append(label)
        return found

    def data(self, layout: Layout | None = None) -> tuple[np.ndarray, ...]:
        """Data arguments of the likelihood, in its order."""
        layout = layout or self.layout
        return (
            layout.step_offset, layout.step_prelude, layout.step_gap, layout.step_epoch, layout.step_survey,
            self.epoch_start, self.survey_score, self.survey_repeats, self.survey_indicator,
            np.full(self.n_clinicians, self.start_anchor),
        )  # fmt: skip


def build_design(model, study) -> tuple[Design, Timeline, np.ndarray]:
    """Arrays of a study under a description (a `CapacityModel`), validated.

    Returns the design, and the timeline and the epoch of each of its intervals, from which `lay_out` makes layouts with
    further times.

    Raises
    ------
    UserError
        If a formula cannot be used with the study's covariates.
    """
    plain, moderated = {}, {}
    for option in ("replenishment", "depletion"):
        formula = getattr(model, option)
        plain[option], moderated[option] = split_formula(formula, study.covariates, study.interventions, option)
    terms = build_terms(study, **plain, split=model.split_covariates)
    on_alpha, on_beta = model.levers(study.interventions)
    recognised = model.study_designs(study)
    secular = secular_time(study, *model.resolve_secular(study, recognised))
    moderation = build_moderation(study, moderated, (on_alpha, on_beta), *model.resolve_varying(study, recognised))
    edges = secular.edges
    courses = model.courses(study.interventions)
    timeline = Timeline(study, terms, edges, courses)
    count, n_interventions = study.n_clinicians, len(study.interventions)

    # each clinician's base epoch, then (with secular time) the start's: as the base, in the period of the first survey
    everyone = np.arange(count, dtype=INDEX)
    known = count * (2 if edges.size else 1)
    epoch, first = timeline.epochs(known)
    layout = lay_out(timeline, epoch)
    owner = np.concatenate([np.resize(everyone, known), timeline.owner[first].astype(INDEX)])
    occasion = timeline.occasion[first]
    values = terms.clinician[owner]
    values[known:][occasion >= 0] = terms.occasion[occasion[occasion >= 0]]
    dose = np.concatenate([np.zeros((known, n_interventions)), timeline.dose[first]])
    calendar = np.zeros((owner.size, secular.n_columns))
    if edges.size:
        calendar[count:known] = secular.basis[timeline.period_of(timeline.first)]
        calendar[known:] = secular.basis[timeline.period[first]]
    cell = {k: np.append(np.full(known, -1), cells[first]) for k, cells in timeline.cell.items()}

    exposure = mean_exposures(study)
    exposure -= exposure.mean(axis=0, keepdims=True)
    adjust = model.adjust_selection
    selected = tuple(k for k in range(n_interventions) if adjust and exposure[:, k].std() > 0.01)
    exposure = exposure[:, list(selected)]
    unit = np.asarray(study.unit_code, int)
    surveys = study.surveys
    first_score, described = next(iter(study.scores.items()))
    if model.left_out == "error" and described.step is None:
        raise UserError(
            f'left_out = "error": {first_score} has no step (the distance between possible scores), so that nothing would be left of its '
            "error and two equal answers would make the likelihood unbounded; state its step."
        )
    floor = [0.0 if s.step is None else s.step_capacity**2 / 12 for s in study.scores.values()]
    design = Design(
        layout=layout,
        terms=terms,
        epoch_clinician=owner,
        epoch_base=everyone,
        epoch_start=everyone + INDEX(count if edges.size else 0),
        epoch_last=layout.step_epoch[layout.step_offset[1:] - 1],
        epoch_columns=np.concatenate([values, dose, calendar], axis=1),
        mean_exposure=exposure,
        selected=selected,
        secular=secular,
        recognised=recognised,
        moderation=moderation,
        survey_score=surveys["capacity"].to_numpy(float).copy(),
        survey_repeats=surveys["repeats"].to_numpy(float).copy(),
        survey_indicator=surveys["indicator"].to_numpy(INDEX).copy(),
        unit_code=unit,
        unit_terms=_means(terms.clinician, unit, study.n_units),
        unit_exposure=_means(exposure, unit, study.n_units),
        n_units=study.n_units,
        indicators=tuple(study.scores),
        interventions=tuple(study.interventions),
        on_alpha=on_alpha,
        on_beta=on_beta,
        error_floor=np.array(floor),
        courses=courses,
        layers=model.layers,
        start_anchor=0.0 if model.start == "free" else 1.0,
        cells=tuple(timeline.exposure_cells(j, rows) for j, rows in cell.items()),
    )
    for field in fields(layout):
        getattr(layout, field.name).setflags(write=False)
    return design, timeline, epoch


def _means(columns: np.ndarray, unit: np.ndarray, count: int) -> np.ndarray:
    """Mean of each column over the clinicians of each unit."""
    sums = [np.bincount(unit, column, minlength=count) for column in columns.T]
    return np.array(sums).reshape(-1, count).T / np.bincount(unit, minlength=count)[:, None]
