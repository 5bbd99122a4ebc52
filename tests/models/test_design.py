import numpy as np
import pandas as pd
import pytest

from equipoise import CapacityModel, datasets, simulate
from equipoise.datasets import Score, Study
from equipoise.models.design import build_design
from equipoise.models.timeline import lay_out

PLAIN = CapacityModel(selection=False, randomised=True, periods=0)


def steps_of(design, i):
    """(gap, doses, survey) of each step of clinician i, and how many of them are the prelude."""
    layout = design.layout
    begin, end = layout.step_offset[i], layout.step_offset[i + 1]
    n_terms = len(design.terms.names)
    n_doses = len(design.interventions)
    doses = design.epoch_columns[:, n_terms : n_terms + n_doses]
    steps = [
        (round(float(layout.step_gap[t]), 9), tuple(doses[layout.step_epoch[t]].tolist()), int(layout.step_survey[t]))
        for t in range(begin, end)
    ]
    return steps, int(layout.step_prelude[i])


# --- intervals ------------------------------------------------------------------------------------------------------


def test_a_spell_between_surveys_splits_the_interval_at_its_own_dates(make_study):
    study = make_study({"a": [0, 2, 5], "b": [0, 4]}, spells=[("a", "course", 3, 4.5, 0.5)])
    design, _, _ = build_design(PLAIN, study)
    assert steps_of(design, 0) == (
        [(0.0, (0.0,), 0), (2.0, (0.0,), 1), (1.0, (0.0,), -1), (1.5, (0.5,), -1), (0.5, (0.0,), 2)],
        0,
    )
    assert steps_of(design, 1) == ([(0.0, (0.0,), 3), (4.0, (0.0,), 4)], 0)
    # the same state before and after the spell is one epoch, and no two clinicians share one
    epochs = design.layout.step_epoch
    assert epochs[1] == epochs[2] == epochs[4] != epochs[3]
    np.testing.assert_array_equal(design.epoch_clinician[epochs], [0] * 5 + [1] * 2)


def test_a_spell_that_starts_at_a_survey_acts_after_it_and_ends_before_the_next(make_study):
    study = make_study({"a": [0, 2, 5]}, spells=[("a", "course", 2, 5)])
    design, _, _ = build_design(PLAIN, study)
    assert steps_of(design, 0)[0] == [(0.0, (0.0,), 0), (2.0, (0.0,), 1), (3.0, (1.0,), 2)]


def test_spells_begun_before_the_first_survey_make_a_prelude(make_study):
    study = make_study(
        {"a": [0, 2], "b": [1, 3], "c": [1, 3]},
        spells=[("a", "course", -3, -1), ("a", "coach", -2, 1), ("b", "course", 1, 9), ("c", "course", -5, -4)],
    )
    design, _, _ = build_design(PLAIN, study)
    coach, course = (study.interventions.index(n) for n in ("coach", "course"))
    expected = [(1.0, {course}), (1.0, {course, coach}), (1.0, {coach}), (0.0, {coach}), (1.0, {coach}), (1.0, set())]
    steps, prelude = steps_of(design, 0)
    assert prelude == 3
    assert [(gap, {k for k in range(2) if doses[k]}) for gap, doses, _ in steps] == expected
    assert [survey for *_, survey in steps] == [-1, -1, -1, 0, -1, 1]
    # a spell that begins with the first survey, by contrast, has had no effect yet
    assert steps_of(design, 1)[1] == 0
    # one that ended long before still has an after-effect at the first survey
    steps, prelude = steps_of(design, 2)
    assert prelude == 2
    assert [gap for gap, *_ in steps] == [1.0, 5.0, 0.0, 2.0]


def test_spells_after_the_last_survey_and_single_surveys_change_nothing(make_study):
    study = make_study({"a": [0, 2], "b": [1]}, spells=[("a", "course", 3, 4), ("b", "course", 1, 4)])
    design, _, _ = build_design(PLAIN, study)
    assert steps_of(design, 0) == ([(0.0, (0.0,), 0), (2.0, (0.0,), 1)], 0)
    assert [(gap, survey) for gap, _, survey in steps_of(design, 1)[0]] == [(0.0, 2)]


