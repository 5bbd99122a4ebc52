"""``[report.statements]``: what only the authors can say, for the reporting checklists."""

import pytest

from equipoise import run as running
from equipoise.analysis import Analysis
from equipoise.datasets import UserError


def state(analysis, text: str) -> None:
    analysis.write_text(analysis.read_text() + f"\n[report.statements]\n{text}\n")


def test_statements_reach_the_report_without_sampling_again(analysis, laboratory):
    running.run(analysis, progress=False)
    assert "statements" not in laboratory.options and "dataset" not in laboratory.options
    state(analysis, 'why_bayesian = "Short series."\ndata_available = "On request."')
    assert running.run(analysis, progress=False).done == "report"
    assert laboratory.options["statements"] == {"why_bayesian": "Short series.", "data_available": "On request."}
    assert laboratory.sampled == 1
    assert running.run(analysis, progress=False).done == "nothing"


def test_the_published_study_is_handed_on(laboratory, tmp_path):
    file = tmp_path / "analysis.toml"
    file.write_text('schema = 1\n[study]\ndataset = "example"\n')
    running.run(file, progress=False)
    assert laboratory.options["dataset"] == "example"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('why_bayes = "x"', r"\[report.statements\] why_bayes: unknown key.*why_bayesian"),
        ("why_bayesian = 3", r"\[report.statements\] why_bayesian: must be text"),
        ('why_bayesian = ""', "must not be empty"),
    ],
)
def test_mistakes_are_named(analysis, text, message):
    state(analysis, text)
    with pytest.raises(UserError, match=message):
        Analysis.read(analysis)
