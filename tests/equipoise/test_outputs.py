"""The results folder: whole before or whole after, whatever happens, and never at the user's expense."""

import json
import os
from contextlib import suppress
from pathlib import Path

import pytest

from equipoise import outputs
from equipoise.datasets.errors import UserError

OURS_OLD = {"report.html": "old", "tables/units.csv": "old", "figures/gone.svg": "old"}
OURS_NEW = {"report.html": "new", "tables/units.csv": "new", "tables/clinicians.csv": "new"}
USERS = {"notes.txt": "mine", "tables/mine.csv": "mine", "figures/mine/deep.svg": "mine", "own/a/b.txt": "mine"}


class Killed(BaseException):
    """Stands for SIGKILL: after it nothing more is written."""


def fill(folder: Path, files: dict) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def content(folder: Path) -> dict:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


def publish(target: Path, files: dict, **provenance) -> list[Path]:
    with outputs.staged(target) as staging:
        fill(staging, files)
        return outputs.commit(target, provenance)


def without_provenance(folder: Path) -> dict:
    return {name: text for name, text in content(folder).items() if name != outputs.PROVENANCE}


def siblings(target: Path) -> list[str]:
    return sorted(p.name for p in target.parent.iterdir() if p != target)


@pytest.fixture
def target(tmp_path) -> Path:
    return tmp_path / "results" / "analysis"


def test_results_are_listed_and_no_helper_folder_stays(target):
    publish(target, OURS_NEW, seed=1)
    provenance = json.loads((target / outputs.PROVENANCE).read_text())
    assert set(provenance["files"]) == set(OURS_NEW)
    assert provenance["seed"] == 1
    assert without_provenance(target) == OURS_NEW
    assert siblings(target) == []


def test_new_results_replace_ours_and_leave_the_users(target):
    publish(target, OURS_OLD)
    fill(target, USERS)
    (target / "empty").mkdir()
    (target / "link").symlink_to(target / "own")
    assert publish(target, OURS_NEW) == []
    assert without_provenance(target) == OURS_NEW | USERS
    assert (target / "empty").is_dir() and (target / "link").is_symlink()
    assert not (target / "figures" / "gone.svg").exists()
    assert siblings(target) == []


def test_a_file_of_the_users_under_the_name_of_a_result_is_kept_aside(target):
    publish(target, OURS_OLD)
    (target / "tables" / "clinicians.csv").write_text("mine")  # not listed so far, but about to be written
    (target / "report.html").write_text("old, with my remarks")  # ours once, edited since
    kept = publish(target, OURS_NEW)
    assert {path.name for path in kept} == {"clinicians.kept.csv", "report.kept.html"}
    assert (target / "tables" / "clinicians.kept.csv").read_text() == "mine"
    assert (target / "report.kept.html").read_text() == "old, with my remarks"
    assert without_provenance(target).items() >= OURS_NEW.items()


def test_a_link_in_place_of_our_folder_is_not_followed(target, tmp_path):
    publish(target, OURS_OLD)
    elsewhere = tmp_path / "elsewhere"
    os.rename(target / "tables", elsewhere)
    (target / "tables").symlink_to(elsewhere)
    publish(target, OURS_NEW)
    assert (elsewhere / "units.csv").read_text() == "old"
    assert siblings(target) == []


@pytest.mark.parametrize(
    "files",
    [
        {"thesis.docx": "mine"},
        {"provenance.json": '{"files": {"thesis.docx": ""}}', "thesis.docx": "mine"},
        {"provenance.json": "not json", "report.html": "mine"},
        {"provenance.json": '{"made_by": "equipoise", "files": {"../../secret": ""}}'},
    ],
)
def test_a_folder_that_is_not_ours_is_refused_and_unchanged(target, files):
    fill(target, files)
    with pytest.raises(UserError, match="not written by Equipoise"):
        outputs.check_target(target)
    with pytest.raises(UserError, match="not written by Equipoise"):
        publish(target, OURS_NEW)
    assert content(target) == files


def test_an_empty_folder_and_a_linked_one_are_filled(tmp_path):
    real = tmp_path / "big disk"
    real.mkdir()
    (tmp_path / "out").symlink_to(real)
    target = outputs.results_folder(tmp_path / "analysis.toml", tmp_path / "out")
    publish(target, OURS_NEW)
    assert (tmp_path / "out").is_symlink()
    assert without_provenance(real) == OURS_NEW


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UserError, match="is a file"):
        outputs.check_target(tmp_path / "out")


