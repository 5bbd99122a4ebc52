"""Files: ids stay text, rows are counted as a spreadsheet counts them, and every format gives the same study."""

import numpy as np
import pandas as pd
import pytest

from equipoise.datasets import Score, Study, UserError
from equipoise.datasets.readers import read_table

KEYWORDS = {
    "clinician": "id",
    "unit": "ward",
    "time": "week",
    "time_unit": "week",
    "scores": {"stress": Score(range=(0, 10), better="lower")},
}


def write(folder, text, name="survey.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.fixture
def frame(panel):
    return panel.assign(id=["007", "007", "007", "7", "NA 1"], ward=["A", "A", "A", "None", "Süd"])


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".xlsx", ".sav"])
def test_every_format_gives_the_same_study(tmp_path, frame, suffix):
    path = tmp_path / f"survey{suffix}"
    if suffix in (".csv", ".tsv"):
        frame.to_csv(path, index=False, sep="," if suffix == ".csv" else "\t")
    elif suffix == ".parquet":
        frame.to_parquet(path)
    elif suffix == ".xlsx":
        frame.to_excel(path, index=False)
    else:
        pytest.importorskip("pyreadstat").write_sav(frame, path)
    more = {"covariates": ["sleep"], "interventions": {"m": "on"}, "holds": "before"}
    study = Study.from_file(path, **KEYWORDS, **more)
    assert study.fingerprint == Study.from_table(frame, **KEYWORDS, **more).fingerprint
    assert study.clinicians["clinician"].tolist() == ["007", "7", "NA 1"]
    assert study.occasions["row"].tolist() == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings(tmp_path, encoding):
    path = write(tmp_path, "id,ward,week,stress\na,Süd,0,1\na,Süd,1,2\n", encoding=encoding)
    assert Study.from_file(path, **KEYWORDS).units == ("Süd",)


def test_semicolons_with_decimal_commas(tmp_path):
    path = write(tmp_path, 'id;ward;week;stress\r\na;"x; y";0,5;1,5\r\na;"x; y";1,5;2\r\n')
    study = Study.from_file(path, **KEYWORDS)
    assert study.occasions["time"].tolist() == [0.5, 1.5] and study.surveys["points"].tolist() == [1.5, 2]
    assert study.units == ("x; y",)


def test_missing_words_and_short_rows(tmp_path):
    path = write(tmp_path, "id,ward,week,stress,\na,w,0,1,\na,w,1,NA\na,w,2, . \na,w,3\na,w,4,3\n")
    study = Study.from_file(path, **KEYWORDS)
    assert study.surveys["points"].isna().tolist() == [False, True, True, True, False]


def test_empty_rows_are_left_out_but_counted(tmp_path):
    path = write(tmp_path, "\nid,ward,week,stress\n\na,w,0,1\n,,,\na,w,1,often\n")
    with pytest.raises(UserError, match=r"survey.csv, column 'stress'.*'often' \(row 6\)"):
        Study.from_file(path, **KEYWORDS)


def test_line_breaks_within_cells_do_not_shift_the_rows(tmp_path):
    path = write(tmp_path, 'id,ward,week,stress,note\na,w,0,1,"two\nlines"\na,w,1,99,one\u2028line\n')
    with pytest.raises(UserError, match=r"99 \(row 3\)"):
        Study.from_file(path, **KEYWORDS)


def test_empty_rows_of_a_workbook_are_counted(tmp_path):
    path = tmp_path / "survey.xlsx"
    cells = [[None] * 4, ["id", "ward", "week", "stress"], ["a", "w", 0, 1], [None] * 4, ["a", "w", 1, 99]]
    pd.DataFrame(cells).to_excel(path, index=False, header=False)
    with pytest.raises(UserError, match=r"99 \(row 5\)"):
        Study.from_file(path, **KEYWORDS)


