"""Analyses side by side on one page: what it says, what it refuses to say, and the files it leaves."""

import re
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from equipoise import CapacityModel, datasets, simulate
from equipoise.datasets import UserError
from equipoise.inference.comparison import compare
from equipoise.reports.comparing import labelled, predictions, write_comparison

HOSTILE = "<script>alert('x')</script> & $a_b$"
KNOWN = {"total_sd": 15.0}


@pytest.fixture(scope="module")
def made():
    planned = datasets.design_study(
        clinicians=12, surveys=7, units=3, gap=2, jitter=0.2, missing=0.1, covariates=("sleep",),
        interventions={"debriefing": "parallel", "mindfulness": "stepped"}, seed=2,
    )  # fmt: skip
    return simulate(CapacityModel(), planned, {"level": 55.0, "half_life": 4.0}, seed=3).study


@pytest.fixture(scope="module")
def three(made, make_fit):
    """Three analyses of one study: without a convergence problem, with a lever held fixed, with another prior."""
    models = {
        "main": CapacityModel(replenishment="sleep"),
        "one lever": CapacityModel(interventions="replenishment"),
        HOSTILE: CapacityModel(priors={"half_life": {"median": 3, "factor": 2}}),
    }
    return {label: make_fit(model, made, draws=80, known=KNOWN) for label, model in models.items()}