def test_work_that_fails_leaves_nothing_behind(target, tmp_path):
    with pytest.raises(RuntimeError), outputs.staged(target) as staging:
        fill(staging, OURS_NEW)
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_results_that_cannot_be_put_in_place_wait_until_they_can(target):
    with pytest.raises(UserError), outputs.staged(target) as staging:
        fill(staging, OURS_NEW)
        fill(target, {"mine.txt": "put here during the run"})
        outputs.commit(target, {})
    assert content(target) == {"mine.txt": "put here during the run"}
    (target / "mine.txt").unlink()
    outputs.repair(target)
    assert without_provenance(target) == OURS_NEW


def kill_at(monkeypatch, moment: int) -> list[str]:
    """Let so many changes of the file system happen, and none after."""
    done: list[str] = []

    def guard(name, change):
        def call(*args, **kwargs):
            if len(done) >= moment:
                raise Killed
            done.append(name)
            return change(*args, **kwargs)

        return call

    for name in ("rename", "replace", "unlink", "rmdir", "mkdir"):
        monkeypatch.setattr(os, name, guard(name, getattr(os, name)))
    return done


@pytest.mark.parametrize("before", [None, OURS_OLD])
def test_killed_at_any_moment_the_next_command_mends_it(tmp_path, monkeypatch, before):
    outcomes = []
    for moment in range(200):
        target = tmp_path / str(moment) / "analysis"
        target.parent.mkdir()
        if before:
            publish(target, before)
            fill(target, USERS)
        with monkeypatch.context() as patch:
            done = kill_at(patch, moment)
            try:
                publish(target, OURS_NEW)
                finished = True
            except Killed:
                finished = False
        users_everywhere = [p.read_text() for p in target.parent.rglob("*") if p.is_file()]
        assert users_everywhere.count("mine") == (len(USERS) if before else 0)  # not even in between
        outputs.repair(target)
        users = USERS if before else {}
        found = without_provenance(target) if target.exists() else {}
        assert found in ((before or {}) | users, OURS_NEW | users)
        assert outputs.intact_files(target) == (set(found) - set(users))
        assert siblings(target) == []
        outcomes.append(found == OURS_NEW | users)
        if finished:
            break
    assert finished and len(done) > 4
    assert outcomes == sorted(outcomes)  # old results up to some moment, new ones from there on
    assert outcomes[-1] and not outcomes[0]


def test_killed_while_mending_it_is_mended_the_next_time(tmp_path, monkeypatch):
    for first in range(2, 30):
        for second in range(12):
            target = tmp_path / f"{first}-{second}" / "analysis"
            publish(target, OURS_OLD)
            fill(target, USERS)
            with monkeypatch.context() as patch:
                kill_at(patch, first)
                with suppress(Killed):
                    publish(target, OURS_NEW)
            with monkeypatch.context() as patch:
                kill_at(patch, second)
                with suppress(Killed):
                    outputs.repair(target)
            outputs.repair(target)
            assert without_provenance(target) in (OURS_OLD | USERS, OURS_NEW | USERS)
            assert siblings(target) == []


def test_discarding_removes_ours_alone(target):
    publish(target, OURS_OLD)
    outputs.discard(target)
    assert not target.exists()
    publish(target, OURS_OLD)
    fill(target, USERS)
    outputs.discard(target)
    assert without_provenance(target) == USERS
    outputs.discard(target.parent / "absent")


def test_two_commands_do_not_write_the_same_results(target):
    with (
        outputs.locked(target),
        pytest.raises(UserError, match="Another command is writing"),
        outputs.locked(target),
    ):
        pass
    with outputs.locked(target):
        pass


def test_where_results_go(tmp_path):
    assert outputs.results_folder(tmp_path / "ward.toml") == tmp_path / "results" / "ward"
    assert outputs.results_folder(tmp_path / "ward.toml", tmp_path / "out") == tmp_path / "out"
    assert outputs.incomplete_folder(tmp_path / "out") == tmp_path / "out.incomplete"
    with pytest.raises(UserError, match="cannot be a results folder"):
        outputs.results_folder(tmp_path / "ward.toml", "/")
