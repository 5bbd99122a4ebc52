"""Forecasts against a solution of the equation: states at the start, regimes, planned roll-outs, groups and gains."""

import importlib.util
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import solve_ivp

import equipoise as eq
from equipoise.datasets import Score, Study, UserError
from equipoise.inference import Fit
from equipoise.inference.forecast import AS_RECORDED, MOST_CELLS, PLAN, check_forecast
from equipoise.inference.options import ALL, NONE

LN2 = np.log(2)
INF = np.inf
JOY = Score(range=(0, 100), better="higher", step=1)
TIMES = {"a": [0, 2, 4, 6, 8], "b": [0.5, 3, 10], "c": [1, 2.5, 4, 5.5, 12], "d": [6, 8, 9]}
WARDS = {"a": "north", "b": "north", "c": "south", "d": "south"}
WHO, UNITS = list(TIMES), ["north", "south"]
# clinician, intervention, start, end, dose
SPELLS = [
    ("a", "yoga", 2, 7, 1), ("a", "rota", 6, 9, 0.5), ("b", "yoga", -3, 1, 1), ("b", "yoga", 4.5, INF, 1),
    ("c", "rota", 1, 4, 1), ("c", "rota", 8, INF, 0.8), ("d", "yoga", 7, INF, 1),
]  # fmt: skip
PLANNED = [("north", "yoga", 6, 11, 1), ("north", "rota", 8, INF, 0.5), ("south", "yoga", 3, INF, 1)]
PROGRAMMES = ["rota", "yoga"]
# the rounding of answers is then far more than the model's noise, and the answers tell nothing
NO_NOISE = {"total_sd": 1e-7}


def prior_fit(*arguments, **keywords):
    """A fit made of prior draws, as the tests of the reports make them."""
    spec = importlib.util.spec_from_file_location("fits", Path(__file__).parents[1] / "reports" / "conftest.py")
    fits = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fits)
    return fits.prior_fit(*arguments, **keywords)


def a_fit(model, study, draws=3, chains=1, **known):
    return Fit(prior_fit(model, study, draws=draws, chains=chains, known=known).tree, study)


def spell_table(spells, who="clinician"):
    table = pd.DataFrame(spells, columns=[who, "intervention", "start", "end", "dose"])
    return table.assign(end=table["end"].astype(float).replace(INF, np.nan))


def a_study(times=TIMES, wards=WARDS, spells=SPELLS, covariates=None, **keywords):
    rows = [(who, float(t)) for who, when in times.items() for t in when]
    frame = pd.DataFrame(rows, columns=["id", "week"])
    frame["joy"] = [40 + (17 * r) % 31 for r in range(len(frame))]
    for name, values in (covariates or {}).items():
        frame[name] = [v for who in times for v in values[who]]
    frame["ward"] = frame["id"].map(wards)
    return Study.from_table(
        frame, clinician="id", unit="ward", time="week", time_unit="week", scores={"joy": JOY},
        covariates=list(covariates or {}), spells=spell_table(spells) if spells else None, **keywords,
    )  # fmt: skip


# --- the equation, solved -------------------------------------------------------------------------------------------


def exposure(course, t, spells, p):
    """Exposure at time t to one programme: what one spell leaves undone the next can do."""
    undone = 1.0
    for start, end, dose in spells:
        running = start <= t < end
        match course:
            case "pulse":
                x = dose * running
            case "ramp":
                x = dose * running * (1 - np.exp(-LN2 * (t - start) / p["onset"]))
            case "fade":
                x = dose * (running if t < end else np.exp(-LN2 * (t - end) / p["fade"]))
            case "delay":
                x = dose * (start + p["delay"] <= t < end + p["delay"])
            case "step":
                x = dose * (t >= start)
        undone *= 1 - x
    return 1 - undone


def solve(y, low, high, slope, dates, at=()):
    """The solution at ``high``, and at the times ``at``, in pieces between dates."""
    out = {low: y}
    for a, b in pairwise(sorted({low, high, *(float(d) for d in dates if low < d < high)})):
        inside = sorted({t for t in at if a < t < b})
        run = solve_ivp(slope, (a, b - 1e-11), [y], t_eval=[*inside, b - 1e-11], method="LSODA", rtol=1e-10, atol=1e-10)
        out |= dict(zip([*inside, b], run.y[0], strict=True))
        y = run.y[0, -1]
    return y, [out[t] for t in at]


