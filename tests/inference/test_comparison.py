"""Comparisons: leave-one-out against the exact answer of a conjugate model, stacking by search, and what is not comparable."""

import warnings
from types import SimpleNamespace

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import norm

from equipoise import CapacityModel
from equipoise.datasets import UserError
from equipoise.inference.comparison import compare, side_by_side
from equipoise.inference.leave_one_out import COLUMNS, is_small, leave_one_out

SCORE = {"range": [0, 100], "better": "higher"}
SDS = {"narrow": 4.0, "right": 5.5, "wide": 9.0}
PEOPLE, TIMES = 15, 8
ANSWERS = 60 + 4 * np.random.default_rng(7).standard_t(4, PEOPLE * TIMES)


class Conjugate:
    """Answers ~ Normal(mu, sd) with mu ~ Normal(50, 20): posterior and leave-one-out predictive densities are known."""

    def __init__(self, sd: float, answers=ANSWERS):
        self.sd, self.answers = sd, np.asarray(answers, float)

    def posterior(self, answers) -> tuple[float, float]:
        precision = 1 / 400 + answers.size / self.sd**2
        return (50 / 400 + answers.sum() / self.sd**2) / precision, precision**-0.5

    def log_likelihood(self, draws: int, seed: int) -> np.ndarray:
        centre, spread = self.posterior(self.answers)
        mu = centre + spread * np.random.default_rng(seed).standard_normal((4, draws, 1))
        return norm.logpdf(self.answers, mu, self.sd)

    def exact(self) -> np.ndarray:
        """Log predictive density of each answer given the others."""
        others = [self.posterior(np.delete(self.answers, i)) for i in range(self.answers.size)]
        return np.array([norm.logpdf(y, m, np.hypot(self.sd, s)) for y, (m, s) in zip(self.answers, others, strict=True)])


def a_fit(log_likelihood, answers=ANSWERS, people=PEOPLE, time_unit="week", order=None, all_draws=None, first=0.0, score="joy"):
    """A stand-in with what comparisons look at; ``order`` shuffles the rows, ``first`` is the time of the first survey."""
    times = answers.size // people
    order = np.arange(answers.size) if order is None else order
    clinician, time = (v.ravel() for v in np.meshgrid(np.arange(people), first + np.arange(times), indexing="ij"))
    draws = np.arange(log_likelihood.shape[1])
    chains = {"chain": np.arange(log_likelihood.shape[0]), "draw": draws}
    names = [f"c{i:02d}" for i in range(people)]
    by_clinician = log_likelihood.reshape(*log_likelihood.shape[:2], people, times).sum(axis=3)
    dims = ("chain", "draw")
    tree = {
        "posterior": xr.Dataset(
            {"level": (dims, np.zeros((log_likelihood.shape[0], all_draws or draws.size)))}, coords={"clinician": names}
        ),
        "constant_data": xr.Dataset({
            "survey_clinician": ("survey", clinician[order]), "survey_time": ("survey", time[order]),
            "survey_indicator": ("survey", np.zeros(order.size, int)), "survey_repeats": ("survey", np.ones(order.size, int)),
        }),
        "observed_data": xr.Dataset({"scores": ("survey", answers[order])}),
        "log_likelihood_survey": xr.Dataset(
            {"scores": ((*dims, "survey"), log_likelihood[..., order])}, coords=chains | {"survey": np.arange(order.size)}
        ),
        "log_likelihood": xr.Dataset(
            {"scores": ((*dims, "clinician"), by_clinician)}, coords=chains | {"clinician": names}
        ),
    }  # fmt: skip
    study = {"time_unit": time_unit, "scores": {score: SCORE}, "interventions": []}
    return SimpleNamespace(tree=xr.DataTree.from_dict(tree), facts={"study": study})


def fits(draws=1000, **sds):
    return {name: a_fit(Conjugate(sd).log_likelihood(draws, seed)) for seed, (name, sd) in enumerate(sds.items())}


def by_survey(table):
    return table[table["unit_left_out"] == "survey"].set_index("analysis")


# --- leave-one-out --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def conjugate():
    return leave_one_out(fits(**SDS))


