"""Each check fails on a study made to break it, and passes where it should."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from equipoise import CapacityModel, Score, Study, UserError, datasets, simulate
from equipoise.datasets.dropout import left_early
from equipoise.inference.checks import CHECKS, assess
from equipoise.inference.checks.answers import as_answered
from equipoise.inference.checks.cross_validation import outside
from equipoise.inference.checks.loo_pit import simultaneous_band
from equipoise.inference.checks.statistics import lagged_pairs
from equipoise.inference.refits.cross_validation import cross_validate, work
from equipoise.inference.sampling import Sampling
from equipoise.models.design import build_design
from equipoise.models.levers import levers
from equipoise.models.parameters import coordinates, draw_parameters, parameter_table
from equipoise.models.simulation import new_answers

MODEL = CapacityModel(secular="none", randomised=True)
TRUTH = {
    "level": 55.0, "half_life": 1.5, "total_sd": 18.0, "variance_shares": [0.4, 0.4, 0.2], "rate_sd": 0.2, "spread_sd": 0.1,
    "level_rate_concordance": 0.5, "unit_level_sd": 0.05, "unit_rate_sd": 0.05, "start_shift": 0.0, "start_sd_ratio": 1.0,
    "level_change": 0.1, "speed_up": 0.0, "spread_change": 0.0,
}  # fmt: skip
CHEAP = [name for name, refits in CHECKS.items() if not refits]


@pytest.fixture(scope="module")
def planned():
    return datasets.design_study(clinicians=48, surveys=14, units=6, gap=1, interventions={"course": "parallel"}, seed=4)


@pytest.fixture(scope="module")
def place(planned):
    """Clinician and time of each survey."""
    at = planned.surveys["occasion"].to_numpy()
    return planned.occasions["clinician"].to_numpy()[at], planned.occasions["time"].to_numpy(float)[at]


@pytest.fixture(scope="module")
def lab(laboratory, planned):
    return laboratory(MODEL, planned)


@pytest.fixture(scope="module")
def good(planned):
    return simulate(MODEL, planned, TRUTH, seed=5)


def answers(simulation):
    return simulation.study.surveys["capacity"].to_numpy(float)


@pytest.fixture(scope="module")
def good_fit(lab, good):
    return lab.fit(answers(good), Sampling(draws=500, tune=500, chains=2, seed=2, target_accept=0.9))


def test_all_pass_where_the_model_is_right(good_fit):
    found = good_fit.checks(only=CHEAP)
    assert list(found) == [name for name in CHECKS if name in CHEAP]
    # that of sampling passes where nothing has to be said at the head of the outputs; so few draws may leave an R-hat of 1.011
    assert found["sampling"].passed is (not good_fit.warnings)
    bad = {name: check.sentence for name, check in found.items() if check.passed is False and name != "sampling"}
    assert not bad
    assert found["dropout"].passed is None  # nobody left
    for name, check in found.items():
        assert check.name == name and check.title.endswith("?") and len(check.sentence) > 20
        figure = check.figure()
        if check.passed is not None:
            assert len(check.table) and figure.axes and check.caption, name


def test_checks_that_need_refits_say_how_they_are_done(good_fit):
    for name, check in assess(good_fit, only=[n for n in CHECKS if n not in CHEAP]).items():
        assert check.passed is None and "equipoise " in check.sentence, name


def test_an_unknown_check_is_named(good_fit):
    with pytest.raises(UserError, match="loo_pit"):
        good_fit.checks(only=["loo_pits"])


def test_without_the_study_what_needs_it_says_so(good_fit):
    from equipoise.inference import Fit

    found = Fit(good_fit.tree).checks(only=["predictive", "loo_pit"])
    assert found["predictive"].passed is True
    assert found["loo_pit"].passed is None and "without their study" in found["loo_pit"].sentence


def test_heavy_tails_are_seen(lab, good):
    rng = np.random.default_rng(0)
    heavy = np.clip(np.round(good.path + 4 * rng.standard_t(1.5, good.path.size)), 0, 100)
    found = lab.fit(heavy).checks(only=["predictive", "loo", "loo_pit"])
    assert [c.passed for c in found.values()] == [False, False, False]
    assert "kurtosis of successive changes" in found["predictive"].sentence
    # which of the two is said depends on the draws
    assert any(said in found["loo_pit"].sentence for said in ("heavier tails", "closer to their predictions"))
    assert found["loo"].table["pareto_k"].iloc[0] > 0.7
    # the sentence names those with most such answers, the table begins with the worst answer
    assert any(clinician in found["loo"].sentence for clinician in found["loo"].table["clinician"])


def test_scores_at_the_floor_are_seen(lab, good):
    found = lab.fit(np.clip(answers(good) - 50, 0, 100)).checks(only=["predictive"])["predictive"]
    assert not found.passed and "share at the low end" in found.sentence


def test_a_season_is_seen(lab, good, place):
    season = np.clip(np.round(answers(good) + 12 * np.sin(2 * np.pi * place[1] / 7)), 0, 100)
    found = lab.fit(season).checks(only=["predictive"])["predictive"]
    assert not found.passed and "sixths of the study" in found.sentence


def test_an_effect_that_fades_is_seen(lab, good, planned, place):
    who, time = place
    start = np.full(planned.n_clinicians, np.inf)
    start[planned.spells["clinician"].to_numpy()] = planned.spells["start"].to_numpy()
    since = time - start[who]
    faded = answers(good) + np.where(since >= 0, 35 * np.exp(-np.maximum(since, 0) / 1.0) - 5, 0.0)
    found = lab.fit(np.clip(np.round(faded), 0, 100)).checks(only=["predictive"])["predictive"]
    assert not found.passed and "after the start of course" in found.sentence


def leaves(place, when) -> np.ndarray:
    """Answers that are missing because their clinician has left; ``when(i, rows)`` is the position of the last one given."""
    who, time = place
    gone = np.zeros(who.size, bool)
    for i in range(who.max() + 1):
        rows = np.flatnonzero(who == i)
        rows = rows[np.argsort(time[rows])]
        last = when(i, rows)
        if last is not None:
            gone[rows[last + 1 :]] = True
    return gone


def test_dropout_that_depends_on_capacity_is_seen(lab, good, place):
    def when_low(i, rows):
        low = np.flatnonzero(good.path[rows][3:9] < good.path[rows].mean() - 8)
        return 3 + low[0] if low.size else None

    found = lab.fit(np.where(leaves(place, when_low), np.nan, answers(good))).checks(only=["dropout"])["dropout"]
    assert not found.passed and "doing worse" in found.sentence


def test_dropout_at_random_passes(lab, good, place):
    rng = np.random.default_rng(0)
    gone = leaves(place, lambda i, rows: rng.integers(3, 9) if i % 2 else None)
    found = lab.fit(np.where(gone, np.nan, answers(good))).checks(only=["dropout"])["dropout"]
    assert found.passed and found.sentence.startswith("24 of 48")


def test_priors_that_fight_the_data_are_seen(lab, planned):
    large = answers(simulate(MODEL, planned, TRUTH | {"level_change": 0.6}, seed=6))
    found = lab.fit(large).checks(only=["power_scaling"])["power_scaling"]
    assert not found.passed and "level change of course" in found.sentence.partition("Move")[0]


def test_a_study_that_tells_nothing_of_the_half_life_leaves_it_to_the_prior(lab, good):
    rng = np.random.default_rng(0)
    blurred = np.full(answers(good).size, np.nan)
    shown = rng.choice(blurred.size, 40, replace=False)
    blurred[shown] = answers(good)[shown]
    found = lab.fit(blurred).checks(only=["learnt"])["learnt"]
    assert not found.passed and "Mostly the prior's" in found.sentence and "half-life" in found.sentence


def test_a_model_without_the_trait_is_seen(laboratory):
    """Without it the half-life grows many-fold to keep clinicians apart, and answers should resemble each other for longer."""
    longer = datasets.design_study(clinicians=30, surveys=40, units=1, gap=1, seed=4)
    effects = ("level_change", "speed_up", "spread_change")
    known = {name: value for name, value in TRUTH.items() if "unit" not in name and name not in effects}
    new = simulate(CapacityModel(), longer, known | {"variance_shares": [0.5, 0.4, 0.1]}, seed=7)
    fit = laboratory(CapacityModel(left_out="trait"), longer).fit(answers(new))
    assert float(fit.tree["posterior"]["half_life"].median()) > 3 * TRUTH["half_life"]
    found = fit.checks(only=["predictive"])["predictive"]
    assert not found.passed and "autocorrelation at lag 4" in found.sentence


def test_chains_that_disagree_fail(lab, good):
    fit = lab.fit(answers(good), Sampling(draws=10, tune=10, chains=2, seed=1))
    assert not fit.checks(only=["sampling"])["sampling"].passed


# cross-validation


@pytest.fixture(scope="module")
def crossed(lab, good, monkeypatch_module):
    """Cross-validation of the right model, and of a study in which one unit is unlike the others."""
    other = answers(good).copy()
    unit = lab.study.unit_code[lab.study.occasions["clinician"].to_numpy()[lab.study.surveys["occasion"].to_numpy()]]
    other[unit == 2] = np.clip(other[unit == 2] - 35, 0, 100)
    out = {}
    for name, capacity, kinds in (("right", answers(good), ("unit", "future")), ("unlike", other, ("unit",))):
        study = lab.study.with_scores(capacity)
        # the model is compiled already
        lab.refit.design = replace(lab.refit.design, survey_score=capacity)
        monkeypatch_module.setattr("equipoise.inference.refits.cross_validation.Refit", lambda model, study: lab.refit)
        evidence = cross_validate(MODEL, study, folds=3, draws=200, tune=300, kinds=kinds, workers=1)
        fit = lab.fit(capacity)
        out[name] = fit, evidence, fit.checks(only=["cross_validation"], evidence={"cross_validation": evidence})["cross_validation"]
    return out


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def test_a_unit_that_differs_is_seen(crossed, planned):
    check = crossed["unlike"][2]
    assert not check.passed and f"Unlike what is predicted of a unit not seen: {planned.units[2]}" in check.sentence


def test_cross_validation_of_the_right_model_passes(crossed):
    _, _, check = crossed["right"]
    assert check.passed, check.sentence
    assert check.figure().axes
    future = check.table[check.table["left out"].str.startswith("the future")].set_index("left out")
    assert (future["worse than the model by"].dropna() > 0).all()
    assert abs(future.loc["the future, model", "coverage"] - 0.89) < 0.06


def test_kfold_sums_the_densities_of_the_refits(crossed):
    from equipoise.inference.checks.cross_validation import kfold

    fit, evidence, _ = crossed["right"]
    found = kfold(fit, evidence, "unit")
    assert found.elpd == pytest.approx(sum(evidence["left_out"]["unit"]["elpd"]))
    assert found.n_folds == 3
    # a clinician of an unseen unit is predicted worse than one whose own answers were fitted
    in_sample = fit.tree["log_likelihood"]["scores"]
    assert found.elpd < float(np.log(np.exp(in_sample).mean(("chain", "draw"))).sum())


def test_forecasts_do_not_know_the_future(lab, good, place):
    """With other answers after the origin the forecasts are the same."""
    settings = Sampling(draws=50, tune=100, chains=2, seed=1)
    job, found = {"kind": "future", "begin": 10.0, "end": 12.0}, []
    for moved in (0.0, 25.0):
        lab.refit.design = replace(lab.refit.design, survey_score=answers(good) + np.where(place[1] > 10.0, moved, 0.0))
        found.append(work((lab.refit, {"settings": settings, "prob": 0.89}), job))
    one, other = found
    assert len(one["median"]) and set(one) >= {"clinician", "time", "mean", "low", "high", "crps", "last", "average"}
    for name in ("median", "mean", "low", "high", "last", "average"):
        assert one[name] == other[name], name
    np.testing.assert_allclose(np.array(other["observed"]) - np.array(one["observed"]), 25.0)


def test_members_said_to_differ_are_as_rare_as_meant():
    """Where nothing differs, one member in any of so many is said to in about 1 % of studies, however few replicates there are."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(400):
        count, drawn = 100, 1000
        replicates, observed = rng.normal(50, 8, (drawn, count)), rng.normal(50, 8, count)
        mine = {"below": (replicates < observed).mean(axis=0), "observed": observed, "predicted": replicates.mean(axis=0),
                "predicted_sd": replicates.std(axis=0), "replicates": [drawn] * count}  # fmt: skip
        alarms += outside(mine).size > 0
    assert alarms <= 14  # 4 are expected; more than 14 come once in 100,000 times


