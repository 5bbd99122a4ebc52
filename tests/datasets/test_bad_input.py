"""Every mistake gets one message that says what is wrong, where, and what to do."""

import numpy as np
import pandas as pd
import pytest

from equipoise.datasets import Score, UserError

STRESS = Score(range=(0, 10), better="lower")


def refused(build, frame, **keywords) -> str:
    with pytest.raises(UserError) as error:
        build(frame, **keywords)
    message = str(error.value)
    assert "\n" not in message and message.endswith((".", "?", "}."))
    return message


def test_misspelt_columns(build, panel):
    message = refused(build, panel, time="weeks")
    assert "no column 'weeks' for the time" in message and "Did you mean 'week'?" in message
    assert "no column 'idd' for the clinician" in refused(build, panel, clinician="idd")
    assert "no column 'wrad' for the unit" in refused(build, panel, unit="wrad")
    assert "no column 'sleap' for a covariate" in refused(build, panel, covariates=["sleap"])
    assert "Did you mean 'stress'?" in refused(build, panel, scores={"stres": STRESS})
    assert "Did you mean 'on'?" in refused(build, panel, interventions={"m": "onn"}, holds="after")


def test_columns_of_one_name(build, panel):
    panel.columns = ["id", "ward", "week", "stress", "stress", "on"]
    assert "2 columns named 'stress'" in refused(build, panel)


def test_text_in_a_score(build, panel):
    message = refused(build, panel.assign(stress=["3", "often", "4", "8", "n.a."]))
    assert "column 'stress'" in message and "'often' (row 3), 'n.a.' (row 6)" in message
    assert "must be a number" in refused(build, panel.assign(stress=[True, False, True, True, False]))
    assert "must be a number" in refused(build, panel.assign(stress=pd.Timestamp("2024-01-01")))


def test_score_outside_its_range(build, panel):
    message = refused(build, panel.assign(stress=[3, 12, 4, -9, 0]))
    assert "column 'stress'" in message and "range 0 to 10" in message and "12 (row 3), -9 (row 5)" in message
    assert "finite" in refused(build, panel.assign(stress=[3, np.inf, 4, 9, 0]))


def test_only_the_first_rows_are_listed(build, panel):
    many = pd.concat([panel] * 20).assign(stress=99)
    assert "and 95 more" in refused(build, many)


def test_missing_or_unreadable_time(build, panel):
    assert "the time is missing: row 3" in refused(build, panel.assign(week=[0, None, 4, 1, 2]))
    assert "'soon' (row 2)" in refused(build, panel.assign(week=["soon", "1", "2", "3", "4"]))
    assert "YYYY-MM-DD" in refused(build, panel.assign(week=["31.01.2024"] * 5))
    assert "finite" in refused(build, panel.assign(week=[0, np.inf, 4, 1, 2]))
    assert "numbers stand among the dates" in refused(build, panel.assign(week=["2024-01-01", "1", "2", "3", "4"]))
    assert "packed" in refused(build, panel.assign(week=[20240101, 20240102, 20240201, 20240101, 20240101]))


def test_missing_clinician(build, panel):
    message = refused(build, panel.assign(id=["a", None, " ", "b", "NA"]))
    assert "column 'id'" in message and "rows 3, 4, 6" in message


def test_clinician_in_two_units(build, panel):
    message = refused(build, panel.assign(ward=["north", "south", "north", "south", "south"]))
    assert "a in 'north' (row 2) and 'south' (row 3)" in message


def test_repeated_rows_need_a_rule(build, panel):
    message = refused(build, pd.concat([panel, panel.iloc[[1]]]))
    assert "a at 2.0 (rows 3, 7)" in message and "`repeated`" in message
    twice = pd.concat([panel, panel.iloc[[1]].assign(on=0)])
    message = refused(build, twice, repeated="mean", interventions={"m": "on"}, holds="before")
    assert "column 'on'" in message and "disagree" in message and "1 (row 3), 0 (row 7)" in message


