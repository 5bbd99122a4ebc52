"""Methods that cite themselves: references of what was used, numbers of the fit, and BibTeX that parses."""

import re

import numpy as np
import pandas as pd
import pytest

from equipoise import CapacityModel, Score, Study
from equipoise.models.study_designs import DESIGNS as STUDY_DESIGNS
from equipoise.reports import checking, write_outputs
from equipoise.reports.bibliography import bibtex, cited, methods, numbered, references
from equipoise.reports.bibliography.entries import DATASETS, DESIGNS, ENTRIES, program
from equipoise.reports.bibliography.entry import REQUIRED
from equipoise.reports.bibliography.methods import MARK, cite, paragraphs
from equipoise.reports.material import Material


def parse(text: str) -> dict[str, tuple[str, dict[str, str]]]:
    """A reader of BibTeX that follows braces and nothing else."""
    found, at = {}, 0
    while (begin := text.find("@", at)) >= 0:
        head = re.compile(r"@(\w+)\{([A-Za-z0-9_-]+),\s*").match(text, begin)
        assert head, text[begin : begin + 60]
        fields, at = {}, head.end()
        while text[at] != "}":
            name = re.compile(r"(\w+) = \{").match(text, at)
            assert name, text[at : at + 60]
            depth, end = 1, name.end()
            while depth:
                depth += {"{": 1, "}": -1}.get(text[end], 0)
                end += 1
            assert name[1] not in fields
            fields[name[1]] = text[name.end() : end - 1]
            rest = re.compile(r",\s*").match(text, end)
            assert rest, text[end : end + 20]
            at = rest.end()
        assert head[2] not in found, f"{head[2]} is there twice"
        found[head[2]] = (head[1], fields)
        at += 1
        assert not text[at : text.find("@", at) if "@" in text[at:] else None].strip()
    return found


@pytest.mark.parametrize("key", list(ENTRIES))
def test_an_entry_is_whole_and_can_be_read_by_bibtex(key):
    entry = ENTRIES[key]
    [(found, (kind, fields))] = parse(entry.bibtex()).items()
    assert found == key and kind in REQUIRED and all(fields.get(name) for name in REQUIRED[kind])
    assert entry.bibtex().isascii(), "letters that classic BibTeX cannot set"
    for name, value in fields.items():
        if name not in ("doi", "url"):
            assert not re.search(r"(?<!\\)[&%$#_]", value), (name, value)
    if kind == "article":
        assert fields.get("doi") or fields["journal"] in ("Journal of Machine Learning Research", "Statistica Sinica")
        assert fields.get("pages") or int(fields["year"]) >= 2026
    assert re.fullmatch(r"10\.\d{4,5}/\S+", fields.get("doi", "10.1000/x")) and re.fullmatch(r"(1[89]|20)\d\d", fields.get("year", "2000"))
    for author in fields["author"].split(" and "):
        assert author == "others" or "," in author or author.startswith("{"), author
    told = entry.text()
    assert not set("{}") & set(told) and "\n" not in told and told.endswith((fields.get("doi", "."), f"arXiv:{fields.get('eprint')}"))
    assert (fields.get("year", "") in told) and "://" not in told


def test_how_a_reference_reads():
    assert ENTRIES["kruschke2021"].text() == (
        "Kruschke JK (2021). Bayesian analysis reporting guidelines. Nature Human Behaviour 5(10), 1282\N{EN DASH}1291. "
        "doi:10.1038/s41562-021-01177-7"
    )
    assert ENTRIES["vehtari2024"].text().endswith("Journal of Machine Learning Research 25(72), 1\N{EN DASH}58.")
    assert ENTRIES["pymc2023"].text().startswith("Abril-Pla O, Andreani V, Carroll C, et al. (2023).")
    assert ENTRIES["vetter2026"].text().startswith("Vetter VM, Kurth T, Konigorski S (2026). Evaluation")
    assert ENTRIES["sailynoja2022"].text().startswith("Säilynoja T, Bürkner PC, Vehtari A (2022).")
    assert '{\\"a}ilynoja' in ENTRIES["sailynoja2022"].bibtex() and "Chapman \\& Hall" in ENTRIES["hernan2020"].bibtex()
    assert program("Equipoise", "1.2").text() == "Equipoise developers. Equipoise. Computer program. Version 1.2."


def test_every_study_design_and_published_study_has_its_paper():
    assert set(DESIGNS) == set(STUDY_DESIGNS)
    assert {key for keys in DESIGNS.values() for key in keys} | set(DATASETS.values()) <= set(ENTRIES)


