"""The layout worked out clinician by clinician, as one would by hand: what `models/timeline.py` must come to, bit by bit."""

import numpy as np

from equipoise.models.design import build_design
from equipoise.models.shapes import FAR
from equipoise.models.timeline import INDEX, Cells, Layout


class Timeline:
    """Epochs and steps of each clinician, from occasions, spells and period boundaries."""

    def __init__(self, study, terms, period_edges, courses):
        self.study = study
        self.courses = courses
        self.shaped = [k for k, course in enumerate(courses) if not course.is_plain]
        self.cell_of: dict[tuple, int] = {}  # (intervention, clinician, cell) -> number among the intervention's
        self.cells: dict[int, list] = {k: [] for k in self.shaped}
        self._base: dict[int, np.ndarray] = {}
        self.terms = terms
        self.edges = period_edges
        occasions = study.occasions
        self.time = occasions["time"].to_numpy(float)
        count = study.n_clinicians
        self.occasion_offset = np.concatenate([[0], np.cumsum(np.bincount(occasions["clinician"], minlength=count))])
        spells = study.spells.sort_values("clinician", kind="stable")
        self.spell_offset = np.concatenate(
            [[0], np.cumsum(np.bincount(spells["clinician"].astype(int), minlength=count))]
        )
        self.spell = {c: spells[c].to_numpy(float) for c in ("start", "end", "dose")}
        self.spell["intervention"] = spells["intervention"].to_numpy(int)
        surveys = study.surveys
        self.survey_offset = np.concatenate(
            [[0], np.cumsum(np.bincount(surveys["occasion"], minlength=len(occasions)))]
        )
        # the same covariate values are the same state
        _, state = np.unique(terms.occasion, axis=0, return_inverse=True)
        self.state = state.reshape(-1)
        self.varies = bool(terms.names) and not np.allclose(
            terms.occasion, terms.clinician[occasions["clinician"].to_numpy()], atol=1e-12
        )

    def points(self, i: int, extra=()) -> tuple[np.ndarray, float]:
        """Break points of clinician i (sorted, unique), and the time of the first survey."""
        times = self.time[self.occasion_offset[i] : self.occasion_offset[i + 1]]
        first, last = times[0], times[-1]
        mine = slice(self.spell_offset[i], self.spell_offset[i + 1])
        starts, ends = self.spell["start"][mine], self.spell["end"][mine]
        begin = min(first, starts.min(initial=first))
        # before the interval that the first row describes covariates are at the person's mean
        known = self.known_from(first)
        begin = min(begin, known)
        gap = self.study.median_gap if self.study.median_gap > 0 else 1.0
        shaped = [
            self.courses[self.spell["intervention"][s]].cuts(self.spell["start"][s], self.spell["end"][s], gap, last)
            for s in range(mine.start, mine.stop)
        ]
        cuts = np.concatenate([starts, ends, self.edges[1:-1], *shaped, np.asarray(extra, float), [known]])
        cuts = cuts[(cuts > begin) & (cuts < last)]
        return np.unique(np.concatenate([[begin], cuts, times])), first

    def known_from(self, first: float) -> float:
        """When the first row's covariates begin to hold: one median gap before it, or at it."""
        gap = self.study.median_gap
        return first - gap if self.varies and self.study.holds == "before" and np.isfinite(gap) else first

    def period(self, time):
        """Calendar period of a time; times before the study belong to the first."""
        return np.clip(np.searchsorted(self.edges, time, side="right") - 1, 0, self.edges.size - 2)

    def states(self, i: int, points: np.ndarray) -> np.ndarray:
        """State in force between successive points: covariate row, period, doses (intervals x ...)."""
        middle = (points[:-1] + points[1:]) / 2
        rows = slice(self.occasion_offset[i], self.occasion_offset[i + 1])
        times = self.time[rows]
        out = np.zeros((middle.size, 2 + len(self.study.interventions)))
        if self.varies:
            if self.study.holds == "before":
                at = np.searchsorted(times, points[1:], side="left")
            else:
                at = np.searchsorted(times, points[:-1], side="right") - 1
            out[:, 0] = rows.start + np.clip(at, 0, times.size - 1)
            # a representative occasion of the same values, so that equal states are one epoch
            states = self.state[out[:, 0].astype(int)]
            _, first, inverse = np.unique(states, return_index=True, return_inverse=True)
            out[:, 0] = np.where(middle < self.known_from(times[0]), -1, out[first[inverse], 0])
        else:
            out[:, 0] = rows.start
        if self.edges.size:
            out[:, 1] = self.period(np.maximum(middle, times[0]))
        else:
            out[:, 1] = -1
        for s in range(self.spell_offset[i], self.spell_offset[i + 1]):
            inside = (middle >= self.spell["start"][s]) & (middle < self.spell["end"][s])
            out[inside, 2 + self.spell["intervention"][s]] = self.spell["dose"][s]
        if self.shaped and middle.size:
            self._shape(i, middle, out)
        return out

    def _shape(self, i: int, middle: np.ndarray, out: np.ndarray) -> None:
        """Put cells into ``out``, as minus 1 minus their number: exposure is averaged when parameters are known."""
        if i not in self._base:
            self._base[i] = self.points(i)[0]  # cells do not depend on further time points
        base = self._base[i]
        cell = np.searchsorted(base, middle, side="right") - 1
        for k in self.shaped:
            mine = np.arange(self.spell_offset[i], self.spell_offset[i + 1])
            mine = mine[self.spell["intervention"][mine] == k]
            start, dose = self.spell["start"][mine], self.spell["dose"][mine]
            end = np.minimum(self.spell["end"][mine], FAR)
            for c in np.unique(cell):
                begun = start < base[c + 1]
                spells = (start[begun], end[begun], dose[begun])
                if not begun.any():
                    value = 0.0
                else:
                    number = self.cell_of.setdefault((k, i, c), len(self.cells[k]))
                    if number == len(self.cells[k]):
                        self.cells[k].append((base[c], base[c + 1], *spells))
                    value = -1.0 - number
                out[cell == c, 2 + k] = value

    def exposure_cells(self, k: int, row: np.ndarray) -> Cells:
        """Arrays of the cells of intervention k, given the cell of each epoch (-1: none)."""
        cells = self.cells[k]
        width = max((len(c[2]) for c in cells), default=1)
        parts = np.zeros((5, len(cells), width))
        parts[3] = FAR
        for n, (low, high, *spells) in enumerate(cells):
            parts[0, n], parts[1, n] = low, high
            parts[2:, n, : len(spells[0])] = spells
        # clinicians of one unit mostly share spells and survey dates, and so their cells
        flat = parts.transpose(1, 0, 2).reshape(len(cells), -1)
        unique, place = np.unique(flat, axis=0, return_inverse=True)
        row = np.append(place.reshape(-1), len(unique))[row].astype(INDEX)
        return Cells(k, row, *unique.reshape(-1, 5, width).transpose(1, 0, 2).copy())


