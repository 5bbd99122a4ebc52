"""What refits have found stays with the draws that it belongs to, and goes with them."""

import json

import pytest

from equipoise import evidence, keys, run

FOUND = {"calibration": {"ranks": {"level": [1, 2]}, "rhat": [1.0, float("nan")]}}


def results(analysis):
    return analysis.parent / "results" / "analysis"


def change(analysis, old, new):
    text = analysis.read_text()
    assert old in text
    analysis.write_text(text.replace(old, new))


@pytest.fixture
def found(analysis, laboratory):
    run.run(analysis)
    return run.report(analysis, found=FOUND)


def test_it_is_kept_and_handed_to_the_report(found, analysis, laboratory):
    stored = json.loads((results(analysis) / "checks" / "calibration.json").read_text())
    key = json.loads((results(analysis) / "provenance.json").read_text())["sampling_key"]
    assert stored["sampling_key"] == key and stored["schema"] == 1
    # JSON has no number for what is not one
    assert stored["found"] == laboratory.options["evidence"]["calibration"] == {"ranks": {"level": [1, 2]}, "rhat": [1.0, None]}


def test_a_second_run_has_nothing_to_do(found, analysis):
    assert run.run(analysis).done == "nothing"


def test_a_new_title_keeps_it(found, analysis, laboratory):
    change(analysis, "Ward programme", "Another title")
    assert run.run(analysis).done == "report"
    assert laboratory.options["evidence"]["calibration"]["ranks"] == {"level": [1, 2]}


def test_new_evidence_joins_the_old(found, analysis, laboratory):
    run.report(analysis, found={"doubling": {"z": [0.5]}})
    assert set(laboratory.options["evidence"]) == {"calibration", "doubling"}


def test_other_draws_do_not_have_it(found, analysis, laboratory):
    change(analysis, "seed = 3", "seed = 4")
    assert run.run(analysis).done == "everything"
    assert "evidence" not in laboratory.options
    assert not (results(analysis) / "checks").exists()


def test_an_edited_file_counts_no_more(found, analysis):
    path = results(analysis) / "checks" / "calibration.json"
    path.write_text(path.read_text().replace("1,", "50,", 1))
    key = json.loads((results(analysis) / "provenance.json").read_text())["sampling_key"]
    assert evidence.read(results(analysis), key) == {}


def test_what_refits_is_no_part_of_the_key_of_the_draws(monkeypatch):
    """A change of a check must not make hours of sampling worthless; a change of the likelihood must."""
    sampling = keys.source_digest(keys.SAMPLING_ROOMS, keys.NOT_SAMPLING)
    assert sampling != keys.source_digest(keys.SAMPLING_ROOMS)
    assert {"checks", "refits"} == set(keys.NOT_SAMPLING)
