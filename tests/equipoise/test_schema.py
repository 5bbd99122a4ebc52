"""The analysis file: every mistake is named with its place, unknown keys with the nearest valid one."""

import tomllib

import pytest

from equipoise.analysis import Analysis
from equipoise.datasets.errors import UserError
from equipoise.schema import validate


def refused(text: str) -> str:
    with pytest.raises(UserError) as error:
        validate(tomllib.loads(text), "analysis.toml")
    return str(error.value)


def changed(analysis, old: str, new: str):
    text = analysis.read_text()
    assert old in text
    analysis.write_text(text.replace(old, new))
    return analysis


@pytest.mark.parametrize(
    ("old", "new", "place", "near"),
    [
        ("clinician =", "clincian =", "[study] clincian", "'clinician'"),
        ("better =", "beter =", "[study.scores.stress] beter", "'better'"),
        ("column =", "colum =", "[interventions.mindfulness] colum", "'column'"),
        ("[model]", "[modle]", "[modle]", "'model'"),
        ("replenishment =", "replenishmnt =", "[model] replenishmnt", "'replenishment'"),
        ("draws =", "draw =", "[sampling] draw", "'draws'"),
        ("title =", "tittle =", "[report] tittle", "'title'"),
        ("schema =", "shema =", "shema", "'schema'"),
        ("[study.scores.stress]", "[study.score.stress]", "[study] score", "'scores'"),
        ('time_unit = "week"', 'time_unit = "weeks"', "[study] time_unit", "'week'"),
        ('better = "lower"', 'better = "lowr"', "[study.scores.stress] better", "'lower'"),
    ],
)
def test_misspelt_names_are_refused_with_place_and_nearest(analysis, old, new, place, near):
    with pytest.raises(UserError) as error:
        Analysis.read(changed(analysis, old, new))
    assert place in str(error.value)
    assert f"Did you mean {near}?" in str(error.value)
    assert "analysis.toml" in str(error.value)


def test_a_key_in_the_wrong_table_is_sent_home(analysis):
    with pytest.raises(UserError, match=r"\[study\] draws: unknown key. It belongs in \[sampling\]"):
        Analysis.read(changed(analysis, 'holds = "before"', "draws = 5"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("range = [0, 10]", "range = [0]", "[study.scores.stress] range: must hold two numbers"),
        ("range = [0, 10]", "range = [0, 5, 10]", "[study.scores.stress] range: must hold two numbers"),
        ("range = [0, 10]", 'range = ["0", 10]', "[study.scores.stress] range: must hold two numbers"),
        ("range = [0, 10]", "range = [0, inf]", "[study.scores.stress] range: must hold two numbers"),
        ("range = [0, 10]", "range = [10, 0]", "[study.scores.stress]"),
        ('better = "lower"', "", "[study.scores.stress] better: missing"),
        ("draws = 100", "draws = 99.5", "[sampling] draws: must be a whole number; got 99.5"),
        ("draws = 100", 'draws = "100"', '[sampling] draws: must be a whole number; got "100"'),
        ("draws = 100", "draws = true", "[sampling] draws: must be a whole number; got true"),
        ("draws = 100", "draws = 0", "[sampling] draws: must be greater than or equal to 10; got 0"),
        ('id"', 'id"\nrepeated = 3', '[study] repeated: must be "error", "mean", "first" or "last"; got 3'),
        ('clinician = "id"', "clinician = 7", "[study] clinician: must be text in quotes; got 7"),
        ('clinician = "id"', "", "[study] clinician: missing"),
        ('data = "survey.csv"', "", "`data` (a file) or `dataset`"),
        ('data = "survey.csv"', 'data = "survey.csv"\ndataset = "asip"', "not both"),
        ('column = "mindfulness_on"', "", "[interventions.mindfulness]: give"),
        ("schema = 1", "", "Write `schema = 1` as the first line"),
        ("schema = 1", "schema = 2", "schema"),
        ('id"', 'id"\ncarry_limit = 2.0', "[study] carry_limit"),
        ("[model]", "[model]\npriors = 3", "[model] priors: must be a table"),
        ('title = "Ward programme"', "interval = 89", "[report] interval: must be less than 1; got 89"),
    ],
)
def test_wrong_values_are_refused_with_their_place(analysis, old, new, message):
    with pytest.raises(UserError) as error:
        Analysis.read(changed(analysis, old, new)).study()
    assert message in str(error.value)


def test_all_mistakes_come_at_once():
    message = refused('schema = 1\n[study]\ndta = "x.csv"\ntime = 3\n[sampling]\nseed = -1\n')
    assert "3 mistakes" in message
    assert all(place in message for place in ("[study] dta", "[study] time", "[sampling] seed"))


def test_a_dataset_brings_its_own_columns():
    assert 'the study "asip" brings its own' in refused('schema = 1\n[study]\ndataset="asip"\nholds="after"\ntime="d"')
    assert "[study] holds: missing" in refused('schema = 1\n[study]\ndataset = "asip"')
    assert "[study] holds" in refused('schema = 1\n[study]\ndataset = "example"\nholds = "after"')
    assert "only `lever`" in refused('schema = 1\n[study]\ndataset = "example"\n[interventions.x]\ncolumn = "x"')


