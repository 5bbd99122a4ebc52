"""Numbers, names and times as the report shows them: no more digits than the draws support."""

from __future__ import annotations

import math
import re

import numpy as np
import pandas as pd

# Monte Carlo error of an end of the 89 % interval against that of the mean, for a normal posterior: sqrt(p (1 - p)) / density at p
ENDS = 2.05
MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"
LONGEST_NAME = 28
# First-strong isolates: a name written from right to left must not turn the words around it.
_ISOLATE, _END_ISOLATE = "\u2068", "\u2069"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufffe\uffff\ud800-\udfff]+")

_NEVER = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066\u2067\ufffe\uffff\ud800-\udfff]")


def decimals(*values: float, sd: float = math.nan, mcse: float = math.nan) -> int:
    """How many decimals a quantity and its interval deserve.

    Parameters
    ----------
    *values : float
        What is shown together: estimate and ends of the interval.
    sd : float
        Posterior standard deviation: no more than two of its digits are shown.
    mcse : float
        Monte Carlo standard error: with other draws the last digit shown would change by about one at most.

    Returns
    -------
    int
        May be negative for large numbers: -1 rounds to tens.
    """
    finite = [abs(v) for v in values if math.isfinite(v) and v != 0]
    if not finite:
        return 0
    allowed = [2 - math.floor(math.log10(max(finite)))]  # three significant digits of the largest
    if sd > 0 and math.isfinite(sd):
        allowed.append(1 - math.floor(math.log10(sd)))
    if mcse > 0 and math.isfinite(mcse):
        allowed.append(math.floor(-math.log10(mcse)))
    # tens in place of units only for large numbers: 3 must not become 0
    return max(min(allowed), 0) if max(finite) < 1000 else min(allowed)


def number(value: float, places: int | None = None) -> str:
    """A number in plain digits with a true minus sign; an en dash where there is none.

    Without ``places`` it is shown to three digits, and no zeros after them.
    """
    if value is None or not math.isfinite(value):
        return DASH
    digits = decimals(value) if places is None else places
    rounded = round(float(value), digits) + 0.0  # no minus zero
    if abs(rounded) >= 1e9 or 0 < abs(rounded) < 1e-6:
        return f"{rounded:.2e}".replace("-", MINUS)
    text = f"{rounded:,.{max(digits, 0)}f}"
    if places is None and "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.replace("-", MINUS).replace(",", "\N{NARROW NO-BREAK SPACE}")


def estimate(row, *, unit: str = "") -> str:
    """``58 (52 to 64)``: median and interval of a row of a table with median, low, high, sd and mcse_mean."""
    places = row_decimals(row)
    middle, low, high = (number(row[name], places) for name in ("median", "low", "high"))
    return f"{middle}{unit and ' ' + unit} ({low} to {high})"


def monte_carlo(error: float) -> str:
    """A Monte Carlo error to two digits."""
    if not math.isfinite(error) or error <= 0:
        return DASH
    return number(error, max(0, 1 - math.floor(math.log10(error))))


def between(median: float, low: float, high: float, mcse: float = math.nan) -> str:
    """As `estimate`, where the spread is known by the interval alone."""
    places = decimals(median, low, high, sd=(high - low) / 3, mcse=ENDS * mcse)
    return f"{number(median, places)} ({number(low, places)} to {number(high, places)})"


def row_decimals(row) -> int:
    """Decimals for a row of a table.

    A long tail raises the standard deviation and the Monte Carlo error of the mean, but not what is known of the median
    and the near end: the interval's length stands in where it is shorter, and a quantity known to be positive does not
    show an end of 0.
    """
    median, low, high = row["median"], row["low"], row["high"]
    third = (high - low) / 3
    shrink = min(third / row["sd"], 1.0) if row["sd"] > 0 and third > 0 else 1.0
    places = decimals(median, low, high, sd=row["sd"] * shrink, mcse=ENDS * row["mcse_mean"] * shrink)
    near = min((abs(v) for v in (low, high)), default=0.0)
    if low * high > 0 and round(near, places) == 0:
        places = max(places, min(-math.floor(math.log10(near)), decimals(median)))
    return places


