"""``--share``: the second folder, its key, what its provenance does not say, and when it is refused."""

import json
import os
import re
import stat

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from equipoise import share as sharing
from equipoise.check import check
from equipoise.cli import app
from equipoise.datasets.errors import UserError
from equipoise.run import run
from equipoise.schema import validate
from equipoise.share import key_of, share


@pytest.fixture
def study(analysis):
    """Two wards of 12, with what `[share]` says."""
    rng = np.random.default_rng(0)
    rows = [(f"{i:03d}", f"ward {i % 2}", week, rng.integers(0, 11), round(rng.normal(7), 1), int(week > 5 + 3 * (i % 2)))
            for i in range(24) for week in range(0, 20, 2)]  # fmt: skip
    columns = ["id", "ward", "week", "stress", "sleep", "mindfulness_on"]
    pd.DataFrame(rows, columns=columns).to_csv(analysis.parent / "survey.csv", index=False)
    return analysis


@pytest.fixture
def written(laboratory, monkeypatch):
    """What the page would be made with, in place of a page."""
    made = []

    def write(fit, folder, **options):
        made.append(options)
        (folder / "report.html").write_text(f"shared {fit.text} with {options['smallest']}")
        (folder / "tables").mkdir()
        (folder / "tables" / "units.csv").write_text("unit\n")

    monkeypatch.setattr(sharing, "_write", write)
    return made


def say(analysis, text):
    analysis.write_text(analysis.read_text() + text)


def command(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_run_share_writes_a_second_folder_and_samples_once(study, written, laboratory):
    first = command("run", study, "--share")
    assert first.exit_code == 0, first.output
    folder = study.parent / "results" / "analysis.share"
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert files == {"provenance.json", "report.html", "tables/units.csv"}
    assert "Shared version:" in first.stdout and "0 of 2 units left out (smallest cell 10)" in first.stdout
    assert "analysis.share.key" in first.stdout
    assert command("report", study, "--share").exit_code == 0
    assert command("run", study, "--share").exit_code == 0
    assert laboratory.sampled == 1 and len(written) == 3
    assert written[0]["key"] == written[2]["key"] and len(written[0]["key"]) == 32
    assert written[0]["title"] == "Ward programme" and written[0]["smallest"] == 10


def test_without_share_nothing_is_shared(study, written):
    say(study, "\n[share]\nsmallest_cell = 8\n")
    assert command("run", study).exit_code == 0
    assert not (study.parent / "results" / "analysis.share").exists() and not list(study.parent.glob("*.key"))


def test_the_folder_goes_beside_the_output(study, written, tmp_path):
    assert command("run", study, "--share", "--output", tmp_path / "mine").exit_code == 0
    assert (tmp_path / "mine.share" / "report.html").exists()


def test_provenance_tells_nothing_that_a_guess_could_be_tried_on(study, written):
    run(study)
    folder = share(study).folder
    told = json.loads((folder / "provenance.json").read_text())
    assert told["kind"] == "share" and told["smallest_cell"] == 10 and told["unit_names"] == "pseudonyms"
    whole = json.loads((study.parent / "results/analysis/provenance.json").read_text())
    assert whole["study"]["fingerprint"] and whole["seed"] == 3
    assert set(told) == {"made_by", "schema", "kind", "created", "smallest_cell", "unit_names", "versions", "files"}
    text = (folder / "provenance.json").read_text()
    digests = set(re.findall(r"[0-9a-f]{64}", text))
    assert digests == set(told["files"].values())  # of the shared files themselves, and of nothing else
    assert not digests & set(re.findall(r"[0-9a-f]{64}", json.dumps(whole | {"files": {}})))
    assert "survey" not in text and "analysis" not in text and written[0]["key"].hex() not in text


def test_the_key_is_made_once_and_is_its_owners_alone(study, written):
    run(study)
    share(study)
    key = study.parent / "analysis.share.key"
    first = key.read_text()
    assert re.fullmatch(r"[0-9a-f]{64}\n", first)
    if os.name == "posix":
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    share(study)
    assert key.read_text() == first
    other = key_of(key.with_name("other.key"))
    assert other != bytes.fromhex(first)


def test_a_key_of_the_users_own_is_used(study, written):
    (study.parent / "keys").mkdir()
    (study.parent / "keys" / "mine").write_text("ab" * 20)
    say(study, '\n[share]\nkey = "keys/mine"\n')
    run(study)
    share(study)
    assert written[0]["key"] == bytes.fromhex("ab" * 20)


def test_no_key_is_made_where_units_keep_their_names(study, written):
    say(study, "\n[share]\nname_units = true\n")
    run(study)
    share(study)
    assert written[0]["key"] is None and not list(study.parent.glob("*.key"))


@pytest.mark.parametrize(
    "place", ["results/analysis/k", "results/analysis.share/k", "results/analysis.share/deep/k", "results/x/../analysis/k"]
)
def test_a_key_that_would_be_given_away_is_refused_before_any_sampling(study, written, laboratory, place):
    say(study, f'\n[share]\nkey = "{place}"\n')
    result = command("run", study, "--share")
    assert result.exit_code == 1 and "given away" in result.stderr and result.stderr.count("Error:") == 1
    assert laboratory.sampled == 0 and not (study.parent / "results").exists()


def test_a_link_into_the_shared_folder_is_no_way_round(study, written):
    (study.parent / "results" / "analysis.share").mkdir(parents=True)
    (study.parent / "link.key").symlink_to(study.parent / "results" / "analysis.share" / "k")
    say(study, '\n[share]\nkey = "link.key"\n')
    with pytest.raises(UserError, match="given away"):
        sharing.ready(study)


@pytest.mark.parametrize("content", ["", "hello", "abcd", "é"])
def test_a_file_that_is_no_key_is_refused_and_kept(study, written, content):
    key = study.parent / "analysis.share.key"
    key.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match="is no key of pseudonyms"):
        sharing.ready(study)
    assert key.read_text(encoding="utf-8") == content