def test_the_report_cites_what_it_lists_and_lists_what_it_cites(fit, tmp_path):
    write_outputs(fit, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    material = Material(fit)
    listed = [e.key for e in cited(material)]
    assert len(listed) == len(set(listed)) and listed.index("uhlenbeck1930") < listed.index("pymc2023") < listed.index("kruschke2021")
    told = " ".join(b.text for b in methods(material).blocks)
    numbers = [int(n) for group in re.findall(r"\[(\d+(?:, \d+)*)\]", told) for n in group.split(", ")]
    firsts = list(dict.fromkeys(numbers))
    assert firsts == list(range(1, len(listed) + 1))  # numbered as they come, none left out
    items = references(material).blocks[1].items
    assert [item.split("]")[0] for item in items] == [f"[{n}" for n in firsts]
    assert list(parse((tmp_path / "references.bib").read_text(encoding="utf-8"))) == listed
    assert "Kruschke JK (2021). Bayesian analysis reporting guidelines." in page and MARK not in page


def test_numbers_in_the_methods_are_those_of_the_fit(fit):
    material = Material(fit)
    told = " ".join(b.text for b in methods(material).blocks)
    d = material.description
    assert f"{d['answered']} answers of 12 clinicians in 3 units" in told and "The log of replenishment depended on sleep." in told
    assert "2 chains of 120 draws after 100 of warm-up, acceptance target 0.95, seed 1" in told
    assert f"at most {fit.diagnostics['rhat'].max():.3f} (limit 1.01)" in told
    assert f"at least {fit.diagnostics[['ess_bulk', 'ess_tail']].min().min():.0f} (limit 400)" in told
    assert str(fit.priors["half_life"]) in told and "0 of 240 draws diverged" in told


def test_only_what_was_used_is_cited(fit, make_fit):
    plain = {e.key for e in cited(Material(fit))}
    assert {"hussey2007", "mundlak1978", "robins1986", "rubin1976", "dejong1991"} <= plain  # as this study and model have them
    assert not {"talts2018", "gneiting2007", "kruschke2018", "vetter2026", "gabry2019", "vohra2015"} & plain
    assert "kruschke2018" in {e.key for e in cited(Material(fit, decisions={"worthwhile": 4}))}
    assert "vetter2026" in {e.key for e in cited(Material(fit, dataset="asip"))}
    assert "proudfoot2003" in {e.key for e in cited(Material(fit, dataset="beat_the_blues"))}
    frame = pd.DataFrame({"id": np.repeat(np.arange(6), 5).astype(str), "week": np.tile(np.arange(5.0), 6),
                          "score": np.random.default_rng(0).integers(0, 11, 30)})  # fmt: skip
    study = Study.from_table(frame, clinician="id", time="week", time_unit="week", scores={"score": Score(range=(0, 10), better="higher")})
    bare = Material(make_fit(CapacityModel(level="sampled"), study))
    keys = {e.key for e in cited(bare)}
    assert not {"hussey2007", "mundlak1978", "robins1986", "rubin1976", "dejong1991"} & keys and {"kalman1960", "pymc2023"} <= keys
    assert "each clinician's level were integrated out" not in " ".join(b.text for b in methods(bare).blocks)


def test_refits_are_told_of_where_there_are_any(fit):
    ranks = {name: np.random.default_rng(k).integers(0, 100, 60).tolist() for k, name in enumerate(("level", "half_life"))}
    found = {"calibration": {"ranks": ranks, "among": 99, "rhat": [1.0] * 60, "divergences": [0] * 60, "ess": [900.0] * 60}}
    material = Material(fit, evidence=found)
    assert {"talts2018", "modrak2025", "sailynoja2022"} <= {e.key for e in cited(material)}
    assert checking.told(material.checks["calibration"]) in " ".join(b.text for b in methods(material).blocks)


def test_a_fit_that_did_not_converge_is_not_for_publication(fit, monkeypatch):
    monkeypatch.setitem(fit.facts, "warnings", [])
    assert "NOT FOR PUBLICATION" not in " ".join(b.text for b in methods(Material(fit)).blocks)
    monkeypatch.setitem(fit.facts, "warnings", ["The chains disagree."])
    assert "NOT FOR PUBLICATION: these draws did not converge" in " ".join(b.text for b in methods(Material(fit)).blocks)


def test_names_that_look_like_citations_stay_text(make_fit):
    rng = np.random.default_rng(0)
    label = f"{MARK}kruschke2021{MARK}[7]<b>{{\\cite{{x}}}}"
    frame = pd.DataFrame({"id": np.repeat(np.arange(6), 5).astype(str), "week": np.tile(np.arange(5.0), 6),
                          label: rng.integers(0, 11, 30)})  # fmt: skip
    study = Study.from_table(frame, clinician="id", time="week", time_unit="week", scores={label: Score(range=(0, 10), better="higher")})
    material = Material(make_fit(CapacityModel(), study))
    told = methods(material).blocks[0].text
    assert "kruschke2021 [7]<b>{\\cite{x}}" in told
    assert cited(material)[0].key != "kruschke2021"
    assert "<b>" not in bibtex(material)


def test_keys_are_numbered_as_they_come():
    told, keys = numbered([[f"One {cite('b', 'a')}.", f"Two {cite('c')}."], [f"Three {cite('a', 'c')}."]])
    assert told == [["One [1, 2].", "Two [3]."], ["Three [2, 3]."]] and keys == ["b", "a", "c"]


def test_all_citations_are_known(fit):
    keys = numbered(paragraphs(Material(fit, decisions={"worthwhile": 4}, dataset="asip")))[1]
    assert set(keys) <= set(ENTRIES) | {"equipoise"}
