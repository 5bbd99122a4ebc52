"""Results made again from what they carry: are the numbers the same, as far as Monte Carlo error lets them?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import keys, outputs, run
from .analysis import Analysis
from .datasets.errors import UserError


@dataclass(frozen=True)
class Reproduction:
    """What came of making results again.

    Attributes
    ----------
    identical : bool
        Whether all draws are the same to the last bit.
    table : DataFrame
        As from `inference.refits.agreement.agreement`: old numbers (``one``) and new (``other``).
    beyond : DataFrame
        Rows that differ by more than Monte Carlo error would explain.
    changed : list of str
        What is not as it was when the results were made, such as versions.
    """

    identical: bool
    table: Any
    beyond: Any
    changed: list[str]

    def write(self, path: Path) -> None:
        """All numbers as CSV, written aside first."""
        from .reports.page import write
        from .reports.table_files import to_csv

        write(path, to_csv(self.table))


def reproduce(
    folder: str | Path, *, analysis: str | Path | None = None, progress: bool = True, note: run.Note = lambda text: None
) -> Reproduction:
    """Sample again from the analysis, settings and seed that results carry, and compare; the results are not touched.

    Parameters
    ----------
    folder : path
        A results folder.
    analysis : path, optional
        Where the analysis file lies now, if it was moved: its folder is where the paths of the copy start. What is run is the copy
        kept with the results.
    progress : bool
    note : function

    Raises
    ------
    UserError
        If the folder holds no complete results of ours, the analysis file or data are not found, or data or model are not those
        that the results were made from.
    """
    folder = Path(folder)
    before = outputs.read_provenance(folder)
    if before is None or before.get("kind") is not None or not before.get("complete"):
        raise UserError(f"{folder} holds no complete results of `equipoise run`; name the folder that has provenance.json and {run.DRAWS}.")
    inputs, recorded = before.get("inputs"), before.get("analysis")
    if not (isinstance(inputs, dict) and {"study", "model", "sampling"} <= set(inputs) and isinstance(recorded, dict) and "file" in recorded
            and isinstance(before.get("report"), dict) and "interval" in before["report"]):  # fmt: skip
        raise UserError(f"{folder}: provenance.json does not say what the results were made from, so they cannot be made again.")
    intact = outputs.intact_files(folder)
    missing = [name for name in (run.DRAWS, run.ANALYSIS) if name not in intact]
    if missing:
        raise UserError(
            f"{folder}: {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not there or not as written (results of earlier "
            "versions have no copy of their analysis); `equipoise run` makes results that can be reproduced."
        )
    place = _place(folder, before["analysis"], analysis)
    asked = Analysis.read(place, text=(folder / run.ANALYSIS).read_text(encoding="utf-8-sig"))
    study = asked.study()
    model = asked.model(study)
    inputs = keys.plain(keys.sampling_inputs(study, model, before["inputs"]["sampling"]))
    changed = keys.changed(before["inputs"], inputs)
    if "the study" in changed:
        raise UserError(
            f"the data are not those of the results any more (fingerprint {inputs['study'][:12]}, then {before['inputs']['study'][:12]}); "
            "only the same data can reproduce them."
        )
    if "the model" in changed:
        raise UserError(f"this version of Equipoise reads another model out of {run.ANALYSIS} than the results were made with.")
    changed = _what(before, changed)
    for text in changed:
        note(text)
    old = run.restore(folder / run.DRAWS, study, model)
    note("Sampling again.")
    with run.quiet():
        new = run.sample(model, study, **before["inputs"]["sampling"] | {"compare_spreads": False}, progress=progress)
        if not new.complete:
            raise KeyboardInterrupt
        return _compared(old, new, before["report"]["interval"], changed)


def _compared(old, new, prob: float, changed: list[str]) -> Reproduction:
    from .inference.refits.agreement import agreement, beyond, identical

    table = agreement(old, new, prob)
    return Reproduction(identical(old, new), table, beyond(table), changed)


def _place(folder: Path, recorded: dict, given: str | Path | None) -> Path:
    """Where the analysis file lies, or would."""
    if given is not None:
        place = Path(given)
        if not place.parent.is_dir():
            raise UserError(f"there is no folder {place.parent}, where {place.name} would lie.")
        return place
    if recorded.get("path") is None:
        raise UserError(f"where {recorded['file']} lies is not recorded; name it with --analysis, since its data lie beside it.")
    return folder.resolve() / recorded["path"]


def _what(before: dict, changed: list[str]) -> list[str]:
    """What differs from when the results were made, in sentences."""
    out = []
    old = before["versions"] | before.get("distributions", {})
    new = keys.environment() | keys.distributions()
    moved = [f"{name} {old[name]} (now {new.get(name, 'absent')})" for name in sorted(old) if old[name] != new.get(name)]
    if moved:
        out.append(f"Versions differ: {', '.join(moved[:8])}{f' and {len(moved) - 8} more' if len(moved) > 8 else ''}.")
    if "Equipoise's own sources" in changed:
        out.append("Equipoise's own sources differ from those that made the results.")
    return out
