"""N-of-1 trials: each clinician goes on and off the programme several times."""

from .sentences import FEW, counted
from .study_design import StudyDesign


def _against(p):
    if p.switches.max() >= 2:
        return ""
    return (
        "no clinician goes on and off the programme, or off and on, within the follow-up"
        " (an N-of-1 trial needs at least off, on, off)"
    )


def _comparison(p):
    return (
        f"Each of {counted(p.n_exposed, 'clinician')} with themselves, with and without the programme"
        f" (median changes from one to the other: {p.median(p.switches):g})."
    )


def _warnings(p, secular):
    found = [
        "Carry-over: what the programme leaves behind beyond the half-life of capacity counts as a state without it,"
        " unless its exposure has the shape `fade`."
    ]
    on = p.share(p.begins_on)
    if not FEW < on < 1 - FEW:
        found.append(
            f"(Nearly) all begin {'with' if on > 0.5 else 'without'} the programme: time and phase go together, so"
            " what changes with time in the study can look like an effect."
        )
    return found


N_OF_1 = StudyDesign(
    name="n_of_1",
    title="N-of-1 trials",
    meaning="clinicians go on and off several times (three changes or more, as in off, on, off, on)",
    secular="none",
    rule=lambda p, randomised: p.median(p.switches) >= 3,
    against=_against,
    comparison=_comparison,
    warnings=_warnings,
    reference="Vohra et al. (2015), CONSORT extension for reporting N-of-1 trials (CENT), BMJ 350:h1738",
)
