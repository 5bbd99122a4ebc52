"""Statistics of answers that this model could get wrong, each for many sets of answers at once."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

MOST_PAIRS = 60_000
LAGS = (1, 2, 4, 8)  # in median gaps
PARTS = 6  # of the study's answers in the order of time
SHORT = 2.0  # median gaps that count as just after a start

Statistic = Callable[[np.ndarray], np.ndarray]


def statistics_of(answers, gap: float, starts: np.ndarray, programmes, n_units: int) -> dict[str, Statistic]:
    """Statistics by name; each takes scores (sets x answers) and gives one number a set, NaN where there is none.

    Parameters
    ----------
    answers : Answers
    gap : float
        Median time between a clinician's surveys; NaN where nobody has two.
    starts : float array (clinicians x interventions)
    programmes : list of str
    n_units : int
    """
    who, time = answers.clinician, answers.time
    count = np.bincount(who).astype(float)
    several = count > 1

    def means(scores, by=who, size=count):
        total = np.zeros((len(scores), size.size))
        np.add.at(total, (slice(None), by), scores)
        with np.errstate(invalid="ignore", divide="ignore"):
            return total / size

    def deviation(scores):
        return scores - means(scores)[:, who]

    def within(scores):
        degrees = (count[several] - 1).sum()
        return np.sqrt((deviation(scores) ** 2).sum(1) / degrees) if degrees else np.full(len(scores), np.nan)

    def between(scores):
        chosen = means(scores)[:, count > 0]
        return chosen.std(axis=1, ddof=1) if chosen.shape[1] > 1 else np.full(len(scores), np.nan)

    def tail(scores):
        moved = np.diff(scores, axis=1)[:, follows]
        spread = moved.std(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return ((moved - moved.mean(1, keepdims=True)) ** 4).mean(1) / spread**4

    def drift(scores):
        late = time - means(time[None])[0][who]
        spread = (late**2).sum()
        slope = deviation(scores) @ late / spread if spread > 0 else np.full(len(scores), np.nan)
        return slope * np.ptp(time)

    def seasons(scores):
        away = deviation(scores)
        by_part = np.zeros((len(scores), PARTS))
        np.add.at(by_part, (slice(None), part), away)
        return (by_part / np.maximum(np.bincount(part, minlength=PARTS), 1)).std(axis=1)

    def worst_unit(scores):
        size = np.bincount(answers.unit, minlength=n_units).astype(float)
        by_unit = means(scores, answers.unit, size)
        return np.nanmax(np.abs(by_unit - scores.mean(axis=1, keepdims=True)), axis=1)

    part = np.minimum(np.argsort(np.argsort(time, kind="stable"), kind="stable") * PARTS // time.size, PARTS - 1)
    follows = who[1:] == who[:-1]
    out: dict[str, Statistic] = {
        "mean": lambda s: s.mean(axis=1),
        "SD between clinicians' means": between,
        "SD within clinicians": within,
        "share at the low end": lambda s: (s <= 1e-9).mean(axis=1),
        "share at the high end": lambda s: (s >= 100 - 1e-9).mean(axis=1),
    }
    if follows.any():
        out["kurtosis of successive changes"] = tail
        out["drift over the study, within clinicians"] = drift
        out["SD between sixths of the study, within clinicians"] = seasons
    if n_units > 1:
        out["unit's mean furthest from the average"] = worst_unit
    for lag, pairs in lagged_pairs(who, time, gap):
        out[f"autocorrelation at lag {lag}"] = _autocorrelation(pairs, deviation)
    for k, name in enumerate(programmes):
        since = time - starts[who, k]
        for label, low, high in (("just after", 0.0, SHORT), ("later after", SHORT, np.inf)):
            change = _change(who, since, low * gap, high * gap, count.size)
            if change is not None:
                out[f"change {label} the start of {name}"] = change
    return out


def lagged_pairs(who: np.ndarray, time: np.ndarray, gap: float):
    """Pairs of answers of one clinician by how far they lie apart: (lag in median gaps, (first, second))."""
    if not np.isfinite(gap) or gap <= 0:
        return
    rng = np.random.default_rng(0)
    bounds = np.flatnonzero(np.diff(who, prepend=-1, append=-1))
    for lag in LAGS:
        low, high = gap * lag / np.sqrt(2), gap * lag * np.sqrt(2)
        first, second = [], []
        for begin, end in pairwise(bounds):
            times = time[begin:end]
            lower, upper = np.searchsorted(times, times + low), np.searchsorted(times, times + high)
            lengths = upper - lower
            first.append(np.repeat(np.arange(begin, end), lengths))
            second.append(begin + np.repeat(lower, lengths) + _counting(lengths))
        first, second = np.concatenate(first), np.concatenate(second)
        if first.size < 10:
            continue
        if first.size > MOST_PAIRS:
            chosen = np.sort(rng.choice(first.size, MOST_PAIRS, replace=False))
            first, second = first[chosen], second[chosen]
        yield f"{lag * gap:.3g}", (first, second)


def _counting(lengths: np.ndarray) -> np.ndarray:
    """0, 1, ... within each of successive runs of these lengths."""
    return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def _autocorrelation(pairs, deviation) -> Statistic:
    first, second = pairs

    def value(scores):
        away = deviation(scores)
        spread = (away**2).mean(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(spread > 1e-9, (away[:, first] * away[:, second]).mean(axis=1) / spread, np.nan)

    return value


def _change(who, since, low, high, clinicians) -> Statistic | None:
    """Mean over clinicians of their mean answer in a window after a start less that before it."""
    before, after = since < 0, (since >= low) & (since < high)
    counts = np.array([np.bincount(who[m], minlength=clinicians) for m in (before, after)], float)
    both = (counts > 0).all(axis=0)
    if both.sum() < 3:
        return None
    weight = np.where(after, 1 / np.maximum(counts[1], 1)[who], 0) - np.where(before, 1 / np.maximum(counts[0], 1)[who], 0)
    weight = np.where(both[who], weight, 0.0) / both.sum()
    return lambda scores: scores @ weight
