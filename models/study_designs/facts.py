"""From the spells of one intervention to the facts on them."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np

from .sentences import FEW
from .study_design import Pattern

# In gaps: breaks shorter than this are none; dates closer than this are one
BREAK = 0.25
SAME_DATE = 0.5
TINY = 1e-9

_known: WeakKeyDictionary = WeakKeyDictionary()  # by study, which does not change: a large one's take seconds, and are asked for often


def pattern(study, k: int, course_is_endless: bool = False) -> Pattern:
    """The facts on intervention k of a study.

    Parameters
    ----------
    study : Study
    k : int
        Code of the intervention.
    course_is_endless : bool
        Whether the shape of its exposure has no end, as that of ``step``: every spell then runs on.

    Returns
    -------
    Pattern
    """
    known = _known.setdefault(study, {})
    if (k, course_is_endless) not in known:
        known[k, course_is_endless] = _pattern(study, k, course_is_endless)
    return known[k, course_is_endless]


def _pattern(study, k, course_is_endless):
    first, last = study.follow_up
    n, n_units, unit = study.n_clinicians, study.n_units, study.unit_code
    gap = float(study.median_gap) if study.median_gap > 0 else 0.0
    from_column = study.exposure_source[study.interventions[k]] == "column"
    # dates from a column are those of surveys: "before" the first row that says so
    slack = SAME_DATE * gap if from_column else 0.0

    code, begin, finish, least_dose = _runs(study, k, course_is_endless, gap)
    spells = np.bincount(code, minlength=n)
    exposed = spells > 0
    who, at = np.unique(code, return_index=True)
    begun, start, wait, end = np.full((4, n), np.nan)
    begun[who] = begin[at]
    start[who] = np.maximum(begin[at], first.min())
    wait[who] = np.maximum(begin[at], first[who]) - first[who]
    end[who] = finish[at + spells[who] - 1]
    runs_on = exposed & (end >= last)
    end[runs_on] = np.inf
    goes_on = np.bincount(code, begin > first[code], minlength=n).astype(int)
    goes_off = np.bincount(code, finish < last[code], minlength=n).astype(int)

    low, high = np.full((2, n), np.nan)
    if from_column:
        low[who], high[who] = _around(study, who, begin[at], gap)
        low_wait, high_wait = low - first, high - first
    else:
        low, high, low_wait, high_wait = start, start + gap, wait, wait + gap
    same_dates = _share_a_point(low[exposed], high[exposed])
    same_waits = _share_a_point(low_wait[exposed], high_wait[exposed])
    staggered = not same_dates and not same_waits

    onset, over = _others_spell(begun, end, first, exposed, same_dates or not same_waits)
    followed = exposed | staggered | (last > onset) & (last >= onset + slack) & (first < over)
    if from_column and not staggered:  # a column tells only of those who were surveyed meanwhile
        followed &= exposed | _surveyed(study, onset, over, slack)
    in_units = np.split(np.argsort(unit, kind="stable"), np.cumsum(np.bincount(unit, minlength=n_units))[:-1])
    if staggered:
        whole = [_steps_as_one(m, exposed, start, end, first, last, low, high, slack) for m in in_units]
    else:
        whole = [exposed[m][followed[m]].all() or not exposed[m].any() for m in in_units]
    with_exposed = np.array([exposed[m].any() for m in in_units])
    with_followed = np.array([followed[m].any() for m in in_units])

    # half a gap tells dates apart, and a column only those between which somebody was surveyed
    latest = high - 0.01 * gap if from_column else start + SAME_DATE * gap
    # whoever joined later and was exposed from the first row on says nothing on the date of the start
    dated = exposed & ~((first > first.min() + slack) & (wait == 0)) if from_column else exposed
    one_by_one = np.arange(n)[:, None]
    as_units = in_units if all(whole) and 1 < n_units < n else one_by_one
    for members, known in ((as_units, dated), (one_by_one, dated), (one_by_one, exposed)):
        starts, step = _starts(members, known, exposed, start, low, latest)
        if len(starts) > staggered:  # what is staggered has two dates, however alike its units are
            break

    owner, time = _answered(study)
    early = time <= np.where(exposed, begun, onset)[owner] + TINY * gap
    switches = goes_on + goes_off
    return Pattern(
        n_clinicians=n,
        n_units=n_units,
        gap=gap,
        exposed=exposed,
        followed=followed,
        spells=spells,
        switches=switches,
        begins_on=exposed & (wait == 0),
        start=start,
        wait=wait,
        end=end,
        runs_on=runs_on,
        goes_on=goes_on > 0,
        goes_off=goes_off > 0,
        before=np.bincount(owner[early], minlength=n),
        after=np.bincount(owner[~early], minlength=n),
        same_dates=same_dates,
        same_waits=same_waits,
        starts=starts,
        step=step,
        crossing=_crossing(start, wait, end, first, switches, exposed, gap),
        units_exposed=int(with_exposed.sum()),
        units_unexposed=int((with_followed & ~with_exposed).sum()),
        units_mixed=len(whole) - sum(map(bool, whole)),
        largest_unit=max(map(len, in_units)),
        least_dose=least_dose,
        runs=(code, begin, finish),
        first=first,
        last=last,
        unit=unit,
    )


def group_dates(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Number the fewest dates, from early to late, of which one lies in each interval.

    Examples
    --------
    >>> group_dates(np.array([4.0, 0.0, 0.5, 1.0]), np.array([4.5, 0.5, 1.0, 1.5])).tolist()
    [2, 0, 0, 1]
    """
    label = np.empty(low.size, int)
    date, group = -np.inf, -1
    for i in np.argsort(high, kind="stable"):
        if group < 0 or low[i] > date + TINY * max(abs(date), 1.0):
            date, group = high[i], group + 1
        label[i] = group
    return label