class Truth:
    """Paths of every clinician for one draw of the parameters, by the equation alone."""

    def __init__(self, fit, s, courses=None, calendar=lambda t, p: 0.0, covariate=lambda i, t, p: 0.0):
        found = fit.tree["posterior"].to_dataset().isel(chain=0, draw=s)
        self.p = {name: value.to_numpy() for name, value in found.data_vars.items()}
        self.courses = dict.fromkeys(PROGRAMMES, "pulse") | (courses or {})
        self.parameters = dict(self.p) | {n: float(self.p[n].item()) for n in ("onset", "fade", "delay") if n in self.p}
        self.calendar, self.covariate = calendar, covariate
        self.times = {who: sorted(found) for who, found in TIMES.items()}

    def slope(self, i, spells, history=None):
        """dC/dt of clinician i under ``spells`` by programme; ``history``: calendar time and covariates count."""
        p, u = self.p, UNITS.index(WARDS[WHO[i]])
        level = np.log(p["level"]) + p["unit_level_sd"] * p["unit_level_z"][u] + self.covariate(i, None, p)
        rate = np.log(LN2 / p["half_life"]) + p["unit_rate_sd"] * p["unit_rate_z"][u] + p["rate_sd"] * p["rate_z"][i]

        def derivative(t, c):
            star, beta = level, rate
            for k, name in enumerate(PROGRAMMES):
                x = exposure(self.courses[name], t, spells[name], self.parameters)
                star = star + x * p["level_change"][k]
                beta = beta + x * (p["speed_up"][k] - p["level_change"][k] / 2)
            if history:
                star = star + self.calendar(max(t, self.times[WHO[i]][0]), p)
                star = star + self.covariate(i, t, p) - self.covariate(i, None, p)
            return np.exp(beta) * (np.exp(star) - c)

        off = np.exp(level + (self.calendar(self.times[WHO[i]][0], p) if history else 0.0))
        return derivative, off

    def state(self, i, begin, recorded, dates):
        """Where clinician i is at the start of the forecast; None if not yet followed."""
        first, last = self.times[WHO[i]][0], self.times[WHO[i]][-1]
        if first > begin:
            return None
        derivative, c = self.slope(i, recorded, history=True)
        earliest = min([first, *(a for spells in recorded.values() for a, _, _ in spells)])
        if earliest < first:
            c, _ = solve(c, float(earliest), float(first), derivative, dates)
        c = c + self.p["start_shift"]
        if begin > first:
            c, _ = solve(c, float(first), float(min(begin, last)), derivative, dates)
        if begin > last:  # as in force at the last survey

            def still(t, c):
                return derivative(last - 1e-9, c)

            c, _ = solve(c, float(last), float(begin), still, ())
        return c

    def paths(self, begin, times, regime, recorded, plan):
        """clinician -> path under a regime, of those followed at the start."""
        out = {}
        for i, who in enumerate(WHO):
            mine = {name: [s[2:] for s in recorded if s[:2] == (who, name)] for name in PROGRAMMES}
            dates = {d for spells in (*mine.values(), [s[2:] for s in plan]) for a, b, _ in spells for d in (a, b)}
            if self.courses["rota"] == "delay":
                dates |= {d + self.parameters["delay"] for d in dates | {begin}}
            c = self.state(i, begin, mine, dates)
            if c is None:
                continue
            spells = {
                NONE: {p: [] for p in PROGRAMMES},
                AS_RECORDED: mine,
                PLAN: {name: [s[2:] for s in plan if s[:2] == (WARDS[who], name)] for name in PROGRAMMES},
            } | {name: {p: [] for p in PROGRAMMES} | {name: [(begin, INF, 1.0)]} for name in PROGRAMMES}
            derivative, _ = self.slope(i, spells[regime])
            out[who] = np.array(solve(c, float(begin), float(times[-1]), derivative, dates, times)[1])
        return out


