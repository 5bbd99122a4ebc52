"""Names of users appear as text in the page, in figures and in tables, whatever is in them, and run nowhere."""

import csv
import io
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from equipoise import CapacityModel, Score, Study, load
from equipoise.datasets import UserError
from equipoise.inference import Fit
from equipoise.inference.comparison import compare
from equipoise.reports import write_outputs
from equipoise.reports.comparing import write_comparison
from equipoise.reports.format import plain
from equipoise.reports.table_files import to_csv

MARK = "hostile"  # in every name, so that what comes from one is found again
NAMES = [
    f"<script>alert('{MARK}')</script>",
    f"<img src=x onerror={MARK}(1)>",
    f"=cmd|' /C calc'!A0 {MARK}",
    f"+1 {MARK}",
    f"-1 {MARK}",
    f"@x {MARK}",
    f"\t=tab {MARK}",
    f"\r=return {MARK}",
    f"\"quoted\" 'twice' onload={MARK}",
    f"two\nlines {MARK}",
    f"a\u202e{MARK}exe.\u2067b",
    f"שלום עולם {MARK}",
    f"{'x' * 3000}{MARK}",
    f"🙂👩\u200d⚕️ {MARK}",
    f"e\u0301\u0302\u0300 {MARK}",
    f"a/b/../{MARK}",
    f"$x^2$ {MARK} \\frac",
    f"</svg></text><script>{MARK}</script>",
    f"]]> --> {MARK}",
    f"{{{{7*7}}}}{{% {MARK} %}}",
    f"\x1b[31m{MARK}\x07",
    f"&lt;{MARK}&amp;",
    f"url(javascript:{MARK})",
    f"＝{MARK}",
]
SPREADSHEETS_RUN = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@pytest.fixture(scope="module")
def study() -> Study:
    rng = np.random.default_rng(0)
    rows = [
        (name, NAMES[(5 * i) % 7], week, rng.integers(0, 11), round(rng.normal(), 2), NAMES[i % 2 + 2], int(week > 4 and i % 2),
         int(week > 5 and i % 3 == 0))
        for i, name in enumerate(NAMES)
        for week in range(0, 10, 2)
    ]  # fmt: skip
    columns = ["id", "unit", "week", NAMES[0], NAMES[15], NAMES[2], NAMES[17], NAMES[10]]
    return Study.from_table(
        pd.DataFrame(rows, columns=columns), clinician="id", unit="unit", time="week", time_unit="week",
        scores={NAMES[0]: Score(range=(0, 10), better="lower")}, covariates=[NAMES[15], NAMES[2]],
        interventions={NAMES[17]: NAMES[17], NAMES[10]: NAMES[10]}, holds="before",
    )  # fmt: skip


@pytest.fixture(scope="module")
def fit(study, make_fit, tmp_path_factory) -> Fit:
    """Through a file, as the command line does it."""
    model = CapacityModel(replenishment=f"`{NAMES[15]}`")
    made = make_fit(model, study, draws=20)
    path = made.save(tmp_path_factory.mktemp("fit") / "posterior.nc")
    return load(path, study=study, model=model)


@pytest.fixture(scope="module")
def files(fit, tmp_path_factory) -> dict[str, str]:
    """All that is written of the fit, and of its comparison with itself, by name."""
    folder = tmp_path_factory.mktemp("written")
    write_outputs(
        fit, folder / "fit", title=NAMES[0], estimands={"horizon": 5, "by": ["unit", NAMES[2]]}, clinicians_shown=6,
        decisions={"worthwhile": 3, "costs": {NAMES[17]: 10.0}}, forecast={"start": 4, "horizon": 8},
    )  # fmt: skip
    write_comparison(compare({NAMES[0]: fit, NAMES[10]: fit}), folder / "comparison", title=NAMES[1])
    return {
        path.relative_to(folder).as_posix(): path.read_bytes().decode("utf-8") for path in folder.rglob("*") if path.is_file()
    }


def of(files, ending):
    found = {name: content for name, content in files.items() if name.endswith(ending)}
    assert found
    return found.items()


class Elements(HTMLParser):
    """Elements, attributes and text of a page."""

    def __init__(self):
        super().__init__()
        self.elements, self.attributes, self.text = set(), [], []

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)
        self.attributes += attrs

    handle_startendtag = handle_starttag

    def handle_data(self, data):
        self.text.append(data)


