"""The rules of the house: who may import whom, what stays light, what must not be in the files."""

import ast
import doctest
import re
import subprocess
import sys
import tomllib
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOMS = ("datasets", "models", "inference", "reports")
HEAVY = {"pymc", "pytensor", "nutpie", "arviz"}


def imported(module: str, is_package: bool, tree: ast.AST):
    """Yield (line, full name, whether it was written as an absolute import) of every import in a syntax tree."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, True
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            for alias in node.names:
                yield node.lineno, ".".join([*base, *filter(None, [node.module]), alias.name]), not node.level
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module":
            name = node.args[0].value if isinstance(node.args[0], ast.Constant) else ""
            dots = len(name) - len(name.lstrip("."))
            base = package[: len(package) + 1 - dots] if dots else []
            yield node.lineno, ".".join([*base, *filter(None, [name.lstrip(".")])]), not dots


def offences(module: str, is_package: bool, source: str) -> list[str]:
    """Imports in a room that are absolute, go against the data, or reach for the front door."""
    room = module.split(".")[1]
    allowed = ROOMS[: ROOMS.index(room) + 1]
    found = []
    for line, name, absolute in imported(module, is_package, ast.parse(source)):
        top, *rest = name.split(".")
        if absolute and top in ("equipoise", *ROOMS):
            found.append(f"{module}, line {line}: import {name} relative to the room, not absolutely")
        elif not absolute and (top != "equipoise" or not rest or rest[0] not in allowed):
            found.append(f"{module}, line {line}: {name} does not lie to the left of {room}")
    return found


def test_rooms_import_relatively_and_only_leftwards(root, modules):
    found = []
    for module, path in modules.items():
        if path.parts[0] in ROOMS:
            found += offences(module, path.name == "__init__.py", (root / path).read_text(encoding="utf-8"))
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "import datasets",
        "import equipoise",
        "import equipoise.datasets.study as study",
        "from models.op import x",
        "from equipoise.datasets import Study",
        "from equipoise import Study",
        "from ...inference import fit",
        "from ... import reports",
        "from ... import cli",
        "from ...cli import app",
        "from ....datasets import Study",
        "def f():\n    from ...reports.page import write_report",
        "import_module('equipoise.datasets')",
        "importlib.import_module('...inference', __package__)",
    ],
)
def test_the_rule_on_imports_sees(line):
    assert offences("equipoise.models.likelihood.filter", False, line)


@pytest.mark.parametrize(
    "line",
    [
        "import numpy",
        "from . import smoother",
        "from ..op import x",
        "from ...datasets import Study",
        "from ... import datasets",
        "import_module('...datasets', __package__)",
    ],
)
def test_the_rule_on_imports_allows(line):
    assert not offences("equipoise.models.likelihood.filter", False, line)
    assert not offences("equipoise.models.likelihood", True, line)


def test_public_names_are_there(modules):
    """Every public name resolves, and none can be hidden by a module of the same name once that is imported."""
    for package in ("equipoise", *(f"equipoise.{room}" for room in ROOMS)):
        names = import_module(package).__all__
        hidden = {f"{package}.{name}" for name in names} & set(modules) - {f"equipoise.{room}" for room in ROOMS}
        assert not hidden, f"these modules hide public names: {sorted(hidden)}"
        missing = [name for name in names if not hasattr(import_module(package), name)]
        assert not missing, f"{package} promises {missing}"


def test_editors_see_the_public_names(root):
    tree = ast.parse((root / "equipoise/__init__.py").read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    declared = {
        name
        for node in block.body
        for name in ([node.target.id] if isinstance(node, ast.AnnAssign) else [alias.name for alias in node.names])
    }
    assert declared == set(import_module("equipoise").__all__)


def run_light(code: str, cwd) -> subprocess.CompletedProcess:
    """Run code in a new Python that fails if it ends with a heavy library imported."""
    ending = f"import sys\nheavy = sorted({HEAVY!r} & set(sys.modules))\nassert not heavy, heavy"
    command = [sys.executable, "-c", f"{code}\n{ending}"]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, encoding="utf-8", check=False)


def run_command(arguments: list[str], cwd) -> subprocess.CompletedProcess:
    return run_light(
        f"import sys\nsys.argv = {['equipoise', *arguments]!r}\n"
        "from equipoise.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code",
        cwd,
    )


def test_import_is_light(tmp_path):
    done = run_light("import equipoise; assert equipoise.__version__", tmp_path)
    assert done.returncode == 0, done.stderr


def test_likelihood_knows_nothing_of_pymc(modules, tmp_path):
    numerics = [name for name in modules if name.startswith("equipoise.models.likelihood")]
    assert len(numerics) > 1
    done = run_light("import " + ", ".join(numerics), tmp_path)
    assert done.returncode == 0, done.stderr


def test_help_is_light(tmp_path):
    done = run_command(["--help"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "analysis" in done.stdout


def test_check_is_light(tmp_path):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"id": np.repeat(np.arange(8), 6), "week": np.tile(np.arange(6), 8)})
    frame.assign(stress=rng.integers(0, 11, len(frame))).to_csv(tmp_path / "survey.csv", index=False)
    (tmp_path / "analysis.toml").write_text(
        'schema = 1\n[study]\ndata = "survey.csv"\nclinician = "id"\ntime = "week"\ntime_unit = "week"\n'
        '[study.scores.stress]\nrange = [0, 10]\nbetter = "lower"\n',
        encoding="utf-8",
    )
    done = run_command(["check", "analysis.toml"], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_examples_in_docstrings(modules):
    """Pytest's own collector cannot import modules laid out like ours."""
    failed = {}
    for name in modules:
        report = []
        runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
        module = import_module(name)
        for test in doctest.DocTestFinder(exclude_empty=True).find(module, name):
            runner.run(test, out=report.append)
        if report:
            failed[name] = "".join(report)
    assert not failed, "\n".join(failed.values())


def test_files_know_no_machine_and_no_registry(root, project_files):
    folders = rb"(?<![\w.])/(?:" + b"|".join([b"work", b"root", b"home", b"Users"]) + rb")/"
    hosts = [b"pypi" + b".org", b"python" + b"hosted.org", b"anaconda" + b".org", b"npmjs" + b".org"]
    pattern = re.compile(folders + b"|" + b"|".join(map(re.escape, hosts)), re.IGNORECASE)
    found = []
    for path in project_files:
        for number, line in enumerate((root / path).read_bytes().splitlines(), 1):
            if match := pattern.search(line):
                found.append(f"{path}, line {number}: {match[0].decode()}")
    assert not found, "\n".join(found)


def test_lock_is_in_step_and_has_no_addresses(root):
    text = (root / "requirements.lock").read_text(encoding="utf-8")
    assert not re.search(r"://|www\.|^-|\s--(?!hash=)| @ |#", text, re.MULTILINE)
    pinned = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE))
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    asked = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *(line for lines in project["project"]["optional-dependencies"].values() for line in lines),
        *project["dependency-groups"]["dev"],
    ]
    for requirement in map(Requirement, asked):
        version = pinned.get(canonicalize_name(requirement.name))
        assert version and requirement.specifier.contains(version), f"{requirement}: run make lock"
