"""What an analysis file may hold, and its mistakes in words: every key, its type, and the nearest valid name."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from .datasets.errors import UserError, nearest

Name = Annotated[str, Field(min_length=1)]
Lever = Literal["both", "replenishment", "depletion"]
# TOML knows lists only, so these two take one where Python has a tuple.
Names = Annotated[tuple[Name, ...], Field(strict=False)]
Range = Annotated[tuple[float, float], Field(strict=False)]


def _number_or_date(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float, str, datetime.date)):
        raise ValueError
    return value


def _name_or_names(value: Any) -> Any:
    names = [value] if isinstance(value, str) else value
    if not (isinstance(names, list) and names and all(isinstance(name, str) and name for name in names)):
        # one sentence, where a union of types has one for each of them
        raise PydanticCustomError("names", "must be a name in quotes, or a list of names in square brackets")
    return value if isinstance(value, str) else tuple(value)


class Table(BaseModel):
    """A table of the analysis file: unknown keys are errors, and numbers are not read out of text."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class ScoreTable(Table):
    """One indicator. There is no default for ``better``: a guess would turn every result round."""

    range: Range
    better: Literal["higher", "lower"]
    step: Annotated[float, Field(gt=0)] | None = None
    column: Name | None = None


class InterventionTable(Table):
    """One intervention: a column of 0/1 or doses, or a file of spells; its lever, design, and the shape of its exposure."""

    column: Name | None = None
    spells: Name | None = None
    lever: Lever | None = None
    design: Name | None = None
    shape: Annotated[Any, BeforeValidator(_name_or_names)] = None
    fixed: dict[Name, float] = {}


class StudyTable(Table):
    """The study: a file and its columns, or a study that the package brings or fetches."""

    data: Name | None = None
    dataset: Literal["asip", "beat_the_blues", "example"] | None = None
    clinician: Name | None = None
    unit: Name | None = None
    time: Name | None = None
    time_unit: Literal["day", "week", "month", "year"] | None = None
    covariates: Names = ()
    holds: Literal["before", "after"] | None = None
    missing_covariates: Literal["error", "carry", "person_mean"] = "error"
    carry_limit: Annotated[float, Field(gt=0)] | None = None
    repeated: Literal["error", "mean", "first", "last"] = "error"
    scores: dict[Name, ScoreTable] = {}


class ModelTable(Table):
    """The model. Only what is stated is handed on: the defaults live in `CapacityModel`."""

    replenishment: str = ""
    depletion: str = ""
    interventions: Lever = "both"
    design: str = ""
    start: Literal["displaced", "stationary", "free"] = "displaced"
    spread: Literal["free", "shared_omega", "shared_sigma"] = "free"
    level: Literal["integrated", "sampled"] = "integrated"
    left_out: Literal["none", "trait", "error"] = "none"
    randomised: bool | None = None
    selection: bool | None = None
    secular: Literal["none", "linear", "spline", "periods"] | None = None
    secular_lever: Literal["replenishment", "depletion"] = "replenishment"
    periods: Annotated[int, Field(ge=0)] | None = None
    varying: Literal["none", "unit", "clinician", "both"] | None = None
    split_covariates: bool = True
    priors: dict[Name, dict[str, Any]] = {}


class SamplingTable(Table):
    """How to sample. The seed has a default, so that a file that names none is reproducible too."""

    draws: Annotated[int, Field(ge=10)] = 1000
    tune: Annotated[int, Field(ge=10)] = 1000
    chains: Annotated[int, Field(ge=1)] = 4
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    target_accept: Annotated[float, Field(ge=0.5, lt=1)] = 0.8
    method: Literal["nuts", "laplace"] = "nuts"
    compare_spreads: bool = True


class ComputeTable(Table):
    """Where to compute. What is found does not depend on it, so it is part of no key."""

    scheduler: Name | None = None
    workers: Annotated[int, Field(ge=1)] | None = None
    threads: Annotated[int, Field(ge=1)] = 1


class StatementsTable(Table):
    """What reporting checklists ask for and only the authors can say, in free text."""

    why_bayesian: Name | None = None
    goals: Name | None = None
    priors_justified: Name | None = None
    sensible: Name | None = None
    worthwhile_justified: Name | None = None
    data_available: Name | None = None
    code_available: Name | None = None


class ReportTable(Table):
    """What the report shows."""

    title: Name | None = None
    interval: Annotated[float, Field(gt=0, lt=1)] = 0.89
    clinicians_shown: Annotated[int, Field(ge=0)] | None = None
    statements: StatementsTable = StatementsTable()


class DecisionsTable(Table):
    """What is to be decided. The smallest worthwhile change has no default: only who decides can know it."""

    worthwhile: Annotated[float, Field(gt=0)]
    points: Literal["capacity", "score"] = "capacity"
    costs: dict[Name, Annotated[float, Field(gt=0)]] = {}


