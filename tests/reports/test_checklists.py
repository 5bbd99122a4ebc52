"""Reporting checklists: every item, with evidence of this very fit or a word on what is left to do."""

import io
import json
import re
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest

from equipoise import CapacityModel, datasets, simulate
from equipoise.inference import Fit
from equipoise.inference.refits.sensitivity import EFFECTS, rows_of
from equipoise.inference.refits.variants import VARIANTS
from equipoise.reports import write_outputs
from equipoise.reports.checklists import CHECKLISTS, answers, files, section
from equipoise.reports.checklists.item import AUTHORS, DONE, NOT_APPLICABLE, NOT_DONE, NOT_MET, STATES
from equipoise.reports.material import Material
from equipoise.reports.table_files import to_csv

BARG = ["A", "B", "1A", "1B", "1C", "1D", "1E", "2A", "2B", "2C", "2D", "3A", "3B", "3C", "4A", "4B", "4C", "4D", "4E",
        "5A", "5B", "5C", "5D", "5E", "6A", "6B", "6C", "6D", "6E", "6F"]  # fmt: skip
STATEMENTS = {
    "why_bayesian": "Partial pooling of short series.", "priors_justified": "From 48 panel studies.", "sensible": "As in our wards.",
    "worthwhile_justified": "Three points of exhaustion.", "data_available": "On request.", "code_available": "With the paper.",
}  # fmt: skip


@pytest.fixture(scope="module")
def good_fit(make_fit):
    """A fit with enough draws, and its study."""
    planned = datasets.design_study(clinicians=10, surveys=8, units=2, gap=2, interventions={"course": "parallel"}, seed=2)
    made = simulate(CapacityModel(), planned, {"level": 55.0, "half_life": 4.0}, seed=3)
    fit = make_fit(CapacityModel(), made.study, draws=500, chains=4, known={"total_sd": 15.0})
    return Fit(fit.tree, made.study)


def panel(fit, names=tuple(VARIANTS), change=lambda variant: variant) -> dict:
    """Evidence of the sensitivity panel in which nothing changes, but for ``change``."""
    base = {"name": "base", "words": "as fitted", "believed": True, "divergences": 0, "draws": 2000, "rhat": 1.001, "seconds": None,
            "rows": rows_of(fit, {"show": list(EFFECTS)}, 0.89)}  # fmt: skip
    for row in base["rows"]:
        row["rhat"] = 1.001
        if row["estimand"] == "capacity_change":
            row |= {"p_positive": 0.99}
    others = [deepcopy(base) | {"name": n, "words": VARIANTS[n].words, "believed": VARIANTS[n].believed} for n in names]
    return {"variants": [base, *(change(v) for v in others)], "dropout": [], "prob": 0.89}


def doubled(**changed) -> dict:
    """Evidence of twice the draws from another seed."""
    z = np.linspace(-1.9, 1.9, 40)
    rows = [{"quantity": "level", "what": "mean", "one": 50.0, "other": 50.1, "mcse": 0.1, "sd": 2.0, "z": 1.0}]
    return {
        "rows": rows, "count": 40, "z": z.tolist(), "independent": 10.0, "relative": 0.05, "percent": 1.0, "rhat": 1.002, "ess": 900.0,
        "divergences": 0, "warnings": [], "sampling": {"draws": 1000, "tune": 1000, "chains": 4, "seed": 2, "target_accept": 0.9},
    } | changed  # fmt: skip


def states(material, name: str) -> dict[str, str]:
    return {item.code: answer.state for item, answer in answers(material, name)}


def evidence(material, name: str, code: str) -> str:
    return next(answer.evidence for item, answer in answers(material, name) if item.code == code)


def test_every_item_of_both_lists_is_answered(fit):
    material = Material(fit)
    assert [item.code for item in CHECKLISTS["barg"][1]] == BARG
    assert [item.code for item in CHECKLISTS["wambs"][1]] == [str(n) for n in range(1, 11)]
    for name in CHECKLISTS:
        for item, answer in answers(material, name):
            assert answer.state in STATES and len(answer.evidence) > 10 and item.stage and item.asked, item.code
            assert answer.done is (answer.state == DONE)


