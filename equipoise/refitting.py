"""Commands that refit an analysis many times: the analysis is run first, and what they find goes into its report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from . import evidence, keys, outputs, run
from .analysis import Analysis


def refit(
    path: str | Path, name: str, find: Callable, *, output: str | Path | None = None, settings: dict | None = None,
    keep: bool = False, fresh: bool = False, progress: bool = True, note: run.Note = lambda text: None,
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
    settings : dict, optional
        What else the refits depend on: with other settings the ledger begins anew.
    keep : bool
        Keep the ledger, so that more can be added to it later.
    fresh : bool
        Sample the analysis itself anew.
    progress : bool
    note : function

    Returns
    -------
    run.Outcome
        Of the report that holds what was found.
    """
    analysis = Analysis.read(path)
    outcome = run.run(path, output=output, fresh=fresh, progress=progress, note=note)
    if outcome.done == "interrupted":
        return outcome
    study = analysis.study()
    model = analysis.model(study)
    target = outputs.results_folder(analysis.path, output)
    with outputs.locked(target):
        key = outputs.read_provenance(target)["sampling_key"]
        fit = run.restore(target / run.DRAWS, study, model)
    with outputs.locked(target.with_name(f"{target.name}.{name}")):
        from .inference.refits.ledger import Ledger

        ledger = Ledger(evidence.ledger_path(target, name), keys.digest({"draws": key, "settings": settings or {}}))
        if ledger.results:
            note(f"{len(ledger.results)} refits are there already.")
        with run.quiet():
            found = find(analysis, fit, ledger)
        done = run.report(path, output=output, note=note, found={name: found})
        if not keep:
            ledger.discard()
    return done
