"""The simulated studies, as the project makes them and as plain arrays for the peers (project's environment)."""

from pathlib import Path

import numpy as np
from posterior import PlainStudy

from equipoise import CapacityModel, simulate
from equipoise.datasets import design_study
from equipoise.models.design import build_design
from equipoise.models.priors import priors_in_force

SIZES = {"40x20": (40, 20, 2), "200x25": (200, 25, 10), "1000x40": (1000, 40, 50)}
TRUTH = {
    "half_life": 2.0, "level": 60.0, "total_sd": 18.0, "variance_shares": [0.4, 0.4, 0.2], "start_shift": 0.0,
    "rate_sd": 0.3, "spread_sd": 0.3,
}  # fmt: skip


def simulated(size: str, seed: int):
    """Model and study: clinicians x surveys and units by ``size``, gaps of .6 to 1.4 weeks, nothing missing."""
    clinicians, surveys, units = SIZES[size]
    model = CapacityModel()
    design = design_study(clinicians=clinicians, surveys=surveys, units=units, jitter=0.2, seed=seed)
    return model, simulate(model, design, TRUTH, seed=seed).study


def plain(model, study) -> PlainStudy:
    """The study as arrays, clinicians in the model's order."""
    design, _, _ = build_design(model, study)
    shape = (study.n_clinicians, -1)
    who = np.repeat(np.arange(study.n_clinicians), np.diff(design.layout.step_offset))
    answered = design.layout.step_survey
    if len(set(np.bincount(who))) > 1 or (answered < 0).any() or np.isnan(design.survey_score).any():
        raise ValueError("the peers' arrays need the same number of surveys from everyone, all answered")
    gap = design.layout.step_gap.reshape(shape).T
    score = design.survey_score[answered].reshape(shape).T
    priors = {name: prior.to_dict() for name, prior in priors_in_force(model, study).items()}
    floor = float(design.error_floor[0])
    return PlainStudy(np.ascontiguousarray(gap), np.ascontiguousarray(score), design.unit_code, floor, priors)


def write(size: str, seed: int, folder: Path) -> Path:
    path = folder / f"study_{size}_{seed}.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        plain(*simulated(size, seed)).save(path)
    return path
