"""The report as one self-contained HTML page, and as a folder with its figures and tables."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import pandas as pd

from ..datasets.errors import UserError
from . import bibliography, checking, prose, sections, table_files
from .figures import FIGURES, draw
from .figures.style import COLOURS, Drawn, for_file, for_page, marked, styled, to_svg
from .format import level, plain, without_controls
from .material import Material

OF_DATA = ("sequences", "design")  # figures that no draws go into
TITLE = "Capacity for compassion: replenishment, depletion and steady state"


@dataclass(frozen=True)
class Shown:
    """A figure in both forms."""

    name: str
    inline: str
    file: str
    caption: str
    alt: str


def write_report(
    fit, path, *, title: str | None = None, prob: float = 0.89, truth: Mapping[str, pd.DataFrame] | None = None,
    clinicians_shown: int = 9, decisions: Mapping | None = None, estimands: Mapping | None = None,
    forecast: Mapping | None = None, evidence: Mapping[str, dict] | None = None, statements: Mapping[str, str] | None = None,
    dataset: str | None = None,
) -> Path:  # fmt: skip
    """Write the report as one HTML page that needs nothing else: no network, no scripts, figures inside.

    Parameters
    ----------
    fit : Fit
        Also one that was loaded without its study.
    path : path
        The file to write. It is written aside and moved into place.
    title : str, optional
    prob : float
        Probability of the intervals, between 0 and 1.
    truth : mapping of str to DataFrame, optional
        What simulated data were made from, to stand beside the estimates: ``clinicians`` (clinician, alpha, beta,
        capacity, ...), ``units`` (unit, alpha, beta, capacity), ``effects`` (intervention, theta_alpha, theta_beta,
        capacity_change), ``population`` (quantity, value). Any of them may be absent.
    clinicians_shown : int
        How many clinicians have their scores and fitted capacity drawn, spread over the range of C*.
    decisions : mapping, optional
        What is to be decided, as for `Fit.decisions`: ``{"worthwhile": 5}`` adds the section on what to choose.
    estimands : mapping, optional
        As for `Fit.estimands`: ``{"horizon": 26, "by": ["unit"]}`` adds what a horizon is needed for, and groups.
    forecast : mapping, optional
        As for `Fit.forecast`: ``{"start": 26, "horizon": 26}`` adds paths with and without each programme.
    evidence : mapping, optional
        What refits have found, as for `inference.checks.assess`.
    statements : mapping of str to str, optional
        What only the authors can say, for the reporting checklists: ``why_bayesian``, ``goals``, ``priors_justified``, ``sensible``,
        ``worthwhile_justified``, ``data_available``, ``code_available``. Shown as text.
    dataset : str, optional
        "asip" or "beat_the_blues": the paper of that study is cited.

    Returns
    -------
    Path

    Raises
    ------
    UserError
        For a ``prob`` or a number of clinicians that makes no sense, and where the file cannot be written.
    """
    material = Material(fit, prob, truth, clinicians_shown, decisions, estimands, forecast, evidence, statements, dataset)
    path = Path(path)
    write(path, _page(material, title, _figures(material), in_folder=False))
    return path


def write_outputs(
    fit, folder, *, title: str | None = None, prob: float = 0.89, truth: Mapping[str, pd.DataFrame] | None = None,
    clinicians_shown: int = 9, decisions: Mapping | None = None, estimands: Mapping | None = None,
    forecast: Mapping | None = None, evidence: Mapping[str, dict] | None = None, statements: Mapping[str, str] | None = None,
    dataset: str | None = None,
) -> list[str]:  # fmt: skip
    """Write ``report.html``, ``references.bib``, ``tables/*.csv`` and ``figures/*.svg`` into a folder.

    Parameters
    ----------
    folder : path
        Made if it is not there. Files of the same names are replaced; others are left alone.
    fit, title, prob, truth, clinicians_shown, decisions, estimands, forecast, evidence, statements, dataset
        As for `write_report`.

    Returns
    -------
    list of str
        The files written, relative to the folder, with forward slashes.

    Raises
    ------
    UserError
        As for `write_report`.
    """
    material = Material(fit, prob, truth, clinicians_shown, decisions, estimands, forecast, evidence, statements, dataset)
    figures = _figures(material)
    written = {"report.html": _page(material, title, figures, in_folder=True)}
    written["references.bib"] = bibliography.bibtex(material)
    written |= {f"tables/{name}.csv": table_files.csv_blocks(frame) for name, frame in table_files.files(material).items()}
    written |= {f"figures/{shown.name}.svg": shown.file for shown in figures.values()}
    # only now, with everything made, is anything written
    for name, content in written.items():
        write(Path(folder) / name, content)
    return list(written)


def _figures(material) -> dict[str, Shown]:
    mark = f"{table_files.QUICK_LOOK.capitalize()}." if material.fit.approximate else ""
    made = {name: shown(name, lambda name=name: draw(name, material), mark if name not in OF_DATA else "") for name in FIGURES}
    for check in material.checks.values():
        name = checking.figure_name(check)
        made[name] = shown(name, lambda check=check: checking.drawn(check), mark)
    return {name: figure for name, figure in made.items() if figure is not None}


def shown(name: str, make: Callable[[], Drawn | None], mark: str = "") -> Shown | None:
    """A figure in both forms, with a ``mark`` below it; None where ``make`` has nothing to draw."""
    with styled(name):
        drawn = make()
        if drawn is None:
            return None
        if mark:
            marked(drawn.figure, mark)
        svg = to_svg(drawn.figure)
    return Shown(name, for_page(svg, name, drawn.alt), for_file(svg, drawn.alt), f"{mark} {drawn.caption}".lstrip(), drawn.alt)


def _page(material, title: str | None, figures: dict[str, Shown], in_folder: bool) -> str:
    return render(
        title=title or TITLE, warnings=material.fit.warnings, cautions=material.facts.get("cautions", []),
        headline=prose.headline(material), summary=prose.summary(material), prob=material.prob,
        sections=sections.all_sections(material), figures=figures, in_folder=in_folder, approximate=material.fit.approximate,
    )  # fmt: skip


def render(
    *, title: str, warnings: list[str], cautions: list[str], headline: list, summary: list[str], prob: float,
    sections: list, figures: dict[str, Shown], in_folder: bool, notice: Sequence[str] = (), approximate: bool = False,
) -> str:  # fmt: skip
    """A page of ours from its parts: what must be read first, key numbers and sentences, and sections of blocks.

    Parameters
    ----------
    title, warnings, cautions
        Texts of a user's may be among them.
    headline : list of (label, median, interval, Monte Carlo error)
        May be empty.
    summary : list of str
        Paragraphs.
    prob : float
        Probability of the intervals.
    sections : list of blocks.Section
    figures : dict of str to Shown
        What `blocks.Picture` names.
    in_folder : bool
        Whether tables and figures lie beside the page and are to be linked.
    notice : list of str
        Paragraphs at the very head: what kind of page this is.
    approximate : bool
        Whether key numbers and tables are those of a quick look, and say so.
    """
    page = _template().render(
        title=plain(title),
        warnings=[plain(w) for w in warnings],
        cautions=[plain(c) for c in cautions],
        notice=notice,
        headline=headline,
        summary=summary,
        prob=level(prob),
        sections=sections,
        figures=figures,
        in_folder=in_folder,
        approximate=approximate,
        mark=table_files.QUICK_LOOK,
        unmarked=tuple(f"tables/{name}" for name in table_files.NOT_OF_DRAWS),
        colours=COLOURS,
        style=_resource("style.css"),
    )
    # whoever wrote its parts: no name in them may turn the direction of what stands around it
    page = without_controls(page)
    return page if page.endswith("\n") else page + "\n"


@lru_cache(maxsize=1)
def _template():
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_resource("template.html"))


def _resource(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def write(path: Path, content: str | Iterable[str]) -> None:
    """Text, whole or in pieces. Aside first, then moved into place, so that no half-written file is ever left."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines([content] if isinstance(content, str) else content)
        os.replace(aside, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):
            aside.unlink()
