"""Clinicians who stopped answering before the study was over."""

from __future__ import annotations

import numpy as np

GAPS = 2.0  # median gaps before the study's last survey from which a clinician counts as having left


def left_early(study) -> tuple[np.ndarray, np.ndarray]:
    """Who left early: whose last answer came more than two median gaps before the study's last survey date.

    A clinician whose follow-up was planned to end sooner counts too, since a table of answers does not tell plans.

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
    left = last < time.max() - GAPS * (gap if np.isfinite(gap) else 0.0)
    return left & np.isfinite(last), np.where(np.isfinite(last), last, np.nan)
