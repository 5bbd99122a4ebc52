"""Random bad inputs: a sound study on disk, and what can be wrong with its table and its analysis file.

Every choice comes from the generator given, so that a seed, or Hypothesis, tells which input it was.
"""

import csv
import datetime
import io
import json
import math
import re
from pathlib import Path

import pandas as pd

HEADER = ["id", "ward", "week", "stress", "mood", "sleep", "role", "programme"]
SOUND = {
    "schema": 1,
    "study": {
        "data": "survey.csv", "clinician": "id", "unit": "ward", "time": "week", "time_unit": "week",
        "covariates": ["sleep", "role"], "holds": "before", "missing_covariates": "carry", "carry_limit": 6.0, "repeated": "mean",
        "scores": {
            "stress": {"range": [0, 10], "better": "lower", "step": 1.0},
            "wellbeing": {"range": [0.0, 5.0], "better": "higher", "column": "mood"},
        },
    },
    "interventions": {
        "mindfulness": {"column": "programme", "lever": "both", "shape": "ramp", "fixed": {"onset": 4.0}},
        "debriefing": {"spells": "spells.csv", "shape": "step"},
    },
    "model": {
        "replenishment": "sleep + C(role)", "depletion": "log(sleep)", "start": "displaced", "spread": "free", "secular": "linear",
        "varying": "none", "priors": {"half_life": {"median": 4.0, "factor": 2.0}, "error_sd": {"median": 8.0, "factor": 2.0}},
    },
    "sampling": {"draws": 20, "tune": 20, "chains": 2, "seed": 3, "target_accept": 0.9, "compare_spreads": False},
    "estimands": {"horizon": 12.0, "threshold": 40.0, "points": "capacity", "by": ["unit"], "show": ["capacity_change"],
                  "comparisons": [["mindfulness", "debriefing"]], "target": {"column": "role", "shares": {"nurse": 0.5, "doctor": 0.5}}},
    "decisions": {"worthwhile": 3.0, "points": "capacity", "costs": {"mindfulness": 100.0}},
    "forecast": {"start": 8.0, "horizon": 10.0},
    "sensitivity": {"delta": 5.0},
    "report": {"title": "Ward programme", "interval": 0.89, "clinicians_shown": 3},
}  # fmt: skip

CELLS = [
    "", " ", "NA", "nan", "NaT", "inf", "-inf", "Infinity", "1e400", "-1e308", "1e-320", "0x10", "1_000", "1,5", "1.5.2", "--1", "+",
    "9" * 400, "2024-02-30", "2024-01-05", "05.01.2024", "20240105", "0001-01-01", "9999-12-31", "2262-04-12T00:00", "2024-W05",
    "12:30", "2024-01-05T25:00Z", "2024-01-05+14:00", "true", "FALSE", "None", "=1+1", "=cmd|' /C calc'!A0", "+1", "-1", "@x",
    "<script>alert(1)</script>", '"', "'", "\\", "a\nb", "a\r\nb", "a\tb", "\x00", "\x1b[31m", "\u202eabc", "\ufeff", "٣", "½", "🙂", "é",
    "e\u0301", "x" * 5000, "1" * 40, "1.0", "01", "1 ", "-0", "-9", "99", "1e3", "1e9", "1e16", "3.0000000001", "#REF!",
]  # fmt: skip
NAMES = [*CELLS, "clinician", "time", "row", "unit", "id ", "ID", "Id", "week", "sleep:role", "Intercept", "__class__", "`x`", "a/b",
         ".", "..", "all", "no unit"]  # fmt: skip
