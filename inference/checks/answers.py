"""The answers of a fit and their replicates, on one scale and in one order: what checks of the fit compare."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..convergence import SAMPLE


@dataclass(frozen=True)
class Answers:
    """Answered surveys of one score, ordered by clinician and time.

    Attributes
    ----------
    score : str
    row : int array (answers)
        Number of the survey.
    clinician, unit : int arrays (answers)
    time : float array (answers)
    observed : float array (answers)
        0-100.
    replicated : float array (replicates, answers)
        0-100, as a questionnaire would have recorded them.
    """

    score: str
    row: np.ndarray
    clinician: np.ndarray
    unit: np.ndarray
    time: np.ndarray
    observed: np.ndarray
    replicated: np.ndarray


def as_answered(score: dict, values: np.ndarray, repeats: np.ndarray) -> np.ndarray:
    """Scores (0-100) as a questionnaire would have recorded them: rounded to its step and cut to its range.

    A mean of several answers (``repeats``) lies on a finer grid. What is recorded already stays as it is.
    """
    low, high = score["range"]
    if score["step"]:
        step = 100 * score["step"] / (high - low) / repeats
        values = np.round(values / step) * step
    return np.clip(values, 0.0, 100.0)


def answers(fit, replicates=None) -> list[Answers]:
    """The answers of each score that has any; ``replicates`` (chain, draw, survey) stand in for the posterior predictive ones."""
    constant = fit.tree["constant_data"].to_dataset()
    observed = fit.tree["observed_data"]["scores"].to_numpy().astype(float)
    replicates = fit.tree["posterior_predictive"]["scores"] if replicates is None else replicates
    replicated = replicates.transpose(*SAMPLE, "survey").to_numpy()
    replicated = replicated.reshape(-1, observed.size)
    who = constant["survey_clinician"].to_numpy().astype(int)
    time = constant["survey_time"].to_numpy().astype(float)
    indicator = constant["survey_indicator"].to_numpy()
    found = []
    for j, (name, score) in enumerate(fit.facts["study"]["scores"].items()):
        rows = np.flatnonzero((indicator == j) & ~np.isnan(observed))
        rows = rows[np.lexsort((time[rows], who[rows]))]
        if rows.size:
            unit = constant["clinician_unit"].to_numpy()[who[rows]]
            repeated = as_answered(score, replicated[:, rows].astype(float), constant["survey_repeats"].to_numpy()[rows])
            found.append(Answers(name, rows, who[rows], unit, time[rows], observed[rows], repeated))
    return found


def first_starts(fit) -> np.ndarray:
    """Start of each clinician's first spell of each intervention, NaN where there is none (clinicians x interventions)."""
    constant = fit.tree["constant_data"].to_dataset()
    names = fit.facts["study"]["interventions"]
    starts = np.full((constant.sizes["clinician"], len(names)), np.inf)
    who, which = constant["spell_clinician"].to_numpy(), constant["spell_intervention"].to_numpy()
    np.minimum.at(starts, (who, which), constant["spell_start"].to_numpy())
    return np.where(np.isinf(starts), np.nan, starts)
