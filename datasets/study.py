"""The study: surveys, covariates and spells of intervention, checked and in canonical order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from .assemble import assemble, median_gap, varies
from .errors import UserError
from .fingerprint import fingerprint
from .readers import is_readable_name, read_table, read_tables
from .score import Score
from .table import Table, natural


@dataclass(frozen=True, eq=False, repr=False)
class Study:
    """A validated study: who was surveyed when, with which scores, covariates and interventions.

    Made by `from_table` or `from_file`, which check everything; the constructor checks nothing.

    Attributes
    ----------
    clinicians : DataFrame (clinicians,)
        Columns ``clinician`` and ``unit`` (str), in natural order of the ids.
    occasions : DataFrame (occasions,)
        One row per clinician and time, sorted: ``clinician`` (code into `clinicians`), ``time`` (in `time_unit`, from
        `origin` where times are dates), one column per covariate (float, or str where categorical), and ``row``, the
        row of the user's table (the header is row 1).
    surveys : DataFrame (occasions x scores,)
        The long table, sorted by occasion, then score: ``occasion`` and ``indicator`` (codes), ``points`` (on the
        score's own scale, NaN where missing), ``capacity`` (0-100, higher is better), ``repeats`` (answers averaged).
    spells : DataFrame
        ``clinician``, ``intervention`` (codes), ``start``, ``end`` (inf: still running), ``dose`` in (0, 1]; half-open
        [start, end), sorted, never overlapping within a clinician and intervention.
    scores : dict of str to Score
        In the user's order, with the step settled; `step_source` says "stated", "detected" or "none" for each.
    interventions, covariates : tuple of str
    time_unit : {"day", "week", "month", "year"}
    origin : Timestamp or None
        Time 0 where times were given as dates.
    holds : {"before", "after"} or None
        Which interval a row's time-varying values describe.
    exposure_source : dict of str to str
        For each intervention, whether it came from a "column" or from "spells".
    """

    clinicians: pd.DataFrame
    occasions: pd.DataFrame
    surveys: pd.DataFrame
    spells: pd.DataFrame
    scores: dict[str, Score]
    step_source: dict[str, str]
    interventions: tuple[str, ...]
    covariates: tuple[str, ...]
    time_unit: str
    origin: pd.Timestamp | None
    holds: str | None
    exposure_source: dict[str, str]

    @classmethod
    def from_table(
        cls,
        frame: pd.DataFrame,
        *,
        clinician: str,
        time: str,
        time_unit: str,
        scores: Mapping[str, Score],
        unit: str | None = None,
        interventions: Mapping[str, str | pd.DataFrame] | None = None,
        spells: pd.DataFrame | None = None,
        covariates: Sequence[str] = (),
        holds: str | None = None,
        missing_covariates: str = "error",
        carry_limit: float | None = None,
        repeated: str = "error",
    ) -> "Study":
        """Build a study from a data frame with one row per clinician and time.

        Parameters
        ----------
        frame
            The surveys, in any order.
        clinician, unit, time
            Columns with the clinician's id, the unit (optional; without it all share one) and the time: numbers in
            `time_unit`, or dates (datetimes or ISO text; those with a zone are turned into UTC).
        time_unit : {"day", "week", "month", "year"}
            The unit of time, and so of alpha and beta. A month is 365.25/12 days, a year 365.25 days.
        scores
            Name of each indicator of capacity and its `Score`; the first one anchors the scale.
        interventions
            For each name, the column that holds 0/1 or a dose between, or a data frame of its spells with the columns
            ``clinician`` or ``unit``, ``start``, ``end`` (empty: still running), and optionally ``dose`` and
            ``intervention``.
        spells
            One table of spells for several interventions, with the columns above, ``intervention`` among them.
        covariates
            Columns to be had in formulas: numbers, or text for categories.
        holds : {"before", "after"}, optional
            Whether a row's values describe the interval that ends at it ("before": answers look back) or the one that
            starts there. Needed, without a default, wherever interventions come from columns or covariates vary.
        missing_covariates : {"error", "carry", "person_mean"}
            What to do with empty cells of covariates and intervention columns: refuse; carry the clinician's last
            value forward, for at most `carry_limit`; or take the mean of the clinician's values (covariates only).
        carry_limit
            In `time_unit`; None: no limit.
        repeated : {"error", "mean", "first", "last"}
            What to do with several rows of one clinician and time, in the order of the table.

        Returns
        -------
        Study

        Raises
        ------
        UserError
            At the first thing that is wrong, naming the column and the first rows.

        Examples
        --------
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"id": ["a", "a", "b"], "week": [0, 1, 0], "stress": [2, 5, 4], "on": [0, 1, 1]})
        >>> stress = Score(range=(0, 10), better="lower")
        >>> study = Study.from_table(frame, clinician="id", time="week", time_unit="week", scores={"stress": stress},
        ...                          interventions={"mindfulness": "on"}, holds="before")
        >>> study
        <Study: 2 clinicians in 1 unit, 3 surveys of stress; intervention: mindfulness>
        """
        return cls(
            **assemble(
                Table.from_frame(frame),
                clinician=clinician,
                time=time,
                time_unit=time_unit,
                scores=scores,
                unit=unit,
                interventions=_wrap_each(interventions),
                spells=_wrap_spells(spells),
                covariates=covariates,
                holds=holds,
                missing_covariates=missing_covariates,
                carry_limit=carry_limit,
                repeated=repeated,
            )
        )

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        *,
        interventions: Mapping[str, str | Path | pd.DataFrame] | None = None,
        spells: str | Path | pd.DataFrame | None = None,
        **columns,
    ) -> "Study":
        """Build a study from a CSV, Parquet, Excel or SPSS file.

        Parameters
        ----------
        path
            A file ending in .csv, .tsv, .txt, .parquet, .xlsx, .sav or .zsav; of a workbook, the first sheet.
        interventions, spells
            As in `from_table`; tables of spells may be files too. Text that is a column of the table is that column.
        **columns
            The other keywords of `from_table`.

        Raises
        ------
        UserError
            If a file is missing or cannot be read, or as in `from_table`. Row numbers are those of the file.

        Notes
        -----
        In CSV and Excel files ids are read as the text they are, so that "007" stays "007".
        """
        table = read_table(path, _wanted(interventions, columns))
        common = read_table(spells) if isinstance(spells, str | Path) else _wrap_spells(spells)
        return cls(
            **assemble(table, interventions=_wrap_each(read_tables(interventions, table)), spells=common, **columns)
        )

    def __repr__(self) -> str:
        def count(n, word):
            return f"{n:,} {word}{'' if n == 1 else 's'}"

        text = f"{count(self.n_clinicians, 'clinician')} in {count(self.n_units, 'unit')}"
        text += f", {count(self.n_surveys, 'survey')} of {', '.join(self.scores)}"
        if self.interventions:
            text += f"; intervention{'s' * (len(self.interventions) > 1)}: {', '.join(self.interventions)}"
        return f"<Study: {text}>"

    @cached_property
    def units(self) -> tuple[str, ...]:
        """Names of the units, in natural order."""
        return tuple(sorted(set(self.clinicians["unit"]), key=natural))

    @cached_property
    def unit_code(self) -> np.ndarray:
        """Code of each clinician's unit, int array (clinicians,)."""
        position = {name: i for i, name in enumerate(self.units)}
        return self.clinicians["unit"].map(position).to_numpy(dtype=np.int64)

    @property
    def n_clinicians(self) -> int:
        """Number of clinicians."""
        return len(self.clinicians)

    @property
    def n_units(self) -> int:
        """Number of units."""
        return len(self.units)

    @property
    def n_surveys(self) -> int:
        """Number of answered rows of `surveys`."""
        return len(self.surveys) - self.n_missing

    @property
    def n_missing(self) -> int:
        """Number of rows of `surveys` without an answer."""
        return int(self.surveys["points"].isna().sum())

    @cached_property
    def median_gap(self) -> float:
        """Median time between successive occasions of a clinician, over all; NaN if nobody has two."""
        return median_gap(self.occasions["clinician"].to_numpy(), self.occasions["time"].to_numpy())

    @cached_property
    def median_follow_up(self) -> float:
        """Median over clinicians with two or more occasions of the time from first to last; NaN if there is none."""
        first, last = self.follow_up
        length = (last - first)[last > first]
        return float(np.median(length)) if length.size else np.nan

    @cached_property
    def follow_up(self) -> tuple[np.ndarray, np.ndarray]:
        """Time of each clinician's first and last occasion, two float arrays (clinicians,)."""
        times = self.occasions.groupby("clinician")["time"]
        return times.min().to_numpy(float), times.max().to_numpy(float)

    @cached_property
    def varying(self) -> tuple[str, ...]:
        """The covariates that vary over time within some clinician."""
        code = self.occasions["clinician"].to_numpy()
        return tuple(c for c in self.covariates if varies(self.occasions[c].to_numpy(), code))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, of what the study says: the same for the same rows in another order or file."""
        return fingerprint(self)

    def with_scores(self, capacity: np.ndarray) -> "Study":
        """The same study with other answers, such as simulated ones.

        Parameters
        ----------
        capacity : array (rows of `surveys`,)
            New scores on the 0-100 scale, NaN where missing; their range is not checked.

        Returns
        -------
        Study

        Raises
        ------
        ValueError
            If the number of values is another.
        """
        capacity = np.array(capacity, dtype=float)
        if capacity.shape != (len(self.surveys),):
            raise ValueError(f"capacity must have shape ({len(self.surveys)},), not {capacity.shape}")
        indicator = self.surveys["indicator"].to_numpy()
        points = np.empty_like(capacity)
        for k, score in enumerate(self.scores.values()):
            points[indicator == k] = score.to_points(capacity[indicator == k])
        return replace(self, surveys=self.surveys.assign(points=points, capacity=capacity))

    def without(self, clinicians) -> "Study":
        """The same study without some of its clinicians.

        Parameters
        ----------
        clinicians : int array
            Codes of those to leave out.

        Raises
        ------
        UserError
            If nobody would be left.
        """
        kept = np.setdiff1d(np.arange(self.n_clinicians), np.asarray(clinicians, int))
        if not kept.size:
            raise UserError("a study without any clinician cannot be fitted.")
        clinician = np.full(self.n_clinicians, -1)
        clinician[kept] = np.arange(kept.size)

        def mine(frame, column, code):
            frame = frame.assign(**{column: code[frame[column].to_numpy()]})
            return frame[frame[column] >= 0]

        occasions = mine(self.occasions, "clinician", clinician)
        occasion = np.full(len(self.occasions), -1)
        occasion[occasions.index.to_numpy()] = np.arange(len(occasions))
        return replace(
            self,
            clinicians=self.clinicians.iloc[kept].reset_index(drop=True),
            occasions=occasions.reset_index(drop=True),
            surveys=mine(self.surveys, "occasion", occasion).reset_index(drop=True),
            spells=mine(self.spells, "clinician", clinician).reset_index(drop=True),
        )


def _wanted(interventions, columns: Mapping) -> list[str]:
    """The columns that a study is made of; none, which is all, where what was given is not what it should be."""
    scores, covariates = columns.get("scores"), columns.get("covariates", ())
    if not isinstance(scores, Mapping) or not all(isinstance(score, Score) for score in scores.values()):
        return []
    wanted = [columns.get(role) for role in ("clinician", "unit", "time")] + [s.column or name for name, s in scores.items()]
    wanted += [covariates] if isinstance(covariates, str) else list(covariates)
    given = interventions.values() if isinstance(interventions, Mapping) else ()
    wanted += [g for g in given if isinstance(g, str) and not is_readable_name(g)]
    return [name for name in dict.fromkeys(wanted) if name is not None]


def _wrap_spells(spells, name: str = "the table of spells"):
    return None if spells is None else Table.from_frame(spells, name)


def _wrap_each(interventions):
    if not isinstance(interventions, Mapping):
        return interventions
    return {
        name: _wrap_spells(given, f"the table of spells of '{name}'") if isinstance(given, pd.DataFrame) else given
        for name, given in interventions.items()
    }
