"""The command line: one clear message for a mistake, warnings first, and no PyMC where none is needed."""

import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from equipoise.cli import app

HEAVY = ("pymc", "pytensor", "nutpie", "arviz", "matplotlib")


@pytest.fixture
def command():
    def call(*arguments):
        return CliRunner().invoke(app, [str(a) for a in arguments])

    return call


def one_message(result, *words):
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("Error:") == 1
    assert "Traceback" not in result.output
    assert all(word in result.stderr for word in words), result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("name", ["demo", "init", "check", "run", "report", "compare"])
def test_every_command_helps_with_an_example(command, name):
    result = command(name, "--help")
    assert result.exit_code == 0
    assert "Example" in result.output and f"equipoise {name}" in result.output


def test_help_lists_the_commands_and_version_is_known(command):
    result = command("--help")
    assert result.exit_code == 0
    assert all(name in result.output for name in ("demo", "init", "check", "run", "report", "compare"))
    assert command("--version").output.strip()[0].isdigit()


def test_a_run_ends_with_where_the_report_is(command, analysis, laboratory, monkeypatch):
    monkeypatch.chdir(analysis.parent)
    result = command("run", "analysis.toml")
    assert result.exit_code == 0
    assert os.path.join("results", "analysis", "report.html") in result.stdout
    assert "chatter" not in result.stdout
    again = command("run", "analysis.toml")
    assert "done already" in again.stdout and "--fresh" in again.stdout
    assert laboratory.sampled == 1
    assert command("run", "analysis.toml", "--fresh").exit_code == 0
    assert command("report", "analysis.toml").exit_code == 0
    assert laboratory.sampled == 2


def test_warnings_head_the_output(command, analysis, laboratory):
    laboratory.warnings = ("NOT CONVERGED",)
    for _ in range(2):  # also where everything is done already
        assert command("run", analysis).stdout.startswith("WARNING: NOT CONVERGED")


def test_an_interrupted_run_says_so_and_ends_with_130(command, analysis, laboratory):
    laboratory.complete, laboratory.warnings = False, ("INCOMPLETE",)
    result = command("run", analysis)
    assert result.exit_code == 130
    assert result.stdout.startswith("WARNING: INCOMPLETE")
    assert "Interrupted" in result.stdout and "analysis.incomplete" in result.stdout
    laboratory.fail = "sample"
    result = command("run", analysis)
    assert result.exit_code == 130
    assert "Interrupted" in result.stderr and "Traceback" not in result.output


def test_mistakes_are_one_message(command, analysis, tmp_path, laboratory):
    one_message(command("run", tmp_path / "absent.toml"), "absent.toml", "No such file")
    one_message(command("check", tmp_path), "directory")
    one_message(command("check", analysis.parent / "survey.csv"), "equipoise init")
    one_message(command("init", tmp_path / "absent.csv"), "does not exist")
    one_message(command("init", analysis.parent / "survey.csv"), "exists already")
    one_message(command("report", analysis), "no draws")
    one_message(command("run", analysis, "--output", analysis.parent), "not written by Equipoise")
    one_message(command("run", analysis, "--output", analysis.parent / "survey.csv"), "is a file")
    one_message(command("run", analysis, "--output", analysis.parent / "survey.csv" / "out"), "survey.csv")
    analysis.write_text(analysis.read_text().replace("clinician =", "clincian ="))
    one_message(command("check", analysis), "[study] clincian", "Did you mean 'clinician'?")
    analysis.write_text("schema = \n[study]\n")
    one_message(command("check", analysis), "not valid TOML", "line 1")
    assert laboratory.sampled == 0
    assert sorted(p.name for p in analysis.parent.iterdir()) == ["analysis.toml", "survey.csv"]


def test_a_read_only_folder_is_one_message(command, analysis, laboratory, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied", "results")

    monkeypatch.setattr(os, "mkdir", refuse)  # permissions themselves do not stop root, which tests may run as
    one_message(command("run", analysis), "results", "Permission denied")
    one_message(command("init", analysis.parent / "survey.csv", "--output", analysis.parent / "x"), "Permission denied")
    assert laboratory.sampled == 0


def test_a_bug_is_not_passed_off_as_a_mistake(command, analysis, laboratory):
    laboratory.fail = "render"
    assert isinstance(command("run", analysis).exception, RuntimeError)


def test_the_demo_runs_where_it_is_told(command, tmp_path, laboratory, monkeypatch, analysis):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "equipoise-demo").mkdir()
    (analysis.parent / "survey.csv").rename(tmp_path / "equipoise-demo" / "survey.csv")
    analysis.rename(tmp_path / "equipoise-demo" / "analysis.toml")  # one that is there is used as it stands
    result = command("demo")
    assert result.exit_code == 0
    assert (tmp_path / "equipoise-demo" / "results" / "analysis" / "report.html").exists()
    assert os.path.join("equipoise-demo", "results", "analysis", "report.html") in result.stdout
    assert command("demo", "--quick").exit_code == 0
    assert (tmp_path / "equipoise-demo" / "results" / "analysis.quick" / "report.html").exists()


def python(code: str, *arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("arguments", [("--help",), ("check", "FILE"), ("init", "DATA", "--output", "OUT")])
def test_light_commands_do_not_import_pymc(analysis, tmp_path, arguments):
    places = {"FILE": analysis, "DATA": analysis.parent / "survey.csv", "OUT": tmp_path / "drafts"}
    code = (
        "import sys\n"
        "from equipoise.__main__ import main\n"
        "sys.argv[0] = 'equipoise'\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        f"heavy = [name for name in {HEAVY} if name in sys.modules]\n"
        "assert not heavy, heavy\n"
    )
    done = python(code, *(places.get(a, a) for a in arguments))
    assert done.returncode == 0, done.stderr


def test_a_mistake_in_a_real_process_has_no_traceback(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "equipoise", "run", str(tmp_path / "absent.toml")], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ") and "Traceback" not in done.stderr


def test_a_reader_that_leaves_is_no_error(analysis):
    code = (
        "import os, sys\n"
        "reading, writing = os.pipe()\n"
        "os.close(reading)\n"
        "os.dup2(writing, 1)\n"
        "from equipoise.__main__ import main\n"
        "main()\n"
    )
    done = python(code, "check", analysis)
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
