"""``equipoise run --quick``: a folder of its own, marks at the head, and nothing that is for the full posterior."""

import json

import pytest
from typer.testing import CliRunner

from equipoise import run as running
from equipoise.cli import app

MARK = "APPROXIMATE: a quick look"


@pytest.fixture
def looks(laboratory, monkeypatch):
    """The method of each fit that was asked for; a quick look says what it is."""
    methods = []

    def sample(model, study, **options):
        methods.append(options["method"])
        laboratory.warnings = (MARK,) if options["method"] == "laplace" else ()
        return laboratory.sample(model, study, **options)

    monkeypatch.setattr(running, "sample", sample)
    return methods


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def refused(result, *words):
    assert result.exit_code == 1 and "Error: " in result.stderr and "Traceback" not in result.output
    assert all(word in result.stderr for word in words), result.stderr


def test_a_quick_look_has_a_folder_of_its_own(analysis, looks):
    results = analysis.parent / "results"
    assert call("run", analysis).exit_code == 0
    full = (results / "analysis" / "posterior.nc").read_bytes()
    result = call("run", analysis, "--quick")
    assert result.exit_code == 0 and looks == ["nuts", "laplace"]
    assert result.stdout.startswith(f"WARNING: {MARK}") and "analysis.quick" in result.stdout
    assert (results / "analysis" / "posterior.nc").read_bytes() == full
    provenance = json.loads((results / "analysis.quick" / "provenance.json").read_text())
    assert provenance["warnings"] == [MARK] and provenance["inputs"]["sampling"]["method"] == "laplace"
    for options in ((), ("--quick",)):  # each knows what of it is done
        assert "done already" in call("run", analysis, *options).stdout
    assert len(looks) == 2


def test_the_analysis_file_can_ask_for_it(analysis, looks):
    analysis.write_text(analysis.read_text().replace("seed = 3", 'seed = 3\nmethod = "laplace"'))
    assert call("run", analysis).stdout.startswith(f"WARNING: {MARK}")
    assert looks == ["laplace"] and (analysis.parent / "results" / "analysis" / "report.html").exists()
    analysis.write_text(analysis.read_text().replace("laplace", "laplce"))
    refused(call("run", analysis), "[sampling] method", "Did you mean 'laplace'?")


def test_it_takes_the_place_of_no_draws_of_the_sampler(analysis, looks, tmp_path):
    assert call("run", analysis, "--output", tmp_path / "out").exit_code == 0
    before = (tmp_path / "out" / "posterior.nc").read_bytes()
    refused(call("run", analysis, "--quick", "--output", tmp_path / "out"), "draws of the sampler", "--output")
    refused(call("run", analysis, "--quick", "--fresh", "--output", tmp_path / "out"), "draws of the sampler")
    assert (tmp_path / "out" / "posterior.nc").read_bytes() == before and looks == ["nuts"]
    assert call("run", analysis, "--quick", "--output", tmp_path / "look").exit_code == 0
    assert call("run", analysis, "--output", tmp_path / "look").exit_code == 0  # the other way round nothing is lost
    assert looks == ["nuts", "laplace", "nuts"]


@pytest.mark.parametrize("option", ["--share", "--doubling"])
def test_what_is_for_the_full_posterior_is_refused_with_it(analysis, looks, option):
    refused(call("run", analysis, "--quick", option), "--quick", option)
    analysis.write_text(analysis.read_text().replace("seed = 3", 'seed = 3\nmethod = "laplace"'))
    refused(call("run", analysis, option), "[sampling] method", "full posterior")
    assert looks == [] and not (analysis.parent / "results").exists()


def test_a_quick_look_is_not_shared_by_whoever_changes_the_file_afterwards(analysis, looks, tmp_path):
    call("run", analysis, "--quick", "--output", tmp_path / "look")
    analysis.write_text(analysis.read_text() + "\n[share]\nsmallest_cell = 5\n")
    refused(call("report", analysis, "--share", "--output", tmp_path / "look"), "quick look", "not to be shared")
    assert not (tmp_path / "look.share").exists()


@pytest.mark.parametrize("command", ["crossvalidate", "sensitivity", "calibrate"])
def test_refits_are_for_the_full_posterior(analysis, looks, command):
    analysis.write_text(analysis.read_text().replace("seed = 3", 'seed = 3\nmethod = "laplace"'))
    refused(call(command, analysis), f"`equipoise {command}`", "full posterior", '"nuts"')
    assert looks == [] and not (analysis.parent / "results").exists()


def test_a_report_is_written_again_from_a_quick_look(analysis, looks):
    call("run", analysis, "--quick")
    folder = analysis.parent / "results" / "analysis.quick"
    analysis.write_text(analysis.read_text().replace("Ward programme", "Another title"))
    refused(call("report", analysis), "no draws in ", "makes them", "equipoise report", "--quick")
    refused(call("report", analysis, "--quick", "--share"), "--quick", "--share")
    assert call("report", analysis, "--output", folder).stdout.startswith(f"WARNING: {MARK}")  # nothing changed that draws hang on
    assert "Another title" in (folder / "report.html").read_text()
    analysis.write_text(analysis.read_text().replace("Another title", "A third title"))
    assert call("report", analysis, "--quick").stdout.startswith(f"WARNING: {MARK}")
    assert "A third title" in (folder / "report.html").read_text()
    assert call("run", analysis, "--quick").exit_code == 0
    assert looks == ["laplace"]
