"""Analyses side by side: how well each predicts answers it has not seen, and what each says of the same estimands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from ..datasets.errors import UserError
from ..datasets.times import DAYS
from .estimands import ALL_ESTIMANDS, request_of
from .leave_one_out import leave_one_out

SHOWN = ("capacity_change", "ratio_alpha", "ratio_beta")  # always computed, whatever else an analysis shows
_IN_TIME_UNITS = ("half_life_change", "time_to_90", "area")


@dataclass(frozen=True)
class Comparison:
    """Analyses set side by side.

    Attributes
    ----------
    fits : dict of str to Fit
    prob : float
        Probability of the intervals.
    loo : DataFrame
    loo_notes : list of str
        As from `leave_one_out.leave_one_out`.
    estimands : DataFrame
        As from `Fit.estimands`, for everyone, with ``analysis`` in front, units written out, and ``comparable``: whether
        all analyses mean the same by the estimand.
    estimand_notes : list of str
    population : DataFrame
        alpha, beta, C* and half-life of the median clinician, as from `Fit.population`, with ``analysis`` in front.
    """

    fits: dict
    prob: float
    loo: pd.DataFrame
    loo_notes: list[str]
    estimands: pd.DataFrame
    estimand_notes: list[str]
    population: pd.DataFrame


def compare(fits: Mapping, asked: Mapping[str, Mapping] | None = None, prob: float = 0.89) -> Comparison:
    """Set fits side by side.

    Parameters
    ----------
    fits : mapping of str to Fit
        At least two, by their labels; their studies are not needed.
    asked : mapping of str to mapping, optional
        For each label the arguments of `Fit.estimands`. Groups (``by``) are not compared.
    prob : float
        Probability of the intervals.

    Returns
    -------
    Comparison

    Raises
    ------
    UserError
        For fewer than two fits, and as in `Fit.estimands`.
    """
    if len(fits) < 2:
        raise UserError(f"a comparison needs at least two analyses; got {len(fits)}.")
    loo, loo_notes = leave_one_out(fits)
    table, notes = side_by_side(fits, asked or {}, prob)
    return Comparison(dict(fits), prob, loo, loo_notes, table, notes, _population(fits, prob))


def side_by_side(fits: Mapping, asked: Mapping[str, Mapping], prob: float) -> tuple[pd.DataFrame, list[str]]:
    """The estimands of each fit for everyone, stacked; see `Comparison`."""
    frames, requests, notes = [], {}, []
    without = [label for label, fit in fits.items() if not fit.facts["study"]["interventions"]]
    if without:
        notes.append(f"Without programmes, and so without their effects: {', '.join(without)}.")
    for label, fit in fits.items():
        if label in without:
            continue
        options = {name: value for name, value in asked.get(label, {}).items() if name != "by"}
        if options.get("show") is not None:
            show = options["show"]
            options["show"] = list(dict.fromkeys([*SHOWN, *([show] if isinstance(show, str) else show)]))
        requests[label] = (request_of(fit, **options), options.get("target"))
        table = fit.estimands(prob=prob, **options)
        table = table[table["group"] == table["group"].iloc[0]]
        unit = table["unit"].str.replace("time units", fit.facts["study"]["time_unit"] + "s")
        frames.append(table.assign(unit=unit, analysis=label))
    if not frames:
        return pd.DataFrame(columns=["analysis", "comparable"]), notes
    differing, said = _not_comparable({label: fits[label] for label in requests}, requests)
    table = pd.concat(frames, ignore_index=True)
    table["comparable"] = ~table["estimand"].isin(differing)
    return table[["analysis", *(c for c in table if c != "analysis")]], notes + said


def _not_comparable(fits: Mapping, requests: Mapping) -> tuple[set[str], list[str]]:
    """Estimands that do not mean the same in all analyses, and sentences on why."""
    units = {label: fit.facts["study"]["time_unit"] for label, fit in fits.items()}
    found, notes = set(), []

    def differs(what: str, meaning: Mapping, words: Mapping, estimands) -> None:
        if len(set(meaning.values())) > 1:
            found.update(estimands)
            owners: dict[str, list[str]] = {}
            for label in meaning:
                owners.setdefault(words[label], []).append(label)
            said = "; ".join(f"{word} in {', '.join(mine)}" for word, mine in owners.items())
            notes.append(f"{what} differs ({said}), so what depends on it is listed (estimands.csv) but not set side by side.")

    for need, scale, show in (
        ("horizon", {label: DAYS[unit] for label, unit in units.items()}, lambda label, v: f"{v:g} {units[label]}s"),
        ("threshold", dict.fromkeys(units, 1.0), lambda label, v: f"C* of {v:g}"),
    ):
        stated = {label: getattr(wanted, need) for label, (wanted, _) in requests.items()}
        meaning = {label: None if v is None else round(v * scale[label], 6) for label, v in stated.items()}
        words = {label: "none" if v is None else show(label, v) for label, v in stated.items()}
        differs(f"The {need}", meaning, words, [n for n, e in ALL_ESTIMANDS.items() if e.needs == need])
    differs("The time unit", units, units, _IN_TIME_UNITS)
    scores = {}
    for label, fit in fits.items():
        name, score = next(iter(fit.facts["study"]["scores"].items()))
        low, high = score["range"]
        scores[label] = f"{name}, {low:g} to {high:g}, {score['better']} is better"
    differs("The first score", scores, scores, ["score_change"])
    targets = {label: repr(target) for label, (_, target) in requests.items()}
    clinicians = {label: tuple(fit.tree["posterior"]["clinician"].to_numpy().astype(str)) for label, fit in fits.items()}
    if len(set(targets.values())) > 1 or len(set(clinicians.values())) > 1:
        who = "target populations" if len(set(targets.values())) > 1 else "clinicians"
        notes.append(f"The {who} differ: effects are averaged over different people, so part of a difference may be theirs.")
    return found, notes


def _population(fits: Mapping, prob: float) -> pd.DataFrame:
    frames = []
    for label, fit in fits.items():
        table = fit.population(prob)
        table = table[table["quantity"].isin(("capacity", "alpha", "beta", "half_life"))]
        frames.append(table.assign(time_unit=fit.facts["study"]["time_unit"], analysis=label))
    table = pd.concat(frames, ignore_index=True)
    return table[["analysis", *(c for c in table if c != "analysis")]]
