"""The analysis file: read, checked, and turned into a `Study` and a `CapacityModel`."""

from __future__ import annotations

import tomllib
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .datasets.errors import UserError, known_interventions, list_some, nearest
from .schema import AnalysisTable, validate

if TYPE_CHECKING:
    from .datasets import Study
    from .models import CapacityModel

DATA_SUFFIXES = {".csv", ".tsv", ".xlsx", ".xls", ".parquet", ".sav", ".dta", ".nc"}


@dataclass(frozen=True)
class Analysis:
    """A valid analysis file.

    Parameters
    ----------
    path : Path
        The file; what it names lies relative to its folder.
    spec : AnalysisTable
        Its content, checked against the schema.
    text : str
        The same as it was read: a later edit is no part of what was run.

    Examples
    --------
    >>> analysis = Analysis.read("analysis.toml")           # doctest: +SKIP
    >>> study = analysis.study()                            # doctest: +SKIP
    >>> model = analysis.model(study)                       # doctest: +SKIP
    """

    path: Path
    spec: AnalysisTable
    text: str = ""

    @classmethod
    def read(cls, path: str | Path, text: str | None = None) -> Analysis:
        """Read and check an analysis file.

        ``text`` stands in for the file's content, such as a copy kept with results; paths start from the file's folder.

        Raises
        ------
        UserError
            Not TOML, an unknown or misspelt key (with the nearest valid one), a wrong type, a TODO left open.
        OSError
            The file cannot be read.
        """
        path = Path(path)
        if path.suffix.lower() in DATA_SUFFIXES and path.is_file():
            raise UserError(
                f"{path} is a data file; an analysis file (.toml) is needed. `equipoise init {path}` writes one for it."
            )
        try:
            # utf-8-sig: some editors put a byte order mark in front, which TOML does not know.
            text = path.read_text(encoding="utf-8-sig") if text is None else text
            raw = tomllib.loads(text)
        except UnicodeDecodeError as error:
            raise UserError(f"{path} is not text in UTF-8 (byte {error.start + 1}); an analysis file is.") from None
        except tomllib.TOMLDecodeError as error:
            hint = " In paths write / in place of \\." if "escape" in str(error).lower() else ""
            raise UserError(f"{path} is not valid TOML: {error}.{hint}") from None
        except RecursionError:
            raise UserError(f"{path} is not valid TOML: brackets are nested too deeply.") from None
        return cls(path, validate(raw, str(path)), text)

    @property
    def folder(self) -> Path:
        """The folder that the file's paths start from."""
        return self.path.parent

    def study(self) -> Study:
        """The study that the file describes; raises `UserError` for anything wrong with the data."""
        spec = self.spec.study
        if spec.dataset == "example":
            from .datasets.example import load_example

            study = load_example()
        elif spec.dataset == "asip":
            from .datasets.asip import fetch_asip

            study = fetch_asip(holds=spec.holds, **_stated(spec, "repeated"))
        elif spec.dataset == "beat_the_blues":
            from .datasets.beat_the_blues import load_beat_the_blues

            study = load_beat_the_blues()
        else:
            study = self._study_from_file()
        unknown = [name for name in self.spec.interventions if name not in study.interventions]
        if unknown:
            raise UserError(
                f"{self.path}, [interventions.{unknown[0]}]: the study has no such intervention."
                f"{nearest(unknown[0], study.interventions)} It has: {list_some(study.interventions, 20)}."
            )
        self._check_decisions(study)
        self._check_forecast(study)
        return study

    def _check_forecast(self, study: Study) -> None:
        if self.spec.forecast is None:
            return
        from .inference.forecast import check_forecast

        if not study.interventions:
            raise UserError(f"{self.path}, [forecast]: a forecast compares programmes, and the study has none; remove the table.")
        try:
            check_forecast(study, **self.forecast)
        except UserError as error:
            raise UserError(f"{self.path}, [forecast]: {error}") from None

    def _check_estimands(self, study: Study, model: CapacityModel) -> None:
        if self.spec.estimands is None:
            return
        from .inference.estimands import request
        from .inference.options import study_columns

        first = next(iter(study.scores.values()))
        score = {"range": first.range, "better": first.better}
        columns = study_columns(study)
        fading = [name for name, course in model.exposures.items() if not course.lasts]
        try:
            request(study.interventions, columns, score, varying=study.varying, fading=fading, **self.estimands)
        except UserError as error:
            raise UserError(f"{self.path}, [estimands]: {error}") from None

    def other_reading(self) -> Study | None:
        """The study with the other reading of `holds`; None where nothing of it depends on one."""
        holds = self.spec.study.holds
        if holds is None:
            return None
        other = "after" if holds == "before" else "before"
        table = self.spec.study.model_copy(update={"holds": other})
        return replace(self, spec=self.spec.model_copy(update={"study": table})).study()

    @property
    def estimands(self) -> dict[str, Any]:
        """Arguments of `Fit.estimands`."""
        return self.spec.estimands.model_dump() if self.spec.estimands else {}

    @property
    def forecast(self) -> dict[str, Any]:
        """Arguments of `Fit.forecast`; empty where none is asked for."""
        if self.spec.forecast is None:
            return {}
        asked = self.spec.forecast.model_dump()
        return asked | {"roll_out": None if asked["roll_out"] is None else self.folder / asked["roll_out"]}

    def _check_decisions(self, study: Study) -> None:
        decisions = self.spec.decisions
        if decisions is None:
            return
        if not study.interventions:
            raise UserError(f"{self.path}, [decisions]: the study has no intervention to decide on; remove the table.")
        try:
            known_interventions(decisions.costs, study.interventions)
        except UserError as error:
            raise UserError(f"{self.path}, [decisions] costs: {error}") from None
        low, high = (0, 100) if decisions.points == "capacity" else next(iter(study.scores.values())).range
        if decisions.worthwhile >= high - low:
            raise UserError(
                f"{self.path}, [decisions] worthwhile: must be smaller than the whole scale ({high - low:g} points); "
                f"got {decisions.worthwhile:g}."
            )

    def _study_from_file(self) -> Study:
        from .datasets import Score, Study

        spec = self.spec.study
        scores = {}
        for name, table in spec.scores.items():
            try:
                scores[name] = Score(**table.model_dump(exclude_unset=True))
            except UserError as error:
                raise UserError(f"{self.path}, [study.scores.{name}]: {error}") from None
        interventions = {
            name: self.folder / table.spells if table.spells is not None else table.column
            for name, table in self.spec.interventions.items()
        }
        keys = ("unit", "covariates", "holds", "missing_covariates", "carry_limit", "repeated")
        return Study.from_file(
            self.folder / spec.data,
            clinician=spec.clinician,
            time=spec.time,
            time_unit=spec.time_unit,
            scores=scores,
            interventions=interventions,
            **_stated(spec, *keys),
        )

    def model(self, study: Study) -> CapacityModel:
        """The model that the file describes, checked against the study; nothing of it is built yet."""
        from .models import CapacityModel

        stated = self.spec.model.model_dump(exclude_unset=True)
        levers = {name: table.lever for name, table in self.spec.interventions.items() if table.lever is not None}
        designs = {name: table.design for name, table in self.spec.interventions.items() if table.design is not None}
        if designs:
            common = dict.fromkeys(study.interventions, self.spec.model.design) if self.spec.model.design else {}
            stated["design"] = common | designs
        if levers:
            common = self.spec.model.interventions
            stated["interventions"] = {name: levers.get(name, common) for name in study.interventions}
        shaped = {
            name: {key: value for key, value in (("shape", table.shape), ("fixed", table.fixed)) if value not in (None, {})}
            for name, table in self.spec.interventions.items()
            if table.shape is not None or table.fixed
        }
        if shaped:
            from .models.course import Course

            stated["exposures"] = {
                name: Course.of(given, f"{self.path}, [interventions.{name}] shape") for name, given in shaped.items()
            }
        try:
            model = CapacityModel(**stated)
            model.equations(study)  # meets every formula and prior with the study's own columns
        except UserError as error:
            raise UserError(f"{self.path}, [model]: {error}") from None
        self._check_estimands(study, model)
        return model

    def truth(self) -> dict[str, Any] | None:
        """The parameters behind a simulated study, to set beside the estimates; None for real ones."""
        if self.spec.study.dataset != "example":
            return None
        from .datasets.example import example_truth

        return example_truth()

    def computing(self, scheduler: str | None = None, workers: int | None = None) -> AbstractContextManager[None]:
        """Where work is shared out as ``[compute]`` says, or as these do; inside another such context, as that one says."""
        from .inference.cluster import is_asked, on_cluster

        asked = self.spec.compute
        return nullcontext() if is_asked() else on_cluster(scheduler or asked.scheduler, workers or asked.workers)

    def needs_sampling(self, what: str) -> None:
        """Raise `UserError` where the file asks for a quick look and ``what`` is for the full posterior."""
        if self.spec.sampling.method == "laplace":
            raise UserError(
                f"{self.path}, [sampling] method: \"laplace\" is a quick look, and {what} is for the full posterior. Write method ="
                ' "nuts", or leave the line out.'
            )

    @property
    def sampling(self) -> dict[str, Any]:
        """Arguments of `equipoise.fit`, defaults filled in."""
        return self.spec.sampling.model_dump()


def _stated(table, *keys) -> dict[str, Any]:
    """Of these keys, those that the file holds: for the others the library's own defaults stand."""
    return {key: getattr(table, key) for key in keys if key in table.model_fields_set}
