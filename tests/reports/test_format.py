"""Numbers as they are shown."""

import math

import pandas as pd
import pytest

from equipoise.reports import format as shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (58.186, "58.2"),
        (-0.5, "−0.5"),
        (0.0, "0"),
        (-0.0, "0"),
        (1234567.0, "1 230 000"),
        (12.0, "12"),
        (math.nan, "–"),
    ],
)
def test_plain_numbers_have_three_digits_and_a_true_minus_sign(value, text):
    assert shown.number(value) == text.replace(" ", "\N{NARROW NO-BREAK SPACE}")


@pytest.mark.parametrize(
    ("median", "low", "high", "sd", "mcse", "text"),
    [
        (58.11, 52.0, 64.4, 3.9, 0.115, "58 (52 to 64)"),
        (58.11, 52.0, 64.4, 3.9, 0.04, "58.1 (52.0 to 64.4)"),
        (0.2170, 0.1382, 0.3465, 0.065, 0.0019, "0.22 (0.14 to 0.35)"),
        (-7.86, -13.7, -1.73, 3.7, math.nan, "−7.9 (−13.7 to −1.7)"),
        (1234.0, 1100.0, 1400.0, 90.0, 12.0, "1 200 (1 100 to 1 400)"),
        (-0.04, -3.0, 3.0, 1.8, 0.3, "0 (−3 to 3)"),
        (12.6, 3.9, 79.2, 30.0, 16.0, "13 (4 to 79)"),
        # a long tail does not turn a positive end into 0
        (0.9, 0.21, 3.1, 12.0, 0.4, "0.9 (0.2 to 3.1)"),
        (2.4, 0.33, 41.0, 90.0, 2.0, "2.4 (0.3 to 41.0)"),
    ],
)
def test_no_more_digits_than_the_draws_support(median, low, high, sd, mcse, text):
    row = pd.Series({"median": median, "low": low, "high": high, "sd": sd, "mcse_mean": mcse})
    assert shown.estimate(row).replace("\N{NARROW NO-BREAK SPACE}", " ") == text


@pytest.mark.parametrize(
    ("p", "draws", "text"),
    [
        (1.0, 4000, "> 0.999"), (0.0, 4000, "< 0.001"), (0.9995, 4000, "> 0.999"), (0.25, 4000, "0.25"),
        (0.996, 4000, "0.996"), (1.0, 500, "> 0.99"), (0.0, 20, "< 0.1"), (0.5, 5, "–"), (math.nan, 4000, "–"),
    ],
)  # fmt: skip
def test_probabilities_are_never_0_or_1(p, draws, text):
    assert shown.probability(p, draws) == text


def test_shares():
    assert [shown.percent(s).replace("\N{NO-BREAK SPACE}", " ") for s in (0, 0.0004, 0.004, 0.065, 0.999, 1)] == [
        "0 %", "< 0.1 %", "0.4 %", "6 %", "> 99 %", "100 %",
    ]  # fmt: skip


def test_names_lose_what_breaks_lines_and_turns_the_writing_direction():
    assert shown.plain("a\x00\n b\u202e\u2066c") == "a b c"
    assert shown.plain("\ud800") == "(no name)"
    assert shown.short("x" * 100, 20).count("x") == 19
    assert shown.short("Ward 12 of the general hospital, north", 20).endswith("north")


def test_times():
    weeks, dates = shown.TimeAxis("week", None), shown.TimeAxis("month", "2024-01-01T00:00:00")
    assert weeks.text(2.5) == "week 2.5"
    assert dates.text(12) == "2024-12-31"
    assert dates.place([0.0])[0] == 19723  # days since 1970
