"""From a table of surveys to sorted occasions: one row for each clinician and time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .errors import UserError, list_some
from .score import Score, resolve_step
from .table import Table, missing_text, natural, parse_numbers
from .times import TimeAxis, read_survey_times

RESERVED = ("clinician", "time", "row")
NO_UNIT = "no unit"  # of clinicians whose every row leaves the unit blank


@dataclass(frozen=True)
class Occasions:
    """What a survey table holds, sorted by clinician and time, repeated rows settled.

    Attributes
    ----------
    table : Table
        The user's rows behind the occasions, in their order.
    clinicians : DataFrame
        Columns clinician and unit (str), in natural order of the ids.
    clinician, time : arrays (n,)
        Code into `clinicians`, and time on `axis`.
    points, repeats : arrays (n, scores)
        Scores (NaN where missing) and the number of answers behind each.
    covariates, doses : dict of arrays (n,)
        Floats, or str for categorical covariates.
    scores, step_source : dict
        Scores with their steps settled, and where these come from.
    """

    table: Table
    clinicians: pd.DataFrame
    clinician: np.ndarray
    time: np.ndarray
    axis: TimeAxis
    points: np.ndarray
    repeats: np.ndarray
    covariates: dict[str, np.ndarray]
    doses: dict[str, np.ndarray]
    scores: dict[str, Score]
    step_source: dict[str, str]


def read_occasions(
    table: Table,
    *,
    clinician: str,
    time: str,
    time_unit: str,
    unit: str | None,
    scores: dict[str, Score],
    covariates: Sequence[str],
    dose_columns: dict[str, str],
    repeated: str,
) -> Occasions:
    """Read, check and sort a survey table. Parameters as in `Study.from_table`."""
    if not len(table):
        raise UserError(f"{table.title} has no rows: the study is empty.")
    ids, missing = table.ids(clinician, "the clinician")
    if missing.any():
        table.fail("the clinician's id is missing", clinician, missing, "Fill it in, or remove the rows.")
    names, code = _code(ids)
    units = _units(table, unit, names, code)
    times, axis = read_survey_times(table, time, time_unit)
    points = {name: _read_points(table, name, score) for name, score in scores.items()}
    if np.isnan(list(points.values())).all():
        columns = list_some(repr(score.column or name) for name, score in scores.items())
        raise UserError(f"{table.title}: every score is missing (column {columns}), so there is nothing to learn from.")
    values = {name: _read_covariate(table, name) for name in covariates}
    doses = {name: _read_doses(table, column) for name, column in dose_columns.items()}
    resolved = {name: resolve_step(score, points[name]) for name, score in scores.items()}

    order = np.lexsort((np.arange(len(table)), times, code))
    rows = _Repeats(table.take(order), code[order], times[order], repeated, clinician, time)
    numbers, counts = zip(*(rows.mean(p[order]) for p in points.values()), strict=True)
    settled = {name: rows.settle(values[name][order], name) for name in covariates}
    dosed = {name: rows.agree(doses[name][order], dose_columns[name]) for name in doses}
    _need_two_times(rows.pick(times[order]), np.column_stack(numbers), table, time)
    return Occasions(
        table=table.take(order[rows.chosen]),
        clinicians=pd.DataFrame({"clinician": names, "unit": units}, dtype=str),
        clinician=rows.pick(code[order]),
        time=rows.pick(times[order]),
        axis=axis,
        points=np.column_stack(numbers),
        repeats=np.column_stack(counts),
        covariates=settled,
        doses=dosed,
        scores={name: score for name, (score, _) in resolved.items()},
        step_source={name: source for name, (_, source) in resolved.items()},
    )


class _Repeats:
    """Rows of one clinician and time, made one by the user's rule; rows come sorted, in file order within a group."""

    def __init__(self, table: Table, code, times, rule: str, clinician: str, time: str):
        new = np.append(True, (code[1:] != code[:-1]) | (times[1:] != times[:-1]))
        self.table = table
        self.rule = rule
        self.start = np.flatnonzero(new)
        self.stop = np.append(self.start[1:], len(new))
        self.chosen = self.stop - 1 if rule == "last" else self.start
        self.groups = [slice(self.start[g], self.stop[g]) for g in np.flatnonzero(self.stop - self.start > 1)]
        if self.groups and rule == "error":
            ids, cells = table.values(clinician, "the clinician"), table.values(time, "the time")
            where = list_some(
                (
                    f"{ids.iloc[g.start]} at {cells.iloc[g.start]} (rows {list_some(table.rows[g])})"
                    for g in self.groups
                ),
                3,
            )
            raise UserError(
                f"{table.title} has several rows for one clinician and time: {where}. Remove the surplus rows, or say "
                "with `repeated` what to do with them: 'mean' of the answers, the 'first' or the 'last' row."
            )
        self._averaged = [(g, np.searchsorted(self.start, g.start)) for g in self.groups] if rule == "mean" else []

    def pick(self, values: np.ndarray) -> np.ndarray:
        return values[self.chosen]

    def mean(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Means of the answers that are there, and their number (1 where there is none)."""
        out, count = self.pick(values).copy(), np.ones(len(self.start), dtype=np.int64)
        for group, i in self._averaged:
            there = values[group][~np.isnan(values[group])]
            # fsum: the mean must not depend on the order of the rows in the file.
            out[i], count[i] = (math.fsum(there) / len(there), len(there)) if len(there) else (np.nan, 1)
        return out, count

    def agree(self, values: np.ndarray, column: str) -> np.ndarray:
        """The one value that the rows of each group have, where it is not missing."""
        out = self.pick(values).copy()
        for group, i in self._averaged:
            there = pd.unique(pd.Series(values[group]).dropna())
            if len(there) > 1:
                bad = np.zeros(len(values), dtype=bool)
                bad[group] = True
                problem = "repeated rows of one clinician and time disagree, and this column cannot be averaged"
                self.table.fail(problem, column, bad, "Correct the rows, or use repeated 'first' or 'last'.", values)
            out[i] = there[0] if len(there) else out[i]
        return out

    def settle(self, values: np.ndarray, column: str) -> np.ndarray:
        return self.agree(values, column) if values.dtype == object else self.mean(values)[0]


def _code(ids: np.ndarray) -> tuple[list[str], np.ndarray]:
    names = sorted(set(ids), key=natural)
    position = {name: i for i, name in enumerate(names)}
    return names, np.array([position[i] for i in ids], dtype=np.int64)


def _units(table: Table, unit: str | None, names: list[str], code: np.ndarray) -> list[str]:
    """The unit of each clinician; a clinician's blank cells take the unit of the others."""
    if unit is None:
        return ["all"] * len(names)
    ids, missing = table.ids(unit, "the unit")
    pairs = pd.DataFrame({"code": code[~missing], "unit": ids[~missing], "row": table.rows[~missing]})
    pairs = pairs.drop_duplicates(["code", "unit"])
    moved = pairs[pairs.duplicated("code", keep=False)]
    if len(moved):
        where = list_some(
            (
                f"{names[c]} in " + " and ".join(f"{u!r} (row {r})" for u, r in zip(g["unit"], g["row"], strict=True))
                for c, g in moved.groupby("code")
            ),
            3,
        )
        raise UserError(
            f"{table.title}, column {unit!r}: a clinician stands in more than one unit: {where}. Each clinician needs "
            "one unit for the whole study: correct the rows, or give the stay in each unit an id of its own."
        )
    found = dict(zip(pairs["code"], pairs["unit"], strict=True))
    return [found.get(c, NO_UNIT) for c in range(len(names))]


def _read_points(table: Table, name: str, score: Score) -> np.ndarray:
    column = score.column or name
    points = table.numbers(column, f"the score '{name}'")
    low, high = score.range
    outside = (points < low) | (points > high)
    if outside.any():
        advice = "Correct the values or the range; leave cells empty where there is no answer (no codes such as -9)."
        table.fail(f"the score lies outside its range {low:g} to {high:g}", column, outside, advice, points)
    return points


def _read_doses(table: Table, column: str) -> np.ndarray:
    advice = "Use 0 for without, 1 for with, or a dose in between."
    dose = table.numbers(column, "an intervention", logical=True, advice=advice)
    outside = (dose < 0) | (dose > 1)
    if outside.any():
        table.fail("an intervention lies outside 0 to 1", column, outside, advice, dose)
    return dose


def _read_covariate(table: Table, column: str) -> np.ndarray:
    """Floats (NaN: missing), or an object array of text (None: missing) for a categorical covariate."""
    if column in RESERVED:
        raise UserError(f"A covariate cannot be called {column!r}, a name the study uses itself; rename the column.")
    values = table.values(column, "a covariate")
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        raise UserError(f"{table.title}, column {column!r}, holds dates; a covariate must be a number or a category.")
    parsed, bad = parse_numbers(values, logical=True)
    if not bad.any():
        return table.numbers(column, "a covariate", logical=True)
    missing, text = missing_text(values)
    # A stray word among numbers is a slip of the pen and not a category.
    if text[~np.isnan(parsed)].nunique() > text[bad].nunique():
        return table.numbers(column, "a covariate")
    text = text.where(~missing, None).to_numpy(dtype=object)
    table.refuse_unwritable(column, "a covariate", text)
    return text


def _need_two_times(times: np.ndarray, points: np.ndarray, table: Table, column: str) -> None:
    answered = times[~np.isnan(points).all(axis=1)]
    if np.all(answered == answered[0]):
        raise UserError(
            f"{table.title}, column {column!r}: all answers stand at a single time point. How capacity is replenished "
            "and depleted shows only in change: at least two time points are needed."
        )
