"""Bayesian Analysis Reporting Guidelines (Kruschke 2021, Nature Human Behaviour 5, 1282-1291, Table 1), in our words."""

from __future__ import annotations

from ..format import count, level, listed, number, plain
from . import evidence
from .item import DONE, NOT_APPLICABLE, NOT_DONE, Answer, Item

NO_BAYES_FACTORS = Answer(NOT_APPLICABLE, "No hypotheses are tested with Bayes factors: effects are estimated, with probabilities.")
NO_DECISIONS = Answer(NOT_APPLICABLE, "Nothing is decided in this report; [decisions] in the analysis file adds it.")
WIDE = ("wide_effects", "wide_spreads", "half_life_longer", "half_life_shorter")


def _goals(material) -> Answer:
    said = "Section “What was asked”: how fast capacity is replenished and depleted, where that leaves it, and what moves it."
    own = material.statements.get("goals")
    return Answer(DONE, f"{said} Stated: {plain(own)}" if own else said)


def _variables(material) -> Answer:
    facts = material.facts["study"]
    scores = listed([f"{plain(n)} ({number(s['range'][0])} to {number(s['range'][1])})" for n, s in material.scores.items()])
    parts = [f"predicted: {scores}"]
    if facts["covariates"]:
        parts.append(f"covariates: {listed([plain(c) for c in facts['covariates']])}")
    if material.interventions:
        parts.append(f"interventions: {listed([plain(i) for i in material.interventions])}")
    return Answer(DONE, f"Section “The study”: {'; '.join(parts)}.")


def _likelihood(material) -> Answer:
    unit = "clinicians in units" if len(material.unit_names) > 1 else "clinicians"
    return Answer(
        DONE,
        f"Section “The model”: the equations, with {unit} as levels, and what each parameter means. Of primary interest are α, β, C* and "
        "the effects on them; the spreads are ancillary.",
    )


def _priors(material) -> Answer:
    own = len(material.fit.model.priors)
    said = f"Section “The model” lists every prior; {own or 'none'} of them {'was' if own == 1 else 'were'} stated in the analysis file."
    return evidence.stated(material, "priors_justified", "Say why these priors fit your measure and setting", said)


def _formal(material) -> Answer:
    return Answer(DONE, "Section “The model”: likelihood and priors as equations. `model.build(study)` is the same as PyMC code.")


def _software(material) -> Answer:
    versions = material.facts["versions"]
    named = {"equipoise": "Equipoise", "pymc": "PyMC", "nutpie": "nutpie", "arviz": "ArviZ"}
    shown = [f"{label} {versions[package]}" for package, label in named.items() if package in versions]
    return Answer(DONE, f"{listed(shown)}; section “How it was computed”.") if shown else Answer(NOT_DONE, "No versions are recorded.")


def _approximation(material) -> Answer:
    if material.fit.approximate:
        made = material.facts["sampling"]
        return Answer(
            DONE,
            "Everything: effects by Laplace approximations, the population's parameters by importance sampling, whose weights have a "
            f"Pareto k of {made['pareto_k']:.2f} and are worth {made['effective']:.0f} draws ({evidence.section('sampling')}).",
        )
    return Answer(NOT_APPLICABLE, "MCMC throughout; leaving out answers is approximated by importance sampling, with its Pareto k.")


def _summaries(material) -> Answer:
    return Answer(
        DONE,
        f"Median and equal-tailed {level(material.prob)} interval of every parameter and derived quantity, with the probability of an "
        "increase; tables/*.csv have mean and standard deviation too.",
    )


def _procedure(material) -> Answer:
    if material.decision_table is None:
        return NO_DECISIONS
    return Answer(
        DONE,
        "Section “What to choose”: probabilities that a change is worthwhile, within the limits of practical equivalence (no relevant "
        "effect can be accepted), or harmful. Nothing is decided for the reader.",
    )


def _loss(material) -> Answer:
    if material.decision_table is None:
        return NO_DECISIONS
    costs = ", and costs for each point gained" if material.decisions["costs"] else "; no costs were stated"
    return Answer(DONE, f"Section “What to choose”: the loss is points of C* forgone against the best choice{costs}.")


def _limits(material) -> Answer:
    if material.decision_table is None:
        return NO_DECISIONS
    asked = material.decisions
    unit = "0\N{EN DASH}100" if asked["points"] == "capacity" else "the score"
    said = f"A change is worthwhile from {number(asked['worthwhile'])} points of {unit}, and equivalent to none below that in size."
    return evidence.stated(material, "worthwhile_justified", "Say why this is the smallest change that matters", said)


def _estimates_too(material) -> Answer:
    if material.decision_table is None:
        return NO_DECISIONS
    return Answer(DONE, "Section “Interventions”: median and interval of every effect.")


def _broad(material) -> Answer:
    return evidence.variants(material, WIDE, "wider priors and other half-lives")


def _informed(material) -> Answer:
    own = [plain(name) for name in material.fit.model.priors]
    if not own:
        return Answer(NOT_APPLICABLE, "No prior was stated in the analysis file; the defaults are judged under 5C.")
    return evidence.stated(
        material, "priors_justified", "Say which other priors earlier results would allow", f"Stated priors: {listed(own)}."
    )


