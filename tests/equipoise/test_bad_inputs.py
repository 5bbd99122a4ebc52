"""Random tables and analysis files: a study and a model, or one clear message; and nothing written."""

import random
import sys
import tomllib
import warnings
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from equipoise.analysis import Analysis
from equipoise.check import check
from equipoise.datasets import Score, Study, UserError
from equipoise.starter import write_analysis

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "robustness"))
import inputs

QUICK = settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def place(message: str) -> bool:
    """Whether a message names where the mistake is: a file, a section, a column, a row, a setting in backticks."""
    return any(mark in message for mark in ("analysis.toml", "survey", "spells", "[", "column", "row", "`"))


def test_the_input_that_is_spoilt_is_sound_itself(tmp_path):
    for seed in range(4):
        inputs.write_input(tmp_path / str(seed), random.Random(seed), faults=0)
        assert check(tmp_path / str(seed) / "analysis.toml").study


@QUICK
@given(seed=st.integers(0, 10**6))
def test_spoilt_inputs_are_read_or_refused_with_the_place(seed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("input")
    inputs.write_input(folder, random.Random(seed))
    before = files(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # cautions on the design, and openpyxl on workbooks
        try:
            assert check(folder / "analysis.toml").study
        except UserError as error:
            assert place(str(error)), error
    assert files(folder) == before


@QUICK
@given(choices=st.randoms(use_true_random=False), column=st.sampled_from(inputs.HEADER), cells=st.lists(
    st.one_of(st.text(max_size=8), st.floats(), st.integers(), st.booleans(), st.none(), st.binary(max_size=3), st.datetimes(),
              st.sampled_from(inputs.CELLS)), min_size=1, max_size=6))  # fmt: skip
def test_any_cells_in_a_data_frame_make_a_study_or_a_clear_error(choices, column, cells):
    header, rows = inputs.survey(random.Random(1))
    frame = pd.DataFrame(rows, columns=header)
    for name in ("week", "stress", "mood", "sleep", "programme"):
        frame[name] = pd.to_numeric(frame[name])
    values = frame[column].astype(object).to_list()
    for cell in cells:
        values[choices.randrange(len(values))] = cell
    frame[column] = pd.Series(values, dtype=object)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            study = Study.from_table(
                frame, clinician="id", unit="ward", time="week", time_unit="week", covariates=["sleep", "role"], holds="before",
                scores={"stress": Score(range=(0, 10), better="lower")}, interventions={"programme": "programme"}, repeated="first",
                missing_covariates="carry",
            )  # fmt: skip
        except UserError as error:
            assert place(str(error)), error
        else:
            assert study.n_clinicians > 0 and len(study.fingerprint) == 64


VALUES = st.recursive(
    st.one_of(
        st.sampled_from(inputs.VALUES), st.sampled_from(inputs.TEXTS), st.integers(), st.floats(), st.booleans(), st.text(max_size=9)
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(inputs.KEYS), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


PLACES = sorted({key for table in inputs.SOUND.values() if isinstance(table, dict) for key in table} | set(inputs.KEYS))


@QUICK
@given(section=st.sampled_from([*inputs.SOUND, "x"]), key=st.sampled_from(PLACES), value=VALUES)
def test_any_value_under_any_key_is_taken_or_refused_with_its_place(section, key, value, tmp_path_factory):
    folder = tmp_path_factory.mktemp("input")
    inputs.write_input(folder, random.Random(3), faults=0)
    file = folder / "analysis.toml"
    content = tomllib.loads(file.read_text())
    if isinstance(content.get(section), dict):
        content[section][key] = value
    else:
        content[section] = value
    try:
        text = inputs.dumps(content)
        tomllib.loads(text)
    except (ValueError, TypeError):  # what TOML cannot say
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            analysis = Analysis.read(file, text)
            assert analysis.model(analysis.study()).equations(analysis.study())
        except UserError as error:
            assert place(str(error)), error
    assert {path.name for path in folder.iterdir()} == {"analysis.toml", "spells.csv", "survey.csv"}


@pytest.mark.parametrize("start", range(0, len(inputs.NAMES), 6))
def test_a_draft_from_hostile_column_names_reads_back(start, tmp_path):
    """Whatever columns are called, the draft is sound TOML that names them as they are, and nothing else."""
    chosen = list(dict.fromkeys(name.strip() for name in inputs.NAMES[start : start + 6] if name.strip() and "\0" not in name))
    names = [name for name in chosen if name not in ("id", "week")]
    frame = pd.DataFrame({"id": [f"p{i // 6}" for i in range(36)], "week": list(range(6)) * 6})
    for k, name in enumerate(names):
        frame[name] = [(7 * i + k) % 11 + 0.5 * k for i in range(36)]
    frame.to_csv(tmp_path / "survey.csv", index=False)
    file, _ = write_analysis(tmp_path / "survey.csv")
    draft = tomllib.loads(file.read_text(encoding="utf-8"))
    assert set(draft) <= {"schema", "study", "interventions", "model", "sampling", "report"}
    study = draft["study"]
    roles = {study["clinician"], study["time"], study.get("unit", "id"), *study.get("covariates", ()), *study["scores"]}
    roles |= set(draft.get("interventions", ()))
    assert {name.replace("\r\n", "\n") for name in roles} <= {name.replace("\r\n", "\n") for name in frame.columns}


def test_brackets_without_end_are_no_traceback(tmp_path):
    (tmp_path / "analysis.toml").write_text("x = " + "[" * 100_000)
    with pytest.raises(UserError, match="nested too deeply"):
        Analysis.read(tmp_path / "analysis.toml")
