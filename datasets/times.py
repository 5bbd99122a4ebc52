"""Time: numbers in the study's unit, or dates counted from the study's first day."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .errors import UserError
from .table import Table, missing_text, parse_numbers

# The Julian year; a month is a twelfth of it.
DAYS = {"day": 1.0, "week": 7.0, "month": 365.25 / 12, "year": 365.25}


@dataclass(frozen=True)
class TimeAxis:
    """How the study counts time.

    Attributes
    ----------
    unit : {"day", "week", "month", "year"}
    origin : pandas.Timestamp or None
        Time zero where times are dates (naive, UTC if they had a zone); None where they are numbers.
    """

    unit: str
    origin: pd.Timestamp | None

    def to_float(self, times: np.ndarray) -> np.ndarray:
        """Times since the origin in the study's unit; NaT becomes NaN."""
        if self.origin is None:
            return np.asarray(times, dtype=float)
        days = (pd.DatetimeIndex(times) - self.origin) / pd.Timedelta(days=1)
        return np.asarray(days, dtype=float) / DAYS[self.unit]


def read_survey_times(table: Table, column: str, unit: str) -> tuple[np.ndarray, TimeAxis]:
    """The survey times, as numbers, and the axis on which spells must be read too.

    Raises
    ------
    UserError
        If a time is missing, cannot be read or is infinite, or if numbers and dates are mixed.
    """
    times, kind = _parse(table, column, "the time")
    missing = pd.isna(times)
    if missing.any():
        table.fail("the time is missing", column, missing, "Give every row its time, or remove the row.")
    if kind == "number":
        _refuse_packed_dates(table, column, times)
        return times, TimeAxis(unit, None)
    axis = TimeAxis(unit, pd.Timestamp(times.min()))
    return axis.to_float(times), axis


def read_spell_times(table: Table, column: str, role: str, axis: TimeAxis) -> np.ndarray:
    """Times of spells on the axis of the surveys; NaN where the cell is empty.

    Raises
    ------
    UserError
        If they cannot be read, or if they are dates where the surveys have numbers, or the reverse.
    """
    times, kind = _parse(table, column, role, infinite=True)
    if pd.isna(times).all():
        return np.full(len(table), np.nan)
    survey_kind = "number" if axis.origin is None else "date"
    if kind != survey_kind:
        raise UserError(
            f"{table.title}, column {column!r}, holds {kind}s while the surveys' times are {survey_kind}s. "
            f"Give both as numbers (in {axis.unit}s) or both as dates."
        )
    return axis.to_float(times)


def _parse(table: Table, column: str, role: str, *, infinite: bool = False) -> tuple[np.ndarray, str]:
    values = table.values(column, role)
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return _naive(values), "date"
    numbers, not_number = parse_numbers(values)
    if not not_number.any():
        if not infinite and np.isinf(numbers).any():
            table.fail(f"{role} must be finite", column, np.isinf(numbers), "Correct it, or remove the row.", values)
        return numbers, "number"
    missing, text = missing_text(values)
    dates = pd.to_datetime(text.where(not_number, None), format="ISO8601", errors="coerce", utc=True)
    bad = not_number & dates.isna().to_numpy()
    if bad.any():
        advice = "Times are numbers, or dates written as YYYY-MM-DD (with a time of day where it matters)."
        table.fail(f"{role} cannot be read", column, bad, advice, values)
    if (~missing & ~not_number).any():
        table.fail(
            "numbers stand among the dates", column, ~missing & ~not_number, "Use one of the two in all rows.", values
        )
    return _naive(dates), "date"


def _naive(dates: pd.Series) -> np.ndarray:
    if getattr(dates.dtype, "tz", None) is not None:
        dates = dates.dt.tz_convert("UTC").dt.tz_localize(None)
    return dates.to_numpy(dtype="datetime64[us]")


def _refuse_packed_dates(table: Table, column: str, times: np.ndarray) -> None:
    # 20240131 and 20240201 are a day apart, not 70: as numbers they would be accepted and wrong.
    if not np.all((times >= 19000101) & (times <= 21001231) & (times == np.floor(times))):
        return
    packed = pd.Series(times.astype(int).astype(str))
    if pd.to_datetime(packed, format="%Y%m%d", errors="coerce").notna().all():
        raise UserError(
            f"{table.title}, column {column!r}, holds dates packed into numbers, such as {packed[0]}. "
            "Write them as dates, YYYY-MM-DD."
        )