def check(fit, begin, horizon, tolerance, plan=PLANNED, recorded=SPELLS, chosen=slice(None, None, 7), **truth):
    """The whole table of a forecast from three draws, at some of its times."""
    roll_out = spell_table(plan, "unit") if plan else None
    table = fit.forecast(start=begin, horizon=horizon, roll_out=roll_out, prob=1 - 1e-9)
    all_times = table["time"].drop_duplicates().to_numpy()
    assert all_times[0] == begin and all_times[-1] == pytest.approx(begin + horizon)
    times = sorted({*all_times[chosen], all_times[-1]})
    regimes = [NONE, *PROGRAMMES, AS_RECORDED] + ([PLAN] if plan else [])
    assert table["regime"].drop_duplicates().tolist() == regimes
    followed = [who for who in WHO if min(TIMES[who]) <= begin]
    groups = {ALL: followed} | {u: [w for w in followed if WARDS[w] == u] for u in UNITS}
    groups = {name: members for name, members in groups.items() if members}
    assert table["group"].drop_duplicates().tolist() == list(groups)
    truths = [Truth(fit, s, **truth) for s in range(3)]
    found = {r: [t.paths(begin, times, r, recorded, plan or []) for t in truths] for r in regimes}
    for group, members in groups.items():
        mean = {r: np.array([np.mean([d[who] for who in members], axis=0) for d in found[r]]) for r in regimes}
        for regime in regimes:
            mine = table[(table["group"] == group) & (table["regime"] == regime)].set_index("time").loc[times]
            assert set(mine["clinicians"]) == {len(members)}
            scale = np.abs(mean[NONE]).max()
            for prefix, draws in (("", mean[regime]), ("gain_", mean[regime] - mean[NONE])):
                got = mine[[prefix + q for q in ("low", "median", "high")]].to_numpy().T
                expected = np.sort(draws, axis=0)
                np.testing.assert_allclose(
                    got, expected, rtol=0, atol=tolerance * scale, err_msg=f"{group} {regime} {prefix}"
                )


PLAIN = eq.CapacityModel(randomised=True, secular="none", varying="none")


@pytest.fixture(scope="module")
def plain():
    return a_fit(PLAIN, a_study(), **NO_NOISE, half_life=4.0)


@pytest.mark.parametrize("begin", [0, 1.0, 4, 5.0, 8, 9.5, 15.0])
def test_every_regime_follows_the_equation(plain, begin):
    """From before some were surveyed, at surveys, between them, and after the last ones."""
    check(plain, begin, 7.0, 1e-7)


def test_without_a_plan_there_is_no_such_regime(plain):
    check(plain, 5.0, 4, 1e-7, plan=None)


SHAPED = [
    {"yoga": "ramp", "rota": "fade"},
    {"yoga": {"shape": "ramp", "fixed": {"onset": 1.5}}, "rota": {"shape": "delay", "fixed": {"delay": 0.7}}},
    {"yoga": "step", "rota": "delay"},
]


@pytest.mark.parametrize("exposures", SHAPED, ids=["estimated", "fixed", "delay"])
@pytest.mark.parametrize("begin", [5.0, 9.5])
def test_shaped_exposure_goes_on_from_what_was_before(exposures, begin):
    """A spell begun before the start is as far on its way as it is; what has faded goes on fading."""
    model = eq.CapacityModel(randomised=True, secular="none", varying="none", exposures=exposures)
    fixed = {n: [v] for given in exposures.values() if isinstance(given, dict) for n, v in given["fixed"].items()}
    known = {"onset": [1.5], "fade": [2.5], "delay": [0.7]}
    names = {p for course in model.exposures.values() for p in course.estimated}
    fit = a_fit(model, a_study(), **NO_NOISE, half_life=3.0, **{n: known[n] for n in names})
    posterior = fit.tree["posterior"].to_dataset()
    for name, value in fixed.items():  # for the solver, which reads them from the draws
        posterior[name] = (("chain", "draw", "one"), np.full((1, 3, 1), value))
    fit.tree["posterior"] = posterior
    courses = {name: given if isinstance(given, str) else given["shape"] for name, given in exposures.items()}
    check(fit, begin, 6.0, 5e-4, courses=courses)


