import arviz as az
import numpy as np
import pandas as pd
import pytest

from equipoise import CapacityModel, Score, datasets, prior_predictive, simulate
from equipoise.datasets import UserError

# no differences between clinicians but their level, no displacement: scores are one stationary process
STATIONARY = {
    "level": 55.0, "half_life": 2.0, "total_sd": 15.0, "variance_shares": [0.4, 0.4, 0.2], "rate_sd": 0.0,
    "spread_sd": 0.0, "level_rate_concordance": 0.5, "start_shift": 0.0, "start_sd_ratio": 1.0,
}  # fmt: skip


def test_scores_have_the_moments_of_the_model():
    n, gap = 20_000, 1.5
    study = datasets.design_study(clinicians=n, surveys=3, gap=gap)
    new = simulate(CapacityModel(), study, STATIONARY, seed=1, rounded=False)
    scores = new.study.surveys["capacity"].to_numpy().reshape(n, 3)
    trait, process, error = 15**2 * np.array([0.4, 0.4, 0.2])
    np.testing.assert_allclose(scores.mean(axis=0), 55, atol=5 * 15 / np.sqrt(n))
    decay = np.exp(-np.log(2) / 2 * gap)
    apart = np.abs(np.subtract.outer(np.arange(3), np.arange(3)))
    expected = trait + process * decay**apart + np.diag(np.full(3, error + 1 / 12))  # answers in steps of 1
    np.testing.assert_allclose(np.cov(scores.T), expected, rtol=0, atol=5 * np.sqrt(2 / n) * 15**2)
    path = new.path.reshape(n, 3)
    np.testing.assert_allclose(np.cov(path.T), trait + process * decay**apart, atol=5 * np.sqrt(2 / n) * 15**2)
    capacity = new.clinicians["capacity"].to_numpy()
    assert capacity.std() == pytest.approx(np.sqrt(trait), rel=0.03)


def test_rounded_answers_have_the_same_moments():
    """Rounding makes its own error of step^2/12, so it is not added as noise as well."""
    n = 20_000
    joy = Score(range=(-20, 30), better="higher", step=5)  # a step of 10 on the 0-100 scale, far from the ends
    study = datasets.design_study(clinicians=n, surveys=2, scores={"joy": joy})
    truth = STATIONARY | {"total_sd": 8.0}
    new = simulate(CapacityModel(), study, truth, seed=2)
    scores = new.study.surveys["capacity"].to_numpy().reshape(n, 2)
    assert new.clipped < 1e-4
    np.testing.assert_allclose(scores.var(axis=0), 8**2 + 10**2 / 12, rtol=0.05)


def test_clinicians_units_and_effects_are_the_truth_behind_the_paths():
    study = datasets.design_study(clinicians=6, surveys=4, units=2, gap=100.0, interventions={"course": "parallel"})
    truth = {"total_sd": 1e-8, "level_change": 0.2, "speed_up": 0.5, "start_shift": 3.0, "half_life": 1.0, "drift": 0.0}
    new = simulate(CapacityModel(interventions="both", randomised=True), study, truth, seed=3, rounded=False)
    path = new.path.reshape(6, 4)
    capacity = new.clinicians["capacity"].to_numpy()
    np.testing.assert_allclose(path[:, 0], capacity + 3)  # displaced at the first survey
    # the second half of the clinicians is exposed from a third of the study on, and a gap is 100 half-lives
    np.testing.assert_allclose(path[:3, 1:], np.repeat(capacity[:3, None], 3, axis=1), rtol=1e-6)
    np.testing.assert_allclose(path[3:, 2:], np.repeat(capacity[3:, None] * np.exp(0.2), 2, axis=1), rtol=1e-6)
    np.testing.assert_allclose(new.clinicians["alpha"] / new.clinicians["beta"], capacity)
    np.testing.assert_allclose(new.clinicians["half_life"] * new.clinicians["beta"], np.log(2))
    effect = new.effects.iloc[0]
    assert effect["theta_alpha"] - effect["theta_beta"] == pytest.approx(0.2)
    assert (effect["theta_alpha"] + effect["theta_beta"]) / 2 == pytest.approx(0.5)
    assert effect["capacity_change"] == pytest.approx(capacity.mean() * np.expm1(0.2))
    # hardly any trait: clinicians are at their unit's C*
    np.testing.assert_allclose(new.units["capacity"].to_numpy()[study.unit_code], capacity, rtol=1e-6)
    assert list(new.units["unit"]) == ["unit 1", "unit 2"]


