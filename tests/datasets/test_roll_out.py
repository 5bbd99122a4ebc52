"""Dates and planned spells of a forecast, on the study's own time axis."""

import datetime

import numpy as np
import pandas as pd
import pytest

from equipoise.datasets import UserError
from equipoise.datasets.roll_out import read_roll_out, time_of


@pytest.fixture
def study(panel, build):
    """Weeks as numbers; yoga from the panel's column, peer support from a table of spells."""
    spells = pd.DataFrame({"clinician": ["a"], "intervention": ["peer"], "start": [1.0], "end": [3.0]})
    return build(panel, interventions={"yoga": "on"}, spells=spells, holds="before")


@pytest.fixture
def dated(panel, build):
    """Months as dates, the first of January being the origin."""
    days = pd.to_datetime(["2024-01-01", "2024-02-01", "2024-03-01", "2024-01-15", "2024-02-15"])
    frame = panel.assign(day=days)
    return build(frame, time="day", time_unit="month", interventions={"yoga": "on"}, holds="before")


# --- the start ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [3, 3.0, np.int64(3), np.float64(3.0)])
def test_a_number_is_a_time_of_the_study(study, given):
    assert time_of(study, given) == 3.0 and type(time_of(study, given)) is float


@pytest.mark.parametrize("given", ["2024-01-05", "3", None, True, np.nan, np.inf, pd.Timestamp("2024-01-05"), [3]])
def test_where_times_are_numbers_the_start_is_one(study, given):
    with pytest.raises(UserError, match="start must be a number of weeks, as the surveys' times are"):
        time_of(study, given)


@pytest.mark.parametrize(
    ("given", "days"),
    [
        ("2024-01-01", 0),
        ("2024-03-01", 60),  # a leap year
        ("2023-12-31", -1),
        (datetime.date(2024, 2, 1), 31),
        (datetime.datetime(2024, 2, 1, 12), 31.5),
        (pd.Timestamp("2024-02-01"), 31),
        (np.datetime64("2024-02-01"), 31),
        ("2024-02-01T06:00", 31.25),
        ("2024-02-01T06:00+03:00", 31.125),  # zones are turned into UTC, as those of the surveys are
        (pd.Timestamp("2024-02-01", tz="Etc/GMT-6"), 30.75),
    ],
)
def test_a_date_is_counted_from_the_study_s_first_day(dated, given, days):
    assert time_of(dated, given) == pytest.approx(days / (365.25 / 12), rel=1e-12, abs=1e-12)


def test_a_survey_s_own_date_is_its_time(dated):
    assert [time_of(dated, d) for d in ("2024-01-01", "2024-02-01", "2024-03-01")] == dated.occasions["time"].tolist()[
        :3
    ]


@pytest.mark.parametrize("given", [3, 20240105, 3.5, np.float64(3)])
def test_where_times_are_dates_the_start_is_one(dated, given):
    with pytest.raises(UserError, match=r"start must be a date, such as 2024-04-03.* got"):
        time_of(dated, given)


@pytest.mark.parametrize(
    "given", ["03.04.2024", "04/03/2024", "2024-13-01", "soon", "", "NaT", None, pd.NaT, np.nan, True]
)
def test_dates_that_cannot_be_read(dated, given):
    with pytest.raises(UserError, match="must be a date"):
        time_of(dated, given)


def test_the_message_names_what_was_to_be_read(dated):
    with pytest.raises(UserError, match=r"^end must be a date written as YYYY-MM-DD; got 'soon'"):
        time_of(dated, "soon", "end")


# --- planned spells -------------------------------------------------------------------------------------------------


def rows(spells):
    return [tuple(r) for r in spells.itertuples(index=False)]


def test_a_plan_by_unit_is_that_of_its_clinicians(study):
    plan = pd.DataFrame(
        {"unit": ["south", "north"], "intervention": ["yoga", "peer"], "start": [5, 7], "end": [9, np.nan]}
    )
    spells = read_roll_out(study, plan)
    codes = {name: k for k, name in enumerate(study.interventions)}
    # clinicians a (north), b and c (south), sorted
    assert rows(spells) == [
        (0, codes["peer"], 7.0, np.inf, 1.0), (1, codes["yoga"], 5.0, 9.0, 1.0), (2, codes["yoga"], 5.0, 9.0, 1.0),
    ]  # fmt: skip
    assert list(spells.dtypes) == list(study.spells.dtypes) and list(spells) == list(study.spells)


