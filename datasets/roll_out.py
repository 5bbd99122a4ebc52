"""Dates and planned spells on a study's own time axis, for forecasts."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from .errors import UserError, is_number
from .readers import read_table
from .spells import canonical_spells, read_spells
from .table import Table
from .times import TimeAxis


def time_of(study, when, what: str = "start") -> float:
    """A stated date or number as a time of the study.

    Raises
    ------
    UserError
        If it cannot be read, or is a date where the surveys have numbers, or the reverse.
    """
    if study.origin is None:
        if not is_number(when):
            shown = when.isoformat() if hasattr(when, "isoformat") else repr(when)
            raise UserError(f"{what} must be a number of {study.time_unit}s, as the surveys' times are; got {shown}.")
        return float(when)
    if is_number(when):
        raise UserError(f"{what} must be a date, such as 2024-04-03, as the surveys' times are; got {when!r}.")
    try:
        date = pd.to_datetime(str(when), format="ISO8601", utc=True).tz_localize(None)
    except (ValueError, TypeError):
        date = pd.NaT
    if pd.isna(date):  # "" and "NaT" are read as a missing date
        raise UserError(f"{what} must be a date written as YYYY-MM-DD; got {when!r}.")
    return float(TimeAxis(study.time_unit, study.origin).to_float([date])[0])


def read_roll_out(study, spells) -> pd.DataFrame:
    """Planned spells, as `Study.spells` holds them.

    Parameters
    ----------
    spells : DataFrame or path
        Columns clinician or unit, intervention (unless the study has one only), start, end (empty: no end), dose.

    Raises
    ------
    UserError
        As for the study's own spells, and for interventions that the study does not have.
    """
    table = read_table(spells) if isinstance(spells, str | Path) else Table.from_frame(spells, "the planned roll-out")
    codes = {name: k for k, name in enumerate(study.interventions)}
    if not codes:
        raise UserError(f"{table.title}: the study has no intervention whose roll-out could be planned.")
    only = None
    if "intervention" in table:
        names, missing = table.ids("intervention", "the intervention")
        unknown = pd.array([name not in codes for name in names], dtype=bool) & ~missing
        if unknown.any():
            known = ", ".join(codes)
            table.fail("the study has no such intervention", "intervention", unknown, f"It has: {known}.", names)
    elif len(codes) == 1:
        only = study.interventions[0]
    else:
        raise UserError(f"{table.title} needs a column 'intervention': the study has {', '.join(codes)}.")
    axis = TimeAxis(study.time_unit, study.origin)
    return canonical_spells([read_spells(table, study.clinicians, codes, axis, only=only)])