def probability(p: float, draws: int) -> str:
    """A probability, never as 0 or 1: draws can only show that it lies beyond what they resolve."""
    if p is None or not math.isfinite(p):
        return DASH
    edge = 0.001
    while edge * draws < 1 and edge < 0.1:
        edge *= 10
    if draws < 10:
        return DASH
    places = round(-math.log10(edge))
    if p < edge:
        return f"< {edge:.{places}f}"
    if p > 1 - edge:
        return f"> {1 - edge:.{places}f}"
    places = min(places, 3 if p < 0.01 or p > 0.99 else 2)
    # the larger of two complements is what the smaller, as shown, leaves: together they are 1
    return f"{p:.{places}f}" if p <= 0.5 else f"{1 - float(f'{1 - p:.{places}f}'):.{places}f}"


def percent(share: float) -> str:
    """A share as a percentage: ``6 %``, ``< 1 %``."""
    if not math.isfinite(share):
        return DASH
    hundred = 100 * share
    if 0 < hundred < 0.1:
        return "< 0.1\N{NO-BREAK SPACE}%"
    if 0 < hundred < 1:
        return f"{hundred:.1f}\N{NO-BREAK SPACE}%"
    if 99 < hundred < 100:
        return "> 99\N{NO-BREAK SPACE}%"
    return f"{hundred:.0f}\N{NO-BREAK SPACE}%"


def level(prob: float) -> str:
    """The interval's probability: ``89 %``."""
    return f"{100 * prob:.4g}\N{NO-BREAK SPACE}%"


def plain(text) -> str:
    """A user's text on one line, without control characters (also those that turn the writing direction)."""
    return " ".join(_CONTROL.sub(" ", str(text)).split()) or "(no name)"


def without_controls(text: str) -> str:
    """A whole document in its lines, without what `plain` takes out of names, but with the isolates that `name` puts round them."""
    return _NEVER.sub(" ", text)


def short(text, longest: int = LONGEST_NAME) -> str:
    """A name cut in its middle, where names that differ mostly do not, to fit a figure."""
    text = plain(text)
    if len(text) <= longest:
        return text
    head = (longest - 1) * 2 // 3
    return f"{text[:head].rstrip()}\N{HORIZONTAL ELLIPSIS}{text[len(text) - (longest - 1 - head) :].lstrip()}"


def name(text) -> str:
    """A name inside a sentence: isolated, so that its writing direction stays its own."""
    return f"{_ISOLATE}{short(text, 60)}{_END_ISOLATE}"


def listed(items: list[str]) -> str:
    """``a, b and c``."""
    items = list(items)
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1] if items else ""


def count(n: int, noun: str, plural: str | None = None) -> str:
    """``1 clinician``, ``12 clinicians``."""
    return f"{n:,} ".replace(",", "\N{NARROW NO-BREAK SPACE}") + (noun if n == 1 else plural or noun + "s")


def lasting(time: float, unit: str) -> str:
    """``1 week``, ``2.5 weeks``."""
    shown = number(time)
    return f"{shown} {unit}{'' if shown == '1' else 's'}"


class TimeAxis:
    """Times of the study as they are shown: dates where the study had dates, numbers in its unit elsewhere."""

    def __init__(self, unit: str, origin: str | None):
        from ..datasets.times import DAYS

        self.unit = unit
        self._days = DAYS[unit]
        self.origin = None if origin is None else pd.Timestamp(origin)

    @property
    def is_dated(self) -> bool:
        return self.origin is not None

    @property
    def label(self) -> str:
        return "date" if self.is_dated else f"time ({self.unit}s)"

    def place(self, times):
        """Where times lie on a figure's axis: Matplotlib's day numbers for dates, the times themselves elsewhere."""
        times = np.asarray(times, float)
        if not self.is_dated:
            return times
        return (self.origin - pd.Timestamp(0)) / pd.Timedelta(days=1) + times * self._days

    def text(self, time: float) -> str:
        if not math.isfinite(time):
            return DASH
        if not self.is_dated:
            return f"{self.unit} {number(time)}"
        return (self.origin + pd.Timedelta(days=float(time) * self._days)).date().isoformat()


def thinned(sampling: dict) -> str:
    """What is said behind a number of draws of which others were made between."""
    return f" (one kept of every {sampling['thin']} made)" if sampling.get("thin", 1) > 1 else ""