def lay_out(timeline: Timeline, epoch_of: dict, extra: list[np.ndarray] | None = None) -> Layout:
    """Steps of every clinician, with ``extra[i]`` time points of clinician i beside the surveys."""
    offset, prelude, gap, epoch, survey, point = [0], [], [], [], [], []
    points_before = 0
    for i in range(timeline.study.n_clinicians):
        wanted = np.asarray(extra[i], float) if extra is not None else np.empty(0)
        points, first = timeline.points(i, wanted)
        keys = [(i, *row) for row in timeline.states(i, points)]
        for key in keys:
            epoch_of.setdefault(key, len(epoch_of))
        at_first = int(np.searchsorted(points, first))
        prelude.append(at_first)
        steps = [(points[j + 1] - points[j], epoch_of[keys[j]], points[j + 1]) for j in range(at_first)]
        # a step of no length ends at the first survey; its epoch is what was in force before
        begin = epoch_of[keys[at_first - 1]] if at_first else timeline.base[i]
        following = [(0.0, begin, first)]
        following += [(points[j + 1] - points[j], epoch_of[keys[j]], points[j + 1]) for j in range(at_first, len(keys))]
        for length, k, _ in steps:
            gap.append(length)
            epoch.append(k)
            survey.append(-1)
            point.append(-1)
        times = timeline.time[timeline.occasion_offset[i] : timeline.occasion_offset[i + 1]]
        for length, k, end in following:
            o = int(np.searchsorted(times, end))
            at_occasion = o < times.size and times[o] == end
            occasion = timeline.occasion_offset[i] + o
            rows = (
                range(timeline.survey_offset[occasion], timeline.survey_offset[occasion + 1]) if at_occasion else [-1]
            )
            w = int(np.searchsorted(wanted, end))
            hit = points_before + w if w < wanted.size and wanted[w] == end else -1
            for n, row in enumerate(rows):
                gap.append(length if n == 0 else 0.0)
                epoch.append(k)
                survey.append(row)
                point.append(hit if n == 0 else -1)
        offset.append(len(gap))
        points_before += wanted.size
    index = [np.array(values, INDEX) for values in (offset, prelude, epoch, survey, point)]
    return Layout(index[0], index[1], np.array(gap, float), *index[2:])


def reference(model, study, extra):
    """Layout, epoch arrays and cells of a study, and the layout with further time points."""
    design, _, _ = build_design(model, study)
    terms, secular, edges = design.terms, design.secular, design.secular.edges
    timeline = Timeline(study, terms, edges, design.courses)
    count, n_interventions = study.n_clinicians, len(study.interventions)
    epoch_of: dict = {("base", i): i for i in range(count)}
    if edges.size:
        epoch_of |= {("start", i): count + i for i in range(count)}
    timeline.base = np.arange(count, dtype=INDEX)
    layout = lay_out(timeline, epoch_of)
    n_epochs = len(epoch_of)
    owner = np.empty(n_epochs, INDEX)
    values = np.zeros((n_epochs, len(terms.names)))
    dose = np.zeros((n_epochs, n_interventions))
    calendar = np.zeros((n_epochs, secular.n_columns))
    cell = {j: np.full(n_epochs, -1) for j in timeline.cells}
    for key, k in epoch_of.items():
        if key[0] in ("base", "start"):
            owner[k] = key[1]
            values[k] = terms.clinician[key[1]]
            if key[0] == "start":
                calendar[k] = secular.basis[int(timeline.period(timeline.time[timeline.occasion_offset[key[1]]]))]
        else:
            owner[k] = key[0]
            values[k] = terms.clinician[key[0]] if key[1] < 0 else terms.occasion[int(key[1])]
            dose[k] = np.maximum(key[3:], 0.0)
            for j in timeline.cells:
                cell[j][k] = -key[3 + j] - 1 if key[3 + j] < 0 else -1
            if edges.size:
                calendar[k] = secular.basis[int(key[2])]

    columns = np.concatenate([values, dose, calendar], axis=1)
    cells = tuple(timeline.exposure_cells(j, rows) for j, rows in cell.items())
    further = lay_out(timeline, epoch_of, extra)
    assert len(epoch_of) == n_epochs  # further points make no epochs
    return layout, owner, columns, cells, further
