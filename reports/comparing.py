"""Analyses set side by side, as one self-contained HTML page with its tables and figure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..inference.leave_one_out import HIGH_K, SMALL_DIFFERENCE, is_small
from . import comparing_tables as tables
from . import page
from .blocks import Bullets, Fold, Picture, Section, Terms, text
from .comparing_tables import LEFT_OUT
from .figures import compared
from .format import DASH, MINUS, count, listed, name, number, percent, plain, row_decimals, short
from .table_files import QUICK_LOOK, to_csv

FIGURE = "compared"
FOLD_FROM = 20
MOST_SUMMARISED = 6
MANY_HIGH_K = 0.1  # share from which the sum over all is not to be trusted: a judgement, with no source
READING = (
    f"A difference of elpd smaller than about {SMALL_DIFFERENCE:g}, or than twice its standard error, is no reason to prefer a "
    "model (Sivula, Magnusson & Vehtari 2020)."
)


def write_comparison(comparison, folder, *, title: str | None = None) -> list[str]:
    """Write ``report.html``, ``tables/*.csv`` and ``figures/compared.svg`` into a folder.

    Parameters
    ----------
    comparison : inference.comparison.Comparison
    folder : path
        Made if it is not there. Files of the same names are replaced; others are left alone.
    title : str, optional

    Returns
    -------
    list of str
        The files written, relative to the folder, with forward slashes.

    Raises
    ------
    UserError
        Where a file cannot be written.
    """
    labels = [short(label, 40) for label in comparison.fits]
    quick = [label for label, fit in comparison.fits.items() if fit.approximate]
    mark = f"{QUICK_LOOK.capitalize()}: {listed([short(label, 24) for label in quick])}." if quick else ""
    drawn = page.shown(FIGURE, lambda: compared.draw(comparison), mark) if len(comparison.estimands) else None
    figures = {FIGURE: drawn} if drawn else {}
    html = page.render(
        title=title or f"Side by side: {listed(labels)}",
        warnings=labelled({label: fit.warnings for label, fit in comparison.fits.items()}),
        cautions=labelled({label: fit.facts.get("cautions", []) for label, fit in comparison.fits.items()}),
        headline=[], summary=summary(comparison), prob=comparison.prob, sections=sections(comparison), figures=figures,
        in_folder=True,
    )  # fmt: skip
    frames = {"loo": comparison.loo, "estimands": comparison.estimands, "population": comparison.population}
    if quick:  # as in an analysis's own tables
        how = dict.fromkeys(quick, QUICK_LOOK)
        frames = {n: frame.assign(method=frame["analysis"].map(how)) for n, frame in frames.items() if len(frame)}
    written = {"report.html": html} | {f"tables/{n}.csv": to_csv(frame) for n, frame in frames.items() if len(frame)}
    written |= {f"figures/{figure.name}.svg": figure.file for figure in figures.values()}
    for file, content in written.items():
        page.write(Path(folder) / file, content)
    return list(written)


def labelled(texts: Mapping[str, list[str]]) -> list[str]:
    """Each text once, with the labels of the analyses that it belongs to in front."""
    owners: dict[str, list[str]] = {}
    for label, mine in texts.items():
        for told in mine:
            owners.setdefault(told, []).append(label)
    return [f"{listed(labels)}: {told}" for told, labels in owners.items()]


# --- sentences ------------------------------------------------------------------------------------------------------


def summary(comparison) -> list[str]:
    """The key results in plain words."""
    return [*predictions(comparison, "survey"), *map(plain, comparison.loo_notes[: 1 if comparison.loo.empty else 0]),
            *effects(comparison)]  # fmt: skip


def predictions(comparison, left_out: str) -> list[str]:
    """Which analysis predicts best, and whether that is a reason to prefer it."""
    rows = comparison.loo[comparison.loo["unit_left_out"] == left_out]
    if rows.empty:
        return []
    best = rows.iloc[0]
    shaky = list(rows["analysis"][rows["n_high_k"] > MANY_HIGH_K * rows["n_left_out"]])
    small, large = [], []
    for row in rows.iloc[1:].itertuples():
        told = f"{name(row.analysis)} ({number(row.elpd_diff, 1)}, standard error {number(row.se_diff, 1)})"
        (small if is_small(row.elpd_diff, row.se_diff) else large).append(told)
    said = [f"Leaving out {LEFT_OUT[left_out][0]}, {name(best['analysis'])} has the highest expected log predictive density."]
    if small:
        said.append(
            f"The difference of {listed(small)} is no reason to prefer either: it is smaller than {SMALL_DIFFERENCE:g} or "
            "than twice its standard error."
        )
    if large and not shaky:
        said.append(
            f"{listed(large)} {'predicts' if len(large) == 1 else 'predict'} such answers worse, by more than chance would. "
            "That does not make the best analysis true."
        )
    elif large:
        said.append(f"{listed(large)} {'lies' if len(large) == 1 else 'lie'} further behind.")
    if shaky:
        who = "with each of them" if len(shaky) == len(rows) else f"with {listed([name(label) for label in shaky])}"
        said.append(
            f"But Pareto k is above {HIGH_K:g} for more than {percent(MANY_HIGH_K)} of what is left out {who}, so that "
            "these numbers decide nothing."
        )
    return [" ".join(said)]


def effects(comparison) -> list[str]:
    """How far the analyses agree on the change of C*."""
    table = comparison.estimands
    if table.empty:
        return []
    table = table[(table["estimand"] == "capacity_change") & (table["against"] != "")]
    out = []
    for (option, against), rows in table.groupby(["option", "against"], sort=False):
        if len(rows) < 2 or len(out) == MOST_SUMMARISED:
            continue
        low, high = rows.loc[rows["median"].idxmin()], rows.loc[rows["median"].idxmax()]
        places = min(row_decimals(low), row_decimals(high))
        signs = np.where(rows["low"] > 0, 1, np.where(rows["high"] < 0, -1, 0))
        if (signs == signs[0]).all():
            agreed = {1: "the whole interval lies above 0", -1: "the whole interval lies below 0",
                      0: "the interval holds 0"}[int(signs[0])] + " in each of them"  # fmt: skip
        else:
            clear = [name(a) for a in rows["analysis"][signs != 0]]
            agreed = f"the interval leaves out 0 with {listed(clear)} only"
        out.append(
            f"{name(option)} against {name(against)}: the median change of C* runs from {number(low['median'], places)} "
            f"({name(low['analysis'])}) to {number(high['median'], places)} ({name(high['analysis'])}) points; {agreed}."
        )
    return out


# --- sections -------------------------------------------------------------------------------------------------------


def sections(comparison) -> list[Section]:
    """Every section that there is something to say in."""
    made = (_analyses(comparison), _prediction(comparison), _effects(comparison), _median_clinician(comparison), _guide())
    return [section for section in made if section is not None]


def _analyses(comparison) -> Section:
    alike = text("Study, model and sampling are the same in all of them.")
    return Section("analyses", "What is compared", [tables.analyses(comparison), tables.differing(comparison) or alike])


def _prediction(comparison) -> Section:
    notes = [Bullets([plain(n) for n in comparison.loo_notes])] if comparison.loo_notes else []
    if comparison.loo.empty:
        return Section("prediction", "Which predicts better", notes)
    told = text(
        "Each answer is predicted from all the others of the study, and the log densities of what was answered are added "
        "up (elpd, expected log predictive density).", READING,
        "Leaving out a survey asks for an answer between others of the same clinician; leaving out a clinician asks for "
        "somebody new. Neither asks for the future.",
    )  # fmt: skip
    shown = [tables.leave_one_out(comparison, left_out) for left_out in comparison.loo["unit_left_out"].unique()]
    by_clinician = [text(*predictions(comparison, "clinician"))] if "clinician" in set(comparison.loo["unit_left_out"]) else []
    weights = text(
        "Stacking weights mix the analyses so that the mixture predicts left-out answers best. They are made for "
        "prediction, not for truth: an analysis that adds nothing to a nearly equal one can have weight 0."
    )
    return Section("prediction", "Which predicts better", [told, *shown, *by_clinician, weights, *notes])


def _effects(comparison) -> Section | None:
    notes = [Bullets([plain(n) for n in comparison.estimand_notes])] if comparison.estimand_notes else []
    if comparison.estimands.empty:
        return Section("effects", "What the programmes are worth in each", notes) if notes else None
    told = text(
        "The same estimands, averaged over clinicians, from each analysis. A difference between analyses shows how much "
        "the choice that sets them apart matters; it is no test of that choice."
    )
    table = tables.estimands(comparison)
    shown = Fold(f"{table.caption} {DASH} {count(len(table.rows), 'row')}", [table]) if len(table.rows) > FOLD_FROM else table
    return Section("effects", "What the programmes are worth in each", [told, *notes, Picture(FIGURE), shown])


def _median_clinician(comparison) -> Section:
    return Section("population", "The median clinician in each", [tables.population(comparison)])


def _guide() -> Section:
    items = [
        ("elpd", "Expected log predictive density: the sum over left-out answers of the log density that the analysis gave "
                 f"to what was then answered, on the scale from 0 to 100. Higher is better; a value of {MINUS}400 says "
                 "nothing by itself, only against another analysis of the same answers."),
        ("Difference and its SE (standard error)", READING + " With fewer than about 100 answers the standard error itself is "
                                                   "too small."),
        ("Stacking weight", "The share of an analysis in the mixture that predicts left-out answers best (Yao et al. 2018). "
                            "For prediction, not for truth: no probability that the analysis is right."),
        ("Pareto k", f"How hard it is to leave out a survey without sampling again: above {HIGH_K:g} its part of elpd is not "
                     "reliable (Vehtari et al. 2024)."),
        ("Effective parameters", "How much better the analysis describes the answers that it has seen than those that it has not."),
        ("The same estimand, different numbers", "How much the choice between the analyses matters for the conclusion. "
                                                 "Predicting well and estimating an effect well are different things: a "
                                                 "wrong adjustment can predict better."),
    ]  # fmt: skip
    return Section("guide", "How to read this", [Terms(items)])
