"""Stepped-wedge trial: units or clinicians begin at different dates and go on."""

from .sentences import FEW_UNITS, counted, goes_off
from .study_design import StudyDesign

FEW_SEQUENCES = 3


def _against(p):
    if len(p.starts) < 2:
        return (
            f"{counted(p.n_exposed, 'exposed clinician')} began at one date, and a stepped-wedge trial needs two start"
            " dates or more"
        )
    return goes_off(p, "a stepped-wedge trial")


def _comparison(p):
    who = f"{counted(p.units_exposed, 'unit')} began" if p.by_units else f"{counted(p.n_exposed, 'clinician')} began"
    never = f"; {counted(p.n_never, 'clinician')} never exposed are compared with throughout" if p.n_never else ""
    return (
        f"Clinicians already exposed with those not yet exposed at the same time: {who} at"
        f" {counted(len(p.starts), 'date')}{never}."
    )


def _warnings(p, secular):
    found = []
    if secular == "none":
        found.append(
            "No change over calendar time is modelled, and later time is more exposed: any drift biases the effect."
        )
    if len(p.starts) < FEW_SEQUENCES:
        found.append(f"Only {len(p.starts)} start dates: little tells the effect from the change over calendar time.")
    units = p.units_exposed + p.units_unexposed
    if p.by_units and units < FEW_UNITS:
        found.append(f"Only {units} units begin as one: the interval leans on the prior for the spread between units.")
    found.append(
        "The effect is taken as the same whatever the time since the start, unless the exposure's shape says otherwise;"
        " if it grows or wanes, one number can mislead (Kenny et al. 2022; Maleyeff et al. 2022)."
    )
    return found


STEPPED_WEDGE = StudyDesign(
    name="stepped_wedge",
    title="stepped-wedge trial",
    meaning="units or clinicians begin at different dates and go on",
    secular="periods",
    rule=lambda p, randomised: p.stepped,
    against=_against,
    comparison=_comparison,
    warnings=_warnings,
    reference="Hussey & Hughes (2007), Contemporary Clinical Trials 28:182-191; Hemming et al. (2018), BMJ 363:k1614",
)
