"""What an analysis file asks of the programmes is checked before anything is sampled, with one clear message."""

import pandas as pd
import pytest

from equipoise.analysis import Analysis
from equipoise.datasets.errors import UserError


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("[estimands]\nhorizn = 5\n", r"\[estimands\] horizn: unknown key. Did you mean 'horizon'"),
        ("[estimands]\nshow = ['area']\n", r"\[estimands\]: the estimand 'area' needs a horizon"),
        ("[estimands]\nhorizon = -1\n", r"\[estimands\] horizon"),
        ("[estimands]\nthreshold = 120\n", "threshold must lie inside 0 to 100"),
        ("[estimands]\nby = ['role']\n", "there is no column 'role'"),
        ("[estimands]\nby = ['sleep']\n", "'sleep' changes within clinicians"),
        ("[estimands]\ncomparisons = [['mindfulnes', 'none']]\n", "no intervention 'mindfulnes'. Did you mean 'mindfulness'"),
        ("[estimands]\nshow = ['time_to_90']\n[interventions.mindfulness]\ncolumn = 'mindfulness_on'\nshape = 'fade_from_start'\n",
         r"\[estimands\]: nothing of what was asked for exists"),
        ("[decisions]\npoints = 'score'\n", r"\[decisions\] worthwhile: missing"),
        ("[decisions]\nworthwhile = 500\n", "must be smaller than the whole scale"),
        ("[forecast]\nstart = true\nhorizon = 3\n", r"\[forecast\] start: must be a number, or a date"),
        ("[forecast]\nstart = 2024-01-01\nhorizon = 3\n", "must be a number of weeks.*got 2024-01-01"),
        ("[forecast]\nstart = -4\nhorizon = 3\n", "before the first survey of everybody"),
        ("[forecast]\nstart = 4\n", r"\[forecast\] horizon: missing"),
        ("[forecast]\nstart = 4\nhorizon = 3\nroll_out = 'plan.csv'\n", "plan.csv does not exist"),
    ],
)  # fmt: skip
def test_questions_that_cannot_be_answered(analysis, more, words):
    text = analysis.read_text()
    if "[interventions.mindfulness]" in more:
        text = text.replace('[interventions.mindfulness]\ncolumn = "mindfulness_on"\n', "")
    analysis.write_text(text + more)
    with pytest.raises(UserError, match=words):
        parsed = Analysis.read(analysis)
        parsed.model(parsed.study())


@pytest.mark.parametrize(
    ("design", "words"),
    [
        ("parallel_trial", "all 24 clinicians were exposed"),
        ("pre_post", "different dates"),
        ("n_of_1", "design = 'n_of_1' of mindfulness"),
        ("stepped_wege", "Did you mean 'stepped_wedge'"),
    ],
)
def test_designs_that_the_spells_contradict(analysis, design, words):
    analysis.write_text(analysis.read_text().replace("[model]\n", f'[model]\ndesign = "{design}"\n'))
    parsed = Analysis.read(analysis)
    with pytest.raises(UserError, match=words):
        parsed.model(parsed.study())


@pytest.mark.parametrize("design", ["parallel_trial", "pre_post", "interrupted_time_series"])
def test_going_on_and_off_is_no_single_start(analysis, design):
    folder = analysis.parent
    frame = pd.read_csv(folder / "survey.csv", dtype={"id": str})
    on = frame["week"].between(4, 7) | frame["week"].between(12, 15)
    never = frame["id"].astype(int) < 6 if design == "parallel_trial" else False
    frame.assign(mindfulness_on=(on & ~pd.Series(never, frame.index)).astype(int)).to_csv(folder / "survey.csv", index=False)
    analysis.write_text(analysis.read_text().replace("[model]\n", f'[model]\ndesign = "{design}"\n'))
    parsed = Analysis.read(analysis)
    with pytest.raises(UserError, match=r"go on and off more than once|exposure ends before the last survey"):
        parsed.model(parsed.study())


def test_shapes_are_named_as_the_file_names_them(analysis):
    analysis.write_text(analysis.read_text().replace('column = "mindfulness_on"\n', 'column = "mindfulness_on"\nshape = "rmap"\n'))
    parsed = Analysis.read(analysis)
    with pytest.raises(UserError, match=r"\[interventions.mindfulness\] shape: no shape 'rmap'. Did you mean 'ramp'"):
        parsed.model(parsed.study())
