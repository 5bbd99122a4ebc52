"""The wheel holds everything: each module of the source tree is imported from it alone."""

import re
import shutil
import subprocess
import sys
import zipfile

import pytest

# Isolated from the working folder and the environment's settings, and without the finder of the editable installation:
# whatever is missing in the wheel cannot come from the checkout.
ALONE = """
import sys
from importlib import import_module
from importlib.metadata import distributions
from pathlib import Path

target = Path(sys.argv[1]).resolve()
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in getattr(finder, "__module__", "")]
sys.path.insert(0, str(target))

def from_wheel(module):
    assert Path(module.__file__).resolve().is_relative_to(target), module.__file__
"""
IMPORT_ALL = """
for name in sys.argv[2:]:
    from_wheel(import_module(name))
"""
RUN_COMMAND = """
[installed] = [found for found in distributions(path=[str(target)]) if found.name == "equipoise"]
[script] = installed.entry_points.select(group="console_scripts", name="equipoise")
command = script.load()
from_wheel(sys.modules[script.module])
sys.argv = ["equipoise", "--help"]
command()
"""


def pip(*arguments) -> None:
    """Run pip without a network."""
    command = [sys.executable, "-m", "pip", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(root, project_files, tmp_path_factory):
    """The wheel of a fresh checkout: copied out, so that no leftover of an earlier build can slip in."""
    checkout, dist = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("dist")
    for path in project_files:
        (checkout / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / path, checkout / path)
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", dist, checkout)
    [built] = dist.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The folder into which the wheel was installed, and nothing else."""
    target = tmp_path_factory.mktemp("installed")
    pip("install", "--no-deps", "--no-index", "--target", target, wheel)
    return target


def run_alone(code, target, *arguments):
    return subprocess.run(
        [sys.executable, "-I", "-c", ALONE + code, str(target), *arguments],
        cwd=target, capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip


def test_every_module_comes_from_the_wheel(installed, modules):
    done = run_alone(IMPORT_ALL, installed, *sorted(modules))
    assert done.returncode == 0, done.stderr


def test_a_module_left_out_is_noticed(installed, modules, tmp_path):
    partial = tmp_path / "partial"
    shutil.copytree(installed, partial)
    (partial / "equipoise/datasets/errors.py").unlink()
    done = run_alone(IMPORT_ALL, partial, "equipoise.datasets.errors")
    assert "ModuleNotFoundError" in done.stderr
    shutil.rmtree(partial / "equipoise")
    done = run_alone(IMPORT_ALL, partial, "equipoise")
    assert "ModuleNotFoundError" in done.stderr


def test_wheel_holds_the_files_of_the_rooms_and_no_others(wheel, shipped_files):
    with zipfile.ZipFile(wheel) as opened:
        names = {name for name in opened.namelist() if not re.match(r"equipoise-[\w.]+\.dist-info/", name)}
    rooms = (path.as_posix().removeprefix("equipoise/") for path in shipped_files)
    expected = {f"equipoise/{path}" for path in rooms}
    assert names == expected


def test_console_script_runs_from_the_wheel(installed):
    assert list((installed / "bin").glob("equipoise*"))
    done = run_alone(RUN_COMMAND, installed)
    assert done.returncode == 0, done.stderr
    assert "demo" in done.stdout
