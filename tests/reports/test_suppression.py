"""The rule of suppression, against brute force, and the pseudonyms."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.reports.sharing import pseudonyms as naming
from equipoise.reports.sharing.pseudonyms import pseudonyms
from equipoise.reports.sharing.suppression import choose, isolates, number_is_safe

KEY = bytes(range(32))


def gives_away(groups: np.ndarray, smallest: int) -> bool:
    """By brute force: whether something other than 0 in the groups' span is 0 outside some few clinicians."""
    atoms, count = np.unique(groups, axis=1, return_counts=True)
    rank = np.linalg.matrix_rank(atoms)
    for r in range(1, atoms.shape[1] + 1):
        for few in itertools.combinations(range(atoms.shape[1]), r):
            if count[list(few)].sum() < smallest and np.linalg.matrix_rank(np.delete(atoms, few, axis=1)) < rank:
                return True
    return False


SIZES = st.lists(st.integers(1, 30), min_size=2, max_size=8)


@given(SIZES, st.integers(5, 12))
@settings(max_examples=150, deadline=None)
def test_units_left_out_cannot_be_had_from_those_shown(size, smallest):
    code = np.repeat(np.arange(len(size)), size)
    units = np.array([code == u for u in range(len(size))], float)
    everyone = np.ones((1, code.size))
    shown = choose(everyone, units, smallest)
    size = np.array(size)
    left_out = size[~shown]
    if code.size < smallest:
        assert not shown.any()
        return
    assert (size[shown] >= smallest).all()
    assert left_out.size != 1 and (left_out.size == 0 or left_out.sum() >= smallest)
    # no more is left out than it takes: with the largest of those left out, it would be too little
    more = left_out[left_out >= smallest]
    assert not more.size or left_out.sum() - more.max() < smallest
    assert not gives_away(np.concatenate([everyone, units[shown]]), smallest)


@given(SIZES, st.lists(st.integers(0, 2), min_size=240, max_size=240), st.integers(5, 12))
@settings(max_examples=80, deadline=None)
def test_overlapping_groupings_give_no_small_group_away(size, roles, smallest):
    code = np.repeat(np.arange(len(size)), size)[:60]
    roles = np.array(roles[: code.size])
    known = np.ones((1, code.size))
    for values in (code, roles):
        groups = np.array([values == v for v in np.unique(values)], float)
        known = np.concatenate([known, groups[choose(known, groups, smallest)]]) if code.size >= smallest else known
    if code.size >= smallest and np.unique(known, axis=1).shape[1] <= 12:
        assert not gives_away(known, smallest)


def test_the_rule_sees_weights_and_dominance():
    unit = np.repeat([0, 1], [30, 3])
    # a stated target population that counts the three of the second unit double
    target = np.where(unit == 1, 2.0, 1.0)
    assert isolates(np.array([np.ones(33), target]), 10)
    # three clinicians of large and thirty of hardly any weight are hardly more than three
    assert isolates(np.array([np.where(unit == 1, 1.0, 0.01)]), 10)
    assert not isolates(np.array([np.where(unit == 1, 1.0, 0.5)]), 10)


@pytest.mark.parametrize(
    ("left_out", "safe"), [([], True), ([9, 9], False), ([1, 1, 1, 1, 1, 1, 1, 1, 1, 1], False), ([4, 7], True), ([3, 12], True)]
)
def test_the_number_of_units_is_told_unless_it_tells_their_sizes(left_out, safe):
    size = np.array([*left_out, 20, 30])
    assert number_is_safe(size, size >= 20, 10) is safe


def test_pseudonyms_go_by_the_key():
    names = ["Ward 3", "=cmd", "", "Ward 3 "]
    once = pseudonyms(names, KEY)
    assert once == pseudonyms(reversed(names), KEY) and len(set(once.values())) == 4
    assert all(re.fullmatch(r"unit-[0-9a-f]{6,}", name) for name in once.values())
    other = pseudonyms(names, bytes(32))
    assert not set(once.values()) & set(other.values())
    assert pseudonyms(["Ward 3"], KEY, "clinician")["Ward 3"].split("-")[1] != once["Ward 3"].split("-")[1]
    with pytest.raises(ValueError, match="16 bytes"):
        pseudonyms(names, b"short")


def test_names_of_one_pseudonym_get_longer_ones(monkeypatch):
    monkeypatch.setattr(naming, "SHORTEST", 1)
    names = [f"ward {n}" for n in range(40)]
    assert len(set(pseudonyms(names, KEY).values())) == 40