def test_what_nobody_has_done_is_not_claimed(fit):
    """Loaded without its study, without refits, with few draws and nothing stated."""
    material = Material(fit)
    barg, wambs = states(material, "barg"), states(material, "wambs")
    assert {code for code, state in barg.items() if state == NOT_DONE} == {"1E", "5A", "5C", "6E"}
    assert {code for code, state in barg.items() if state == AUTHORS} == {"A", "1C", "6B", "6D"}
    assert {code for code, state in barg.items() if state == NOT_APPLICABLE} == {
        "2D", "3C", "4A", "4B", "4C", "4D", "4E", "5B", "5D", "5E",
    }  # fmt: skip
    assert {code for code, state in wambs.items() if state == NOT_DONE} == {"3", "7", "8", "9"}
    assert "equipoise sensitivity" in evidence(material, "barg", "5A") and "--doubling" in evidence(material, "wambs", "3")
    assert "`why_bayesian` in [report.statements]" in evidence(material, "barg", "A")


def test_all_is_done_where_all_is_given(good_fit):
    given = {"sensitivity": panel(good_fit), "doubling": doubled()}
    material = Material(good_fit, evidence=given, statements=STATEMENTS, decisions={"worthwhile": 4})
    open_items = {code: state for code, state in states(material, "barg").items() if state not in (DONE, NOT_APPLICABLE)}
    assert open_items == {"6E": NOT_DONE}  # a report cannot say this of itself
    assert set(states(material, "wambs").values()) == {DONE}
    assert "Stated: Three points of exhaustion." in evidence(material, "barg", "4C")
    assert "worthwhile from 4 points" in evidence(material, "barg", "4C")
    assert f"most {good_fit.diagnostics['rhat'].max():.3f} (limit 1.01); 0 draws of 2000" in evidence(material, "barg", "2B")
    least = good_fit.diagnostics[["ess_bulk", "ess_tail"]].min()
    assert f"at least {least['ess_bulk']:.0f} (bulk) and {least['ess_tail']:.0f} (tail" in evidence(material, "barg", "2C")
    prior = material.checks["prior_predictive"].table
    inside = ((prior["low"] <= prior["observed"]) & (prior["observed"] <= prior["high"])).sum()
    assert f"{inside} of {len(prior)} statistics" in evidence(material, "barg", "1E")
    assert "40 numbers none differs by more than 1.9 Monte Carlo errors" in evidence(material, "wambs", "3")
    assert f"{VARIANTS['wide_spreads'].words}: no conclusion changes" in evidence(material, "wambs", "7")
    assert f"{len(VARIANTS)} other assumptions fitted anew" in evidence(material, "wambs", "9")


@pytest.mark.parametrize("trouble", ["warnings", "rhat", "divergences", "incomplete"])
def test_convergence_is_not_claimed_for_a_fit_in_trouble(good_fit, trouble, monkeypatch):
    table = good_fit.diagnostics.copy()
    bad = Fit(good_fit.tree.copy(), good_fit.study)
    if trouble == "warnings":
        bad.facts["warnings"] = ["3 of 90 quantities have an effective sample size under 400."]
    elif trouble == "rhat":
        table.loc[4, "rhat"] = 1.2
    elif trouble == "divergences":
        stats = bad.tree["sample_stats"].to_dataset()
        bad.tree["sample_stats"] = stats.assign(diverging=stats["diverging"] | (stats["draw"] < 2))
    else:
        bad.facts["complete"] = False
    bad.diagnostics = table
    material = Material(bad)
    assert states(material, "barg")["2B"] == states(material, "wambs")["2"] == NOT_MET
    assert "2B" in section(material).blocks[1].text.partition("Not met: ")[2].partition(";")[0]


def test_few_effective_draws_are_not_met(good_fit):
    table = good_fit.diagnostics.copy()
    table.loc[2, ["ess_bulk", "ess_tail"]] = 100.0
    poor = Fit(good_fit.tree, good_fit.study)
    poor.diagnostics = table
    material = Material(poor)
    assert states(material, "barg")["2C"] == states(material, "wambs")["4"] == states(material, "wambs")["5"] == NOT_MET


