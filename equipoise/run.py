"""From an analysis file to a results folder: what is done already is kept, the rest is done and swapped in."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from . import evidence, keys, outputs
from .analysis import Analysis
from .datasets.errors import UserError

DRAWS = "posterior.nc"
DRAWS_FOLDER = "posterior.zarr"  # beside it, the draws of single clinicians of a large study
ANALYSIS = "analysis.toml"  # a copy, from which the results can be reproduced
QUICK, QUICK_FOLDER = "laplace", ".quick"  # the method of a quick look, and what its folder's name ends in
Note = Callable[[str], None]
# folders of ours that hold no results of an analysis
_OTHER_KINDS = {"comparison": "a comparison of analyses", "share": "a shared version, which must hold nothing of a single person"}


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes
    ----------
    folder : Path
        Where its results are; of an interrupted run the folder of the incomplete draws.
    done : {"nothing", "report", "everything", "interrupted"}
        What had to be done.
    warnings : list of str
        What must stand at the head of every output.
    kept : list of Path
        Files of the user's that had the name of a result and were kept under another.
    """

    folder: Path
    done: Literal["nothing", "report", "everything", "interrupted"]
    warnings: list[str]
    kept: list[Path]

    @property
    def page(self) -> Path:
        """The report."""
        return self.folder / "report.html"


def run(
    path: str | Path,
    *,
    output: str | Path | None = None,
    fresh: bool = False,
    quick: bool = False,
    scheduler: str | None = None,
    workers: int | None = None,
    progress: bool = True,
    note: Note = lambda text: None,
) -> Outcome:
    """Do everything that an analysis file asks for and that is not already done.

    Parameters
    ----------
    path : path
        The analysis file.
    output : path, optional
        The results folder; ``results/<stem>/`` beside the analysis file by default.
    fresh : bool
        Sample and report anew, whatever is there.
    quick : bool
        A quick look instead of sampling (`equipoise.fit` with ``method="laplace"``), by default in ``results/<stem>.quick/``.
    scheduler, workers : str, int, optional
        In place of those of the file's ``[compute]``; see `equipoise.on_cluster`.
    progress : bool
        Show progress bars (on standard error).
    note : callable
        Takes sentences about what is being done.

    Returns
    -------
    Outcome

    Raises
    ------
    UserError
        Before any sampling, for anything wrong with file, data, model or results folder.
    KeyboardInterrupt
        Where Ctrl-C came before there was a draw to keep.
    """
    job = _Job(Analysis.read(path), output, quick)
    with outputs.locked(job.target), job.analysis.computing(scheduler, workers):
        kept = job.prepare()
        if quick:
            job.spare_samples()
        if fresh:
            return job.work(progress, note, kept)
        if job.is_reported():
            return Outcome(job.target, "nothing", _warnings(job.target), kept)
        for folder in (job.target, job.incomplete):
            if job.has_draws(folder):
                note("The draws are there already; writing the report.")
                return job.report(folder, kept)
        if before := outputs.read_provenance(job.target):
            what = keys.changed(before.get("inputs", {}), job.inputs)
            note(f"Sampling again: {', '.join(what) or 'the draws'} changed since the results in {shown(job.target)}.")
        return job.work(progress, note, kept)


