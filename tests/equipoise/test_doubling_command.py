"""``equipoise run --doubling``: once for the same draws, and into the report."""

import json

import pytest
from typer.testing import CliRunner

from equipoise.cli import app
from equipoise.inference.refits import doubling as module


@pytest.fixture
def doubled(monkeypatch) -> list[float]:
    seen = []
    monkeypatch.setattr(module, "doubling", lambda fit, *, prob, ledger: seen.append(prob) or {"count": len(seen)})
    return seen


def run(analysis, *options):
    result = CliRunner().invoke(app, ["run", str(analysis), *options])
    assert result.exit_code == 0, result.output
    return result


def test_doubling_comes_after_the_run_and_goes_into_the_report(analysis, laboratory, doubled):
    run(analysis, "--doubling")
    assert doubled == [0.89] and laboratory.sampled == 1
    assert laboratory.options["evidence"] == {"doubling": {"count": 1}}
    stored = analysis.parent / "results" / "analysis" / "checks" / "doubling.json"
    assert json.loads(stored.read_text())["found"] == {"count": 1}
    assert not list(analysis.parent.glob("results/*.jsonl"))  # nothing is left beside the results


def test_what_is_done_is_kept(analysis, laboratory, doubled):
    run(analysis, "--doubling")
    assert "done already" in run(analysis, "--doubling").stdout
    assert "done already" in run(analysis).stdout  # a plain run keeps the evidence too
    assert len(doubled) == 1 and laboratory.sampled == 1
    run(analysis, "--doubling", "--fresh")
    assert len(doubled) == 2 and laboratory.sampled == 2
    analysis.write_text(analysis.read_text().replace("seed = 3", "seed = 4"))
    run(analysis, "--doubling")
    assert len(doubled) == 3 and laboratory.sampled == 3


def test_an_interrupted_run_is_not_doubled(analysis, laboratory, doubled):
    laboratory.complete = False
    result = CliRunner().invoke(app, ["run", str(analysis), "--doubling"])
    assert result.exit_code == 130 and not doubled
