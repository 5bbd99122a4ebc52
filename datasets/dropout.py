"""Clinicians who stopped answering before the study was over."""

from __future__ import annotations

import numpy as np

GAPS = 2.0  # median gaps before the study's last survey from which a clinician counts as having left
USUAL = 0.9  # quantile of the follow-ups that stands for the planned one


def left_early(study) -> tuple[np.ndarray, np.ndarray]:
    """Who left early: whose last answer came more than two median gaps before the study's last survey date, and whose follow-up
    is shorter by as much than what nine in ten do not pass.

    The second condition leaves out those who entered late and stayed as long as the others. A clinician whose follow-up was planned
    to be shorter counts as having left, since a table of answers does not tell plans.

    Parameters
    ----------
    study : Study

    Returns
    -------
    left : bool array (clinicians)
    last : float array (clinicians)
        Time of the last answer, NaN where there is none.
    """
    answered = study.surveys.loc[study.surveys["points"].notna(), "occasion"].to_numpy()
    who = study.occasions["clinician"].to_numpy()[answered]
    time = study.occasions["time"].to_numpy(float)
    last = np.full(study.n_clinicians, -np.inf)
    np.maximum.at(last, who, time[answered])
    gap = study.median_gap
    slack = GAPS * (gap if np.isfinite(gap) else 0.0)
    answered_at_all = np.isfinite(last)
    length = np.where(answered_at_all, last - study.follow_up[0], 0.0)
    left = (last < time.max() - slack) & (length < np.quantile(length, USUAL) - slack) & answered_at_all
    return left, np.where(answered_at_all, last, np.nan)
