"""``equipoise reproduce RESULTS``: the same again, what differs, and what cannot be reproduced."""

import hashlib
import json
import runpy
import shutil
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from equipoise import run as running
from equipoise.cli import app
from equipoise.datasets import UserError
from equipoise.inference import Fit
from equipoise.reproduce import reproduce

prior_fit = runpy.run_path(str(Path(__file__).parents[1] / "reports" / "conftest.py"))["prior_fit"]
DRAWN: dict[tuple, Fit] = {}  # each fit is made once


class Sampler:
    """Stands for the sampler: draws from the prior, the same for the same seed; can be told to go astray."""

    def __init__(self):
        self.asked: list[dict] = []
        self.another_seed, self.shift, self.fail = 0, 0.0, None

    def __call__(self, model, study, **options):
        self.asked.append(options)
        if self.fail is not None:
            raise self.fail
        seed = options["seed"] + self.another_seed
        key = (study.fingerprint, json.dumps(model.to_dict()), seed)
        if key not in DRAWN:
            DRAWN[key] = prior_fit(model, study, options["draws"], options["chains"], seed=seed)
        tree = DRAWN[key].tree.copy()
        posterior = tree["posterior"].to_dataset()
        tree["posterior"] = posterior.assign(level=posterior["level"] + self.shift)
        return Fit(tree)


@pytest.fixture
def sampler(monkeypatch) -> Sampler:
    fake = Sampler()
    monkeypatch.setattr(running, "sample", fake)
    monkeypatch.setattr(running, "_render", lambda fit, folder, **options: (folder / "report.html").write_text("a report"))
    return fake


@pytest.fixture
def results(analysis, sampler) -> Path:
    text = analysis.read_text().replace("draws = 100", "draws = 60")
    analysis.write_text(text.replace("[report]", "compare_spreads = true\n\n[report]"))
    running.run(analysis, progress=False)
    return analysis.parent / "results" / "analysis"


def edit(results: Path, change) -> None:
    """Change the provenance of results."""
    content = json.loads((results / "provenance.json").read_text())
    change(content)
    (results / "provenance.json").write_text(json.dumps(content))


def snapshot(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


def command(*arguments) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["reproduce", *map(str, arguments)])
    return done.exit_code, done.stdout, done.stderr


def test_the_same_draws_are_said_to_be_identical(results, sampler, analysis):
    before = snapshot(analysis.parent)
    code, told, _ = command(results)
    assert code == 0 and told.startswith("Identical")
    assert snapshot(analysis.parent) == before  # nothing touched, nothing left
    first, again = sampler.asked
    assert {k: v for k, v in again.items() if k not in ("progress", "compare_spreads")} == {
        k: v for k, v in first.items() if k not in ("progress", "compare_spreads")
    }
    assert again["compare_spreads"] is False  # the fits beside it are not compared


def test_other_draws_of_the_same_posterior_agree(results, sampler, tmp_path):
    sampler.another_seed = 100
    code, told, _ = command(results, "--table", tmp_path / "all.csv")
    assert code == 0 and "The draws differ" in told and " 0 differ beyond" in told
    table = pd.read_csv(tmp_path / "all.csv")
    assert set(table["group"]) == {"population", "members", "effects"} and set(table["what"]) == {"mean", "low", "median", "high"}
    clinicians = {f"capacity[{i:03d}]" for i in range(24)}
    assert clinicians <= set(table["quantity"]) and "capacity_change[mindfulness]" in set(table["quantity"])


def test_numbers_beyond_monte_carlo_error_are_listed(results, sampler):
    sampler.shift = 60.0
    code, told, _ = command(results)
    assert code == 1 and "differ beyond Monte Carlo error" in told
    assert "level" in told and "half_life" not in told
    found = reproduce(results, progress=False)
    assert not found.identical and set(found.beyond["quantity"]) == {"level"}
    assert (found.table["other"] - found.table["one"])[found.table["quantity"] == "level"].to_numpy() == pytest.approx(60)