def _runs(study, k, endless, gap):
    """Clinician, start and end of each stretch of exposure that overlaps the follow-up, and the least dose."""
    first, last = study.follow_up
    spells = study.spells[study.spells["intervention"].to_numpy() == k]
    code, begin = spells["clinician"].to_numpy(int), spells["start"].to_numpy(float)
    finish = np.full(len(spells), np.inf) if endless else spells["end"].to_numpy(float)
    kept = (begin < last[code]) & (finish > first[code])
    code, begin, finish = code[kept], begin[kept], finish[kept]
    least = float(spells["dose"].to_numpy()[kept].min(initial=1.0))
    if not code.size:
        return code, begin, finish, least
    pause = np.full(code.size, np.inf)
    pause[1:] = np.where(code[1:] == code[:-1], begin[1:] - finish[:-1], np.inf)
    new = np.flatnonzero(pause > max(BREAK * gap, TINY))
    return code[new], begin[new], finish[np.append(new[1:], code.size) - 1], least


def _around(study, who, begin, gap):
    """Earliest and latest date at which exposure that a column tells of can have begun."""
    first, n = study.follow_up[0], study.n_clinicians
    time, owner = study.occasions["time"].to_numpy(float), study.occasions["clinician"].to_numpy()
    near = TINY * max(gap, 1.0)
    stated = np.full(n, np.nan)
    stated[who] = begin
    if study.holds == "before":
        following = np.full(n, np.inf)
        later = time > stated[owner] + near
        np.minimum.at(following, owner[later], time[later])
        unknown = begin < first[who] - near
        low, high = begin, np.maximum(begin + gap, following[who])
    else:
        previous = np.full(n, -np.inf)
        earlier = time < stated[owner] - near
        np.maximum.at(previous, owner[earlier], time[earlier])
        unknown = begin <= first[who] + near
        low, high = np.minimum(begin - gap, previous[who]), begin
    return np.where(unknown, -np.inf, low), np.where(unknown, first[who], high)


