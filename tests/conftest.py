"""What the tests of the house itself share: the files of the project and the modules they make."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("datasets", "models", "inference", "reports")


@pytest.fixture(scope="session")
def root() -> Path:
    """The top folder of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def project_files(tmp_path_factory) -> list[Path]:
    """Every file that a fresh checkout would hold, relative to the root.

    Git lists them by the rules in `.gitignore` alone, from an empty repository elsewhere: so a new file counts before
    it is added, and an unpacked archive without a repository is as good as a clone.
    """
    empty = tmp_path_factory.mktemp("empty") / "git"
    subprocess.run(["git", "init", "--quiet", "--bare", empty], check=True)
    listed = subprocess.run(
        ["git", f"--git-dir={empty}", f"--work-tree={ROOT}", "ls-files", "-z", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    return sorted(Path(name) for name in listed.stdout.decode().split("\0") if name)


@pytest.fixture(scope="session")
def shipped_files(project_files) -> list[Path]:
    """What belongs into the wheel: the front door and the rooms, without the papers."""
    return [path for path in project_files if path.parts[0] in ("equipoise", *ROOMS) and "papers" not in path.parts]


@pytest.fixture(scope="session")
def modules(shipped_files) -> dict[str, Path]:
    """Names of all modules as they are imported, with their files."""
    named = {}
    for path in shipped_files:
        if path.suffix == ".py":
            parts = [*path.parent.parts, *([] if path.stem == "__init__" else [path.stem])]
            named[".".join(parts if parts[0] == "equipoise" else ["equipoise", *parts])] = path
    return named
