"""Analyses side by side: each is run if it is not done, and what they say is set beside one another in a folder of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import keys, outputs, run
from .analysis import Analysis
from .datasets.errors import UserError

KIND = "comparison"
LONGEST_NAME = 120  # of a folder, in bytes; systems allow 255, and siblings add to it


@dataclass(frozen=True)
class Outcome:
    """What a comparison came to.

    Attributes
    ----------
    folder : Path
        Where its results are.
    warnings : list of str
        Of all analyses, each with its label in front: what must stand at the head of every output.
    loo : DataFrame
    notes : list of str
        As from `inference.leave_one_out.leave_one_out`.
    kept : list of Path
        Files of the user's that had the name of a result and were kept under another.
    """

    folder: Path
    warnings: list[str]
    loo: Any
    notes: list[str]
    kept: list[Path]

    @property
    def page(self) -> Path:
        """The page."""
        return self.folder / "report.html"


def compare(
    paths: Sequence[str | Path],
    *,
    output: str | Path | None = None,
    progress: bool = True,
    note: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """Set analyses side by side; those that are not done are run first.

    Parameters
    ----------
    paths : sequence of path
        At least two analysis files.
    output : path, optional
        The folder to write to; ``results/compare-A-B/`` beside the first file by default.
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
        Before any sampling, for anything wrong with a file, its data, its model or a results folder.
    KeyboardInterrupt
        Where Ctrl-C cut an analysis short; its draws are kept as `run` keeps them.
    """
    paths = [Path(path) for path in paths]
    if len(paths) < 2:
        raise UserError(f"a comparison needs at least two analysis files; got {len(paths)}.")
    analyses = {label: Analysis.read(path) for label, path in zip(labels(paths), paths, strict=True)}
    studies = {label: analysis.study() for label, analysis in analyses.items()}
    models = {label: analysis.model(studies[label]) for label, analysis in analyses.items()}
    homes = _homes(analyses)
    target = target_folder(list(analyses), paths[0], output)
    with outputs.locked(target):
        kept = outputs.repair(target)
        _check_target(target, homes)
        done, fits, sampled = {}, {}, {}
        for label, analysis in analyses.items():
            done[label] = _run(label, analysis.path, progress, note)
            kept += done[label].kept
        for label, home in homes.items():
            with outputs.locked(home):
                fits[label] = _restore(home / run.DRAWS, studies[label], models[label])
                sampled[label] = outputs.read_provenance(home)["sampling_key"]
        note("Setting them side by side.")
        asked = {label: analysis.estimands for label, analysis in analyses.items()}
        intervals = [analysis.spec.report.interval for analysis in analyses.values()]
        prob = intervals[0]
        if len(set(intervals)) > 1:
            note(f"Intervals of {100 * prob:.4g} %, as {next(iter(analyses))} asks for; the others ask for other ones.")
        with outputs.staged(target) as staging:
            with run.quiet():
                found = _compare(fits, asked, prob)
                _write(found, staging)
            warned = [f"{label}: {text}" for label, outcome in done.items() for text in outcome.warnings]
            kept += outputs.commit(target, _provenance(analyses, sampled, prob, warned))
    return Outcome(target, warned, found.loo, found.loo_notes, kept)


def labels(paths: Sequence[Path]) -> list[str]:
    """A name for each analysis file: its stem, with as many of its folders in front as tell it from the others.

    Raises
    ------
    UserError
        For the same file twice, and for two files that differ in their suffix only.

    Examples
    --------
    >>> labels([Path("main.toml"), Path("vague.toml")])
    ['main', 'vague']
    >>> labels([Path("a/main.toml"), Path("b/main.toml")])
    ['a/main', 'b/main']
    """
    whole = [path.resolve() for path in paths]
    for n, path in enumerate(whole):
        if path in whole[:n]:
            raise UserError(f"{paths[n]} is named twice; compare it with another analysis file.")
    parts = [(*path.parent.parts, path.stem) for path in whole]
    found = []
    for n, mine in enumerate(parts):
        if mine in parts[:n]:
            raise UserError(f"{paths[n]} and {paths[parts.index(mine)]} would share a results folder; rename one of them.")
    for n, mine in enumerate(parts):
        alike = [other for m, other in enumerate(parts) if m != n and other[-1] == mine[-1]]
        depth = 1
        while depth < len(mine) and any(other[-depth:] == mine[-depth:] for other in alike):
            depth += 1
        found.append("/".join(mine[-depth:]))
    return found


def target_folder(names: Sequence[str], first: Path, output: str | Path | None) -> Path:
    """Where the comparison goes: ``results/compare-A-B/`` beside the first file, or exactly the folder named."""
    folder = "-".join(["compare", *(name.replace("/", "-") for name in names)])
    if len(folder.encode()) > LONGEST_NAME:
        folder = f"compare-{hashlib.sha256(folder.encode()).hexdigest()[:12]}"
    return outputs.results_folder(first, first.parent / "results" / folder if output is None else output)


def _homes(analyses: dict[str, Analysis]) -> dict[str, Path]:
    """The results folder of each analysis, found fit for use before any of them samples."""
    homes = {label: outputs.results_folder(analysis.path) for label, analysis in analyses.items()}
    for home in homes.values():
        outputs.check_target(home)
    return homes


def _check_target(target: Path, homes: dict[str, Path]) -> None:
    outputs.check_target(target)
    before = outputs.read_provenance(target)
    if target in homes.values() or (before is not None and before.get("kind") != KIND):
        raise UserError(
            f"{target} is for the results of an analysis, not for a comparison. Nothing was changed; name another folder with"
            " --output."
        )


def _run(label: str, path: Path, progress: bool, note: Callable[[str], None]):
    """Do what is missing of one analysis."""
    outcome = run.run(path, progress=progress, note=lambda text: note(f"{label}: {text}"))
    if outcome.done == "interrupted":
        note(f"{label}: interrupted; the draws so far are in {run.shown(outcome.folder)}, marked as incomplete.")
        raise KeyboardInterrupt
    note(f"{label}: done already." if outcome.done == "nothing" else f"{label}: done; its report is {run.shown(outcome.page)}.")
    return outcome


def _provenance(analyses: dict[str, Analysis], sampled: dict[str, str], prob: float, warned: list[str]) -> dict:
    """What is recorded beside the comparison: no path of this machine."""
    inputs = [
        {
            "analysis": label,
            "file": analysis.path.name,
            "sha256": hashlib.sha256(analysis.path.read_bytes()).hexdigest(),
            "sampling_key": sampled[label],
        }
        for label, analysis in analyses.items()
    ]
    return {
        "schema": 1,
        "kind": KIND,
        "complete": True,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "inputs": {"analyses": inputs, "interval": prob},
        "warnings": warned,
        "versions": keys.environment(),
    }


# The heavy rooms, imported only when they are needed: a mistake must not wait for PyMC.
def _restore(path, study, model):
    from .inference import load

    return load(path, study=study, model=model)


def _compare(fits, asked, prob):
    from .inference.comparison import compare as side_by_side

    return side_by_side(fits, asked, prob)


def _write(comparison, folder):
    from .reports.comparing import write_comparison

    return write_comparison(comparison, folder)