def test_leave_one_out_is_that_of_the_conjugate_model(conjugate):
    table, notes = conjugate
    assert tuple(table.columns) == COLUMNS and notes == []
    rows = by_survey(table)
    exact = {name: Conjugate(sd).exact() for name, sd in SDS.items()}
    best = max(exact, key=lambda name: exact[name].sum())
    assert list(rows["rank"]) == [1, 2, 3] and rows.index[0] == best
    for name, values in exact.items():
        apart = values - exact[best]
        assert rows.loc[name, "elpd"] == pytest.approx(values.sum(), abs=0.05)
        assert rows.loc[name, "se"] == pytest.approx(np.sqrt(values.size * values.var()), rel=0.01)
        assert rows.loc[name, "elpd_diff"] == pytest.approx(apart.sum(), abs=0.05)
        assert rows.loc[name, "se_diff"] == pytest.approx(np.sqrt(values.size * apart.var()), rel=0.01, abs=1e-12)
        centre, spread = Conjugate(SDS[name]).posterior(ANSWERS)
        seen = norm.logpdf(ANSWERS, centre, np.hypot(SDS[name], spread)).sum()
        assert rows.loc[name, "p_loo"] == pytest.approx(seen - values.sum(), abs=0.05)
    assert set(rows["n_left_out"]) == {ANSWERS.size} and set(rows["draws"]) == {4000} and set(rows["n_high_k"]) == {0}
    assert set(table["n_left_out"][table["unit_left_out"] == "clinician"]) == {PEOPLE}


def test_stacking_weights_are_those_that_predict_best():
    """By search over all weights of two models whose mixture is better than either."""
    table, _ = leave_one_out(fits(narrow=2.5, wide=9.0))
    rows = by_survey(table)
    narrow, wide = (np.exp(Conjugate(sd).exact()) for sd in (2.5, 9.0))
    shares = np.linspace(0, 1, 2001)
    score = np.log(np.outer(shares, narrow) + np.outer(1 - shares, wide)).sum(axis=1)
    found = shares[score.argmax()]
    assert 0.1 < found < 0.9
    assert rows.loc["narrow", "weight"] == pytest.approx(found, abs=0.01)
    for _, each in table.groupby("unit_left_out"):
        assert each["weight"].sum() == pytest.approx(1) and (each["weight"] >= 0).all()


def test_it_agrees_with_arviz():
    two = fits(narrow=4.0, wide=9.0)
    trees = {name: xr.DataTree.from_dict({
        "posterior": xr.Dataset({"x": (("chain", "draw"), np.random.default_rng(3).normal(size=(4, 1000)))}),
        "log_likelihood": fit.tree["log_likelihood_survey"].to_dataset(),
    }) for name, fit in two.items()}  # fmt: skip
    theirs, mine = az.compare(trees, round_to="none"), by_survey(leave_one_out(two)[0])
    assert list(theirs.index) == list(mine.index)
    names = {"dse": "se_diff", "p": "p_loo"}
    for one in ("elpd", "se", "elpd_diff", "dse", "weight", "p"):
        other = names.get(one, one)
        # the tail's length depends on the relative efficiency, which ArviZ takes from the posterior
        np.testing.assert_allclose(mine[other], theirs[one].astype(float), rtol=1e-3, atol=2e-3)


def test_a_row_that_never_moves_is_no_obstacle():
    values = Conjugate(5.0).log_likelihood(500, 1)
    values[..., 3] = -2.5
    tree = xr.DataTree.from_dict({"log_likelihood": a_fit(values).tree["log_likelihood_survey"].to_dataset()})
    with pytest.raises(ValueError, match="tail values are the same"):
        az.loo(tree, reff=1.0)
    still, moving = a_fit(values), a_fit(np.delete(values, 3, 2), np.delete(ANSWERS, 3), people=1)
    whole = by_survey(leave_one_out({"a": still, "b": still})[0])
    part = by_survey(leave_one_out({"a": moving, "b": moving})[0])
    assert whole.loc["a", "elpd"] == pytest.approx(part.loc["a", "elpd"] - 2.5, abs=1e-3)
    np.testing.assert_allclose(whole["weight"], 0.5)


