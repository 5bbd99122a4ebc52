"""Reporting checklists that the report fills with evidence from the very fit: one file each, with one line here."""

from __future__ import annotations

import pandas as pd

from ..blocks import Fold, Section, Table, text
from . import barg, wambs
from .item import AUTHORS, DONE, NOT_APPLICABLE, NOT_DONE, NOT_MET, Answer, Item

# name -> its title, and its items
CHECKLISTS: dict[str, tuple[str, tuple[Item, ...]]] = {
    "barg": ("BARG (Kruschke 2021)", barg.ITEMS),
    "wambs": ("WAMBS (Depaoli & van de Schoot 2017)", wambs.ITEMS),
}
_OPEN = {NOT_MET: "not met", NOT_DONE: "not done", AUTHORS: "for the authors"}


def answers(material, name: str) -> list[tuple[Item, Answer]]:
    """Every item of a checklist with how it stands."""
    return [(item, item.answer(material)) for item in CHECKLISTS[name][1]]


def files(material) -> dict[str, pd.DataFrame]:
    """The checklists by file name."""
    columns = ["item", "stage", "asked", "state", "evidence"]
    return {
        f"checklist_{name}": pd.DataFrame(
            [(item.code, item.stage, item.asked, a.state, a.evidence) for item, a in answers(material, name)], columns=columns
        )
        for name in CHECKLISTS
    }


def section(material) -> Section:
    """The checklists as a section of the page: what is left to do first, then every item."""
    blocks: list = [
        text(
            "What journals and referees ask of a Bayesian analysis, filled from this very fit. “For the authors” is what no program can "
            "know; it can be stated in the analysis file."
        )
    ]
    for name, (title, _) in CHECKLISTS.items():
        found = answers(material, name)
        blocks.append(text(_told(title, found)))
        rows = [[item.code, item.asked, answer.state, answer.evidence] for item, answer in found]
        table = Table(title, ["item", "asked", "state", "evidence"], rows, labels=4, file=f"tables/checklist_{name}.csv")
        blocks.append(Fold(f"{title}: all {len(rows)} items", [table]))
    return Section("checklists", "Reporting checklists", blocks)


def _told(title: str, found: list[tuple[Item, Answer]]) -> str:
    by_state = {state: [item.code for item, answer in found if answer.state == state] for state in (DONE, *_OPEN, NOT_APPLICABLE)}
    applies = len(found) - len(by_state[NOT_APPLICABLE])
    said = f"{title}: {len(by_state[DONE])} of the {applies} items that apply are done."
    left = [f"{words}: {', '.join(by_state[state])}" for state, words in _OPEN.items() if by_state[state]]
    return said + (f" {'; '.join(left)[0].upper()}{'; '.join(left)[1:]}." if left else "")