def _defaults(material) -> Answer:
    return evidence.variants(material, ("sceptical", *WIDE), "sceptical and wide priors and other half-lives")


def _decisions_hold(material) -> Answer:
    if material.decision_table is None:
        return NO_DECISIONS
    return Answer(DONE, "Section “What to choose”: the chances under vague, sceptical, optimistic and pessimistic priors of the effects.")


def _environment(material) -> Answer:
    versions = material.facts["versions"]
    if not versions:
        return Answer(NOT_DONE, "No versions are recorded.")
    return Answer(
        DONE,
        f"{count(len(versions), 'version')} in section “How it was computed”; `equipoise run` records those of all distributions, Python "
        "and the system in provenance.json beside the report.",
    )


def _script(material) -> Answer:
    return evidence.stated(
        material, "code_available", "Say where the analysis file and the code can be had",
        "`equipoise run` keeps a copy of the whole analysis beside the report, analysis.toml.",
    )  # fmt: skip


def _readable(material) -> Answer:
    return Answer(DONE, "The analysis file names columns, interventions, model, priors and sampling by words, with every formula.")


def _data(material) -> Answer:
    return evidence.stated(material, "data_available", "Say where the data can be had, or why not",
                           f"Fingerprint of the study: {material.facts['study_fingerprint'][:12]}.")  # fmt: skip


def _posted(material) -> Answer:
    return Answer(NOT_DONE, "`equipoise reproduce RESULTS` makes the results again and says what differs beyond Monte Carlo error.")


def _seed(material) -> Answer:
    seed = material.facts["sampling"]["seed"]
    return Answer(DONE, f"Seed {seed}: the same versions and seed give the same draws on the same kind of machine.")


PREAMBLE, MODEL, COMPUTING = "Preamble", "1 Explain the model", "2 Details of the computation"
POSTERIOR, DECIDING = "3 Describe the posterior", "4 Decisions and their criteria"
SENSITIVE, AGAIN = "5 Sensitivity", "6 Make it reproducible"
ITEMS = (
    Item("A", PREAMBLE, "Why a Bayesian analysis, if readers ask for it", lambda m: evidence.stated(
        m, "why_bayesian", "Say what is gained by a Bayesian analysis here")),
    Item("B", PREAMBLE, "The goals of the analysis", _goals),
    Item("1A", MODEL, "The predicted and the predicting variables", _variables),
    Item("1B", MODEL, "The likelihood and all parameters, those of interest apart, and the hierarchy", _likelihood),
    Item("1C", MODEL, "The priors, and why these", _priors),
    Item("1D", MODEL, "A formal specification of likelihood and priors", _formal),
    Item("1E", MODEL, "A prior predictive check", lambda m: evidence.by_check(
        m, "prior_predictive", evidence.inside(m, "prior_predictive"))),
    Item("2A", COMPUTING, "The software with its packages", _software),
    Item("2B", COMPUTING, "Convergence of the chains for every parameter and derived quantity", evidence.convergence),
    Item("2C", COMPUTING, "Effective sample size for every parameter and derived quantity", evidence.resolution),
    Item("2D", COMPUTING, "If not by MCMC: what is approximate", _approximation),
    Item("3A", POSTERIOR, "A posterior predictive check", lambda m: evidence.by_check(m, "predictive", evidence.inside(m, "predictive"))),
    Item("3B", POSTERIOR, "Centre and interval of every quantity, of which kind and mass", _summaries),
    Item("3C", POSTERIOR, "Bayes factors and posterior probabilities of models", lambda m: NO_BAYES_FACTORS),
    Item("4A", DECIDING, "Why decide, and by which procedure", _procedure),
    Item("4B", DECIDING, "The loss or utility", _loss),
    Item("4C", DECIDING, "Limits of practical equivalence, and why these", _limits),
    Item("4D", DECIDING, "Threshold of Bayes factors and probabilities of models", lambda m: NO_BAYES_FACTORS),
    Item("4E", DECIDING, "Estimates beside decisions", _estimates_too),
    Item("5A", SENSITIVE, "For broad priors: do other broad ones give the same?", _broad),
    Item("5B", SENSITIVE, "For informed priors: the range of reasonable ones", _informed),
    Item("5C", SENSITIVE, "For default priors: what changing them does", _defaults),
    Item("5D", SENSITIVE, "For Bayes factors: under other priors", lambda m: NO_BAYES_FACTORS),
    Item("5E", SENSITIVE, "For decisions: under other priors", _decisions_hold),
    Item("6A", AGAIN, "Software and installation, with versions", _environment),
    Item("6B", AGAIN, "The script, and where it can be had", _script),
    Item("6C", AGAIN, "A script that can be read", _readable),
    Item("6D", AGAIN, "Auxiliary files, such as the data", _data),
    Item("6E", AGAIN, "It runs as posted", _posted),
    Item("6F", AGAIN, "Reproducible MCMC: the seed", _seed),
)  # fmt: skip
