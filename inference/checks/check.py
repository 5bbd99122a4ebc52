"""What a check comes to: whether it passed, a sentence, a table and a figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd


@dataclass(frozen=True)
class Check:
    """One check of a fit.

    Attributes
    ----------
    name : str
        As in `CHECKS`.
    title : str
        The question it answers.
    passed : bool or None
        None where it cannot be judged, or was not done.
    sentence : str
        The answer in plain words, with its numbers.
    table : DataFrame
        The numbers; empty where there are none.
    draw : callable, optional
        Draws into an empty Matplotlib figure; colours are those of the session's style.
    caption : str
        How to read the figure.
    height : float
        Inches that the figure wants.
    """

    name: str
    title: str
    passed: bool | None
    sentence: str
    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    draw: Callable | None = None
    caption: str = ""
    height: float = 3.0

    def figure(self):
        """A Matplotlib figure, in the style that is in force; None where there is nothing to draw."""
        if self.draw is None:
            return None
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7.2, self.height), layout="constrained")
        self.draw(figure)
        return figure

    @property
    def has_figure(self) -> bool:
        return self.draw is not None

    @property
    def verdict(self) -> str:
        return {True: "passed", False: "NOT passed", None: "not judged"}[self.passed]

    def __repr__(self):
        return f"<Check {self.name}: {self.verdict}. {self.sentence}>"


def not_done(name: str, title: str, why: str) -> Check:
    """A check that could not be made, or that nobody has asked for yet."""
    return Check(name, title, None, why)