# parts


def test_replicates_are_rounded_once_and_means_on_their_finer_grid(lab, good):
    """Answers in steps of 25: rounding makes their error, and is not added as noise as well."""
    rng = np.random.default_rng(0)
    score = {"range": [0.0, 4.0], "step": 1.0}
    assert as_answered(score, np.array([30.0, 30.0]), np.array([1, 2])).tolist() == [25.0, 25.0]
    assert as_answered(score, np.array([38.0, 38.0]), np.array([1, 2])).tolist() == [50.0, 37.5]
    coarse = Score(range=(0, 4), better="higher", step=1)
    planned = datasets.design_study(clinicians=40, surveys=30, scores={"mood": coarse}, seed=2)
    model = CapacityModel()
    design, _, _ = build_design(model, planned)
    point = draw_parameters(parameter_table(model, planned, design), coordinates(planned, design), {
        "level": 50.0, "half_life": 2.0, "total_sd": 12.0, "variance_shares": [0.2, 0.7, 0.1], "rate_sd": 0.0, "spread_sd": 0.0,
        "start_shift": 0.0, "start_sd_ratio": 1.0}, rng)  # fmt: skip
    arguments = levers(point, design, model, np).arguments
    made = [new_answers(design, planned, arguments, np.zeros(40), rng)[1] for _ in range(20)]
    # by hand: process and error of a single answer, then rounding
    true = 50 + 12 * np.sqrt(0.8) * rng.standard_normal(200_000)
    assert np.std(made) == pytest.approx(np.clip(np.round(true / 25) * 25, 0, 100).std(), rel=0.02)