def test_the_copy_of_the_analysis_counts_not_the_file_of_today(results, sampler, analysis):
    analysis.write_text(analysis.read_text().replace("seed = 3", "seed = 4").replace('replenishment = "sleep"', ""))
    assert reproduce(results, progress=False).identical
    assert sampler.asked[-1]["seed"] == 3
    analysis.unlink()
    assert reproduce(results, progress=False).identical


def test_other_data_are_told_before_anything_is_sampled(results, sampler, analysis):
    data = analysis.parent / "survey.csv"
    frame = pd.read_csv(data, dtype={"id": str})
    frame.loc[3, "stress"] = 10 - frame.loc[3, "stress"]
    frame.to_csv(data, index=False)
    with pytest.raises(UserError, match="data are not those of the results"):
        reproduce(results)
    data.unlink()
    code, _, said = command(results)
    assert code == 1 and "survey.csv" in said
    assert len(sampler.asked) == 1


def test_another_model_is_told(results, sampler):
    edit(results, lambda content: content["inputs"]["model"].update(start="stationary"))
    with pytest.raises(UserError, match="another model"):
        reproduce(results)
    assert len(sampler.asked) == 1


def test_versions_and_sources_that_differ_are_named(results):
    def older(content):
        content["distributions"]["numba"] = "0.1"
        content["distributions"]["long-gone"] = "7"
        content["versions"]["python"] = "3.1.4"
        content["inputs"]["sources"] = "0" * 64

    edit(results, older)
    code, told, said = command(results)
    assert code == 0 and told.startswith("Identical")
    for text in ("numba 0.1 (now ", "long-gone 7 (now absent)", "python 3.1.4 (now 3.", "own sources differ"):
        assert text in said, text
    assert "pymc" not in said


def test_results_that_moved_need_the_place_of_their_analysis(results, analysis, tmp_path):
    elsewhere = tmp_path / "archive" / "of" / "results"
    shutil.copytree(results, elsewhere)
    with pytest.raises(UserError):
        reproduce(elsewhere)  # the data do not lie beside it
    assert reproduce(elsewhere, analysis=analysis, progress=False).identical
    with pytest.raises(UserError, match="there is no folder"):
        reproduce(elsewhere, analysis=tmp_path / "nowhere" / "analysis.toml")


def test_where_the_way_would_tell_of_the_machine_it_is_not_recorded(analysis, sampler, tmp_path):
    running.run(analysis, output=tmp_path / "apart" / "out", progress=False)
    recorded = json.loads((tmp_path / "apart" / "out" / "provenance.json").read_text())["analysis"]
    assert recorded["path"] is None and recorded["file"] == "analysis.toml"
    with pytest.raises(UserError, match="--analysis"):
        reproduce(tmp_path / "apart" / "out")
    assert reproduce(tmp_path / "apart" / "out", analysis=analysis, progress=False).identical


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (lambda f: (f / "analysis.toml").unlink(), "earlier versions have no copy"),
        (lambda f: (f / "analysis.toml").write_text("schema = 1"), "analysis.toml"),
        (lambda f: (f / "posterior.nc").write_bytes(b"half"), "posterior.nc"),
        (lambda f: (f / "provenance.json").unlink(), "no complete results"),
        (lambda f: edit(f, lambda content: content.update(complete=False)), "no complete results"),
        (lambda f: edit(f, lambda content: content.update(kind="comparison")), "no complete results"),
    ],
)
def test_what_cannot_be_reproduced_is_told(results, sampler, break_it, told):
    break_it(results)
    code, _, said = command(results)
    assert code == 1 and told in " ".join(said.split()) and "Traceback" not in said
    assert len(sampler.asked) == 1


def test_a_table_that_has_no_place_is_told_before_sampling(results, sampler, tmp_path):
    code, _, said = command(results, "--table", tmp_path / "nowhere" / "all.csv")
    assert code == 1 and "--table" in said and len(sampler.asked) == 1


def test_ctrl_c_leaves_everything_as_it_was(results, sampler, analysis):
    before = snapshot(analysis.parent)
    sampler.fail = KeyboardInterrupt()
    code, told, _ = command(results)
    assert code == 130 and not told
    assert snapshot(analysis.parent) == before
