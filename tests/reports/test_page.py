"""What a report says, and the files it leaves."""

import re
import xml.etree.ElementTree as ET

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from equipoise.datasets import UserError
from equipoise.inference import load
from equipoise.reports import write_outputs, write_report
from equipoise.reports.caveats import half_life, levers
from equipoise.reports.material import Material


@pytest.fixture(scope="module")
def outputs(simulated, tmp_path_factory):
    """Everything written for the simulated study, with its truth."""
    folder = tmp_path_factory.mktemp("outputs")
    fit, truth = simulated
    names = write_outputs(fit, folder, title="Ward programme", truth=truth)
    return folder, names


@pytest.fixture(scope="module")
def page(outputs) -> str:
    return (outputs[0] / "report.html").read_text(encoding="utf-8")


def test_all_files_are_named_and_there(outputs):
    folder, names = outputs
    found = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    assert sorted(names) == found
    assert {"report.html", "tables/clinicians.csv", "tables/interventions.csv", "figures/interventions.svg"} <= set(
        found
    )


def test_page_needs_nothing_from_outside(page):
    assert "default-src 'none'" in page
    assert not re.search(r"<(script|link|img|iframe)|@import|url\((?!#)|\ssrc=", page)
    # namespaces are names, not addresses that are fetched
    assert not re.sub(r'xmlns(:\w+)?="[^"]*"', "", page).count("://")


def test_page_has_its_parts_in_order(page):
    titles = re.findall(r"<h2[^>]*>(.*?)</h2>", page)
    assert titles == [
        "Key results", "What was asked", "Checks", "The study", "The model", "The population", "Units", "Clinicians",
        "Interventions", "What each programme is worth", "What these data can and cannot tell", "Does the model fit?",
        "What the data added to the priors", "Does the answer depend on the choices?", "Was it computed right?", "How to read this",
        "How it was computed", "Reporting checklists", "Methods, ready to adapt", "References",
    ]  # fmt: skip
    assert '<html lang="en">' in page and '<h1 dir="auto">Ward programme</h1>' in page


def test_warnings_and_cautions_come_before_everything(fit, tmp_path, monkeypatch):
    monkeypatch.setitem(fit.facts, "warnings", ["The chains disagree."])
    monkeypatch.setitem(fit.facts, "cautions", ["No period effect."])
    page = write_report(fit, tmp_path / "r.html").read_text(encoding="utf-8")
    assert page.index("The chains disagree.") < page.index("No period effect.") < page.index("<h1")


def test_sentences_state_effects_with_their_uncertainty(page):
    found = re.search(
        r"mindfulness.: the data are compatible with a change of C\* between (.+?) and (.+?) points \(median (.+?)\), "
        r"averaged over all clinicians studied; the probability that it is positive is ([<>]? ?[\d.]+)",
        page.replace("&gt;", ">").replace("&lt;", "<"),
    )
    low, high, middle = (float(found[k].replace("−", "-")) for k in (1, 2, 3))
    assert low <= middle <= high


def test_truth_stands_beside_estimates(outputs, page, simulated):
    clinicians = pd.read_csv(outputs[0] / "tables" / "clinicians.csv", dtype={"clinician": str})
    true = simulated[1]["clinicians"].set_index("clinician")["beta"]
    mine = clinicians[clinicians["quantity"] == "beta"].set_index("clinician")["truth"]
    np.testing.assert_allclose(mine[true.index], true, rtol=1e-6)
    effects = pd.read_csv(outputs[0] / "tables" / "interventions.csv")
    given = simulated[1]["effects"].set_index("intervention")["theta_beta"]
    shown = effects[effects["effect"] == "ratio_beta"].set_index("intervention")["truth"]
    np.testing.assert_allclose(shown[given.index], np.exp(given), rtol=1e-6)
    inside = ((clinicians["low"] <= clinicians["truth"]) & (clinicians["truth"] <= clinicians["high"]))[
        clinicians["quantity"] == "capacity"
    ]
    assert f"{inside.sum()} of {len(inside)} (" in page and "hold the truth" in page
    assert "truth (simulated)" in (outputs[0] / "figures" / "units.svg").read_text(encoding="utf-8")