def test_several_scores_at_one_time_are_steps_of_no_length(make_study):
    scores = {"joy": Score((0, 10), "higher", step=1), "stress": Score((0, 4), "lower", step=1)}
    study = make_study({"a": [0, 2]}, scores=scores, values={"joy": [7, np.nan], "stress": [1, 3]})
    design, _, _ = build_design(PLAIN, study)
    assert [(gap, survey) for gap, _, survey in steps_of(design, 0)[0]] == [(0.0, 0), (0.0, 1), (2.0, 2), (0.0, 3)]
    np.testing.assert_array_equal(design.survey_score, [70, 75, np.nan, 25])
    np.testing.assert_array_equal(design.survey_indicator, [0, 1, 0, 1])
    np.testing.assert_allclose(design.error_floor, [10**2 / 12, 25**2 / 12])


@pytest.mark.parametrize(
    "holds, gaps, values",
    [
        # the first row describes an interval one median gap (2) long, which lies before the first survey
        ("before", [2.0, 0.0, 2.0, 3.0], [5.0, 8.0, 6.0]),
        ("after", [0.0, 2.0, 3.0], [5.0, 8.0]),
    ],
)
def test_holds_puts_a_row_s_covariate_before_or_after_it(make_study, holds, gaps, values):
    study = make_study(
        {"a": [0, 2, 5], "b": [0, 2, 4]},
        covariates={"sleep": {"a": [5, 8, 6], "b": [7, 7, 7]}},
        holds=holds,
    )
    model = CapacityModel(replenishment="sleep", split_covariates=False, periods=0)
    design, _, _ = build_design(model, study)
    layout = design.layout
    mine = slice(layout.step_offset[0], layout.step_offset[1])
    np.testing.assert_allclose(layout.step_gap[mine], gaps)
    column = design.epoch_columns[layout.step_epoch[mine], 0][np.array(gaps) > 0]
    raw = column * design.terms.scale[0]
    np.testing.assert_allclose(np.diff(raw), np.diff(values))
    assert design.terms.scale[0] == pytest.approx(np.std([5, 8, 6, 7, 7, 7]))


def test_base_epochs_have_no_dose_no_period_and_covariates_at_their_time_weighted_mean(make_study):
    study = make_study(
        {"a": [0, 2, 5], "b": [0, 2, 4]},
        spells=[("a", "course", 1, 3), ("b", "course", 0, 9)],
        covariates={"sleep": {"a": [5, 8, 6], "b": [7, 6, 9]}},
        holds="before",
    )
    model = CapacityModel(replenishment="sleep", split_covariates=False, periods=2)
    design, _, _ = build_design(model, study)
    base = design.epoch_columns[design.epoch_base]
    np.testing.assert_array_equal(design.epoch_clinician[design.epoch_base], [0, 1])
    assert design.secular.n_columns == 2
    np.testing.assert_array_equal(base[:, 1:], 0)
    mean_a, mean_b = (2 * 5 + 2 * 8 + 3 * 6) / 7, (2 * 7 + 2 * 6 + 2 * 9) / 6
    np.testing.assert_allclose((base[0, 0] - base[1, 0]) * design.terms.scale[0], mean_a - mean_b)
    # what is in force at the end: course for b, not for a
    np.testing.assert_array_equal(design.epoch_columns[design.epoch_last, 1], [0, 1])


# --- selection and calendar time ------------------------------------------------------------------------------------


def test_mean_exposure_is_the_dose_weighted_share_of_the_follow_up(make_study):
    study = make_study(
        {"a": [0, 4], "b": [2, 10], "c": [0, 5], "d": [3, 8], "e": [1]},
        spells=[
            ("a", "course", -3, 1), ("b", "course", 3, 5, 0.5), ("b", "course", 9, 20),
            ("d", "course", 8, 9), ("e", "course", 0, 2, 0.25),
        ],
    )  # fmt: skip
    expected = np.array([1 / 4, (0.5 * 2 + 1) / 8, 0, 0, 0.25])
    design, _, _ = build_design(CapacityModel(), study)
    assert design.selected == (0,)
    np.testing.assert_allclose(design.mean_exposure[:, 0], expected - expected.mean())


