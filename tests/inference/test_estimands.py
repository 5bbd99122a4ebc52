"""Estimands against their definitions, for each clinician and draw: closed forms, quad, root finding, solve_ivp."""

import importlib.util
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad, solve_ivp
from scipy.optimize import brentq

import equipoise as eq
from equipoise.datasets import Score, Study, UserError
from equipoise.inference import estimands as module
from equipoise.inference.estimands import ALL_ESTIMANDS, CONTRASTS, LEVELS, request
from equipoise.inference.options import ALL, TARGET

LN2 = np.log(2)
HORIZON, THRESHOLD = 9.0, 52.0
WARDS = {"a": "north", "b": "north", "c": "north", "d": "south", "e": "south", "f": "west"}
ROLES = dict(zip("abcdef", ["nurse", "physician", "nurse", "nurse", "physician", "nurse"], strict=True))
AGES = dict(zip("abcdef", [28.0, 35.0, 51.0, 44.0, 39.0, 62.0], strict=True))
STRESS = Score(range=(0, 10), better="lower", step=1)


def prior_fit(*arguments, **keywords):
    """A fit made of prior draws, as the tests of the reports make them."""
    spec = importlib.util.spec_from_file_location("fits", Path(__file__).parents[1] / "reports" / "conftest.py")
    fits = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fits)
    return fits.prior_fit(*arguments, **keywords)


def a_study(who="abcdef", wards=WARDS, score=STRESS, spells=True, programmes=("yoga", "rota")):
    """Clinicians of several wards who leave at different times; what they answered does not matter here."""
    last = {name: 5 + n % 3 for n, name in enumerate(who)}
    rows = [(name, t) for name in who for t in range(last[name])]
    frame = pd.DataFrame(rows, columns=["id", "week"])
    frame["stress"] = [score.range[0] + (3 * r) % 5 for r in range(len(frame))]
    frame["ward"], frame["role"], frame["age"] = (frame["id"].map(m) for m in (wards, ROLES, AGES))
    frame["sleep"] = 7 + np.sin(frame["week"])
    table = pd.DataFrame(
        [
            (name, p, 1.0 + k + n % 2, np.nan)
            for n, name in enumerate(who)
            for k, p in enumerate(programmes)
            if (n + k) % 3
        ],
        columns=["clinician", "intervention", "start", "end"],
    )
    return Study.from_table(
        frame, clinician="id", unit="ward", time="week", time_unit="week", holds="before", scores={"stress": score},
        covariates=["role", "age", "sleep"], spells=table if spells else None,
    )  # fmt: skip


