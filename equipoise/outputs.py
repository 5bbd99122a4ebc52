"""The results folder: written aside, swapped in by renames, mended after a kill, and never at the user's expense.

Results are completed in a sibling folder, whose ``provenance.json`` is written last; then

1. the folder in place is renamed to a second sibling,
2. the completed one is renamed into place,
3. files in the old one that are not ours (not listed in its ``provenance.json``, or changed since) move over,
4. what is left of the old one, all ours, is removed, its ``provenance.json`` last.

Each state on the way tells by itself how to go on, so `repair` finishes the work from wherever it was cut off; every
command calls it first.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from .datasets.errors import UserError

PROVENANCE = "provenance.json"
MAKER = "equipoise"


def results_folder(analysis_file: Path, output: str | Path | None = None, suffix: str = "") -> Path:
    """Where results go: ``results/<stem><suffix>/`` beside the analysis file, or exactly the folder named.

    Links are followed, so that a linked folder is filled and the link stays.
    """
    own = Path(analysis_file).parent / "results" / f"{Path(analysis_file).stem}{suffix}"
    folder = own if output is None else Path(output)
    folder = folder.resolve()
    if not folder.name:
        raise UserError(f"{folder} cannot be a results folder; name one inside it with --output.")
    return folder


def incomplete_folder(target: Path) -> Path:
    """Where draws go that are not (or not yet) complete results."""
    return target.with_name(target.name + ".incomplete")


def read_provenance(folder: Path) -> dict | None:
    """Our ``provenance.json`` of a folder; None if there is none, or if it is not ours."""
    try:
        found = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or found.get("made_by") != MAKER or not isinstance(found.get("files"), dict):
        return None
    # what commands rely on, where it is there: a file that somebody has edited must not break them
    kinds = {"inputs": dict, "warnings": list, "report": dict, "complete": bool, "sampling_key": str, "report_key": str}
    if not all(isinstance(found[key], kind) for key, kind in kinds.items() if key in found):
        return None
    names = map(PurePosixPath, found["files"])
    safe = all(not name.is_absolute() and ".." not in name.parts and "\\" not in str(name) for name in names)
    return found if safe else None


def intact_files(folder: Path) -> set[str]:
    """Names listed in a folder's provenance whose files are there and unchanged: all that is ours in it."""
    listed = (read_provenance(folder) or {}).get("files", {})
    return {name for name, digest in listed.items() if _digest(folder / name) == digest}


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Keep a second command away from the same results; the lock dies with its process."""
    from filelock import FileLock, Timeout

    user = os.getuid() if hasattr(os, "getuid") else "user"
    mark = hashlib.sha256(str(target).encode()).hexdigest()[:20]
    lock = FileLock(Path(tempfile.gettempdir()) / f"{MAKER}-{user}-{mark}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"Another command is writing to {target} at this moment; wait for it to end.") from None
    try:
        yield
    finally:
        lock.release()


def check_target(target: Path) -> None:
    """Find out before any work whether results can be put here.

    Raises
    ------
    UserError
        A file, a mount point, a folder that is not ours or cannot be written to.
    """
    if target.exists() and not target.is_dir():
        raise UserError(f"{target} is a file, but results need a folder; name another with --output.")
    if not target.exists():
        return
    _refuse_foreign(target)
    if os.path.ismount(target):
        raise UserError(f"{target} is a mount point, which cannot be renamed; name a folder in it.")
    if not os.access(target, os.W_OK | os.X_OK):
        raise UserError(f"{target} cannot be written to; name another folder with --output, or change its permissions.")


def _refuse_foreign(target: Path) -> None:
    if target.is_dir() and read_provenance(target) is None and any(target.iterdir()):
        raise UserError(
            f"{target} is not empty and was not written by Equipoise (it holds no {PROVENANCE} of ours). Nothing was"
            " changed; name an empty or a new folder with --output, or move what is there."
        )


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """A new sibling folder to complete results in; gone again if the work fails before `commit`."""
    staging = _staging(target)
    # The folders above that did not exist, so that a failure leaves none of them behind.
    made = [folder for folder in target.parents if not folder.exists()]
    try:
        staging.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"Results cannot be written to {target}: {error.strerror}. Name another folder.") from None
    try:
        yield staging
    except BaseException:
        if read_provenance(staging) is None:
            shutil.rmtree(staging, ignore_errors=True)
            with suppress(OSError):
                for folder in made:
                    folder.rmdir()
        raise


def commit(target: Path, provenance: dict) -> list[Path]:
    """Put the staged results in place, with a ``provenance.json`` that lists all their files.

    Parameters
    ----------
    target : Path
        The results folder, whose staging folder holds the new results.
    provenance : dict
        What else is to stand in ``provenance.json``.

    Returns
    -------
    list of Path
        Files of the user's that had the name of a new result and were kept under another.
    """
    staging = _staging(target)
    files = sorted(p.relative_to(staging).as_posix() for p in staging.rglob("*") if p.is_file())
    content = {"made_by": MAKER, **provenance, "files": {name: _digest(staging / name) for name in files}}
    aside = staging / (PROVENANCE + ".part")
    aside.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(aside, staging / PROVENANCE)
    return repair(target)


def repair(target: Path) -> list[Path]:
    """Finish or undo what an earlier command was cut off in; does nothing where all is well.

    Returns
    -------
    list of Path
        As for `commit`.
    """
    staging, old = _staging(target), _old(target)
    kept = []
    if old.is_dir():
        kept += _finish_swap(target, staging, old)
    if read_provenance(staging) is not None:
        _refuse_foreign(target)
        if target.exists():
            os.rename(target, old)
        os.rename(staging, target)
        if old.is_dir():
            kept += _merge(old, target)
    elif staging.is_dir():
        shutil.rmtree(staging)
    return kept


def _finish_swap(target: Path, staging: Path, old: Path) -> list[Path]:
    """Go on from a swap that was cut off after its first rename."""
    if read_provenance(target) is None:
        _refuse_foreign(target)
        if target.exists():
            os.rmdir(target)
        if read_provenance(staging) is None:
            # Not by us: somebody removed the results half-way. The older ones are still there.
            os.rename(old, target)
            return []
        os.rename(staging, target)
    return _merge(old, target)


def discard(folder: Path) -> None:
    """Remove our files from a folder, and the folder if that leaves it empty."""
    if not folder.is_dir():
        return
    for name in sorted(intact_files(folder)):
        os.unlink(folder / name)
    _remove_empty(folder)
    if [entry.name for entry in folder.iterdir()] == [PROVENANCE]:
        os.unlink(folder / PROVENANCE)
        os.rmdir(folder)


def _merge(old: Path, new: Path) -> list[Path]:
    """Move the user's files over and remove the rest of the old folder."""
    ours = intact_files(old) | {PROVENANCE}
    listed = set((read_provenance(old) or {}).get("files", {}))
    kept = _move_foreign(old, new, ours, listed)
    for name in sorted(ours - {PROVENANCE}):
        # Gone already where the user had put a link in place of a folder of ours: the link has moved over.
        with suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(old / name)
    _remove_empty(old)
    # Last, since without it nothing in the folder would count as ours.
    with suppress(FileNotFoundError):
        os.unlink(old / PROVENANCE)
    os.rmdir(old)
    return kept