def test_a_plan_by_clinician_with_doses(study):
    plan = pd.DataFrame(
        {"clinician": ["b", "a", "a", "c"], "intervention": "peer", "start": [2, 6, 4, 1], "end": [3, 8, 6, 2],
         "dose": [0.25, 1, 1, 0]}
    )  # fmt: skip
    peer = study.interventions.index("peer")
    # those that touch are one, a dose of 0 is none
    assert rows(read_roll_out(study, plan)) == [(0, peer, 4.0, 8.0, 1.0), (1, peer, 2.0, 3.0, 0.25)]


def test_with_one_intervention_a_plan_need_not_name_it(panel, build):
    study = build(panel, interventions={"yoga": "on"}, holds="before")
    plan = pd.DataFrame({"unit": ["north"], "start": [5], "end": [9]})
    assert rows(read_roll_out(study, plan)) == [(0, 0, 5.0, 9.0, 1.0)]
    named = read_roll_out(study, plan.assign(intervention="yoga"))
    pd.testing.assert_frame_equal(named, read_roll_out(study, plan))


def test_a_plan_may_hold_some_of_the_interventions_only(study):
    plan = pd.DataFrame({"unit": ["north"], "intervention": ["yoga"], "start": [5], "end": [np.nan]})
    assert set(read_roll_out(study, plan)["intervention"]) == {study.interventions.index("yoga")}


def test_a_plan_with_dates(dated):
    plan = pd.DataFrame({"unit": ["north"], "start": ["2024-02-01"], "end": ["2024-04-01"]})
    [(_, _, start, end, _)] = rows(read_roll_out(dated, plan))
    assert (start, end) == pytest.approx((31 * 12 / 365.25, 91 * 12 / 365.25))


def test_a_plan_from_a_file(study, tmp_path):
    path = tmp_path / "plan.csv"
    path.write_text("unit,intervention,start,end,dose\nnorth,yoga,5,,0.5\n", encoding="utf-8")
    for given in (path, str(path)):
        assert rows(read_roll_out(study, given)) == [(0, study.interventions.index("yoga"), 5.0, np.inf, 0.5)]


PLAN = {"unit": ["north", "south"], "intervention": ["yoga", "peer"], "start": [5.0, 6.0], "end": [9.0, np.nan]}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"intervention": ["yoga", "pear"]}, "no such intervention.*pear.* It has: "),
        ({"intervention": ["yoga", None]}, "the intervention is missing"),
        ({"intervention": None}, "needs a column 'intervention': the study has "),
        ({"unit": ["north", "sout"]}, "the unit has no surveys.*Did you mean 'south'"),
        ({"unit": None, "clinician": ["a", "z"]}, "the clinician has no surveys"),
        ({"unit": None}, "needs a column 'clinician' or a column 'unit', and has neither"),
        ({"clinician": ["a", "b"]}, "needs a column 'clinician' or a column 'unit', and has both"),
        ({"start": [5.0, np.nan]}, "the start of a spell is missing"),
        (
            {"start": ["2024-01-01", "2024-02-01"], "end": [None, None]},
            "holds dates while the surveys' times are numbers",
        ),
        ({"end": [5.0, 7.0]}, "ends at or before its start"),
        ({"end": None}, "end"),
        ({"dose": [0.5, 1.5]}, "the dose lies outside 0 to 1"),
        ({"does": [0.5, 1.0]}, "unknown column 'does'.* Did you mean 'dose'"),
        ({"unit": ["north", "north"], "intervention": ["yoga", "yoga"]}, "overlap"),
    ],
)
def test_plans_that_cannot_be(study, changed, says):
    plan = pd.DataFrame({name: values for name, values in (PLAN | changed).items() if values is not None})
    with pytest.raises(UserError, match=f"(?s){says}") as error:
        read_roll_out(study, plan)
    assert "planned roll-out" in str(error.value)


def test_an_empty_plan_and_a_file_that_is_not_there(study, tmp_path):
    with pytest.raises(UserError, match="has no rows"):
        read_roll_out(study, pd.DataFrame(PLAN).head(0))
    with pytest.raises(UserError, match=r"plan\.csv"):
        read_roll_out(study, tmp_path / "plan.csv")


def test_a_study_without_interventions_has_no_roll_out(panel, build):
    with pytest.raises(UserError, match="the study has no intervention whose roll-out could be planned"):
        read_roll_out(build(panel), pd.DataFrame(PLAN))