def test_conclusions_that_change_are_not_met(good_fit):
    def turned(variant):
        if variant["name"] == "wide_spreads":
            for row in variant["rows"]:
                if row["estimand"] == "capacity_change":
                    row["p_positive"] = 0.2
        return variant

    material = Material(good_fit, evidence={"sensitivity": panel(good_fit, change=turned)})
    barg, wambs = states(material, "barg"), states(material, "wambs")
    assert barg["5A"] == barg["5C"] == wambs["7"] == wambs["8"] == wambs["9"] == NOT_MET
    assert "conclusions change with wide priors of spreads" in evidence(material, "wambs", "7")


def test_what_was_left_out_of_the_panel_or_did_not_converge_is_not_done(good_fit):
    material = Material(good_fit, evidence={"sensitivity": panel(good_fit, names=("start_free", "wide_effects"))})
    assert states(material, "wambs")["7"] == NOT_DONE and states(material, "wambs")["8"] == DONE
    assert "is not among what was fitted" in evidence(material, "wambs", "7")
    unconverged = panel(good_fit, change=lambda v: v | ({"rhat": 1.4} if v["name"] == "wide_spreads" else {}))
    material = Material(good_fit, evidence={"sensitivity": unconverged})
    assert states(material, "wambs")["7"] == NOT_DONE and "did not converge" in evidence(material, "wambs", "7")
    assert f"Not converged: {VARIANTS['wide_spreads'].words}." in evidence(material, "wambs", "8")


def test_a_second_run_that_differs_is_not_met(good_fit):
    z = np.linspace(-1.9, 1.9, 40)
    z[0] = 9.0
    material = Material(good_fit, evidence={"doubling": doubled(z=z.tolist())})
    assert states(material, "wambs")["3"] == NOT_MET
    material = Material(good_fit, evidence={"doubling": doubled(warnings=["The chains disagree."])})
    assert states(material, "wambs")["3"] == NOT_MET


def test_stated_priors_have_to_be_told_of(make_fit):
    model = CapacityModel(priors={"half_life": {"median": 8, "factor": 2}})
    planned = datasets.design_study(clinicians=6, surveys=6, seed=2)
    fit = make_fit(model, simulate(model, planned, {"level": 55.0}, seed=3).study)
    material = Material(fit)
    assert states(material, "barg")["5B"] == AUTHORS and "half_life" in evidence(material, "barg", "5B")
    assert "1 of them was stated" in evidence(material, "barg", "1C")


def test_no_person_is_named(good_fit):
    material = Material(good_fit, evidence={"sensitivity": panel(good_fit), "doubling": doubled()})
    told = " ".join(a.evidence for name in CHECKLISTS for _, a in answers(material, name))
    assert not [c for c in material.clinician_names if re.search(rf"\b{re.escape(c)}\b", told)]


def test_page_and_files_say_the_same(good_fit, tmp_path):
    hostile = {"why_bayesian": "<script>alert(1)</script>\u202e=cmd", "goals": "=1+1"}
    written = write_outputs(good_fit, tmp_path, statements=hostile)
    assert {"tables/checklist_barg.csv", "tables/checklist_wambs.csv"} <= set(written)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Stated: &lt;script&gt;alert(1)&lt;/script&gt; =cmd" in page and "<script" not in page
    material = Material(good_fit, statements=hostile)
    for name in CHECKLISTS:
        table = pd.read_csv(tmp_path / "tables" / f"checklist_{name}.csv", dtype=str)
        pd.testing.assert_frame_equal(table, pd.read_csv(io.StringIO(to_csv(files(material)[f"checklist_{name}"])), dtype=str))
        counts = table["state"].value_counts()
        applies = len(table) - counts.get(NOT_APPLICABLE, 0)
        assert f"{counts[DONE]} of the {applies} items that apply are done" in page
        assert not table.map(lambda cell: str(cell).startswith(("=", "+", "-", "@"))).to_numpy().any()
    json.dumps([a.evidence for name in CHECKLISTS for _, a in answers(material, name)])
