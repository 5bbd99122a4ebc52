"""From a user's tables to the parts of a `Study`: every check, in the order in which a user would mend things."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from .errors import UserError, list_some, one_of
from .missing import RULES, check_limit, fill_missing
from .occasions import Occasions, read_occasions
from .score import Score
from .spells import canonical_spells, intervention_names, read_spells, spells_from_column
from .table import Table, is_writable
from .times import DAYS


def assemble(
    table: Table,
    *,
    clinician: str,
    time: str,
    time_unit: str,
    scores: Mapping[str, Score],
    unit: str | None = None,
    interventions: Mapping[str, str | Table] | None = None,
    spells: Table | None = None,
    covariates: Sequence[str] = (),
    holds: str | None = None,
    missing_covariates: str = "error",
    carry_limit: float | None = None,
    repeated: str = "error",
) -> dict:
    """Check everything and return the fields of a `Study`. Parameters as in `Study.from_table`."""
    one_of(time_unit, DAYS, "`time_unit`")
    one_of(repeated, ("error", "mean", "first", "last"), "`repeated`")
    one_of(missing_covariates, RULES, "`missing_covariates`")
    check_limit(carry_limit, missing_covariates)
    if holds is not None:
        one_of(holds, ("before", "after"), "`holds`")
    scores, covariates = _check_scores(scores), _check_covariates(covariates)
    sources = _check_interventions(interventions, spells)
    columns = {name: source for name, source in sources.items() if isinstance(source, str)}
    _check_roles(clinician, unit, time, scores, covariates, columns)
    for name in (*scores, *covariates, *sources):
        if isinstance(name, str) and not is_writable(name):
            raise UserError(f"The name {name!r} holds characters that are no text (NUL, or half of a surrogate pair); give another.")

    read = read_occasions(
        table,
        clinician=clinician,
        time=time,
        time_unit=time_unit,
        unit=unit,
        scores=scores,
        covariates=covariates,
        dose_columns=columns,
        repeated=repeated,
    )

    def fill(values, column, exposure):
        return fill_missing(
            values,
            read.clinician,
            read.time,
            rule=missing_covariates,
            limit=carry_limit,
            table=read.table,
            column=column,
            exposure=exposure,
        )

    filled = {name: fill(values, name, False) for name, values in read.covariates.items()}
    doses = {name: fill(values, columns[name], True) for name, values in read.doses.items()}
    varying = [name for name, values in filled.items() if varies(values, read.clinician)]
    if holds is None and (doses or varying):
        _ask_holds(list(columns.values()), varying)

    occasions = pd.DataFrame({"clinician": read.clinician, "time": read.time})
    for name, values in filled.items():
        occasions[name] = pd.Series(values, dtype=str if values.dtype == object else float)
    occasions["row"] = read.table.rows.astype(np.int64)
    return {
        "clinicians": read.clinicians,
        "occasions": occasions,
        "surveys": _surveys(read),
        "spells": _spells(read, sources, spells, doses, holds),
        "scores": read.scores,
        "step_source": read.step_source,
        "interventions": tuple(sources),
        "covariates": tuple(covariates),
        "time_unit": time_unit,
        "origin": read.axis.origin,
        "holds": holds,
        "exposure_source": {name: "column" if name in columns else "spells" for name in sources},
    }


def median_gap(clinician: np.ndarray, time: np.ndarray) -> float:
    """Median time between successive occasions of a clinician (rows sorted); NaN if nobody has two."""
    gaps = np.diff(time)[clinician[1:] == clinician[:-1]]
    return float(np.median(gaps)) if len(gaps) else np.nan


def varies(values: np.ndarray, clinician: np.ndarray) -> bool:
    """Whether a column takes more than one value within some clinician (rows sorted by clinician)."""
    return bool(np.any((values[1:] != values[:-1]) & (clinician[1:] == clinician[:-1])))


def _check_scores(scores) -> dict[str, Score]:
    if not isinstance(scores, Mapping) or not scores:
        raise UserError(
            "`scores` must name at least one score, such as {'stress': Score(range=(0, 10), better='lower')}."
        )
    for name, score in scores.items():
        if not isinstance(name, str) or not isinstance(score, Score):
            raise UserError(f"`scores` must map names to Score(range=..., better=...), but {name!r} is {score!r}.")
    return dict(scores)


def _check_covariates(covariates) -> list[str]:
    covariates = [covariates] if isinstance(covariates, str) else list(covariates)
    twice = sorted({c for c in covariates if covariates.count(c) > 1})
    if twice:
        raise UserError(f"`covariates` names {list_some(map(repr, twice))} more than once.")
    return covariates


def _check_roles(clinician, unit, time, scores, covariates, columns) -> None:
    """One column in two roles is a slip of the pen: it would explain itself, or enter the model twice."""
    roles = [("the clinician", clinician), ("the unit", unit), ("the time", time)]
    roles += [(f"the score {name!r}", score.column or name) for name, score in scores.items()]
    roles += [(f"the intervention {name!r}", column) for name, column in columns.items()]
    roles += [("a covariate", column) for column in covariates]
    taken = {}
    for role, column in roles:
        # The time itself may be a covariate: a trend.
        if column is None or (column == time and role == "a covariate"):
            continue
        if column in taken:
            raise UserError(f"Column {column!r} is given as {taken[column]} and as {role}; give it one role.")
        taken[column] = role


def _check_interventions(interventions, spells: Table | None) -> dict[str, str | Table | None]:
    """Each intervention and where its exposure stands: a column, a table of its own, or (None) the common table."""
    if interventions is not None and not isinstance(interventions, Mapping):
        raise UserError("`interventions` must map names to columns or tables of spells: {'mindfulness': 'mb_on'}.")
    sources = dict(interventions or {})
    for name, source in sources.items():
        if not isinstance(name, str) or not isinstance(source, str | Table):
            raise UserError(
                f"Intervention {name!r} must be given as the name of a column or as a table of spells, "
                f"not as {type(source).__name__}."
            )
    if spells is not None:
        named = intervention_names(spells)
        twice = [name for name in named if name in sources]
        if twice:
            raise UserError(
                f"{spells.title} holds spells of '{twice[0]}', which `interventions` gives as well; give it once."
            )
        sources |= dict.fromkeys(named)
    return sources


def _ask_holds(columns: list[str], varying: list[str]) -> None:
    names = list_some(map(repr, dict.fromkeys(columns + varying)))
    raise UserError(
        f"Say with `holds` which stretch of time a row's values describe, for {names}: 'before', the interval that "
        "ends at the row's time (answers that look back), or 'after', the interval that starts there. There is no "
        "default, because the two readings can give very different effects."
    )


def _surveys(read: Occasions) -> pd.DataFrame:
    n, k = read.points.shape
    capacity = [score.to_capacity(read.points[:, j]) for j, score in enumerate(read.scores.values())]
    return pd.DataFrame(
        {
            "occasion": np.repeat(np.arange(n), k),
            "indicator": np.tile(np.arange(k), n),
            "points": read.points.ravel(),
            "capacity": np.column_stack(capacity).ravel(),
            "repeats": read.repeats.ravel(),
        }
    )


def _spells(read: Occasions, sources: dict, common: Table | None, doses: dict, holds: str | None) -> pd.DataFrame:
    code = {name: i for i, name in enumerate(sources)}
    gap = median_gap(read.clinician, read.time)
    if doses and holds == "before" and np.isnan(gap):
        raise UserError(
            "No clinician was surveyed twice, so under holds = 'before' an intervention column cannot say since when "
            "its values hold. Give the interventions as spells, with their dates."
        )
    parts = [
        spells_from_column(read.clinician, read.time, dose, code[name], holds, gap) for name, dose in doses.items()
    ]
    parts += [
        read_spells(source, read.clinicians, code, read.axis, name)
        for name, source in sources.items()
        if isinstance(source, Table)
    ]
    if common is not None:
        parts.append(read_spells(common, read.clinicians, code, read.axis))
    return canonical_spells(parts)
