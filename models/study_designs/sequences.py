"""The distinct patterns of spells in a study, for a picture of its design."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from .facts import group_dates
from .study_design import Pattern

MOST_SEQUENCES = 12


def sequences(pattern: Pattern) -> dict:
    """Who was exposed from when to when, clinicians with the same spells together.

    Parameters
    ----------
    pattern : Pattern

    Returns
    -------
    dict
        ``sequences``: at most 12 dicts, by start, those never exposed at the end, with ``start`` and ``end`` (of the
        first and of the last spell; None: never, and still running at the last survey), ``spells`` (list of
        [start, end]), ``clinicians``, ``units`` (numbers). ``since_first_survey``: whether times are those since the
        clinician's first survey rather than calendar times, which is so where dates differ by recruitment alone.
        ``left_out``: clinicians in patterns beyond the twelve commonest.
    """
    shown, relative = _shown(pattern)
    return {
        "sequences": [{key: value for key, value in s.items() if key != "members"} for s in shown],
        "since_first_survey": relative,
        "left_out": pattern.n_clinicians - sum(s["clinicians"] for s in shown),
    }


def members(pattern: Pattern) -> list[list[int]]:
    """Codes of the clinicians in each of the `sequences`, in their order."""
    return [s["members"] for s in _shown(pattern)[0]]


def _shown(pattern: Pattern) -> tuple[list[dict], bool]:
    """The commonest patterns, and whether their times are those since the clinician's first survey."""
    by_date = _patterns(pattern, np.full(pattern.n_clinicians, pattern.first.min()))
    by_wait = _patterns(pattern, pattern.first)
    apart = pattern.same_waits and not pattern.same_dates
    relative = len(by_wait) < len(by_date) if apart else 2 * len(by_wait) <= len(by_date)
    found = by_wait if relative else by_date
    shown = sorted(found, key=lambda s: -s["clinicians"])[:MOST_SEQUENCES]
    shown.sort(key=lambda s: (s["start"] is None, [(a, np.inf if b is None else b) for a, b in s["spells"]]))
    return shown, relative


def _patterns(p: Pattern, zero: np.ndarray) -> list[dict]:
    """Patterns of spells as times since ``zero`` of each clinician, dates a little apart being one."""
    code, begin, finish = p.runs
    origin = zero if np.ptp(zero) else np.zeros(p.n_clinicians)  # one zero for all: calendar times as they are
    start = np.maximum(begin, zero[code]) - origin[code]
    stays = finish >= p.last[code]
    end = np.where(stays, np.inf, finish - origin[code])
    width = max(p.gap, np.median((end - start)[~stays]) / 4 if (~stays).any() else 0.0)
    label = group_dates(dates := np.concatenate([start, end[~stays]]), dates + width)
    begins, ends = label[: code.size], np.full(code.size, -1)
    ends[~stays] = label[code.size :]
    if p.stepped and np.ptp(zero) == 0:  # steps can lie as close to each other as surveys
        begins = p.step[code]
    key, mine = defaultdict(list), defaultdict(list)
    for i, a, b, *dates in zip(code.tolist(), begins.tolist(), ends.tolist(), start, end, strict=True):
        key[i].append((a, b))
        mine[i].append(dates)
    members = defaultdict(list)
    for i in range(p.n_clinicians):
        members[tuple(key[i])].append(i)
    found = []
    for labels, who in members.items():
        medians = np.median([mine[i] for i in who], axis=0) if labels else []
        spells = [[float(a), float(b) if np.isfinite(b) else None] for a, b in medians]
        found.append(
            {
                "start": spells[0][0] if spells else None,
                "end": spells[-1][1] if spells else None,
                "spells": spells,
                "clinicians": len(who),
                "members": who,
                "units": len(set(p.unit[who].tolist())),
            }
        )
    return found
