"""``equipoise sensitivity``: what the analysis file and the command line say reaches the panel, and its refits stay."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from equipoise.analysis import Analysis
from equipoise.cli import app
from equipoise.datasets import UserError
from equipoise.inference.refits import sensitivity as panel


@pytest.fixture
def command():
    def call(*arguments):
        return CliRunner().invoke(app, [str(a) for a in arguments])

    return call


@pytest.fixture
def asked(monkeypatch) -> list[dict]:
    """Stands for the panel: writes down what is asked, and "refits" one assumption each time."""
    seen = []

    def fake(fit, *, ledger, **options):
        seen.append(options | {"done": list(ledger.results)})
        for name in options["only"] or ():
            ledger.add(name, {"rows": []})
        return {"variants": list(ledger.results)}

    monkeypatch.setattr(panel, "sensitivity", fake)
    return seen


def stored(analysis: Path) -> dict:
    return json.loads((analysis.parent / "results" / "analysis" / "checks" / "sensitivity.json").read_text())["found"]


def test_help_ends_in_an_example(command):
    result = command("sensitivity", "--help")
    assert result.exit_code == 0 and "equipoise sensitivity analysis.toml" in result.output


def test_what_is_asked_reaches_the_panel(command, analysis, laboratory, asked):
    analysis.write_text(
        analysis.read_text() + "\n[sensitivity]\ndelta = -5\n\n[estimands]\nhorizon = 8\n"
    )
    result = command("sensitivity", analysis, "--draws", 200, "--workers", 2, "--only", "start_free")
    assert result.exit_code == 0, result.output
    (options,) = asked
    assert options["only"] == ["start_free"] and options["delta"] == -5 and options["workers"] == 2
    assert options["draws"] == options["tune"] == 200 and options["prob"] == 0.89
    assert options["estimands"]["horizon"] == 8
    assert options["other"]().holds == "after"
    assert stored(analysis) == {"variants": ["start_free"]}
    # and in the report, with what becomes of those who left under the delta of the analysis file
    assert laboratory.options["evidence"]["sensitivity"] == {"variants": ["start_free"], "dropout": []}


def test_assumptions_add_up_until_something_else_is_asked(command, analysis, laboratory, asked):
    command("sensitivity", analysis, "--only", "start_free")
    command("sensitivity", analysis, "--only", "no_trait")
    assert stored(analysis) == {"variants": ["start_free", "no_trait"]}
    command("sensitivity", analysis, "--only", "no_error", "--draws", 300)
    assert stored(analysis) == {"variants": ["no_error"]}
    analysis.write_text(analysis.read_text().replace("[report]", "[report]\ninterval = 0.5"))
    command("sensitivity", analysis, "--only", "no_error", "--draws", 300)
    assert [options["done"] for options in asked] == [[], ["start_free"], [], []]
    assert laboratory.sampled == 1


def test_an_unknown_assumption_is_one_message_before_any_sampling(command, analysis, laboratory):
    result = command("sensitivity", analysis, "--only", "start_fre")
    assert result.exit_code == 1 and result.stderr.startswith("Error: ") and "Did you mean 'start_free'" in result.stderr
    assert laboratory.sampled == 0 and not (analysis.parent / "results").exists()


@pytest.mark.parametrize(
    "text, says",
    [
        ('[sensitivity]\ndelta = "lots"', "[sensitivity] delta: must be a number"),
        ("[sensitivity]\ndelt = -5", "delta"),
        ('[model]\nreplenishment = "sleep"\nleft_out = "traits"', "trait"),
    ],
)
def test_mistakes_in_the_analysis_file(analysis, text, says):
    whole = analysis.read_text()
    if text.startswith("[model]"):
        whole = whole.replace('[model]\nreplenishment = "sleep"', text)
    else:
        whole += "\n" + text
    analysis.write_text(whole)
    with pytest.raises(UserError) as error:
        Analysis.read(analysis)
    assert says in str(error.value)


def test_a_layer_can_be_left_out_in_the_analysis_file(analysis):
    analysis.write_text(analysis.read_text().replace("[model]", '[model]\nleft_out = "trait"'))
    read = Analysis.read(analysis)
    assert read.model(read.study()).left_out == "trait"


def test_the_other_reading_is_the_same_file_read_otherwise(analysis):
    read = Analysis.read(analysis)
    study, other = read.study(), read.other_reading()
    assert (study.holds, other.holds) == ("before", "after")
    assert not study.spells.equals(other.spells)
    assert study.surveys.equals(other.surveys)
    analysis.write_text(
        'schema = 1\n[study]\ndataset = "example"\n'
    )
    assert Analysis.read(analysis).other_reading() is None
