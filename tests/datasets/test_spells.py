"""Spells, from columns and from tables."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.datasets import UserError
from equipoise.datasets.spells import canonical_spells, spells_from_column


def rows(study):
    """Spells in words: clinician, intervention, start, end, dose."""
    names = study.clinicians["clinician"]
    return [
        (names[s.clinician], study.interventions[s.intervention], s.start, s.end, s.dose)
        for s in study.spells.itertuples()
    ]


def test_before_looks_back(build, panel):
    study = build(panel.assign(on=[1, 0, 1, 1, 0]), interventions={"m": "on"}, holds="before")
    # The first row's interval is one median gap (2 weeks) long.
    assert rows(study) == [("a", "m", -2, 0, 1), ("a", "m", 2, 4, 1), ("b", "m", -1, 1, 1)]


def test_after_looks_ahead(build, panel):
    study = build(panel.assign(on=[1, 0, 1, 1, 0]), interventions={"m": "on"}, holds="after")
    assert rows(study) == [("a", "m", 0, 2, 1), ("a", "m", 4, np.inf, 1), ("b", "m", 1, np.inf, 1)]


def test_adjacent_spells_of_equal_dose_are_one(build, panel):
    study = build(panel.assign(on=[0.5, 0.5, 1, True, False]), interventions={"m": "on"}, holds="after")
    assert rows(study) == [("a", "m", 0, 4, 0.5), ("a", "m", 4, np.inf, 1), ("b", "m", 1, np.inf, 1)]


def test_true_and_false_are_codes(build, panel):
    study = build(
        panel.assign(on=["TRUE", "false", "True", "FALSE", "false"]), interventions={"m": "on"}, holds="after"
    )
    assert rows(study) == [("a", "m", 0, 2, 1), ("a", "m", 4, np.inf, 1)]


@st.composite
def exposures(draw):
    n = draw(st.integers(1, 25))
    clinician = np.sort(draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)))
    time = np.cumsum(draw(st.lists(st.sampled_from([0.25, 1.0, 3.0]), min_size=n, max_size=n)))
    dose = np.array(draw(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=n, max_size=n)))
    return clinician, time, dose


@settings(max_examples=50, deadline=None)
@given(exposures(), st.sampled_from(["before", "after"]))
def test_spells_say_what_the_column_says(case, holds):
    """Against the definition: the dose at any moment is that of the row whose interval holds the moment."""
    clinician, time, dose = case
    gap = 1.5
    spells = canonical_spells([spells_from_column(clinician, time, dose, 0, holds, gap)])
    for person in np.unique(clinician):
        t, d = time[clinician == person], dose[clinician == person]
        mine = spells[spells["clinician"] == person]
        for moment in np.concatenate([t, t - 0.1, t + 0.1, [t[0] - gap, t[0] - 2 * gap, t[-1] + 50]]):
            if holds == "before":
                k = np.searchsorted(t, moment, side="right")
                expected = d[k] if k < len(t) and moment >= t[0] - gap else 0.0
            else:
                k = np.searchsorted(t, moment, side="right") - 1
                expected = d[k] if k >= 0 else 0.0
            inside = mine[(mine["start"] <= moment) & (moment < mine["end"])]
            assert inside["dose"].sum() == expected and len(inside) <= 1
    same = spells.shift(1)[["clinician", "end", "dose"]].to_numpy() == spells[["clinician", "start", "dose"]].to_numpy()
    assert not same.all(axis=1).any(), "touching spells of equal dose are joined"


def test_a_table_of_spells_for_one_intervention(build, panel):
    spells = pd.DataFrame({"clinician": ["c", "a"], "start": [0, 1.5], "end": [None, 3], "dose": [0.5, None]})
    study = build(panel, interventions={"m": spells})
    assert rows(study) == [("a", "m", 1.5, 3, 1), ("c", "m", 0, np.inf, 0.5)]
    assert study.exposure_source == {"m": "spells"} and study.holds is None


def test_spells_of_units_go_to_their_clinicians(build, panel):
    spells = pd.DataFrame({"unit": ["south", "north"], "start": [1, 2], "end": ["", "3"]})
    assert rows(build(panel, interventions={"m": spells})) == [
        ("a", "m", 2, 3, 1),
        ("b", "m", 1, np.inf, 1),
        ("c", "m", 1, np.inf, 1),
    ]


def test_one_table_for_several_interventions(build, panel):
    spells = pd.DataFrame(
        {
            "clinician": ["a", "a", "b"],
            "intervention": ["rounds", "debrief", "rounds"],
            "start": [0, 1, 2],
            "end": [2, 4, 3],
        }
    )
    study = build(panel, spells=spells)
    assert study.interventions == ("debrief", "rounds")
    assert rows(study) == [("a", "debrief", 1, 4, 1), ("a", "rounds", 0, 2, 1), ("b", "rounds", 2, 3, 1)]
    both = build(panel, spells=spells, interventions={"m": "on"}, holds="after")
    assert both.interventions == ("m", "debrief", "rounds")
    assert both.exposure_source == {"m": "column", "debrief": "spells", "rounds": "spells"}
    # The same file may be given to each intervention, which takes its own rows.
    each = build(panel, interventions={"debrief": spells, "rounds": spells})
    assert each.fingerprint == study.fingerprint


def test_spells_by_date(build, panel):
    panel["week"] = pd.to_datetime("2024-03-01") + pd.to_timedelta(panel["week"] * 7, unit="D")
    spells = pd.DataFrame({"clinician": ["a", "b"], "start": ["2024-02-23", "2024-03-08"], "end": ["2024-03-15", ""]})
    assert rows(build(panel, interventions={"m": spells})) == [("a", "m", -1, 2, 1), ("b", "m", 1, np.inf, 1)]
    running = spells.assign(start=pd.to_datetime(spells["start"]), end=pd.NaT)
    assert np.isinf(build(panel, interventions={"m": running}).spells["end"]).all()


def test_touching_spells_are_joined_and_empty_ones_left_out(build, panel):
    spells = pd.DataFrame({"clinician": ["a"] * 4, "start": [2, 0, 5, 3], "end": [3, 2, 6, 5], "dose": [1, 1, 0, 0.5]})
    assert rows(build(panel, interventions={"m": spells})) == [("a", "m", 0, 3, 1), ("a", "m", 3, 5, 0.5)]


GOOD = {"clinician": ["a", "a", "b"], "start": [0, 2, 0], "end": [2, 4, 3]}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"end": [3, 4, 3]}, r"overlap: m for a \(rows 2 and 3\)"),
        ({"end": [0, 4, -1]}, r"'end': a spell ends at or before its start: rows 2, 4"),
        ({"clinician": ["a", "a", "bb"]}, r"the clinician has no surveys: 'bb' \(row 4\).*Did you mean 'b'"),
        ({"clinician": ["a", None, "b"]}, r"the clinician is missing: row 3"),
        ({"start": [0, None, 0]}, r"the start of a spell is missing or not finite: row 3"),
        ({"start": [0, -np.inf, 0]}, r"the start of a spell is missing or not finite: row 3"),
        ({"start": ["0", "soon", "0"]}, r"the start of a spell cannot be read: 'soon' \(row 3\)"),
        ({"start": ["2024-01-01"] * 3}, "holds dates while the surveys' times are numbers"),
        ({"dose": [1, 2, 1]}, r"the dose lies outside 0 to 1: 2 \(row 3\)"),
        ({"dose": [1, "much", 1]}, r"the dose must be a number.*'much' \(row 3\)"),
        ({"dosis": 1}, "unknown column 'dosis'. Did you mean 'dose'"),
        ({"intervention": ["n", "n", "n"]}, "no row for 'm'"),
        ({"intervention": ["m", "m", None]}, "the intervention is missing: row 4"),
        ({"unit": "north"}, "has both"),
    ],
)
def test_bad_tables_of_spells(build, panel, change, says):
    with pytest.raises(UserError, match=says):
        build(panel, interventions={"m": pd.DataFrame(GOOD | change)})


def test_incomplete_tables_of_spells(build, panel):
    good = pd.DataFrame(GOOD)
    with pytest.raises(UserError, match="has neither"):
        build(panel, interventions={"m": good.drop(columns="clinician")})
    with pytest.raises(UserError, match="no column 'end' for the spells"):
        build(panel, interventions={"m": good.drop(columns="end")})
    with pytest.raises(UserError, match="no rows"):
        build(panel, interventions={"m": good.iloc[:0]})
    with pytest.raises(UserError, match="no column 'intervention'"):
        build(panel, spells=good)
    with pytest.raises(UserError, match="gives as well"):
        build(panel, spells=good.assign(intervention="m"), interventions={"m": "on"}, holds="after")
    dated = panel.assign(week=pd.Timestamp("2024-01-01") + pd.to_timedelta(panel["week"] * 7, unit="D"))
    with pytest.raises(UserError, match="holds numbers while the surveys' times are dates"):
        build(dated, interventions={"m": good})


def test_overlap_of_units_is_told_once(build, panel):
    spells = pd.DataFrame({"unit": ["south", "south"], "start": [0, 1], "end": [2, None]})
    with pytest.raises(UserError, match=r"overlap: m for b \(rows 2 and 3\)\. Each"):
        build(panel, interventions={"m": spells})