def test_folders_of_another_kind_are_not_written_to(study, written, laboratory, tmp_path):
    foreign = study.parent / "results" / "analysis.share"
    foreign.mkdir(parents=True)
    (foreign / "mine.txt").write_text("mine")
    result = command("run", study, "--share")
    assert result.exit_code == 1 and "not written by Equipoise" in result.stderr and laboratory.sampled == 0
    assert (foreign / "mine.txt").read_text() == "mine"
    # results of an analysis are no shared version, nor the other way round
    run(study, output=tmp_path / "a.share")
    with pytest.raises(UserError, match="not a shared version"):
        sharing.ready(study, tmp_path / "a")
    run(study, output=tmp_path / "b")
    share(study, output=tmp_path / "b")
    with pytest.raises(UserError, match="a shared version"):
        run(study, output=tmp_path / "b.share")


def test_files_that_are_not_ours_stay(study, written):
    run(study)
    folder = share(study).folder
    (folder / "note.txt").write_text("mine")
    (folder / "report.html").write_text("edited")
    outcome = share(study)
    assert (folder / "note.txt").read_text() == "mine"
    assert [path.read_text() for path in outcome.kept] == ["edited"]


def test_a_failure_leaves_the_older_version(study, written, monkeypatch):
    run(study)
    folder = share(study).folder
    before = (folder / "report.html").read_text()

    def fail(fit, staging, **options):
        (staging / "report.html").write_text("half")
        raise RuntimeError("a figure that cannot be drawn")

    monkeypatch.setattr(sharing, "_write", fail)
    with pytest.raises(RuntimeError):
        share(study)
    assert (folder / "report.html").read_text() == before
    assert sorted(p.name for p in folder.parent.iterdir()) == ["analysis", "analysis.share"]


def test_share_needs_draws(study, written):
    with pytest.raises(UserError, match="no draws"):
        share(study)


def test_too_few_clinicians_are_refused_before_any_sampling(study, written, laboratory):
    say(study, "\n[share]\nsmallest_cell = 30\n")
    result = command("run", study, "--share")
    assert result.exit_code == 1 and "24 clinicians cannot be shared" in result.stderr
    assert laboratory.sampled == 0 and not list(study.parent.glob("*.key"))


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"smallest_cell": 4}, ["[share]", "at least 5", "what the others said"]),
        ({"smallest_cell": 10.0}, ["[share] smallest_cell", "whole number"]),
        ({"smallest": 10}, ["[share] smallest", "'smallest_cell'"]),
        ({"name_units": "yes"}, ["[share] name_units", "true or false"]),
        ({"key": ""}, ["[share] key", "must not be empty"]),
    ],
)
def test_mistakes_in_the_share_table_are_named(table, words):
    raw = {"schema": 1, "study": {"dataset": "example"}, "share": table}
    with pytest.raises(UserError) as error:
        validate(raw, "analysis.toml")
    assert all(word in str(error.value) for word in words), str(error.value)


def test_check_says_which_units_fall_under_the_smallest_cell(analysis):
    assert not any("[share]" in line for line in check(analysis).cautions)
    say(analysis, "\n[share]\n")
    assert any("[share]: 4 of 4 units have fewer than 10 clinicians" in line for line in check(analysis).cautions)
