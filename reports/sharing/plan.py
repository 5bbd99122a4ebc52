"""What of a study may be shown: units, groups, exposed clinicians, sequences, covariates, one after the other.

Each is judged beside all that was let through before it (`suppression`), so that overlapping groupings give nothing away.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...datasets.errors import UserError
from ...inference.forecast import check_forecast
from ...inference.options import read_population, study_columns
from ...models.exposure import exposed_clinicians
from ...models.study_designs.sequences import members
from .suppression import check_smallest, choose, isolates, number_is_safe, sizes


@dataclass(frozen=True)
class Plan:
    """What may be shown; everything else is not.

    Attributes
    ----------
    smallest : int
        The smallest cell: least number of clinicians in anything shown.
    units : bool array (units)
    tell_number : bool
        Whether it may be told how many units there are, and how many are left out.
    exposed : dict of str to bool
        For each intervention, whether something may be said of those exposed to it (of nobody or everybody: yes).
    n_exposed : dict of str to int
    groups : bool array (groups of the estimands, the first being everyone), empty where there are none
    forecast : bool array (everyone followed, then units), empty where none is asked for or may be shown
    group_units, forecast_units : int arrays
        For each of these groups the code of the unit that it is, or -1.
    columns : dict of str to bool
        For each covariate, whether its coefficients may be shown.
    sequences : dict of str to list of int
        For each intervention, places of the sequences that may be shown.
    """

    smallest: int
    units: np.ndarray
    tell_number: bool
    exposed: dict[str, bool]
    n_exposed: dict[str, int]
    groups: np.ndarray
    forecast: np.ndarray
    group_units: np.ndarray
    forecast_units: np.ndarray
    columns: dict[str, bool]
    sequences: dict[str, list[int]]

    @property
    def n_left_out(self) -> int:
        """Units left out."""
        return int((~self.units).sum())


def make_plan(study, model, smallest: int = 10, estimands: Mapping | None = None, forecast: Mapping | None = None) -> Plan:
    """Decide what of a study may be shown; nothing is fitted for it.

    Parameters
    ----------
    study : Study
    model : CapacityModel
    smallest : int
        The smallest cell, at least 5.
    estimands, forecast : mapping, optional
        As for `Fit.estimands` and `Fit.forecast`.

    Raises
    ------
    UserError
        Where nothing could be shared: fewer clinicians than the smallest cell, or a programme whose exposed clinicians are
        fewer, since everything on that programme would be about these few.
    """
    check_smallest(smallest)
    count = study.n_clinicians
    if count < smallest:
        raise UserError(
            f"a study of {count} clinicians cannot be shared with a smallest cell of {smallest}: all of its results are about "
            "fewer. Nothing was written to be shared."
        )
    exposed = exposed_clinicians(study)
    number = dict(zip(study.interventions, exposed.sum(axis=0).tolist(), strict=True))
    few = [name for name, n in number.items() if 0 < n < smallest]
    if few:
        raise UserError(
            f"{', '.join(few)}: fewer than {smallest} clinicians (the smallest cell) were exposed, so that every effect of it is a "
            "result of theirs. Leave it out of the analysis that is shared, or join it with another programme."
        )
    known = [np.ones(count)]

    def offer(groups):
        shown = choose(np.array(known), groups, smallest)
        known.extend(np.atleast_2d(groups)[shown])
        return shown

    unit = study.unit_code
    members_of = np.array([unit == u for u in range(study.n_units)], float)
    units = offer(members_of) if study.n_units > 1 else np.zeros(1, bool)
    safe = {
        name: bool(n in (0, count) or offer(exposed[:, [k]].T.astype(float))[0])
        for k, (name, n) in enumerate(number.items())
    }
    columns = {name: _column(study, model, name, known, smallest) for name in study.covariates}
    groups, group_units = _groups(study, units, offer, known, smallest, estimands)
    regimes, regime_units = _forecast(study, units, members_of, known, smallest, forecast)
    sequences = {name: np.flatnonzero(offer(_sequences(found.pattern))).tolist() for name, found in model.study_designs(study).items()}
    return Plan(
        smallest=smallest, units=units, tell_number=study.n_units == 1 or number_is_safe(members_of.sum(axis=1), units, smallest),
        exposed=safe, n_exposed=number, groups=groups, forecast=regimes, group_units=group_units, forecast_units=regime_units,
        columns=columns, sequences=sequences,
    )  # fmt: skip


def _groups(study, units, offer, known, smallest, estimands) -> tuple[np.ndarray, np.ndarray]:
    """Groups of the estimands: everyone (or the target population), units, levels of covariates; and which are units."""
    if not study.interventions:
        return np.zeros(0, bool), np.zeros(0, int)
    asked = estimands or {}
    target, by = asked.get("target"), asked.get("by") or ()
    by = [by] if isinstance(by, str) else list(by)
    columns = study_columns(study)
    weights = read_population(columns, by, target, [n for n in study.covariates if n in study.varying]).weights.T
    shown, unit = np.zeros(len(weights), bool), np.full(len(weights), -1)
    # a target population is a weighted mean of its column's levels, so it tells of their difference to everyone
    if isolates(np.array([*known, weights[0]]), smallest):
        return shown, unit
    known.append(weights[0])
    shown[0] = True
    place = 1
    for column in by:
        values = columns[column]
        levels = sum(1 for level in set(values.tolist()) if (weights[0][values == level] > 0).any())
        here = np.arange(place, place + levels)
        place += levels
        if column == "unit":
            unit[here] = [study.unit_code[np.flatnonzero(row)[0]] for row in weights[here]]
            # what the table of units leaves out is left out here too
            shown[here] = offer(weights[here] * units[unit[here]][:, None])
        elif not _names_somebody(study, column):
            shown[here] = offer(weights[here])
    return shown, unit


def _forecast(study, units, members_of, known, smallest, forecast) -> tuple[np.ndarray, np.ndarray]:
    """Groups of the forecast, which are about those followed by its start only; and which are units."""
    nothing = np.zeros(0, bool), np.zeros(0, int)
    if not forecast:
        return nothing
    begin, _ = check_forecast(study, **forecast)
    followed = (study.follow_up[0] <= begin).astype(float)
    if isolates(np.array([*known, followed]), smallest):
        return nothing
    known.append(followed)
    if study.n_units == 1:
        return np.ones(1, bool), np.array([-1])
    there = members_of * followed
    kept = choose(np.array(known), there * units[:, None], smallest)
    known.extend(there[kept])
    some = np.flatnonzero(sizes(there))
    return np.append(True, kept[some]), np.append(-1, some)


def _sequences(pattern) -> np.ndarray:
    """Who has each of the sequences of exposure (sequences x clinicians)."""
    who = members(pattern)
    groups = np.zeros((len(who), pattern.n_clinicians))
    for row, codes in zip(groups, who, strict=True):
        row[codes] = 1
    return groups


def _column(study, model, name, known, smallest) -> bool:
    """Whether the coefficients of a covariate are about enough clinicians: those of categories are about their members."""
    if _names_somebody(study, name):
        return False
    values = study.occasions[name]
    as_category = re.search(rf"C\(\s*{re.escape(name)}(?!\w)", f"{model.replenishment} {model.depletion}") is not None
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > 2 and not as_category:
        return True
    code = study.occasions["clinician"].to_numpy()
    levels = [code[(values == level).to_numpy()] for level in values.dropna().unique()]
    groups = np.array([np.bincount(who, minlength=study.n_clinicians) > 0 for who in levels], float)
    if (sizes(groups) < smallest).any() or isolates(np.concatenate([known, groups]), smallest):
        return False
    known.extend(groups)
    return True


def mentions(term: str, column: str) -> bool:
    """Whether the name of a term of the model has a column in it."""
    return re.search(rf"(?<!\w){re.escape(column)}(?!\w)", term) is not None


def _names_somebody(study, column: str) -> bool:
    """Whether a column's values are names of units or clinicians."""
    if column not in study.covariates or pd.api.types.is_numeric_dtype(study.occasions[column]):
        return False
    values = set(study.occasions[column].dropna().astype(str))
    return not values.isdisjoint(study.units) or not values.isdisjoint(study.clinicians["clinician"].astype(str))
