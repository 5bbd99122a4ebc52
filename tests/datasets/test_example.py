import contextlib

import pandas as pd
import pytest

from equipoise.datasets import UserError, example, example_truth, load_example


def test_bundled_study_and_its_truth_belong_together():
    study = load_example()
    assert study.n_units == 12 and 100 <= study.n_clinicians <= 125
    assert len(study.interventions) == 2 and set(study.exposure_source.values()) == {"spells"}
    assert 0.05 <= study.n_missing / len(study.surveys) <= 0.15
    assert set(study.covariates) == {"sleep", "workload"} == set(study.varying)
    truth = example_truth()
    assert sorted(truth["clinicians"]["clinician"]) == sorted(study.clinicians["clinician"])
    assert {"alpha", "beta", "capacity"} <= set(truth["clinicians"])
    assert len(truth["population"])


def test_an_incomplete_installation_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(example, "files", lambda package: tmp_path)
    with pytest.raises(UserError, match=r"survey\.csv is missing"):
        load_example()


def test_ids_of_the_truth_are_text(monkeypatch, tmp_path):
    path = tmp_path / "truth.csv"
    pd.DataFrame({"clinician": ["007"], "alpha": [1.0]}).to_csv(path, index=False)
    monkeypatch.setattr(example, "_file", lambda name: contextlib.nullcontext(path))
    assert example_truth()["clinicians"]["clinician"].tolist() == ["007"]
