"""Tables as CSV files."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from . import checking, checklists

BLOCK = 100_000  # rows of a file that are made at a time
NOT_OF_DRAWS = ("scores", "checklist_")  # what names of tables begin with that no draws went into
QUICK_LOOK = "approximate: a quick look"


def files(material) -> dict[str, pd.DataFrame]:
    """Every table as a data frame, by file name; a quick look's say in each row what they are."""
    names = material.clinician_names
    paths = material.trajectories
    surveys = material.surveys
    score_names = np.array(list(material.scores), object)
    scores = surveys.assign(
        clinician=names[surveys["clinician"]], indicator=score_names[surveys["indicator"]]
    )[["clinician", "indicator", "time", "score"]]  # fmt: skip
    frames = {
        "population": material.population_table,
        "units": material.unit_table,
        "clinicians": material.clinician_table,
        "trajectories": paths.assign(clinician=names[paths["clinician"]])[
            ["clinician", "time", "low", "median", "high"]
        ],
        "scores": scores.rename(columns={"score": "score_0_100"}),
        "diagnostics": material.diagnostics,
        **checking.files(material),
        **checklists.files(material),
    }
    if material.interventions:
        frames["interventions"] = material.intervention_table
        frames["lever"] = material.lever_table
        frames["estimands"] = material.estimand_table
    if material.decision_table is not None:
        frames["decisions"] = material.decision_table
    if material.forecast_table is not None:
        frames["forecast"] = material.forecast_table
    if material.fit.approximate:
        frames |= {name: frame.assign(method=QUICK_LOOK) for name, frame in frames.items() if not name.startswith(NOT_OF_DRAWS)}
    return {name: frames[name] for name in sorted(frames)}


# also in the full width of East Asian keyboards, which some spreadsheets take for the same
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def _guarded(cell):
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def to_csv(frame: pd.DataFrame) -> str:
    """CSV text in which no cell and no head of text can act as a spreadsheet's formula."""
    return "".join(csv_blocks(frame))


def csv_blocks(frame: pd.DataFrame) -> Iterator[str]:
    """The same by blocks of rows, for tables that are long."""
    for begin in range(0, max(len(frame), 1), BLOCK):
        safe = frame.iloc[begin : begin + BLOCK].copy()
        for column in safe.columns[[not pd.api.types.is_numeric_dtype(d) for d in safe.dtypes]]:
            safe[column] = [_guarded(v) for v in safe[column].astype(object)]
        safe.columns = [_guarded(name) for name in safe.columns]
        yield safe.to_csv(index=False, header=begin == 0, float_format="%.8g", lineterminator="\n")
