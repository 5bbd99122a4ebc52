"""The prior predictive check: passes where priors and answers go together, fails where they contradict each other."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from equipoise import CapacityModel, datasets, simulate
from equipoise.inference import Fit
from equipoise.inference.checks import assess
from equipoise.models.simulation import prior_predictive

prior_fit = runpy.run_path(str(Path(__file__).parents[1] / "reports" / "conftest.py"))["prior_fit"]
SURE = {"level": {"median": 30, "factor": 1.1}, "total_sd": {"median": 10, "factor": 1.3}}


def checked(model, truth, study=None):
    planned = datasets.design_study(clinicians=15, surveys=8, units=3, gap=1, interventions={"course": "parallel"}, seed=4)
    made = simulate(CapacityModel(), planned, {"half_life": 2.0, "level_change": 0.0, "selection": 0.0} | truth, seed=5).study
    fit = Fit(prior_fit(model, made, draws=20).tree, made if study is None else None)
    return fit, assess(fit, 0.89, only=["prior_predictive"])["prior_predictive"]


def test_wide_priors_hold_what_was_seen():
    fit, check = checked(CapacityModel(), {"level": 60.0, "total_sd": 15.0})
    assert check.passed and "none is so far out" in check.sentence and check.figure().axes
    row = check.table[check.table["statistic"] == "mean"].iloc[0]
    drawn = prior_predictive(fit.model, fit.study, draws=400, seed=0)["prior_predictive"]["scores"].to_numpy()[0]
    answered = ~np.isnan(fit.tree["observed_data"]["scores"].to_numpy())
    assert f"{100 * ((drawn < 0) | (drawn > 100)).mean():.0f} % of the answers would lie beyond the ends" in check.sentence
    # as from the draws themselves, cut to the range (rounding hardly moves a mean)
    means = np.clip(drawn[:, answered], 0, 100).mean(axis=1)
    assert row["median"] == pytest.approx(np.median(means), abs=1.0)


def test_sure_priors_that_the_answers_contradict_fail():
    _, check = checked(CapacityModel(priors=SURE), {"level": 80.0, "total_sd": 15.0})
    assert check.passed is False and "contradict each other in: mean" in check.sentence
    assert checked(CapacityModel(priors=SURE), {"level": 30.0, "total_sd": 10.0})[1].passed


def test_without_the_study_it_is_not_done():
    _, check = checked(CapacityModel(), {"level": 60.0}, study="none")
    assert check.passed is None and check.sentence.startswith("Not done") and not check.has_figure
