"""The shared page, its tables and figures: sections that are known to be safe, and those of the report made from safe tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ...datasets.errors import UserError
from .. import caveats, prose, sections, table_files, tables
from ..blocks import Bullets, Code, Fold, Picture, Section, Table, text
from ..figures import draw
from ..format import DASH, count, lasting, name, number, percent, short, thinned
from ..page import TITLE, Shown, render, shown, write
from .material import SharedMaterial
from .plan import make_plan

# figures that show nothing but what their material gives them; not those of clinicians, paths and draws
FIGURES = ("sequences", "layers", "covariates", "units", "interventions", "worth", "paths")
# checks whose question and verdict (no sentence, table or figure) say nothing of a person or unit
CHECKS = (
    "sampling", "predictive", "loo_pit", "cross_validation", "learnt", "power_scaling", "sensitivity", "doubling", "calibration",
)  # fmt: skip
DIGITS = 4  # significant digits of numbers in CSV files: more would help to take sums apart, and nobody else


def write_share(
    fit, folder, *, key: bytes | None, smallest: int = 10, title: str | None = None, prob: float = 0.89,
    decisions: Mapping | None = None, estimands: Mapping | None = None, forecast: Mapping | None = None,
    evidence: Mapping[str, dict] | None = None,
) -> list[str]:  # fmt: skip
    """Write ``report.html``, ``tables/*.csv`` and ``figures/*.svg`` that hold nothing on fewer clinicians than the smallest cell.

    Parameters
    ----------
    fit : Fit
        With its study.
    folder : path
        Made if it is not there.
    key : bytes or None
        Of the pseudonyms of units; None: units that are shown keep their names.
    smallest : int
        The smallest cell, at least 5.
    title, prob, decisions, estimands, forecast, evidence
        As for `write_report`.

    Returns
    -------
    list of str
        The files written, relative to the folder.

    Raises
    ------
    UserError
        As in `make_plan` and `write_report`, and for a quick look.
    """
    if fit.approximate:
        raise UserError("a quick look is not for sharing: sample first (without --quick, or with method = \"nuts\").")
    plan = make_plan(fit.study, fit.model, smallest, estimands, forecast)
    material = SharedMaterial(fit, plan, key, prob, decisions, estimands, forecast, evidence)
    made = {label: shown(label, lambda label=label: _draw(label, material)) for label in FIGURES}
    figures: dict[str, Shown] = {label: figure for label, figure in made.items() if figure is not None}
    page = render(
        title=title or TITLE, warnings=material.fit.warnings, cautions=material.cautions, notice=notice(material),
        headline=prose.headline(material), summary=prose.summary(material), prob=prob, sections=_sections(material),
        figures=figures, in_folder=True,
    )  # fmt: skip
    written = {"report.html": page}
    written |= {f"tables/{label}.csv": table_files.to_csv(rounded(frame)) for label, frame in _files(material).items()}
    written |= {f"figures/{figure.name}.svg": figure.file for figure in figures.values()}
    for file, content in written.items():
        write(Path(folder) / file, content)
    return list(written)


def notice(material) -> list[str]:
    """What the page is, at its head."""
    s = material.summary
    said = [
        f"Shared version. It holds results on groups of at least {s.smallest} clinicians: what would be about fewer is left out, and "
        "so is what could give it away by sums and differences. No clinician is shown; individual results belong to the person they "
        "are about."
    ]
    if s.units > 1:
        some = "Units with fewer clinicians are left out"
        if s.left_out is not None:
            some = f"{s.left_out} of {count(s.units, 'unit')} {'is' if s.left_out == 1 else 'are'} left out" if s.left_out else (
                "No unit had to be left out"
            )  # fmt: skip
        names = "; the names of units are pseudonyms, the same in all reports made with the same key." if s.pseudonyms else "."
        said.append(some + names)
    return said


def _draw(figure: str, material):
    if figure == "units" and len(material.unit_names) < 2:
        return None
    return draw(figure, material)


def _sections(material) -> list[Section]:
    made = (
        sections.question(material), _study(material), _model(material), _population(material), _units(material),
        sections.interventions(material), _or_left_out(sections.worth(material), bool(material.interventions), "worth"),
        sections.decisions(material), _or_left_out(sections.paths(material), bool(material.forecast), "paths"),
        _limits(material), _checks(material), sections.guide(material), _computed(material),
    )  # fmt: skip
    return [section for section in made if section is not None]


_LEFT_OUT = {"worth": "What each programme is worth", "paths": "With and without each programme"}


def _or_left_out(section: Section | None, asked: bool, place: str) -> Section | None:
    """The section; where it was asked for and may not be shown, a sentence that says so."""
    if section is None and asked:
        return Section(place, _LEFT_OUT[place], [text("Left out: it could give away results of a small group.")])
    return section


def _study(material) -> Section:
    c, time, unit = material.counts, material.time, material.time_unit
    where = f" in {count(c.units, 'unit')}" if c.units else ""
    first, last = (time.text(material.description[end]) for end in ("first", "last"))
    missing = percent(c.missing_share) if c.missing_share >= 0.01 else f"less than {percent(0.01)}"
    told = [
        f"{count(c.clinicians, 'clinician')}{where} gave about {count(c.answered, 'answer')}; {missing} of the scores are "
        f"missing. By {first} at least {material.summary.smallest} clinicians had been surveyed, and as many still were at {last}.",
        f"A clinician answered {number(c.surveys)} surveys (median).",
    ]
    if np.isfinite(c.gap):
        told.append(
            f"Successive surveys of a clinician lie {lasting(c.gap, unit)} apart (median), and clinicians were followed for "
            f"{lasting(c.follow_up, unit)} (median)."
        )
    told += [
        f"{name(label)}: {count(n, 'clinician')} exposed, for {percent(share)} of all time followed."
        for label, (n, share) in material.exposed.items()
    ]
    blocks = [text(*told)]
    if material.interventions:
        rows = [[short(d["intervention"], 60), d["title"] + (" (stated)" if d["stated"] else "")] for d in material.designs]
        blocks += [Table("Study designs", ["intervention", "design"], rows, labels=2), Picture("sequences")]
    rows = []
    for row in material.score_table.itertuples():
        ends = [percent(share) if np.isfinite(share) else DASH for share in (row.floor, row.ceiling)]
        step = number(row.step) if np.isfinite(row.step) else "none"
        rows.append([short(row.score, 60), f"{number(row.low)} to {number(row.high)}", row.better, step, f"about {row.answers}",
                     number(row.mean), number(row.sd), *ends])  # fmt: skip
    columns = ["score", "range", "better", "step", "answers", "mean", "SD", "lowest", "highest"]
    blocks.append(Table("Scores, on their own scale", columns, rows, labels=4))
    return Section("study", "The study", blocks)


def _model(material) -> Section:
    # without the study: its own equations name every category of every covariate
    model = replace(material.fit.model, secular=material.facts["study"]["secular"], periods=None)
    equations, _, _ = model.equations().partition("\nPriors\n")
    return Section("model", "The model", [Code("Equations", equations), Code("Priors", "\n".join(material.priors))])


def _population(material) -> Section:
    blocks = [text(prose.population(material)), text(prose.spread(material)), Picture("layers"), Picture("covariates")]
    return Section("population", "The population", [*blocks, tables.population(material)])


def _units(material) -> Section | None:
    if material.summary.units < 2:
        return None
    if not len(material.unit_names):
        return Section("units", "Units", [text("No unit can be shown without giving away a smaller group.")])
    told = (
        "A unit's values are those of its median clinician, with interventions off and covariates at its clinicians' mean; “mean C*” "
        "is the average over its clinicians."
    )
    return Section("units", "Units", [text(told), Picture("units"), tables.units(material)])


def _limits(material) -> Section | None:
    found = [caveats.half_life(material), *caveats.lever_limits(material), caveats.outside(material), caveats.selection(material)]
    found = [sentence for sentence in found if sentence]
    return Section("limits", "What these data can and cannot tell", [Bullets(found)]) if found else None


def _checks(material) -> Section | None:
    rows = [list(found) for found in material.verdicts(CHECKS)]
    return Section("checks", "Checks", [Table("Checks of this fit", ["question", "verdict"], rows, labels=2)]) if rows else None


def _computed(material) -> Section:
    made = material.sampling
    rows = [
        ["Draws", f"{made['chains']} chains of {made['draws']} draws{thinned(made)} after {made['tune']} of warm-up"],
        ["Acceptance target", number(made["target_accept"])],
        ["Tries", str(made["tries"])],
        ["Complete", "yes" if material.fit.complete else "no: interrupted"],
    ]
    versions = [[package, version] for package, version in material.versions.items()]
    software = Fold("Versions of the software", [Table("Versions", ["package", "version"], versions, labels=2)])
    return Section("provenance", "How it was computed", [Table("Sampling", ["", ""], rows, labels=2), software])


def _files(material) -> dict[str, pd.DataFrame]:
    """The tables that are shared, by file name."""
    frames = {"population": material.population_table, "scores": material.score_table}
    if len(material.unit_names):
        frames["units"] = material.unit_table
    if material.interventions:
        frames |= {"interventions": material.intervention_table, "lever": material.lever_table}
    for label, frame in (
        ("estimands", material.estimand_table), ("decisions", material.decision_table), ("forecast", material.forecast_table),
    ):  # fmt: skip
        if frame is not None:
            frames[label] = frame
    return {label: frames[label] for label in sorted(frames)}


def rounded(frame: pd.DataFrame) -> pd.DataFrame:
    """Numbers to four significant digits; times as they are."""
    out = frame.copy()
    for column in out.columns[[pd.api.types.is_float_dtype(kind) for kind in out.dtypes]]:
        if column == "time":
            continue
        out[column] = [float(f"{value:.{DIGITS}g}") for value in out[column]]
    return out
