"""Exposure to interventions as spells: half-open stretches [start, end) of a clinician's time."""

import numpy as np
import pandas as pd

from .errors import UserError, list_some, nearest
from .table import Table
from .times import TimeAxis, read_spell_times

COLUMNS = {"clinician": np.int64, "intervention": np.int64, "start": float, "end": float, "dose": float}
_KNOWN = ("clinician", "unit", "intervention", "start", "end", "dose")


def spells_from_column(
    clinician: np.ndarray, time: np.ndarray, dose: np.ndarray, code: int, holds: str, median_gap: float
) -> pd.DataFrame:
    """Turn the doses in the rows of a survey table into spells.

    Parameters
    ----------
    clinician, time, dose : arrays (n,)
        Sorted by clinician and time; doses from 0 to 1.
    code
        The intervention's code.
    holds : {"before", "after"}
        Whether a row's dose describes [previous time, this time), the first row's being one median gap long, or
        [this time, next time), the last row's being without end.
    median_gap
        Median time between successive occasions of a clinician.
    """
    if holds == "before":
        first = np.append(True, clinician[1:] != clinician[:-1])
        start = np.where(first, time - median_gap, np.append(np.nan, time[:-1]))
        end = time
    else:
        last = np.append(clinician[1:] != clinician[:-1], True)
        start = time
        end = np.where(last, np.inf, np.append(time[1:], np.nan))
    on = dose > 0
    return pd.DataFrame(
        {"clinician": clinician[on], "intervention": code, "start": start[on], "end": end[on], "dose": dose[on]}
    ).astype(COLUMNS)


def read_spells(
    table: Table, clinicians: pd.DataFrame, interventions: dict[str, int], axis: TimeAxis, only: str | None = None
) -> pd.DataFrame:
    """Read a user's table of spells.

    Parameters
    ----------
    table
        Columns clinician or unit, start, end (empty: still running), and optionally intervention and dose (1 where
        absent or empty).
    clinicians
        The study's clinicians and their units; a unit's spell is given to each of its clinicians.
    interventions
        Code of each intervention.
    axis
        The surveys' time axis; the spells' times are read on the same.
    only
        The intervention the table is for; rows that name another are left out. None: every row must name one.

    Returns
    -------
    DataFrame
        As `Study.spells`, not yet sorted.

    Raises
    ------
    UserError
        At unknown columns, people, units or interventions, unreadable times or doses, spells that end before they
        start, and spells of one clinician and intervention that overlap.
    """
    _check_columns(table, only)
    if "intervention" in table:
        names, missing = table.ids("intervention", "the intervention")
        if missing.any():
            table.fail("the intervention is missing", "intervention", missing, "Fill it in, or remove the rows.")
        if only is not None:
            if only not in names:
                raise UserError(f"{table.title}, column 'intervention', has no row for '{only}'.{nearest(only, names)}")
            table, names = table.take(names == only), names[names == only]
        code = np.array([interventions[name] for name in names], dtype=np.int64)
    else:
        code = np.full(len(table), interventions[only], dtype=np.int64)

    start = read_spell_times(table, "start", "the start of a spell", axis)
    end = read_spell_times(table, "end", "the end of a spell", axis)
    unstarted = ~np.isfinite(start)
    if unstarted.any():
        advice = "Give every spell the time at which it starts (which may lie before the first survey)."
        table.fail("the start of a spell is missing or not finite", "start", unstarted, advice)
    end = np.where(np.isnan(end), np.inf, end)
    backwards = end <= start
    if backwards.any():
        advice = "A spell runs from its start up to, not including, its end; leave the end empty while it is running."
        table.fail("a spell ends at or before its start", "end", backwards, advice)
    dose = _read_dose(table)

    row, clinician = _expand(table, clinicians)
    spells = pd.DataFrame(
        {"clinician": clinician, "intervention": code[row], "start": start[row], "end": end[row], "dose": dose[row]}
    ).astype(COLUMNS)
    _refuse_overlap(spells, table.rows[row], table, clinicians, {c: name for name, c in interventions.items()})
    return spells[spells["dose"] > 0]