def test_calendar_time_counts_up_to_the_start_and_then_its_average():
    model = eq.CapacityModel(randomised=True, secular="linear", varying="none")
    fit = a_fit(model, a_study(), **NO_NOISE, half_life=3.0, drift=0.4)
    edges = np.linspace(0, 12, 17)

    def drift(t, p):
        step = np.clip(np.searchsorted(edges, t, side="right") - 1, 0, 15)
        return p["drift"] * ((edges[step] + edges[step + 1]) / 2 - 6) / 12

    # steps of the line are smoothed over by the solver, which is told of spells only
    for begin in (5.0, 9.5):
        check(fit, begin, 5.0, 1e-4, calendar=drift, chosen=slice(None, None, 20))


def test_covariates_count_up_to_the_start_and_then_at_the_clinician_s_mean():
    sleep = {who: [6 + (3 * n + 2 * j) % 5 for j in range(len(when))] for n, (who, when) in enumerate(TIMES.items())}
    model = eq.CapacityModel(replenishment="sleep", randomised=True, secular="none", varying="none")
    study = a_study(covariates={"sleep": sleep}, holds="after")
    fit = a_fit(model, study, **NO_NOISE, half_life=3.0, covariate_level=[0.1, 0.15])
    assert fit.tree["posterior"]["term"].to_numpy().tolist() == ["sleep (mean)", "sleep (deviation)"]
    # "after": a row holds until the next one; the last of a clinician has no length
    mean = np.array([np.average(sleep[w][:-1], weights=np.diff(TIMES[w])) for w in WHO])
    scale = np.concatenate([sleep[w] for w in WHO]).std()

    def covariate(i, t, p):
        between = 0.1 * (mean[i] - mean.mean()) / scale
        if t is None or t < TIMES[WHO[i]][0]:
            return between
        row = np.searchsorted(TIMES[WHO[i]], t, side="right") - 1
        return between + 0.15 * (sleep[WHO[i]][row] - mean[i]) / scale

    for begin in (4.0, 9.5):
        check(fit, begin, 5.0, 1e-4, covariate=covariate, chosen=slice(None, None, 20))


# --- what the answers tell of the state at the start ----------------------------------------------------------------


@pytest.mark.parametrize("begin", [3.0, 4.0, 6.5, 8.0, 11.0])
def test_states_at_the_start_have_their_distribution_given_all_answers(begin):
    """Smoothed: also later answers count. After the last survey the state is followed to its own level."""
    times, wards = {"a": [0, 2, 4, 6, 8], "b": [1, 4, 9, 12]}, {"a": "north", "b": "south"}
    study = a_study(times, wards, [("a", "yoga", 20, 30, 1)])
    model = eq.CapacityModel(randomised=True, secular="none", varying="none", spread="shared_omega")
    level, half_life, omega, trait, error, shift, ratio = 55.0, 3.0, 9.0, 6.0, 5.0, -4.0, 1.2
    total = np.sqrt(omega**2 + trait**2 + error**2)
    known = {
        "level": level, "half_life": half_life, "total_sd": total, "start_shift": shift, "start_sd_ratio": ratio,
        "variance_shares": [trait**2 / total**2, omega**2 / total**2, error**2 / total**2], "rate_sd": 0.0,
        "rate_z": 0.0, "unit_level_sd": 0.0, "unit_rate_sd": 0.0, "level_rate_concordance": 0.5,
    }  # fmt: skip
    fit = a_fit(model, study, draws=1200, **known)
    table = fit.forecast(start=begin, horizon=1.0, most=1200)
    beta = LN2 / half_life
    score = study.surveys["capacity"].to_numpy()
    for who, unit in wards.items():
        t = np.array(times[who], float)
        y = score[: len(t)] if who == "a" else score[-len(t) :]
        at = min(begin, t[-1])
        every = np.append(t, at) - t[0]
        start_var = (ratio * omega) ** 2
        own = start_var * np.exp(-2 * beta * every) + omega**2 * (1 - np.exp(-2 * beta * every))
        earlier = np.minimum.outer(every, every)
        variance = own[[[int(np.flatnonzero(every == m)[0]) for m in row] for row in earlier]]
        cov = variance * np.exp(-beta * np.abs(np.subtract.outer(every, every))) + trait**2
        mean = level + shift * np.exp(-beta * every)
        # rows: surveys, state, level
        cov = np.block([[cov, np.full((len(every), 1), trait**2)], [np.full((1, len(every) + 1), trait**2)]])
        mean = np.append(mean, level)
        n = len(t)
        gain = np.linalg.solve(cov[:n, :n] + (error**2 + 1 / 12) * np.eye(n), cov[:n, n:]).T
        centre = mean[n:] + gain @ (y - mean[:n])
        spread = cov[n:, n:] - gain @ cov[:n, n:]
        left = np.exp(-beta * (begin - at))
        weights = np.array([left, 1 - left])
        expected, sd = weights @ centre, np.sqrt(weights @ spread @ weights)
        row = table[(table["group"] == unit) & (table["regime"] == NONE)].iloc[0]
        assert row["time"] == begin
        assert row["median"] == pytest.approx(expected, abs=5 * 1.2533 * sd / np.sqrt(1200))
        assert (row["high"] - row["low"]) / (2 * 1.5982) == pytest.approx(sd, rel=0.12)


