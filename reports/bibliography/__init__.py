"""Methods that cite themselves: a paragraph ready to adapt, the references of what this very analysis used, and their BibTeX."""

from __future__ import annotations

import re

from ..blocks import Bullets, Section, text
from . import methods as _methods
from .entries import ENTRIES, program
from .entry import Entry

_CITED = re.compile(f"{_methods.MARK}([^{_methods.MARK}]*){_methods.MARK}")


def numbered(paragraphs: list[list[str]]) -> tuple[list[list[str]], list[str]]:
    """Sentences with numbers in place of keys, and the keys in the order of their numbers."""
    keys: list[str] = []

    def number(match: re.Match) -> str:
        mine = match[1].split()
        keys.extend(key for key in mine if key not in keys)
        return f"[{', '.join(str(keys.index(key) + 1) for key in mine)}]"

    return [[_CITED.sub(number, sentence) for sentence in sentences] for sentences in paragraphs], keys


def cited(material) -> list[Entry]:
    """The references of this analysis, in the order of the methods."""
    own = program("Equipoise", material.facts["versions"].get("equipoise", "unknown"))
    return [own if key == own.key else ENTRIES[key] for key in numbered(_methods.paragraphs(material))[1]]


def bibtex(material) -> str:
    """The content of references.bib."""
    return "\n\n".join(entry.bibtex() for entry in cited(material)) + "\n"


def methods(material) -> Section:
    """The methods as a section of the page."""
    written, _ = numbered(_methods.paragraphs(material))
    return Section("methods", "Methods, ready to adapt", [text(*sentences) for sentences in written])


def references(material) -> Section:
    """The list of references as a section of the page."""
    told = "The same stand as BibTeX in references.bib, which `equipoise run` writes beside this page."
    return Section("references", "References", [text(told), Bullets([f"[{n}] {e.text()}" for n, e in enumerate(cited(material), 1)])])