def report(
    path: str | Path, *, output: str | Path | None = None, quick: bool = False, note: Note = lambda text: None,
    found: dict | None = None,
) -> Outcome:  # fmt: skip
    """Write tables, figures and page anew from saved draws, without sampling.

    ``quick`` looks where a quick look's results are. ``found`` is new evidence by name (`evidence`), which is kept with the results.

    Draws made with other versions serve too, so that an old analysis can be looked at again; draws of another study
    or another model do not.

    Raises
    ------
    UserError
        As for `run`, and if there are no draws for this study and model.
    """
    analysis = Analysis.read(path)
    named = outputs.results_folder(analysis.path, output)
    if not quick and is_quick(outputs.read_provenance(named) or {}):
        quick, output = True, named
    job = _Job(analysis, output, quick)
    with outputs.locked(job.target), job.analysis.computing():
        kept = job.prepare()
        before = outputs.read_provenance(job.target) or {}
        if not _are_intact(job.target) or not before.get("inputs"):
            if (job.target / DRAWS).exists():
                raise UserError(
                    f"{shown(job.target / DRAWS)} is not as it was written (cut off, changed, or not of this analysis);"
                    f" `equipoise run {path}` samples again."
                )
            look = outputs.results_folder(job.analysis.path, None, QUICK_FOLDER)
            beside = f" Those of the quick look in {shown(look)}: `equipoise report {path} --quick`." if (look / DRAWS).exists() else ""
            again = f"equipoise run {path}{' --quick' if quick else ''}"
            raise UserError(f"There are no draws in {shown(job.target)} yet; `{again}` makes them.{'' if output or quick else beside}")
        what = keys.changed(before["inputs"], job.inputs)
        if {"the study", "the model"} & set(what):
            raise UserError(
                f"The draws in {shown(job.target)} do not belong to this analysis any more: {', '.join(what)} changed."
                f" `equipoise run {path}` samples again."
            )
        if what:
            note(f"The draws were made before {', '.join(what)} changed; `equipoise run {path}` would sample again.")
        return job.report(job.target, kept, found)