def test_rows_are_matched_by_what_they_are_and_not_by_where_they_stand():
    one, other = (Conjugate(sd).log_likelihood(500, 1) for sd in (4.0, 9.0))
    order = np.random.default_rng(2).permutation(ANSWERS.size)
    straight = leave_one_out({"a": a_fit(one), "b": a_fit(other)})
    shuffled = leave_one_out({"a": a_fit(one), "b": a_fit(other, order=order, first=40.0)})
    pd.testing.assert_frame_equal(straight[0], shuffled[0])
    assert shuffled[1] == []


def test_surveys_without_an_answer_and_clinicians_without_any_do_not_count():
    values, missing = Conjugate(5.0).log_likelihood(300, 1), np.zeros(ANSWERS.size, bool)
    missing[:TIMES] = missing[20] = True  # the first clinician never answered
    fit = a_fit(np.where(missing, 0.0, values), np.where(missing, np.nan, ANSWERS))
    table, _ = leave_one_out({"a": fit, "b": fit})
    assert dict(zip(table["unit_left_out"], table["n_left_out"], strict=True)) == {
        "survey": (~missing).sum(), "clinician": PEOPLE - 1,
    }  # fmt: skip


def test_influential_answers_are_counted_and_told():
    answers = ANSWERS.copy()
    answers[5] = 160.0
    values = Conjugate(1.0, answers).log_likelihood(500, 1)
    values[..., 5] = np.random.default_rng(1).standard_t(1, values.shape[:2])  # the weights' tail is as heavy as can be
    table, notes = leave_one_out({"a": a_fit(values, answers), "b": a_fit(values, answers)})
    assert (by_survey(table)["n_high_k"] == 1).all()
    assert f"Pareto k is above 0.7 for 1 of {answers.size} with a" in notes[0]


# --- what cannot be compared ----------------------------------------------------------------------------------------


def changed(**what):
    values = Conjugate(5.0).log_likelihood(300, 2)
    answers = what.pop("answers", ANSWERS)
    return a_fit(values[..., : answers.size], answers, **what)


@pytest.mark.parametrize(
    "other, says",
    [
        (lambda: changed(answers=ANSWERS + 1), f"other values of {ANSWERS.size} answers"),
        (lambda: changed(answers=np.where(np.arange(ANSWERS.size) == 4, np.nan, ANSWERS)), "119 answers, not 120"),
        (lambda: changed(answers=ANSWERS[: 14 * TIMES], people=14), "other clinicians (14, not 15)"),
        (lambda: changed(time_unit="day"), "at other times"),
        (lambda: changed(score="stress"), "other scores (stress, not joy)"),
    ],
)
def test_other_answers_are_not_compared(other, says):
    table, notes = leave_one_out({"main": changed(), "other": other()})
    assert table.empty and tuple(table.columns) == COLUMNS
    assert len(notes) == 1 and "only for the same answers" in notes[0] and says in notes[0]


def test_those_with_the_same_answers_are_compared_and_the_rest_is_named():
    table, notes = leave_one_out({"odd": changed(answers=ANSWERS + 1), "a": changed(), "b": changed()})
    assert set(table["analysis"]) == {"a", "b"}
    assert len(notes) == 1 and "against a, odd holds other values" in notes[0]


def test_the_same_times_in_another_unit_are_the_same_times():
    daily = changed(time_unit="day")
    daily.tree["constant_data"]["survey_time"] = daily.tree["constant_data"]["survey_time"] * 7
    assert len(leave_one_out({"a": changed(), "b": daily})[0]) == 4


def test_thinned_and_too_few_draws_are_told():
    values = Conjugate(5.0).log_likelihood(300, 2)
    _, notes = leave_one_out({"a": a_fit(values, all_draws=1200), "b": a_fit(values)})
    assert notes == ["Leaving out surveys, only some draws of each chain are used, evenly spaced: 300 of 1200 with a."]
    table, notes = leave_one_out({"a": a_fit(values[:, :10]), "b": a_fit(values)})
    assert table.empty and all("with a: it has 40 draws, and 100 are needed" in note for note in notes)


@pytest.mark.parametrize(
    "difference, se, small", [(-3.9, 0.1, True), (-5, 3, True), (-6.1, 3, False), (0, 0, True), (np.nan, 1, True)]
)
def test_what_is_no_reason_to_prefer_a_model(difference, se, small):
    assert is_small(difference, se) is small


# --- the same estimands ---------------------------------------------------------------------------------------------


