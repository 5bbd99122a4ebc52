"""The checks of a fit as the page shows them: a table of all, and each with its sentence, figure and numbers."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from ..inference.checks import Check
from .blocks import Fold, Picture, Section, Table, Verdict, text
from .figures.style import Drawn
from .format import MINUS, between, count, number, percent, plain, short

MOST_ROWS = 60
FOLD_FROM = 15
LONGEST = 60
# section -> its title, what is said first, and its checks
GROUPS = {
    "criticism": (
        "Does the model fit?",
        "What this model could get wrong, looked for in the answers.",
        ("predictive", "loo", "loo_pit", "cross_validation", "dropout"),
    ),
    "learnt": (
        "What the data added to the priors",
        "Where posterior and prior are alike, the data said little about that parameter, and the prior decides.",
        ("prior_predictive", "learnt", "power_scaling"),
    ),
    "sensitivity": (
        "Does the answer depend on the choices?",
        "The same question under other assumptions, each fitted anew.",
        ("sensitivity",),
    ),
    "diagnostics": (
        "Was it computed right?",
        "Whether the draws are those of the posterior, and whether the method is calibrated on studies like this one.",
        ("sampling", "doubling", "calibration"),
    ),
}
# columns that are shares or probabilities; the rest are numbers
SHARES = {"learnt", "coverage", "share"}
LABELS = {
    "score_0_100": "score (0\N{EN DASH}100)", "elpd": "log density", "pareto_k": "Pareto k", "p_above": "P(replicate above)",
    "tail": "two-sided tail", "learnt": "variance taken off", "rhat": "R-hat", "ess_bulk": "ESS, bulk", "ess_tail": "ESS, tail",
    "mcse_mean": "Monte Carlo error of the mean", "se": "standard error", "crps": "CRPS", "z": "difference in Monte Carlo errors",
}  # fmt: skip


def summary(material) -> Section | None:
    """All checks at a glance."""
    rows = [[c.title, c.verdict, told(c)] for c in material.checks.values()]
    if not rows:
        return None
    judged = [c for c in material.checks.values() if c.passed is not None]
    bad = [c for c in judged if not c.passed]
    said = f"{len(judged) - len(bad)} of {count(len(judged), 'check')} passed"
    undone = len(rows) - len(judged)
    said += f"; {undone} {'is' if undone == 1 else 'are'} not done or cannot be judged." if undone else "."
    return Section("checks", "Checks", [text(said), Table("Checks of this fit", ["question", "verdict", "answer"], rows, labels=3,
                                                          file="tables/checks.csv")])  # fmt: skip


def group(material, name: str) -> Section | None:
    """One group of checks."""
    title, first, members = GROUPS[name]
    checks = [material.checks[member] for member in members if member in material.checks]
    if not checks:
        return None
    blocks: list = [text(first)]
    for check in checks:
        mark = {True: "yes", False: "no", None: "open"}[check.passed]
        blocks.append(Verdict(check.title, check.verdict, mark, told(check)))
        if check.has_figure:
            blocks.append(Picture(figure_name(check)))
        if len(check.table):
            blocks.append(_table(check))
    return Section(name, title, blocks)


def told(check: Check) -> str:
    """A check's sentence as text of the page: names on one line, true minus signs."""
    return re.sub(r"(?<![\w.-])-(?=\d)", MINUS, plain(check.sentence))


def figure_name(check: Check) -> str:
    return f"check_{check.name}"


def drawn(check: Check) -> Drawn | None:
    """A check's figure with its words."""
    figure = check.figure()
    return None if figure is None else Drawn(figure, f"{check.title} {told(check)}", check.caption)


def files(material) -> dict[str, pd.DataFrame]:
    """The checks' tables by file name, and one of all verdicts."""
    frames = {figure_name(check): check.table for check in material.checks.values() if len(check.table)}
    verdicts = [
        {"check": c.name, "question": c.title, "passed": {True: "yes", False: "no", None: ""}[c.passed], "answer": told(c)}
        for c in material.checks.values()
    ]
    return frames | {"checks": pd.DataFrame(verdicts, columns=["check", "question", "passed", "answer"])}


def _table(check: Check):
    table = frame_table(check.table, check.title, f"tables/{figure_name(check)}.csv")
    if len(table.rows) <= FOLD_FROM:
        return table
    return Fold(f"{table.caption} \N{EN DASH} {count(len(check.table), 'row')}", [table])


def frame_table(frame: pd.DataFrame, caption: str, file: str) -> Table:
    """A data frame as a table: intervals in one cell, standardised columns left to the CSV file."""
    frame = frame[[c for c in frame if not str(c).endswith("_z")]]
    columns: list[str] = []
    cells: list[list[str]] = []
    for name in frame:
        if name in ("low", "high", "prior_low", "prior_high") and name.replace("low", "median").replace("high", "median") in frame:
            continue
        prefix = "prior_" if name == "prior_median" else ""
        if name in ("median", "prior_median") and {f"{prefix}low", f"{prefix}high"} <= set(frame):
            columns.append("prior" if prefix else "posterior" if "prior_median" in frame else "median (interval)")
            ends = zip(frame[name], frame[f"{prefix}low"], frame[f"{prefix}high"], strict=True)
            errors = frame["mcse_mean"] if "mcse_mean" in frame and not prefix else [np.nan] * len(frame)
            cells.append([between(*three, mcse=e) if np.isfinite(three).all() else "" for three, e in zip(ends, errors, strict=True)])
        else:
            columns.append(LABELS.get(name, str(name).replace("_", " ")))
            cells.append([_cell(name, value) for value in frame[name]])
    rows = [list(row) for row in zip(*cells, strict=True)][:MOST_ROWS]
    if len(frame) > MOST_ROWS:
        caption += f" (the first {MOST_ROWS} of {len(frame)}; all are in the CSV file)"
    text_first = 0
    while text_first < frame.shape[1] and not pd.api.types.is_numeric_dtype(frame.dtypes.iloc[text_first]):
        text_first += 1
    return Table(caption, columns, rows, labels=max(1, text_first), file=file)


def _cell(name: str, value) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | float | np.number):
        if not np.isfinite(value):
            return ""
        return percent(max(float(value), 0.0)) if name in SHARES else f"{value:.3f}" if name == "rhat" else number(float(value))
    return short(value, LONGEST) if value is not None and value != "" else ""
