"""Controlled pre-post study: the change of those who took the programme beside that of those who did not."""

from .sentences import at_one_time, comes_back, counted, drift_counts, few_units, without_control
from .study_design import StudyDesign


def _against(p):
    if sentence := without_control(p, "controlled pre-post study"):
        return sentence
    if not (p.before > 0)[p.exposed].any():
        return (
            f"none of {counted(p.n_exposed, 'exposed clinician')} has a survey before the start, and a controlled"
            " pre-post study compares changes from before it"
        )
    return comes_back(p, "a controlled pre-post study")


def _comparison(p):
    return (
        f"The change from before to after the start among {counted(p.n_exposed, 'exposed clinician')} with the change"
        f" over the same time among {p.n_never} never exposed."
    )


def _warnings(p, secular):
    return [
        "Who took the programme was not drawn by lot: without it, both groups are taken to have gone the same way"
        " (parallel trends).",
        *(few_units(p) if p.by_units else []),
        *drift_counts(secular),
    ]


CONTROLLED_PRE_POST = StudyDesign(
    name="controlled_pre_post",
    title="controlled pre-post study",
    meaning="some get it, not drawn by lot, others never; surveys before the start",
    secular="linear",
    rule=lambda p, randomised: randomised is not True and at_one_time(p) and p.share(p.before > 0) >= 0.5,
    against=_against,
    comparison=_comparison,
    warnings=_warnings,
    reference="Wing, Simon & Bello-Gomez (2018), Annual Review of Public Health 39:453-469",
)