MODELS = {
    "alike": eq.CapacityModel(interventions={"rota": "depletion"}, varying="none"),
    "varying": eq.CapacityModel(
        replenishment="yoga * age", depletion="yoga:age + rota:C(role)", interventions={"rota": "depletion"},
        varying="both",
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=MODELS)
def fit(request):
    return prior_fit(MODELS[request.param], a_study(), draws=8, known={"half_life": 4.0, "total_sd": 12.0})


@pytest.fixture(scope="module")
def varying():
    return prior_fit(MODELS["varying"], a_study(), draws=8, known={"half_life": 4.0, "total_sd": 12.0})


def numbers(fit, group="posterior"):
    """name -> draws x ..., as plain arrays in the order of the coordinates."""
    found = fit.tree[group].to_dataset()
    return {n: v.to_numpy().reshape(-1, *v.shape[2:]) for n, v in found.data_vars.items()}


def effects_by_hand(fit):
    """Programme -> changes of log C* and of log beta (draws x clinicians), from the sampled parameters alone."""
    p, who = numbers(fit), fit.tree["posterior"]["clinician"].to_numpy().tolist()
    assert fit.tree["posterior"]["intervention"].to_numpy().tolist() == ["rota", "yoga"]
    draws = len(p["level"])
    rota, yoga = (np.tile(p["level_change"][:, [k]], (1, len(who))) for k in (0, 1))
    speed = np.tile(p["speed_up"], (1, len(who)))  # of yoga, which has both levers
    if fit.model.varying == "both":
        names = fit.tree["posterior"]["moderation"].to_numpy().tolist()
        age, role = names.index("yoga:age"), names.index("rota:C(role)[T.physician]")
        ages = np.array([AGES[i] for i in who])
        ages = (ages - ages.mean()) / np.sqrt(((ages - ages.mean()) ** 2).mean())
        physician = np.array([float(ROLES[i] == "physician") for i in who]) - 2 / 6  # 0/1: centred, not scaled
        unit = [["north", "south", "west"].index(WARDS[i]) for i in who]
        for s in range(draws):
            for i in range(len(who)):
                rota[s, i] += p["moderation_level"][s, role] * physician[i]
                yoga[s, i] += p["moderation_level"][s, age] * ages[i]
                speed[s, i] += p["moderation_speed"][s, 0] * ages[i]
                for k, change in ((0, rota), (1, yoga)):
                    change[s, i] += p["effect_unit_sd"][s, k] * p["effect_unit_z"][s, k, unit[i]]
                    change[s, i] += p["effect_clinician_sd"][s, k] * p["effect_clinician_z"][s, k, i]
    return {"rota": (rota, -rota), "yoga": (yoga, speed - yoga / 2)}


def of_each_clinician(fit, option):
    """Estimands of one option for each draw and clinician, by their definitions."""
    p, state, effects = numbers(fit), numbers(fit, "individual")["state_last"], effects_by_hand(fit)
    found = {name: np.empty(p["capacity"].shape) for name in (
        "log_alpha", "log_beta", "capacity", "half_life", "time_to_90", "area", "capacity_at_horizon", "share_below",
    )}  # fmt: skip
    for s, i in np.ndindex(p["capacity"].shape):
        level = sum(effects[name][0][s, i] for name in option)
        rate = sum(effects[name][1][s, i] for name in option)
        beta = p["beta"][s, i] * np.exp(rate)
        alpha = p["alpha"][s, i] * np.exp(level + rate)
        star = alpha / beta

        def path(t, start=state[s, i], star=star, beta=beta):
            return star + (start - star) * np.exp(-beta * t)

        off = p["capacity"][s, i]
        found["log_alpha"][s, i], found["log_beta"][s, i] = np.log(alpha), np.log(beta)
        found["capacity"][s, i], found["half_life"][s, i] = star, LN2 / beta
        found["share_below"][s, i] = star < THRESHOLD
        found["capacity_at_horizon"][s, i] = path(HORIZON)
        found["area"][s, i] = quad(path, 0, HORIZON, epsabs=1e-10, epsrel=1e-10)[0]
        if option:

            def left(t, start=off, path=path, goal=off + 0.9 * (star - off)):
                return path(t, start) - goal

            found["time_to_90"][s, i] = brentq(left, 0, 100 / beta, xtol=1e-12)
    return found


def draws_by_hand(fit, option, against, weights):
    """Estimand -> draws, of one comparison and one way to average clinicians."""
    one, two = of_each_clinician(fit, option), of_each_clinician(fit, against)
    p = numbers(fit)

    def mean(values):
        return np.array([sum(w * v for w, v in zip(weights, row, strict=True)) for row in values])

    capacity = mean(one["capacity"]) - mean(two["capacity"])
    found = {
        "ratio_alpha": np.prod(np.exp(one["log_alpha"] - two["log_alpha"]) ** weights, axis=1),
        "ratio_beta": np.prod(np.exp(one["log_beta"] - two["log_beta"]) ** weights, axis=1),
        "capacity_change": capacity,
        "score_change": -capacity / 10,  # 0 to 10, lower is better
        "sd_change": capacity / np.sqrt(p["trait_sd"] ** 2 + p["process_sd"] ** 2 + p["error_sd_total"] ** 2),
        "half_life_change": mean(one["half_life"] - two["half_life"]),
        "area": mean(one["area"] - two["area"]),
        "horizon_change": mean(one["capacity_at_horizon"] - two["capacity_at_horizon"]),
        "share_below_change": mean(one["share_below"] - two["share_below"]),
    }
    if option and not against:
        found["time_to_90"] = mean(one["time_to_90"])
    return found


def check_row(row, draws, none, prob=0.89):
    expected = np.quantile(draws, [0.5, (1 - prob) / 2, (1 + prob) / 2])
    label = f"{row['option']} / {row['against']} / {row['group']} / {row['estimand']}"
    scale = max(np.abs(draws).max(), 1e-9)
    np.testing.assert_allclose(
        row[["median", "low", "high"]].astype(float), expected, rtol=0, atol=1e-8 * scale, err_msg=label
    )
    spread = [draws.mean(), draws.std(ddof=1)]
    np.testing.assert_allclose(row[["mean", "sd"]].astype(float), spread, rtol=0, atol=1e-8 * scale, err_msg=label)
    if none is None or spread[1] < 1e-12:
        assert np.isnan(row["p_positive"]), label
    else:
        assert row["p_positive"] == np.mean(draws > none), label


OPTIONS = {"no programme": (), "rota": ("rota",), "yoga": ("yoga",), "rota + yoga": ("rota", "yoga")}
GROUPS = {
    ALL: [1 / 6] * 6,
    "north": [1 / 3, 1 / 3, 1 / 3, 0, 0, 0],
    "south": [0, 0, 0, 0.5, 0.5, 0],
    "west": [0, 0, 0, 0, 0, 1],
    "role: nurse": [0.25, 0, 0.25, 0.25, 0, 0.25],
    "role: physician": [0, 0.5, 0, 0, 0.5, 0],
}


def test_every_contrast_and_level_is_what_it_is_defined_as(fit):
    table = fit.estimands(horizon=HORIZON, threshold=THRESHOLD, by=["unit", "role"])
    assert set(table["estimand"]) == set(ALL_ESTIMANDS)
    assert table["group"].drop_duplicates().tolist() == list(GROUPS)
    sizes = dict(zip(table["group"], table["clinicians"], strict=True))
    assert sizes == {ALL: 6, "north": 3, "south": 2, "west": 1, "role: nurse": 4, "role: physician": 2}
    expected = {}
    for option, against in (
        ("rota", "no programme"),
        ("yoga", "no programme"),
        ("rota + yoga", "no programme"),
        ("rota", "yoga"),
    ):
        for group, weights in GROUPS.items():
            draws = draws_by_hand(fit, OPTIONS[option], OPTIONS[against], np.array(weights))
            expected |= {(option, against, group, name): d for name, d in draws.items()}
    for option, members in OPTIONS.items():
        each = of_each_clinician(fit, members)
        expected |= {
            (option, "", group, name): each[name] @ np.array(weights)
            for group, weights in GROUPS.items()
            for name in LEVELS
        }
    seen = set()
    for _, row in table.iterrows():
        key = (row["option"], row["against"], row["group"], row["estimand"])
        check_row(row, expected[key], ALL_ESTIMANDS[row["estimand"]].none)
        assert row["unit"] == ALL_ESTIMANDS[row["estimand"]].unit and row["interval"] == 0.89
        seen.add(key)
    assert seen == set(expected) and len(table) == len(seen)


def test_geometric_means_of_ratios_are_not_plain_ones(varying):
    """Where effects differ the two are apart, and the table has the former."""
    row = varying.estimands(show="ratio_alpha", comparisons=[("yoga", "none")]).iloc[0]
    own = effects_by_hand(varying)["yoga"]
    ratios = np.exp(own[0] + own[1])
    assert np.ptp(ratios, axis=1).min() > 0.01
    assert row["mean"] == pytest.approx(np.exp(np.log(ratios).mean(axis=1)).mean(), rel=1e-10)
    assert abs(row["mean"] - ratios.mean()) > 1e-4


def test_the_change_of_capacity_is_that_of_the_table_of_interventions(fit):
    table = fit.estimands(show=["capacity_change", "score_change"], comparisons=[("rota", "none"), ("yoga", "none")])
    for name in ("capacity_change", "score_change"):
        draws = numbers(fit, "contrasts")[name]
        mine = table[table["estimand"] == name]
        for k, programme in enumerate(("rota", "yoga")):
            check_row(mine[mine["option"] == programme].iloc[0], draws[:, k], 0.0)


def test_a_target_population_weights_clinicians(fit):
    shares = {"nurse": 0.2, "physician": 0.8}
    table = fit.estimands(
        horizon=HORIZON, threshold=THRESHOLD, comparisons=[("yoga", "rota")], by="role",
        target={"column": "role", "shares": shares},
    )  # fmt: skip
    weights = np.array([0.05, 0.4, 0.05, 0.05, 0.4, 0.05])
    draws = draws_by_hand(fit, ("yoga",), ("rota",), weights)
    mine = table[(table["group"] == TARGET) & (table["against"] != "")]
    assert set(mine["estimand"]) == set(draws) and set(mine["clinicians"]) == {6}
    for _, row in mine.iterrows():
        check_row(row, draws[row["estimand"]], CONTRASTS[row["estimand"]].none)
    assert table["group"].drop_duplicates().tolist() == [TARGET, "role: nurse", "role: physician"]


def test_a_comparison_turned_around_has_the_other_sign(fit):
    asked = {"horizon": HORIZON, "threshold": THRESHOLD}
    one = fit.estimands(comparisons=[("rota + yoga", "rota")], **asked)
    other = fit.estimands(comparisons=[("rota", "yoga + rota")], **asked)
    one, other = (t[t["against"] != ""].set_index("estimand") for t in (one, other))
    assert "time_to_90" not in one.index
    for name in one.index:
        if name.startswith("ratio"):
            assert one.loc[name, "median"] == pytest.approx(1 / other.loc[name, "median"], rel=0.05)
        else:
            here, there = (t.loc[name, q].astype(float) for t, q in ((one, ["mean", "low"]), (other, ["mean", "high"])))
            np.testing.assert_allclose(here, -there, atol=1e-9)


def test_only_what_is_asked_for_is_shown(fit):
    assert fit.estimands(show="sd_change")["estimand"].unique().tolist() == ["sd_change"]
    several = fit.estimands(show=["area", "capacity", "ratio_beta"], horizon=3)
    assert several["estimand"].drop_duplicates().tolist() == ["ratio_beta", "area", "capacity"]
    without = fit.estimands()
    assert set(without["estimand"]) == {n for n, told in ALL_ESTIMANDS.items() if not told.needs}
    wider = fit.estimands(show="capacity_change", prob=0.99)
    narrower = fit.estimands(show="capacity_change", prob=0.5)
    assert (wider["low"] < narrower["low"]).all() and (wider["high"] > narrower["high"]).all()


def test_results_do_not_depend_on_how_draws_are_cut_into_blocks(fit, monkeypatch):
    asked = {"horizon": HORIZON, "threshold": THRESHOLD, "by": "unit"}
    whole = fit.estimands(**asked)
    monkeypatch.setattr(module, "BLOCK", 20)  # three draws of six clinicians
    told = ["option", "against", "group", "estimand", "median", "low", "high", "mean", "sd", "p_positive"]
    pd.testing.assert_frame_equal(fit.estimands(**asked)[told], whole[told], rtol=1e-12, atol=1e-12)


def test_a_threshold_in_the_score_s_points(fit):
    """A stress of 4.8 of 10 is a capacity of 52, and more stress is less capacity."""
    asked = {"show": ["share_below", "share_below_change"]}
    one = fit.estimands(threshold=52, **asked)
    pd.testing.assert_frame_equal(fit.estimands(threshold=4.8, points="score", **asked), one)
    higher = prior_fit(MODELS["alike"], a_study(score=Score(range=(10, 30), better="higher", step=1)), draws=8)
    one = higher.estimands(threshold=25, **asked)
    pd.testing.assert_frame_equal(higher.estimands(threshold=15, points="score", **asked), one)
    row = higher.estimands(show=["capacity_change", "score_change"], comparisons=[("rota", "none")])
    assert row["mean"].iloc[1] == pytest.approx(0.2 * row["mean"].iloc[0])


def test_saved_results_tell_the_same_without_the_study(tmp_path):
    exposures = {"yoga": ["delay", "ramp"], "rota": {"shape": "ramp", "fixed": {"onset": 2.0}}}
    fit = prior_fit(eq.CapacityModel(**MODELS["varying"].to_dict() | {"exposures": exposures}), a_study(), draws=4)
    asked = {
        "horizon": HORIZON, "threshold": 5.1, "points": "score", "by": ["unit", "role", "age"],
        "target": {"column": "role", "shares": {"nurse": 1, "physician": 3}},
    }  # fmt: skip
    before = fit.estimands(**asked)
    after = eq.load(fit.save(tmp_path / "posterior.nc"))
    with pytest.raises(UserError, match="without their study"):
        _ = after.study
    pd.testing.assert_frame_equal(after.estimands(**asked), before)


# --- exposure that has a shape --------------------------------------------------------------------------------------

ALONE = {"a": "north", "d": "south", "f": "west"}  # one clinician in each ward: groups show single clinicians
SHAPES = {
    "ramp": {"onset": 2.5},
    "fade_from_start": {"fade": 6.0},
    "delay": {"delay": 1.3},
    "saturating": {"half_dose": 0.4},
    ("delay", "ramp"): {"delay": 1.7, "onset": 0.8},
    "step": {},
}


def exposure(shape, t, p):
    """Exposure to a programme that begins at 0 and runs on, with dose 1."""
    match shape:
        case "ramp":
            return 1 - np.exp(-LN2 * t / p["onset"])
        case "fade_from_start":
            return np.exp(-LN2 * t / p["fade"])
        case "delay":
            return float(t >= p["delay"])
        case "saturating" | "step" | "pulse":
            return 1.0
        case ("delay", "ramp"):
            return 0.0 if t < p["delay"] else 1 - np.exp(-LN2 * (t - p["delay"]) / p["onset"])
    raise AssertionError(shape)


def solved(shapes, until, start, capacity, beta):
    """Capacity as a function of time, and its integral up to ``until``, under dC/dt = alpha(t) - beta(t) C.

    ``shapes``: shape, its parameters, change of log C* and of log beta of each programme of the option.
    """

    def slope(t, y):
        on = [exposure(shape, t, p) for shape, p, _, _ in shapes]
        rate = beta * np.exp(sum(x * s[3] for x, s in zip(on, shapes, strict=True)))
        alpha = rate * capacity * np.exp(sum(x * s[2] for x, s in zip(on, shapes, strict=True)))
        return alpha - rate * y[0], y[0]

    dates = [p["delay"] for _, p, _, _ in shapes if "delay" in p and p["delay"] < until]
    y, parts = [start, 0.0], []
    for low, high in pairwise(sorted({0.0, *dates, until})):
        run = solve_ivp(slope, (low, high - 1e-12), y, method="LSODA", rtol=1e-10, atol=1e-10, dense_output=True)
        y = run.y[:, -1]
        parts.append((high, run.sol))

    def path(t):
        return next(sol for high, sol in parts if t < high or high == until)(t)[0]

    return path, y[1]


def shaped_fit(shape, fixed, known=(), **model):
    p = SHAPES[shape]
    names = list(shape) if isinstance(shape, tuple) else shape
    description = eq.CapacityModel(
        exposures={"yoga": {"shape": names, "fixed": p if fixed else {}}}, varying="none", **model
    )
    study = a_study("adf", ALONE, programmes=("yoga", "rota"))
    given = {"half_life": 3.0, "level_change": [-0.2, 0.25], "speed_up": [0.3, 0.2]}
    if not fixed:
        given |= {name: [value] for name, value in p.items()}
    return prior_fit(description, study, draws=3, chains=1, known=given | dict(known))


def single_draws(table, estimand, option, group, against="no programme"):
    """The three draws in ascending order, from their median and an interval that holds them all."""
    rows = table[(table["estimand"] == estimand) & (table["option"] == option) & (table["against"] == against)]
    [row] = rows[rows["group"] == group].to_dict("records")
    return np.array([row["low"], row["median"], row["high"]])


@pytest.mark.parametrize(("shape", "fixed"), [(s, f) for s in SHAPES for f in (True, False) if f or SHAPES[s]], ids=str)
def test_shaped_exposure_follows_the_equation(shape, fixed):
    """Error below a thousandth of the effect, for each draw and clinician, alone and with another programme."""
    fit = shaped_fit(shape, fixed)
    pairs = [("yoga", "none"), ("yoga + rota", "none"), ("yoga + rota", "rota")]
    table = fit.estimands(horizon=HORIZON, by="unit", comparisons=pairs, prob=1 - 1e-9)
    p, state = numbers(fit), numbers(fit, "individual")["state_last"]
    theta = {name: (p["theta_alpha"][:, k], p["theta_beta"][:, k]) for k, name in enumerate(("rota", "yoga"))}
    change = {name: (alpha - beta, beta) for name, (alpha, beta) in theta.items()}
    of = {"yoga": (shape, SHAPES[shape]), "rota": ("pulse", {})}
    np.testing.assert_allclose(change["yoga"][0], 0.25)
    np.testing.assert_allclose(change["yoga"][1], 0.2 - 0.125)
    for i, group in enumerate(("north", "south", "west")):
        found = {}
        for option in ("", "yoga", "rota", "rota + yoga"):
            for s in range(3):
                names = option.split(" + ") if option else []
                parts = [(*of[name], change[name][0][s], change[name][1][s]) for name in names]
                path, area = solved(parts, HORIZON, state[s, i], p["capacity"][s, i], p["beta"][s, i])
                found.setdefault((option, "horizon_change"), []).append(path(HORIZON))
                found.setdefault((option, "area"), []).append(area)
        found = {key: np.array(values) for key, values in found.items()}
        for option, against in (("yoga", ""), ("rota + yoga", ""), ("rota + yoga", "rota")):
            for name in ("horizon_change", "area"):
                effect = np.sort(found[option, name] - found[against, name])
                got = single_draws(table, name, option, group, against or "no programme")
                # two programmes may cancel; what each does is then the measure
                scale = max(np.abs(found[n, name] - found["", name]).min() for n in ("yoga", "rota"))
                np.testing.assert_allclose(
                    got, effect, rtol=1e-3, atol=1e-3 * scale, err_msg=f"{option} {name} {group}"
                )


@pytest.mark.parametrize("fixed", [True, False], ids=["fixed", "estimated"])
@pytest.mark.parametrize("half_life", [0.4, 3.0, 20.0])
@pytest.mark.parametrize("shape", ["ramp", "delay", ("delay", "ramp"), "saturating"], ids=str)
def test_time_to_90_percent_is_where_the_path_passes_it(shape, fixed, half_life):
    fit = shaped_fit(shape, fixed, {"half_life": half_life, "rate_sd": 0.3})
    table = fit.estimands(show="time_to_90", by="unit", comparisons=[("yoga", "none"), ("rota", "none")], prob=1 - 1e-9)
    p = numbers(fit)
    for i, group in enumerate(("north", "south", "west")):
        expected = []
        for s in range(3):
            off, beta = p["capacity"][s, i], p["beta"][s, i]
            level, rate = p["theta_alpha"][s, 1] - p["theta_beta"][s, 1], p["theta_beta"][s, 1]
            longest = 12 * max(LN2 / beta, *SHAPES[shape].values())
            path, _ = solved([(shape, SHAPES[shape], level, rate)], longest, off, off, beta)
            goal = off + 0.9 * (off * np.exp(level) - off)
            expected.append(brentq(lambda t, path=path, goal=goal: path(t) - goal, 1e-9, longest * (1 - 1e-9)))
        np.testing.assert_allclose(single_draws(table, "time_to_90", "yoga", group), np.sort(expected), rtol=5e-3)
        plain = np.log(10) / (p["beta"][:, i] * np.exp(p["theta_beta"][:, 0]))
        np.testing.assert_allclose(single_draws(table, "time_to_90", "rota", group), np.sort(plain), rtol=1e-6)


def test_slow_clinicians_have_a_time_to_90_percent_too():
    """However far from the median clinician, and in every draw."""
    fit = shaped_fit("ramp", False, {"rate_sd": 1.5, "rate_z": [-4.0, 0.0, 2.0], "unit_rate_sd": 0.0})
    table = fit.estimands(show="time_to_90", comparisons=[("yoga", "none")], by="unit").set_index("group")
    slow = np.log(10) / (LN2 / 3.0 * np.exp(-6.0 + 0.2 - 0.125))  # some 4000 weeks, beside which a ramp is nothing
    assert table.loc["north", "mean"] == pytest.approx(slow, rel=2e-3)
    assert table.loc[ALL, "mean"] == pytest.approx(table["mean"].iloc[1:].mean())


def test_an_effect_that_fades_has_no_time_to_90_percent():
    fit = shaped_fit("fade_from_start", True)
    assert set(fit.estimands(show=["time_to_90", "ratio_beta"])["estimand"]) == {
        "ratio_beta",
        "time_to_90",
    }  # of the rota
    table = fit.estimands(horizon=HORIZON)
    assert set(table.loc[table["estimand"] == "time_to_90", "option"]) == {"rota"}
    with pytest.raises(UserError, match="effects that last"):
        fit.estimands(show="time_to_90", comparisons=[("yoga", "none")])


def test_effects_that_differ_and_have_a_shape():
    """Deviations are multiplied by exposure as the average effect is."""
    model = eq.CapacityModel(exposures={"yoga": {"shape": "ramp", "fixed": {"onset": 2.5}}}, varying="clinician")
    known = {"half_life": 3.0, "effect_clinician_sd": 0.2, "level_change": [0.0, 0.5]}
    fit = prior_fit(model, a_study("adf", ALONE), draws=3, chains=1, known=known)
    table = fit.estimands(horizon=HORIZON, by="unit", comparisons=[("yoga", "none")], prob=1 - 1e-9)
    p, state = numbers(fit), numbers(fit, "individual")["state_last"]
    for i, group in enumerate(("north", "south", "west")):
        effect = []
        for s in range(3):
            own = 0.2 * p["effect_clinician_z"][s, 1, i]
            part = ("ramp", SHAPES["ramp"], 0.5 + own, p["speed_up"][s, 1] - (0.5 + own) / 2)
            ends = [
                solved(x, HORIZON, state[s, i], p["capacity"][s, i], p["beta"][s, i])[0](HORIZON) for x in ([part], [])
            ]
            effect.append(ends[0] - ends[1])
        got = single_draws(table, "horizon_change", "yoga", group)
        np.testing.assert_allclose(got, np.sort(effect), rtol=1e-3, atol=1e-3)


# --- what cannot be asked -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"comparisons": [("yogga", "none")]}, "Did you mean 'yoga'"),
        ({"comparisons": [("yoga", "yoga")]}, "with itself"),
        ({"comparisons": []}, "comparisons is empty"),
        ({"show": "area"}, "'area' needs a horizon; it has no default"),
        ({"show": ["capacity", "capacity_at_horizon"]}, "needs a horizon"),
        ({"show": ["share_below"], "horizon": 3}, "'share_below' needs a threshold"),
        ({"show": "arae", "horizon": 3}, "no estimand 'arae'.* Did you mean 'area'.* Known: ratio_alpha"),
        ({"show": []}, "show is empty"),
        ({"show": "time_to_90", "comparisons": [("yoga", "rota")]}, "nothing of what was asked for exists"),
        ({"horizon": 0}, "horizon must be a number above 0"),
        ({"horizon": -2.0}, "horizon must be a number above 0"),
        ({"horizon": float("inf")}, "horizon must be a number above 0"),
        ({"horizon": float("nan")}, "horizon must be a number above 0"),
        ({"horizon": "26"}, "horizon must be a number above 0"),
        ({"horizon": True}, "horizon must be a number above 0"),
        ({"threshold": 0}, "threshold must lie inside 0 to 100"),
        ({"threshold": 100}, "threshold must lie inside 0 to 100"),
        ({"threshold": "half"}, "threshold must lie inside 0 to 100"),
        ({"threshold": 52, "points": "score"}, r"threshold must lie inside 0 to 10 \(points = 'score'\)"),
        ({"points": "scores"}, "Did you mean 'score'"),
        ({"by": "rolle"}, "by: there is no column 'rolle'.* Did you mean 'role'"),
        ({"by": "sleep"}, "'sleep' changes within clinicians"),
        ({"target": {"column": "role", "shares": {"surgeon": 1}}}, "no clinician has role = 'surgeon'"),
        ({"target": {"column": "role", "shares": {"nurse": -1}}}, "must be a number of at least 0"),
        ({"prob": 1}, "prob must lie between 0 and 1"),
        ({"prob": 89}, "prob must lie between 0 and 1"),
    ],
)
def test_what_cannot_be_asked(varying, asked, says):
    with pytest.raises(UserError, match=says):
        varying.estimands(**asked)