def test_parameters_can_be_given_and_the_rest_keep_their_random_numbers():
    study = datasets.design_study(clinicians=5, surveys=4, units=2)
    free = simulate(CapacityModel(), study, seed=4)
    given = simulate(CapacityModel(), study, {"half_life": 3.0, "rate_z": 0.0}, seed=4)
    assert given.parameters["half_life"] == 3.0
    np.testing.assert_array_equal(given.parameters["rate_z"], np.zeros(5))
    for name, value in free.parameters.items():
        if name not in ("half_life", "rate_z"):
            np.testing.assert_array_equal(given.parameters[name], value)


@pytest.mark.parametrize(
    "given, message",
    [
        ({"halflife": 3}, "no parameter 'halflife'.* Did you mean 'half_life'"),
        ({"unit_level_sd": 0.1}, "no parameter 'unit_level_sd'"),
        ({"variance_shares": [0.5, 0.5, 0.5]}, "shares that sum to 1"),
        ({"half_life": -1.0}, "must be 0 or more"),
        ({"rate_z": np.zeros(4)}, r"rate_z: expected shape \(5,\) \(clinician\), got \(4,\)"),
        ({"variance_shares": [0.5, 0.5]}, r"variance_shares: expected shape \(3,\)"),
        ({"half_life": [1.0, 2.0]}, r"half_life: expected shape \(\)"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(given, message):
    with pytest.raises(UserError, match=message):
        simulate(CapacityModel(), datasets.design_study(clinicians=5, surveys=4), given)


def test_seeds():
    study = datasets.design_study(clinicians=5, surveys=4)
    a, b, c = (simulate(CapacityModel(), study, seed=s).study.surveys["capacity"] for s in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()


def test_the_design_stays_and_missing_answers_stay_missing():
    study = datasets.design_study(
        clinicians=8, surveys=6, units=2, jitter=0.3, missing=0.3, interventions={"a": "stepped"}, covariates=("sleep",)
    )
    new = simulate(CapacityModel(depletion="sleep"), study, seed=1).study
    assert study.n_missing > 0
    np.testing.assert_array_equal(new.surveys["capacity"].isna(), study.surveys["capacity"].isna())
    for name in ("clinicians", "occasions", "spells"):
        assert getattr(new, name).equals(getattr(study, name))


def test_answers_lie_on_the_steps_and_in_the_range():
    scores = {
        "stress": Score(range=(1, 5), better="lower", step=0.5),
        "joy": Score(range=(0, 10), better="higher", step=2),
    }
    study = datasets.design_study(clinicians=40, surveys=6, scores=scores)
    truth = {"level": 90.0, "total_sd": 40.0, "loading": 1.0, "intercept": 0.0, "error_sd": 20.0}
    new = simulate(CapacityModel(), study, truth, seed=1)
    surveys = new.study.surveys
    stress, joy = (surveys.loc[surveys["indicator"] == k, "points"].to_numpy() for k in (0, 1))
    assert set(np.unique(stress)) <= set(np.arange(1, 5.5, 0.5)) and set(np.unique(joy)) <= {0, 2, 4, 6, 8, 10}
    assert (stress == 1).any() and (joy == 10).any()  # 90 of 100 is little stress and much joy
    assert stress.mean() < 3 < joy.mean()
    exact = simulate(CapacityModel(), study, truth, seed=1, rounded=False)
    outside = (exact.study.surveys["capacity"] < 0) | (exact.study.surveys["capacity"] > 100)
    assert exact.clipped == 0 and outside.mean() > 0.1
    assert new.clipped == pytest.approx(outside.mean(), abs=0.05)


def test_the_mean_of_several_answers_lies_on_a_finer_grid_and_has_less_error():
    n = 3000
    rows = [(f"c{i}", t, 5) for i in range(n) for t in (0, 1) for _ in range(1 + 3 * t)]
    study = datasets.Study.from_table(
        pd.DataFrame(rows, columns=["id", "week", "joy"]), clinician="id", time="week", time_unit="week",
        scores={"joy": Score(range=(0, 10), better="higher", step=1)}, repeated="mean",
    )  # fmt: skip
    truth = STATIONARY | {"total_sd": 10.0, "variance_shares": [1e-9, 1e-9, 1.0]}
    exact = simulate(CapacityModel(), study, truth, seed=5, rounded=False).study.surveys
    variance = exact.groupby("repeats")["capacity"].var()
    assert variance[1] == pytest.approx(10**2 + 10**2 / 12, rel=0.15)
    assert variance[4] == pytest.approx((10**2 + 10**2 / 12) / 4, rel=0.15)
    answered = simulate(CapacityModel(), study, truth, seed=5).study.surveys
    quarters = answered.loc[answered["repeats"] == 4, "points"] * 4
    np.testing.assert_allclose(quarters, np.round(quarters), atol=1e-9)
    assert (np.round(quarters) % 4 != 0).any()


# --- prior predictive -----------------------------------------------------------------------------------------------


def test_prior_predictive_draws_parameters_and_scores():
    study = datasets.design_study(
        clinicians=5, surveys=4, units=2, missing=0.2, interventions={"course": "parallel"}, covariates=("sleep",)
    )
    model = CapacityModel(depletion="sleep", priors={"half_life": {"median": 3, "factor": 1.0001}})
    tree = prior_predictive(model, study, draws=300, seed=1)
    prior = tree["prior"].to_dataset()
    assert prior["alpha"].dims == ("chain", "draw", "clinician") and prior["alpha"].shape == (1, 300, 5)
    assert prior["theta_alpha"].dims == ("chain", "draw", "intervention")
    assert list(prior["clinician"].to_numpy()) == list(study.clinicians["clinician"])
    np.testing.assert_allclose(prior["half_life"], 3, rtol=0.01)
    np.testing.assert_allclose(prior["alpha"] / prior["beta"], prior["capacity"])
    np.testing.assert_allclose(prior["theta_alpha"] - prior["theta_beta"], prior["level_change"])
    level = prior["level"].to_numpy().ravel()
    assert np.median(level) == pytest.approx(50, rel=0.1)  # LogNormal(50, 1.65)
    scores = tree["prior_predictive"]["scores"]
    assert scores.dims == ("chain", "draw", "survey") and np.isfinite(scores).all()
    np.testing.assert_array_equal(tree["observed_data"]["scores"], study.surveys["capacity"])
    # prior draws of the score scatter around the draw's own level
    assert np.corrcoef(scores.mean("survey").to_numpy().ravel(), level)[0, 1] > 0.8


def test_prior_predictive_is_what_arviz_reads():
    tree = prior_predictive(CapacityModel(), datasets.design_study(clinicians=3, surveys=3), draws=20, seed=1)
    summary = az.summary(tree, group="prior", var_names=["level", "half_life"], kind="stats")
    assert list(summary.index) == ["level", "half_life"]


def test_prior_predictive_seeds_and_errors():
    study = datasets.design_study(clinicians=3, surveys=3)
    a, b = (prior_predictive(CapacityModel(), study, draws=5, seed=7) for _ in range(2))
    np.testing.assert_array_equal(a["prior_predictive"]["scores"], b["prior_predictive"]["scores"])
    with pytest.raises(UserError, match="draws must be at least 1"):
        prior_predictive(CapacityModel(), study, draws=0)