@pytest.mark.parametrize(
    "options, adjusted",
    [
        ({}, True),
        ({"randomised": True}, False),
        ({"randomised": True, "selection": True}, True),
        ({"selection": False}, False),
    ],
)
def test_selection_is_adjusted_for_unless_randomised_or_declined(make_study, options, adjusted):
    study = make_study({"a": [0, 4], "b": [0, 4]}, spells=[("a", "course", 2, 4)])
    design, _, _ = build_design(CapacityModel(**options), study)
    assert bool(design.selected) is adjusted


def test_exposure_that_is_the_same_for_all_says_nothing_of_selection(make_study):
    study = make_study({"a": [0, 4], "b": [0, 4]}, spells=[("a", "course", 1, 2), ("b", "course", 2, 3)])
    design, _, _ = build_design(CapacityModel(), study)
    assert design.selected == ()
    assert design.mean_exposure.shape == (2, 0)


@pytest.mark.parametrize("roll_out, staggered", [("stepped", True), ("parallel", False), ("alternating", False)])
def test_staggered_roll_outs_are_recognised(roll_out, staggered):
    study = datasets.design_study(clinicians=12, surveys=8, units=4, interventions={"course": roll_out})
    design, _, _ = build_design(CapacityModel(), study)
    # four units start at four dates: five periods
    assert (design.secular.kind == "periods") is staggered
    assert design.secular.n_columns == (5 if staggered else design.secular.kind == "linear")


@pytest.mark.parametrize(
    "starts, ends, staggered",
    [
        ([2, 4, 6, 8], [None] * 4, True),
        ([2, 4, 6, 8], [10, 12, 10, 30], True),  # as long as they were followed up
        ([4, 4, 4, 4], [None] * 4, False),
        ([4, 4.5, 5, 5], [None] * 4, False),  # within one gap: the same date
        ([2, 4, 6, 8], [3, 5, 7, None], False),  # courses that end leave days to compare with
        ([2, 6], [None] * 2, True),  # the others never
    ],
)
def test_what_counts_as_a_staggered_roll_out(make_study, starts, ends, staggered):
    spells = [(who, "course", a, b) for who, a, b in zip("abcd", starts, ends, strict=False)]
    study = make_study({who: list(range(0, 11, 2)) for who in "abcd"}, spells)
    assert (build_design(CapacityModel(), study)[0].secular.kind == "periods") is staggered


def test_calendar_periods_split_time_evenly_and_number_every_step(make_study):
    study = make_study({"a": [0, 5, 9], "b": [4, 5]})
    design, _, _ = build_design(CapacityModel(periods=3), study)
    np.testing.assert_allclose(design.secular.edges, [0, 3, 6, 9])
    layout = design.layout
    ends = np.concatenate([np.cumsum(layout.step_gap[:5]), 4 + np.cumsum(layout.step_gap[5:])])
    np.testing.assert_allclose(ends, [0, 3, 5, 6, 9, 4, 5])
    moving = layout.step_gap > 0  # the steps of no length end at the first survey and move nothing
    period = design.epoch_columns[layout.step_epoch[moving]]
    np.testing.assert_array_equal(period.sum(axis=1), 1)
    np.testing.assert_array_equal(period.argmax(axis=1), [0, 1, 1, 2, 1])
    np.testing.assert_array_equal(design.epoch_columns[design.epoch_start].argmax(axis=1), [0, 1])


def test_one_period_is_no_period(make_study):
    study = make_study({"a": [0, 5]})
    for periods in (0, 1):
        assert build_design(CapacityModel(periods=periods), study)[0].secular.n_columns == 0