def test_names_come_back_from_the_file_as_they_were(fit, study):
    assert [str(name) for name in fit.tree["posterior"]["clinician"].to_numpy()] == list(study.clinicians["clinician"])
    assert {NAMES[15], NAMES[2]} & set(fit.facts["study"]["covariates"]) == {NAMES[15], NAMES[2]}


def test_no_element_and_no_attribute_of_a_page_comes_from_a_name(files):
    for name, page in of(files, ".html"):
        parsed = Elements()
        parsed.feed(page)
        parsed.close()
        assert not parsed.elements & {"script", "img", "iframe", "object", "embed", "link", "base", "form", "foreignobject"}, name
        for attribute, value in parsed.attributes:
            assert not attribute.startswith("on") and MARK not in attribute, (name, attribute)
            if value and MARK in value:  # the description of a figure or table, and nothing that is followed or run
                assert attribute in ("aria-label", "alt", "title"), (name, attribute)
            if attribute in ("href", "src", "action", "xlink:href"):
                assert re.fullmatch(r"#[\w-]+|(tables|figures)/[\w.-]+", value), (name, value)
        text = "".join(parsed.text)
        assert "49" not in re.findall(r"\{\{(.*?)\}\}", text) and "<script>alert" in text
        assert plain(NAMES[1]) in text or "comparison" not in name


def test_no_control_character_is_left_in_what_is_shown(files):
    for name, content in [*of(files, ".html"), *of(files, ".svg")]:
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066\u2067]", content), name


def test_figures_are_sound_and_names_are_text_in_them(files):
    seen = False
    for name, svg in of(files, ".svg"):
        root = ET.fromstring(svg)
        kinds = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert not kinds & {"script", "image", "foreignObject", "a"}, name
        for element in root.iter():
            seen = seen or MARK in (element.text or "")
            for attribute, value in element.attrib.items():
                assert MARK not in value and not attribute.lower().startswith("on"), (name, attribute)
    assert seen


def test_no_cell_and_no_head_of_a_table_acts_in_a_spreadsheet(files):
    for name, table in of(files, ".csv"):
        rows = list(csv.reader(io.StringIO(table, newline=""), strict=True))
        assert len({len(row) for row in rows}) == 1, name
        for cell in (cell for row in rows for cell in row):
            if cell.startswith(SPREADSHEETS_RUN):
                float(cell)  # only a number may begin so


def test_tables_name_every_clinician_once_quoted(files):
    rows = list(csv.DictReader(io.StringIO(files["fit/tables/clinicians.csv"], newline="")))
    assert {row["clinician"].removeprefix("'") for row in rows} == {name.strip() for name in NAMES}


def test_heads_of_columns_are_guarded_as_cells_are():
    rows = list(csv.reader(io.StringIO(to_csv(pd.DataFrame({name: ["x"] for name in NAMES})), newline="")))
    assert [head.removeprefix("'") for head in rows[0]] == NAMES
    assert not any(head.startswith(SPREADSHEETS_RUN) for head in rows[0])
    category = pd.DataFrame({"unit": pd.Categorical(["=1+1"]), "number": [-1.5]})
    assert to_csv(category) == "unit,number\n'=1+1,-1.5\n"


def test_names_that_no_file_can_hold_are_refused_at_the_door():
    text = "a\0b"
    table = pd.DataFrame({"id": ["a", "a", "b", "b"], "week": [0, 1, 0, 1], "s": [1, 2, 3, 4], "x": ["u", "u", "v", "v"]}, dtype=object)
    plan = {"clinician": "id", "time": "week", "time_unit": "week", "scores": {"s": Score(range=(0, 10), better="lower")}}
    for column, more in (("id", {}), ("x", {"unit": "x"}), ("x", {"covariates": ["x"]})):
        with pytest.raises(UserError, match=f"column '{column}'.*no text"):
            Study.from_table(table.replace({column: {"a": text, "u": text}}), **plan, **more)
    for name in (text, "\ud800"):
        for names in ({"covariates": [name]}, {"interventions": {name: "x"}}, {"scores": {name: plan["scores"]["s"]}}):
            with pytest.raises(UserError, match="no text"):
                Study.from_table(table, **plan | names)