TEXTS = [
    *NAMES, "TODO", "todo: x", "../../etc/passwd", "survey.csv/x", "absent.csv", "survey.xlsx", "http://x/y.csv", "con", "a" * 300 + ".csv",
    "before", "after", "day", "month", "error", "carry", "first", "example", "asip", "stepped_wedge", "ramp", "pulse", "both",
    "replenishment", "depletion", "free", "stationary", "unit", "clinician", "periods", "spline", "score", "capacity",
    "sleep*role", "poly(sleep, 3)", "bs(sleep, df=40)", "bs(sleep, df=2)", "center(role)", "log(stress)", "scale(sleep)*C(role)",
    "sleep:sleep", "sleep - sleep", "exp(exp(exp(sleep)))", "poly(role, 2)", "C(sleep)", "log(sleep - 100)", "1", "0", "sleep +",
    "__import__('os').system('touch owned')", "I(open('owned', 'w'))", "{open('owned', 'w')}",
]  # fmt: skip
TABLE_FAULTS = ["empty", "one", "few", "constant", "drop", "twice", "longer", "shorter", "shuffled", "transposed", "repeated", "wide"]
WHERE = ["cells"] * 4 + ["value"] * 4 + ["key", "header", "spells"] * 2 + ["table", "bytes", "text", "kind"]
KEYS = ["column", "spells", "shape", "fixed", "range", "better", "step", "data", "dataset", "unit", "periods", "selection", "randomised",
        "level", "left_out", "secular_lever", "split_covariates", "interventions", "design", "roll_out", "priors", "x", "", "Title",
        "shares", "by", "costs", "tune", "mindfulness", "stress"]  # fmt: skip
VALUES = [
    0, 1, -1, 2, 3, 10, 2**31, 2**63 - 1, 2**63, -(2**70), 10**40, 0.0, 0.5, -0.5, 1.0, 1e-300, 1e300, 1e16, math.inf, -math.inf, math.nan,
    True, False, [], [0], [10, 0], [0, 0], [0, 10, 20], [1e308, -1e308], [-1e308, 1e308], ["a"], ["sleep"], ["sleep", "sleep"], [[]],
    [["mindfulness"], ["mindfulness", "mindfulness"]], [["none"], []], [None], {}, {"a": 1}, {"median": -1.0, "factor": 0.5},
    {"median": 1e300, "factor": 1e300}, {"mean": 0.0, "sd": 0.0}, {"lower": 5.0, "upper": 1.0}, {"family": "normal", "mean": 0, "sd": 1},
    {"a": {"b": {"c": []}}}, datetime.date(2024, 1, 5), datetime.datetime(2024, 1, 5, 12, tzinfo=datetime.UTC), datetime.time(7, 30),
]  # fmt: skip


