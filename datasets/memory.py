"""Whether there is memory enough to read a file, asked before it is read."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import UserError

# bytes that reading and checking take at the most, measured on a million rows of four columns (of the last two, on 60,000 and 300,000)
PER_ROW = 400
PER_TEXT_BYTE = 18  # of a text file, whose cells are text in memory first
PER_SHEET_BYTE = 6  # of an Excel workbook's unpacked sheets
PER_CELL = 100  # of an SPSS file
LEFT = 0.8  # of what is free: the rest is for what comes after


def refuse_too_large(path: Path, needed: float, advice: str) -> None:
    """Raise a `UserError` where a file would take more memory than there is, before the machine starts to swap."""
    free = available_memory()
    if free is not None and needed > LEFT * free:
        raise UserError(
            f"{path.name} would take about {needed / 1e9:.1f} GB of memory to read, and {free / 1e9:.1f} GB are free. {advice}"
        )


def available_memory() -> float | None:
    """Bytes that can be had without swapping, a container's limit included; None where the system does not tell."""
    found = []
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            found += [1024.0 * int(line.split()[1]) for line in file if line.startswith("MemAvailable:")]
    except OSError:
        names = getattr(os, "sysconf_names", {})
        if {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= set(names):
            found.append(float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE"))
    try:  # control groups, version 2
        names = ("memory.max", "memory.current", "memory.stat")
        limit, used, parts = (Path("/sys/fs/cgroup", name).read_text(encoding="ascii") for name in names)
        idle = dict(line.split() for line in parts.splitlines()).get("inactive_file", 0)  # of files read before, given back when asked for
        found += [float(limit) - float(used) + float(idle)] if limit.strip() != "max" else []
    except (OSError, ValueError):
        pass
    return min(found, default=None)
