"""The design of some of a study's clinicians, everything else as in the whole study."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .design import Design
from .timeline import INDEX, Layout


def part_of(design: Design, members: np.ndarray) -> Design:
    """The design of some clinicians: `levers` and the likelihood give for them what they give in the whole study.

    Covariates and mean exposures stay centred and scaled by everybody, units keep their codes and means.

    Parameters
    ----------
    design : Design
    members : int array
        Codes of the clinicians, ascending.
    """
    kept = np.zeros(design.n_clinicians, bool)
    kept[members] = True
    position = np.cumsum(kept) - 1
    layout = steps_of(design.layout, members)
    survey = surveys_of(design, members)
    epochs = kept[design.epoch_clinician]
    epoch = (np.cumsum(epochs) - 1).astype(INDEX)
    return replace(
        design,
        layout=replace(
            layout,
            step_epoch=epoch[layout.step_epoch],
            step_survey=np.where(layout.step_survey >= 0, np.searchsorted(survey, layout.step_survey), -1).astype(INDEX),
        ),
        terms=replace(design.terms, clinician=design.terms.clinician[members]),
        epoch_clinician=position[design.epoch_clinician[epochs]].astype(INDEX),
        epoch_base=epoch[design.epoch_base[members]],
        epoch_start=epoch[design.epoch_start[members]],
        epoch_last=epoch[design.epoch_last[members]],
        epoch_columns=design.epoch_columns[epochs],
        mean_exposure=design.mean_exposure[members],
        moderation=replace(design.moderation, values=design.moderation.values[members]),
        survey_score=design.survey_score[survey],
        survey_repeats=design.survey_repeats[survey],
        survey_indicator=design.survey_indicator[survey],
        unit_code=design.unit_code[members],
        cells=tuple(replace(c, row=c.row[epochs]) for c in design.cells),
    )


def surveys_of(design: Design, members: np.ndarray) -> np.ndarray:
    """Numbers of the surveys of some clinicians, ascending."""
    ends_at = steps_of(design.layout, members).step_survey
    return np.unique(ends_at[ends_at >= 0])


def steps_of(layout: Layout, members: np.ndarray) -> Layout:
    """The steps of some clinicians; epochs, surveys and time points keep their numbers."""
    length = np.diff(layout.step_offset)[members]
    steps = np.repeat(layout.step_offset[members] - np.cumsum(length) + length, length) + np.arange(length.sum())
    return Layout(
        step_offset=np.append(0, np.cumsum(length)).astype(INDEX),
        step_prelude=layout.step_prelude[members],
        **{f"step_{name}": getattr(layout, f"step_{name}")[steps] for name in ("gap", "epoch", "survey", "point")},
    )
