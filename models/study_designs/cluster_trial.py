"""Cluster trial: whole units drawn by lot get the programme, the others never do."""

from .sentences import at_one_time, comes_back, counted, drift_counts, few_units, no_baseline, without_control
from .study_design import StudyDesign


def _against(p):
    if sentence := without_control(p, "cluster trial"):
        return sentence
    if p.units_mixed:
        return (
            f"in {p.units_mixed} of {counted(p.n_units, 'unit')} some clinicians were exposed and others were not, or"
            " from another date on, and a cluster trial gives the programme to whole units"
        )
    if not p.units_unexposed:
        return f"none of {counted(p.n_units, 'unit')} went without, and a cluster trial needs some that do"
    return comes_back(p, "a cluster trial")


def _comparison(p):
    return (
        f"The clinicians of {counted(p.units_exposed, 'exposed unit')} ({p.n_exposed}) with those of"
        f" {p.units_unexposed} never exposed ({p.n_never}), units drawn by lot."
    )


def _warnings(p, secular):
    return few_units(p) + no_baseline(p) + drift_counts(secular)


CLUSTER_TRIAL = StudyDesign(
    name="cluster_trial",
    title="cluster trial",
    meaning="whole units get it, drawn by lot, and other units never",
    secular="linear",
    rule=lambda p, randomised: randomised is True and at_one_time(p) and p.by_units,
    against=_against,
    comparison=_comparison,
    warnings=_warnings,
    reference="Campbell et al. (2012), CONSORT 2010 statement: extension to cluster randomised trials, BMJ 345:e5661",
    randomised=True,
)
