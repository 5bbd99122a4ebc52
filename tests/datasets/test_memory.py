import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equipoise.datasets import Score, Study, UserError, memory, readers

NAMES = {"clinician": "id", "unit": "ward", "time": "week", "time_unit": "week", "covariates": ["role", "sleep"]}
SCORES = {"stress": Score(range=(0, 10), better="lower", column="stress_score", step=1)}
KEYS = NAMES | {"scores": SCORES, "interventions": {"yoga": "on"}, "holds": "before"}


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"id": [f"{n:03d}" for n in np.repeat(np.arange(20), 6)], "week": np.tile(np.arange(6.0), 20)})
    frame["ward"] = "ward " + (frame["id"].astype(int) % 4).astype(str)
    frame["stress_score"] = rng.integers(0, 11, 120).astype(float)
    frame.loc[5, "stress_score"] = np.nan
    frame["role"], frame["sleep"] = np.where(frame["id"] < "010", "nurse", "physician"), rng.normal(7, 1, 120)
    frame["on"], frame["comment"] = (frame["week"] > 2).astype(int), "a long text that nobody needs"
    return frame


def write(frame, path, **how):
    """In several row groups, as large files come."""
    pq.write_table(pa.Table.from_pandas(frame, **how), path, row_group_size=17)
    return path


def test_a_parquet_file_read_by_its_columns_is_the_same_study(frame, tmp_path, monkeypatch):
    path = write(frame, tmp_path / "survey.parquet")
    expected = Study.from_table(frame, **KEYS)
    seen = {}
    original = pd.read_parquet
    monkeypatch.setattr(pd, "read_parquet", lambda *a, **k: seen.setdefault("frame", original(*a, **k)))
    study = Study.from_file(path, **KEYS)
    assert study.fingerprint == expected.fingerprint
    assert set(seen["frame"]) == {"id", "ward", "week", "stress_score", "role", "sleep", "on"}
    assert isinstance(seen["frame"]["id"].dtype, pd.CategoricalDtype)
    pd.testing.assert_frame_equal(study.occasions, expected.occasions)


def test_named_index_levels_are_columns_there_too(frame, tmp_path):
    path = write(frame.set_index(["id", "week"]), tmp_path / "survey.parquet")
    assert Study.from_file(path, **KEYS).fingerprint == Study.from_table(frame, **KEYS).fingerprint


def test_a_misspelt_column_is_told_with_all_that_there_are(frame, tmp_path):
    path = write(frame, tmp_path / "survey.parquet")
    with pytest.raises(UserError, match=r"no column 'wrd' for the unit.*'ward'.*comment"):
        Study.from_file(path, **KEYS | {"unit": "wrd"})


@pytest.mark.parametrize("suffix", ["csv", "parquet", "xlsx", "sav"])
def test_a_study_larger_than_memory_is_refused_before_it_is_read(frame, tmp_path, monkeypatch, suffix):
    path = tmp_path / f"survey.{suffix}"
    if suffix == "sav":
        pytest.importorskip("pyreadstat").write_sav(frame, path)
    else:
        writer = {"csv": frame.to_csv, "xlsx": frame.to_excel}.get(suffix)
        writer(path, index=False) if writer else write(frame, path)
    monkeypatch.setattr(memory, "available_memory", lambda: 30_000.0)
    monkeypatch.setattr(readers.pd, "read_parquet", lambda *a, **k: pytest.fail("the file was read"))
    monkeypatch.setattr(readers.csv, "reader", lambda *a, **k: pytest.fail("the file was read"))
    monkeypatch.setattr(readers.pd, "read_excel", lambda *a, **k: pytest.fail("the file was read"))
    advice = "rows that are needed" if suffix == "parquet" else "Parquet"
    with pytest.raises(UserError, match=rf"survey\.{suffix} would take about 0\.\d GB of memory.*{advice}"):
        Study.from_file(path, **KEYS)


def test_the_memory_that_is_free_is_known_or_not():
    free = memory.available_memory()
    assert free is None or free > 1e6
