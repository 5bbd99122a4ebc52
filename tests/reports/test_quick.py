"""A quick look is marked wherever it is shown, and every figure and table copes with one chain without R-hat."""

import re

import pandas as pd
import pytest

from equipoise import CapacityModel, datasets, simulate
from equipoise.datasets.errors import UserError
from equipoise.inference import Fit
from equipoise.inference.comparison import compare
from equipoise.reports import write_outputs
from equipoise.reports.checklists import CHECKLISTS, answers
from equipoise.reports.checklists.item import DONE, NOT_APPLICABLE, NOT_DONE, NOT_MET
from equipoise.reports.comparing import write_comparison
from equipoise.reports.material import Material
from equipoise.reports.sharing.page import write_share

QUALITY = {"method": "laplace", "pareto_k": 0.31, "effective": 140.0, "proposals": 512}
MARK, DOUBT = "APPROXIMATE: a quick look.", "DO NOT TRUST: its weights are bad."


@pytest.fixture(scope="module")
def make_look(make_fit):
    planned = datasets.design_study(
        clinicians=10, surveys=8, units=2, gap=2, covariates=("sleep",), interventions={"course": "parallel"}, seed=2
    )
    model = CapacityModel(replenishment="sleep")
    made = simulate(model, planned, {"level": 55.0, "half_life": 4.0}, seed=3)

    def make_look(*said):
        look = make_fit(model, made.study, draws=200, chains=1, known={"total_sd": 15.0}, quality=QUALITY, said=said)
        return Fit(look.tree, made.study)

    return make_look


@pytest.fixture(scope="module")
def look(make_look):
    return make_look(MARK)


@pytest.fixture(scope="module")
def written(look, tmp_path_factory):
    folder = tmp_path_factory.mktemp("look")
    options = {"decisions": {"worthwhile": 5.0}, "estimands": {"horizon": 10.0}, "forecast": {"start": 8.0, "horizon": 10.0}}
    return folder, write_outputs(look, folder, **options)


def words(folder) -> str:
    page = (folder / "report.html").read_text(encoding="utf-8")
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"<(svg|style).*?</\1>", "", page, flags=re.S)))


def test_the_page_says_first_of_all_what_it_shows(written):
    text = words(written[0])
    assert text.index(MARK) < text.index("Key results") < text.index("Checks")
    assert "No-U-Turn" not in text and "warm-up" not in text and "nan" not in text.split()
    assert "NOT FOR PUBLICATION" in text and "0.31" in text and "140" in text
    guide = text[text.index("How to read this Capacity C") :]
    assert "Pareto k" in guide and "off by" in guide and "R-hat, ESS" not in text


def test_every_table_and_figure_is_there(written):
    folder, names = written
    assert {"figures/interventions.svg", "figures/trajectories.svg", "figures/paths.svg", "figures/check_predictive.svg"} <= set(names)
    assert all((folder / name).stat().st_size for name in names)
    numbers = (folder / "tables" / "diagnostics.csv").read_text()
    assert "nan" not in numbers.lower() and "inf" not in numbers.lower()


def test_whatever_is_copied_from_it_says_what_it_is(written):
    folder, _ = written
    for table in (folder / "tables").iterdir():
        told = pd.read_csv(table).get("method")
        if table.stem in ("scores", "checklist_barg", "checklist_wambs"):
            assert told is None, table
        else:
            assert (told == "approximate: a quick look").all(), table
    for drawing in (folder / "figures").iterdir():
        made_of_draws = drawing.stem not in ("sequences", "design")
        assert ("Approximate: a quick look." in drawing.read_text(encoding="utf-8")) == made_of_draws, drawing
    page = (folder / "report.html").read_text(encoding="utf-8")
    cards = re.search(r'<dl class="cards">(.*?)</dl>', page, flags=re.S)[1]
    assert cards.count("<dt>") == cards.count("approximate: a quick look") > 0
    assert "<i>approximate: a quick look</i>" in re.search(r"<caption>Effects of the interventions.*?</caption>", page)[0]
    assert "approximate" not in re.search(r"<caption>Choices of the model.*?</caption>", page)[0]


def test_what_is_compared_with_others_says_which_it_is(look, make_fit, tmp_path):
    sampled = make_fit(look.model, look.study, draws=80, known={"total_sd": 15.0})
    write_comparison(compare({"first": look, "sampled": sampled}), tmp_path)
    assert "Approximate: a quick look: first." in (tmp_path / "figures" / "compared.svg").read_text(encoding="utf-8")
    for table in (tmp_path / "tables").iterdir():
        frame = pd.read_csv(table)
        assert (frame["method"].eq("approximate: a quick look") == frame["analysis"].eq("first")).all(), table


def test_it_is_not_shared(look, tmp_path):
    with pytest.raises(UserError, match="not for sharing"):
        write_share(look, tmp_path / "shared", key=b"0" * 32)
    assert not (tmp_path / "shared").exists()


def test_methods_cite_what_was_done(written):
    cited = (written[0] / "references.bib").read_text()
    assert {"rue2009", "tierney1986", "vehtari2024"} <= set(re.findall(r"@\w+\{(\w+),", cited))
    assert "hoffman2014" not in cited and "kallioinen2024" not in cited


def test_checklists_know_that_it_is_an_approximation(look):
    material = Material(look)
    found = {(name, item.code): answer for name in CHECKLISTS for item, answer in answers(material, name)}
    for list_, number, state in (
        ("barg", "2B", NOT_MET), ("barg", "2D", DONE), ("barg", "5A", NOT_DONE), ("wambs", "2", NOT_MET), ("wambs", "3", NOT_DONE),
        ("wambs", "4", NOT_MET), ("wambs", "5", NOT_APPLICABLE), ("wambs", "9", NOT_DONE),
    ):  # fmt: skip
        assert found[list_, number].state == state, (list_, number)
    assert "0.31" in found["barg", "2D"].evidence
    assert not any("equipoise sensitivity" in answer.evidence for answer in found.values())  # it would be refused


def test_one_that_cannot_be_trusted_says_less_of_what_was_learnt(make_look):
    from equipoise.reports.caveats import half_life

    good, bad = (Material(make_look(*said)) for said in ((MARK,), (DOUBT, MARK)))
    assert good.checks["sampling"].passed is True and bad.checks["sampling"].passed is False
    for material in (good, bad):  # narrow draws that are wrong would look like much learnt
        material.learnt.loc[material.learnt["quantity"] == "half_life", "learnt"] = 0.9
    assert "told apart by the data" in half_life(good) and half_life(bad) == ""
