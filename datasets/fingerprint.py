"""What makes two studies the same."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .study import Study

# Where values came from is no part of a study: neither the row of the file nor the step's source counts.
_OCCASION = ("clinician", "time")
_SURVEY = ("occasion", "indicator", "points", "capacity", "repeats")


def fingerprint(study: Study) -> str:
    """SHA-256, in hexadecimal, of a study's canonical content.

    Notes
    -----
    Text (ids, names, categories, scores, the time axis) enters as JSON, numbers as little-endian float64. A study's
    frames are sorted by construction, so the order of the user's rows does not matter; nor does the file they came
    from, nor its column names.
    """
    categorical = [c for c in study.covariates if study.occasions[c].dtype != float]
    text = {
        "clinicians": study.clinicians.to_dict("list"),
        "scores": [(name, s.range, s.better, s.step) for name, s in study.scores.items()],
        "interventions": study.interventions,
        "covariates": study.covariates,
        "categories": {c: study.occasions[c].to_list() for c in categorical},
        "time_unit": study.time_unit,
        "origin": None if study.origin is None else study.origin.isoformat(),
        "holds": study.holds,
    }
    numeric = [c for c in study.covariates if c not in categorical]
    columns = [study.occasions[c] for c in (*_OCCASION, *numeric)]
    columns += [study.surveys[c] for c in _SURVEY]
    columns += [study.spells[c] for c in study.spells]
    digest = hashlib.sha256(json.dumps(text, sort_keys=True).encode())
    for column in columns:
        values = column.to_numpy(dtype="<f8") + 0.0  # turns -0.0 into 0.0
        digest.update(len(values).to_bytes(8, "little"))
        digest.update(np.where(np.isnan(values), np.nan, values).tobytes())
    return digest.hexdigest()
