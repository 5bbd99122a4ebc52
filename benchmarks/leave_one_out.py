"""Leave-one-survey-out densities from the smoother against brute force, at parameters drawn from the priors.

    python benchmarks/leave_one_out.py

Brute force: the filter's log-likelihood with all answers of a clinician less that with the answer missing. Real and simulated designs:
ASIP (found in the folder that EQUIPOISE_DATA names), the bundled study, and small ragged ones with units and a programme that ramps up.
"""

import time
from dataclasses import replace

import numpy as np

from equipoise import CapacityModel, datasets, simulate
from equipoise.datasets import UserError
from equipoise.datasets.example import load_example
from equipoise.models.design import build_design
from equipoise.models.levers import levers
from equipoise.models.likelihood import filter as kalman
from equipoise.models.likelihood import smoother
from equipoise.models.parameters import coordinates, draw_parameters, parameter_table


def compare(model, study, draws, seed=0):
    """Largest relative difference, answers compared, and the seconds of both ways."""
    design, _, _ = build_design(model, study)
    table, coords, rng = parameter_table(model, study, design), coordinates(study, design), np.random.default_rng(seed)
    who = study.occasions["clinician"].to_numpy()[study.surveys["occasion"].to_numpy()]
    answered = np.flatnonzero(~np.isnan(design.survey_score))
    worst, seconds = 0.0, np.zeros(2)
    for _ in range(draws):
        arguments = levers(draw_parameters(table, coords, None, rng), design, model, np).arguments
        started = time.perf_counter()
        smoothed = smoother.leave_one_out(*design.data(), *arguments)[2]
        seconds[0] += time.perf_counter() - started
        started = time.perf_counter()
        whole = kalman.log_likelihood(*design.data(), *arguments)[0]
        for r in answered:
            score = design.survey_score.copy()
            score[r] = np.nan
            without = kalman.log_likelihood(*replace(design, survey_score=score).data(), *arguments)[0]
            brute = whole[who[r]] - without[who[r]]
            worst = max(worst, abs(smoothed[r] - brute) / abs(brute))
        seconds[1] += time.perf_counter() - started
    return worst, draws * answered.size, seconds


def designs():
    yield "bundled study", CapacityModel(replenishment="sleep", depletion="workload"), load_example(), 2
    try:
        asip = datasets.fetch_asip(holds="before", repeated="mean")
        yield "ASIP", CapacityModel(), asip, 5
    except (UserError, OSError) as error:
        print(f"without ASIP: {error}")
    for start in ("displaced", "stationary", "free"):
        planned = datasets.design_study(
            clinicians=12, surveys=7, units=3, jitter=0.3, missing=0.3, interventions={"course": "stepped"}, seed=1
        )
        model = CapacityModel(start=start, exposures={"course": "ramp"})
        yield f"ragged, {start}", model, simulate(model, planned, seed=2).study, 20


if __name__ == "__main__":
    print(f"{'design':<22}{'answers compared':>18}{'largest relative difference':>30}{'times as fast':>15}")
    compare(CapacityModel(), datasets.design_study(clinicians=2, surveys=3), 1)  # compiles the kernels
    for name, model, study, draws in designs():
        worst, count, seconds = compare(model, study, draws)
        print(f"{name:<22}{count:>18}{worst:>30.1e}{seconds[1] / seconds[0]:>15.0f}")