def test_more_time_points_make_more_steps_but_no_new_epochs():
    study = datasets.design_study(
        clinicians=5, surveys=6, units=2, jitter=0.3, interventions={"a": "stepped", "b": "alternating"},
        covariates=("sleep",),
    )  # fmt: skip
    model = CapacityModel(replenishment="sleep", periods=3)
    design, timeline, epoch = build_design(model, study)
    rng = np.random.default_rng(0)
    times = study.occasions.groupby("clinician")["time"]
    wanted = [np.sort(rng.uniform(low, high, 9)) for low, high in zip(times.min(), times.max(), strict=True)]
    wanted[2][4] = study.occasions.query("clinician == 2")["time"].iloc[2]  # a point at a survey
    wanted[2].sort()
    layout = lay_out(timeline, epoch, wanted)
    assert set(layout.step_epoch) == set(design.layout.step_epoch)
    np.testing.assert_array_equal(np.sort(layout.step_point[layout.step_point >= 0]), np.arange(45))
    np.testing.assert_array_equal(
        layout.step_survey[layout.step_survey >= 0], design.layout.step_survey[design.layout.step_survey >= 0]
    )
    start = times.min().to_numpy()
    for i in range(5):
        mine = np.arange(layout.step_offset[i] + layout.step_prelude[i], layout.step_offset[i + 1])
        end = start[i] + np.cumsum(layout.step_gap[mine])
        at_point = layout.step_point[mine] >= 0
        np.testing.assert_allclose(end[at_point], wanted[i])
        # time spent in every epoch is as before
        def spent(lay, i=i):
            rows = slice(lay.step_offset[i], lay.step_offset[i + 1])
            return np.bincount(lay.step_epoch[rows], lay.step_gap[rows], design.n_epochs)

        np.testing.assert_allclose(spent(layout), spent(design.layout), atol=1e-12)


# --- the whole compile step against brute force ---------------------------------------------------------------------

STEP = 0.005  # dates are hundredths, and the median gap may lie half way between two of them
TRUTH = {
    "level": 55.0, "half_life": 1.7, "total_sd": 1e-9, "rate_sd": 0.0, "unit_level_sd": 0.0, "unit_rate_sd": 0.0,
    "start_shift": 6.0, "start_sd_ratio": 1.0, "spread_sd": 0.0, "selection": [0.12, -0.07],
    "level_change": [0.15, -0.1], "speed_up": [0.3], "period_effect": [0.05, -0.02, 0.09],
    "covariate_level": [0.06, -0.04, 0.03], "covariate_speed": [0.2],
}  # fmt: skip


def random_panel(rng):
    """Times, spells and covariates of five clinicians, all on a grid of hundredths."""
    times = {who: np.sort(rng.choice(np.arange(1, 1200), rng.integers(1, 6), False)) / 100 for who in "abcd"}
    times["a"] = np.concatenate([[0.0], times["a"], [12.0]])  # so that the three periods end at 4, 8 and 12
    times["e"] = np.array([3.5, 3.75])
    spells = []
    for who in times:
        for intervention in ("coach", "course"):
            cuts = np.sort(rng.choice(np.arange(-300, 1500), 2 * rng.integers(0, 3), False)) / 100
            spells += [(who, intervention, a, b, round(rng.uniform(0.1, 1), 2)) for a, b in cuts.reshape(-1, 2)]
    sleep = {who: rng.uniform(4, 9, t.size).tolist() for who, t in times.items()}
    senior = {who: [float(n % 2)] * t.size for n, (who, t) in enumerate(times.items())}
    return {who: t.tolist() for who, t in times.items()}, spells, {"sleep": sleep, "senior": senior}


def median_gap_of(times):
    return np.median(np.concatenate([np.diff(t) for t in times.values()]))


