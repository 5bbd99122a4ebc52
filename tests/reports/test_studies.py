"""Reports on studies of every shape: none may fail, and each says what it can."""

import warnings
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from equipoise import CapacityModel, datasets, simulate
from equipoise.datasets import Score, Study
from equipoise.reports import write_outputs, write_report

HOSTILE = "<script>alert('x')</script> & \"quoted\" $a_b$ {{ 7*7 }}"
RIGHT_TO_LEFT = "קבוצת תמיכה"


class _Checker(HTMLParser):
    """Balance of elements, headings in order, ids, text."""

    VOID = frozenset({"meta", "br", "hr", "img", "link", "input"})

    def __init__(self):
        super().__init__()
        self.open, self.headings, self.ids, self.text, self.tags = [], [], [], [], set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.ids += [value for key, value in attrs if key == "id"]
        if tag[0] == "h" and tag[1:].isdigit():
            self.headings.append(int(tag[1]))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.ids += [value for key, value in attrs if key == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(data)


@pytest.fixture
def report(tmp_path):
    """Write the report of a fit, check what holds for every page, and give its text."""

    def report(fit, **options) -> str:
        path = tmp_path / "report.html"
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            write_report(fit, path, **options)
        page = path.read_text(encoding="utf-8")
        checker = _Checker()
        checker.feed(page)
        assert checker.open == []
        assert len(checker.ids) == len(set(checker.ids))
        assert checker.headings[0] == 1 and checker.headings.count(1) == 1
        assert all(later <= earlier + 1 for earlier, later in zip(checker.headings, checker.headings[1:], strict=False))
        assert not checker.tags & {"script", "iframe", "link", "object", "embed", "img"}
        text = " ".join("".join(checker.text).split())
        assert not {"nan", "None", "inf", "significant", "significantly"} & set(text.replace(",", " ").split())
        return text

    return report


def study(seed=1, **design):
    planned = datasets.design_study(**({"clinicians": 8, "surveys": 6, "units": 2} | design))
    return simulate(CapacityModel(), planned, {"level": 55.0, "half_life": 3.0}, seed=seed).study


@pytest.mark.parametrize(
    "design",
    [
        pytest.param({}, id="no interventions, no covariates"),
        pytest.param({"units": 1, "interventions": {"rounds": "parallel"}}, id="one unit"),
        pytest.param({"clinicians": 1, "units": 1}, id="one clinician"),
        pytest.param({"clinicians": 2, "surveys": 2, "units": 2}, id="two clinicians, two surveys"),
        pytest.param({"scores": {"a": Score((0, 10), "lower", 1), "b": Score((10, 50), "higher", 1)}}, id="two scores"),
        pytest.param({"interventions": {f"p{k}": "alternating" for k in range(8)}}, id="many interventions"),
    ],
)
def test_report_of(design, make_fit, report):
    assert "Key results" in report(make_fit(CapacityModel(), study(**design), draws=6))


@pytest.mark.parametrize(("draws", "chains"), [(10, 1), (5, 2), (3, 1)])
def test_few_draws_are_reported_as_too_few(draws, chains, make_fit, report):
    fit = make_fit(CapacityModel(), study(interventions={"rounds": "stepped"}), draws=draws, chains=chains)
    text = report(fit)
    assert text.index("Read this before any number below") < text.index("Key results")


def test_interrupted_run_says_so_first(make_fit, report):
    text = report(make_fit(CapacityModel(), study(), draws=20, complete=False))
    assert text.index("INCOMPLETE") < text.index("Key results")


def test_constant_scores(make_fit, report):
    frame = pd.DataFrame({"id": np.repeat(["a", "b", "c"], 4), "week": np.tile(np.arange(4.0), 3), "score": 5.0})
    constant = Study.from_table(
        frame, clinician="id", time="week", time_unit="week", scores={"score": Score((0, 10), "higher", 1)}
    )
    report(make_fit(CapacityModel(), constant, draws=6))


def test_a_programme_that_nobody_had(make_fit, report):
    frame = pd.DataFrame({"id": np.repeat(["a", "b", "c"], 4), "week": np.tile(np.arange(4.0), 3)})
    frame = frame.assign(score=np.arange(12.0) % 7, rounds=0)
    without = Study.from_table(
        frame, clinician="id", time="week", time_unit="week", scores={"score": Score((0, 10), "higher", 1)},
        interventions={"rounds": "rounds"}, holds="before",
    )  # fmt: skip
    report(make_fit(CapacityModel(), without, draws=6))


def test_one_answer_each(make_fit, report):
    frame = pd.DataFrame({"id": list("abcd"), "week": [0.0, 1.0, 2.0, 3.0], "score": [2.0, 5.0, 7.0, 6.0]})
    sparse = Study.from_table(
        frame, clinician="id", time="week", time_unit="week", scores={"score": Score((0, 10), "lower", 1)}
    )
    assert "one answered survey or none" in report(make_fit(CapacityModel(), sparse, draws=6))


@pytest.fixture
def odd_names() -> Study:
    """Dates as time, and names that mean something to HTML, SVG, mathematics, templates and spreadsheets."""
    ids = [HOSTILE, RIGHT_TO_LEFT, "=1+1", "@cmd", "x" * 300, "a\x07b\u202ec", "数据"]
    frame = pd.DataFrame(
        {
            "id": np.repeat(ids, 3),
            "ward": np.repeat(["-2+3", RIGHT_TO_LEFT, "-2+3", HOSTILE, "w" * 200, "+a", "+a"], 3),
            "day": list(pd.to_datetime(["2024-01-01", "2024-02-15", "2024-06-01"])) * len(ids),
            HOSTILE: np.tile([3.0, 5.0, 4.0], len(ids)),
            "on": np.tile([0, 1, 1], len(ids)),
        }
    )
    return Study.from_table(
        frame, clinician="id", unit="ward", time="day", time_unit="month", holds="before",
        scores={HOSTILE: Score((0, 10), "lower", 1)}, interventions={f"{HOSTILE} {RIGHT_TO_LEFT}": "on"},
    )  # fmt: skip


def test_names_stay_text_everywhere(make_fit, report, odd_names, tmp_path):
    fit = make_fit(CapacityModel(), odd_names, draws=6)
    text = report(fit, title=HOSTILE)
    assert "{{ 7*7 }}" in text and "49" not in text.split("Key results")[0]
    assert "alert('x')" in text
    assert RIGHT_TO_LEFT in text
    for name in write_outputs(fit, tmp_path / "out"):
        content = (tmp_path / "out" / name).read_text(encoding="utf-8")
        if name.endswith(".csv"):
            cells = pd.read_csv(tmp_path / "out" / name, dtype=str, keep_default_na=False)
            names = cells[[c for c in ("clinician", "unit", "intervention", "indicator", "quantity") if c in cells]]
            assert not names.map(lambda cell: cell.startswith(("=", "+", "-", "@"))).any().any(), name
        else:
            assert "<script" not in content


def test_negative_numbers_in_tables_stay_numbers(fit, tmp_path):
    write_outputs(fit, tmp_path)
    table = pd.read_csv(tmp_path / "tables" / "interventions.csv")
    assert pd.api.types.is_float_dtype(table["low"]) and (table["low"] < 0).any()


def test_dates_are_shown_as_dates(make_fit, report, odd_names):
    assert "from 2024-01-01 to 2024-06-01" in report(make_fit(CapacityModel(), odd_names, draws=6))


def test_lever_held_fixed_is_called_so(make_fit, report):
    model = CapacityModel(interventions="depletion")
    text = report(make_fit(model, study(interventions={"rounds": "stepped"}), draws=6))
    assert "held fixed" in text and "It multiplies depletion by" in text


def test_many_units_and_clinicians(make_fit, report):
    text = report(make_fit(CapacityModel(), study(clinicians=330, units=90, surveys=3), draws=3, chains=1))
    assert "10 units left out" in text and "30 clinicians left out" in text
