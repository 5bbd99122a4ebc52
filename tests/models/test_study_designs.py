"""Designs recognised from spells: each one, what resembles it and is not, and what real tables look like."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from equipoise import datasets
from equipoise.datasets import Score, Study, UserError
from equipoise.models.study_designs import DESIGNS, describe_designs, pattern, recognise, title_of

WEEKS = list(range(0, 13))


@pytest.fixture
def panel(make_study):
    """A study of "course" from the spells [(start, end), ...] of each clinician, all surveyed at the same times."""

    def panel(spells, times=WEEKS, unit_size=None, **keywords):
        who = [f"c{i:02d}" for i in range(len(spells))]
        own = times if isinstance(times[0], list) else [times] * len(spells)
        table = [(w, "course", *s) for w, mine in zip(who, spells, strict=True) for s in mine]
        if not table:  # a spell long before the study, so that there is an intervention at all
            table = [(who[0], "course", -99, -98)]
        units = {w: f"u{i // unit_size:02d}" for i, w in enumerate(who)} if unit_size else None
        return make_study(dict(zip(who, own, strict=True)), table, units=units, **keywords)

    return panel


def by_column(on, times, holds="before"):
    """A study whose "course" is a 0/1 column: `on(clinician, time)` at the times of each clinician."""
    rows = [(f"c{i:03d}", t, int(on(i, t)), 50) for i, mine in enumerate(times) for t in mine]
    frame = pd.DataFrame(rows, columns=["id", "week", "on", "y"])
    return Study.from_table(
        frame, clinician="id", time="week", time_unit="week", holds=holds, interventions={"course": "on"},
        scores={"y": Score(range=(0, 100), better="higher", step=1)},
    )  # fmt: skip


def found(study, randomised=None, **keywords):
    design = recognise(study, randomised, **keywords)["course"].design
    return design.name if design else None


ON, OFF = [(4, None)], []
STEPS = [[(t, None)] for t in (2, 4, 6, 8) for _ in range(3)]
SAMPLES = {
    "n_of_1": [[(0, 3), (6, 9)], [(3, 6), (9, None)]] * 4,
    "crossover": [[(0, 6)], [(6, None)]] * 4,
    "stepped_wedge": STEPS,
    "cluster_trial": [*[ON] * 6, *[OFF] * 6],
    "parallel_trial": [ON, OFF] * 6,
    "controlled_pre_post": [ON, OFF] * 6,
    "interrupted_time_series": [[(8, None)]] * 6,
    "pre_post": [ON] * 6,
}


@pytest.fixture
def sample(panel):
    """A clear case of each design."""

    def sample(name):
        times = list(range(18)) if name == "interrupted_time_series" else WEEKS
        return panel(SAMPLES[name], times, unit_size=3 if name != "pre_post" else None)

    return sample


# --- each design ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DESIGNS)
def test_a_clear_case_is_recognised_and_can_be_stated(sample, name):
    study, drawn = sample(name), DESIGNS[name].randomised
    assert found(study, drawn) == name
    recognised = recognise(study, stated={"course": name})["course"]
    assert recognised.design.name == name and recognised.stated
    summary = recognised.summary()
    assert json.loads(json.dumps(summary)) == summary
    assert summary["design"] == name and summary["title"] == title_of(recognised)
    for sentence in (summary["comparison"], summary["baseline"], *summary["warnings"]):
        assert sentence.endswith(".") and sentence[0].isupper() and "nan" not in sentence


CAN_BE = {
    "n_of_1": {"crossover", "n_of_1"},  # crossover: three switches or one, some first and others later
    "crossover": {"crossover"},
    "stepped_wedge": {"stepped_wedge"},
    "cluster_trial": {"cluster_trial", "parallel_trial", "controlled_pre_post"},
    "parallel_trial": {"parallel_trial", "controlled_pre_post"},
    "controlled_pre_post": {"parallel_trial", "controlled_pre_post"},
    "interrupted_time_series": {"interrupted_time_series", "pre_post"},
    "pre_post": {"interrupted_time_series", "pre_post"},
}


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("stated", DESIGNS)
def test_the_spells_of_one_design_contradict_most_others(sample, name, stated):
    facts = pattern(sample(name), 0)
    possible = CAN_BE[name] - ({"crossover"} if name == "n_of_1" else set())
    assert (DESIGNS[stated].contradiction(facts) == "") is (stated in possible)


@pytest.mark.parametrize(
    "spells, stated, told",
    [
        ([ON] * 24, "parallel_trial", "all 24 clinicians were exposed, and a parallel-group trial needs some who"),
        ([ON, OFF] * 6, "cluster_trial", "in 4 of 4 units some clinicians were exposed and others were not"),
        ([ON, OFF] * 6, "pre_post", "6 of 12 clinicians were never exposed"),
        ([[(-5, None)], OFF] * 6, "controlled_pre_post", "none of 6 exposed clinicians has a survey before the start"),
        ([ON] * 6, "stepped_wedge", "6 exposed clinicians began at one date"),
        ([[(t, t + 2)] for t in (2, 4, 6, 8)] * 2, "stepped_wedge", "for 8 of 8 exposed clinicians exposure ends"),
        (STEPS, "interrupted_time_series", "exposure starts at 4 different dates"),
        ([[(11, None)]] * 6, "interrupted_time_series", "the median of surveys is 12 before the start and 1 after"),
        ([[(-5, None)]] * 6, "pre_post", "no exposed clinician has surveys both before and after the start"),
        ([ON] * 6, "crossover", "exposure of none of 6 exposed clinicians ends before the last survey"),
        ([[(-5, 4)]] * 6, "crossover", "exposure of none of 6 exposed clinicians begins after the first survey"),
        ([[(4, 8)]] * 6, "crossover", "of 6 exposed clinicians none had finished with the programme before others"),
        ([ON] * 6, "n_of_1", "no clinician goes on and off"),
        ([OFF] * 6, "pre_post", "nobody was exposed during the follow-up"),
        ([[(20, None)]] * 6, "stepped_wedge", "nobody was exposed during the follow-up"),
    ],
)  # fmt: skip
def test_a_stated_design_that_the_spells_contradict_is_refused(panel, spells, stated, told):
    with pytest.raises(UserError, match=f"design = '{stated}' of course: {told}") as error:
        recognise(panel(spells, unit_size=3), stated={"course": stated})
    assert str(error.value).endswith("State another design, or correct the spells.")


def test_misspelt_names_are_refused_with_the_nearest(sample):
    with pytest.raises(UserError, match=r"no such design. Did you mean 'stepped_wedge'\? Known: n_of_1"):
        recognise(sample("stepped_wedge"), stated={"course": "steped_wedge"})
    with pytest.raises(UserError, match=r"no intervention 'corse'\. Did you mean 'course'"):
        recognise(sample("stepped_wedge"), stated={"corse": "stepped_wedge"})


def test_what_a_design_brings():
    assert {name: design.secular for name, design in DESIGNS.items()} == {
        "n_of_1": "none", "crossover": "linear", "stepped_wedge": "periods", "cluster_trial": "linear",
        "parallel_trial": "linear", "controlled_pre_post": "linear", "interrupted_time_series": "linear",
        "pre_post": "none",
    }  # fmt: skip
    assert [name for name, design in DESIGNS.items() if design.randomised] == ["cluster_trial", "parallel_trial"]
    assert list(describe_designs()) == list(DESIGNS) and all(design.reference for design in DESIGNS.values())


# --- planned, bundled and published studies -------------------------------------------------------------------------


@pytest.mark.parametrize("jitter, missing", [(0, 0), (0.3, 0.3)])
@pytest.mark.parametrize(
    "roll_out, randomised, units, expected",
    [
        ("stepped", None, 6, "stepped_wedge"),
        ("stepped", True, 6, "stepped_wedge"),
        ("parallel", None, 6, "controlled_pre_post"),
        ("parallel", True, 6, "cluster_trial"),
        ("parallel", True, 1, "parallel_trial"),
        ("alternating", None, 6, "n_of_1"),
    ],
)
def test_planned_roll_outs(roll_out, randomised, units, expected, jitter, missing):
    study = datasets.design_study(
        clinicians=24, surveys=9, units=units, interventions={"course": roll_out}, jitter=jitter, missing=missing
    )
    assert found(study, randomised) == expected


def test_the_bundled_study_is_two_stepped_wedges():
    study = datasets.load_example()
    recognised = recognise(study)
    assert [r.design.name for r in recognised.values()] == ["stepped_wedge"] * 2
    for r in recognised.values():
        assert len(r.pattern.starts) == 12 and r.pattern.by_units and r.pattern.n_never == 0
        summary = r.summary("periods")
        assert [s["units"] for s in summary["sequences"]] == [1] * 12 and not summary["since_first_survey"]
        assert not any("calendar time" in warning for warning in summary["warnings"])
        assert any("calendar time" in warning for warning in r.summary("none")["warnings"])


@pytest.mark.parametrize("holds", ["before", "after"])
def test_asip_is_two_sets_of_n_of_1_trials(asip_data, holds):
    study = datasets.fetch_asip(holds)
    for r in recognise(study).values():
        assert r.design.name == "n_of_1"
        assert r.pattern.median(r.pattern.switches) == 3
        assert "time and phase" not in " ".join(r.summary()["warnings"])  # half of them begin with it
        json.dumps(r.summary())


@pytest.fixture
def asip_data(monkeypatch):
    """The folder with the ASIP files; without a copy the test is skipped."""
    named = os.environ.get("EQUIPOISE_DATA", "")
    if not named or not any(
        (Path(named) / p).is_file() for p in ("asip/ASIP_data_Nof1_MB.csv", "ASIP_data_Nof1_MB.csv")
    ):
        pytest.skip("no copy of the ASIP data: name its folder in the environment variable EQUIPOISE_DATA")


# --- stepped or not -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "starts, ends, stepped",
    [
        ([2, 4, 6, 8], [None] * 4, True),
        ([2, 4, 6, 8], [10, 12, 10, 30], True),  # as long as they were followed up
        ([4, 4, 4, 4], [None] * 4, False),
        ([4, 4.5, 5, 5], [None] * 4, False),  # within one gap: the same date
        ([2, 4, 6, 8], [3, 5, 7, None], False),
        ([2, 6], [None] * 2, True),  # the others never
    ],
)
def test_what_counts_as_a_staggered_roll_out(panel, starts, ends, stepped):
    spells = [[(a, b)] for a, b in zip(starts, ends, strict=True)]
    facts = pattern(panel(spells + [[]] * (4 - len(spells)), list(range(0, 11, 2))), 0)
    assert facts.stepped is stepped


def test_never_exposed_clinicians_in_a_wedge_are_told(panel):
    recognised = recognise(panel([*STEPS, OFF, OFF], unit_size=None))["course"]
    assert recognised.design.name == "stepped_wedge"
    assert "2 clinicians never exposed" in recognised.comparison
    assert recognised.summary()["sequences"][-1] == {
        "start": None, "end": None, "spells": [], "clinicians": 2, "units": 1
    }  # fmt: skip


def test_rolling_recruitment_is_no_wedge(panel):
    firsts = [0, 5, 11, 16, 23, 30]
    times = [[f + t for t in range(8)] for f in firsts]
    recognised = recognise(panel([[(f + 3, None)] for f in firsts], times))["course"]
    assert recognised.design.name == "pre_post"
    summary = recognised.summary()
    assert summary["since_first_survey"] and [s["start"] for s in summary["sequences"]] == [3.0]
    controlled = panel([[(f + 3, None)] if i % 2 else [] for i, f in enumerate(firsts)], times)
    assert found(controlled) == "controlled_pre_post" and found(controlled, True) == "parallel_trial"


def test_a_programme_with_one_date_is_no_wedge_when_clinicians_join_late(panel):
    firsts = [0, 0, 0, 3, 6, 9]
    study = panel([[(4, None)]] * 6, [[f + t for t in range(14)] for f in firsts])
    assert pattern(study, 0).same_dates and pattern(study, 0).starts == (4.0,)
    assert found(study) == "pre_post"


def test_clinicians_who_join_late_do_not_break_up_a_wedge_by_units(panel):
    times = [[(i % 3) * 4 + t for t in range(14)] for i in range(12)]
    facts = pattern(panel(STEPS, times, unit_size=3), 0)
    assert facts.stepped and facts.by_units and facts.starts == (2.0, 4.0, 6.0, 8.0)


def test_nobody_whose_follow_up_sees_no_start_makes_a_wedge(panel):
    study = panel([[(-9, None)], [(-5, None)], [(-2, None)]] * 2)
    assert found(study) is None


@pytest.mark.parametrize("steps, few", [((3, 8), True), ((2, 5, 8), False)])
def test_few_start_dates_and_few_units_are_warned_of(panel, steps, few):
    spells = [[(t, None)] for t in steps for _ in range(4)]
    told = " ".join(recognise(panel(spells, unit_size=2))["course"].summary("periods")["warnings"])
    assert ("start dates: little tells" in told) is few
    assert f"Only {2 * len(steps)} units begin as one" in told
    told = " ".join(recognise(panel(spells))["course"].summary("periods")["warnings"])
    assert "units" not in told


# --- dates from 0/1 columns -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("holds", ["before", "after"])
@pytest.mark.parametrize("seed", range(4))
def test_jitter_and_missed_surveys_do_not_make_a_wedge(seed, holds):
    rng = np.random.default_rng(seed)
    times = [np.sort(np.arange(12) + rng.uniform(-0.45, 0.45, 12)) for _ in range(30)]
    times = [t[rng.random(12) > 0.25] for t in times]
    assert found(by_column(lambda i, t: t > 5.2, times, holds)) == "pre_post"
    assert found(by_column(lambda i, t: t > 5.2 and i % 2, times, holds)) == "controlled_pre_post"
    assert found(by_column(lambda i, t: t > 5.2 and i % 2, times, holds), True) == "parallel_trial"
    assert found(by_column(lambda i, t: 4 < t < 8.3, times, holds)) is None
    # one survey long, which many missed
    assert found(by_column(lambda i, t: 4 < t < 5.3, times, holds)) in (None, "controlled_pre_post")
    assert found(by_column(lambda i, t: t > 2 + 2 * (i % 4), times, holds)) == "stepped_wedge"
    assert found(by_column(lambda i, t: (t > 6) == bool(i % 2), times, holds)) == "crossover"


@pytest.mark.parametrize("n, expected", [(2, "pre_post"), (3, "pre_post"), (20, "interrupted_time_series")])
def test_before_and_after_in_a_column(n, expected):
    assert found(by_column(lambda i, t: t > (n - 1) // 2, [range(n)] * 5)) == expected


def test_an_arm_in_a_column_has_no_baseline():
    study = by_column(lambda i, t: i % 2, [range(6)] * 10)
    assert found(study) is None and found(study, True) == "parallel_trial"
    assert "Only 0 of 10" in " ".join(recognise(study, True)["course"].summary()["warnings"])


# --- crossover and n-of-1 -------------------------------------------------------------------------------------------


def test_a_crossover_with_a_baseline_and_a_wash_out(panel):
    assert found(panel([[(2, 5)], [(7, 10)]] * 3)) == "crossover"
    assert found(panel([[(2, 5)], [(7, None)]] * 3)) == "crossover"
    # in both, everybody goes on and off; here all do at the same time
    assert found(panel([[(2, 5)]] * 6)) is None


def test_the_smallest_crossover():
    for holds in ("before", "after"):
        on = (1, 2) if holds == "before" else (0, 1)
        assert found(by_column(lambda i, t, on=on: t == on[i % 2], [range(3)] * 6, holds)) == "crossover"


def test_few_in_the_other_order_make_no_crossover(panel):
    assert found(panel([[(0, 6)]] * 9 + [[(6, None)]])) is None


def test_late_joiners_and_leavers_of_one_course_make_no_crossover(panel):
    times = [list(range(6))] * 5 + [list(range(6, 14))] * 5
    assert found(panel([[(3, 9)]] * 10, times)) != "crossover"


def test_n_of_1_with_one_order_is_warned_of(panel):
    orders = {"both": ([(0, 3), (6, 9)], [(3, 6), (9, None)]), "one": ([(3, 6), (9, None)], [(3, 6), (9, None)])}
    for order, (a, b) in orders.items():
        told = " ".join(recognise(panel([a, b] * 4))["course"].summary()["warnings"])
        assert ("time and phase go together" in told) is (order == "one")


def test_an_endless_exposure_runs_on(panel):
    study = panel([[(t, t + 2)] for t in (2, 4, 6, 8) for _ in range(3)])
    assert found(study) == "crossover"
    assert found(study, endless=["course"]) == "stepped_wedge"
    assert found(study, stated={"course": "stepped_wedge"}, endless=["course"]) == "stepped_wedge"
    assert found(panel([[(4, 6)]] * 5), endless=["course"]) == "pre_post"


# --- control groups -------------------------------------------------------------------------------------------------


def test_those_who_left_before_the_start_are_no_control_group(panel):
    times = [WEEKS] * 8 + [[0, 1, 2]] * 2
    study = panel([ON] * 8 + [OFF] * 2, times)
    assert pattern(study, 0).n_never == 0 and found(study) == "pre_post"
    with pytest.raises(UserError, match="all clinicians were exposed but 2, who left before the others' start"):
        recognise(study, stated={"course": "parallel_trial"})


def test_those_who_joined_or_left_do_not_break_up_a_cluster(panel):
    spells = [*[[(4, 8)]] * 4, OFF, OFF, *[OFF] * 6]
    times = [*[WEEKS] * 4, [0, 1, 2], [9, 10, 11], *[WEEKS] * 6]
    assert found(panel(spells, times, unit_size=3), True) == "cluster_trial"
    assert found(panel(spells, [WEEKS] * 12, unit_size=3), True) == "parallel_trial"


def test_one_never_exposed_among_many_is_a_straggler(panel):
    assert found(panel([ON] * 30 + [OFF])) == "pre_post"
    assert found(panel([ON] * 10 + [OFF])) == "controlled_pre_post"
    assert recognise(panel([ON] * 30 + [OFF]), stated={"course": "pre_post"})


def test_units_of_one_clinician_are_no_clusters(panel):
    assert found(panel([ON, OFF] * 6, unit_size=1), True) == "parallel_trial"


def test_few_clusters_are_warned_of(panel):
    for units in (4, 12):
        study = panel([ON if i // 2 % 2 else OFF for i in range(2 * units)], unit_size=2)
        told = " ".join(recognise(study, True)["course"].summary()["warnings"])
        assert ("Only 4 units" in told) is (units == 4)


def test_without_secular_time_a_drift_is_warned_of(sample):
    for name in ("parallel_trial", "cluster_trial", "controlled_pre_post"):
        recognised = recognise(sample(name), DESIGNS[name].randomised)["course"]
        assert "drift" in " ".join(recognised.summary("none")["warnings"])
        assert "drift" not in " ".join(recognised.summary("linear")["warnings"])


# --- ugly cases -----------------------------------------------------------------------------------------------------


def test_nobody_exposed(panel):
    for spells in ([OFF] * 3, [[(-5, -2)], [(13, None)], [(12, 14)]]):
        recognised = recognise(panel(spells), True)["course"]
        assert recognised.design is None and title_of(recognised) == "no design recognised"
        summary = recognised.summary("linear")
        assert summary["comparison"].startswith("Nobody was exposed")
        assert summary["sequences"] == [{"start": None, "end": None, "spells": [], "clinicians": 3, "units": 1}]


def test_one_clinician(panel):
    assert found(panel([ON])) == "pre_post"
    assert found(panel([[(2, 4), (6, 8)]])) == "n_of_1"
    with pytest.raises(UserError, match="the only clinician was exposed"):
        recognise(panel([ON]), stated={"course": "parallel_trial"})


def test_one_survey_each(panel):
    study = panel([[(0, None)], OFF] * 3, [[t] for t in (1, 2, 3, 4, 5, 6)])
    assert pattern(study, 0).gap == 0
    assert found(study) is None and found(study, True) == "parallel_trial"
    json.dumps(recognise(study, True)["course"].summary())


def test_spells_that_touch_or_differ_in_dose_only_are_one(panel):
    doses = [[(4, 6, 0.5), (6, 8, 1.0), (8.1, None, 0.8)]] * 6
    facts = pattern(panel(doses), 0)
    assert facts.spells.max() == 1 and facts.switches.max() == 1 and facts.least_dose == 0.5
    assert found(panel(doses)) == "pre_post"
    assert pattern(panel([ON] * 2), 0).least_dose == 1


def test_exposure_counts_within_the_follow_up(panel):
    facts = pattern(panel([[(-9, -1), (3, 5), (20, 30)], [(-9, 0)], [(12, 15)], [(-3, 1)], [(11, 12)]]), 0)
    assert facts.exposed.tolist() == [True, False, False, True, True]
    assert facts.switches.tolist() == [2, 0, 0, 1, 1]
    assert facts.begins_on.tolist() == [False, False, False, True, False]
    assert facts.runs_on.tolist() == [False, False, False, False, True]
    np.testing.assert_array_equal(facts.start, [3, np.nan, np.nan, 0, 11])
    assert facts.before.tolist()[:1] + facts.after.tolist()[3:] == [4, 13, 1]


def test_unanswered_surveys_are_no_baseline(panel):
    values = {"wellbeing": ([np.nan] * 5 + [50.0] * 8) * 6}
    facts = pattern(panel([ON] * 6, values=values), 0)
    assert facts.before.tolist() == [0] * 6 and facts.after.tolist() == [8] * 6
    assert found(panel([ON] * 6, values=values)) is None


def test_many_patterns_are_cut_to_the_commonest(panel):
    study = panel([[(2 * (i % 14) + 1, None)] for i in range(28)] + [[(1, None)]] * 3, list(range(0, 40)))
    summary = recognise(study)["course"].summary()
    assert len(summary["sequences"]) == 12 and summary["left_out"] == 4
    assert summary["sequences"][0] == {
        "start": 1.0, "end": None, "spells": [[1.0, None]], "clinicians": 5, "units": 1
    }  # fmt: skip


def test_interventions_are_recognised_one_by_one():
    study = datasets.design_study(
        clinicians=24, surveys=9, units=6, interventions={"a": "stepped", "b": "parallel", "c": "alternating"}
    )
    assert {n: r.design.name for n, r in recognise(study, True).items()} == {
        "a": "stepped_wedge", "b": "cluster_trial", "c": "n_of_1"
    }  # fmt: skip


def test_it_stays_light():
    code = (
        "import sys, equipoise.models.study_designs\n"
        "heavy = {'pymc', 'pytensor', 'arviz', 'nutpie', 'numba'} & set(sys.modules)\nassert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
