"""Results of many refits as they come, one line each, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import json
import os
from pathlib import Path


class Ledger:
    """A file of finished jobs: a first line that says what they belong to, then one JSON object a line.

    Parameters
    ----------
    path : path, optional
        None keeps them in memory only. Jobs that belong to something else are thrown away.
    key : str
        What the jobs belong to.

    Attributes
    ----------
    results : dict of str to dict
        Finished jobs by name.
    """

    def __init__(self, path=None, key: str = ""):
        self.path = None if path is None else Path(path)
        self.results: dict[str, dict] = {}
        if self.path is None:
            return
        lines = self._lines()
        self._begun = bool(lines) and lines[0] == {"key": key}
        self._key = key
        if not self._begun:
            return
        for line in lines[1:]:
            self.results[line["job"]] = line["result"]
        # a line that was cut off by a kill must not swallow the next one
        self._write("".join(json.dumps(line) + "\n" for line in lines), "w")

    def add(self, job: str, result: dict) -> None:
        """Record a finished job; on disk when this returns."""
        self.results[job] = result
        if self.path is not None and not self._begun:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._write(json.dumps({"key": self._key}) + "\n", "w")
            self._begun = True
        if self.path is not None:
            self._write(json.dumps({"job": job, "result": result}) + "\n", "a")

    def discard(self) -> None:
        """Remove the file: what it held has found its place."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _lines(self) -> list[dict]:
        found = []
        try:
            text = self.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return found
        for line in text.splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                break
            if not isinstance(entry, dict) or not ({"job", "result"} <= set(entry) or not found):
                break
            found.append(entry)
        return found

    def _write(self, text: str, mode: str) -> None:
        target = self.path if mode == "a" else self.path.with_name(f".{self.path.name}.part")
        with target.open(mode, encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if mode == "w":
            os.replace(target, self.path)
