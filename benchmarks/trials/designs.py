"""Small realistic studies, one for each design that is recognised."""

import numpy as np
import pandas as pd

from equipoise import CapacityModel, Score, Study
from equipoise.models.study_designs import DESIGNS

SCORE = Score(range=(0, 100), better="higher", step=1)


def study(clinicians, surveys, units, spells, missing=0.1, seed=0):
    """Surveys at whole numbers with some answers missing; ``spells(i, unit)`` yields (start, end) of clinician i."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(clinicians), surveys)
    unit = np.arange(clinicians) * units // clinicians
    frame = pd.DataFrame({"id": [f"c{i:02d}" for i in who], "unit": unit[who], "week": np.tile(np.arange(surveys), clinicians)})
    gone = rng.random(len(frame)) < missing
    gone[::surveys] = False
    frame["joy"] = np.where(gone, np.nan, 50.0)
    rows = [
        {"clinician": f"c{i:02d}", "intervention": "course", "start": a, "end": b}
        for i in range(clinicians)
        for a, b in spells(i, unit[i])
    ]
    return Study.from_table(
        frame, clinician="id", unit="unit", time="week", time_unit="week", scores={"joy": SCORE}, spells=pd.DataFrame(rows)
    )


def _some(start):
    return lambda i, u: [(start, None)] if i % 2 else []


# name -> (model options, study)
TRIALS = {
    "parallel_trial": ({"design": "parallel_trial"}, lambda: study(24, 7, 1, _some(1.5))),
    "cluster_trial": (
        {"design": "cluster_trial"}, lambda: study(30, 7, 10, lambda i, u: [(1.5, None)] if u % 2 else []),
    ),
    "controlled_pre_post": ({}, lambda: study(24, 8, 2, _some(3.5))),
    "stepped_wedge": ({}, lambda: study(32, 9, 8, lambda i, u: [(1.5 + 0.8 * u, None)])),
    "pre_post": ({}, lambda: study(20, 8, 1, lambda i, u: [(3.5, None)])),
    "interrupted_time_series": ({}, lambda: study(12, 20, 1, lambda i, u: [(9.5, None)])),
    "crossover": ({}, lambda: study(20, 10, 1, lambda i, u: [(0.0, 4.5)] if i % 2 else [(4.5, None)])),
    "n_of_1": ({}, lambda: study(12, 20, 1, lambda i, u: [(5.0 * (i % 2), 5.0 * (i % 2) + 5), (10.0 + 5 * (i % 2), 15.0 + 5 * (i % 2))])),
}  # fmt: skip
assert set(TRIALS) == set(DESIGNS)


def trial(name):
    """The model and the study of a design, recognised as what it is called."""
    options, make = TRIALS[name]
    made, model = make(), CapacityModel(**options)
    found = model.study_designs(made)["course"].design
    assert found is not None and found.name == name, f"{name} is recognised as {found and found.name}"
    return model, made