def canonical_spells(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Sort all spells by clinician, intervention and start, and join those that touch and have the same dose."""
    if not parts:
        return pd.DataFrame({name: np.empty(0, dtype) for name, dtype in COLUMNS.items()})
    spells = pd.concat(parts, ignore_index=True).sort_values(["clinician", "intervention", "start"], ignore_index=True)
    before = spells.shift(1)
    joined = (
        (spells["clinician"] == before["clinician"])
        & (spells["intervention"] == before["intervention"])
        & (spells["start"] == before["end"])
        & (spells["dose"] == before["dose"])
    )
    runs = spells.groupby((~joined).cumsum().to_numpy())
    whole = runs.agg(
        {"clinician": "first", "intervention": "first", "start": "first", "end": "last", "dose": "first"}
    ).reset_index(drop=True)
    return whole.astype(COLUMNS)


def intervention_names(table: Table) -> list[str]:
    """The interventions that a table of spells names, sorted."""
    names, missing = table.ids("intervention", "the intervention")
    return sorted(set(names[~missing]))


def _check_columns(table: Table, only: str | None) -> None:
    for column in table.frame.columns:
        hint = nearest(column, _KNOWN)
        if column not in _KNOWN and hint:
            known = ", ".join(_KNOWN)
            raise UserError(f"{table.title} (spells) has an unknown column {column!r}.{hint} Known: {known}.")
    if ("clinician" in table) == ("unit" in table):
        found = "both" if "clinician" in table else "neither"
        raise UserError(
            f"{table.title} (spells) needs a column 'clinician' or a column 'unit', and has {found}. "
            f"Its columns are: {list_some(table.frame.columns, 12)}."
        )
    for column in ("start", "end") if only is not None else ("intervention", "start", "end"):
        table.values(column, "the spells")
    if not len(table):
        raise UserError(f"{table.title} (spells) has no rows.")


def _read_dose(table: Table) -> np.ndarray:
    if "dose" not in table:
        return np.ones(len(table))
    dose = table.numbers("dose", "the dose")
    dose = np.where(np.isnan(dose), 1.0, dose)
    outside = (dose < 0) | (dose > 1)
    if outside.any():
        table.fail("the dose lies outside 0 to 1", "dose", outside, "1 is the full intervention.", dose)
    return dose


def _expand(table: Table, clinicians: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a row of the table and a clinician whom it concerns."""
    who = "clinician" if "clinician" in table else "unit"
    ids, missing = table.ids(who, f"the {who}")
    if missing.any():
        table.fail(f"the {who} is missing", who, missing, "Fill it in, or remove the rows.")
    members = {name: group.to_numpy() for name, group in clinicians.index.to_series().groupby(clinicians[who])}
    unknown = np.array([name not in members for name in ids])
    if unknown.any():
        hint = nearest(ids[unknown][0], members)
        table.fail(f"the {who} has no surveys", who, unknown, f"Correct the name, or remove the rows.{hint}", ids)
    found = [members[name] for name in ids]
    return np.repeat(np.arange(len(ids)), [len(f) for f in found]), np.concatenate(found)


def _refuse_overlap(
    spells: pd.DataFrame, rows: np.ndarray, table: Table, clinicians: pd.DataFrame, names: dict
) -> None:
    order = np.lexsort((spells["start"], spells["intervention"], spells["clinician"]))
    s, rows = spells.iloc[order], rows[order]
    same = (s["clinician"].diff() == 0) & (s["intervention"].diff() == 0)
    clash = np.flatnonzero((same & (s["start"] < s["end"].shift(1))).to_numpy())
    if not len(clash):
        return
    pairs = {
        (int(min(rows[i - 1 : i + 1])), int(max(rows[i - 1 : i + 1]))): (
            f"{names[s['intervention'].iloc[i]]} for {clinicians['clinician'].iloc[s['clinician'].iloc[i]]}"
        )
        for i in reversed(clash)
    }
    where = list_some((f"{who} (rows {a} and {b})" for (a, b), who in sorted(pairs.items())), 3)
    raise UserError(
        f"{table.title}: spells of one clinician and intervention overlap: {where}. "
        "Each must end before the next one starts; state a stronger exposure by its dose."
    )
