"""What can be compared, in whom: names of options, default comparisons, groups and target populations."""

import itertools

import numpy as np
import pandas as pd
import pytest

from equipoise.datasets import Score, Study, UserError
from equipoise.inference.options import (
    ALL,
    MOST_LEVELS,
    TARGET,
    read_comparisons,
    read_option,
    read_population,
    study_columns,
    title,
)

PROGRAMMES = ("yoga", "rota", "peer + tea")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("yoga", ("yoga",)),
        ("none", ()),
        (" None ", ()),
        ("no programme", ()),
        ([], ()),
        ("rota+yoga", ("yoga", "rota")),
        ("rota + yoga", ("yoga", "rota")),
        ("yoga + yoga", ("yoga",)),
        (("rota", "yoga"), ("yoga", "rota")),
        ("peer + tea", ("peer + tea",)),  # a programme's own name goes first
        (["peer + tea", "yoga"], ("yoga", "peer + tea")),
    ],
)
def test_an_option_is_a_programme_several_or_none(given, expected):
    assert read_option(given, PROGRAMMES) == expected


def test_a_programme_called_none_is_that_programme():
    assert read_option("none", ("none", "yoga")) == ("none",)


@pytest.mark.parametrize("given", [("yoga",), ("yoga", "rota"), ()])
def test_titles_are_read_back(given):
    assert read_option(title(given), PROGRAMMES) == given


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("yogga", "no intervention 'yogga'.* Did you mean 'yoga'"),
        ("yoga + rotta", "Did you mean 'rota'"),
        ("yoga + none", "no intervention 'none'"),
        ("", "no intervention ''"),
        (["yoga", 1], "no intervention 1"),
        (None, "an option is a programme"),
        (3, "an option is a programme"),
    ],
)
def test_options_that_do_not_exist(given, says):
    with pytest.raises(UserError, match=says):
        read_option(given, PROGRAMMES)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_by_default_each_against_none_each_pair_and_combinations_of_up_to_three(count):
    names = ("a", "b", "c", "d")[:count]
    found = read_comparisons(None, names)
    assert len(set(found)) == len(found)
    expected = {((n,), ()) for n in names} | {((a,), (b,)) for a, b in itertools.combinations(names, 2)}
    if count in (2, 3):
        expected |= {(("a", "b"), ())}
    if count == 3:
        expected |= {(("a", "c"), ()), (("b", "c"), ()), (("a", "b", "c"), ())}
    assert set(found) == expected


def test_comparisons_as_given():
    given = [("rota", "none"), ["rota + yoga", "rota"], ("none", "yoga")]
    assert read_comparisons(given, PROGRAMMES) == [(("rota",), ()), (("yoga", "rota"), ("rota",)), ((), ("yoga",))]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([("yoga", "yogi")], "Did you mean 'yoga'"),
        ([("yoga", "yoga")], "comparison of yoga with itself"),
        ([("none", "none")], "comparison of no programme with itself"),
        ([("yoga + rota", "rota + yoga")], r"comparison of yoga \+ rota with itself"),
        ([("yoga", "rota", "none")], "is a pair of options"),
        (["yoga"], "is a pair of options"),
        ("yoga", "is a pair of options.* got 'yoga'"),
        (3, "is a pair of options"),
        ([], "comparisons is empty"),
    ],
)
def test_comparisons_that_say_nothing(given, says):
    with pytest.raises(UserError, match=says):
        read_comparisons(given, PROGRAMMES)


# --- who is averaged over -------------------------------------------------------------------------------------------

COLUMNS = {
    "unit": np.array(["north", "south", "north", "south", "north"]),
    "role": np.array(["nurse", "nurse", "physician", "nurse", "porter"], object),
    "grade": np.array([1.0, 2.5, 1.0, 2.5, 2.5]),
}


def weights_of(population):
    return dict(zip(population.groups, population.weights.T.tolist(), strict=True))


def test_everyone_counts_alike():
    population = read_population(COLUMNS)
    assert population.groups == (ALL,) and population.sizes == (5,)
    np.testing.assert_allclose(population.weights, np.full((5, 1), 0.2))


def test_groups_by_unit_and_by_covariates():
    population = read_population(COLUMNS, by=["unit", "role", "grade"])
    third, half = 1 / 3, 1 / 2
    expected = {
        ALL: [0.2] * 5,
        "north": [third, 0, third, 0, third],
        "south": [0, half, 0, half, 0],
        "role: nurse": [third, third, 0, third, 0],
        "role: physician": [0, 0, 1, 0, 0],
        "role: porter": [0, 0, 0, 0, 1],
        "grade: 1": [half, 0, half, 0, 0],
        "grade: 2.5": [0, third, 0, third, third],
    }
    found = weights_of(population)
    assert list(found) == list(expected)
    for group, weights in expected.items():
        np.testing.assert_allclose(found[group], weights, err_msg=group)
    assert population.sizes == (5, 3, 2, 3, 1, 1, 2, 3)


def test_one_column_may_stand_without_a_list():
    assert read_population(COLUMNS, by="unit").groups == (ALL, "north", "south")


