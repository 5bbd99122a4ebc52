"""The shared version of results, in a folder of its own: what it is made with, and the key of its pseudonyms.

The key never lies in a folder that is given away. The shared ``provenance.json`` holds nothing by which somebody could find out
whether a guess at the data is right: no fingerprint or name of the study, no seed, no key of the draws, no digest of inputs.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from . import evidence, keys, outputs, run
from .analysis import Analysis
from .datasets.errors import UserError
from .schema import ShareTable

KIND = "share"
KEY_BYTES = 32
LEAST_KEY_BYTES = 16


@dataclass(frozen=True)
class Shared:
    """What was written to be shared.

    Attributes
    ----------
    folder : Path
    said : str
        Which units were left out and where the key is, for the one who shares it.
    kept : list of Path
        As for `run.Outcome`.
    """

    folder: Path
    said: str
    kept: list[Path]

    @property
    def page(self) -> Path:
        return self.folder / "report.html"


def share_folder(target: Path) -> Path:
    """Where the shared version of results goes: beside them."""
    return target.with_name(target.name + ".share")


def ready(path: str | Path, output: str | Path | None = None) -> None:
    """Find out before any work whether a shared version can be made.

    Raises
    ------
    UserError
        For a study or programme of too few clinicians, a key that is none or lies where it would be given away, and a folder that
        is not ours.
    """
    _Sharing(path, output)


def share(path: str | Path, *, output: str | Path | None = None, note: run.Note = lambda text: None) -> Shared:
    """Write the shared version of results that are there.

    Parameters
    ----------
    path : path
        The analysis file.
    output : path, optional
        The results folder, as for `run.run`; the shared version goes beside it.
    note : callable

    Raises
    ------
    UserError
        As for `ready`, and where there are no draws.
    """
    job = _Sharing(path, output)
    with outputs.locked(job.target):
        found = outputs.read_provenance(job.target) or {}
        if run.DRAWS not in outputs.intact_files(job.target):
            raise UserError(f"There are no draws in {run.shown(job.target)} yet; `equipoise run {path}` makes them.")
        if run.is_quick(found):
            raise UserError(f"{run.shown(job.target)} holds a quick look, which is not to be shared; `equipoise run {path}` samples.")
        fit = run.restore(job.target / run.DRAWS, job.study, job.model)
        stored = evidence.read(job.target, found["sampling_key"])
    note("Writing the shared version.")
    spec, table = job.analysis.spec, job.table
    key = None if table.name_units else key_of(job.key)
    with outputs.locked(job.folder):
        kept = outputs.repair(job.folder)
        job.check_folder()
        with outputs.staged(job.folder) as staging, run.quiet():
            _write(
                fit, staging, key=key, smallest=table.smallest_cell, title=spec.report.title, prob=spec.report.interval,
                decisions=spec.decisions and spec.decisions.model_dump(), estimands=job.analysis.estimands,
                forecast=job.analysis.forecast, evidence={name: content["found"] for name, content in stored.items()},
            )  # fmt: skip
            kept += outputs.commit(job.folder, _provenance(table))
    return Shared(job.folder, job.said(), kept)


class _Sharing:
    """What is shared, where to, and with which key; all of it checked."""

    def __init__(self, path: str | Path, output: str | Path | None):
        from .reports.sharing.plan import make_plan

        self.analysis = Analysis.read(path)
        self.analysis.needs_sampling("a shared version")
        self.table = self.analysis.spec.share or ShareTable()
        self.target = outputs.results_folder(self.analysis.path, output)
        self.folder = share_folder(self.target)
        self.study = self.analysis.study()
        self.model = self.analysis.model(self.study)
        self.key = self.analysis.folder / (self.table.key or f"{self.analysis.path.stem}.share.key")
        if not self.table.name_units:
            self.check_key()
        self.check_folder()
        try:
            self.plan = make_plan(
                self.study, self.model, self.table.smallest_cell, self.analysis.estimands, self.analysis.forecast
            )
        except UserError as error:
            raise UserError(f"{self.analysis.path}, --share: {error}") from None

    def check_key(self) -> None:
        """See that the key is one, or can be made, and lies in no folder that results are in."""
        place = self.key.resolve()
        for folder in (self.target, self.folder, outputs.incomplete_folder(self.target)):
            if place.is_relative_to(folder):
                raise UserError(
                    f"The key of the pseudonyms, {run.shown(place)}, would lie in {run.shown(folder)} and be given away with it. Name a"
                    " file elsewhere as `key` in [share]."
                )
        if os.path.lexists(self.key):
            read_key(self.key)
        elif not self.key.parent.is_dir():
            raise UserError(f"There is no folder {run.shown(self.key.parent)} for the key of the pseudonyms ([share] key).")

    def check_folder(self) -> None:
        outputs.check_target(self.folder)
        found = outputs.read_provenance(self.folder)
        if found is not None and found.get("kind") != KIND:
            raise UserError(f"{run.shown(self.folder)} holds results that are not a shared version; move it, or name another --output.")

    def said(self) -> str:
        plan = self.plan
        told = []
        if len(plan.units) > 1:
            told.append(f"{plan.n_left_out} of {len(plan.units)} units left out (smallest cell {plan.smallest}).")
        if not self.table.name_units:
            told.append(f"The key of the pseudonyms is {run.shown(self.key)}: keep it, and give it to nobody who gets the report.")
            if os.name == "posix" and self.key.stat().st_mode & 0o077:
                told.append("Others on this machine can read it (`chmod 600` stops that).")
        return " ".join(told) or f"Smallest cell: {plan.smallest}."


def key_of(path: Path) -> bytes:
    """The key in a file; made anew, readable by its owner only, where there is none."""
    if not os.path.lexists(path):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
        except FileExistsError:  # another command has just made it
            return read_key(path)
        except OSError as error:
            raise UserError(f"The key of the pseudonyms cannot be written to {path}: {error.strerror}.") from None
        try:
            with open(descriptor, "w", encoding="ascii") as file:
                file.write(secrets.token_hex(KEY_BYTES) + "\n")
        except BaseException:
            with suppress(OSError):
                path.unlink()
            raise
    return read_key(path)


def read_key(path: Path) -> bytes:
    """The key in a file; raises `UserError` for anything that is none."""
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (UnicodeDecodeError, ValueError):
        key = b""
    except OSError as error:
        raise UserError(f"The key of the pseudonyms, {path}, cannot be read: {error.strerror}.") from None
    if len(key) < LEAST_KEY_BYTES:
        raise UserError(
            f"{path} is no key of pseudonyms (at least {2 * LEAST_KEY_BYTES} hexadecimal digits). Name another file as `key` in [share];"
            " one that is not there is made."
        )
    return key


def _provenance(table: ShareTable) -> dict:
    versions = keys.environment()
    return {
        "schema": 1,
        "kind": KIND,
        "created": datetime.now(UTC).date().isoformat(),
        "smallest_cell": table.smallest_cell,
        "unit_names": "as they are" if table.name_units else "pseudonyms",
        "versions": {name: version for name, version in versions.items() if name != "system"},
    }


def _write(fit, folder, **options):
    from .reports.sharing.page import write_share

    return write_share(fit, folder, **options)
