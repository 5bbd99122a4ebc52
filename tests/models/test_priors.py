import copy
import math
import pickle

import numpy as np
import pymc as pm
import pytest
from scipy import stats

from equipoise import CapacityModel, Prior
from equipoise.datasets import UserError
from equipoise.models.priors import DEFAULTS, MEANINGS, check_priors, default_priors, half_life_prior
from equipoise.models.shapes import shape_parameters

# each family with the distribution its words mean, written out in scipy's own parameters
FAMILIES = {
    "normal": (Prior.of("normal", mean=1.5, sd=0.4), stats.norm(1.5, 0.4)),
    "student_t": (Prior.of("student_t", mean=-1, scale=2, df=4), stats.t(4, -1, 2)),
    "lognormal": (Prior.of("lognormal", median=3, factor=2), stats.lognorm(math.log(2), scale=3)),
    "gamma": (Prior.of("gamma", mean=4, sd=2), stats.gamma(4, scale=1)),
    "half_normal": (Prior.of("half_normal", sd=0.35), stats.halfnorm(scale=0.35)),
    "beta": (Prior.of("beta", a=2, b=5), stats.beta(2, 5)),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_density_draws_and_variable_are_the_distribution_named(family):
    prior, truth = FAMILIES[family]
    x = truth.ppf([0.01, 0.2, 0.5, 0.9, 0.999])
    np.testing.assert_allclose(prior.log_density(x), truth.logpdf(x), rtol=1e-12)
    with pm.Model():
        variable = prior.variable("v")
    np.testing.assert_allclose(pm.logp(variable, x).eval(), truth.logpdf(x), rtol=1e-6)
    drawn = prior.draw(np.random.default_rng(1), (4000,))
    assert drawn.shape == (4000,)
    assert stats.kstest(drawn, truth.cdf).pvalue > 0.001


def test_dirichlet_density_draws_and_variable():
    prior = Prior.of("dirichlet", concentration=[2, 3, 4])
    truth = stats.dirichlet([2, 3, 4])
    drawn = prior.draw(np.random.default_rng(1), (5, 800))
    assert drawn.shape == (5, 800, 3)
    np.testing.assert_allclose(drawn.mean(axis=(0, 1)), np.array([2, 3, 4]) / 9, atol=0.01)
    expected = [truth.logpdf(x) for x in drawn[0, :10]]
    np.testing.assert_allclose(prior.log_density(drawn[0, :10]), expected, rtol=1e-10)
    with pm.Model(coords={"layer": ["a", "b", "c"]}):
        variable = prior.variable("v", ("layer",))
    np.testing.assert_allclose(pm.logp(variable, drawn[0, :10]).eval(), expected, rtol=1e-6)


def test_factor_is_the_reach_of_the_middle_two_thirds():
    """Median 2, factor 3: one standard deviation of the log lies between 2/3 and 6."""
    drawn = Prior.of("lognormal", median=2, factor=3).draw(np.random.default_rng(0), (200_000,))
    assert np.mean((drawn > 2 / 3) & (drawn < 6)) == pytest.approx(0.6827, abs=0.005)
    assert np.median(drawn) == pytest.approx(2, rel=0.02)


@pytest.mark.parametrize("family", [*FAMILIES, "dirichlet"])
def test_priors_survive_a_trip_through_plain_values(family):
    prior = FAMILIES[family][0] if family in FAMILIES else Prior.of("dirichlet", concentration=(1, 2, 3))
    assert Prior.from_dict(prior.to_dict()) == prior
    without = {k: v for k, v in prior.to_dict().items() if k != "family"}
    if family != "gamma":  # mean and sd alone are those of a normal
        assert Prior.from_dict(without) == prior
    assert pickle.loads(pickle.dumps(prior)) == copy.deepcopy(prior) == prior


@pytest.mark.parametrize(
    "given, message",
    [
        ({"median": 2}, "no prior has the arguments median"),
        ({}, r"no prior has the arguments \(none\)"),
        (3.0, "a prior is a table such as"),
        ({"family": "lognormall", "median": 2, "factor": 3}, "Did you mean 'lognormal'"),
        ({"family": "lognormal", "median": 2}, "needs median and factor"),
        ({"median": 2, "factor": 1}, "above 1"),
        ({"median": -2, "factor": 3}, "median of a lognormal prior must be positive"),
        ({"mean": 0, "sd": 0}, "sd of a normal prior must be positive"),
        ({"mean": "0", "sd": 1}, "must be a finite number"),
        ({"mean": True, "sd": 1}, "must be a finite number"),
        ({"mean": 0, "sd": float("nan")}, "must be a finite number"),
        ({"mean": 0, "sd": float("inf")}, "must be a finite number"),
        ({"family": "gamma", "mean": -1, "sd": 1}, "mean of a gamma prior must be positive"),
        ({"concentration": [1, -1, 1]}, "list of positive numbers"),
        ({"concentration": 2}, "list of positive numbers"),
    ],
)
def test_priors_that_make_no_sense_are_refused(given, message):
    with pytest.raises(UserError, match=message):
        Prior.from_dict(given)


def test_numpy_numbers_are_numbers():
    prior = Prior.of("lognormal", median=np.int64(2), factor=np.float32(3))
    assert prior == Prior.of("lognormal", median=2, factor=3)
    assert type(prior.median) is float


@pytest.mark.parametrize(
    "given, message",
    [
        ({"halflife": {"median": 2, "factor": 3}}, "Did you mean 'half_life'"),
        ({"rate_z": {"mean": 0, "sd": 1}}, "no parameter called 'rate_z' has a prior"),
        ({"half_life": {"mean": 2, "sd": 1}}, "normal does not fit; use lognormal or gamma or half_normal"),
        ({"level_change": {"sd": 1}}, "use normal or student_t"),
        ({"variance_shares": {"concentration": [1, 1]}}, "three concentrations"),
        ({"variance_shares": {"a": 1, "b": 1}}, "use dirichlet"),
        ({"level": {"median": 50, "factor": 0.5}}, "prior of level: factor"),
    ],
)
def test_priors_are_replaced_by_the_right_name_and_kind(given, message):
    with pytest.raises(UserError, match=message):
        CapacityModel(priors=given)


def test_every_parameter_has_a_default_and_a_meaning(make_study):
    study = make_study({"a": [0, 4]})
    assert set(default_priors(study)) == set(MEANINGS) == set(DEFAULTS) | {"half_life"} | set(shape_parameters())
    assert check_priors(default_priors(study)) == default_priors(study)


@pytest.mark.parametrize(
    "times, gap, follow_up",
    [
        ({"a": [0, 1, 2, 3, 4]}, 1, 4),
        ({"a": np.arange(101.0).tolist()}, 1, 100),
        ({"a": [0, 1, 3], "b": [0, 4, 10], "c": [2]}, 3, 6.5),
        ({"a": [0], "b": [4]}, 4, 4),  # nobody twice: the study's own length
    ],
)
def test_the_half_life_prior_sees_between_the_gap_and_the_follow_up(make_study, times, gap, follow_up):
    prior = half_life_prior(make_study(times))
    assert prior.family == "lognormal"
    assert prior.median == pytest.approx(math.sqrt(gap * follow_up))
    assert prior.factor == pytest.approx(max(3, math.sqrt(follow_up / gap)))


def test_priors_print_in_the_words_they_were_given_in():
    assert str(Prior.of("half_normal", sd=0.35)) == "HalfNormal(sd 0.35)"
    assert str(Prior.of("dirichlet", concentration=(2, 2, 2))) == "Dirichlet(2, 2, 2)"