def test_the_same_forecast_twice_and_with_fewer_draws():
    fit = a_fit(PLAIN, a_study(), draws=30)
    one, again = (fit.forecast(start=5.0, horizon=4) for _ in range(2))
    pd.testing.assert_frame_equal(one, again)
    fewer = fit.forecast(start=5.0, horizon=4, most=1)
    np.testing.assert_array_equal(fewer["low"], fewer["high"])
    assert (one["high"] > one["low"]).all()
    narrow = fit.forecast(start=5.0, horizon=4, prob=0.5)
    assert (narrow["high"] - narrow["low"] <= one["high"] - one["low"] + 1e-12).all()
    assert set(narrow["interval"]) == {0.5} and (one.loc[one["regime"] == NONE, "gain_high"] == 0).all()


def test_effects_that_differ_between_clinicians_are_in_the_paths():
    model = eq.CapacityModel(randomised=True, secular="none", varying="clinician")
    fit = a_fit(model, a_study(), **NO_NOISE, half_life=1.0, unit_rate_sd=0.0, rate_sd=0.0, speed_up=0.0,
                level_change=[0.0, 0.3], effect_clinician_sd=0.2)  # fmt: skip
    table = fit.forecast(start=10.0, horizon=200.0, prob=1 - 1e-9)
    last = table[(table["time"] == 210.0) & (table["group"] == ALL) & (table["regime"] == "yoga")].iloc[0]
    posterior = fit.tree["posterior"].to_dataset()
    own = 0.2 * posterior["effect_clinician_z"].sel(intervention_by_clinician="yoga").to_numpy()[0]
    settled = (posterior["capacity"].to_numpy()[0] * np.exp(0.3 + own)).mean(axis=1)
    np.testing.assert_allclose(last[["low", "median", "high"]].astype(float), np.sort(settled), rtol=1e-9)


def test_many_dates_of_a_plan_are_followed_on_an_even_grid(plain):
    plan = [("north", "yoga", 5 + 0.02 * n, 5.01 + 0.02 * n, 1) for n in range(300)]
    table = plain.forecast(start=5.0, horizon=6.0, roll_out=spell_table(plan, "unit"), prob=1 - 1e-9)
    assert table["time"].nunique() == MOST_CELLS
    mine = table[(table["group"] == "north") & (table["time"] == 11.0)].set_index("regime")
    gain = mine.loc[[PLAN, "yoga"], ["gain_low", "gain_median", "gain_high"]].to_numpy()
    # on for half of the time
    assert ((np.abs(gain[0]) > 0.4 * np.abs(gain[1])) & (np.abs(gain[0]) < 0.6 * np.abs(gain[1]))).all()


def test_one_unit_makes_no_group_of_its_own():
    study = a_study(wards=dict.fromkeys("abcd", "north"))
    assert a_fit(PLAIN, study).forecast(start=5, horizon=2)["group"].unique().tolist() == [ALL]


# --- dates ----------------------------------------------------------------------------------------------------------