def a_programme(time_unit="week", score=None, clinicians=("a", "b"), name="mindfulness"):
    """A stand-in whose estimands say what was asked of it."""
    seen = {}

    def estimands(prob, **asked):
        seen.update(asked)
        rows = [(g, e) for g in ("all clinicians", "ward 1") for e in ("ratio_alpha", "capacity_change", "half_life_change", "area")]
        return pd.DataFrame({
            "option": name, "against": "no programme", "group": [g for g, _ in rows], "estimand": [e for _, e in rows],
            "unit": "time units", "median": 1.0,
        })  # fmt: skip

    tree = xr.DataTree.from_dict({
        "posterior": xr.Dataset(coords={"clinician": list(clinicians)}),
        "constant_data": xr.Dataset({"unit_name": ("unit", ["u"]), "clinician_unit": ("clinician", [0] * len(clinicians))}),
    })  # fmt: skip
    study = {"time_unit": time_unit, "scores": {"joy": score or SCORE}, "interventions": [name], "covariates": []}
    return SimpleNamespace(tree=tree, model=CapacityModel(), facts={"study": study}, estimands=estimands, seen=seen)


def comparable(table):
    return set(table["estimand"][table["comparable"]])


def test_estimands_are_stacked_for_everyone_and_programmes_may_differ():
    two = {"main": a_programme(), "other": a_programme(name="coaching")}
    asked = {"main": {"horizon": 26, "by": ["unit"], "show": ["area"]}, "other": {"horizon": 26}}
    table, notes = side_by_side(two, asked, 0.89)
    assert notes == [] and table.columns[0] == "analysis"
    assert set(table["group"]) == {"all clinicians"} and table["comparable"].all() and set(table["unit"]) == {"weeks"}
    assert set(zip(table["analysis"], table["option"], strict=True)) == {("main", "mindfulness"), ("other", "coaching")}
    # groups are not compared, and what the forest shows is always there
    assert "by" not in two["main"].seen and set(two["main"].seen["show"]) == {"area", "capacity_change", "ratio_alpha", "ratio_beta"}


def test_another_horizon_is_told_and_not_set_side_by_side():
    two = {"main": a_programme(), "other": a_programme()}
    table, notes = side_by_side(two, {"main": {"horizon": 26}, "other": {"horizon": 52}}, 0.89)
    assert comparable(table) == {"ratio_alpha", "capacity_change", "half_life_change"} and len(table) == 8
    assert len(notes) == 1 and "The horizon differs (26 weeks in main; 52 weeks in other)" in notes[0]
    table, notes = side_by_side(two, {"main": {"horizon": 26}}, 0.89)
    assert "area" not in comparable(table) and "none in other" in notes[0]


def test_a_horizon_in_another_unit_may_be_the_same():
    table, notes = side_by_side(
        {"main": a_programme(), "other": a_programme("day")}, {"main": {"horizon": 2}, "other": {"horizon": 14}}, 0.89
    )
    assert len(notes) == 1 and "The time unit differs" in notes[0]
    assert comparable(table) == {"ratio_alpha", "capacity_change"}
    assert set(table["unit"]) == {"weeks", "days"}


def test_thresholds_count_on_the_common_scale():
    score = {"range": [0, 10], "better": "lower"}
    two = {"main": a_programme(score=score), "other": a_programme(score=score)}
    same = {"main": {"threshold": 40.0}, "other": {"threshold": 6.0, "points": "score"}}
    assert side_by_side(two, same, 0.89)[1] == []
    _, notes = side_by_side(two, {"main": {"threshold": 40.0}, "other": {"threshold": 50.0}}, 0.89)
    assert "The threshold differs (C* of 40 in main; C* of 50 in other)" in notes[0]


def test_other_people_and_studies_without_programmes_are_told():
    _, notes = side_by_side({"main": a_programme(), "other": a_programme(clinicians=("c", "d"))}, {}, 0.89)
    assert "The clinicians differ" in notes[0]
    table, notes = side_by_side({"main": changed(), "other": changed()}, {}, 0.89)
    assert table.empty and "main, other" in notes[0]


def test_a_comparison_needs_two():
    with pytest.raises(UserError, match="at least two"):
        compare({"main": changed()})


def test_no_warning_escapes():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        leave_one_out(fits(draws=300, a=3.0, b=3.5))