def test_figures_are_sound_svg_with_text_and_a_description(outputs):
    folder, names = outputs
    for name in (n for n in names if n.endswith(".svg")):
        root = ET.fromstring((folder / name).read_text(encoding="utf-8"))
        assert root.find("{http://www.w3.org/2000/svg}title").text
        assert list(root.iter("{http://www.w3.org/2000/svg}text")), name
        assert not list(root.iter("{http://www.w3.org/2000/svg}metadata")), name


def test_figures_in_the_page_follow_its_colours_and_are_described(page, outputs):
    drawings = re.findall(r"<svg.*?</svg>", page, re.S)
    assert len(drawings) == sum(name.endswith(".svg") for name in outputs[1]) >= 13
    for drawing in drawings:
        assert 'role="img"' in drawing and re.search(r'aria-label="[^"]{20,}"', drawing)
        assert "var(--" in drawing and not re.search(r"(fill|stroke): #", drawing)


def test_same_draws_give_the_same_bytes_whatever_the_session(fit, tmp_path):
    first = write_outputs(fit, tmp_path / "a")
    fit.save(tmp_path / "fit.nc")
    with mpl.rc_context({"font.size": 31.0, "axes.grid": True}):
        before = dict(mpl.rcParams)
        again = write_outputs(load(tmp_path / "fit.nc"), tmp_path / "b")
        assert dict(mpl.rcParams) == before
    assert first == again
    for name in first:
        content = (tmp_path / "a" / name).read_bytes()
        assert content == (tmp_path / "b" / name).read_bytes(), name
        assert b"truth (simulated)" not in content and b">truth<" not in content


def test_half_life_that_repeats_its_prior_is_said_to_be_unknown(fit):
    assert "α and β are not told apart" in half_life(Material(fit))


def test_confounded_levers_are_said_to_be_unknown(fit):
    # in the prior the common speed-up is much wider than the change of C*
    for sentence in levers(Material(fit))[:2]:
        assert "go together in the posterior" in sentence and "cannot be told" in sentence
        assert "0.50 before the data" in sentence


@pytest.mark.parametrize(
    "options", [{"prob": 1.0}, {"prob": "89"}, {"clinicians_shown": -1}, {"clinicians_shown": 2.5}]
)
def test_options_that_make_no_sense(options, fit, tmp_path):
    with pytest.raises(UserError, match=next(iter(options))):
        write_report(fit, tmp_path / "r.html", **options)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_to(fit, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="cannot write"):
        write_report(fit, tmp_path / "file" / "r.html")
    assert (tmp_path / "file").read_text() == "mine"


def test_what_is_not_asked_for_or_not_there_is_left_out(fit, tmp_path, monkeypatch):
    monkeypatch.setitem(fit.facts, "warnings", [])
    page = write_report(fit, tmp_path / "r.html", clinicians_shown=0).read_text(encoding="utf-8")
    assert "figure-trajectories" not in page and "figure-units" in page
    assert '<aside class="banner"' not in page


def test_what_to_choose_is_said_only_where_the_worthwhile_change_is_stated(fit, tmp_path):
    assert "What to choose" not in write_report(fit, tmp_path / "a.html").read_text()
    page = write_report(fit, tmp_path / "b.html", decisions={"worthwhile": 4, "points": "score"}).read_text()
    assert "What to choose" in page and "sceptical" in page and "worthwhile with probability" in page
    with pytest.raises(UserError, match="smallest worthwhile change"):
        write_report(fit, tmp_path / "c.html", decisions={"worthwhile": -1})
    assert not (tmp_path / "c.html").exists()