def test_intervention_codes(build, panel):
    message = refused(build, panel.assign(on=[0, 1, 2, 0, -1]), interventions={"m": "on"}, holds="after")
    assert "column 'on'" in message and "2 (row 4), -1 (row 6)" in message
    message = refused(
        build, panel.assign(on=["no", "yes", "yes", "no", "no"]), interventions={"m": "on"}, holds="after"
    )
    assert "Use 0 for without" in message


def test_holds_has_no_default(build, panel):
    message = refused(build, panel, covariates=["sleep"], interventions={"m": "on"})
    assert "'on', 'sleep'" in message and "'before'" in message and "'after'" in message and "no default" in message
    assert "`holds`" in refused(build, panel.assign(on=1), interventions={"m": "on"})
    assert "Did you mean 'before'?" in refused(build, panel, holds="befor")


def test_before_needs_someone_surveyed_twice(build, panel):
    panel = panel.assign(id=list("abcde"))
    assert "surveyed twice" in refused(build, panel, interventions={"m": "on"}, holds="before")
    assert len(build(panel, interventions={"m": "on"}, holds="after").spells) == 3


def test_missing_covariates(build, panel):
    message = refused(build, panel.assign(sleep=[None, 6, None, 8, 5]), covariates=["sleep"], holds="before")
    assert "column 'sleep'" in message and "rows 2, 4" in message and "'carry' or 'person_mean'" in message
    message = refused(build, panel.assign(on=[0, None, 1, 0, 1]), interventions={"m": "on"}, holds="before")
    assert "column 'on'" in message and "row 3" in message


def test_a_column_has_one_role(build, panel):
    message = refused(build, panel, covariates=["on"], interventions={"m": "on"}, holds="before")
    assert "Column 'on'" in message and "the intervention 'm' and as a covariate" in message
    assert "the clinician and as the unit" in refused(build, panel, unit="id")
    assert "Column 'stress'" in refused(build, panel, covariates=["stress"], holds="before")
    assert build(panel, covariates=["week"], holds="before").covariates == ("week",)  # a trend


def test_covariates_that_are_none(build, panel):
    assert "more than once" in refused(build, panel, covariates=["sleep", "sleep"])
    assert "rename the column" in refused(build, panel.assign(row=1), covariates=["row"])
    assert "'six' (row 3)" in refused(build, panel.assign(sleep=[7, "six", 6, 8, 5]), covariates=["sleep"])
    assert "dates" in refused(build, panel.assign(sleep=pd.Timestamp("2024-01-01")), covariates=["sleep"])
    assert "finite" in refused(build, panel.assign(sleep=[7, np.inf, 6, 8, 5]), covariates=["sleep"])


def test_nothing_to_learn_from(build, panel):
    assert "empty" in refused(build, panel.iloc[:0])
    assert "every score is missing" in refused(build, panel.assign(stress=np.nan))
    assert "single time point" in refused(build, panel.assign(week=1, id=list("abcde")))
    answered_once = panel.assign(stress=[3, None, None, None, None])
    assert "single time point" in refused(build, answered_once)


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"time_unit": "weeks"}, "Did you mean 'week'?"),
        ({"repeated": "avg"}, "'mean'"),
        ({"missing_covariates": "personmean"}, "Did you mean 'person_mean'?"),
        ({"carry_limit": 3}, "carry_limit"),
        ({"carry_limit": -1, "missing_covariates": "carry"}, "above 0"),
        ({"scores": {}}, "at least one score"),
        ({"scores": {"stress": (0, 10)}}, "Score\\(range"),
        ({"interventions": ["on"]}, "must map"),
        ({"interventions": {"m": 3}}, "int"),
        ({"spells": "spells.csv"}, "DataFrame"),
    ],
)
def test_wrong_arguments(build, panel, keywords, says):
    with pytest.raises(UserError, match=says.replace("?", r"\?")):
        build(panel, **keywords)
    with pytest.raises(UserError, match="DataFrame"):
        build([1, 2])
