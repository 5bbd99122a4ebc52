"""Exposure shapes: what each one says, the accuracy of cells, and estimation of their parameters."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import solve_ivp

import equipoise as eq
from equipoise.datasets import Score, Study, UserError, design_study
from equipoise.models.course import Course
from equipoise.models.design import build_design
from equipoise.models.levers import exposure, levers
from equipoise.models.likelihood import smoother
from equipoise.models.shapes import FAR, SHAPES

LN2 = np.log(2)


def textbook(given, t, start, end, dose, p):
    """Exposure at times t, each shape written out by itself."""
    on = (t >= start) & (t < end)
    match given:
        case "pulse":
            return dose * on
        case "step":
            return dose * (t >= start)
        case "ramp":
            return dose * on * (1 - np.exp(-LN2 * (t - start) / p["onset"]))
        case "fade":
            return dose * np.where(on, 1.0, (t >= end) * np.exp(-LN2 * np.maximum(t - end, 0) / p["fade"]))
        case "fade_from_start":
            return dose * (t >= start) * np.exp(-LN2 * np.maximum(t - start, 0) / p["fade"])
        case "delay":
            return dose * ((t >= start + p["delay"]) & (t < end + p["delay"]))
        case "saturating":
            return on * dose / (dose + p["half_dose"]) * (1 + p["half_dose"])
        case ["ramp", "fade"]:
            reached = 1 - np.exp(-LN2 * (end - start) / p["onset"])
            after = reached * np.exp(-LN2 * np.maximum(t - end, 0) / p["fade"])
            return dose * np.where(on, 1 - np.exp(-LN2 * np.maximum(t - start, 0) / p["onset"]), (t >= end) * after)
        case ["delay", "ramp"]:
            return textbook("ramp", t, start + p["delay"], end + p["delay"], dose, p)
    raise AssertionError(given)


P = {"onset": 1.7, "fade": 2.3, "delay": 0.9, "half_dose": 0.4}
GIVEN = [*SHAPES, ["ramp", "fade"], ["delay", "ramp"]]


def test_every_shape_is_tested():
    assert {name for name in GIVEN if isinstance(name, str)} == set(SHAPES)


@pytest.mark.parametrize("given", GIVEN, ids=str)
@pytest.mark.parametrize("end", [6.0, FAR])
def test_average_exposure_is_the_integral_of_the_textbook_s(given, end):
    course = Course.of(given)
    edges = np.array([0.0, 1.5, 2.0, 2.1, 2.9, 3.4, 5.0, 6.0, 6.9, 7.5, 9.0])  # cells before, at and after the spell
    mean = course.mean(edges[:-1], edges[1:], 2.0, end, 0.6, 0.0, P, np)
    for low, high, value in zip(edges[:-1], edges[1:], mean, strict=True):
        t = np.linspace(low, high, 20_001)
        middle = (t[1:] + t[:-1]) / 2
        expected = textbook(given, middle, 2.0, end, 0.6, P).mean()
        assert value == pytest.approx(expected, abs=2e-4), (low, high)


def one_clinician(weeks, spells, score_range=(0, 100)):
    frame = pd.DataFrame({"id": "a", "week": np.asarray(weeks, float), "joy": 50})
    return Study.from_table(
        frame,
        clinician="id",
        time="week",
        time_unit="week",
        scores={"joy": Score(range=score_range, better="higher")},
        spells=pd.DataFrame(spells, columns=["clinician", "intervention", "start", "end", "dose"]),
    )


@pytest.mark.parametrize("weeks", [np.arange(0, 27, 1.0), [0, 4, 13, 26]], ids=len)
@pytest.mark.parametrize(("half_life", "slow"), [(0.5, 0.3), (3.0, 0.3), (3.0, 1.0), (0.5, 6.0), (20.0, 6.0)])
@pytest.mark.parametrize("given", [g for g in GIVEN if g not in ("pulse", "saturating")], ids=str)
@pytest.mark.parametrize("fixed", [True, False], ids=["fixed", "estimated"])
def test_the_mean_path_follows_the_equation(weeks, half_life, given, fixed, slow):
    """Relative error below 1e-3 against an adaptive solution of dC/dt = alpha(t) - beta(t) C."""
    p = {name: slow * value for name, value in P.items()}
    names = Course.of(given).parameters
    held = {name: p[name] for name in names}
    model = eq.CapacityModel(
        exposures={"course": {"shape": given, "fixed": held if fixed else {}}}, selection=False, randomised=True
    )
    study = one_clinician(weeks, [("a", "course", 2.0, 9.0, 1.0)])
    change, speed = 0.25, 0.2
    values = {
        "level": 50.0, "half_life": half_life, "level_change": [change], "speed_up": [speed], "spread_change": [0.0],
        "start_shift": -5.0, "rate_z": [0.0],
    } | ({} if fixed else {name: [p[name]] for name in names})  # fmt: skip
    design, _, _ = build_design(model, study)
    new = eq.simulate(model, study, values, seed=0, rounded=False)
    lever = levers(new.parameters, design, model, np)
    level, rate, shift = lever.arguments[0], lever.arguments[1], lever.rest[2]
    offset, prelude, gap, epoch, survey, base, *_, anchor = design.data()
    path = smoother.expected_path(offset, prelude, gap, epoch, base, anchor, level, rate, shift, np.zeros(1))
    got = path[survey >= 0]

    def slope(t, c):
        x = float(textbook(given, np.array(t), 2.0, 9.0, 1.0, p))
        beta = LN2 / half_life * np.exp((speed - change / 2) * x)
        return beta * (50.0 * np.exp(change * x) - c)

    delay = p["delay"] if "delay" in names else 0.0
    breaks = sorted({0.0, 2.0 + delay, 9.0 + delay, 26.0} - ({9.0 + delay} if 9 + delay > 26 else set()))
    expected, c = {0.0: 45.0}, 45.0
    for low, high in itertools.pairwise(breaks):
        inside = [float(t) for t in weeks if low < t <= high]
        run = solve_ivp(
            slope, (low, high - 1e-12), [c], method="LSODA", dense_output=True, rtol=1e-9, atol=1e-9, max_step=0.5
        )
        expected |= {t: run.sol(t)[0] for t in inside}
        c = run.y[0, -1]
    np.testing.assert_allclose(got, [expected[float(t)] for t in weeks], rtol=1e-3)


def test_without_shapes_nothing_changes():
    study = design_study(clinicians=6, surveys=6, units=2, interventions={"course": "stepped"})
    plain, _, _ = build_design(eq.CapacityModel(), study)
    same, _, _ = build_design(eq.CapacityModel(exposures={"course": "pulse"}), study)
    assert eq.CapacityModel(exposures={"course": "pulse"}) == eq.CapacityModel()
    np.testing.assert_array_equal(plain.epoch_columns, same.epoch_columns)
    assert plain.cells == ()


def test_two_courses_after_another_never_add_up_to_more_than_one():
    study = one_clinician(range(12), [("a", "course", 1.0, 3.0, 1.0), ("a", "course", 5.0, 7.0, 1.0)])
    design, _, _ = build_design(eq.CapacityModel(exposures={"course": {"shape": "fade", "fixed": {"fade": 3}}}), study)
    x = exposure({}, design, design.cells[0], 0.0, np)
    assert x.max() == 1 and x.min() == 0 and ((x > 0.2) & (x < 0.9)).any()


def test_gradients_of_estimated_parameters():
    shapes = {"a": ["delay", "ramp"], "b": "fade", "c": "fade_from_start", "d": "saturating"}
    study = design_study(clinicians=4, surveys=8, units=2, interventions=dict.fromkeys(shapes, "alternating"))
    study = eq.simulate(eq.CapacityModel(), study, seed=3).study
    study = replace(study, spells=study.spells.assign(dose=0.7))
    model = eq.CapacityModel(exposures=shapes).build(study)
    point = model.initial_point()
    rng = np.random.default_rng(0)
    point = {k: v + 0.2 * rng.standard_normal(np.shape(v)) for k, v in point.items()}
    logp, gradient = model.compile_logp(), model.compile_dlogp()
    sizes = np.cumsum([np.size(v) for v in point.values()])[:-1]
    exact = dict(zip(point, np.split(gradient(point), sizes), strict=True))
    for name, size in {"delay_log__": 1, "onset_log__": 1, "fade_log__": 2, "half_dose_log__": 1}.items():
        assert point[name].size == size
        for j in range(size):
            differences = []
            for h in (2e-3, 1e-3):
                step = h * np.eye(size)[j]
                differences.append((logp(point | {name: point[name] + step}) - logp(point | {name: point[name] - step})) / (2 * h))
            expected = (4 * differences[1] - differences[0]) / 3
            assert exact[name][j] == pytest.approx(expected, rel=1e-4, abs=1e-6), name


def test_the_description_keeps_shapes():
    model = eq.CapacityModel(exposures={"course": {"shape": ["delay", "ramp"], "fixed": {"delay": 1}}})
    assert eq.CapacityModel.from_dict(model.to_dict()) == model
    course = model.exposures["course"]
    assert course.estimated == ("onset",) and dict(course.fixed) == {"delay": 1.0}
    text = model.equations(design_study(clinicians=4, surveys=4, interventions={"course": "parallel"}))
    assert "onset" in text and "half-time" in text and "delay = 1" in text


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("rampp", "Did you mean 'ramp'"),
        ([], "name of a shape"),
        (["ramp", "ramp"], "more than once"),
        (["step", "fade"], "different things"),
        ({"shape": "ramp", "fixed": {"onset": 0}}, "positive number"),
        ({"shape": "ramp", "fixed": {"onset": float("inf")}}, "positive number"),
        ({"shape": "ramp", "fixed": {"fade": 1.0}}, "no parameter 'fade'"),
        ({"shape": "step", "fixed": {"onset": 1.0}}, "has no parameters"),
        ({"shape": "ramp", "fixed": 2.0}, "fixed must name"),
        ({"shape": "ramp", "fix": {}}, "Did you mean 'fixed'"),
    ],
)
def test_impossible_shapes_are_refused(given, says):
    with pytest.raises(UserError, match=says):
        eq.CapacityModel(exposures={"course": given})


def test_a_shape_for_an_unknown_intervention():
    study = design_study(clinicians=4, surveys=4, interventions={"course": "parallel"})
    with pytest.raises(UserError, match="Did you mean 'course'"):
        eq.CapacityModel(exposures={"cuorse": "ramp"}).build(study)