@pytest.fixture(scope="module")
def written(three, tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    comparison = compare(three, {label: {"horizon": 20} for label in three})
    return folder, write_comparison(comparison, folder), comparison


@pytest.fixture(scope="module")
def page(written) -> str:
    return (written[0] / "report.html").read_text(encoding="utf-8")


def test_all_files_are_named_and_there(written):
    folder, names, _ = written
    found = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    assert sorted(names) == found == [
        "figures/compared.svg", "report.html", "tables/estimands.csv", "tables/loo.csv", "tables/population.csv",
    ]  # fmt: skip


def test_the_page_has_its_parts_and_needs_nothing_from_outside(page):
    assert re.findall(r"<h2[^>]*>(.*?)</h2>", page) == [
        "Key results", "What is compared", "Which predicts better", "What the programmes are worth in each",
        "The median clinician in each", "How to read this",
    ]  # fmt: skip
    assert "default-src 'none'" in page and "<script" not in page and "&lt;script&gt;" in page
    assert not re.sub(r'xmlns(:\w+)?="[^"]*"', "", page).count("://")
    assert '<dl class="cards">' not in page


def test_warnings_of_every_analysis_come_first(page, three):
    assert all(fit.warnings for fit in three.values())
    for label in ("main", "one lever"):
        found = page.index(f"{label}: ")
        assert page.index('<aside class="banner"') < found < page.index("<h1")


def test_a_warning_that_analyses_share_is_told_once():
    assert labelled({"a": ["No convergence.", "x"], "b": ["No convergence."]}) == ["a and b: No convergence.", "a: x"]


def test_tables_hold_what_was_compared(written, three):
    folder, _, comparison = written
    loo = pd.read_csv(folder / "tables" / "loo.csv")
    assert set(loo["unit_left_out"]) == {"survey", "clinician"} and set(loo["analysis"]) == set(three)
    np.testing.assert_allclose(loo["elpd_diff"], comparison.loo["elpd_diff"], rtol=1e-6, atol=1e-9)
    estimands = pd.read_csv(folder / "tables" / "estimands.csv")
    rows = estimands[(estimands["analysis"] == "main") & (estimands["against"] != "") & (estimands["estimand"] == "area")]
    alone = three["main"].estimands(horizon=20)
    alone = alone[(alone["estimand"] == "area") & (alone["group"] == "all clinicians")]
    np.testing.assert_allclose(rows["median"], alone["median"], rtol=1e-6)
    population = pd.read_csv(folder / "tables" / "population.csv")
    assert len(population) == 4 * len(three) and set(population["time_unit"]) == {"week"}


def test_the_forest_shows_each_analysis_in_each_panel(written):
    root = ET.fromstring((written[0] / "figures" / "compared.svg").read_text(encoding="utf-8"))
    words = ["".join(t.itertext()) for t in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"steady state C*", "replenishment α", "depletion β", "capacity gained", "main", "one lever"} <= set(words)
    assert {"mindfulness + debriefing", "debriefing + mindfulness"} & set(words) and words.count("against no programme") == 3
    assert root.find("{http://www.w3.org/2000/svg}title").text.startswith("Effects in 3 analyses")


def test_where_the_analyses_differ_is_told(page):
    table = page[page.index("Where they differ") :]
    table = re.sub(r"<[^>]+>", "|", table[: table.index("</table>")])
    assert "sleep" in table and "lever: mindfulness" in table and "replenishment" in table
    assert "priors: half life" in table and "median 3" in table and "default" in table
    assert "start" not in table  # the same in all


def test_a_lever_held_fixed_is_not_an_effect(written, page):
    _, _, comparison = written
    fixed = comparison.estimands.query("analysis == 'one lever' and estimand == 'ratio_beta' and against != ''")
    assert (fixed["sd"] < 1e-12).all() and "held fixed" in page


def loo(*rows):
    columns = ["analysis", "elpd_diff", "se_diff", "n_high_k"]
    frame = pd.DataFrame(rows, columns=columns).assign(unit_left_out="survey", n_left_out=200)
    return SimpleNamespace(loo=frame)


def plainly(comparison):
    return re.sub("[\u2068\u2069]", "", predictions(comparison, "survey")[0])


def test_a_small_difference_is_no_reason_and_a_large_one_no_truth():
    small = plainly(loo(["a", 0.0, 0.0, 0], ["b", -3.2, 0.4, 0], ["c", -9.0, 6.0, 0]))
    assert "a has the highest" in small and "predict" not in small.replace("predictive", "")
    assert "b (−3.2, standard error 0.4) and c (−9.0, standard error 6.0) is no reason to prefer either" in small
    large = plainly(loo(["a", 0.0, 0.0, 0], ["b", -30.0, 5.0, 0]))
    assert "b (−30.0, standard error 5.0) predicts such answers worse" in large and "not make the best analysis true" in large
    shaky = plainly(loo(["a", 0.0, 0.0, 50], ["b", -30.0, 5.0, 0]))
    assert "decide nothing" in shaky and "worse" not in shaky


def test_other_answers_give_a_sentence_in_place_of_numbers(three, make_fit, made, tmp_path):
    model = CapacityModel()
    planned = datasets.design_study(clinicians=8, surveys=6, units=2, gap=1, seed=5)
    other = make_fit(model, simulate(model, planned, {"level": 60.0, "half_life": 4.0}, seed=1).study, draws=60, known=KNOWN)
    comparison = compare({"main": three["main"], "other": other}, {"main": {"threshold": 50}})
    names = write_comparison(comparison, tmp_path, title="Two studies")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "tables/loo.csv" not in names and "figures/compared.svg" in names
    assert page.count("Predictions are not compared") == 2 and "<h1 dir=\"auto\">Two studies</h1>" in page
    assert "Without programmes, and so without their effects: other." in page


def test_without_programmes_there_are_predictions_and_the_median_clinician(make_fit, tmp_path):
    planned = datasets.design_study(clinicians=8, surveys=6, units=2, gap=1, seed=5)
    study = simulate(CapacityModel(), planned, {"level": 60.0, "half_life": 4.0}, seed=1).study
    fits = {start: make_fit(CapacityModel(start=start), study, known=KNOWN) for start in ("displaced", "free")}
    names = write_comparison(compare(fits), tmp_path)
    assert sorted(names) == ["report.html", "tables/loo.csv", "tables/population.csv"]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "The median clinician in each" in page and "<figure" not in page


def test_many_analyses_fit_in(three, tmp_path):
    fits = {f"{n}: an analysis with a rather long name {n}": three["main"] for n in range(12)}
    comparison = compare(fits)
    write_comparison(comparison, tmp_path)
    assert "Study, model and sampling are the same in all of them." in (tmp_path / "report.html").read_text(encoding="utf-8")
    np.testing.assert_allclose(comparison.loo["elpd_diff"], 0, atol=1e-9)


def test_same_draws_give_the_same_bytes(written, tmp_path):
    folder, names, comparison = written
    assert write_comparison(comparison, tmp_path) == names
    for name in names:
        assert (folder / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_a_place_that_cannot_be_written_to(written, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="cannot write"):
        write_comparison(written[2], tmp_path / "file")