def survey(rng) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a sound survey of a few clinicians."""
    rows = [
        [f"c{i:02d}", f"ward {i % 3}", str(week), str(rng.randrange(11)), str(rng.randrange(6)), str(round(rng.uniform(4, 9), 1)),
         ("nurse", "doctor")[i % 2], str(int(week > 4 + 2 * (i % 3)))]
        for i in range(rng.choice([6, 8]))
        for week in range(0, 14, 2)
    ]  # fmt: skip
    return list(HEADER), rows


def write_input(folder: Path, rng, faults: int | None = None) -> list[str]:
    """Put a study with random faults into a folder: ``analysis.toml`` and the files that it names.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    rng : random.Random
    faults : int, optional
        How many things to spoil; one to three by default, 0 gives a sound study.

    Returns
    -------
    list of str
        What was spoilt, in words.
    """
    folder.mkdir(parents=True, exist_ok=True)
    header, rows = survey(rng)
    spells = (["unit", "start", "end", "dose"], [["ward 0", "2", "6", "1"], ["ward 1", "5", "", "0.5"]])
    content = json.loads(json.dumps(SOUND))
    for section in ("interventions", "estimands", "decisions", "forecast", "sensitivity"):
        if rng.random() < 0.4:
            del content[section]
    if "interventions" not in content:
        content = {key: value for key, value in content.items() if key not in ("estimands", "decisions", "forecast")}
    told, raw, text = [], None, None
    for _ in range(rng.choice([1, 1, 1, 2, 3]) if faults is None else faults):
        what = rng.choice(WHERE)
        told.append(what)
        if what == "cells":
            _spoil_cells(rng, rows)
        elif what == "table":
            header, rows = _spoil_table(rng, header, rows)
        elif what == "header":
            _spoil_header(rng, header, content)
        elif what == "value":
            _spoil_value(rng, content)
        elif what == "key":
            _spoil_key(rng, content)
        elif what == "spells":
            _spoil_cells(rng, spells[1]) if rng.random() < 0.7 else _spoil_header(rng, spells[0], {})
        elif what == "kind":
            content.setdefault("study", {})
            if isinstance(content["study"], dict):
                content["study"]["data"] = _other_kind(folder, rng, header, rows)
        else:
            raw, text = (rng, text) if what == "bytes" else (raw, rng)
    (folder / "spells.csv").write_bytes(_csv(*spells, ",", "\n").encode("utf-8", "surrogatepass"))
    (folder / "survey.csv").write_bytes(_encoded(rng, header, rows, spoil=raw is not None))
    toml = dumps(content)
    (folder / "analysis.toml").write_bytes(_spoil_text(rng, toml) if text else toml.encode("utf-8", "surrogatepass"))
    return told


def _spoil_cells(rng, rows) -> None:
    column = rng.randrange(len(rows[0])) if rows and rows[0] else 0
    for _ in range(rng.choice([1, 1, 2, 5, 200])):
        if rows and rows[0]:
            row = rng.choice(rows)
            place = column if rng.random() < 0.7 else rng.randrange(len(row) or 1)
            if place < len(row):
                row[place] = rng.choice(CELLS)


def _spoil_table(rng, header, rows):
    how = rng.choice(TABLE_FAULTS)
    width = len(header) or 1
    at = rng.randrange(width)
    if how == "empty":
        rows = []
    elif how == "one":
        rows = rows[:1]
    elif how == "few":
        rows = rows[: rng.randrange(9)]
    elif how == "constant":
        rows = [[*row[:at], *rows[0][at : at + 1], *row[at + 1 :]] for row in rows]
    elif how == "drop":
        header, rows = header[:at] + header[at + 1 :], [row[:at] + row[at + 1 :] for row in rows]
    elif how == "twice":
        header, rows = [*header, *header[at : at + 1]], [[*row, *row[at : at + 1]] for row in rows]
    elif how == "longer":
        rows = [*rows, ["x"] * (width + rng.randrange(1, 4))]
    elif how == "shorter":
        rows = [*rows, ["c00"]]
    elif how == "shuffled":
        rows = [rng.sample(row, len(row)) for row in rows]
    elif how == "transposed":
        rows = [list(cells) for cells in zip(*rows, strict=False)]
    elif how == "repeated":
        rows = rows + rows[: rng.randrange(1, 20)]
    else:
        header, rows = header + [f"v{i}" for i in range(300)], [row + ["0"] * 300 for row in rows]
    return header, rows


def _spoil_header(rng, header, content) -> None:
    """Other names for columns, known to the analysis file or not."""
    for _ in range(rng.choice([1, 1, 3])):
        if not header:
            return
        at = rng.randrange(len(header))
        old, header[at] = header[at], rng.choice(NAMES)
        if rng.random() < 0.7:
            _rename(content, old, header[at])


def _rename(node, old, new) -> None:
    for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
        if isinstance(value, dict | list):
            _rename(value, old, new)
        elif value == old:
            node[key] = new


def _places(node, path=()):
    """Every key of the analysis file, with the table that it stands in."""
    for key, value in list(node.items()):
        yield node, key
        if isinstance(value, dict):
            yield from _places(value, (*path, key))


def _random_value(rng):
    return rng.choice(VALUES) if rng.random() < 0.6 else rng.choice(TEXTS)


def _spoil_value(rng, content) -> None:
    places = [(table, key) for table, key in _places(content) if not isinstance(table[key], dict)] or list(_places(content))
    if places:
        table, key = rng.choice(places)
        table[key] = _random_value(rng)


def _spoil_key(rng, content) -> None:
    places = list(_places(content))
    if not places:
        return
    table, key = rng.choice(places)
    how = rng.choice(["drop", "rename", "add", "swap", "known"])
    if how == "drop":
        del table[key]
    elif how == "rename":
        table[rng.choice([key[:-1], key + "s", key.upper(), rng.choice(NAMES)])] = table.pop(key)
    elif how == "swap":
        other, its = rng.choice(places)
        table[key], other[its] = json.loads(json.dumps([other[its], table[key]], default=str))
    else:
        table[rng.choice(KEYS) if how == "known" else rng.choice(NAMES)] = _random_value(rng)


def _spoil_text(rng, text: str) -> bytes:
    """The analysis file damaged as text: cut, doubled, in another encoding, with bytes that are none."""
    raw = text.encode("utf-8", "surrogatepass")
    at = rng.randrange(len(raw) + 1)
    how = rng.choice(["cut", "lines", "doubled", "insert", "encoding", "deep", "bom", "random"])
    if how == "cut":
        return raw[:at]
    if how == "lines":
        lines = raw.splitlines(keepends=True)
        return b"".join(rng.sample(lines, len(lines)))
    if how == "doubled":
        return raw + raw[at:]
    if how == "insert":
        return raw[:at] + rng.choice([b"\xff", b"\x00", b"[", b"]", b'"', b"=", b"'''", b"#", b"\r", b"\\", b"\n[study]\n"]) + raw[at:]
    if how == "encoding":
        return text.encode(rng.choice(["utf-16", "utf-32", "cp1252", "latin-1"]), "replace")
    if how == "deep":
        return raw + b"\nx = " + b"[" * 3000
    if how == "bom":
        return b"\xef\xbb\xbf" + raw.replace(b"\n", b"\r\n")
    return bytes(rng.randrange(256) for _ in range(rng.randrange(200)))


def _csv(header, rows, separator, end) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator=end).writerows([header, *rows])
    return out.getvalue()


def _encoded(rng, header, rows, spoil: bool) -> bytes:
    if not spoil:
        return _csv(header, rows, ",", "\n").encode("utf-8", "surrogatepass")
    text = _csv(header, rows, rng.choice(",;\t|"), rng.choice(["\n", "\r\n", "\r"]))
    raw = text.encode(rng.choice(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252", "shift_jis"]), "replace")
    at = rng.randrange(len(raw) + 1)
    how = rng.choice(["as it is", "cut", "insert", "random", "nothing"])
    if how == "cut":
        return raw[:at]
    if how == "insert":
        return raw[:at] + rng.choice([b"\x00", b"\xff\xfe", b'"', b'""', b"\n\n\n", b"\r", b",,,,,,,,,,,,", b"\x1a"]) + raw[at:]
    if how == "random":
        return bytes(rng.randrange(256) for _ in range(rng.randrange(400)))
    return b"" if how == "nothing" else raw


_DAY = datetime.date(2024, 1, 5)
_ODD = [None, True, 7, 7.5, "7", b"7", [1, 2], {"a": 1}, _DAY, pd.Timestamp("2024-01-05", tz="UTC"), pd.Timedelta(days=3), 2**62, math.inf]


def _other_kind(folder: Path, rng, header, rows) -> str:
    """The survey as another kind of file, sound or not; returns its name."""
    rows = [(row + [""] * len(header))[: len(header)] for row in rows]
    frame = pd.DataFrame(rows, columns=range(len(header)), dtype=object)
    for at in range(len(header)):
        if rng.random() < 0.7:
            numbers = pd.to_numeric(frame[at], errors="coerce")
            frame[at] = numbers if numbers.notna().all() or rng.random() < 0.1 else frame[at]
    if rng.random() < 0.5 and len(header):
        at, kind = rng.randrange(len(header)), rng.choice(_ODD)
        frame[at] = [kind if rng.random() < 0.5 else value for value in frame[at]] if rng.random() < 0.4 else [kind] * len(frame)
    name = rng.choice(["survey.parquet", "survey.xlsx", "survey.sav", "survey.zsav", "survey.tsv", "survey.docx", "survey"])
    path = folder / name
    try:
        if name.endswith("parquet") and rng.random() < 0.8:
            frame.set_axis([re.sub("[\ud800-\udfff]", "", h) for h in header], axis=1).to_parquet(path)
        elif name.endswith("xlsx") and rng.random() < 0.8:
            frame.set_axis(header, axis=1).to_excel(path, index=False)
        else:
            head = rng.choice([b"", b"PK\x03\x04", b"$FL2", b"PAR1", b"\x00" * 50, b"a,b\n1,2\n"])
            path.write_bytes(head + bytes(rng.randrange(256) for _ in range(60)))
    except Exception:  # what the libraries refuse to write is no input
        path.write_bytes(b"PK\x03\x04" + b"\x00" * 30)
    if rng.random() < 0.2 and path.stat().st_size:
        path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])
    return name


def dumps(content: dict, path: tuple = ()) -> str:
    """TOML text of nested tables; what TOML has no word for becomes text."""
    lines = [f"{_key(k)} = {_toml(v)}" for k, v in content.items() if not isinstance(v, dict)]
    if path:
        lines.insert(0, f"[{'.'.join(map(_key, path))}]")
    for key, value in content.items():
        if isinstance(value, dict):
            lines.append(dumps(value, (*path, key)))
    return "\n".join(lines) + "\n"


def _key(key) -> str:
    return key if re.fullmatch("[A-Za-z0-9_-]+", key) else _text(key)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml(value) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return _text("None") if value is None else repr(value)
