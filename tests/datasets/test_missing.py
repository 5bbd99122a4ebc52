"""Empty cells of covariates and intervention columns, under each rule."""

import numpy as np
import pytest

from equipoise.datasets import UserError


@pytest.fixture
def gappy(panel):
    return panel.assign(sleep=[7, None, None, 8, 5], on=[0, 1, None, 0, 1], shift=["day", "night", None, "day", "day"])


def test_carry_takes_the_last_value_of_the_clinician(build, gappy):
    study = build(
        gappy,
        covariates=["sleep", "shift"],
        interventions={"m": "on"},
        holds="after",
        missing_covariates="carry",
    )
    assert study.occasions["sleep"].tolist() == [7, 7, 7, 8, 5]
    assert study.occasions["shift"].tolist() == ["day", "night", "night", "day", "day"]
    assert study.spells["start"].tolist() == [2, 2] and np.isinf(study.spells["end"]).all()


def test_carry_ends_at_its_limit(build, gappy):
    keywords = {"covariates": ["sleep"], "holds": "after", "missing_covariates": "carry"}
    assert build(gappy, carry_limit=4, **keywords).occasions["sleep"].tolist() == [7, 7, 7, 8, 5]
    with pytest.raises(
        UserError, match=r"'sleep': a covariate is missing, and none stands within 3 before it: row 4\."
    ):
        build(gappy, carry_limit=3, **keywords)


def test_carry_never_crosses_to_another_clinician(build, gappy):
    gappy.loc[3, "sleep"] = None
    with pytest.raises(UserError, match=r"no earlier value to carry forward: row 5\."):
        build(gappy, covariates=["sleep"], holds="after", missing_covariates="carry")


def test_person_mean(build, gappy):
    gappy.loc[1, "sleep"] = 4
    study = build(gappy, covariates=["sleep"], holds="after", missing_covariates="person_mean")
    assert study.occasions["sleep"].tolist() == [7, 4, 5.5, 8, 5]
    gappy.loc[3, "sleep"] = None
    with pytest.raises(UserError, match=r"no value to take a mean of: row 5\."):
        build(gappy, covariates=["sleep"], holds="after", missing_covariates="person_mean")


def test_exposure_and_categories_have_no_mean(build, gappy):
    with pytest.raises(UserError, match=r"'on'.*cannot be replaced by a mean"):
        build(gappy, interventions={"m": "on"}, holds="after", missing_covariates="person_mean")
    with pytest.raises(UserError, match=r"'shift'.*has no mean"):
        build(gappy, covariates=["shift"], holds="after", missing_covariates="person_mean")


def test_a_filled_covariate_may_turn_out_constant(build, panel):
    study = build(panel.assign(age=[40, None, None, 50, 60]), covariates=["age"], missing_covariates="carry")
    assert study.varying == ()
