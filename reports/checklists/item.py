"""An item of a reporting checklist, and what this very fit has to show for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

DONE, NOT_MET, NOT_DONE, AUTHORS, NOT_APPLICABLE = "done", "NOT met", "not done", "for the authors", "does not apply"
STATES = (DONE, NOT_MET, NOT_DONE, AUTHORS, NOT_APPLICABLE)


@dataclass(frozen=True)
class Answer:
    """How an item stands.

    Attributes
    ----------
    state : str
        One of `STATES`. "NOT met": it was looked into, and what it asks for does not hold.
    evidence : str
        The numbers, where they stand, or what to do. Names no person.
    """

    state: str
    evidence: str

    @property
    def done(self) -> bool:
        return self.state == DONE


@dataclass(frozen=True)
class Item:
    """What a checklist asks for.

    Attributes
    ----------
    code : str
        Its number in the checklist.
    stage : str
        The part of the checklist.
    asked : str
        What is asked, in our words.
    answer : function (material) -> Answer
    """

    code: str
    stage: str
    asked: str
    answer: Callable[[object], Answer]
