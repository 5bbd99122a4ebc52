"""Covariates of the formulas as design columns: centred, scaled, split into the person's mean and the deviation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..datasets.errors import UserError
from .formulas import design_columns


@dataclass(frozen=True)
class Terms:
    """Design columns of both formulas.

    Attributes
    ----------
    names : tuple of str
        One for each column.
    on_alpha, on_beta : bool arrays (terms)
        The lever that each column acts on.
    occasion : float array (occasions x terms)
        Value of each column in the interval that the occasion's row describes.
    clinician : float array (clinicians x terms)
        Time-weighted mean of each column, at which a clinician's alpha, beta and C* are reported.
    scale : float array (terms)
        Units of the raw column in one unit of the design column (its standard deviation, 1 for 0/1 columns).
    """

    names: tuple[str, ...]
    on_alpha: np.ndarray
    on_beta: np.ndarray
    occasion: np.ndarray
    clinician: np.ndarray
    scale: np.ndarray


def occasion_weights(study) -> np.ndarray:
    """How long each occasion's row holds, for time-weighted means (shape: occasions).

    Under "before" a row describes the interval that ends at it, the first one a median gap long; under "after" the
    one that starts there, the last having none. A clinician whose rows have no length weighs them equally.
    """
    clinician = study.occasions["clinician"].to_numpy()
    time = study.occasions["time"].to_numpy(float)
    new = np.append(True, np.diff(clinician) != 0)  # each clinician's first row
    gaps = np.where(new, study.median_gap if np.isfinite(study.median_gap) else 0.0, np.diff(time, prepend=0.0))
    if study.holds == "after":
        gaps = np.append(np.where(new, 0.0, gaps)[1:], 0.0)
    total = np.bincount(clinician, gaps)
    return np.where(total[clinician] > 0, gaps, 1.0)


def clinician_means(values: np.ndarray, clinician: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """Weighted means by clinician (shape: count x columns)."""
    total = np.zeros((count, values.shape[1]))
    np.add.at(total, clinician, values * weights[:, None])
    return total / np.bincount(clinician, weights, count)[:, None]


def build_terms(study, replenishment: str, depletion: str, split: bool) -> Terms:
    """Evaluate both formulas (without their products with interventions) on the study's covariates."""
    frame = study.occasions
    columns = list(study.covariates)
    matrices = {
        "alpha": design_columns(replenishment, frame, columns),
        "beta": design_columns(depletion, frame, columns),
    }
    raw = pd.concat([matrices["alpha"], matrices["beta"]], axis=1)
    raw = raw.loc[:, ~raw.columns.duplicated()]

    clinician = frame["clinician"].to_numpy()
    count = study.n_clinicians
    weights = occasion_weights(study)
    names, levers, occasion, means, scales = [], [], [], [], []

    def add(name, column, values, mean, scale):
        names.append(name)
        levers.append((column in matrices["alpha"], column in matrices["beta"]))
        occasion.append(values)
        means.append(mean)
        scales.append(scale)

    for column in raw:
        x = raw[column].to_numpy(float)
        spread = x.std()
        if spread == 0:
            raise UserError(
                f"the covariate term {column!r} has one value only ({x[0]:g}); leave it out of the formula."
            )
        # 0/1 columns keep their unit, so that the effect is the difference between the two groups
        scale = 1.0 if set(np.unique(x)) <= {0.0, 1.0} else spread
        mean = clinician_means(x[:, None], clinician, weights, count)[:, 0]
        centre = mean.mean()
        varies = np.abs(x - mean[clinician]).max() > 1e-9 * max(1.0, np.abs(x).max())
        if varies and split:
            if mean.std() > 1e-9 * scale:
                between = (mean - centre) / scale
                add(f"{column} (mean)", column, between[clinician], between, scale)
            add(f"{column} (deviation)", column, (x - mean[clinician]) / scale, np.zeros(count), scale)
        else:
            add(column, column, (x - centre) / scale, (mean - centre) / scale, scale)
    n = len(names)
    return Terms(
        names=tuple(names),
        on_alpha=np.array([a for a, _ in levers], bool).reshape(n),
        on_beta=np.array([b for _, b in levers], bool).reshape(n),
        occasion=np.column_stack(occasion) if n else np.zeros((len(frame), 0)),
        clinician=np.column_stack(means) if n else np.zeros((count, 0)),
        scale=np.array(scales, float).reshape(n),
    )
