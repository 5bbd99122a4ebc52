"""Each clinician's time cut into epochs and steps: at surveys, changes of exposure and covariates, and period bounds.

All clinicians are done at once on flat arrays, so that a study of a million rows takes seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .course import Course
from .shapes import FAR
from .terms import Terms

# PyMC holds integer data as int32; one type for all means one compilation of each kernel
INDEX = np.int32


@dataclass(frozen=True)
class Layout:
    """Steps of every clinician; arrays as in `likelihood.filter.log_likelihood`.

    ``step_point`` numbers the requested extra time points (-1: the step ends at none).
    """

    step_offset: np.ndarray
    step_prelude: np.ndarray
    step_gap: np.ndarray
    step_epoch: np.ndarray
    step_survey: np.ndarray
    step_point: np.ndarray


@dataclass(frozen=True)
class Cells:
    """Stretches of time over which the exposure to an intervention with a shape is averaged.

    Attributes
    ----------
    intervention : int
    row : int array (epochs)
        Cell of each epoch; the number of cells for epochs without exposure.
    low, high, start, end, dose : float arrays (cells x spells)
        The cell's limits and the clinician's spells begun before the cell's end, with dose 0 in place of spells that others have more of.
    """

    intervention: int
    row: np.ndarray
    low: np.ndarray
    high: np.ndarray
    start: np.ndarray
    end: np.ndarray
    dose: np.ndarray


def combined(exposures, math):
    """Exposure that comes of several spells (last axis): what one leaves undone the next can do, and never above 1."""
    return 1.0 - math.prod(1.0 - exposures, axis=-1)


def keyed(clinician, time) -> np.ndarray:
    """Times that sort by clinician first, as complex numbers: NumPy orders these by real, then by imaginary part."""
    key = np.empty(np.size(time), complex)
    key.real, key.imag = clinician, time
    return key


class Timeline:
    """Break points of each clinician's time, and the state in force between them.

    Attributes
    ----------
    breaks : complex array (points)
        `keyed` break points of all clinicians, sorted and unique. Between two of one clinician lies an *interval*; the
        interval that begins at point g of clinician i has number g - i.
    owner : int array (intervals)
    occasion : int array (intervals)
        Occasion whose covariates hold; -1 where they are at the clinician's mean.
    period : int array (intervals)
        Calendar period; -1 without periods.
    dose : float array (intervals x interventions)
        Dose in force; 0 where exposure has a shape.
    cell : dict of int to int array (intervals)
        For each intervention with a shape, the interval's number among its cells; -1 before its first spell.
    """

    def __init__(self, study, terms: Terms, period_edges: np.ndarray, courses: tuple[Course, ...]):
        self.study, self.terms, self.edges, self.courses = study, terms, period_edges, courses
        self.time = study.occasions["time"].to_numpy(float)
        self.clinician = study.occasions["clinician"].to_numpy()
        self.count = study.n_clinicians
        self.occasion_offset = _offsets(self.clinician, self.count)
        self.survey_offset = _offsets(study.surveys["occasion"].to_numpy(), self.time.size)
        self.first, self.last = self.time[self.occasion_offset[:-1]], self.time[self.occasion_offset[1:] - 1]
        spells = study.spells.sort_values("clinician", kind="stable")
        self.spells = {
            k: {c: mine[c].to_numpy() for c in ("clinician", "start", "end", "dose")}
            for k, mine in ((k, spells[spells["intervention"].to_numpy(int) == k]) for k in range(len(courses)))
        }
        self.varies = bool(terms.names) and not np.allclose(terms.occasion, terms.clinician[self.clinician], atol=1e-12)
        # before the interval that the first row describes (a median gap long) covariates are at the person's mean
        gap = study.median_gap
        early = self.varies and study.holds == "before" and np.isfinite(gap)
        self.known = self.first - gap if early else self.first
        self.shaped = [k for k, course in enumerate(courses) if not course.is_plain]
        self.breaks = self._breaks()
        self._states()

    def _breaks(self) -> np.ndarray:
        begin = self.known.copy()
        for mine in self.spells.values():
            np.minimum.at(begin, mine["clinician"], mine["start"])
        everyone = np.arange(self.count)
        inner = self.edges[1:-1]
        parts = [(everyone, self.known), (np.repeat(everyone, inner.size), np.tile(inner, self.count))]
        for k, mine in self.spells.items():
            parts += [(mine["clinician"], mine["start"]), (mine["clinician"], mine["end"])]
            if k in self.shaped:
                parts.append(self._cuts(self.courses[k], **mine))
        cuts = keyed(*(np.concatenate(both) for both in zip(*parts, strict=True)))
        of = cuts.real.astype(int)
        cuts = cuts[(cuts.imag > begin[of]) & (cuts.imag < self.last[of])]
        return np.unique(np.concatenate([keyed(everyone, begin), cuts, keyed(self.clinician, self.time)]))

    def _cuts(self, course: Course, clinician, start, end, dose) -> tuple[np.ndarray, np.ndarray]:
        """Cuts of an intervention with a shape: clinicians of one unit mostly share spells and survey dates."""
        gap = self.study.median_gap if self.study.median_gap > 0 else 1.0
        rows = np.column_stack([start, end, self.last[clinician]])
        unique, place = np.unique(rows, axis=0, return_inverse=True)
        cuts = [course.cuts(a, b, gap, until) for a, b, until in unique]
        mine = [cuts[p] for p in place.reshape(-1)]
        return np.repeat(clinician, [len(c) for c in mine]), np.concatenate([*mine, np.empty(0)])

    def _states(self) -> None:
        point, of = self.breaks.imag, self.breaks.real.astype(int)
        begins = np.append(of[1:] == of[:-1], False)  # the last point of a clinician begins no interval
        at = np.flatnonzero(begins)
        self.owner, low, high = of[at], point[at], point[at + 1]
        middle = (low + high) / 2
        self.low, self.high = low, high
        rows = self.occasion_offset[self.owner]
        self.occasion = rows
        if self.varies:
            occasions = keyed(self.clinician, self.time)
            if self.study.holds == "before":
                found = np.searchsorted(occasions, keyed(self.owner, high), side="left")
            else:
                found = np.searchsorted(occasions, keyed(self.owner, low), side="right") - 1
            found = np.clip(found, rows, self.occasion_offset[self.owner + 1] - 1)
            self.occasion = np.where(middle < self.known[self.owner], -1, found)
        self.period = np.full(middle.size, -1)
        if self.edges.size:
            self.period = self.period_of(np.maximum(middle, self.first[self.owner]))
        self.dose = np.zeros((middle.size, len(self.courses)))
        self.cell = {}
        for k, mine in self.spells.items():
            starts = keyed(mine["clinician"], mine["start"])
            if k in self.shaped:
                begun = np.searchsorted(starts, keyed(self.owner, high), side="left")
                begun -= np.searchsorted(mine["clinician"], self.owner, side="left")
                self.cell[k] = np.where(begun > 0, np.cumsum(begun > 0) - 1, -1)
                mine["begun"] = begun[begun > 0]
                continue
            s = np.searchsorted(starts, keyed(self.owner, middle), side="right") - 1
            inside = (s >= 0) & (mine["clinician"][s] == self.owner) if starts.size else np.zeros(middle.size, bool)
            inside[inside] = middle[inside] < mine["end"][s[inside]]
            self.dose[inside, k] = mine["dose"][s[inside]]

    def period_of(self, time):
        """Calendar period of a time; times before the study belong to the first."""
        return np.clip(np.searchsorted(self.edges, time, side="right") - 1, 0, self.edges.size - 2)

    def epochs(self, known: int) -> tuple[np.ndarray, np.ndarray]:
        """Number the epochs from ``known`` on, in order of time: intervals of a clinician in one state share theirs.

        Returns
        -------
        epoch : int array (intervals)
        first : int array (new epochs)
            The first interval of each.
        """
        columns = [self.period + 1]
        if self.varies:  # the same covariate values are the same state
            columns.append(np.where(self.occasion < 0, 0, _same(self.terms.occasion.T)[self.occasion] + 1))
        columns += [self.cell[k] + 1 if k in self.cell else self.dose[:, k] for k in range(len(self.courses))]
        _, first, place = np.unique(_same(columns, self.owner), return_index=True, return_inverse=True)
        order = np.argsort(first)
        rank = np.empty_like(order)
        rank[order] = np.arange(order.size)
        return known + rank[place], first[order]

    def exposure_cells(self, k: int, row: np.ndarray) -> Cells:
        """Arrays of the cells of intervention k, given the cell of each epoch (-1: none)."""
        mine = self.spells[k]
        begun, cells = mine["begun"], self.cell[k] >= 0
        width = int(begun.max(initial=1))
        parts = np.zeros((5, begun.size, width))
        parts[0], parts[1] = self.low[cells, None], self.high[cells, None]
        parts[3] = FAR
        at = np.searchsorted(mine["clinician"], self.owner[cells], side="left")
        for n in range(width):
            some = begun > n
            s = at[some] + n
            parts[2, some, n], parts[4, some, n] = mine["start"][s], mine["dose"][s]
            parts[3, some, n] = np.minimum(mine["end"][s], FAR)
        # clinicians of one unit mostly share spells and survey dates, and so their cells
        flat = parts.transpose(1, 0, 2).reshape(begun.size, -1)
        unique, place = np.unique(flat, axis=0, return_inverse=True)
        row = np.append(place.reshape(-1), len(unique))[row].astype(INDEX)
        return Cells(k, row, *unique.reshape(-1, 5, width).transpose(1, 0, 2).copy())


def lay_out(timeline: Timeline, epoch: np.ndarray, extra: list[np.ndarray] | None = None) -> Layout:
    """Steps of every clinician, with ``extra[i]`` (sorted) time points of clinician i beside the surveys.

    ``epoch`` holds the epoch of each interval of the timeline; further points cut intervals and make no epochs.
    """
    count = timeline.count
    breaks = timeline.breaks
    wanted = np.empty(0, complex)
    if extra is not None:
        wanted = keyed(np.repeat(np.arange(count), [len(e) for e in extra]), np.concatenate([*extra, np.empty(0)]))
        of = wanted.real.astype(int)
        begin = breaks.imag[np.searchsorted(breaks.real, np.arange(count))]
        inside = (wanted.imag > begin[of]) & (wanted.imag < timeline.last[of])
        breaks = np.unique(np.concatenate([breaks, wanted[inside]]))
    point, owner = breaks.imag, breaks.real.astype(int)
    offset = np.searchsorted(owner, np.arange(count + 1))
    prelude = np.searchsorted(breaks, keyed(np.arange(count), timeline.first)) - offset[:-1]

    # a step for each point: in the prelude it leads on from there, at the first survey it has no length, later it leads there
    at = np.arange(point.size)
    position = at - offset[owner]
    early, start = position < prelude[owner], position == prelude[owner]
    left = np.where(early, at, at - 1)
    gap = np.where(start, 0.0, point[np.minimum(left + 1, at[-1])] - point[left])
    interval = np.searchsorted(timeline.breaks, breaks[left], side="right") - 1 - owner
    # the epoch of a step without length is what was in force before
    number = np.where(start & (position == 0), owner, epoch[np.clip(interval, 0, epoch.size - 1)] if epoch.size else 0)

    occasions = keyed(timeline.clinician, timeline.time)
    occasion, surveyed = _find(occasions, breaks)
    surveyed &= ~early
    per_step = np.where(surveyed, np.diff(timeline.survey_offset)[occasion], 1)
    requested, hit = _find(wanted, breaks)
    steps = np.repeat(at, per_step)  # several indicators at one time: one step each, the further ones without length
    within = np.arange(steps.size) - np.repeat(np.cumsum(per_step) - per_step, per_step)
    survey = np.where(surveyed, timeline.survey_offset[occasion], -1)[steps]
    return Layout(
        step_offset=np.append(0, np.cumsum(per_step))[offset].astype(INDEX),
        step_prelude=prelude.astype(INDEX),
        step_gap=np.where(within == 0, gap[steps], 0.0),
        step_epoch=number[steps].astype(INDEX),
        step_survey=np.where(survey >= 0, survey + within, -1).astype(INDEX),
        step_point=np.where((within == 0) & (hit & ~early)[steps], requested[steps], -1).astype(INDEX),
    )


def _offsets(code, count: int) -> np.ndarray:
    return np.append(0, np.cumsum(np.bincount(code, minlength=count)))


def _find(keys, sought) -> tuple[np.ndarray, np.ndarray]:
    """Place of each sought number among sorted ones, and whether it is there."""
    if not keys.size:
        return np.zeros(sought.size, int), np.zeros(sought.size, bool)
    place = np.minimum(np.searchsorted(keys, sought), keys.size - 1)
    return place, keys[place] == sought


def _same(columns, code: np.ndarray | int = 0) -> np.ndarray:
    """Numbers that are equal where all the columns (and ``code``) are."""
    size = int(np.max(code, initial=0)) + 1
    for column in columns:
        values, place = np.unique(column, return_inverse=True)
        if size * values.size > np.iinfo(np.int64).max:
            known, code = np.unique(code, return_inverse=True)
            size = known.size
        code, size = code * values.size + place, size * values.size
    return code