class _Job:
    """One analysis with its study, model, keys and folders."""

    def __init__(self, analysis: Analysis, output: str | Path | None, quick: bool = False):
        self.analysis = analysis
        self.study = analysis.study()
        self.model = analysis.model(self.study)
        self.truth = analysis.truth()
        self.sampling = analysis.sampling | ({"method": QUICK} if quick else {})
        self.target = outputs.results_folder(analysis.path, output, QUICK_FOLDER if quick else "")
        self.incomplete = outputs.incomplete_folder(self.target)
        self.inputs = keys.plain(keys.sampling_inputs(self.study, self.model, self.sampling))
        self.key = keys.digest(self.inputs)

    def prepare(self) -> list[Path]:
        """Mend what an earlier command left, and see that results can be put in place."""
        kept = outputs.repair(self.target) + outputs.repair(self.incomplete)
        outputs.check_target(self.target)
        outputs.check_target(self.incomplete)
        kind = (outputs.read_provenance(self.target) or {}).get("kind")
        if kind in _OTHER_KINDS:
            raise UserError(f"{shown(self.target)} holds {_OTHER_KINDS[kind]}; name another folder with --output.")
        return kept

    def spare_samples(self) -> None:
        """See that a quick look takes the place of no draws of the sampler."""
        found = outputs.read_provenance(self.target)
        if found is not None and not is_quick(found):
            raise UserError(
                f"{shown(self.target)} holds draws of the sampler, which a quick look is not to replace; name another folder with"
                " --output, or none."
            )

    def report_key(self, sampling_key: str, stored: dict) -> str:
        spec = self.analysis.spec
        section = spec.report.model_dump() | {"decisions": spec.decisions and spec.decisions.model_dump()}
        asked = dict(self.analysis.forecast)
        if asked.get("roll_out") is not None:  # its content, not its name
            asked["roll_out"] = hashlib.sha256(asked["roll_out"].read_bytes()).hexdigest()
        section |= {"estimands": self.analysis.estimands, "forecast": {name: str(value) for name, value in asked.items()}}
        section |= {"evidence": keys.digest(stored), "sensitivity": spec.sensitivity.model_dump()}
        return keys.digest(keys.report_inputs(sampling_key, section, self.truth))

    def has_draws(self, folder: Path) -> bool:
        """Whether a folder holds the whole of the draws that this analysis would make."""
        found = outputs.read_provenance(folder)
        return (
            found is not None
            and found.get("complete") is True
            and found.get("sampling_key") == self.key
            and _are_intact(folder)
        )

    def is_reported(self) -> bool:
        """Whether all of it is done: draws and report for these inputs, and no file missing."""
        if not self.has_draws(self.target):
            return False
        found = outputs.read_provenance(self.target)
        # A file that was edited is left alone; one that is gone is made again.
        return found.get("report_key") == self.report_key(self.key, evidence.read(self.target, self.key)) and all(
            (self.target / name).exists() for name in found["files"]
        )

    def work(self, progress: bool, note: Note, kept: list[Path]) -> Outcome:
        from .inference.cluster import is_asked
        from .inference.derive import bytes_of_results
        from .inference.store import need_room

        chains = 1 if self.sampling["method"] == QUICK else self.sampling["chains"]
        threads = {} if self.analysis.spec.compute.threads == 1 else {"threads": self.analysis.spec.compute.threads}
        with outputs.staged(self.target) as staging:
            needed = bytes_of_results(self.model, self.study, chains, self.sampling["draws"])
            beside = 2 if staging.stat().st_dev == Path(tempfile.gettempdir()).stat().st_dev else 1  # what is in both while it is saved
            need_room(staging, beside * needed, "another folder for results (--output)")
            if is_asked():
                note("On a Dask cluster, once its workers answer (a minute at most).")
            if self.sampling["method"] == QUICK:
                note("A quick look by Laplace's method: approximate, and soon done.")
            else:
                asked = f"{self.sampling['chains']} chains of {self.sampling['draws']} draws"
                note(f"Sampling {asked} (Ctrl-C keeps those there are).")
            with quiet():
                fit = sample(self.model, self.study, **self.sampling, **threads, progress=progress)
            if not fit.complete:
                return self.keep(fit, fit.save, kept)
            fit.save(staging / DRAWS)
            try:
                return self.finish(fit, staging, self.inputs, "everything", kept)
            except BaseException:
                # Minutes of sampling are worth keeping whatever went wrong with the report; a later run takes them up.
                # Results that are complete and only not in place yet wait as they are.
                if (staging / DRAWS).exists() and outputs.read_provenance(staging) is None:
                    self.rescue(fit, staging, note)
                raise

    def report(self, source: Path, kept: list[Path], found: dict | None = None) -> Outcome:
        """Tables, figures and page from the draws in a folder."""
        inputs = outputs.read_provenance(source)["inputs"]
        with outputs.staged(self.target) as staging:
            _link_draws(source, staging)
            fit = restore(staging / DRAWS, self.study, self.model)
            return self.finish(fit, staging, inputs, "report", kept, found)

    def finish(self, fit, staging: Path, inputs: dict, done, kept: list[Path], found: dict | None = None) -> Outcome:
        """Complete the results and swap them in; what commands have found of the same draws stays with them."""
        section = self.analysis.spec.report
        options = {} if section.clinicians_shown is None else {"clinicians_shown": section.clinicians_shown}
        if self.analysis.spec.decisions is not None:
            options["decisions"] = self.analysis.spec.decisions.model_dump()
        asked = {"estimands": self.analysis.estimands, "forecast": self.analysis.forecast}
        asked |= {"statements": section.statements.model_dump(exclude_none=True), "dataset": self.analysis.spec.study.dataset}
        options |= {name: given for name, given in asked.items() if given}
        (staging / ANALYSIS).write_text(self.analysis.text, encoding="utf-8", newline="\n")
        key = keys.digest(inputs)
        stored = evidence.carry(self.target, staging, key, found or {})
        with quiet():
            if stored:
                options["evidence"] = {name: content["found"] for name, content in stored.items()}
            if "sensitivity" in stored:  # what those who left may have been like is no matter of refits
                delta = self.analysis.spec.sensitivity.delta
                options["evidence"]["sensitivity"] |= {"dropout": _dropout(fit, section.interval, delta)}
            _render(fit, staging, title=section.title, prob=section.interval, truth=self.truth, **options)
        warned = self.warned(fit)
        provenance = self.provenance(inputs, True, warned, report_key=self.report_key(key, stored))
        kept = kept + outputs.commit(self.target, provenance)
        # Draws kept aside when an earlier report failed are in these results now.
        aside = outputs.read_provenance(self.incomplete)
        if aside is not None and aside.get("sampling_key") == key:
            outputs.discard(self.incomplete)
        return Outcome(self.target, done, warned, kept)

    def warned(self, fit) -> list[str]:
        """What heads every output: failed convergence, then adjustments that were switched off against the design."""
        return [*fit.warnings, *self.model.cautions(self.study)]

    def keep(self, fit, save: Callable[[Path], Any], kept: list[Path]) -> Outcome:
        """Put draws aside, apart from complete results."""
        with outputs.staged(self.incomplete) as staging:
            save(staging / DRAWS)
            provenance = self.provenance(self.inputs, fit.complete, self.warned(fit))
            kept = kept + outputs.commit(self.incomplete, provenance)
        return Outcome(self.incomplete, "interrupted", provenance["warnings"], kept)

    def rescue(self, fit, staging: Path, note: Note) -> None:
        """Put the draws of an unfinished report aside, also where the disk is full."""
        for entry in staging.iterdir():  # to have room for a few lines of provenance
            if entry.is_dir() and entry.name != DRAWS_FOLDER:
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.name not in (DRAWS, DRAWS_FOLDER):
                entry.unlink(missing_ok=True)
        try:
            self.keep(fit, lambda path: _link_draws(staging, path.parent), [])
        except (OSError, UserError) as error:
            note(f"No report, and the draws cannot be kept either ({error}).")
        else:
            note(f"No report yet; the draws are kept in {shown(self.incomplete)} for the next run.")

    def provenance(self, inputs: dict, complete: bool, warnings: list[str], **more) -> dict:
        """What is recorded beside results: no path of this machine, nothing of a person."""
        path = self.analysis.path
        return {
            "schema": 1,
            "complete": complete,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "analysis": {
                "file": path.name, "sha256": hashlib.sha256(self.analysis.text.encode()).hexdigest(), "path": _way(self.target, path),
            },
            "study": {
                "fingerprint": self.study.fingerprint,
                "clinicians": self.study.n_clinicians,
                "units": self.study.n_units,
                "surveys": self.study.n_surveys,
            },
            "seed": inputs["sampling"]["seed"],
            "sampling_key": keys.digest(inputs),
            **more,
            "inputs": inputs,
            "report": self.analysis.spec.report.model_dump(),
            "warnings": list(warnings),
            "versions": keys.environment(),
            "distributions": keys.distributions(),
        }


