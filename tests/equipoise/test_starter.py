"""First drafts: honest about what they guess, never over a file that is there."""

import tomllib

import pytest

from equipoise.analysis import Analysis
from equipoise.check import check
from equipoise.datasets.errors import UserError
from equipoise.starter import DEMO, write_analysis, write_demo


def test_a_draft_is_valid_but_for_its_todos(analysis):
    analysis.unlink()
    file, questions = write_analysis(analysis.parent / "survey.csv")
    assert file == analysis
    draft = tomllib.loads(file.read_text())
    assert draft["study"]["data"] == "survey.csv"
    assert draft["study"]["clinician"] == "id" and draft["study"]["unit"] == "ward"
    assert draft["study"]["scores"]["stress"] == {"range": [0, 10], "better": "TODO"}
    assert draft["interventions"] == {"mindfulness_on": {"column": "mindfulness_on"}}
    assert [question.split(":")[0] for question in questions] == ["[study] holds", "[study.scores.stress] better"]
    with pytest.raises(UserError, match=r"TODO to fill in: \[study\] holds; \[study.scores.stress\] better"):
        check(file)
    text = file.read_text().replace('holds = "TODO"', 'holds = "before"').replace('better = "TODO"', 'better = "lower"')
    file.write_text(text)
    assert check(file).study


def test_a_file_that_is_there_is_never_overwritten(analysis):
    before = analysis.read_text()
    with pytest.raises(UserError, match="exists already"):
        write_analysis(analysis.parent / "survey.csv")
    assert analysis.read_text() == before


def test_a_draft_elsewhere_finds_its_data(analysis, tmp_path):
    file, _ = write_analysis(analysis.parent / "survey.csv", tmp_path / "drafts")
    assert tomllib.loads(file.read_text())["study"]["data"] == "../study/survey.csv"


def test_strange_column_names_cannot_break_the_draft(tmp_path):
    data = tmp_path / "survey.csv"
    data.write_text(
        '"participant ""id""",week,"stress\n[x]","sleep = 7 # h",Wohlbefinden ä,"text\ttab"\n'
        + "".join(f"p{i},{w},{i * w % 7},{(i + w) % 5}.5,{3 * i + w},t{w}\n" for i in range(8) for w in range(6))
    )
    file, _ = write_analysis(data)
    draft = tomllib.loads(file.read_text())
    assert draft["study"]["clinician"] == 'participant "id"'
    assert "stress\n[x]" in draft["study"]["scores"]
    assert "sleep = 7 # h" in draft["study"]["covariates"]


def test_without_a_column_to_guess_the_score_is_a_todo(tmp_path):
    data = tmp_path / "survey.csv"
    data.write_text("id,week,remark\n" + "".join(f"p{i},{w},fine {i}{w}\n" for i in range(4) for w in range(3)))
    file, questions = write_analysis(data)
    assert any(question.startswith("[study.scores.score] column") for question in questions)
    with pytest.raises(UserError, match=r"\[study.scores.score\] column"):
        Analysis.read(file)


def test_data_that_cannot_be_read_leaves_no_draft(tmp_path):
    for name, text in (("empty.csv", ""), ("notes.docx", "x")):
        (tmp_path / name).write_text(text)
        with pytest.raises(UserError):
            write_analysis(tmp_path / name, tmp_path / "drafts")
    with pytest.raises(UserError, match="does not exist"):
        write_analysis(tmp_path / "absent.csv", tmp_path / "drafts")
    assert not (tmp_path / "drafts").exists()


def test_the_demo_is_an_ordinary_analysis_file(tmp_path):
    file, written = write_demo(tmp_path / "demo")
    assert written and file.read_text() == DEMO
    assert Analysis.read(file).spec.study.dataset == "example"
    file.write_text(DEMO.replace("seed = 1", "seed = 2"))
    assert write_demo(tmp_path / "demo") == (file, False)
    assert "seed = 2" in file.read_text()
