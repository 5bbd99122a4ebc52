"""A reference, as text and as BibTeX."""

from __future__ import annotations

import re
from dataclasses import dataclass

MOST_AUTHORS = 6
REQUIRED = {
    "article": ("author", "title", "journal", "year"), "book": ("author", "title", "publisher", "year"), "misc": ("author", "title"),
}  # fmt: skip
# letters that classic BibTeX cannot sort or set
_LETTERS = {
    "å": "{\\aa}", "ä": '{\\"a}', "ö": '{\\"o}', "ü": '{\\"u}', "á": "{\\'a}", "é": "{\\'e}", "ø": "{\\o}",
    "ř": "{\\v{r}}", "č": "{\\v{c}}", "\N{EN DASH}": "--", "\N{EM DASH}": "---",
}  # fmt: skip
_SPECIAL = re.compile(r"(?<!\\)([&%$#_])")


@dataclass(frozen=True)
class Entry:
    """One reference.

    Attributes
    ----------
    key : str
    kind : {"article", "book", "misc"}
    fields : tuple of (str, str) pairs
        As BibTeX has them, in plain letters; braces keep capitals. Authors as ``Last, First and Last, First``.
    """

    key: str
    kind: str
    fields: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, key: str, kind: str = "article", **fields: str) -> Entry:
        return cls(key, kind, tuple(fields.items()))

    def __getitem__(self, name: str) -> str:
        return dict(self.fields).get(name, "")

    def bibtex(self) -> str:
        """The entry in BibTeX."""
        lines = [f"  {name} = {{{value if name in ('doi', 'url') else _latex(value)}}}," for name, value in self.fields]
        return "\n".join([f"@{self.kind}{{{self.key},", *lines, "}"])

    def text(self) -> str:
        """The reference on one line."""
        place = self["journal"] or self["publisher"] or self["howpublished"]
        if self["volume"]:
            place += f" {self['volume']}" + (f"({self['number']})" if self["number"] else "")
        if self["pages"]:
            place += f", {self['pages'].replace('--', chr(0x2013))}" if self["volume"] else f" {self['pages']}"
        ending = f"doi:{self['doi']}" if self["doi"] else f"arXiv:{self['eprint']}" if self["eprint"] else ""
        who = _people(self["author"]) + (f" ({self['year']})" if self["year"] else "")
        parts = [who, _bare(self["title"]), _bare(place), self["note"]]
        return ". ".join(part for part in parts if part) + (f". {ending}" if ending else ".")


def _bare(text: str) -> str:
    return text.replace("{", "").replace("}", "")


def _people(authors: str) -> str:
    """``Kruschke JK``; the first three where there are many."""
    named = []
    for author in authors.split(" and "):
        last, _, first = author.partition(", ")
        initials = "".join(part[0] for part in re.split(r"[ -]+", first) if part) if not author.startswith("{") else ""
        named.append("et al." if author == "others" else _bare(f"{last} {initials}".strip() if initials else author))
    if len(named) > MOST_AUTHORS:
        named = [*named[:3], "et al."]
    return ", ".join(named)


def _latex(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", "".join(_LETTERS.get(letter, letter) for letter in text))
