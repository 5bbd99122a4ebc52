"""A study from plain tables: what is in it, in which order, and what makes two studies the same."""

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from equipoise.datasets import Score, Study

STRESS = Score(range=(0, 10), better="lower")


def test_frames_have_the_promised_columns_and_types(build, panel):
    study = build(panel, covariates=["sleep"], interventions={"mindfulness": "on"}, holds="before")
    types = {"clinician": "int64", "time": "float64", "sleep": "float64", "row": "int64"}
    assert {c: str(t) for c, t in study.occasions.dtypes.items()} == types
    types = {"occasion": "int64", "indicator": "int64", "points": "float64", "capacity": "float64", "repeats": "int64"}
    assert {c: str(t) for c, t in study.surveys.dtypes.items()} == types
    assert {c: str(t) for c, t in study.clinicians.dtypes.items()} == {"clinician": "str", "unit": "str"}
    types = {"clinician": "int64", "intervention": "int64", "start": "float64", "end": "float64", "dose": "float64"}
    assert {c: str(t) for c, t in study.spells.dtypes.items()} == types
    assert study.interventions == ("mindfulness",) and study.covariates == ("sleep",)
    assert study.exposure_source == {"mindfulness": "column"}
    assert study.step_source == {"stress": "detected"} and study.scores["stress"].step == 1


def test_empty_spells_have_the_same_columns_and_types(build, panel):
    full = build(panel, interventions={"mindfulness": "on"}, holds="before").spells
    assert_frame_equal(build(panel).spells, full.iloc[:0])
    nobody = build(panel.assign(on=0), interventions={"mindfulness": "on"}, holds="before")
    assert_frame_equal(nobody.spells, full.iloc[:0])
    assert nobody.interventions == ("mindfulness",)


def test_rows_are_sorted_and_know_where_they_came_from(build, panel):
    study = build(panel.iloc[[4, 2, 0, 3, 1]])
    assert study.clinicians["clinician"].tolist() == ["a", "b", "c"]
    assert study.clinicians["unit"].tolist() == ["north", "south", "south"]
    assert study.occasions["clinician"].tolist() == [0, 0, 0, 1, 2]
    assert study.occasions["time"].tolist() == [0, 2, 4, 1, 2]
    assert study.occasions["row"].tolist() == [4, 6, 3, 5, 2]  # the header is row 1
    assert study.surveys["points"].tolist() == [3, 5, 4, 8, 0]
    assert study.surveys["capacity"].tolist() == [70, 50, 60, 20, 100]


def test_summary_properties(build, panel):
    panel.loc[1, "stress"] = np.nan
    study = build(panel, covariates=["sleep"], holds="after")
    assert (study.n_clinicians, study.n_units, study.n_surveys, study.n_missing) == (3, 2, 4, 1)
    assert study.units == ("north", "south") and study.unit_code.tolist() == [0, 1, 1]
    assert (study.median_gap, study.median_follow_up) == (2, 4)
    assert study.varying == ("sleep",)
    assert repr(study) == "<Study: 3 clinicians in 2 units, 4 surveys of stress>"


def test_ids_are_text_in_natural_order(build, panel):
    study = build(panel.assign(id=["10", "10", "10", "007", "7"]))
    assert study.clinicians["clinician"].tolist() == ["007", "7", "10"]
    study = build(panel.assign(id=["ward 10", "ward 10", "ward 10", "ward 9", "12"]))
    assert study.clinicians["clinician"].tolist() == ["12", "ward 9", "ward 10"]


@pytest.mark.parametrize(
    "ids", [[1, 1, 1, 2, 3], [1.0, 1.0, 1.0, 2.0, 3.0], pd.Categorical([" 1", "1", "1 ", "2", "3"])]
)
def test_numbers_and_categories_are_good_ids(build, panel, ids):
    assert build(panel.assign(id=ids)).clinicians["clinician"].tolist() == ["1", "2", "3"]


def test_without_units_all_share_one(build, panel):
    assert build(panel, unit=None).units == ("all",)
    blank = build(panel.assign(ward=["north", None, "", None, " "]))
    assert blank.clinicians["unit"].tolist() == ["north", "no unit", "no unit"]


