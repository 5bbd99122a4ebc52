"""Interrupted time series: everybody gets the programme, with many surveys before and after."""

from .sentences import both_sides, counted, everybody_at_once, goes_off, one_start, with_control
from .study_design import StudyDesign

# Penfold & Zhang (2013) ask for eight on each side
ENOUGH = 8
LEAST = 3


def _against(p):
    title = "an interrupted time series"
    if sentence := with_control(p, title) or one_start(p, title) or goes_off(p, title) or both_sides(p, title):
        return sentence
    before, after = p.median(p.before), p.median(p.after)
    if min(before, after) < LEAST:
        return (
            f"the median of surveys is {before:g} before the start and {after:g} after it, and {title} needs at least"
            f" {LEAST} (better {ENOUGH}) on each side"
        )
    return ""


def _comparison(p):
    return (
        f"The course of {counted(p.n_exposed, 'clinician')} after the start with where their course before it was"
        " heading, without a control group."
    )


def _warnings(p, secular):
    found = ["Anything else that happened at the date of the start counts as the effect of the programme."]
    if secular == "none":
        found.append("No change over calendar time is modelled, so a trend from before the start counts as effect too.")
    elif secular == "periods":
        found.append(
            "Calendar periods can take up what begins with the programme and goes on: a linear change fits better."
        )
    else:
        found.append("The trend before the start is taken to have gone on without the programme.")
    before, after = p.median(p.before), p.median(p.after)
    if min(before, after) < ENOUGH:
        found.append(
            f"The median of surveys is {before:g} before the start and {after:g} after it; for a trend eight on each"
            " side are asked for (Penfold & Zhang 2013)."
        )
    return found


INTERRUPTED_TIME_SERIES = StudyDesign(
    name="interrupted_time_series",
    title="interrupted time series",
    meaning="all get it at one time and go on; eight surveys or more before and after",
    secular="linear",
    rule=lambda p, randomised: everybody_at_once(p) and min(p.median(p.before), p.median(p.after)) >= ENOUGH,
    against=_against,
    comparison=_comparison,
    warnings=_warnings,
    reference="Penfold & Zhang (2013), Academic Pediatrics 13(6 Suppl):S38-S44",
)