def test_levels_that_differ_in_the_seventh_digit_are_two_groups():
    columns = COLUMNS | {"salary": np.array([1234567.0, 1234568.0, 1234567.0, 1234567.0, 0.25])}
    assert read_population(columns, by="salary").groups[1:] == (
        "salary: 0.25", "salary: 1234567.0", "salary: 1234568.0",
    )  # fmt: skip


def test_a_target_population_has_the_stated_shares():
    target = {"column": "role", "shares": {"nurse": 0.6, "physician": 0.4}}
    population = read_population(COLUMNS, target=target)
    assert population.groups == (TARGET,)
    np.testing.assert_allclose(population.weights[:, 0], [0.2, 0.2, 0.4, 0.2, 0])
    assert population.sizes == (4,)  # the porter is not in it


def test_shares_of_a_target_need_not_add_up_to_one():
    one, other = (
        read_population(COLUMNS, target={"column": "grade", "shares": {a: 3, b: 9}}).weights
        for a, b in ((1, 2.5), ("1", "2.5"))
    )
    np.testing.assert_allclose(one[:, 0], [1 / 8, 1 / 4, 1 / 8, 1 / 4, 1 / 4])
    np.testing.assert_array_equal(one, other)


def test_the_level_of_a_target_may_be_a_float():
    weights = read_population(COLUMNS, target={"column": "grade", "shares": {1.0: 1}}).weights
    np.testing.assert_allclose(weights[:, 0], [0.5, 0, 0.5, 0, 0])


def test_groups_of_a_target_population_are_weighted_by_it_and_left_out_where_nobody_counts():
    target = {"column": "role", "shares": {"nurse": 0.5, "physician": 0.5}}
    population = read_population(COLUMNS, by=("unit", "role"), target=target)
    found = weights_of(population)
    assert list(found) == [TARGET, "north", "south", "role: nurse", "role: physician"]
    # in the north a nurse of weight 1/6 and the physician of weight 1/2
    np.testing.assert_allclose(found["north"], [0.25, 0, 0.75, 0, 0])
    np.testing.assert_allclose(found["south"], [0, 0.5, 0, 0.5, 0])
    assert population.sizes == (4, 2, 2, 3, 1)


SHARES = {"nurse": 1.0}


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"by": "rolle"}, "by: there is no column 'rolle'.* Did you mean 'role'.* unit, role, grade"),
        ({"by": ["unit", "sleep"]}, "by: 'sleep' changes within clinicians"),
        ({"target": {"column": "rolle", "shares": SHARES}}, "target: there is no column 'rolle'"),
        ({"target": {"column": "sleep", "shares": SHARES}}, "target: 'sleep' changes within clinicians"),
        (
            {"target": {"column": "role", "shares": {"nurs": 1}}},
            "no clinician has role = 'nurs'.* Did you mean 'nurse'",
        ),
        ({"target": {"column": "role", "shares": {"nurse": -0.1}}}, "share of 'nurse' must be a number of at least 0"),
        ({"target": {"column": "role", "shares": {"nurse": "most"}}}, "share of 'nurse' must be a number"),
        ({"target": {"column": "role", "shares": {"nurse": float("nan")}}}, "share of 'nurse' must be a number"),
        ({"target": {"column": "role", "shares": {"nurse": True}}}, "share of 'nurse' must be a number"),
        ({"target": {"column": "role", "shares": {"nurse": 0, "porter": 0}}}, "must not all be 0"),
        ({"target": {"column": "role", "shares": {}}}, "must not all be 0"),
        ({"target": {"column": "role"}}, "target is a table"),
        ({"target": {"column": "role", "shares": [0.5, 0.5]}}, "target is a table"),
        ({"target": {"column": "role", "shares": SHARES, "by": "unit"}}, "target is a table"),
        ({"target": "nurse"}, "target is a table"),
    ],
)
def test_populations_that_cannot_be(asked, says):
    with pytest.raises(UserError, match=says):
        read_population(COLUMNS, varying=("sleep",), **asked)


def test_too_many_levels_make_no_groups_unless_they_are_units():
    ids = np.arange(MOST_LEVELS + 1)
    columns = {"unit": ids.astype(str), "age": ids.astype(float), "decade": (ids // 10).astype(float)}
    with pytest.raises(UserError, match=f"'age' has {MOST_LEVELS + 1} different values"):
        read_population(columns, by="age")
    assert len(read_population(columns, by="unit").groups) == MOST_LEVELS + 2
    assert len(read_population(columns, by="decade").groups) == 5


def test_clinicians_can_be_grouped_by_their_unit_and_what_does_not_change():
    frame = pd.DataFrame({
        "id": list("baab"), "ward": ["s", "n", "n", "s"], "week": [0, 0, 1, 1], "joy": [1, 2, 3, 4],
        "role": ["nurse", "porter", "porter", "nurse"], "age": [30.5, 41, 41, 30.5], "sleep": [1, 2, 3, 1],
    })  # fmt: skip
    study = Study.from_table(
        frame, clinician="id", unit="ward", time="week", time_unit="week", holds="before",
        scores={"joy": Score(range=(0, 10), better="higher")}, covariates=["role", "age", "sleep"],
    )  # fmt: skip
    found = {name: values.tolist() for name, values in study_columns(study).items()}
    assert found == {"unit": ["n", "s"], "role": ["porter", "nurse"], "age": [41.0, 30.5]}
