"""A user's table and its columns: text, numbers and ids, with errors that name the column and the rows."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import pandas as pd

from .errors import UserError, list_some, nearest

# "None" is not among them: it is a common answer ("supervision: None").
MISSING_WORDS = frozenset({"", "NA", "N/A", "#N/A", "NaN", "nan", "null", "NULL", ".", "<NA>", "NaT"})
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_LOGICAL = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True)
class Table:
    """A data frame with what is needed to talk about it to the person who made it.

    Attributes
    ----------
    frame
        The data; the index is not used.
    rows : int array (n,)
        Row numbers as a spreadsheet shows them: the header is row 1.
    name
        What to call the table in a message: a file's name, or "the table".
    """

    frame: pd.DataFrame
    rows: np.ndarray
    name: str

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, name: str = "the table") -> "Table":
        """Wrap a data frame; named index levels count as columns."""
        if not isinstance(frame, pd.DataFrame):
            raise UserError(f"Expected a pandas DataFrame for {name}, not {type(frame).__name__}.")
        levels = [level for level in frame.index.names if level is not None and level not in frame.columns]
        frame = frame.reset_index(level=levels) if levels else frame
        return cls(frame, np.arange(len(frame)) + 2, name)

    @property
    def title(self) -> str:
        """The name as the beginning of a sentence."""
        return "The" + self.name[3:] if self.name.startswith("the ") else self.name

    def __len__(self) -> int:
        return len(self.frame)

    def __contains__(self, column: object) -> bool:
        return column in self.frame.columns

    def take(self, keep: np.ndarray) -> "Table":
        """The table with some of its rows (boolean or integer selection)."""
        return Table(self.frame.iloc[keep], self.rows[keep], self.name)

    def values(self, column: str, role: str) -> pd.Series:
        """One column, categorical and dictionary types undone.

        Raises
        ------
        UserError
            If there is no such column (naming the nearest), or two of that name.
        """
        if column not in self.frame.columns:
            raise UserError(
                f"{self.title} has no column {column!r} for {role}.{nearest(column, self.frame.columns)} "
                f"Its columns are: {list_some(self.frame.columns, 12)}."
            )
        values = self.frame[column]
        if isinstance(values, pd.DataFrame):
            raise UserError(f"{self.title} has {values.shape[1]} columns named {column!r}; rename all but one.")
        if isinstance(values.dtype, pd.CategoricalDtype):
            values = values.astype(values.cat.categories.dtype)
        return values

    def fail(self, problem: str, column: str, bad: np.ndarray, advice: str, values: Iterable | None = None) -> NoReturn:
        """Raise a `UserError` about the rows where `bad` is true, with the offending values if given."""
        rows = self.rows[bad]
        if values is None:
            where = f"{'row' if len(rows) == 1 else 'rows'} {list_some(rows)}"
        else:
            bad_values = np.asarray(values, dtype=object)[bad]
            where = list_some(f"{_show(v)} (row {r})" for v, r in zip(bad_values, rows, strict=True))
        raise UserError(f"{self.title}, column {column!r}: {problem}: {where}. {advice}")

    def refuse_unwritable(self, column: str, role: str, text: Iterable) -> None:
        """Raise a `UserError` at cells that no file can hold as text."""
        bad = np.array([isinstance(t, str) and not is_writable(t) for t in text], dtype=bool)
        if bad.any():
            self.fail(f"{role} holds characters that are no text", column, bad, "Correct the cells.", list(text))

    def ids(self, column: str, role: str) -> tuple[np.ndarray, np.ndarray]:
        """A column of names, as text.

        Returns
        -------
        ids : object array of str (n,)
            Stripped of surrounding blanks; whole numbers without a decimal point; "" where missing.
        missing : bool array (n,)
        """
        values = self.values(column, role)
        if pd.api.types.is_float_dtype(values.dtype) or values.dtype == object:
            text = np.array([_id_text(v) for v in values], dtype=object)
        else:
            text = values.astype(str).str.strip().to_numpy(dtype=object)
        missing = np.array([t in MISSING_WORDS for t in text], dtype=bool) | values.isna().to_numpy(dtype=bool)
        text[missing] = ""
        self.refuse_unwritable(column, role, text)
        return text, missing

    def numbers(self, column: str, role: str, *, logical: bool = False, advice: str | None = None) -> np.ndarray:
        """A column of numbers, NaN where missing.

        Parameters
        ----------
        logical
            Whether true/false is read as 1/0.

        Raises
        ------
        UserError
            At text, dates or infinite values.
        """
        values = self.values(column, role)
        parsed, bad = parse_numbers(values, logical=logical)
        advice = advice or "Write numbers with a decimal point, and leave cells empty where there is no value."
        if bad.any():
            self.fail(f"{role} must be a number, but there is text", column, bad, advice, values)
        infinite = np.isinf(parsed)
        if infinite.any():
            self.fail(f"{role} must be finite", column, infinite, advice, values)
        return parsed


def parse_numbers(values: pd.Series, *, logical: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Read numbers from a column of any type.

    Returns
    -------
    numbers : float array (n,)
        NaN where missing or not a number.
    bad : bool array (n,)
        Where there is something that is not a number.
    """
    dtype = values.dtype
    if pd.api.types.is_bool_dtype(dtype) and not logical:
        return np.full(len(values), np.nan), values.notna().to_numpy(dtype=bool)
    if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype):
        return values.to_numpy(dtype=float, na_value=np.nan), np.zeros(len(values), dtype=bool)
    missing, text = missing_text(values)
    if logical:
        text = text.map(lambda t: _LOGICAL.get(t.lower(), t))
    parsed = pd.to_numeric(text.where(~missing, None), errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    return parsed, np.isnan(parsed) & ~missing


def missing_text(values: pd.Series) -> tuple[np.ndarray, pd.Series]:
    """A column's missing cells, and all its cells as stripped text."""
    text = pd.Series([str(v).strip() for v in values], dtype=object)
    missing = values.isna().to_numpy(dtype=bool) | text.isin(MISSING_WORDS).to_numpy(dtype=bool)
    return missing, text


def is_writable(text: str) -> bool:
    """Whether files can hold a text: no NUL, no half of a surrogate pair."""
    return not _NO_TEXT.search(text)


def natural(text: str) -> tuple:
    """A sort key that counts: "ward 2" before "ward 10", and "07" before "7"."""
    parts = re.split("([0-9]+)", text)
    return tuple(int(part) if i % 2 else part for i, part in enumerate(parts)), text


def _id_text(value) -> str:
    # An integer column with one empty cell becomes float in pandas: 7.0 is still the id "7".
    if isinstance(value, float | np.floating) and value == value and float(value).is_integer():
        value = int(value)
    return str(value).strip()


def _show(value) -> str:
    if isinstance(value, float | np.floating):
        return f"{value:g}"
    return repr(value) if isinstance(value, str) else str(value)