class TargetTable(Table):
    """A stated target population: the shares that the levels of a column have in it."""

    column: Name
    shares: dict[Name, Annotated[float, Field(ge=0)]]


class EstimandsTable(Table):
    """What programmes are to be judged by. A horizon and a threshold have no default."""

    horizon: Annotated[float, Field(gt=0)] | None = None
    threshold: float | None = None
    points: Literal["capacity", "score"] = "capacity"
    comparisons: list[list[Name]] | None = None
    by: Names = ()
    target: TargetTable | None = None
    show: Names | None = None


class SensitivityTable(Table):
    """The sensitivity panel. How much lower those who left may be has no default: only who knows the study can say."""

    delta: float | None = None


class ShareTable(Table):
    """What leaves the house: the least number of clinicians in anything shown, and what units are called."""

    smallest_cell: int = 10
    key: Name | None = None
    name_units: bool = False


class ForecastTable(Table):
    """Paths with and without each programme from a date on, and under a planned roll-out."""

    start: Annotated[Any, BeforeValidator(_number_or_date)]
    horizon: Annotated[float, Field(gt=0)]
    roll_out: Name | None = None


class AnalysisTable(Table):
    """The whole analysis file."""

    schema_: Annotated[Literal[1], Field(alias="schema")]
    study: StudyTable
    interventions: dict[Name, InterventionTable] = {}
    model: ModelTable = ModelTable()
    sampling: SamplingTable = SamplingTable()
    compute: ComputeTable = ComputeTable()
    estimands: EstimandsTable | None = None
    decisions: DecisionsTable | None = None
    forecast: ForecastTable | None = None
    sensitivity: SensitivityTable = SensitivityTable()
    report: ReportTable = ReportTable()
    share: ShareTable | None = None


def validate(raw: Mapping[str, Any], where: str) -> AnalysisTable:
    """Check a parsed analysis file.

    Parameters
    ----------
    raw : mapping
        The file as TOML gives it.
    where : str
        The file's name, for the message.

    Raises
    ------
    UserError
        One message with every mistake in it, each with its table, and the nearest valid name for unknown ones.
    """
    todo = [_place(loc) for loc in _todos(raw)]
    if todo:
        hint = (
            ' For `better`, write "higher" if more points are the better state (wellbeing), "lower" if they are the'
            " worse one (stress, exhaustion); no data can tell."
            if any(place.endswith(" better") for place in todo)
            else ""
        )
        raise UserError(f"{where} still has a TODO to fill in: {'; '.join(todo)}.{hint}")
    try:
        spec = AnalysisTable.model_validate(raw)
    except ValidationError as error:
        # Unknown keys first: what is said to be missing is often only misspelt.
        problems = sorted(error.errors(include_url=False), key=lambda problem: problem["type"] != "extra_forbidden")
        lines = list(dict.fromkeys(map(_sentence, problems)))
    else:
        lines = _contradictions(spec)
        if not lines:
            return spec
    if len(lines) == 1:
        raise UserError(f"{where}: {lines[0]}")
    raise UserError(f"{where} has {len(lines)} mistakes:\n" + "\n".join(f"  {line}" for line in lines))


def _contradictions(spec: AnalysisTable) -> list[str]:
    """Mistakes that take two keys to make."""
    study, lines = spec.study, []
    if (study.data is None) == (study.dataset is None):
        lines.append(
            'Give either `data` (a file) or `dataset` ("asip", "beat_the_blues" or "example") in [study]'
            + (", not both." if study.data else ".")
        )
    elif study.data is not None:
        missing = [key for key in ("clinician", "time", "time_unit") if getattr(study, key) is None]
        if missing:
            lines.append(f"[study] {', '.join(missing)}: missing. A study from a file needs {_and(missing)}.")
        if not study.scores:
            lines.append("[study.scores.NAME]: missing. Add a table, as [study.scores.stress], with range and better.")
        for name, table in spec.interventions.items():
            if (table.column is None) == (table.spells is None):
                lines.append(f"[interventions.{name}]: give `column` (0/1 or a dose in each row) or `spells` (a file).")
    else:
        ruled = {"dataset"} | ({"holds", "repeated"} if study.dataset == "asip" else set())
        for key in sorted(study.model_fields_set - ruled):
            lines.append(f'[study] {key}: the study "{study.dataset}" brings its own; remove it.')
        if study.dataset == "asip" and study.holds is None:
            lines.append(
                '[study] holds: missing. Write "before" if a day\'s exercise is to act on the interval that ends with'
                ' that day\'s answer, "after" if on the one that starts there. The choice moves the effects.'
            )
        for name, table in spec.interventions.items():
            if table.column is not None or table.spells is not None:
                lines.append(
                    f"[interventions.{name}]: only `lever`, `design`, `shape` and `fixed` can be set;"
                    f' "{study.dataset}" brings the rest.'
                )
    if spec.share is not None:
        from .reports.sharing.suppression import check_smallest

        try:
            check_smallest(spec.share.smallest_cell)
        except UserError as error:
            lines.append(f"[share] {error}")
    if study.carry_limit is not None and study.missing_covariates != "carry":
        lines.append('[study] carry_limit: has a meaning only with missing_covariates = "carry".')
    return lines


