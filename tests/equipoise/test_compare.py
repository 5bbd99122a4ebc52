"""Comparing runs what is not done, sets the rest beside it in a folder of its own, and finds mistakes before sampling."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from typer.testing import CliRunner

from equipoise import compare, outputs, run
from equipoise.cli import app
from equipoise.datasets.errors import UserError

NOTE = "Leaving out surveys, Pareto k is above 0.7."


@pytest.fixture
def two(analysis) -> tuple[Path, Path]:
    """Two analyses of one study."""
    other = analysis.with_name("vague.toml")
    other.write_text(analysis.read_text().replace('replenishment = "sleep"\n', "") + "[estimands]\nhorizon = 26\n")
    return analysis, other


@pytest.fixture
def desk(monkeypatch, laboratory):
    """Replaces loading, comparing and writing by fakes that remember what they were given."""
    seen = SimpleNamespace(fits={}, asked={}, fail=None, laboratory=laboratory)

    def restore(path, study, model):
        return f"{Path(path).read_text()} of {Path(path).parent.name}"

    def side_by_side(fits, asked, prob):
        print("chatter")
        seen.fits, seen.asked, seen.prob = fits, asked, prob
        loo = pd.DataFrame({
            "unit_left_out": "survey", "analysis": list(fits), "elpd": -812.345, "se": 20.04, "elpd_diff": 0.0, "se_diff": 0.0,
            "weight": 1 / len(fits), "n_left_out": 240, "n_high_k": 0,
        })  # fmt: skip
        return SimpleNamespace(loo=loo if seen.fail != "no answers" else loo[:0], loo_notes=[NOTE])

    def write(comparison, folder):
        (folder / "report.html").write_text(f"page of {len(seen.fits)}")
        (folder / "tables").mkdir()
        (folder / "tables" / "loo.csv").write_text("analysis\n")
        if seen.fail == "write":
            raise RuntimeError("a figure that cannot be drawn")

    monkeypatch.setattr(compare, "_restore", restore)
    monkeypatch.setattr(compare, "_compare", side_by_side)
    monkeypatch.setattr(compare, "_write", write)
    return seen


@pytest.fixture
def command():
    return lambda *arguments: CliRunner().invoke(app, ["compare", *map(str, arguments)])


def results(analysis, name="compare-analysis-vague") -> Path:
    return analysis.parent / "results" / name


def one_message(result, *words):
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("Error: ") and "Traceback" not in result.output and result.stdout == ""
    assert all(word in result.stderr for word in words), result.stderr


def test_what_is_not_done_is_run_and_all_is_set_side_by_side(two, desk):
    notes = []
    outcome = compare.compare(two, note=notes.append)
    assert outcome.folder == results(two[0]) and outcome.page.read_text() == "page of 2"
    assert desk.fits == {"analysis": "draws 1 of analysis", "vague": "draws 2 of vague"}
    assert desk.asked["analysis"] == {} and desk.asked["vague"]["horizon"] == 26 and desk.prob == 0.89
    assert any(note.startswith("vague: Sampling") for note in notes)
    assert (two[0].parent / "results" / "vague" / "report.html").exists()
    notes.clear()
    compare.compare(two, note=notes.append)
    assert desk.laboratory.sampled == 2 and "analysis: done already." in notes
    assert desk.fits["vague"] == "draws 2 of vague"


def test_provenance_says_what_was_compared_and_knows_no_machine(two, desk):
    folder = compare.compare(two).folder
    text = (folder / "provenance.json").read_text()
    found = json.loads(text)
    assert set(found["files"]) == {"report.html", "tables/loo.csv"} and found["kind"] == "comparison"
    for part, path in zip(found["inputs"]["analyses"], two, strict=True):
        own = json.loads((path.parent / "results" / path.stem / "provenance.json").read_text())
        assert part["file"] == path.name and part["sampling_key"] == own["sampling_key"]
    assert str(two[0].parent) not in text


def test_warnings_keep_their_label_and_head_the_output(two, desk, command):
    desk.laboratory.warnings = ("NOT CONVERGED",)
    result = command(*two)
    assert result.exit_code == 0
    assert result.stdout.startswith("WARNING: analysis: NOT CONVERGED\nWARNING: vague: NOT CONVERGED\n")
    assert outputs.read_provenance(results(two[0]))["warnings"] == ["analysis: NOT CONVERGED", "vague: NOT CONVERGED"]


def test_the_command_tells_loo_what_it_means_and_where_the_page_is(two, desk, command, monkeypatch):
    monkeypatch.chdir(two[0].parent)
    result = command("analysis.toml", "vague.toml")
    assert result.exit_code == 0
    assert "-812.3" in result.stdout and "20.0" in result.stdout and "0.5" in result.stdout and "-812.34" not in result.stdout
    assert "no reason to prefer a model" in result.stdout and NOTE in result.stdout
    assert os.path.join("results", "compare-analysis-vague", "report.html") in result.stdout
    assert "chatter" not in result.stdout
    desk.fail = "no answers"
    again = command("analysis.toml", "vague.toml")
    assert "no reason to prefer" not in again.stdout and NOTE in again.stdout


def test_files_of_one_name_are_told_apart_by_their_folders(two, desk):
    folder = two[0].parent.parent / "second" / "study"
    folder.mkdir(parents=True)
    (two[0].parent / "survey.csv").rename(folder / "survey.csv")
    (folder / "analysis.toml").write_text(two[0].read_text())
    (two[0].parent / "survey.csv").write_bytes((folder / "survey.csv").read_bytes())
    outcome = compare.compare([two[0], two[1], folder / "analysis.toml"])
    first, second, third = desk.fits
    assert second == "vague" and third == "second/study/analysis"
    assert first.endswith("/study/analysis") and first != third
    assert outcome.folder.parent == two[0].parent / "results" and "/" not in outcome.folder.name


def test_a_long_list_of_names_still_makes_a_folder(two):
    names = [f"analysis with a long name {n}" for n in range(20)]
    folder = compare.target_folder(names, two[0], None)
    assert folder.name.startswith("compare-") and len(folder.name) < 40
    assert folder != compare.target_folder(names[:-1], two[0], None)


def test_mistakes_are_one_message_before_any_sampling(two, desk, command, tmp_path):
    first, second = two
    one_message(command(first), "at least two")
    one_message(command(first, first), "named twice")
    one_message(command(first, first.parent / ".." / first.parent.name / first.name), "named twice")
    one_message(command(first, tmp_path / "absent.toml"), "absent.toml", "No such file")
    one_message(command(first, first.parent / "survey.csv"), "data file")
    one_message(command(first, second, "--output", first.parent), "not written by Equipoise")
    one_message(command(first, second, "--output", first.parent / "survey.csv"), "is a file")
    one_message(command(first, second, "--output", first.parent / "results" / "vague"), "not for a comparison")
    twin = first.with_name("analysis.txt")
    twin.write_text(first.read_text())
    one_message(command(first, twin), "share a results folder")
    second.write_text(second.read_text().replace("seed = 3", "sede = 3"))
    one_message(command(first, second), "[sampling] sede", "Did you mean 'seed'?")
    assert desk.laboratory.sampled == 0 and not (first.parent / "results").exists()


def test_results_of_an_analysis_are_never_overwritten(two, desk):
    compare.compare(two)
    third = two[0].with_name("third.toml")
    third.write_text(two[0].read_text())
    with pytest.raises(UserError, match="not for a comparison"):
        compare.compare([two[0], third], output=two[0].parent / "results" / "vague")
    assert (two[0].parent / "results" / "vague" / "posterior.nc").exists()


def test_a_folder_of_the_users_is_refused_and_their_files_stay(two, desk):
    mine = results(two[0])
    mine.mkdir(parents=True)
    (mine / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not written by Equipoise"):
        compare.compare(two)
    (mine / "notes.txt").unlink()
    compare.compare(two)
    (mine / "notes.txt").write_text("mine")
    (mine / "report.html").write_text("edited")
    outcome = compare.compare(two)
    assert (mine / "notes.txt").read_text() == "mine"
    assert [path.read_text() for path in outcome.kept] == ["edited"] and outcome.page.read_text() == "page of 2"


def test_the_first_analysis_sets_the_interval(two, desk):
    two[1].write_text(two[1].read_text().replace("[report]", "[report]\ninterval = 0.5"))
    notes = []
    compare.compare(two, note=notes.append)
    assert desk.prob == 0.89 and any("Intervals of 89 %, as analysis asks for" in note for note in notes)


def test_the_output_folder_is_used_exactly(two, desk, tmp_path):
    assert compare.compare(two, output=tmp_path / "there").folder == tmp_path / "there"
    assert not results(two[0]).exists()


def test_an_interrupted_analysis_ends_it_and_says_where_its_draws_are(two, desk, command):
    desk.laboratory.complete = False
    result = command(*two)
    assert result.exit_code == 130 and "analysis.incomplete" in result.stderr and desk.laboratory.sampled == 1
    assert not results(two[0]).exists() and desk.fits == {}


def test_a_page_that_fails_leaves_the_one_before(two, desk):
    compare.compare(two)
    desk.fail = "write"
    with pytest.raises(RuntimeError):
        compare.compare(two)
    assert (results(two[0]) / "report.html").read_text() == "page of 2"
    assert sorted(p.name for p in results(two[0]).parent.iterdir()) == ["analysis", "compare-analysis-vague", "vague"]


def test_a_second_command_is_kept_away(two, desk):
    with outputs.locked(results(two[0])), pytest.raises(UserError, match="Another command"):
        compare.compare(two)


def test_a_run_does_not_replace_a_comparison(two, desk, tmp_path):
    outcome = compare.compare(two, output=tmp_path / "both")
    with pytest.raises(UserError, match="holds a comparison"):
        run.run(two[0], output=outcome.folder)
