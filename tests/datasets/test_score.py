import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.datasets import Score, UserError
from equipoise.datasets.errors import list_some, nearest, one_of
from equipoise.datasets.score import resolve_step


def test_capacity_is_turned_so_that_higher_is_better():
    assert Score((10, 50), "higher").to_capacity([10, 30, 50]).tolist() == [0, 50, 100]
    assert Score((10, 50), "lower").to_capacity([10, 30, 50]).tolist() == [100, 50, 0]


@settings(deadline=None)
@given(st.sampled_from(["higher", "lower"]), st.floats(-50, 50), st.floats(0.5, 100), st.floats(0, 100))
def test_points_and_capacity_are_inverse(better, low, length, capacity):
    score = Score((low, low + length), better)
    np.testing.assert_allclose(score.to_capacity(score.to_points(capacity)), capacity, atol=1e-9)
    change = score.to_points(capacity + 5) - score.to_points(capacity)
    np.testing.assert_allclose(score.change_to_points(5), change, atol=1e-9)


def test_missing_stays_missing():
    assert np.isnan(Score((0, 10), "lower").to_capacity([np.nan, 1])).tolist() == [True, False]


def test_a_gain_of_capacity_is_less_stress():
    assert Score((0, 10), "lower").change_to_points(10) == -1
    assert Score((0, 54), "higher").change_to_points(10) == pytest.approx(5.4)


def test_direction_has_no_default():
    with pytest.raises(TypeError):
        Score(range=(0, 10))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"range": (10, 0), "better": "lower"}, "lower one first"),
        ({"range": (0, 0), "better": "lower"}, "lower one first"),
        ({"range": (0, np.inf), "better": "lower"}, "finite"),
        ({"range": (0, "10"), "better": "lower"}, "finite"),
        ({"range": 10, "better": "lower"}, "lowest and highest"),
        ({"range": (0, 1, 2), "better": "lower"}, "lowest and highest"),
        ({"range": (0, 10), "better": "lowr"}, "Did you mean 'lower'"),
        ({"range": (0, 10), "better": "lower", "step": 0}, "step"),
        ({"range": (0, 10), "better": "lower", "step": 11}, "at most 10"),
        ({"range": (0, 10), "better": "lower", "step": 3}, "3.333 steps of 3"),
        ({"range": (0, 10), "better": "lower", "column": 3}, "column"),
    ],
)
def test_wrong_descriptions_are_refused(arguments, says):
    with pytest.raises(UserError, match=says):
        Score(**arguments)


@pytest.mark.parametrize(
    ("range_", "points", "step"),
    [
        ((0, 10), [0, 3, 4, 10], 1),
        ((0, 100), [4, 12, 60, 100], 4),  # WHO-5
        ((1, 5), np.array([9, 12, 40]) / 9, 1 / 9),  # mean of nine items
        ((0, 10), [0.5, 2.0, 3.5], 0.5),
        ((0, 10), [3, 7], 1),  # two answers far apart are no evidence of a coarse scale
        ((-3, 3), [-2, 0, 1], 1),
        ((0, 10), [5, 5, 5], None),  # constant
        ((0, 10), [np.nan, 5], None),
        ((0, 10), [0, np.pi, np.e, 9.87654321], None),  # continuous
    ],
)
def test_step_is_detected_where_all_differences_are_multiples(range_, points, step):
    score, source = resolve_step(Score(range_, "higher"), np.asarray(points, dtype=float))
    assert score.step == (None if step is None else pytest.approx(step, rel=1e-12))
    assert source == ("none" if step is None else "detected")


@settings(deadline=None)
@given(
    st.integers(2, 200),
    st.integers(-20, 20),
    st.floats(0.5, 100),
    st.lists(st.integers(0, 200), min_size=2, max_size=30),
)
def test_detected_step_divides_all_differences(levels, low, length, answers):
    low, high = float(low), low + length
    points = low + (np.array(answers) % (levels + 1)) * (high - low) / levels
    score, _ = resolve_step(Score((low, high), "higher"), points)
    if np.unique(points).size > 1:
        multiples = (points - points.min()) / score.step
        np.testing.assert_allclose(multiples, np.round(multiples), atol=1e-6)
        assert score.step >= (high - low) / levels * (1 - 1e-9)


def test_rounding_in_single_precision_is_seen_through():
    points = (np.array([1, 2, 5, 7]) / 3).astype(np.float32).astype(float)
    assert resolve_step(Score((0, 3), "higher"), points)[0].step == pytest.approx(1 / 3)


def test_stated_step_stands():
    score, source = resolve_step(Score((0, 10), "higher", step=0.5), np.array([1.0, 2.0]))
    assert (score.step, source, score.step_capacity) == (0.5, "stated", 5)


def test_errors_are_short_and_name_the_nearest():
    assert nearest("WEEKS", ["week", "ward"]) == " Did you mean 'week'?"
    assert nearest("xyz", ["week"]) == nearest("xyz", []) == ""
    assert list_some(range(7), 3) == "0, 1, 2 and 4 more"
    with pytest.raises(UserError, match=r"`rule` must be one of 'carry', 'error', not 'cary'. Did you mean 'carry'\?"):
        one_of("cary", ["carry", "error"], "`rule`")
    with pytest.raises(UserError, match=r"must be one of .* not \['a'\]"):
        one_of(["a"], ["a"], "`rule`")
