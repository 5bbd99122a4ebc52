"""What commands have found of a fit by refitting it: kept beside its draws, for as long as these are the same.

``checks/NAME.json`` in the results folder holds what `calibrate`, `sensitivity`, `crossvalidate` or `doubling` came to, as
plain values, with the key of the draws that it belongs to.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from . import outputs

FOLDER = "checks"


def read(folder: Path, sampling_key: str) -> dict[str, dict]:
    """Evidence in a results folder that belongs to these draws, by name: the files' whole content."""
    found = {}
    for name in sorted(outputs.intact_files(folder)):
        path = Path(name)
        if path.parent.as_posix() == FOLDER and path.suffix == ".json":
            try:
                content = json.loads((folder / path).read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
            if isinstance(content, dict) and content.get("sampling_key") == sampling_key and "found" in content:
                found[path.stem] = content
    return found


def carry(old: Path, new: Path, sampling_key: str, found: Mapping[str, dict]) -> dict[str, dict]:
    """Put evidence into the folder that results are completed in: what the old one has, and what is new.

    Returns
    -------
    dict of str to dict
        As from `read`.
    """
    kept = read(old, sampling_key)
    made = datetime.now(UTC).isoformat(timespec="seconds")
    kept |= {name: {"schema": 1, "sampling_key": sampling_key, "created": made, "found": what} for name, what in found.items()}
    kept = {name: _plain(content) for name, content in kept.items()}
    for name, content in kept.items():
        path = new / FOLDER / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return kept


def ledger_path(target: Path, name: str) -> Path:
    """Where a command keeps its finished refits until all are done."""
    return target.with_name(f"{target.name}.{name}.jsonl")


def _plain(value):
    """The same with null in place of what JSON has no number for."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
