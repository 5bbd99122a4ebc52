"""What an exposure shape is: how a spell of an intervention turns into exposure over time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

# "Still running" as a number: infinity would turn into NaN in products with 0
FAR = 1e12


@dataclass(frozen=True)
class Shape:
    """One way in which exposure follows from a spell.

    The functions are written for NumPy and PyTensor alike (``math`` is the module). ``p`` holds the shape's parameters
    by name; times are in the study's unit.

    Attributes
    ----------
    name : str
    meaning : str
        What it says, for the report: "the effect approaches its full size with a half-time".
    formula : str
        The factor or the transform as text, for `CapacityModel.equations`; a is the start, b the end, t the time.
    parameters : mapping of str to str
        Name of each parameter -> its meaning. All are positive.
    priors : mapping of str to mapping
        Default prior of a parameter, as `Prior.from_dict` reads it; without one it is taken for a length of time, with
        a prior set by the study's spacing and length.
    spell : function (start, end, dose, p, math) -> (start, end, dose), optional
        Moves a spell's dates or changes its dose.
    during : function (since_start, p, math) -> factor, optional
        Factor on the dose while the spell runs.
    after : function (since_end, p, math) -> factor, optional
        What is left of the exposure that the spell ended with; without it nothing is left.
    moves : bool
        Whether ``spell`` moves dates by an amount that is a parameter.
    endless : bool
        Whether ``spell`` takes the end away, so that no other shape can say what comes after it.
    """

    name: str
    meaning: str
    formula: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    priors: Mapping[str, Mapping] = field(default_factory=dict)
    spell: Callable | None = None
    during: Callable | None = None
    after: Callable | None = None
    moves: bool = False
    endless: bool = False


def without_end(start, end, dose, p, math):
    """The spell as one that never ends."""
    return start, 0 * end + FAR, dose
