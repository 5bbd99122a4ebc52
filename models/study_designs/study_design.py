"""What a study design is, and the facts on the spells by which designs are told apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .sentences import FEW, MOST, counted


@dataclass(frozen=True, eq=False)
class Pattern:
    """Facts on the exposure to one intervention, within each clinician's follow-up; made by `pattern`.

    Exposure counts if it overlaps the time from the clinician's first survey to the last. Spells that touch, or leave a
    break shorter than a quarter of the median gap, count as one. Arrays are by clinician; those never exposed have NaN,
    0 or False.

    Attributes
    ----------
    n_clinicians, n_units : int
    gap : float
        Median time between surveys; 0 if nobody was surveyed twice.
    exposed : bool array
    followed : bool array
        Exposed, or followed up beyond the start of the others and from before their end. Those who left before the
        programme began, or joined after it, are no control group.
    spells, switches : int arrays
        Number of spells; number of starts after the first survey and of ends before the last.
    begins_on : bool array
        Exposed from the first survey on, or from earlier.
    start, wait : float arrays
        Start of the first spell as calendar time, at the earliest the study's first survey; and since the clinician's
        own first survey, at the earliest 0.
    end : float array
        End of the last spell; infinite if the clinician is still exposed at the last survey.
    runs_on, goes_on, goes_off : bool arrays
        Exposed at the last survey; some spell starts after the first survey; some spell ends before the last.
    before, after : int arrays
        Answered surveys up to and including the start, and after it. For those never exposed, the others' start.
    same_dates, same_waits : bool
        Whether all but 5 % start alike within a gap: as dates, and since their first survey.
    starts : tuple of float
        Distinct start dates (calendar time). Dates within half a gap are one, and so are those of a unit that starts
        as one; of dates from a column, as few as it allows.
    step : int array
        Which of `starts` is the clinician's; -1 for those never exposed.
    crossing : tuple of float
        Of the exposed with one or two switches, the shares that had finished before others began, and that began after
        others had finished.
    units_exposed, units_unexposed, units_mixed, largest_unit : int
        Units with somebody exposed; with nobody; in which some were exposed and others not or, where starts are
        staggered, not from the same date on; clinicians in the largest unit.
    least_dose : float
        The smallest dose of a spell; 1 if nobody was exposed.
    runs : tuple of arrays
        Clinician, start and end of each spell, as they are counted here.
    first, last : float arrays
        Each clinician's first and last survey.
    unit : int array
    """

    n_clinicians: int
    n_units: int
    gap: float
    exposed: np.ndarray
    followed: np.ndarray
    spells: np.ndarray
    switches: np.ndarray
    begins_on: np.ndarray
    start: np.ndarray
    wait: np.ndarray
    end: np.ndarray
    runs_on: np.ndarray
    goes_on: np.ndarray
    goes_off: np.ndarray
    before: np.ndarray
    after: np.ndarray
    same_dates: bool
    same_waits: bool
    starts: tuple[float, ...]
    step: np.ndarray
    crossing: tuple[float, float]
    units_exposed: int
    units_unexposed: int
    units_mixed: int
    largest_unit: int
    least_dose: float
    runs: tuple[np.ndarray, np.ndarray, np.ndarray]
    first: np.ndarray
    last: np.ndarray
    unit: np.ndarray

    @property
    def n_exposed(self) -> int:
        return int(self.exposed.sum())

    @property
    def never(self) -> np.ndarray:
        """Never exposed, though followed up while others were (bool array)."""
        return self.followed & ~self.exposed

    @property
    def n_never(self) -> int:
        return int(self.never.sum())

    @property
    def never_share(self) -> float:
        return self.n_never / max(int(self.followed.sum()), 1)

    @property
    def controlled(self) -> bool:
        """Whether some were exposed, and others (at least 5 %) never."""
        return self.n_exposed > 0 and self.n_never > 0 and self.never_share >= FEW

    @property
    def staggered(self) -> bool:
        """Whether starts differ by more than a gap, both as dates and as times since the clinicians' first surveys."""
        return self.n_exposed > 0 and not self.same_dates and not self.same_waits

    @property
    def stepped(self) -> bool:
        """Whether starts are staggered and exposure then goes on, so that programme and calendar time go together."""
        return self.staggered and bool(self.goes_on.any()) and self.share(self.runs_on & (self.spells == 1)) >= MOST

    @property
    def by_units(self) -> bool:
        """Whether exposure was given to units of more than one clinician."""
        return self.units_mixed == 0 and self.n_units > 1 and self.largest_unit > 1

    def share(self, which: np.ndarray) -> float:
        """Share of the exposed clinicians for whom this is so."""
        return float(which[self.exposed].mean()) if self.n_exposed else 0.0

    def median(self, values: np.ndarray) -> float:
        """Median over the exposed clinicians."""
        return float(np.median(values[self.exposed])) if self.n_exposed else 0.0


def _baseline(p: Pattern) -> str:
    """Surveys before the start, of those exposed and, where they are compared at one time, of those who were not."""
    some = int((p.before[p.exposed] > 0).sum())
    said = f"{some} of {counted(p.n_exposed, 'exposed clinician')}"
    if p.controlled and not p.staggered:
        said += f" and {int((p.before[p.never] > 0).sum())} of {p.n_never} never exposed"
    medians = f"median surveys before it {p.median(p.before):g}, after it {p.median(p.after):g}, of those exposed"
    return f"With a survey before the start: {said}; {medians}."


@dataclass(frozen=True)
class StudyDesign:
    """One design: how it shows in the spells, what it compares, what to beware of.

    Attributes
    ----------
    name : str
        As stated in the analysis file.
    title : str
        As printed: "stepped-wedge trial".
    meaning : str
        How it shows in the spells, for a list of designs.
    secular : {"none", "linear", "periods"}
        The change over calendar time that the design brings unless the user states another.
    reference : str
    rule : function (pattern, randomised) -> bool
        Whether it is recognised; strict. Use `fits`.
    against : function (pattern) -> str
        Why the spells cannot be this design, or ""; looser than `rule`. Use `contradiction`.
    comparison : function (pattern) -> str
        What is compared with what, as a sentence.
    warnings : function (pattern, secular) -> list of str
        What to beware of, given the change over calendar time that is modelled.
    baseline : function (pattern) -> str
        On the surveys before the start, as a sentence.
    randomised : bool
        Whether stating it says that exposure was drawn by lot.
    """

    name: str
    title: str
    meaning: str
    secular: str
    reference: str
    rule: Callable[[Pattern, bool | None], bool]
    against: Callable[[Pattern], str]
    comparison: Callable[[Pattern], str]
    warnings: Callable[[Pattern, str], list[str]]
    baseline: Callable[[Pattern], str] = _baseline
    randomised: bool = False

    def fits(self, pattern: Pattern, randomised: bool | None) -> bool:
        """Whether the spells are recognised as this design."""
        return pattern.n_exposed > 0 and self.rule(pattern, randomised)

    def contradiction(self, pattern: Pattern) -> str:
        """Why the spells cannot be this design, without a full stop; "" if they can."""
        if not pattern.n_exposed:
            return "nobody was exposed during the follow-up, so there is no design to state"
        return self.against(pattern)
