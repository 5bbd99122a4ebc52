"""Secular time: its columns, where it acts, and which design brings which."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytensor
import pytest
from pytensor.compile.mode import Mode
from scipy.integrate import quad
from scipy.interpolate import CubicSpline, make_interp_spline

from equipoise import CapacityModel, datasets
from equipoise.models.builder import build_model
from equipoise.models.design import build_design
from equipoise.models.levers import levers
from equipoise.models.likelihood.filter import log_likelihood
from equipoise.models.parameters import coordinates, draw_parameters, parameter_table
from equipoise.models.secular import KINDS, KNOTS, STEPS, secular_effect, secular_time

AS_IT_IS = Mode(linker="py", optimizer=None)


@pytest.fixture(scope="module")
def study():
    return datasets.design_study(clinicians=6, surveys=9, units=3, interventions={"course": "parallel"})


def point(model, study, given=None):
    design, _, _ = build_design(model, study)
    table = parameter_table(model, study, design)
    return design, draw_parameters(table, coordinates(study, design), given, np.random.default_rng(1))


def test_a_line_is_centred_and_spans_one(study):
    found = secular_time(study, "linear", 0)
    middle = (np.arange(STEPS) + 0.5) / STEPS
    np.testing.assert_allclose(found.basis[:, 0], middle - 0.5)
    np.testing.assert_allclose(found.edges, np.linspace(0, 8, STEPS + 1))
    assert (found.parameter, found.dim) == ("drift", "")


def test_a_spline_is_the_natural_one_through_its_knots(study):
    found = secular_time(study, "spline", 0)
    at_knots = np.array([0.3, -0.2, 0.1, 0.4])
    curve = CubicSpline(np.linspace(0, 8, KNOTS), at_knots, bc_type="natural")
    middle = (np.arange(STEPS) + 0.5) * 8 / STEPS
    expected = curve(middle)
    np.testing.assert_allclose(found.basis @ at_knots, expected - expected.mean(), atol=1e-12)
    np.testing.assert_allclose(found.basis @ np.ones(KNOTS), 0, atol=1e-12)


@pytest.mark.parametrize("kind, periods", [("none", 4), ("periods", 1), ("periods", 0)])
def test_no_secular_time(study, kind, periods):
    assert secular_time(study, kind, periods).n_columns == 0


def test_one_time_for_all_has_no_secular_time():
    once = datasets.design_study(clinicians=4, surveys=2)
    once = once.__class__(**(vars(once) | {"occasions": once.occasions.assign(time=0.0)}))
    assert secular_time(once, "linear", 0).kind == "none"


@pytest.mark.parametrize("lever", ["replenishment", "depletion"])
def test_the_level_moves_by_the_lever_that_is_stated(study, lever):
    model = CapacityModel(secular="linear", secular_lever=lever, varying="none")
    design, p = point(model, study, {"drift": 0.32})
    _, still = point(model, study, {"drift": 0.0})
    moved, unmoved = levers(p, design, model, np), levers(still, design, model, np)
    apart = (moved.shift - unmoved.shift)[:, :2]
    in_period = design.epoch_columns[:, -1]
    np.testing.assert_allclose(apart[:, 0], 0.32 * in_period, atol=1e-12)
    np.testing.assert_allclose(apart[:, 1], 0 if lever == "replenishment" else -0.32 * in_period, atol=1e-12)
    # log alpha = log C* + log beta: by depletion, alpha stays
    assert np.ptp(apart.sum(axis=1)) < 1e-12 or lever == "replenishment"
    # the first and the last step lie half a step inside the study
    assert in_period.max() == pytest.approx(0.5 - 0.5 / STEPS) and in_period.min() == pytest.approx(-0.5 + 0.5 / STEPS)


@pytest.mark.parametrize(
    "roll_out, options, kind",
    [
        ("stepped", {}, "periods"), ("parallel", {}, "linear"), ("alternating", {}, "none"),
        ("stepped", {"secular": "spline"}, "spline"), ("parallel", {"secular": "periods"}, "periods"),
        ("alternating", {"periods": 3}, "periods"), ("parallel", {"secular": "none"}, "none"),
    ],
)  # fmt: skip
def test_the_design_brings_it_unless_it_is_stated(roll_out, options, kind):
    study = datasets.design_study(clinicians=12, surveys=8, units=4, interventions={"course": roll_out})
    assert build_design(CapacityModel(**options), study)[0].secular.kind == kind


# --- the columns on any calendar ------------------------------------------------------------------------------------


def at(*times):
    """What secular time sees of a study: when it was surveyed."""
    return SimpleNamespace(occasions=pd.DataFrame({"time": [float(t) for t in times]}))


def middles(first, last, count):
    return [first + (last - first) * (j + 0.5) / count for j in range(count)]


def test_a_line_rises_by_its_coefficient_from_the_first_survey_to_the_last():
    secular = secular_time(at(13, 3, 27, 5), "linear", 4)
    np.testing.assert_allclose(secular.edges, [3 + 24 * j / STEPS for j in range(STEPS + 1)])
    effect = secular.basis @ secular_effect({"drift": np.array(0.3)}, secular, np)
    np.testing.assert_allclose(effect, [0.3 * (m - 15) / 24 for m in middles(3, 27, STEPS)], atol=1e-15)


def test_a_spline_that_begins_late_has_its_knots_there():
    """Against another implementation of the natural spline."""
    secular = secular_time(at(2, 20, 7), "spline", 4)
    knots = [2 + 18 * k / (KNOTS - 1) for k in range(KNOTS)]
    np.testing.assert_allclose(secular.labels, knots, atol=1e-6)
    for seed in range(3):
        heights = np.random.default_rng(seed).normal(size=KNOTS)
        spline = make_interp_spline(knots, heights, k=3, bc_type="natural")
        expected = np.array([float(spline(m)) for m in middles(2, 20, STEPS)])
        effect = secular.basis @ secular_effect({"knot_effect": heights}, secular, np)
        np.testing.assert_allclose(effect, expected - expected.mean(), atol=1e-12)


def test_a_spline_through_a_line_is_the_line():
    line, spline = (secular_time(at(0, 9), kind, 4) for kind in ("linear", "spline"))
    np.testing.assert_allclose(spline.basis @ [-0.1, 0.0, 0.1, 0.2], line.basis[:, 0] * 0.3, atol=1e-12)


def test_steps_are_as_good_as_the_smooth_curve():
    spline = secular_time(at(0, 30), "spline", 4)
    heights = np.array([0.1, -0.05, 0.08, 0.2])
    effect = spline.basis @ heights
    smooth = make_interp_spline(np.linspace(0, 30, KNOTS), heights, k=3, bc_type="natural")
    centre = quad(smooth, 0, 30)[0] / 30
    for j in range(0, STEPS, 4):
        low, high = spline.edges[[j, j + 4]]
        assert effect[j : j + 4].mean() == pytest.approx(quad(smooth, low, high)[0] / (high - low) - centre, abs=1e-3)


def test_free_periods_are_equal_in_length_and_centred():
    secular = secular_time(at(0, 12), "periods", 3)
    assert (secular.parameter, secular.dim, secular.labels) == ("period_effect", "period", (1, 2, 3))
    np.testing.assert_allclose(secular.edges, [0, 4, 8, 12])
    effect = secular.basis @ secular_effect({"period_effect": np.array([0.5, 0.2, -0.1])}, secular, np)
    np.testing.assert_allclose(effect, [0.3, 0.0, -0.3], atol=1e-15)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_the_average_over_the_study_is_nothing(kind):
    """So that C* is that of an average time, whatever is added to all periods or knots."""
    secular = secular_time(at(1, 4, 22), kind, 5)
    given = np.random.default_rng(1).normal(size=secular.n_columns)
    given = given[0] if kind == "linear" else given
    effect = secular.basis @ secular_effect({secular.parameter: given}, secular, np)
    assert effect.sum() == pytest.approx(0, abs=1e-12)
    if kind != "linear":
        moved = secular.basis @ secular_effect({secular.parameter: given + 3.0}, secular, np)
        np.testing.assert_allclose(moved, effect, atol=1e-12)


# --- in the model ---------------------------------------------------------------------------------------------------

GIVEN = {
    "linear": {"drift": 0.4},
    "spline": {"knot_effect": [0.3, -0.2, 0.1, 0.25]},
    "periods": {"period_effect": [0.2, -0.1, 0.3]},
}


def case(kind, lever, **options):
    made = datasets.design_study(
        clinicians=6, surveys=5, units=3, jitter=0.2, gap=1.7, covariates=("sleep",),
        interventions={"course": "stepped"},
    )  # fmt: skip
    made = made.with_scores(np.random.default_rng(0).uniform(20, 80, len(made.surveys)))
    periods = 3 if kind == "periods" else None
    stated = {"replenishment": "sleep", "secular": kind, "secular_lever": lever, "periods": periods, "varying": "none"}
    model = CapacityModel(**(stated | options))
    return model, made, *point(model, made, GIVEN[kind])


def calendar(kind, time, first, last):
    """The effect of calendar time on log C*, by its definition."""
    count = 3 if kind == "periods" else STEPS
    step = min(int((time - first) / (last - first) * count), count - 1)
    if kind == "periods":
        given = GIVEN[kind]["period_effect"]
        return given[step] - sum(given) / 3
    if kind == "linear":
        return 0.4 * ((step + 0.5) / count - 0.5)
    curve = make_interp_spline(np.linspace(first, last, KNOTS), GIVEN[kind]["knot_effect"], k=3, bc_type="natural")
    every = [float(curve(m)) for m in middles(first, last, count)]
    return every[step] - sum(every) / count


@pytest.mark.parametrize("lever", ["replenishment", "depletion"])
@pytest.mark.parametrize("kind", GIVEN)
def test_levers_of_every_step_follow_calendar_time(kind, lever):
    """C* moves by the same under both levers; under depletion alpha stays as it was, under replenishment beta."""
    model, made, design, p = case(kind, lever)
    without = {design.secular.parameter: np.zeros_like(p[design.secular.parameter])}
    out, still = levers(p, design, model, np), levers(p | without, design, model, np)
    level, rate, variance = (np.log(a / b) for a, b in zip(out.arguments[:3], still.arguments[:3], strict=True))
    time = made.occasions["time"].to_numpy()
    first, last = time.min(), time.max()
    layout, seen = design.layout, set()
    for i in range(6):
        begin, end = layout.step_offset[i], layout.step_offset[i + 1]
        mine = time[made.occasions["clinician"] == i]
        now = mine[0] - layout.step_gap[begin : begin + layout.step_prelude[i]].sum()
        for t in range(begin, end):
            length, k = layout.step_gap[t], layout.step_epoch[t]
            now += length
            if length == 0:
                continue
            # before a clinician's first survey calendar time is that of the survey
            effect = calendar(kind, max(now - length / 2, mine[0]), first, last)
            assert level[k] == pytest.approx(effect, abs=1e-12)
            assert rate[k] == pytest.approx(-effect if lever == "depletion" else 0, abs=1e-12)
            assert level[k] + rate[k] == pytest.approx(0 if lever == "depletion" else effect, abs=1e-12)  # alpha
            seen.add(round(effect, 9))
        assert level[design.epoch_start[i]] == pytest.approx(calendar(kind, mine[0], first, last), abs=1e-12)
    assert len(seen) > (2 if kind == "periods" else 10)
    # what is reported is that of the average time
    np.testing.assert_allclose(level[design.epoch_base], 0, atol=1e-15)
    np.testing.assert_allclose(rate[design.epoch_base], 0, atol=1e-15)
    np.testing.assert_allclose(variance, 0, atol=1e-15)
    np.testing.assert_allclose(out.capacity_unit, still.capacity_unit)
    np.testing.assert_allclose(out.beta_unit, still.beta_unit)


def test_with_one_sigma_for_all_a_drift_by_depletion_moves_the_spread():
    """sigma^2 = 2 beta omega^2 stays the same in every epoch."""
    model, _, design, p = case("linear", "depletion", spread="shared_sigma")
    _, rate, variance, *_ = levers(p, design, model, np).arguments
    np.testing.assert_allclose(rate * variance, rate[0] * variance[0], rtol=1e-12)
    assert np.ptp(variance) > 0.01 * variance.mean()


@pytest.mark.parametrize("lever", ["replenishment", "depletion"])
@pytest.mark.parametrize("kind", GIVEN)
def test_the_sampled_model_has_the_same_calendar_time(kind, lever):
    model, made, design, p = case(kind, lever)
    built = build_model(model, made)
    variables = list(built.free_RVs)
    assert {v.name for v in variables} == set(p) and design.secular.parameter in p
    function = pytensor.function(variables, built["log_likelihood"], mode=AS_IT_IS, on_unused_input="ignore")
    expected = log_likelihood(*design.data(), *levers(p, design, model, np).arguments)[0]
    np.testing.assert_allclose(function(**{v.name: p[v.name] for v in variables}), expected, rtol=1e-10)


def test_the_equations_say_which_lever_drifts(study):
    for lever, line in (("replenishment", "log alpha"), ("depletion", "log beta")):
        text = CapacityModel(secular="linear", secular_lever=lever).equations(study)
        [told] = [row for row in text.splitlines() if "drift (t" in row]
        assert line in told
    assert "drift" not in CapacityModel(secular="none", randomised=True).equations(study).split("Priors")[0]


# --- what designs ask for -------------------------------------------------------------------------------------------


def planned(roll_outs, clinicians=24, surveys=12, units=12):
    names = [f"p{k}" for k in range(len(roll_outs))]
    return datasets.design_study(
        clinicians=clinicians, surveys=surveys, units=units, interventions=dict(zip(names, roll_outs, strict=True))
    )


def resolved(made, **options):
    model = CapacityModel(**options)
    kind, periods = model.resolve_secular(made, model.study_designs(made))
    return (kind, periods) if kind == "periods" else kind


def test_the_dates_of_a_roll_out_set_the_number_of_periods():
    assert resolved(planned(["stepped"], units=3)) == ("periods", 4)  # three dates: four periods
    assert resolved(planned(["stepped"])) == ("periods", 6)  # at most six
    assert resolved(planned(["parallel"]), randomised=True) == "linear"
    assert resolved(planned([])) == "none"


def test_of_several_designs_the_one_that_asks_for_most_counts():
    assert resolved(planned(["stepped", "parallel"], units=3)) == ("periods", 4)
    assert resolved(planned(["stepped", "alternating"], units=3)) == ("periods", 4)


def test_a_stated_kind_or_number_of_periods_goes_before_the_design():
    stepped = planned(["stepped"], units=3)
    assert [resolved(stepped, secular=kind) for kind in ("linear", "spline", "none")] == ["linear", "spline", "none"]
    assert resolved(stepped, periods=0) == resolved(stepped, periods=1) == "none"
    assert resolved(stepped, periods=9) == resolved(stepped, secular="periods", periods=9) == ("periods", 9)
    assert resolved(stepped, secular="periods") == ("periods", 4)
    # no roll-out sets their number
    assert resolved(planned(["parallel"]), secular="periods") == ("periods", 4)
    assert resolved(planned([]), secular="periods") == ("periods", 4)
    assert resolved(planned([]), periods=3) == ("periods", 3)


@pytest.mark.parametrize("options", [{"secular": "none"}, {"periods": 0}, {"periods": 1}])
@pytest.mark.parametrize(("roll_out", "title"), [("stepped", "stepped-wedge"), ("parallel", "pre-post")])
def test_switching_calendar_time_off_against_the_design_is_warned_of(options, roll_out, title):
    made = planned([roll_out], units=3)
    model = CapacityModel(**options)
    [caution] = model.cautions(made)
    assert caution.startswith("No secular time although the design of p0 asks for it") and title in caution
    with pytest.warns(UserWarning, match="No secular time although"):
        model.build(made)


def test_another_calendar_time_and_designs_that_ask_for_none_are_not_warned_of():
    stepped = planned(["stepped"], units=3)
    for options in ({}, {"secular": "linear"}, {"secular": "spline"}, {"periods": 2}):
        assert CapacityModel(**options).cautions(stepped) == []
    assert CapacityModel(secular="none").cautions(planned(["alternating"], units=1)) == []
    assert CapacityModel(secular="none").cautions(planned([])) == []
