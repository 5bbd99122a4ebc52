"""Parallel-group trial: clinicians drawn by lot get the programme, the others never do."""

from .sentences import at_one_time, comes_back, counted, drift_counts, no_baseline, without_control
from .study_design import StudyDesign


def _comparison(p):
    return f"The {counted(p.n_exposed, 'exposed clinician')} with {p.n_never} never exposed, drawn by lot."


PARALLEL_TRIAL = StudyDesign(
    name="parallel_trial",
    title="parallel-group trial",
    meaning="some clinicians get it, drawn by lot, and others never",
    secular="linear",
    rule=lambda p, randomised: randomised is True and at_one_time(p),
    against=lambda p: without_control(p, "parallel-group trial") or comes_back(p, "a parallel-group trial"),
    comparison=_comparison,
    warnings=lambda p, secular: no_baseline(p) + drift_counts(secular),
    reference="Moher et al. (2010), CONSORT 2010 explanation and elaboration, BMJ 340:c869",
    randomised=True,
)