def test_workbooks_hold_numbers_and_dates(tmp_path):
    path = tmp_path / "survey.xlsx"
    when = pd.to_datetime(["2024-01-01", "2024-01-08"])
    pd.DataFrame({"id": [7, 7], "ward": [1.0, 1.0], "week": when, "stress": [1, None]}).to_excel(path, index=False)
    with pytest.raises(UserError, match="single time point"):
        Study.from_file(path, **KEYWORDS)
    pd.DataFrame({"id": [7, 7], "ward": [1.0, 1.0], "week": when, "stress": [1, 2]}).to_excel(path, index=False)
    study = Study.from_file(path, **KEYWORDS)
    assert study.clinicians.to_numpy().tolist() == [["7", "1"]] and study.occasions["time"].tolist() == [0, 1]


def test_spells_from_files(tmp_path, frame):
    survey, spells = tmp_path / "survey.csv", tmp_path / "spells.csv"
    frame.to_csv(survey, index=False)
    spells.write_text("clinician,intervention,start,end\n007,m,0,2\n7,n,1,\n", encoding="utf-8")
    at_once = Study.from_file(survey, spells=spells, **KEYWORDS)
    assert at_once.spells["clinician"].tolist() == [0, 1] and np.isinf(at_once.spells["end"][1])
    table = pd.read_csv(spells, dtype={"clinician": str})
    for given in ({"m": spells, "n": str(spells)}, {"m": table, "n": table}):
        assert Study.from_file(survey, interventions=given, **KEYWORDS).fingerprint == at_once.fingerprint
    assert Study.from_file(str(survey), spells=table, **KEYWORDS).fingerprint == at_once.fingerprint
    with pytest.raises(UserError, match=r"spell\.csv does not exist. Did you mean 'spells.csv'"):
        Study.from_file(survey, interventions={"m": tmp_path / "spell.csv"}, **KEYWORDS)
    spells.write_text("clinician,start,end\n007,0,2\n\n007,1,3\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"spells.csv: spells .* overlap: m for 007 \(rows 2 and 4\)"):
        Study.from_file(survey, interventions={"m": spells}, **KEYWORDS)


def test_a_column_comes_before_a_file(tmp_path, frame):
    path = tmp_path / "survey.csv"
    frame.rename(columns={"on": "on.csv"}).to_csv(path, index=False)
    study = Study.from_file(path, interventions={"m": "on.csv"}, holds="after", **KEYWORDS)
    assert study.exposure_source == {"m": "column"}


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("survey.csv", "", "is empty"),
        ("survey.csv", "\n,,\n", "is empty"),
        ("survey.csv", "id,ward,week,stress\n", "has no rows"),
        ("survey.csv", "id,ward,week,stress\na,w,0,1,2\n", "row 2, has 5 cells while the header has 4"),
        ("survey.csv", "id,ward,week,stress,stress\na,w,0,1,2\n", "several columns named 'stress'"),
        ("survey.csv", 'id,ward,week,stress\na,"w,0,1\n', "unclosed quote"),
        ("survey.xlsx", "no workbook", "cannot be read as an Excel workbook"),
        ("survey.parquet", "no parquet", "cannot be read as Parquet"),
        ("survey.sav", "no spss", "cannot be read as an SPSS file"),
        ("survey.docx", "text", "files ending in '.docx' cannot be read"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content, says):
    if name.endswith(".sav"):
        pytest.importorskip("pyreadstat")
    with pytest.raises(UserError, match=says):
        Study.from_file(write(tmp_path, content, name), **KEYWORDS)


def test_missing_files(tmp_path):
    write(tmp_path, "id\n", "survey.csv")
    with pytest.raises(UserError, match=r"survy\.csv does not exist. Did you mean 'survey.csv'\?"):
        read_table(tmp_path / "survy.csv")
    with pytest.raises(UserError, match="is a folder"):
        read_table(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        read_table(tmp_path / "nowhere" / "survey.csv")


def test_spss_without_its_reader(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyreadstat", None)
    with pytest.raises(UserError, match="install pyreadstat"):
        read_table(write(tmp_path, "", "survey.sav"))