def test_several_scores_make_a_long_table(build, panel):
    vigour = Score(range=(0, 40), better="higher", column="v")
    study = build(panel.assign(v=[0, 10, None, 30, 40]), scores={"stress": STRESS, "vigour": vigour})
    assert study.surveys["occasion"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert study.surveys["indicator"].tolist() == [0, 1] * 5
    np.testing.assert_array_equal(study.surveys["capacity"], [70, 0, 50, 25, 60, np.nan, 20, 75, 100, 100])
    assert list(study.scores) == ["stress", "vigour"]


@pytest.mark.parametrize("types", ["Float64", "Int64", "object", "string"])
def test_scores_of_any_type_are_read(build, panel, types):
    plain = build(panel)
    assert build(panel.assign(stress=panel["stress"].astype("Int64").astype(types))).fingerprint == plain.fingerprint


def test_named_index_levels_are_columns(build, panel):
    assert build(panel.set_index(["id", "week"])).fingerprint == build(panel).fingerprint


def test_text_covariates_are_categories(build, panel):
    study = build(panel.assign(shift=["day", "night", "day", "None", "day"]), covariates="shift", holds="before")
    assert str(study.occasions["shift"].dtype) == "str"
    assert study.occasions["shift"].tolist() == ["day", "night", "day", "None", "day"]
    assert study.varying == ("shift",)


def test_constant_covariates_need_no_holds(build, panel):
    study = build(
        panel.assign(age=[40, 40, 40, 50, 60], male=[True, True, True, False, True]), covariates=["age", "male"]
    )
    assert study.holds is None and study.varying == ()
    assert study.occasions["male"].tolist() == [1, 1, 1, 0, 1]


def test_true_and_false_are_numbers_in_any_form(build, panel):
    covariates = [
        panel.assign(male=m) for m in ([True, True, True, False, True], ["TRUE", "true", "TRUE", "FALSE", "true"])
    ]
    one, two = (build(frame, covariates=["male"]) for frame in covariates)
    assert one.fingerprint == two.fingerprint


def test_constant_scores_and_single_surveys_are_fine(build, panel):
    study = build(panel.assign(stress=5, id=list("abcde"), ward="x"))
    assert study.n_clinicians == 5 and study.scores["stress"].step is None
    assert np.isnan(study.median_gap) and np.isnan(study.median_follow_up)


def test_repeated_rows_follow_the_rule(build, panel):
    twice = pd.concat([panel, panel.iloc[[1, 1]].assign(stress=[6, np.nan], sleep=[4, np.nan])], ignore_index=True)
    mean = build(twice, repeated="mean", covariates=["sleep"], holds="before")
    assert mean.surveys["points"].tolist() == [3, 5.5, 4, 8, 0]
    assert mean.surveys["repeats"].tolist() == [1, 2, 1, 1, 1]
    assert mean.occasions["sleep"].tolist() == [7, 5, 6.5, 8, 5]
    assert mean.occasions["row"].tolist() == [2, 3, 4, 5, 6]
    assert mean.scores["stress"].step == 1, "the step is that of single answers"
    assert build(twice, repeated="first").surveys["points"].tolist() == [3, 5, 4, 8, 0]
    last = build(twice, repeated="last")
    assert np.isnan(last.surveys["points"][1]) and last.occasions["row"][1] == 8
    assert set(last.surveys["repeats"]) == {1}


def test_mean_of_missing_answers_is_missing(build, panel):
    panel.loc[1, "stress"] = np.nan
    study = build(pd.concat([panel, panel.iloc[[1]]]), repeated="mean")
    assert np.isnan(study.surveys["points"][1]) and study.surveys["repeats"][1] == 1


@st.composite
def tables(draw):
    n = draw(st.integers(3, 30))
    column = lambda values: draw(st.lists(values, min_size=n, max_size=n))  # noqa: E731
    ids = column(st.sampled_from(["007", "7", "b", "B"]))
    frame = pd.DataFrame(
        {
            "id": ids,
            "ward": ["north" if i in "bB" else "south" for i in ids],
            "week": column(st.integers(0, 9)),
            "stress": column(st.sampled_from([0.1, 0.2, 0.3, 7.0, np.nan])),
            "sleep": column(st.floats(0, 24)),
            "on": column(st.just(1)),
        }
    )
    frame.loc[:1, "stress"] = 1.0
    frame.loc[:1, "week"] = [10, 11]
    return frame, draw(st.permutations(range(n)))


@settings(max_examples=60, deadline=None)
@given(tables())
def test_order_of_rows_does_not_matter(case):
    frame, order = case
    keywords = {
        "clinician": "id",
        "unit": "ward",
        "time": "week",
        "time_unit": "day",
        "scores": {"stress": STRESS},
        "covariates": ["sleep"],
        "interventions": {"on": "on"},
        "holds": "after",
        "repeated": "mean",
    }
    one, two = (Study.from_table(f, **keywords) for f in (frame, frame.iloc[order]))
    assert one.fingerprint == two.fingerprint
    assert_frame_equal(one.surveys, two.surveys)
    assert_frame_equal(one.spells, two.spells)
    assert_frame_equal(one.occasions.drop(columns="row"), two.occasions.drop(columns="row"))


def test_fingerprint_sees_every_part(build, panel):
    def change(**columns):
        return build(panel.assign(**columns), covariates=["sleep"], interventions={"m": "on"}, holds="before")

    same = change()
    assert change(extra=1).fingerprint == same.fingerprint and len(same.fingerprint) == 64
    others = [
        change(id=list("aaabd")),
        change(ward="x"),
        change(week=[0, 2, 5, 1, 2]),
        change(stress=[3, 5, 4, 8, 1]),
        change(stress=[3, 5, np.nan, 8, 0]),
        change(sleep=1),
        change(on=[0, 1, 0.5, 0, 1]),
        build(panel, covariates=["sleep"], interventions={"m": "on"}, holds="after"),
        build(panel, covariates=["sleep"], interventions={"n": "on"}, holds="before"),
        build(panel, covariates=["sleep"], interventions={"m": "on"}, holds="before", time_unit="day"),
        build(panel),
        build(panel, scores={"stress": Score((0, 10), "higher")}),
        build(panel, scores={"stress": Score((0, 10), "lower", step=0.5)}),
        build(panel, scores={"strain": Score((0, 10), "lower", column="stress")}),
    ]
    assert len({same.fingerprint, *(o.fingerprint for o in others)}) == 1 + len(others)


def test_fingerprint_sees_categories(build, panel):
    one, two = (build(panel.assign(g=g), covariates=["g"]).fingerprint for g in (list("xxxyz"), list("xxxyy")))
    assert one != two


def test_fingerprint_does_not_change_between_versions(build, panel):
    """Saved results name it: whoever changes how it is made breaks them, and must raise their schema number."""
    study = build(panel, covariates=["sleep"], interventions={"m": "on"}, holds="before")
    assert study.fingerprint == "c01eb4dc25268fa57046ded33ef420ac13ef1e94a89d88f7eff66ba6e18b98aa"


def test_with_scores_changes_the_answers_only(build, panel):
    study = build(panel)
    new = study.with_scores([50, np.nan, 120, 0, 10])
    np.testing.assert_array_equal(new.surveys["points"], [5, np.nan, -2, 10, 9])
    assert new.n_surveys == 4 and study.n_surveys == 5
    assert new.fingerprint != study.fingerprint
    assert study.with_scores(study.surveys["capacity"]).fingerprint == study.fingerprint
    with pytest.raises(ValueError, match="shape"):
        study.with_scores([1.0])


def test_studies_are_frozen_and_can_be_pickled(build, panel):
    study = build(panel)
    with pytest.raises(AttributeError):
        study.holds = "after"
    assert pickle.loads(pickle.dumps(study)).fingerprint == study.fingerprint


def test_the_users_table_is_left_alone(build, panel):
    before = panel.copy(deep=True)
    build(panel, covariates=["sleep"], interventions={"m": "on"}, holds="before")
    assert_frame_equal(panel, before)