def _way(folder: Path, file: Path) -> str | None:
    """The way from a results folder to a file in a folder above it; None elsewhere, since it would tell of this machine."""
    try:
        way = Path(os.path.relpath(file.resolve(), folder))
    except ValueError:  # another drive
        return None
    return way.as_posix() if set(way.parts[:-1]) <= {".."} else None


def _warnings(folder: Path) -> list[str]:
    return list((outputs.read_provenance(folder) or {}).get("warnings", []))


def _link(source: Path, target: Path) -> None:
    """The same file under a second name; a copy where the file system has no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _link_draws(source: Path, target: Path) -> None:
    """The draws in one folder, in another too."""
    _link(source / DRAWS, target / DRAWS)
    if (source / DRAWS_FOLDER).is_dir():
        shutil.copytree(source / DRAWS_FOLDER, target / DRAWS_FOLDER, copy_function=_link)


def _are_intact(folder: Path) -> bool:
    """Whether a folder's draws are there as they were written."""
    listed = (outputs.read_provenance(folder) or {}).get("files", {})
    draws = {name for name in listed if name == DRAWS or name.startswith(DRAWS_FOLDER + "/")}
    return DRAWS in draws and draws <= outputs.intact_files(folder)


def is_quick(provenance: dict) -> bool:
    """Whether results are those of a quick look."""
    sampling = provenance.get("inputs", {}).get("sampling")
    return isinstance(sampling, dict) and sampling.get("method") == QUICK


def shown(path: Path) -> str:
    """A path as short as it can be told from here."""
    try:
        short = os.path.relpath(path)
    except ValueError:  # another drive
        return str(path)
    return str(path) if short.startswith(os.path.join("..", "..")) else short


@contextmanager
def quiet():
    """Standard output is for results, headed by the warnings of the fit, so nothing else may come before them."""
    with redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


# The heavy rooms, imported only when they are needed: checking a file must not import PyMC.
def sample(model, study, **options):
    from .inference import fit

    return fit(model, study, **options)


def restore(path, study, model):
    from .inference import load

    return load(path, study=study, model=model)


def _dropout(fit, prob, delta):
    from .inference.refits.sensitivity import dropout

    return dropout(fit, prob, delta)


def _render(fit, folder, **options):
    from .reports import write_outputs

    return write_outputs(fit, folder, **options)