def test_open_todos_are_named_before_anything_else(analysis):
    with pytest.raises(UserError) as error:
        Analysis.read(changed(analysis, 'better = "lower"', 'better = "TODO"\nstp = 1'))
    assert "[study.scores.stress] better" in str(error.value)
    assert "no data can tell" in str(error.value)


def test_what_is_not_toml_is_said_to_be_so(analysis, tmp_path):
    with pytest.raises(UserError, match=r"analysis.toml is not valid TOML: .*line 10"):
        Analysis.read(changed(analysis, 'holds = "before"', "holds = before"))
    with pytest.raises(UserError, match="write / in place of"):
        Analysis.read(changed(analysis, "holds = before", 'data = "C:\\data\\x.csv"'))
    latin = tmp_path / "latin.toml"
    latin.write_bytes('title = "Käthe"'.encode("latin-1"))
    with pytest.raises(UserError, match="not text in UTF-8"):
        Analysis.read(latin)
    with pytest.raises(UserError, match="equipoise init"):
        Analysis.read(analysis.parent / "survey.csv")


def test_a_byte_order_mark_is_no_mistake(analysis):
    analysis.write_bytes(b"\xef\xbb\xbf" + analysis.read_bytes())
    assert Analysis.read(analysis).spec.report.title == "Ward programme"


def test_study_and_model_are_built_from_the_file(analysis, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # paths start from the analysis file, not from here
    parsed = Analysis.read(analysis)
    study = parsed.study()
    model = parsed.model(study)
    assert (study.n_clinicians, study.n_units, study.interventions) == (24, 4, ("mindfulness",))
    assert list(study.clinicians["clinician"])[:2] == ["000", "001"]
    assert (model.replenishment, model.depletion, model.interventions) == ("sleep", "", "both")
    assert parsed.sampling == {
        "draws": 100, "tune": 100, "chains": 2, "seed": 3, "target_accept": 0.8, "method": "nuts", "compare_spreads": True,
    }  # fmt: skip
    assert parsed.truth() is None


def test_spells_may_lie_in_a_file_of_their_own(analysis):
    (analysis.parent / "spells.csv").write_text("unit,start,end\nward 1,4,\nward 2,6,10\n")
    study = Analysis.read(changed(analysis, 'column = "mindfulness_on"', 'spells = "spells.csv"')).study()
    assert study.exposure_source == {"mindfulness": "spells"}
    assert len(study.spells) == 12


def test_a_lever_overrides_that_of_the_model(analysis):
    parsed = Analysis.read(changed(analysis, "[model]", 'lever = "depletion"\n\n[model]'))
    assert parsed.model(parsed.study()).interventions == {"mindfulness": "depletion"}


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ('replenishment = "slep"', "Did you mean 'sleep'?"),
        ("[model.priors]\nhalf_lif = { median = 2.0, factor = 3.0 }", "Did you mean 'half_life'?"),
        ("[model.priors]\nhalf_life = { median = -2.0, factor = 3.0 }", "half_life"),
    ],
)
def test_formulas_and_priors_are_checked_before_sampling(analysis, new, message):
    parsed = Analysis.read(changed(analysis, 'replenishment = "sleep"', new))
    study = parsed.study()
    with pytest.raises(UserError) as error:
        parsed.model(study)
    assert "[model]" in str(error.value) and message in str(error.value)


def test_an_intervention_s_shape_reaches_the_model(analysis):
    said = '[interventions.mindfulness]\nshape = ["delay", "ramp"]\nfixed = { delay = 1 }'
    path = changed(analysis, "[interventions.mindfulness]", said)
    read = Analysis.read(path)
    model = read.model(read.study())
    assert model.exposures["mindfulness"].shapes == ("delay", "ramp")
    assert dict(model.exposures["mindfulness"].fixed) == {"delay": 1.0}
    with pytest.raises(UserError, match="Did you mean 'ramp'"):
        wrong = Analysis.read(changed(path, '"ramp"', '"rampp"'))
        wrong.model(wrong.study())


def test_decisions_are_checked_before_anything_is_sampled(analysis):
    def with_decisions(text):
        return changed(analysis, "[report]", f"[decisions]\n{text}\n[report]")

    with pytest.raises(UserError, match=r"\[decisions\] worthwhile: missing"):
        Analysis.read(with_decisions('points = "score"'))
    with pytest.raises(UserError, match=r"\[decisions\] worthwhile"):
        Analysis.read(changed(analysis, 'points = "score"', "worthwhile = 0.0"))
    read = Analysis.read(changed(analysis, "worthwhile = 0.0", "worthwhile = 1\ncosts = { mindfullness = 3 }"))
    with pytest.raises(UserError, match="Did you mean 'mindfulness'"):
        read.study()