def test_who_entered_late_and_stayed_has_not_left():
    rows = [(f"c{i:02d}", week + 2 * i, 5) for i in range(12) for week in range(6 if i != 4 else 2)]
    study = Study.from_table(
        pd.DataFrame(rows, columns=["id", "week", "joy"]), clinician="id", time="week", time_unit="week",
        scores={"joy": Score(range=(0, 10), better="higher", step=1)},
    )  # fmt: skip
    assert np.flatnonzero(left_early(study)[0]).tolist() == [4]


def test_a_band_of_paths_holds_as_many_as_it_says():
    rng = np.random.default_rng(0)
    paths = rng.normal(size=(4000, 30)).cumsum(axis=1)
    low, high = simultaneous_band(paths, 0.9)
    fresh = rng.normal(size=(4000, 30)).cumsum(axis=1)
    inside = ((fresh >= low) & (fresh <= high)).all(axis=1).mean()
    assert inside == pytest.approx(0.9, abs=0.02)


def test_pairs_by_lag_are_those_of_a_double_loop():
    rng = np.random.default_rng(1)
    who = np.repeat(np.arange(5), 9)
    time = np.concatenate([np.sort(rng.uniform(0, 10, 9)) for _ in range(5)])
    for lag, (first, second) in lagged_pairs(who, time, 1.0):
        centre = float(lag)
        expected = {
            (a, b) for a in range(45) for b in range(45)
            if who[a] == who[b] and centre / np.sqrt(2) <= time[b] - time[a] < centre * np.sqrt(2)
        }  # fmt: skip
        assert set(zip(first.tolist(), second.tolist(), strict=True)) == expected
