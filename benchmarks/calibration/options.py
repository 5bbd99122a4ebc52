"""Small studies and models: the default, and one for each option that changes the likelihood or the parameters."""

import numpy as np
import pandas as pd

from equipoise import CapacityModel, Score, Study
from equipoise.models.secular import KINDS
from equipoise.models.shapes import SHAPES

SCORE = Score(range=(0, 100), better="higher", step=1)


def study(clinicians=20, surveys=8, units=4, spells=None, covariate=False, scores=("joy",), seed=0):
    """Weekly surveys with a tenth of the answers missing; ``spells(i, unit)`` yields (start, end), or with a dose, of clinician i."""
    rng = np.random.default_rng(seed)
    who, unit = np.repeat(np.arange(clinicians), surveys), np.arange(clinicians) * units // clinicians
    frame = pd.DataFrame({"id": [f"c{i:02d}" for i in who], "unit": unit[who], "week": np.tile(np.arange(surveys), clinicians)})
    gone = rng.random(len(frame)) < 0.1
    gone[::surveys] = False
    frame = frame.assign(**{name: np.where(gone, np.nan, 50.0) for name in scores}, sleep=rng.normal(size=len(frame)))
    frame["senior"] = (who % 3 == 0).astype(float)
    rows = [
        {"clinician": f"c{i:02d}", "intervention": "course"} | dict(zip(("start", "end", "dose"), spell, strict=False))
        for i in range(clinicians)
        for spell in (spells(i, unit[i]) if spells else [])
    ]
    more = {"spells": pd.DataFrame(rows)} if rows else {}
    more |= {"covariates": ["sleep", "senior"], "holds": "before"} if covariate else {}
    return Study.from_table(
        frame, clinician="id", unit="unit", time="week", time_unit="week", scores=dict.fromkeys(scores, SCORE), **more
    )


def _half(i, unit):
    return [(2.5, None if i % 4 else 5.5)] if i % 2 else []


def _doses(i, unit):
    return [(2.5, None, (0.2, 0.5, 1.0)[i % 3])]


def _wedge(i, unit):
    return [(1.5 + 1.3 * unit, None)]


def _on_and_off(i, unit):
    return [(1.5 + i % 2, 3.5 + i % 2), (5.5, 6.5)]


def _of(spells=None, made=None, **model):
    return lambda: (CapacityModel(**model), study(spells=spells, **(made or {})))


OPTIONS = {
    "default": _of(),
    "stationary": _of(start="stationary"),
    "free_start": _of(start="free"),
    "no_units": _of(made={"units": 1}),
    "shared_omega": _of(spread="shared_omega"),
    "shared_sigma": _of(spread="shared_sigma"),
    "sampled_level": _of(level="sampled"),
    "two_scores": _of(made={"scores": ("joy", "calm")}),
    "covariate": _of(made={"covariate": True}, replenishment="sleep", depletion="sleep"),
    "shape_pulse": _of(_half),
    "replenishment_only": _of(_half, interventions="replenishment"),
    "moderated": _of(_half, {"covariate": True}, replenishment="senior * course"),
    "varying_unit": _of(_wedge, varying="unit"),
    "varying_clinician": _of(_on_and_off, varying="clinician"),
    "shape_saturating": _of(_doses, exposures={"course": "saturating"}),
    **{f"shape_{name}": _of(_half, exposures={"course": name}) for name in SHAPES if name not in ("pulse", "saturating")},
    **{f"secular_{kind}": _of(_wedge, secular=kind) for kind in KINDS},
}
