"""What a study can and cannot tell, in plain sentences."""

import numpy as np
import pandas as pd
import pytest

from equipoise.check import check

HEAD = """\
schema = 1
[study]
data = "survey.csv"
clinician = "id"
time = "week"
time_unit = "week"
holds = "after"
{unit}
[study.scores.stress]
range = [0, 10]
better = "lower"
{score}
{rest}
"""


@pytest.fixture
def examine(tmp_path):
    """Check a study with these weeks for each clinician; exposure is a function of clinician and week."""

    def examine(weeks, clinicians=24, on=None, rest="", units=None, points=None, score=""):
        rng = np.random.default_rng(1)
        rows = [
            [f"c{i}", week, rng.integers(0, 11) if points is None else points, f"u{i % (units or 1)}"]
            + [int(bool(f(i, week))) for f in (on or {}).values()]
            for i in range(clinicians)
            for week in weeks
        ]
        pd.DataFrame(rows, columns=["id", "week", "stress", "ward", *(on or {})]).to_csv(
            tmp_path / "survey.csv", index=False
        )
        rest = "".join(f'[interventions.{k}]\ncolumn = "{k}"\n' for k in on or {}) + rest
        (tmp_path / "analysis.toml").write_text(
            HEAD.format(unit='unit = "ward"' if units else "", score=score, rest=rest)
        )
        return check(tmp_path / "analysis.toml")

    return examine


def said(lines, *words):
    return any(all(word in line for word in words) for line in lines)


WEEKS = range(0, 26, 2)
PRIOR = "[model.priors]\nhalf_life = {{ median = {}, factor = 2.0 }}\n"


def test_a_good_study_has_no_caution_but_is_described(examine):
    found = examine(WEEKS, on={"mb": lambda i, w: w >= 4 + i % 12 and i % 12}, units=12)
    assert len(found.cautions) == 1  # that of every stepped wedge
    assert said(found.cautions, "mb: The effect is taken as the same whatever the time since the start")
    assert said(found.study, "24 clinicians in 12 units", "312 answers")
    assert said(found.study, "Median gap between surveys 2 weeks, median follow-up 24 weeks")
    assert said(found.study, "mb: 22 of 24 clinicians exposed, in 11 of 12 units")
    assert said(found.tells, "the default for this spacing and length", "median 6.9 weeks")
    assert said(found.tells, "mb: stepped-wedge trial (recognised from the spells)", "11 units began at 6 dates")
    assert said(found.tells, "Calendar time has an effect of its own in 6 periods")


def test_a_half_life_below_the_gap(examine):
    found = examine(WEEKS, rest=PRIOR.format(0.1))
    assert said(found.cautions, "much shorter than the median gap", "beta is known only from its prior")
    assert said(found.tells, "stated in [model.priors]")


def test_a_half_life_beyond_the_follow_up(examine):
    found = examine(WEEKS, rest=PRIOR.format(200))
    assert said(found.cautions, "alpha and beta cannot be told apart", "longer follow-up")
    assert not said(found.cautions, "shorter than the median gap")


def test_few_waves(examine):
    found = examine((0, 4, 8))
    assert said(found.cautions, "median of 3 surveys", "measurement error")


def test_nobody_surveyed_twice(tmp_path):
    frame = pd.DataFrame({"id": [f"c{i}" for i in range(20)], "week": range(20), "stress": [i % 11 for i in range(20)]})
    frame.to_csv(tmp_path / "survey.csv", index=False)
    (tmp_path / "analysis.toml").write_text(HEAD.format(unit="", score="", rest="").replace('holds = "after"', ""))
    assert said(check(tmp_path / "analysis.toml").cautions, "Nobody was surveyed twice")


def test_units(examine):
    assert said(examine(WEEKS, units=4).cautions, "Only 4 units")
    assert said(examine(WEEKS, units=24).cautions, "single clinician")
    assert said(examine(WEEKS).tells, "no unit effects")
    assert said(examine(WEEKS, clinicians=4).cautions, "Only 4 clinicians")


@pytest.mark.parametrize(
    ("on", "words"),
    [
        (lambda i, w: True, ("everybody was exposed from the first survey to the last",)),
        (lambda i, w: False, ("nobody was exposed",)),
        (lambda i, w: i % 2, ("compared between clinicians only",)),
        (lambda i, w: w >= 12, ("Without a control group",)),
    ],
)
def test_interventions_without_a_contrast(examine, on, words):
    assert said(examine(WEEKS, on={"mb": on}).cautions, "mb:", *words)


def test_an_intervention_given_to_few_units(examine):
    found = examine(WEEKS, on={"mb": lambda i, w: w >= 12 and i % 4 < 2}, units=4)
    assert said(found.cautions, "Only 4 units", "apart by chance")


def test_spells_outside_the_study(examine, tmp_path):
    pd.DataFrame({"clinician": ["c1", "c2"], "start": [3, 300], "end": [9, ""]}).to_csv(
        tmp_path / "spells.csv", index=False
    )
    found = examine(WEEKS, rest='[interventions.mb]\nspells = "spells.csv"\n')
    assert said(found.cautions, "mb: 1 of 2 spells", "look at their dates")


def test_clinicians_without_a_unit(examine, tmp_path):
    examine(WEEKS, units=12)
    frame = pd.read_csv(tmp_path / "survey.csv")
    frame.loc[frame["id"].isin(["c3", "c15"]), "ward"] = None
    frame.to_csv(tmp_path / "survey.csv", index=False)
    assert said(check(tmp_path / "analysis.toml").cautions, "2 clinicians without a unit", "c3, c15")


def test_answers_off_the_stated_step(examine):
    assert said(examine(WEEKS, score="step = 2.0").cautions, "do not lie on a step of 2")


def test_interventions_in_step_cannot_be_told_apart(examine):
    def on(i, w):
        return w >= 12 and i % 2

    found = examine(WEEKS, on={"a": on, "b": on})
    assert said(found.cautions, "a and b", "cannot be told apart")


def test_switching_an_adjustment_off_is_a_caution(examine):
    found = examine(WEEKS, on={"mb": lambda i, w: w >= i % 12}, rest="[model]\nperiods = 0\nselection = false\n")
    assert said(found.cautions, "No secular time") and said(found.cautions, "Selection is not adjusted for")
    found = examine(WEEKS, on={"mb": lambda i, w: w >= i % 12}, rest="[model]\nrandomised = true\n")
    assert said(found.tells, "randomised")


def test_scores_at_their_end_and_without_variation(examine):
    found = examine(WEEKS, points=10, score="step = 1.0")
    assert said(found.cautions, "same value in every answer")
    assert said(examine(WEEKS).study, "stress: 0 to 10, lower is better", "steps of 1 (detected)")
