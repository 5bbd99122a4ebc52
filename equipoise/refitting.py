"""Commands that refit an analysis many times: the analysis is run first, and what they find goes into its report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from . import evidence, keys, outputs, run
from .analysis import Analysis

_COMMANDS = {"cross_validation": "crossvalidate", "calibration": "calibrate", "doubling": "run --doubling"}


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while refitting; the message says where the refits are that were done."""


def refit(
    path: str | Path, name: str, find: Callable, *, output: str | Path | None = None, settings=None,
    keep: bool = False, once: bool = False, fresh: bool = False, progress: bool = True, note: run.Note = lambda text: None,
) -> run.Outcome:  # fmt: skip
    """Run what is not done, find something by refitting, and write the report with it.

    Parameters
    ----------
    path : path
        The analysis file.
    name : str
        Of the evidence, as in `inference.checks.CHECKS`.
    find : function (analysis, fit, ledger) -> dict
        Gives plain values. What the ledger holds need not be done again.
    output : path, optional
        The results folder.
    settings : dict or function (analysis) -> dict, optional
        What else the refits depend on: with other settings the ledger begins anew.
    keep : bool
        Keep the ledger, so that more can be added to it later.
    once : bool
        Do nothing where these draws have such evidence already.
    fresh : bool
        Sample the analysis itself anew, and find whatever there is.
    progress : bool
    note : function

    Returns
    -------
    run.Outcome
        Of the report that holds what was found.

    Raises
    ------
    Interrupted
        On Ctrl-C while refitting.
    """
    analysis = Analysis.read(path)
    analysis.needs_sampling(f"`equipoise {_COMMANDS.get(name, name)}`")
    outcome = run.run(path, output=output, fresh=fresh, progress=progress, note=note)
    if outcome.done == "interrupted":
        return outcome
    study = analysis.study()
    model = analysis.model(study)
    target = outputs.results_folder(analysis.path, output)
    with outputs.locked(target):
        key = outputs.read_provenance(target)["sampling_key"]
        if once and not fresh and name in evidence.read(target, key):
            return outcome
        fit = run.restore(target / run.DRAWS, study, model)
    with outputs.locked(target.with_name(f"{target.name}.{name}")):
        from .inference.refits.ledger import Ledger

        depends = {"draws": key, "settings": (settings(analysis) if callable(settings) else settings) or {}}
        depends["sources"] = keys.source_digest(("inference.refits",))
        ledger = Ledger(evidence.ledger_path(target, name), keys.digest(depends))
        if ledger.results:
            note(f"{len(ledger.results)} refits are there already.")
        try:
            with run.quiet():
                found = find(analysis, fit, ledger)
        except KeyboardInterrupt:
            raise Interrupted(
                f"Interrupted; the results are unchanged. {len(ledger.results)} refits are kept in {run.shown(ledger.path)}: the same "
                f"command goes on from there."
            ) from None
        done = run.report(path, output=output, note=note, found={name: found})
        if not keep:
            ledger.discard()
    return done
