"""What programmes are worth, their designs and their paths, as the report and the folder show them."""

import numpy as np
import pandas as pd
import pytest

from equipoise import CapacityModel, Study, datasets
from equipoise.inference import Fit
from equipoise.reports import write_outputs, write_report

from .test_studies import odd_names  # noqa: F401  (a fixture)

ESTIMANDS = {"horizon": 6.0, "threshold": 45.0, "by": ["unit"]}


@pytest.fixture(scope="module")
def wedge(make_fit):
    study = datasets.design_study(
        clinicians=12, surveys=8, units=4, interventions={"course": "stepped", "rounds": "parallel"}
    )
    return Fit(make_fit(CapacityModel(), study, draws=40).tree, study)


@pytest.fixture(scope="module")
def folder(wedge, tmp_path_factory):
    target = tmp_path_factory.mktemp("out")
    plan = pd.DataFrame({"unit": ["unit 1", "unit 2"], "intervention": "rounds", "start": [8.0, 9.0], "end": [np.nan, 12.0]})
    forecast = {"start": 5.0, "horizon": 8.0, "roll_out": plan}
    write_outputs(wedge, target, estimands=ESTIMANDS, forecast=forecast)
    return target


def test_the_folder_holds_tables_and_figures_of_it(folder):
    estimands = pd.read_csv(folder / "tables" / "estimands.csv")
    assert {"area", "share_below", "capacity_at_horizon", "time_to_90"} <= set(estimands["estimand"])
    assert set(estimands["group"]) == {"all clinicians", "unit 1", "unit 2", "unit 3", "unit 4"}
    forecast = pd.read_csv(folder / "tables" / "forecast.csv")
    assert set(forecast["regime"]) == {"no programme", "course", "rounds", "as recorded", "planned roll-out"}
    assert (forecast["time"].min(), forecast["time"].max()) == (5.0, 13.0)
    for name in ("sequences", "worth", "paths"):
        assert (folder / "figures" / f"{name}.svg").stat().st_size > 2000


def test_the_page_tells_it(folder):
    page = (folder / "report.html").read_text(encoding="utf-8")
    for said in (
        "What each programme is worth", "With and without each programme", "stepped-wedge trial", "controlled pre-post study",
        "planned roll-out", "nine tenths of its effect", "under the threshold of 45", "What programmes are worth, by group",
        "parallel trends",
    ):  # fmt: skip
        assert said in page, said
    assert "Not shown, since nobody but the reader" not in page


def test_what_is_not_asked_for_is_said_to_be_missing(wedge, tmp_path):
    page = write_report(wedge, tmp_path / "r.html").read_text(encoding="utf-8")
    assert "what needs a horizon or a threshold" in page
    assert "With and without each programme" not in page


def test_a_target_population_is_named(wedge, tmp_path):
    target = {"column": "unit", "shares": {"unit 1": 1.0, "unit 2": 3.0}}
    page = write_report(wedge, tmp_path / "r.html", estimands={"target": target}).read_text(encoding="utf-8")
    assert "What programmes are worth, over target population" in page


def test_dates_and_hostile_names(make_fit, odd_names, tmp_path):  # noqa: F811
    fit = Fit(make_fit(CapacityModel(), odd_names, draws=6).tree, odd_names)
    options = {"estimands": {"by": "unit"}, "forecast": {"start": "2024-02-15", "horizon": 4}}
    page = write_report(fit, tmp_path / "r.html", **options).read_text(encoding="utf-8")
    assert "From 2024-02-15 to 2024-06-15" in page
    assert "<script" not in page


def test_a_study_without_programmes_has_none_of_it(make_fit, tmp_path):
    study: Study = datasets.design_study(clinicians=6, surveys=4)
    page = write_report(make_fit(CapacityModel(), study, draws=6), tmp_path / "r.html").read_text(encoding="utf-8")
    assert "What each programme is worth" not in page and "Study designs" not in page


def test_the_lever_has_the_truth_beside_it(wedge, tmp_path):
    effects = pd.DataFrame({"intervention": ["course", "rounds"], "theta_alpha": [0.4, -0.1], "theta_beta": [0.1, -0.4]})
    page = write_report(wedge, tmp_path / "r.html", truth={"effects": effects}).read_text(encoding="utf-8")
    told = [part.split(".")[0] for part in page.split("In truth (simulated) it is mostly ")[1:]]
    assert told[:2] == ["replenishment", "depletion"]
