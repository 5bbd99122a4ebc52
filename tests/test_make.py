"""How the Makefile makes the environment, played through with stand-ins for Python and uv that log their calls."""

import os
import shutil
import subprocess

import pytest

PYTHON = """#!/bin/sh
echo "$0 $*" >> "{log}"
case "$*" in
    *version_info*_base_executable*) echo "{path}";;
    *venv*) mkdir -p .venv/bin; cp "{path}" .venv/bin/python;;
    *"pip install"*) test ! -e "{log}.broken";;
esac
"""


@pytest.fixture
def checkout(root, tmp_path):
    """A folder with the files of which the environment is made, and a PATH that holds no Python and no uv."""
    folder, tools = tmp_path / "checkout", tmp_path / "bin"
    folder.mkdir()
    tools.mkdir()
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(root / name, folder)
    for tool in ("make", "sh", "cp", "mkdir", "rm", "touch"):
        (tools / tool).symlink_to(shutil.which(tool))
    return folder


def stand_in(checkout, name, text) -> None:
    path = checkout.parent / "bin" / name
    path.write_text(text.format(path=path, log=checkout.parent / "log"), encoding="utf-8")
    path.chmod(0o755)


def make(checkout) -> subprocess.CompletedProcess:
    """Make the environment; `calls` are the lines written down meanwhile."""
    log = checkout.parent / "log"
    log.write_text("", encoding="utf-8")
    tools = checkout.parent / "bin"
    # Nothing of the make that runs these tests may reach the one tested here: MAKEFLAGS hands variables down.
    done = subprocess.run(
        [tools / "make", ".venv/.ready"], cwd=checkout, env={"PATH": str(tools)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    done.calls = [line for line in log.read_text(encoding="utf-8").splitlines() if " -c " not in line]
    return done


def newer(path, than) -> None:
    later = os.stat(than).st_mtime + 10
    os.utime(path, (later, later))


def test_says_which_python_is_missing(checkout):
    old = '#!/bin/sh\ncase "$*" in *_base_executable*) ;; *-c*) echo "Python 3.11";; *) touch "{log}.used";; esac\n'
    stand_in(checkout, "python3", old)
    done = make(checkout)
    assert done.returncode != 0
    assert "needs Python 3.12, 3.13 or 3.14" in done.stderr
    assert "python3 is Python 3.11" in done.stderr
    assert "PYTHON=" in done.stderr
    assert not (checkout / ".venv").exists()
    assert not (checkout.parent / "log.used").exists()


def test_passes_over_a_name_that_does_not_run(checkout):
    stand_in(checkout, "python3", "#!/bin/sh\nexit 127\n")
    stand_in(checkout, "python3.13", PYTHON)
    done = make(checkout)
    assert done.returncode == 0, done.stderr
    assert any("bin/python3.13 -m venv" in call for call in done.calls)


def test_installs_from_the_lock_by_hash_then_the_project_itself(checkout):
    stand_in(checkout, "python3", PYTHON)
    done = make(checkout)
    venv, locked, project = done.calls
    assert "python3 -m venv .venv" in venv
    assert "--require-hashes -r requirements.lock" in locked
    assert "--no-deps --no-build-isolation --editable ." in project
    assert make(checkout).calls == []


def test_a_changed_project_is_installed_again_but_not_what_it_needs(checkout):
    stand_in(checkout, "python3", PYTHON)
    make(checkout)
    newer(checkout / "pyproject.toml", checkout / ".venv/.ready")
    [call] = make(checkout).calls
    assert "--editable ." in call


def test_a_changed_lock_starts_from_nothing(checkout):
    stand_in(checkout, "python3", PYTHON)
    make(checkout)
    left_over = checkout / ".venv/left-over"
    left_over.touch()
    newer(checkout / "requirements.lock", checkout / ".venv/.locked")
    assert len(make(checkout).calls) == 3
    assert not left_over.exists()


def test_a_broken_installation_is_not_taken_for_ready(checkout):
    stand_in(checkout, "python3", PYTHON)
    broken = checkout.parent / "log.broken"
    broken.touch()
    done = make(checkout)
    assert done.returncode != 0
    assert not (checkout / ".venv/.ready").exists()
    broken.unlink()
    assert len(make(checkout).calls) == 3
    assert (checkout / ".venv/.ready").exists()


def test_uv_is_used_where_it_is(checkout):
    stand_in(checkout, "python3", PYTHON)
    uv = PYTHON.replace('cp "{path}" ', 'cp "$(command -v python3)" ')
    stand_in(checkout, "uv", uv)
    done = make(checkout)
    venv, locked, _ = done.calls
    assert "uv venv" in venv and "bin/python3 .venv" in venv
    assert "uv pip install" in locked and "--require-hashes -r requirements.lock" in locked


def test_pip_takes_over_where_uv_fails(checkout):
    stand_in(checkout, "python3", PYTHON)
    stand_in(checkout, "uv", "#!/bin/sh\necho uv >> {log}\nexit 1\n")
    done = make(checkout)
    assert done.returncode == 0, done.stderr
    assert len(done.calls) == 4
    assert (checkout / ".venv/.ready").exists()


def test_a_python_without_ensurepip_borrows_the_pip_outside(checkout):
    stand_in(checkout, "python3", PYTHON.replace("*venv*)", '*"venv .venv") exit 1;;\n    *venv*)'))
    done = make(checkout)
    assert done.returncode == 0, done.stderr
    assert any("python3 -m pip --python .venv/bin/python install" in call for call in done.calls)
