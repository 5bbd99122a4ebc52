"""What results depend on, as keys: equal keys, and the work need not be done again.

Sampling and report have keys of their own, so that a new title never samples again.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SAMPLING_PACKAGES = ("pymc", "pytensor", "nutpie", "numba")
REPORT_PACKAGES = ("arviz", "matplotlib", "jinja2", "pandas")
# reports/ lies to the right of sampling, and the front door only hands over: neither can change a draw.
SAMPLING_ROOMS = ("datasets", "models", "inference")
# neither can what only looks at a fit, or refits it
NOT_SAMPLING = ("checks", "refits")


def sampling_inputs(study, model, sampling: Mapping[str, Any]) -> dict[str, Any]:
    """Everything the draws depend on.

    Parameters
    ----------
    study : Study
        Enters by its fingerprint.
    model : CapacityModel
        Enters by its full description, defaults filled in.
    sampling : mapping
        The arguments of the sampler, the seed among them.

    Returns
    -------
    dict
        Kept in ``provenance.json`` part by part, so that a later run can say what has changed.
    """
    return {
        "study": study.fingerprint,
        "model": model.to_dict(),
        "sampling": dict(sampling),
        "sources": source_digest(SAMPLING_ROOMS, NOT_SAMPLING),
        "versions": versions(SAMPLING_PACKAGES),
    }


def report_inputs(sampling_key: str, report: Mapping[str, Any], truth: Mapping[str, Any] | None) -> dict[str, Any]:
    """Everything tables, figures and the page depend on beyond the draws.

    Parameters
    ----------
    sampling_key : str
        `digest` of `sampling_inputs`.
    report : mapping
        The section ``[report]``.
    truth : mapping of str to DataFrame, optional
        True parameters of a simulated study.
    """
    return {
        "draws": sampling_key,
        "report": dict(report),
        "truth": {name: frame.to_csv() for name, frame in truth.items()} if truth else None,
        # inference/ too: a report can be written anew from older draws, with the estimands of today.
        "sources": source_digest((*SAMPLING_ROOMS, "reports")),
        "versions": versions(REPORT_PACKAGES),
    }


def digest(inputs: Mapping[str, Any]) -> str:
    """SHA-256 of plain values, whatever the order of their keys."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def plain(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The same values as JSON gives them back (tuples as lists), so that old and new can be compared."""
    return json.loads(json.dumps(inputs, default=_plain))


def changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The parts in which two sets of inputs differ, in words."""
    words = {
        "study": "the study",
        "model": "the model",
        "sampling": "[sampling]",
        "sources": "Equipoise's own sources",
        "versions": "the versions of " + ", ".join(SAMPLING_PACKAGES),
    }
    old, new = plain(old), plain(new)
    return [word for part, word in words.items() if old.get(part) != new.get(part)]


@cache
def source_digest(rooms: Iterable[str], without: Iterable[str] = ()) -> str:
    """SHA-256 over the Python sources of rooms but some of their folders, by path within the package (nothing is imported)."""
    total = hashlib.sha256()
    for room in rooms:
        # Under an editable install the rooms lie elsewhere than the front door: ask where, do not guess.
        spec = find_spec(f"{__package__}.{room}")
        for folder in map(Path, spec.submodule_search_locations if spec else ()):
            for file in sorted(folder.rglob("*.py")):
                name = file.relative_to(folder)
                if name.parts[0] not in ("papers", *without):  # papers: analyses that use the package, not part of it
                    total.update(f"{room}/{name.as_posix()}\0".encode())
                    # Line ends differ between checkouts on different systems; the program does not.
                    total.update(file.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return total.hexdigest()


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Installed versions, without importing anything; "absent" for what is not there."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def environment() -> dict[str, str]:
    """Versions worth recording beside results; more than any key depends on."""
    own = versions(("equipoise", *SAMPLING_PACKAGES, *REPORT_PACKAGES, "numpy", "scipy", "xarray"))
    return {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}", **own}


def distributions() -> dict[str, str]:
    """Versions of everything installed that Equipoise depends on, directly or not."""
    import re
    from importlib.metadata import requires

    found, waiting = {}, ["equipoise"]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            found[name] = version(name)
            lines = requires(name)
        except PackageNotFoundError:  # asked for on other systems only
            continue
        for line in lines or ():
            if "extra ==" not in line:
                waiting.append(re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0].lower().replace("_", "-"))
    return dict(sorted(found.items()))


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        return value.item()
    if isinstance(value, (tuple, set, frozenset)):
        return sorted(value) if not isinstance(value, tuple) else list(value)
    raise TypeError(f"{type(value).__name__} has no plain form")