def _sentence(problem: Mapping[str, Any]) -> str:
    """One pydantic error in words."""
    loc, kind, value = problem["loc"], problem["type"], problem.get("input")
    if kind == "extra_forbidden":
        return _unknown(loc)
    if loc and isinstance(loc[-1], int):  # an element of a list: speak of the list
        loc = loc[:-1]
        if loc[-1] == "range":
            return f"{_place(loc)}: must hold two numbers, the lowest and the highest score, such as [0, 10]."
    place = _place(loc)
    if kind == "missing":
        if loc == ("schema",):
            return "schema: missing. Write `schema = 1` as the first line."
        return f"{place}: missing."
    if kind == "literal_error":
        options = re.findall(r"'([^']*)'", problem["ctx"]["expected"])
        near = nearest(value, options) if isinstance(value, str) else ""
        wanted = _or([_quoted(option) for option in options]) or problem["ctx"]["expected"]
        return f"{place}: must be {wanted}; got {_quoted(value)}.{near}"
    words = {
        "string_type": "must be text in quotes",
        "int_type": "must be a whole number",
        "int_from_float": "must be a whole number",
        "float_type": "must be a number",
        "finite_number": "must be a finite number",
        "bool_type": "must be true or false",
        "tuple_type": "must be a list in square brackets",
        "string_too_short": "must not be empty",
        "value_error": "must be a number, or a date such as 2024-04-03",
        "too_long": "must hold two numbers, the lowest and the highest score, such as [0, 10]",
    }
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"{place}: must be a table (a part of the file under its own [heading]); got {_quoted(value)}."
    said = words.get(kind) or problem["msg"].replace("Input should be", "must be")
    return f"{place}: {said}; got {_quoted(value)}."


def _unknown(loc: tuple) -> str:
    """An unknown key, with the nearest valid one or the table it belongs to."""
    *path, key = loc
    table = _table_at(path)
    known = _keys(table) if table else []
    if not path:
        what = f"[{key}]" if key not in _homes() else key
    else:
        what = _place(loc)
    near = nearest(str(key), known)
    homes = [home for home in _homes().get(key, []) if home != _heading(path)]
    if not near and homes:
        near = f" It belongs in {_or(homes)}."
    return f"{what}: unknown key.{near or f' Known here: {", ".join(known)}.'}"


def _table_at(path) -> type[Table] | None:
    """The table that stands at a place of the file."""
    here: Any = AnalysisTable
    for part in path:
        if isinstance(here, type) and issubclass(here, Table):
            here = next((f.annotation for n, f in here.model_fields.items() if (f.alias or n) == part), None)
        elif get_origin(here) is dict:
            here = get_args(here)[1]
        else:
            return None
        if get_origin(here) in (UnionType, Union):  # a table that may be absent
            here = next((kind for kind in get_args(here) if isinstance(kind, type) and issubclass(kind, Table)), here)
    return here if isinstance(here, type) and issubclass(here, Table) else None


def _keys(table: type[Table]) -> list[str]:
    return [field.alias or name for name, field in table.model_fields.items()]


def _homes() -> dict[str, list[str]]:
    """Keys of the plain tables, with the headings under which they are valid."""
    homes: dict[str, list[str]] = {}
    for heading in _keys(AnalysisTable):
        table = _table_at([heading])
        for key in _keys(table) if table else []:
            homes.setdefault(key, []).append(f"[{heading}]")
    return homes


def _heading(path) -> str:
    return f"[{'.'.join(map(str, path))}]"


def _place(loc: tuple) -> str:
    """Where a key stands, as the user sees it: ``[study.scores.stress] range``."""
    *path, key = loc
    if _table_at(loc) is not None:
        return _heading(loc)
    return f"{_heading(path)} {key}" if path else str(key)


def _todos(raw: Any, loc: tuple = ()) -> list[tuple]:
    if isinstance(raw, Mapping):
        return [found for key, value in raw.items() for found in _todos(value, (*loc, key))]
    if isinstance(raw, list):
        return list(dict.fromkeys(found for value in raw for found in _todos(value, loc)))
    return [loc] if isinstance(raw, str) and raw.strip().upper().startswith("TODO") else []


def _quoted(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _or(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _and(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
