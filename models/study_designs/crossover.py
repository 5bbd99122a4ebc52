"""Crossover trial: some take the programme first and then go without, others the other way round."""

from .sentences import counted
from .study_design import StudyDesign

LEAST_SHARE = 0.2


def _rule(p, randomised):
    single = (p.switches == 1) | (p.switches == 2)
    return p.share(single) > 0.5 and min(p.crossing) >= LEAST_SHARE


def _against(p):
    if min(p.crossing) > 0:
        return ""
    ends, begins = int(p.goes_off.sum()), int(p.goes_on.sum())
    who = counted(p.n_exposed, "exposed clinician")
    if not ends:
        return f"exposure of none of {who} ends before the last survey, and in a crossover trial some go from on to off"
    if not begins:
        return (
            f"exposure of none of {who} begins after the first survey, and in a crossover trial some go from off to on"
        )
    return (
        f"of {who} none had finished with the programme before others began, and in a crossover trial some take it"
        " first and others later"
    )


def _comparison(p):
    early, late = p.crossing
    return (
        f"Each clinician with and without the programme, in both orders (of {counted(p.n_exposed, 'exposed clinician')}"
        f" {early:.0%} had finished before {late:.0%} began)."
    )


def _warnings(p, secular):
    return [
        "Carry-over: what the programme leaves behind beyond the half-life of capacity counts as a state without it,"
        " unless its exposure has the shape `fade`."
    ]


CROSSOVER = StudyDesign(
    name="crossover",
    title="crossover trial",
    meaning="some go from on to off, others from off to on",
    secular="linear",
    rule=_rule,
    against=_against,
    comparison=_comparison,
    warnings=_warnings,
    reference="Dwan et al. (2019), CONSORT 2010 statement: extension to randomised crossover trials, BMJ 366:l4378",
)
