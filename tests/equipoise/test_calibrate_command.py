"""``equipoise calibrate``: what is asked reaches the refits, which stay for a later run with more of them."""

import json

import pytest
from typer.testing import CliRunner

from equipoise.cli import app
from equipoise.inference.refits import calibration as module


class Refits:
    """Stands for the simulated studies: a replicate is done when the ledger holds it."""

    def __init__(self):
        self.asked, self.stop_after = [], None

    def __call__(self, model, study, *, replicates, ledger, **options):
        self.asked.append(options | {"replicates": replicates, "there": len(ledger.results)})
        for n in range(replicates):
            if n == self.stop_after:
                raise KeyboardInterrupt
            if f"replicate {n}" not in ledger.results:
                ledger.add(f"replicate {n}", {"ranks": {"level": n % 100}})
        return {"ranks": {"level": [r["ranks"]["level"] for r in ledger.results.values()]}}


@pytest.fixture
def refits(monkeypatch, laboratory) -> Refits:
    fake = Refits()
    monkeypatch.setattr(module, "calibrate", fake)
    # a fit has its model and its study
    restore = laboratory.restore

    def whole(path, study, model):
        fit = restore(path, study, model)
        fit.study, fit.model = study, model
        return fit

    monkeypatch.setattr("equipoise.run.restore", whole)
    return fake


def command(*arguments):
    return CliRunner().invoke(app, ["calibrate", *(str(a) for a in arguments)])


def test_help_ends_in_an_example():
    result = command("--help")
    assert result.exit_code == 0 and "equipoise calibrate analysis.toml" in result.output


def test_what_is_asked_reaches_the_refits_and_the_report(analysis, laboratory, refits):
    result = command(analysis, "--replicates", 30, "--workers", 2, "--scheduler", "local")
    assert result.exit_code == 0, result.output
    (asked,) = refits.asked
    assert asked == {"replicates": 30, "there": 0, "seed": 3, "workers": 2, "progress": "Calibration"}
    stored = json.loads((analysis.parent / "results" / "analysis" / "checks" / "calibration.json").read_text())
    assert len(stored["found"]["ranks"]["level"]) == 30
    assert laboratory.options["evidence"]["calibration"] == stored["found"]


def test_more_replicates_later_reuse_those_that_are_done(analysis, refits):
    command(analysis, "--replicates", 20)
    result = command(analysis, "--replicates", 50)
    assert "20 refits are there already" in result.stderr
    assert [asked["there"] for asked in refits.asked] == [0, 20]
    analysis.write_text(analysis.read_text().replace("seed = 3", "seed = 4"))
    command(analysis, "--replicates", 20)
    assert refits.asked[-1]["there"] == 0  # another seed has other studies


def test_ctrl_c_is_one_message_and_the_next_run_goes_on(analysis, refits):
    refits.stop_after = 7
    result = command(analysis, "--replicates", 20)
    assert result.exit_code == 130
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: Interrupted") and "7 refits are kept in" in last and "analysis.calibration.jsonl" in last
    assert not (analysis.parent / "results" / "analysis" / "checks").exists()
    refits.stop_after = None
    assert command(analysis, "--replicates", 20).exit_code == 0
    assert [asked["there"] for asked in refits.asked] == [0, 7]


def test_too_few_replicates_are_refused(analysis, laboratory, refits):
    result = command(analysis, "--replicates", 3)
    assert result.exit_code == 2 and not refits.asked and laboratory.sampled == 0