def test_too_many_levels_are_refused():
    who = [f"c{n:02d}" for n in range(31)]
    frame = pd.DataFrame({"id": np.repeat(who, 2), "week": [0, 1] * 31, "stress": [3, 4] * 31})
    frame["age"] = np.repeat(np.arange(20.0, 51.0), 2)
    spells = pd.DataFrame({"clinician": who[:15], "intervention": "yoga", "start": 0.5, "end": np.nan})
    study = Study.from_table(
        frame,
        clinician="id",
        time="week",
        time_unit="week",
        scores={"stress": STRESS},
        covariates=["age"],
        spells=spells,
    )
    fit = prior_fit(eq.CapacityModel(), study, draws=4, chains=1)
    with pytest.raises(UserError, match="'age' has 31 different values"):
        fit.estimands(by="age")


def test_a_request_can_be_checked_before_any_draws():
    columns = {"unit": np.array(["n", "s"])}
    score = {"range": [0, 10], "better": "lower"}
    wanted = request(["yoga"], columns, score, horizon=4, threshold=3, points="score")
    assert (wanted.horizon, wanted.threshold, wanted.comparisons) == (4.0, 70.0, ((("yoga",), ()),))
    assert wanted.show == tuple(ALL_ESTIMANDS)
    with pytest.raises(UserError, match="the study has no intervention"):
        request([], columns, score)


def test_nothing_is_warned_of(fit):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit.estimands(horizon=0.01, threshold=1)
