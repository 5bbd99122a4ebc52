"""Uncontrolled pre-post study: everybody gets the programme, and before is compared with after."""

from .sentences import both_sides, counted, everybody_at_once, goes_off, one_start, with_control
from .study_design import StudyDesign


def _against(p):
    title = "an uncontrolled pre-post study"
    return with_control(p, title) or one_start(p, title) or goes_off(p, title) or both_sides(p, title)


def _comparison(p):
    return f"The same {counted(p.n_exposed, 'clinician')} after the start and before it, without a control group."


def _warnings(p, secular):
    found = ["Without a control group whatever else changed since the start counts as the effect of the programme."]
    if secular != "none":
        found.append(
            "A change over calendar time cannot be told from the programme with so few surveys on either side: how much"
            " is put down to each is what the priors say."
        )
    else:
        found.append("No change over calendar time can be estimated beside the programme, so none is modelled.")
    return found


PRE_POST = StudyDesign(
    name="pre_post",
    title="uncontrolled pre-post study",
    meaning="all get it at one time and go on; before is compared with after",
    secular="none",
    rule=lambda p, randomised: everybody_at_once(p),
    against=_against,
    comparison=_comparison,
    warnings=_warnings,
    reference="Campbell & Stanley (1963), Experimental and Quasi-Experimental Designs for Research, design 2",
)
