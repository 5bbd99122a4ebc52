import datetime as dt

import numpy as np
import pandas as pd
import pytest

DATES = ["2024-03-01", "2024-03-15", "2024-03-29", "2024-03-08", "2024-03-15"]


@pytest.mark.parametrize(
    "times",
    [
        DATES,
        pd.to_datetime(DATES),
        [dt.date.fromisoformat(d) for d in DATES],
        [dt.datetime.fromisoformat(d) for d in DATES],
        pd.to_datetime(DATES).as_unit("s"),
        pd.Categorical(DATES),
        pd.Series(DATES, dtype="datetime64[ns]").dt.tz_localize("UTC"),
        [f"{d}T01:00:00+01:00" for d in DATES],
    ],
)
def test_dates_of_any_type_count_from_the_first(build, panel, times):
    study = build(panel.assign(week=times))
    assert study.origin == pd.Timestamp("2024-03-01")
    np.testing.assert_array_equal(study.occasions["time"], [0, 2, 4, 1, 2])
    assert study.fingerprint == build(panel.assign(week=DATES)).fingerprint


@pytest.mark.parametrize(("unit", "days"), [("day", 1), ("week", 7), ("month", 365.25 / 12), ("year", 365.25)])
def test_dates_are_converted_to_the_unit(build, panel, unit, days):
    study = build(panel.assign(week=DATES), time_unit=unit)
    np.testing.assert_allclose(study.occasions["time"], np.array([0, 14, 28, 7, 14]) / days, rtol=1e-14)


def test_times_of_day_count(build, panel):
    hours = pd.Timestamp("2024-01-01") + pd.to_timedelta([0, 6, 12, 18, 24], unit="h")
    assert build(panel.assign(week=hours), time_unit="day").occasions["time"].tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_zones_are_turned_into_utc(build, panel):
    local = pd.to_datetime(DATES).tz_localize("America/New_York")
    study = build(panel.assign(week=local))
    assert study.origin == pd.Timestamp("2024-03-01 05:00") and study.origin.tz is None
    # The clocks went forward on 10 March: two weeks less an hour.
    assert study.occasions["time"][1] == pytest.approx(2 - 1 / 168)


def test_numbers_as_text_are_numbers(build, panel):
    study = build(panel.assign(week=["0", " 2", "4.0", "1e0", "2"]))
    assert study.origin is None and study.occasions["time"].tolist() == [0, 2, 4, 1, 2]


def test_years_are_numbers(build, panel):
    study = build(panel.assign(week=[2020, 2021, 2022, 2020, 2021]), time_unit="year")
    assert study.origin is None and study.occasions["time"].tolist() == [2020, 2021, 2022, 2020, 2021]
