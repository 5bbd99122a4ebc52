"""The ASIP study, as published and without its traps."""

import numpy as np
import pandas as pd
import pytest

from equipoise.datasets import UserError, asip, asip_frame, fetch_asip


def test_counts_are_those_of_the_source(asip_data):
    frame = asip_frame()
    assert len(frame) == 1123 and frame["manuscript_ID"].nunique() == 76
    exercised = frame.groupby("manuscript_ID")[["mindfulness_breathing", "box_breathing"]].max()
    assert not (exercised.sum(axis=1) > 1).any(), "each person has one exercise"
    assert set(frame["survey1_question3_response"]) == {0, 1}
    assert (frame[["mindfulness_breathing", "box_breathing"]].sum(axis=1) == frame["intervention_period"]).all()


def test_the_unchronological_day_is_not_there(asip_data):
    assert "current_day_of_study_harmonized" not in asip_frame()


def test_study(asip_data):
    study = fetch_asip("before")
    assert (study.n_clinicians, study.n_surveys, study.n_missing, study.n_units) == (76, 1119, 0, 1)
    assert (study.surveys["repeats"] == 2).sum() == 4
    assert study.interventions == ("mindfulness_breathing", "box_breathing")
    assert (study.time_unit, study.origin, study.median_gap) == ("day", None, 1)
    assert study.occasions["time"].min() == 1 and study.occasions["time"].max() == 28
    raw = asip_frame().drop_duplicates(["manuscript_ID", "current_day_of_study"])
    np.testing.assert_allclose(study.surveys["points"].mean(), raw["survey1_question1_response"].mean())
    assert study.scores["stress"].step == 1 and study.scores["stress"].better == "lower"
    # Nobody is in two programmes.
    assert study.spells.groupby("clinician")["intervention"].nunique().max() == 1


def test_the_reading_of_a_day_is_asked_for(asip_data):
    with pytest.raises(TypeError):
        fetch_asip()
    with pytest.raises(UserError, match="`holds`"):
        fetch_asip(None)
    assert fetch_asip("before").fingerprint != fetch_asip("after").fingerprint


def test_an_altered_copy_is_refused(asip_data, tmp_path, monkeypatch):
    for path in asip_data.glob("*.csv"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setenv("EQUIPOISE_DATA", str(tmp_path))
    assert len(asip_frame()) == 1123
    with (tmp_path / "ASIP_data_Nof1_BB.csv").open("a") as file:
        file.write("\n")
    with pytest.raises(UserError, match="not the published file"):
        asip_frame()


def test_downloads_are_kept(asip_data, tmp_path, monkeypatch):
    """The cache serves without a network."""
    for path in asip_data.glob("*.csv"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.delenv("EQUIPOISE_DATA")
    monkeypatch.setattr(asip, "URL", "http://127.0.0.1:9/")
    assert len(asip_frame(cache=tmp_path)) == 1123


def test_without_copy_and_network(tmp_path, monkeypatch):
    monkeypatch.setenv("EQUIPOISE_DATA", str(tmp_path))
    monkeypatch.setattr(asip, "URL", "http://127.0.0.1:9/")
    with pytest.raises(UserError, match="EQUIPOISE_DATA"):
        asip_frame(cache=tmp_path / "cache")


def test_rows_are_unchanged(asip_data):
    raw = pd.read_csv(asip_data / "ASIP_data_Nof1_MB.csv")
    part = asip_frame().iloc[: len(raw)]
    for column in ("manuscript_ID", "current_day_of_study", "survey1_question1_response", "weekday"):
        assert part[column].tolist() == raw[column].tolist()
