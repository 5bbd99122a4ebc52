"""Keys: equal for equal inputs, other for each thing that can change a draw."""

import pytest

from equipoise import keys
from equipoise.models import CapacityModel

SAMPLING = {"draws": 100, "tune": 100, "chains": 2, "seed": 3, "target_accept": 0.85}


class StudyOf:
    def __init__(self, fingerprint):
        self.fingerprint = fingerprint


def key(study="a", model=None, **sampling):
    return keys.digest(keys.sampling_inputs(StudyOf(study), model or CapacityModel(), SAMPLING | sampling))


def test_equal_inputs_have_equal_keys():
    assert key() == key()
    assert keys.digest({"a": 1, "b": (1, 2)}) == keys.digest({"b": [1, 2], "a": 1})


@pytest.mark.parametrize(
    "other",
    [
        {"study": "b"},
        {"model": CapacityModel(start="free")},
        {"model": CapacityModel(priors={"half_life": {"median": 8, "factor": 2}})},
        {"seed": 4},
        {"draws": 101},
    ],
)
def test_each_input_changes_the_key(other):
    assert key(**other) != key()


def test_other_versions_and_other_sources_change_the_key(monkeypatch):
    before = key()
    with monkeypatch.context() as patch:
        patch.setattr(keys, "version", lambda package: "0.0")
        assert key() != before
    with monkeypatch.context() as patch:
        patch.setattr(keys, "source_digest", lambda rooms, *without: "other")
        assert key() != before


def test_the_title_enters_the_report_alone():
    inputs = {"draws": "d", "report": {"title": "A"}}
    assert keys.digest(keys.report_inputs("d", {"title": "A"}, None)) != keys.digest(
        keys.report_inputs("d", {"title": "B"}, None)
    )
    assert set(inputs) <= set(keys.report_inputs("d", {"title": "A"}, None))


def test_sources_are_told_apart_by_path_and_content(tmp_path, monkeypatch):
    class Spec:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr(keys, "find_spec", lambda name: Spec)
    digest = keys.source_digest.__wrapped__
    (tmp_path / "a.py").write_text("x = 1\n")
    first = digest(("models",))
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "analysis.py").write_text("x = 1\n")
    (tmp_path / "data.csv").write_text("1\n")
    (tmp_path / "a.py").write_bytes(b"x = 1\r\n")
    assert digest(("models",)) == first
    (tmp_path / "a.py").write_text("x = 2\n")
    assert digest(("models",)) != first
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "b.py").write_text("")
    assert digest(("models",)) != first


def test_the_real_sources_are_found():
    nothing = keys.source_digest.__wrapped__(())
    assert all(keys.source_digest((room,)) != nothing for room in (*keys.SAMPLING_ROOMS, "reports"))


def test_what_changed_is_said_in_words():
    old = keys.sampling_inputs(StudyOf("a"), CapacityModel(), SAMPLING)
    new = keys.sampling_inputs(StudyOf("b"), CapacityModel(), SAMPLING | {"seed": 5})
    assert keys.changed(old, new) == ["the study", "[sampling]"]
    assert keys.changed(keys.plain(old), old) == []
