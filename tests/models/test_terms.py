import numpy as np
import pytest

from equipoise import CapacityModel
from equipoise.datasets import UserError
from equipoise.models.design import build_design
from equipoise.models.terms import build_terms

TIMES = {"a": [0, 2, 5], "b": [0, 2, 4], "c": [1]}
SLEEP = {"a": [5, 8, 6], "b": [7, 6, 9], "c": [4]}
SENIOR = {"a": [1, 1, 1], "b": [0, 0, 0], "c": [1]}
NIGHT = {"a": [0, 1, 1], "b": [0, 0, 1], "c": [0]}
ALL_SLEEP = np.array([5, 8, 6, 7, 6, 9, 4], float)
OWNER = np.array([0, 0, 0, 1, 1, 1, 2])


@pytest.fixture(params=["before", "after"])
def panel(request, make_study):
    covariates = {"sleep": SLEEP, "senior": SENIOR, "night": NIGHT, "same": {k: [3] * len(v) for k, v in TIMES.items()}}
    study = make_study(TIMES, covariates=covariates, holds=request.param)
    # the median gap is 2; under "after" the last row of each describes nothing, and a lone row describes itself
    weights = {"before": [[2, 2, 3], [2, 2, 2], [2]], "after": [[2, 3, 0], [2, 2, 0], [1]]}[request.param]
    means = [np.average(values, weights=w) for values, w in zip(SLEEP.values(), weights, strict=True)]
    return study, np.array(means)


def test_covariates_are_split_into_the_person_s_mean_and_the_deviation(panel):
    study, means = panel
    terms = build_terms(study, "sleep", "", True)
    scale = ALL_SLEEP.std()
    assert terms.names == ("sleep (mean)", "sleep (deviation)")
    between = (means - means.mean()) / scale
    np.testing.assert_allclose(terms.occasion[:, 0], between[OWNER])
    np.testing.assert_allclose(terms.occasion[:, 1], (ALL_SLEEP - means[OWNER]) / scale)
    # a clinician is reported at the own mean: no deviation
    np.testing.assert_allclose(terms.clinician, np.column_stack([between, np.zeros(3)]), atol=1e-15)
    np.testing.assert_allclose(terms.scale, [scale, scale])


def test_splitting_can_be_declined(panel):
    study, means = panel
    terms = build_terms(study, "", "sleep", False)
    scale = ALL_SLEEP.std()
    assert terms.names == ("sleep",)
    np.testing.assert_allclose(terms.occasion[:, 0], (ALL_SLEEP - means.mean()) / scale)
    np.testing.assert_allclose(terms.clinician[:, 0], (means - means.mean()) / scale)


def test_columns_that_do_not_vary_in_time_are_not_split_and_0_1_columns_keep_their_unit(panel):
    study, _ = panel
    terms = build_terms(study, "senior", "", True)
    assert terms.names == ("senior",)
    np.testing.assert_allclose(terms.scale, 1)
    np.testing.assert_allclose(terms.clinician[:, 0], np.array([1, 0, 1]) - 2 / 3)
    np.testing.assert_allclose(terms.occasion[:, 0], (np.array([1, 0, 1]) - 2 / 3)[OWNER])


def test_0_1_columns_that_vary_in_time_keep_their_unit_when_split(panel):
    study, _ = panel
    terms = build_terms(study, "", "night", True)
    assert terms.names == ("night (mean)", "night (deviation)")
    np.testing.assert_allclose(terms.scale, 1)
    deviation = terms.occasion[:, 1]
    assert deviation[1] - deviation[0] == pytest.approx(1)


def test_only_the_deviation_is_left_where_all_have_the_same_mean(make_study):
    study = make_study(
        {"a": [0, 2, 4], "b": [0, 2, 4]}, covariates={"sleep": {"a": [5, 6, 7], "b": [7, 5, 6]}}, holds="before"
    )
    terms = build_terms(study, "sleep", "", True)
    assert terms.names == ("sleep (deviation)",)


def test_a_term_of_both_formulas_acts_on_both_levers(panel):
    study, _ = panel
    terms = build_terms(study, "senior + night", "sleep + senior", True)
    levers = dict(zip(terms.names, zip(terms.on_alpha, terms.on_beta, strict=True), strict=True))
    assert levers["senior"] == (True, True)
    assert levers["night (mean)"] == levers["night (deviation)"] == (True, False)
    assert levers["sleep (mean)"] == levers["sleep (deviation)"] == (False, True)


def test_transforms_are_made_before_splitting(panel):
    study, _ = panel
    terms = build_terms(study, "log(sleep)", "", False)
    assert terms.scale[0] == pytest.approx(np.log(ALL_SLEEP).std())
    assert terms.names == ("log(sleep)",)


def test_no_formula_no_terms(panel):
    study, _ = panel
    terms = build_terms(study, "", " ", True)
    assert terms.names == ()
    assert terms.occasion.shape == (7, 0) and terms.clinician.shape == (3, 0)


def test_a_covariate_with_one_value_is_refused(panel):
    study, _ = panel
    with pytest.raises(UserError, match=r"'same' has one value only \(3\)"):
        build_terms(study, "same", "", True)


@pytest.mark.parametrize("formula", ["course", "sleep + course", "sleep+course"])
def test_interventions_do_not_belong_in_formulas(make_study, formula):
    study = make_study(TIMES, [("a", "course", 2, 3)], {"sleep": SLEEP}, holds="after")
    for lever in ("replenishment", "depletion"):
        with pytest.raises(UserError, match=f"{lever} = .*'course' is an intervention and enters the model by itself"):
            build_design(CapacityModel(**{lever: formula}), study)


def test_a_covariate_may_share_the_name_of_an_intervention(make_study):
    study = make_study(TIMES, [("a", "senior", 2, 3)], {"senior": SENIOR})
    design, _, _ = build_design(CapacityModel(replenishment="senior"), study)
    assert design.terms.names == ("senior",)