def _share_a_point(low, high) -> bool:
    """Whether one date lies in all but 5 % of these intervals."""
    if not low.size:
        return True
    near = TINY * max(np.abs(high).max(), 1.0)
    covered = np.searchsorted(np.sort(low), low + near, "right") - np.searchsorted(np.sort(high), low - near, "left")
    return bool(covered.max() >= (1 - FEW) * low.size)


def _others_spell(begun, end, first, exposed, on_dates):
    """When those exposed typically begin and end, on each clinician's calendar (arrays)."""
    if not exposed.any():
        return np.full(first.size, np.inf), np.full(first.size, np.inf)
    if on_dates:
        return np.full(first.size, np.median(begun[exposed])), np.full(first.size, np.median(end[exposed]))
    return first + np.median((begun - first)[exposed]), first + np.median((end - first)[exposed])


def _steps_as_one(members, exposed, start, end, first, last, low, high, slack) -> bool:
    """Whether a unit in a staggered roll-out begins as one, and nobody in it goes without."""
    m = members[exposed[members]]
    if not m.size:
        return True
    begun, over = np.median(start[m]), np.median(end[m])
    rest = members[~exposed[members]]
    missed = (last[rest] > begun) & (last[rest] >= begun + slack) & (first[rest] < over)
    return not missed.any() and _share_a_point(low[m], high[m])


def _starts(members, dated, exposed, start, low, latest) -> tuple[tuple[float, ...], np.ndarray]:
    """The distinct start dates, and which of them is each clinician's (-1: never exposed)."""
    step = np.full(start.size, -1)
    known = [m[dated[m]] for m in members if dated[m].any()]
    if not known:
        return (), step
    middle = [np.array([np.median(values[m]) for m in known]) for values in (start, low, latest)]
    label = group_dates(*middle[1:])
    dates = [float(np.median(middle[0][label == g])) for g in range(label.max() + 1)]
    step[exposed] = np.clip(np.searchsorted(dates, start[exposed], "right") - 1, 0, None)
    for m, g in zip((m for m in members if dated[m].any()), label, strict=True):
        step[m[exposed[m]]] = g
    return tuple(dates), step


def _surveyed(study, onset, over, slack) -> np.ndarray:
    """Whether each clinician was surveyed while the others were exposed."""
    time, owner = study.occasions["time"].to_numpy(float), study.occasions["clinician"].to_numpy()
    low, high = onset[owner], over[owner]
    if study.holds == "before":
        meanwhile = (time > low + slack) & (time <= high)
    else:
        meanwhile = (time >= low) & (time < high - slack)
    return np.bincount(owner[meanwhile], minlength=onset.size) > 0


def _answered(study):
    """Clinician and time of the occasions with an answer."""
    rows = np.unique(study.surveys["occasion"].to_numpy()[study.surveys["points"].notna().to_numpy()])
    return study.occasions["clinician"].to_numpy()[rows], study.occasions["time"].to_numpy(float)[rows]


def _crossing(start, wait, end, first, switches, exposed, gap) -> tuple[float, float]:
    """Shares that had finished before others began, and that began after others had finished.

    By dates and by times since the first survey, whichever shows less of it: clinicians who join one after the other,
    or in the course of one programme, make no crossover.
    """
    some = exposed & ((switches == 1) | (switches == 2))
    # with a baseline and a wash-out everybody goes on and off, and jitter alone must not make an order of it
    slack = gap * np.where(switches[some] == 1, SAME_DATE, SAME_DATE / 4)
    found = []
    for begun, over in ((start[some], end[some]), (wait[some], end[some] - first[some])):
        at = np.unique(over[np.isfinite(over)])
        at = at[:: at.size // 200 + 1, None]  # spread over all dates, however many
        if not at.size:
            return 0.0, 0.0
        finished, later = over <= at + slack, begun >= at - slack
        early, late = (finished & ~later).mean(axis=1), (later & ~finished).mean(axis=1)
        best = np.minimum(early, late).argmax()
        found.append((float(early[best]), float(late[best])))
    return min(found, key=min)