def dated(times=TIMES, spells=SPELLS):
    """The same study with dates: weeks since 1 January 2024."""
    zero = pd.Timestamp("2024-01-01")

    def date(week):
        return zero + pd.to_timedelta(week * 7, unit="D") if np.isfinite(week) else pd.NaT

    rows = [(who, date(t)) for who, when in times.items() for t in when]
    frame = pd.DataFrame(rows, columns=["id", "day"])
    frame["joy"] = [40 + (17 * r) % 31 for r in range(len(frame))]
    frame["ward"] = frame["id"].map(WARDS)
    table = spell_table(spells)
    return Study.from_table(
        frame, clinician="id", unit="ward", time="day", time_unit="week", scores={"joy": JOY},
        spells=table.assign(start=table["start"].map(date), end=table["end"].map(date)),
    )  # fmt: skip


@pytest.mark.parametrize("days", [4, 28, 39, 60])
def test_a_date_as_the_start(days):
    """The same as the number of weeks, and the first time is the start itself: 4/7 of a week has no short decimals."""
    known = NO_NOISE | {"half_life": 4.0, "start_shift": 10.0}
    by_number, by_date = a_fit(PLAIN, a_study(), **known), a_fit(PLAIN, dated(), **known)
    start = pd.Timestamp("2024-01-01") + pd.Timedelta(days=days)
    plan = spell_table(PLANNED, "unit")
    as_dates = plan.assign(
        **{c: pd.Timestamp("2024-01-01") + pd.to_timedelta(plan[c] * 7, unit="D") for c in ("start", "end")}
    )
    expected = by_number.forecast(start=days / 7, horizon=5.0, roll_out=plan)
    assert expected["time"].iloc[0] == days / 7
    assert expected["time"].iloc[-1] == pytest.approx(days / 7 + 5, rel=1e-12)
    for given in (start.date().isoformat(), start.date(), start):
        table = by_date.forecast(start=given, horizon=5.0, roll_out=as_dates)
        pd.testing.assert_frame_equal(table, expected, rtol=1e-9)


# --- what cannot be asked -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"start": -0.5}, "before the first survey of everybody.* The surveys run from week 0 to week 12"),
        ({"start": "2024-01-05"}, "start must be a number of weeks"),
        ({"start": None}, "start must be a number of weeks"),
        ({"start": float("nan")}, "start must be a number of weeks"),
        ({"horizon": 0}, "horizon must be a number above 0, in weeks"),
        ({"horizon": -1}, "horizon must be a number above 0"),
        ({"horizon": INF}, "horizon must be a number above 0"),
        ({"horizon": "5"}, "horizon must be a number above 0"),
        ({"prob": 0}, "prob must lie between 0 and 1"),
        ({"roll_out": spell_table([("east", "yoga", 1, 2, 1)], "unit")}, "the unit has no surveys"),
        ({"roll_out": spell_table([("north", "yogga", 1, 2, 1)], "unit")}, "no such intervention"),
        ({"roll_out": spell_table([("north", "yoga", 2, 1, 1)], "unit")}, "ends at or before its start"),
        ({"roll_out": spell_table([("north", "yoga", 1, 2, 1)], "unit").rename(columns={"start": "strat"})}, "strat"),
        ({"roll_out": "no_such_plan.csv"}, "no_such_plan.csv"),
    ],
)
def test_what_cannot_be_asked(plain, asked, says):
    with pytest.raises(UserError, match=says):
        plain.forecast(**({"start": 5.0, "horizon": 3.0} | asked))


def test_a_start_has_no_default(plain):
    with pytest.raises(TypeError, match="start"):
        plain.forecast(horizon=3)


def test_a_forecast_needs_programmes_and_the_study(plain):
    with pytest.raises(UserError, match="the study has none"):
        a_fit(eq.CapacityModel(), a_study(spells=None), draws=4).forecast(start=5, horizon=3)
    with pytest.raises(UserError, match="without their study"):
        Fit(plain.tree).forecast(start=5, horizon=3)


def test_a_forecast_can_be_checked_before_any_draws():
    study = a_study()
    assert check_forecast(study, 5, 3) == (5.0, None)
    begin, plan = check_forecast(study, 5, 3, spell_table(PLANNED, "unit"))
    assert begin == 5.0 and len(plan) == 6  # two spells of two clinicians, one of two others
    with pytest.raises(UserError, match="before the first survey of everybody"):
        check_forecast(dated(), "2023-12-31", 3)