def integrate(times, spells, covariates, holds):
    """Expected capacity at every survey by a Runge-Kutta integration in tiny steps, from the user's own tables."""
    gap = median_gap_of(times)
    weights = {}
    for who, t in times.items():
        lengths = np.append(np.diff(t), 0.0) if holds == "after" else np.append(gap, np.diff(t))
        weights[who] = lengths if lengths.sum() > 0 else np.ones(len(t))
    everything = np.concatenate([covariates["sleep"][who] for who in times])
    scale = everything.std()
    own = {who: np.average(covariates["sleep"][who], weights=weights[who]) for who in times}
    centre = np.mean(list(own.values()))
    senior_mean = np.mean([covariates["senior"][who][0] for who in times])
    exposure = {}
    for who, t in times.items():
        for name in ("coach", "course"):
            share = 0.0
            for s in spells:
                if s[:2] == (who, name):
                    if len(t) > 1:
                        share += s[4] * max(min(s[3], t[-1]) - max(s[2], t[0]), 0) / (t[-1] - t[0])
                    elif s[2] <= t[0] < s[3]:
                        share = s[4]
            exposure[who, name] = share
    mean_exposure = {name: np.mean([exposure[who, name] for who in times]) for name in ("coach", "course")}
    period = np.array(TRUTH["period_effect"]) - np.mean(TRUTH["period_effect"])
    # coach acts on both levers, course on depletion alone: its theta_beta is minus the change of log C*
    d_level = dict(zip(("coach", "course"), TRUTH["level_change"], strict=True))
    d_rate = {"coach": TRUTH["speed_up"][0] - TRUTH["level_change"][0] / 2, "course": -TRUTH["level_change"][1]}

    out = []
    for who, t in times.items():
        def base_logs(sleep_mean, deviation, who=who):
            # sleep acts on replenishment alone, senior on both
            between = (sleep_mean - centre) / scale
            senior = covariates["senior"][who][0] - senior_mean
            g_mean, g_dev, g_senior = TRUTH["covariate_level"]
            level = np.log(TRUTH["level"]) + g_mean * between + g_dev * deviation + g_senior * senior
            rate = np.log(np.log(2) / TRUTH["half_life"])
            rate += (TRUTH["covariate_speed"][0] - g_senior / 2) * senior
            for name, effect in zip(("coach", "course"), TRUTH["selection"], strict=True):
                level += effect * (exposure[who, name] - mean_exposure[name])
            return level, rate

        def levers_at(moment, who=who, t=t, base_logs=base_logs):
            if holds == "before":
                row = min(np.searchsorted(t, moment), len(t) - 1)
            else:
                row = max(np.searchsorted(t, moment) - 1, 0)
            deviation = (covariates["sleep"][who][row] - own[who]) / scale
            # before the interval of the first row nothing is known: the person's mean, and the first survey's period
            if moment < t[0] - (gap if holds == "before" else 0.0):
                deviation = 0.0
            level, rate = base_logs(own[who], deviation)
            level += period[int(np.clip(max(moment, t[0]) // 4, 0, 2))]
            for s in spells:
                if s[0] == who and s[2] <= moment < s[3]:
                    level += s[4] * d_level[s[1]]
                    rate += s[4] * d_rate[s[1]]
            return np.exp(level), np.exp(rate)

        begin = min([t[0], *(s[2] for s in spells if s[0] == who)])
        if holds == "before":
            begin = min(begin, t[0] - gap)
        c = np.exp(base_logs(own[who], 0.0)[0] + period[int(np.clip(t[0] // 4, 0, 2))])
        now = begin
        for n, target in enumerate(t):
            steps = round((target - now) / STEP)
            h = (target - now) / steps if steps else 0.0
            for k in range(steps):
                level, rate = levers_at(now + (k + 0.5) * h)
                k1 = rate * (level - c)
                k2 = rate * (level - c - h / 2 * k1)
                k3 = rate * (level - c - h / 2 * k2)
                k4 = rate * (level - c - h * k3)
                c += h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            now = target
            if n == 0:
                c += TRUTH["start_shift"]
            out.append(c)
    return np.array(out)


@pytest.mark.parametrize("holds", ["before", "after"])
@pytest.mark.parametrize("seed", range(5))
def test_the_compiled_study_moves_as_the_differential_equation_says(make_study, seed, holds):
    times, spells, covariates = random_panel(np.random.default_rng(seed))
    units = dict(zip(times, ("north", "north", "south", "south", "south"), strict=True))
    study = make_study(times, spells, covariates, units, holds=holds)
    model = CapacityModel(
        replenishment="sleep + senior", depletion="senior", interventions={"course": "depletion"}, periods=3
    )
    design, _, _ = build_design(model, study)
    assert study.interventions == ("coach", "course")
    assert design.terms.names == ("sleep (mean)", "sleep (deviation)", "senior")
    path = simulate(model, study, TRUTH, seed=0, rounded=False).path
    np.testing.assert_allclose(path, integrate(times, spells, covariates, holds), rtol=1e-7)


def test_intervention_columns_and_the_spells_they_stand_for_are_one_design(make_study):
    frame = pd.DataFrame({"id": "a", "week": [0.0, 1.0, 3.0, 6.0], "on": [0, 1, 1, 0], "joy": [1, 5, 7, 2]})
    joy = Score((0, 10), "higher", step=1)
    common = {"clinician": "id", "time": "week", "time_unit": "week", "scores": {"joy": joy}}
    by_column = datasets.Study.from_table(frame, interventions={"course": "on"}, holds="before", **common)
    spells = pd.DataFrame({"clinician": ["a"], "start": [0.0], "end": [3.0]})
    by_spell = datasets.Study.from_table(frame, interventions={"course": spells}, **common)
    ours, theirs = (build_design(PLAIN, study)[0] for study in (by_column, by_spell))
    for name in ("step_gap", "step_epoch", "step_survey", "step_prelude"):
        np.testing.assert_array_equal(getattr(ours.layout, name), getattr(theirs.layout, name))
    np.testing.assert_array_equal(ours.epoch_columns, theirs.epoch_columns)


# --- what is in force before the first survey -----------------------------------------------------------------------


def expected_start(study, model, effect):
    """Expected capacity at each clinician's first survey, level 50, with a period effect and nothing else."""
    from equipoise.models.likelihood import smoother

    design, _, _ = build_design(model, study)
    shift = design.epoch_columns[:, -design.secular.n_columns :] @ np.array(effect)
    level, rate = 50 * np.exp(shift), np.ones(design.n_epochs)
    offset, prelude, gap, epoch, _, start, *_, anchor = design.data()
    zero = np.zeros(design.n_clinicians)
    path = smoother.expected_path(offset, prelude, gap, epoch, start, anchor, level, rate, zero, zero)
    return path[offset[:-1] + prelude]


def test_the_start_is_at_the_level_of_its_own_calendar_period():
    frame = pd.DataFrame(
        {"id": list("aaabbbcc"), "week": [0, 15, 30, 0, 15, 30, 15, 30], "wellbeing": [50.0] * 8}
    )  # fmt: skip
    spells = pd.DataFrame({"clinician": ["a"], "intervention": ["rounds"], "start": [-30.0], "end": [31.0]})
    study = Study.from_table(
        frame, clinician="id", time="week", time_unit="week", spells=spells,
        scores={"wellbeing": Score(range=(0, 100), better="higher", step=1)},
    )  # fmt: skip
    start = expected_start(study, CapacityModel(periods=3), [0.2, 0.0, -0.2])
    np.testing.assert_allclose(start, [50 * np.exp(0.2), 50 * np.exp(0.2), 50.0], rtol=1e-9)


@pytest.mark.parametrize("holds, known", [("before", 2.0), ("after", 0.0)])
def test_long_before_the_first_survey_covariates_are_at_the_person_s_mean(holds, known):
    frame = pd.DataFrame({"id": ["a"] * 3 + ["b"] * 3, "week": [0, 2, 4] * 2, "y": [50.0] * 6, "sleep": [1, 2, 6, 3, 1, 1]})
    spells = pd.DataFrame({"clinician": ["a"], "intervention": ["rounds"], "start": [-50.0], "end": [5.0]})
    study = Study.from_table(
        frame, clinician="id", time="week", time_unit="week", spells=spells, covariates=["sleep"], holds=holds,
        scores={"y": Score(range=(0, 100), better="higher", step=1)},
    )  # fmt: skip
    design, _, _ = build_design(CapacityModel(replenishment="sleep"), study)
    n = design.layout.step_prelude[0]
    gaps, epochs = design.layout.step_gap[:n], design.layout.step_epoch[:n]
    base = design.epoch_columns[design.epoch_base[0], : len(design.terms.names)]
    at_mean = (np.abs(design.epoch_columns[epochs, : base.size] - base) < 1e-12).all(axis=1)
    assert gaps[at_mean].sum() == 50 - known
    assert gaps[~at_mean].sum() == known


def test_the_first_survey_ends_the_interval_that_its_row_describes():
    frame = pd.DataFrame({"id": ["a"] * 6, "day": range(6), "y": [50.0] * 6, "on": [1, 0, 0, 1, 1, 0]})
    study = Study.from_table(
        frame, clinician="id", time="day", time_unit="day", interventions={"rounds": "on"}, holds="before",
        scores={"y": Score(range=(0, 100), better="higher", step=1)},
    )  # fmt: skip
    design, _, _ = build_design(CapacityModel(), study)
    ends = design.layout.step_survey >= 0
    np.testing.assert_array_equal(design.epoch_columns[design.layout.step_epoch[ends], 0], frame["on"])