def _move_foreign(old: Path, new: Path, ours: set[str], listed: set[str], under: str = "") -> list[Path]:
    kept = []
    for entry in sorted(os.scandir(old / under), key=lambda e: e.name):
        name = f"{under}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            # A folder in which nothing is ours moves as one, empty ones and links inside included.
            if (new / name).is_dir() or any(other.startswith(name + "/") for other in listed):
                kept += _move_foreign(old, new, ours, listed, name + "/")
                continue
        elif name in ours:
            continue
        (new / name).parent.mkdir(parents=True, exist_ok=True)
        free = _free_name(new / name)
        os.rename(old / name, free)
        if free != new / name:
            kept.append(free)
    return kept


def _free_name(path: Path) -> Path:
    """The path itself, or with ``.kept`` before its suffix if that name is taken."""
    free, count = path, 1
    while os.path.lexists(free):
        free = path.with_name(f"{path.stem}.kept{count if count > 1 else ''}{path.suffix}")
        count += 1
    return free


def _remove_empty(folder: Path) -> None:
    """Remove the empty folders in a folder."""
    for entry in list(os.scandir(folder)):
        if entry.is_dir(follow_symlinks=False):
            _remove_empty(Path(entry.path))
            with suppress(OSError):
                os.rmdir(entry.path)


def _staging(target: Path) -> Path:
    return target.with_name(f".{target.name}.{MAKER}-new")


def _old(target: Path) -> Path:
    return target.with_name(f".{target.name}.{MAKER}-old")


def _digest(path: Path) -> str | None:
    """SHA-256 of a file; None if there is no such file (a link is not one: we write none)."""
    if path.is_symlink() or not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
