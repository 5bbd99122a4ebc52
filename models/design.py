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


def build_design(model, study) -> tuple[Design, Timeline, dict]:
    """Arrays of a study under a description (a `CapacityModel`), validated.

    Returns the design, and the timeline and epoch numbers from which `lay_out` makes layouts with further times.

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

    epoch_of: dict = {("base", i): i for i in range(count)}
    if edges.size:  # the start: as the base, in the calendar period of the first survey
        epoch_of |= {("start", i): count + i for i in range(count)}
    timeline.base = np.arange(count, dtype=INDEX)
    layout = lay_out(timeline, epoch_of)
    n_epochs = len(epoch_of)
    owner = np.empty(n_epochs, INDEX)
    values = np.zeros((n_epochs, len(terms.names)))
    dose = np.zeros((n_epochs, n_interventions))
    calendar = np.zeros((n_epochs, secular.n_columns))
    cell = {j: np.full(n_epochs, -1) for j in timeline.cells}
    for key, k in epoch_of.items():
        if key[0] in ("base", "start"):
            owner[k] = key[1]
            values[k] = terms.clinician[key[1]]
            if key[0] == "start":
                calendar[k] = secular.basis[int(timeline.period(timeline.time[timeline.occasion_offset[key[1]]]))]
        else:
            owner[k] = key[0]
            values[k] = terms.clinician[key[0]] if key[1] < 0 else terms.occasion[int(key[1])]
            dose[k] = np.maximum(key[3:], 0.0)
            for j in timeline.cells:
                cell[j][k] = -key[3 + j] - 1 if key[3 + j] < 0 else -1
            if edges.size:
                calendar[k] = secular.basis[int(key[2])]

    exposure = mean_exposures(study)
    exposure -= exposure.mean(axis=0, keepdims=True)
    adjust = model.adjust_selection
    selected = tuple(k for k in range(n_interventions) if adjust and exposure[:, k].std() > 0.01)
    surveys = study.surveys
    first, described = next(iter(study.scores.items()))
    if model.left_out == "error" and described.step is None:
        raise UserError(
            f'left_out = "error": {first} has no step (the distance between possible scores), so that nothing would be left of its '
            "error and two equal answers would make the likelihood unbounded; state its step."
        )
    floor = [0.0 if s.step is None else s.step_capacity**2 / 12 for s in study.scores.values()]
    design = Design(
        layout=layout,
        terms=terms,
        epoch_clinician=owner,
        epoch_base=timeline.base,
        epoch_start=timeline.base + INDEX(count if edges.size else 0),
        epoch_last=layout.step_epoch[layout.step_offset[1:] - 1],
        epoch_columns=np.concatenate([values, dose, calendar], axis=1),
        mean_exposure=exposure[:, list(selected)],
        selected=selected,
        secular=secular,
        recognised=recognised,
        moderation=moderation,
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
        courses=courses,
        layers=model.layers,
        start_anchor=0.0 if model.start == "free" else 1.0,
        cells=tuple(timeline.exposure_cells(j, rows) for j, rows in cell.items()),
    )
    for field in fields(layout):
        getattr(layout, field.name).setflags(write=False)
    return design, timeline, epoch_of
