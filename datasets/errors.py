"""Mistakes in what the user gave, told so that the user can mend them."""

import difflib
import math
from collections.abc import Iterable
from numbers import Real


class UserError(ValueError):
    """A mistake in the user's data, analysis file or call.

    The message says what is wrong, where, and what to do. The command line prints it without a traceback.
    """


def nearest(name: object, known: Iterable[object]) -> str:
    """A hint at the known name closest to a misspelt one.

    Parameters
    ----------
    name
        What the user wrote.
    known
        The names that exist.

    Returns
    -------
    str
        ``" Did you mean 'x'?"`` (with its leading space, to be appended to a sentence), or ``""`` if nothing is close.

    Examples
    --------
    >>> nearest("sress", ["stress", "sleep"])
    " Did you mean 'stress'?"
    >>> nearest("ward", ["stress", "sleep"])
    ''
    """
    by_folded = {str(k).casefold(): str(k) for k in known}
    close = difflib.get_close_matches(str(name).casefold(), by_folded, n=1, cutoff=0.6)
    return f" Did you mean '{by_folded[close[0]]}'?" if close else ""


def list_some(values: Iterable[object], n: int = 5) -> str:
    """The first few values as text, with a count of the rest.

    Examples
    --------
    >>> list_some([2, 3, 5, 7, 11, 13, 17])
    '2, 3, 5, 7, 11 and 2 more'
    >>> list_some([2, 3])
    '2, 3'
    """
    values = list(values)
    text = ", ".join(str(v) for v in values[:n])
    return f"{text} and {len(values) - n} more" if len(values) > n else text


def one_of(value: object, allowed: Iterable[str], what: str) -> str:
    """Return ``value`` if it is one of the allowed words.

    Raises
    ------
    UserError
        If it is not; the message lists the words and names the nearest.
    """
    allowed = tuple(allowed)
    if value not in allowed:
        words = ", ".join(repr(a) for a in allowed)
        raise UserError(f"{what} must be one of {words}, not {value!r}.{nearest(value, allowed)}")
    return value


def is_number(value: object) -> bool:
    """Whether a value is a finite number; true and false are not."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def known_interventions(names: Iterable[object], interventions: Iterable[str]) -> None:
    """Raise `UserError` at the first name that is no intervention of the study, with the nearest one that is."""
    interventions = tuple(interventions)
    for name in names:
        if name not in interventions:
            known = ", ".join(interventions) or "none"
            raise UserError(f"the study has no intervention {name!r}.{nearest(name, interventions)} It has: {known}.")
