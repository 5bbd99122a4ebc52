"""What a page consists of: sections of a few kinds of blocks, which the template knows how to set."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Text:
    """A paragraph of sentences."""

    sentences: tuple[str, ...]
    kind: str = "text"

    @property
    def text(self) -> str:
        return " ".join(self.sentences)


@dataclass(frozen=True)
class Bullets:
    """A list of short paragraphs."""

    items: list[str]
    kind: str = "bullets"


@dataclass(frozen=True)
class Terms:
    """Words and what they mean."""

    items: list[tuple[str, str]]
    kind: str = "terms"


@dataclass(frozen=True)
class Table:
    """A table whose first columns are text and the rest numbers.

    Attributes
    ----------
    caption : str
    columns : list of str
    rows : list of list of str
        Cells as they are shown.
    labels : int
        Number of leading columns that are text.
    file : str
        The CSV file with the same rows, if there is one.
    """

    caption: str
    columns: list[str]
    rows: list[list[str]]
    labels: int = 1
    file: str = ""
    kind: str = "table"


@dataclass(frozen=True)
class Verdict:
    """A check: its question, how it ended, and the answer.

    Attributes
    ----------
    mark : {"yes", "no", "open"}
        Whether it passed; "open" where it was not judged.
    """

    question: str
    verdict: str
    mark: str
    answer: str
    kind: str = "verdict"


@dataclass(frozen=True)
class Picture:
    """A figure by its name; left out where it has nothing to show."""

    name: str
    kind: str = "picture"


@dataclass(frozen=True)
class Code:
    """Text in lines of its own, such as equations."""

    title: str
    text: str
    kind: str = "code"


@dataclass(frozen=True)
class Fold:
    """Blocks that are closed until the reader opens them."""

    summary: str
    blocks: list
    kind: str = "fold"


@dataclass(frozen=True)
class Section:
    """A part of the page under a heading of its own."""

    id: str
    title: str
    blocks: list = field(default_factory=list)


def text(*sentences: str) -> Text:
    """A paragraph of the sentences that there are."""
    return Text(tuple(s for s in sentences if s))
