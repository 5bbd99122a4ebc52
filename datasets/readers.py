"""Files of surveys and spells, read so that ids stay text and errors can name the rows of the file."""

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np
import pandas as pd

from .errors import UserError, list_some, nearest
from .memory import PER_CELL, PER_ROW, PER_SHEET_BYTE, PER_TEXT_BYTE, refuse_too_large
from .table import Table

AS_PARQUET = "Save it as Parquet with the columns that are needed, which takes far less, or use a machine with more memory."
_DECIMAL_COMMA = re.compile(r"\s*[+-]?[0-9]+,[0-9]+\s*")


def read_table(path: str | Path, columns: Iterable[str] = ()) -> Table:
    """Read a file with one header row.

    Parameters
    ----------
    path
        Ends in .csv, .tsv or .txt (separated by commas, semicolons or tabs), .parquet, .xlsx (first sheet), .sav or
        .zsav.
    columns
        Those that are wanted: of a Parquet file that has them all, only these are read.

    Returns
    -------
    Table
        Named after the file. Cells of text files are text; empty rows are left out, but counted in the row numbers.

    Raises
    ------
    UserError
        If there is no such file, if it cannot be read, or if it would take more memory than there is.
    """
    path = Path(path)
    if not path.is_file():
        folder = path.parent
        siblings = [p.name for p in folder.iterdir() if p.is_file()] if folder.is_dir() else []
        if path.is_dir():
            inside = sorted(p.name for p in path.iterdir() if p.suffix.lower() in _READERS)
            found = f" It holds {list_some(inside, 3)}." if inside else ""
            raise UserError(f"{path} is a folder; name the data file in it.{found}")
        raise UserError(f"The file {path} does not exist.{nearest(path.name, siblings)}")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(
            f"{path.name}: files ending in '{path.suffix}' cannot be read. "
            f"Save it as one of {', '.join(_READERS)} (CSV works everywhere)."
        )
    return reader(path, list(columns)) if reader is _read_parquet else reader(path)


def is_readable_name(text: str) -> bool:
    """Whether text looks like the path of a file that `read_table` reads."""
    return Path(text).suffix.lower() in _READERS


def read_tables(interventions: object, table: Table) -> object:
    """Replace paths among the values of `interventions` by the tables they name; columns of `table` come first."""
    if not isinstance(interventions, Mapping):
        return interventions
    return {
        name: read_table(given)
        if isinstance(given, Path) or (isinstance(given, str) and given not in table and is_readable_name(given))
        else given
        for name, given in interventions.items()
    }


def _read_text(path: Path) -> Table:
    refuse_too_large(path, PER_TEXT_BYTE * path.stat().st_size, AS_PARQUET)
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-16" if raw[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")
    if "\0" in text:
        raise UserError(f"{path.name} is not a text file in UTF-8, UTF-16 or Windows-1252 (it holds NUL characters); save it as UTF-8.")
    head = text.lstrip("\r\n").split("\n", 1)[0]
    separator = max(",;\t", key=head.count)
    try:
        records = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise UserError(f"{path.name} cannot be read as a table ({error}): look for an unclosed quote.") from None
    filled = [(row, cells) for row, cells in enumerate(records, start=1) if any(c.strip() for c in cells)]
    if not filled:
        raise UserError(f"{path.name} is empty.")
    header = [name.strip() for name in filled[0][1]]
    while header and not header[-1]:
        header.pop()
    width = len(header)
    for row, cells in filled[1:]:
        if any(c.strip() for c in cells[width:]):
            raise UserError(
                f"{path.name}, row {row}, has {len(cells)} cells while the header has {width}. "
                "Put quotation marks around text that contains the separator."
            )
    body = [(cells + [""] * (width - len(cells)))[:width] for _, cells in filled[1:]]
    if separator == ";":
        # Where the semicolon separates, the comma is the decimal sign (most of continental Europe).
        body = [[c.replace(",", ".") if _DECIMAL_COMMA.fullmatch(c) else c for c in cells] for cells in body]
    rows = np.array([row for row, _ in filled[1:]], dtype=int)
    return _table(path, pd.DataFrame(body, columns=header, dtype=str), rows)


def _read_excel(path: Path) -> Table:
    # Read without a header, so that pandas neither renames columns nor hides how many rows stand above.
    try:
        with ZipFile(path) as book:
            large = [entry.file_size for entry in book.infolist() if entry.filename.startswith(("xl/worksheets/", "xl/sharedStrings"))]
        refuse_too_large(path, PER_SHEET_BYTE * sum(large), AS_PARQUET)
        cells = pd.read_excel(path, header=None, dtype=object, keep_default_na=False, na_values=[""])
    except UserError:
        raise
    except (BadZipFile, ValueError, KeyError, OSError) as error:
        raise UserError(f"{path.name} cannot be read as an Excel workbook ({error}). Save it as CSV.") from None
    filled = np.flatnonzero(cells.notna().any(axis=1))
    if not len(filled):
        raise UserError(f"{path.name}: the first sheet is empty.")
    header = cells.iloc[filled[0]]
    named = header.notna().to_numpy()
    frame = cells.iloc[filled[1:], named].reset_index(drop=True)
    frame.columns = [str(name).strip() for name in header[named]]
    return _table(path, frame, filled[1:] + 1)


def _read_parquet(path: Path, columns: list[str]) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
        chosen = columns if columns and set(columns) <= set(schema.names) else None
        text = [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
        advice = "Keep only the rows that are needed, or use a machine with more memory."
        refuse_too_large(path, rows * (PER_ROW + 16 * len(chosen or schema.names)), advice)
        # ids and units stand there many times over: as categories they take four bytes a row
        frame = pd.read_parquet(path, columns=chosen, read_dictionary=text)
    except UserError:
        raise
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path.name} cannot be read as Parquet ({error}).") from None
    return Table.from_frame(frame, path.name)


def _read_spss(path: Path) -> Table:
    try:
        import pyreadstat
    except ImportError:
        raise UserError(
            f"{path.name}: to read SPSS files install pyreadstat (pip install 'equipoise[spss]'), or save it as CSV."
        ) from None
    try:
        _, told = pyreadstat.read_sav(path, metadataonly=True)
        refuse_too_large(path, (told.number_rows or 0) * (PER_ROW + PER_CELL * told.number_columns), AS_PARQUET)
        frame, _ = pyreadstat.read_sav(path)
    except UserError:
        raise
    except (pyreadstat.ReadstatError, OSError) as error:
        raise UserError(f"{path.name} cannot be read as an SPSS file ({error}).") from None
    return Table.from_frame(frame, path.name)


def _table(path: Path, frame: pd.DataFrame, rows: np.ndarray) -> Table:
    twice = frame.columns[frame.columns.duplicated()].unique()
    twice = [name for name in twice if name]
    if twice:
        raise UserError(f"{path.name} has several columns named {list_some(map(repr, twice))}; rename all but one.")
    return Table(frame, rows, path.name)


_READERS: dict[str, Callable[..., Table]] = {
    ".csv": _read_text,
    ".tsv": _read_text,
    ".txt": _read_text,
    ".parquet": _read_parquet,
    ".xlsx": _read_excel,
    ".sav": _read_spss,
    ".zsav": _read_spss,
}
