"""Sentences on what a study shows and a model, as it is set, leaves out; given by `check`, with the fit and in the report."""

from __future__ import annotations

import numpy as np

from .exposure import mean_exposures

MANY = 5000  # clinicians, from which intervals are narrow enough for few cut scores to count
CUT = 1e-3  # share of the answers at the ends of the scale that is named there


def cautions(model, study) -> list[str]:
    """Sentences on adjustments that were switched off against the design, and on scores that the likelihood does not hold for.

    Parameters
    ----------
    model : CapacityModel
    study : Study
    """
    found = []
    if model.left_out == "trait":
        found.append(
            "Differences between clinicians' levels are left out (left_out = \"trait\"): what lasts in a person counts as a "
            "disturbance that lasts, so that half-lives come out too long, many-fold where clinicians differ."
        )
    elif model.left_out == "error":
        found.append(
            "Measurement error beyond rounding is left out (left_out = \"error\"): the noise of single answers counts as change of "
            "capacity, so that half-lives come out too short."
        )
    exposure = mean_exposures(study)
    if model.selection is False and not model.is_randomised and (exposure.std(axis=0) > 0.01).any():
        found.append(
            "Selection is not adjusted for (selection = false) although the study is not said to be randomised: "
            "a difference between those who took a programme and those who did not counts as its effect."
        )
    if model.secular == "none" or (model.periods is not None and model.periods < 2):
        designs = model.study_designs(study)
        names = [n for n, r in designs.items() if r.secular != "none"]
        if names:
            titles = " and ".join(dict.fromkeys(designs[n].design.title for n in names))
            found.append(
                f"No secular time although the design of {' and '.join(names)} asks for it ({titles}): a drift over "
                "calendar time can pass for the effect of the programme."
            )
    if study.n_clinicians >= MANY:
        found += _cut(study)
    return found


def _cut(study) -> list[str]:
    """On scores at the ends of their scale. The figures are those of benchmarks/README.md, "Large studies"."""
    found = []
    for k, (name, score) in enumerate(study.scores.items()):
        points = study.surveys["points"].to_numpy()[study.surveys["indicator"].to_numpy() == k]
        points = points[~np.isnan(points)]
        share = float(np.isin(points, score.range).mean()) if points.size else 0.0
        if share > CUT:
            found.append(
                f"{name}: {share:.1%} of the answers are the lowest or highest possible score, where the model's normal errors do not "
                "hold. With so many clinicians intervals are narrow enough for that to count: in a simulated study of 50,000, 0.35% "
                "there moved spread_sd by 5 and rate_sd by 4 posterior standard deviations."
            )
    return found
