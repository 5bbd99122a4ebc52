"""Designs of trials and studies, recognised from the spells. A new one is a file here and a line in the registry."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ...datasets.errors import UserError, known_interventions, nearest
from .cluster_trial import CLUSTER_TRIAL
from .controlled_pre_post import CONTROLLED_PRE_POST
from .crossover import CROSSOVER
from .facts import pattern
from .interrupted_time_series import INTERRUPTED_TIME_SERIES
from .n_of_1 import N_OF_1
from .parallel_trial import PARALLEL_TRIAL
from .pre_post import PRE_POST
from .sentences import counted
from .sequences import sequences
from .stepped_wedge import STEPPED_WEDGE
from .study_design import Pattern, StudyDesign

# In the order in which they are tried: the first that fits is the one
DESIGNS: dict[str, StudyDesign] = {
    design.name: design
    for design in (
        N_OF_1,
        CROSSOVER,
        STEPPED_WEDGE,
        CLUSTER_TRIAL,
        PARALLEL_TRIAL,
        CONTROLLED_PRE_POST,
        INTERRUPTED_TIME_SERIES,
        PRE_POST,
    )
}


@dataclass(frozen=True, eq=False)
class Recognised:
    """The design of one intervention.

    Attributes
    ----------
    intervention : str
    design : StudyDesign or None
        None: the spells fit no known design.
    stated : bool
        Whether the user stated it.
    pattern : Pattern
    """

    intervention: str
    design: StudyDesign | None
    stated: bool
    pattern: Pattern

    @property
    def secular(self) -> str:
        """The change over calendar time that the design brings: "none", "linear" or "periods"."""
        return self.design.secular if self.design else "none"

    @property
    def comparison(self) -> str:
        """What is compared with what, as a sentence."""
        return self.design.comparison(self.pattern) if self.design else _without_design(self.pattern)

    def summary(self, secular: str | None = None) -> dict:
        """Plain values, ready for JSON.

        Parameters
        ----------
        secular : {"none", "linear", "periods"}, optional
            The change over calendar time that is modelled; default: what the design brings.

        Returns
        -------
        dict
            ``intervention``, ``design`` (name or None), ``title``, ``stated``, ``comparison``, ``baseline``,
            ``warnings`` (list), ``reference``, and what `sequences` gives.
        """
        design, p = self.design, self.pattern
        secular = self.secular if secular is None else secular
        return {
            "intervention": self.intervention,
            "design": design.name if design else None,
            "title": title_of(self),
            "stated": self.stated,
            "comparison": self.comparison,
            "baseline": design.baseline(p) if design else "",
            "warnings": design.warnings(p, secular) if design else _UNRECOGNISED if p.n_exposed else [],
            "reference": design.reference if design else "",
            **sequences(p),
        }


def recognise(
    study, randomised: bool | None = None, stated: Mapping[str, str] | None = None, endless: Collection[str] = ()
) -> dict[str, Recognised]:
    """The design of each intervention: as stated, or as its spells show it.

    Parameters
    ----------
    study : Study
    randomised : bool, optional
        Whether exposure was drawn by lot. Spells do not tell: only if True are parallel-group and cluster trials
        recognised.
    stated : mapping of str to str, optional
        Name in `DESIGNS` by intervention.
    endless : collection of str
        Interventions whose exposure has no end, whatever their spells say (shape ``step``).

    Returns
    -------
    dict of str to Recognised
        By intervention, in the study's order.

    Raises
    ------
    UserError
        For a name that is no design or no intervention, and for a design that the spells contradict.

    Examples
    --------
    >>> from ...datasets import design_study
    >>> study = design_study(clinicians=12, surveys=8, units=4, interventions={"rounds": "stepped"})
    >>> title_of(recognise(study)["rounds"])
    'stepped-wedge trial'
    """
    stated = dict(stated or {})
    known_interventions([*stated, *endless], study.interventions)
    found = {}
    for k, intervention in enumerate(study.interventions):
        facts = pattern(study, k, intervention in endless)
        if intervention in stated:
            design = _stated(stated[intervention], intervention, facts)
        else:
            design = next((d for d in DESIGNS.values() if d.fits(facts, randomised)), None)
        found[intervention] = Recognised(intervention, design, intervention in stated, facts)
    return found


def title_of(recognised: Recognised) -> str:
    """The design's title, or that none was recognised."""
    return recognised.design.title if recognised.design else "no design recognised"


def describe_designs() -> dict[str, str]:
    """Every design's name with how it shows in the spells."""
    return {name: f"{design.title}: {design.meaning}" for name, design in DESIGNS.items()}


def _stated(name, intervention: str, facts: Pattern) -> StudyDesign:
    if name not in DESIGNS:
        known = ", ".join(DESIGNS)
        raise UserError(f"design = {name!r} of {intervention}: no such design.{nearest(name, DESIGNS)} Known: {known}.")
    if sentence := DESIGNS[name].contradiction(facts):
        raise UserError(
            f"design = {name!r} of {intervention}: {sentence}. State another design, or correct the spells."
        )
    return DESIGNS[name]


_UNRECOGNISED = [
    "No study design is recognised in the spells: nothing but the model's adjustments stands between the effect and whatever"
    " else set exposed clinicians or times apart from the others."
]


def _without_design(p: Pattern) -> str:
    if not p.n_exposed:
        return "Nobody was exposed during the follow-up, so nothing is compared."
    moves = int((p.switches > 0).sum())
    return (
        f"The spells fit no design known here. {counted(moves, 'clinician')} begin or end exposure within the follow-up"
        f" and are compared with themselves; {p.n_exposed} exposed are compared with {p.n_never} never exposed."
    )


__all__ = ["DESIGNS", "Pattern", "Recognised", "StudyDesign", "describe_designs", "pattern", "recognise", "title_of"]
