"""Best guesses at what the columns of a file are, for a first draft of an analysis file."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from .errors import UserError, list_some
from .readers import read_table
from .table import Table, missing_text, parse_numbers

_WORDS = {
    "clinician": "clinician participant person subject respondent physician nurse employee staff doctor id pid code",
    "unit": "unit ward clinic hospital team site department dept centre center station cluster practice",
    "time": "time date day days week weeks month months year years wave visit occasion survey session period t",
    "score": "stress burnout exhaustion score compassion wellbeing fatigue satisfaction mood distress phq pss who who5 "
    "mbi ee proqol cynicism depersonalization empathy resilience fulfilment fulfillment engagement",
    "intervention": "intervention treatment treated arm on program programme training exercise exposed trt tx",
}
_WORDS = {role: frozenset(words.split()) for role, words in _WORDS.items()}
# Ranges of common scales, tried in this order: the shortest that holds all answers and whose ends are not far off.
_RANGES = (
    (0, 1),
    (0, 3),
    (0, 4),
    (1, 5),
    (0, 6),
    (1, 7),
    (0, 10),
    (0, 27),
    (0, 40),
    (10, 50),
    (0, 54),
    (0, 100),
)
# Recognised as a time, though a study is not read from them: nothing says whether the day or the month comes first.
_OTHER_DATES = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y")
_GAPS = (("day", 1.0), ("week", 7.0), ("month", 30.4), ("year", 365.0))


def guess_analysis(path: str | Path) -> dict:
    """Guess the role of each column of a survey file.

    Parameters
    ----------
    path
        A file that `Study.from_file` reads.

    Returns
    -------
    dict
        ``data`` (the file's name); ``clinician``, ``unit``, ``time``, ``time_unit``: each ``{"value", "reason"}``, the
        value None where nothing fits; ``scores``, ``interventions``, ``covariates``: from a column's name to
        ``{"reason"}``, scores also with ``range`` (low, high) and ``better``, which is always the text "TODO", since
        no column says which end of it is the good one; ``unused``: from a column's name to the reason; and ``holds``,
        ``missing_covariates``, ``repeated``: ``{"value", "reason"}``, the value "TODO" where the user must say, since
        values vary in time, are missing or stand in repeated rows, and None where there is nothing to say.

    Raises
    ------
    UserError
        If the file cannot be read, holds no data, or leaves no column for the clinician or the time.
    """
    table = read_table(path)
    if not len(table):
        raise UserError(f"{table.title} has no rows below its header.")
    columns = {str(name): _Column(table, name) for name in table.frame.columns if str(name)}
    unused = {name: "it is empty" for name, c in columns.items() if c.filled == 0}
    left = {name: c for name, c in columns.items() if name not in unused}

    clinician = _best(left, _clinician_score)
    if clinician is None:
        raise UserError(f"{table.title}: no column looks like a clinician's id (text or whole numbers that repeat).")
    person = left.pop(clinician).codes()
    time = _best(left, lambda c: _time_score(c, person))
    if time is None:
        raise UserError(
            f"{table.title}: no column looks like a time (numbers or dates that differ within a clinician)."
        )
    when = left.pop(time)
    unit = _best(left, lambda c: _unit_score(c, person))
    if unit is not None:
        left.pop(unit)
    guess = {
        "data": Path(path).name,
        "clinician": {"value": clinician, "reason": f"{len(np.unique(person))} different ids in {len(table)} rows"},
        "unit": {
            "value": unit,
            "reason": "no column groups the clinicians"
            if unit is None
            else "each clinician has only one of its values",
        },
        "time": {"value": time, "reason": when.kind},
        "time_unit": _time_unit(when, person),
        "scores": {},
        "interventions": {},
        "covariates": {},
        "unused": unused,
    }
    _share_out(left, person, guess)
    varying = [c for c in (*guess["interventions"], *guess["covariates"]) if columns[c].varies_within(person)]
    needed = bool(varying or guess["interventions"])
    guess["holds"] = _todo(needed, "interventions or covariates change from row to row", "nothing varies in time")
    gaps = [c for c in (*guess["interventions"], *guess["covariates"]) if columns[c].missing.any()]
    guess["missing_covariates"] = _todo(bool(gaps), f"empty cells in {list_some(gaps)}", "there are no empty cells")
    twice = pd.DataFrame({"person": person, "time": when.numbers}).duplicated().sum()
    guess["repeated"] = _todo(bool(twice), f"{twice} rows repeat a clinician and time", "no row repeats another")
    return guess


class _Column:
    """One column, with what its role may be told from."""

    def __init__(self, table: Table, name: str):
        values = table.values(name, "a column")
        self.name = name
        self.words = set(re.findall("[a-z]+[0-9]*|[0-9]+", re.sub("([a-z])([A-Z])", r"\1 \2", name).lower()))
        self.missing, self.text = missing_text(values)
        self.filled = int((~self.missing).sum())
        self.numbers, bad = parse_numbers(values, logical=True)
        self.is_number = not bad.any()
        self.is_date, self.kind = False, "numbers that differ within a clinician"
        if not self.is_number:
            for form in ("ISO8601", *_OTHER_DATES):
                dates = pd.to_datetime(self.text.where(~self.missing, None), format=form, errors="coerce", utc=True)
                self.is_date = bool((dates.notna().to_numpy() | self.missing).all())
                if self.is_date:
                    self.numbers = ((dates - dates.min()) / pd.Timedelta(days=1)).to_numpy(dtype=float)
                    self.kind = "dates" if form == "ISO8601" else "dates, but to be read they must be written YYYY-MM-DD"
                    break
        self.distinct = self.text[~self.missing].nunique()

    def named(self, role: str) -> bool:
        return any(word in _WORDS[role] or word.rstrip("0123456789") in _WORDS[role] for word in self.words)

    @property
    def is_whole(self) -> bool:
        there = self.numbers[~np.isnan(self.numbers)]
        return self.is_number and bool(np.all(there == np.floor(there)))

    @property
    def is_binary(self) -> bool:
        return self.is_number and self.distinct == 2 and bool(np.isin(self.numbers[~self.missing], (0, 1)).all())

    def codes(self) -> np.ndarray:
        return pd.factorize(self.text.where(~self.missing, ""))[0]

    def varies_within(self, person: np.ndarray) -> bool:
        there = pd.DataFrame({"person": person, "value": self.text})[~self.missing]
        return bool(there.drop_duplicates().duplicated("person").any())


def _best(columns: dict[str, _Column], score) -> str | None:
    scores = {name: score(column) for name, column in columns.items()}
    name = max(scores, key=scores.get, default=None)
    return name if name is not None and scores[name] > 0 else None


def _clinician_score(c: _Column) -> float:
    if c.is_date or (c.is_number and not c.is_whole) or c.missing.any() or c.is_binary:
        return 0.0
    repeats = 1 < c.distinct < c.filled
    return repeats * (
        1.0 * (not c.is_number) + 3.0 * c.named("clinician") - 2.0 * c.named("unit") - 2.0 * c.named("time")
    )


def _time_score(c: _Column, person: np.ndarray) -> float:
    if not (c.is_date or c.is_number) or c.missing.any() or not c.varies_within(person):
        return 0.0
    repeated = pd.DataFrame({"person": person, "time": c.numbers}).duplicated().mean()
    if c.is_binary:  # two waves may be called 0 and 1; other zeros and ones are a programme's
        return 1.0 if c.named("time") and not c.named("intervention") and not repeated else 0.0
    return (0.5 + 3.0 * c.is_date + 3.0 * c.named("time")) * (1.0 - repeated)


def _unit_score(c: _Column, person: np.ndarray) -> float:
    people = len(np.unique(person))
    if c.is_date or (c.is_number and not c.is_whole) or c.varies_within(person) or not 1 < c.distinct < people:
        return 0.0
    return 2.0 * c.named("unit")


def _time_unit(when: _Column, person: np.ndarray) -> dict[str, str]:
    for unit, _ in _GAPS:
        if not when.is_date and unit in {word.rstrip("s") for word in when.words}:
            return {"value": unit, "reason": f"the column is called '{when.name}'"}
    if not when.is_date:
        return {"value": "TODO", "reason": "the numbers do not say what they count: day, week, month or year"}
    order = np.lexsort((when.numbers, person))
    gaps = np.diff(when.numbers[order])[np.diff(person[order]) == 0]
    gaps = gaps[gaps > 0]
    gap = float(np.median(gaps)) if len(gaps) else 1.0
    unit = [unit for unit, days in _GAPS if days <= max(gap, 1.0)][-1]
    return {"value": unit, "reason": f"the surveys are {gap:.3g} days apart (median)"}


def _share_out(left: dict[str, _Column], person: np.ndarray, guess: dict) -> None:
    """Give the remaining columns their roles: scores by name, else the first that may be one."""
    numeric = {name: c for name, c in left.items() if c.is_number and c.distinct > 1}
    guess["interventions"] = {
        name: {"reason": "0 and 1" + (", and so it is called" if c.named("intervention") else "")}
        for name, c in numeric.items()
        if c.is_binary and (c.varies_within(person) or c.named("intervention"))
    }
    candidates = {name: c for name, c in numeric.items() if not c.is_binary and c.varies_within(person)}
    named = {name: c for name, c in candidates.items() if c.named("score")}
    chosen = named or dict(list(candidates.items())[:1])
    for name, c in chosen.items():
        guess["scores"][name] = {
            "range": _range(c.numbers),
            "better": "TODO",
            "reason": "so it is called" if named else "the first number that varies within clinicians",
        }
    for name, c in left.items():
        if name in guess["scores"] or name in guess["interventions"]:
            continue
        if name in numeric:
            guess["covariates"][name] = {"reason": "a number"}
        else:
            guess["unused"][name] = "it never changes" if c.distinct == 1 else "dates" if c.is_date else "text"


def _todo(needed: bool, why: str, why_not: str) -> dict[str, str | None]:
    return {"value": "TODO" if needed else None, "reason": why if needed else why_not}


def _range(numbers: np.ndarray) -> tuple[float, float]:
    low, high = np.nanmin(numbers), np.nanmax(numbers)
    fits = [(a, b) for a, b in _RANGES if a <= low and high <= b]
    closest = min(fits, key=lambda r: r[1] - r[0], default=(np.floor(low), np.ceil(high)))
    return float(closest[0]), float(closest[1])
