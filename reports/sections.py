"""The parts of the page, in order."""

from __future__ import annotations

from functools import partial

from . import bibliography, caveats, checking, checklists, prose, tables
from .blocks import Bullets, Code, Fold, Picture, Section, Table, Terms, text
from .format import count, listed, name, number, percent, plain, short, thinned

FOLD_FROM = 15  # rows from which a table is closed until opened
_START = {
    "displaced": "near the clinician's own level, with a common displacement",
    "stationary": "in the stationary distribution",
    "free": "free of the clinician's level",
}
_SPREAD = {
    "free": "by clinician and intervention",
    "shared_omega": "one stationary spread (omega) for all",
    "shared_sigma": "one diffusion (sigma) for all",
}


def all_sections(material) -> list[Section]:
    """Every section that these results have something to say in."""
    parts = (
        question, checking.summary, study, model, population, units, clinicians, interventions, worth, decisions, paths, limits,
        *(partial(checking.group, name=name) for name in checking.GROUPS), guide, provenance,
        checklists.section, bibliography.methods, bibliography.references,
    )  # fmt: skip
    made = (part(material) for part in parts)
    return [section for section in made if section is not None]


def question(material) -> Section:
    d = material.fit.model
    asked = [
        "How fast is each clinician's capacity for compassion replenished (α) and depleted (β), where does that leave "
        "it in the "
        "long run (C* = α/β), and how do clinicians and units differ in this?"
    ]
    if material.interventions:
        asked.append(
            f"What {'does' if len(material.interventions) == 1 else 'do'} "
            f"{listed([name(n) for n in material.interventions])} "
            "change, and by which of the two levers?"
        )
    score = ", ".join(name(n) for n in material.scores)
    measured = f"Capacity is measured by {score}, turned into percent of the possible range so that higher is better."
    rows = [
        ["Covariates of replenishment", plain(d.replenishment) if d.replenishment else "none"],
        ["Covariates of depletion", plain(d.depletion) if d.depletion else "none"],
    ]
    if material.interventions:
        acting = (
            d.interventions
            if isinstance(d.interventions, dict)
            else dict.fromkeys(material.interventions, d.interventions)
        )
        rows.append(
            [
                "Levers of interventions",
                "; ".join(f"{plain(k)}: {acting.get(k, 'both')}" for k in material.interventions),
            ]
        )
        for label, course in d.exposures.items():
            rows.append([f"Exposure to {plain(label)}", f"{course.sentence()} (times in {material.time_unit}s)"])
        rows.append(["Selection", "adjusted for by the mean exposure" if d.adjust_selection else "not adjusted for"])
        rows.append(["Said to be randomised", "yes" if d.is_randomised else "no"])
        rows.append(["Effects differ between", _varying(material)])
    periods = material.posterior.sizes.get("period", 0)
    secular = {
        "none": "none", "linear": "a line", "spline": "a natural cubic spline",
        "periods": f"{periods} periods with an effect of their own",
    }[material.facts["study"]["secular"]]  # fmt: skip
    rows += [
        ["Effect of calendar time", secular + ("" if secular == "none" else f", by {d.secular_lever}")],
        ["Capacity at the first survey", _START[d.start]],
        ["Spread over time", _SPREAD[d.spread]],
    ]
    return Section(
        "question", "What was asked", [text(*asked, measured), Table("Choices of the model", ["", ""], rows, labels=2)]
    )


def _varying(material) -> str:
    """With what effects vary, in words."""
    d, found = material.posterior, []
    if "moderation" in d.sizes:
        found.append("by covariates (" + ", ".join(plain(n) for n in d["moderation"].to_numpy().astype(str)) + ")")
    for who in ("unit", "clinician"):
        if f"intervention_by_{who}" in d.sizes:
            labels = d[f"intervention_by_{who}"].to_numpy().astype(str)
            found.append(f"{who}s, with shrinkage ({', '.join(plain(n) for n in labels)})")
    return "; ".join(found) or "no clinicians: one effect for all"


def study(material) -> Section:
    d = material.description
    rows = []
    for label, s in d["scores"].items():
        score = material.scores[label]
        low, high = score["range"]
        step = number(s["step"]) if s["step"] else "none"
        cells = [short(label, 60), f"{number(low)} to {number(high)}", score["better"], f"{step} ({s['step_source']})"]
        cells += [str(s["answered"]), number(s["mean"]), number(s["sd"])]
        rows.append(cells + [percent(s[share]) for share in ("floor", "ceiling", "ties")])
    scores = Table(
        "Scores, on their own scale",
        ["score", "range", "better", "step", "answers", "mean", "SD", "lowest", "highest", "equal to the one before"],
        rows, labels=4,
    )  # fmt: skip
    blocks = [text(*prose.counts(material)), text(*prose.exposure(material))]
    if material.interventions:
        blocks += [tables.designs(material), Picture("sequences")]
    blocks += [Picture("design"), scores]
    return Section("study", "The study", [b for b in blocks if b.kind != "text" or b.sentences])


def model(material) -> Section:
    equations = material.facts.get("equations") or material.fit.model.equations()
    head, _, priors = equations.partition("\nPriors\n")
    blocks = [
        text(
            "Capacity follows an Ornstein-Uhlenbeck process: drawn upwards by replenishment, downwards by depletion in "
            "proportion to what is there, and pushed about by chance. The path between surveys is integrated out "
            "exactly."
        ),
        Code("Equations", head),
    ]
    if priors:
        blocks.append(
            Code("Priors", "\n".join(line[2:] if line.startswith("  ") else line for line in priors.splitlines()))
        )
    return Section("model", "The model", blocks)


def population(material) -> Section:
    blocks = [text(prose.population(material)), text(prose.spread(material)), Picture("layers")]
    blocks += [Picture("covariates"), _table(tables.population(material))]
    covered = prose.coverage(material)
    if covered:
        blocks.insert(
            0, text("These data were simulated, so the truth is known and stands beside the estimates.", *covered)
        )
    return Section("population", "The population", blocks)


def units(material) -> Section | None:
    if len(material.unit_names) < 2:
        return None
    told = (
        "A unit's values are those of its median clinician, with interventions off and covariates at its clinicians' "
        "mean; “mean C*” is the average over its clinicians."
    )
    return Section("units", "Units", [text(told), Picture("units"), _table(tables.units(material))])


def clinicians(material) -> Section:
    told = (
        "A clinician's values hold with interventions off and covariates at the clinician's own mean over time. They "
        "are drawn "
        "towards the population as far as the clinician's own answers leave room for it."
    )
    return Section(
        "clinicians", "Clinicians",
        [text(told), Picture("trajectories"), Picture("clinicians"), _table(tables.clinicians(material), fold=True)],
    )  # fmt: skip


def interventions(material) -> Section | None:
    if not material.interventions:
        return None
    sentences = [prose.intervention(material, k) for k in range(len(material.interventions))]
    levers = caveats.levers(material)
    blocks = [Bullets(sentences), Picture("interventions"), _table(tables.interventions(material))]
    if levers:
        blocks += [text(*levers), Picture("levers"), tables.lever(material)]
    return Section("interventions", "Interventions", blocks)


def worth(material) -> Section | None:
    if material.estimand_table is None:
        return None
    target = material.estimands.get("target")
    shares = target and ", ".join(f"{plain(k)} {number(v)}" for k, v in target["shares"].items())
    who = (
        f"averaged over a target population ({plain(target['column'])}: {shares}, in proportion; sections before and after "
        "this one are on the clinicians studied)"
        if target
        else "averaged over the clinicians"
    )
    told = (
        "Every clinician's C* and β with and without each programme, the others off and covariates at the clinician's mean, "
        f"{who}, in every posterior draw."
    )
    shaped = ", ".join(plain(k) for k, course in material.fit.model.exposures.items() if not course.is_plain)
    at_full = (
        f"Ratios, C* and half-life are those at full exposure, also to what builds up or fades ({shaped}); what has a horizon "
        "follows the exposure over time."
        if shaped
        else ""
    )
    blocks = [text(told, at_full), Bullets(prose.worth(material)), Picture("worth"), _table(tables.estimands(material), fold=True)]
    if material.estimand_table["group"].nunique() > 1:
        blocks.append(_table(tables.estimands(material, groups=True), fold=True))
    return Section("worth", "What each programme is worth", blocks)


def paths(material) -> Section | None:
    if material.forecast_table is None:
        return None
    blocks = [Bullets(prose.paths(material)), Picture("paths"), _table(tables.forecast(material), fold=True)]
    return Section("paths", "With and without each programme", blocks)


def decisions(material) -> Section | None:
    if material.decision_table is None:
        return None
    blocks = [Bullets(prose.decisions(material)), tables.decisions(material), tables.decisions_by_prior(material)]
    return Section("decisions", "What to choose", blocks)


def limits(material) -> Section | None:
    found = caveats.limits(material)
    return Section("limits", "What these data can and cannot tell", [Bullets(found)]) if found else None


def guide(material) -> Section:
    unit = material.time_unit
    items = [
        (
            "Capacity C",
            "What is measured, on a scale from 0 to 100: percent of the possible range of the score, turned so that "
            "higher is better.",
        ),
        ("Replenishment α", f"How much is put back, in points per {unit}, whatever the present level."),
        (
            "Depletion β",
            f"The rate at which what is there is used up: at 0.1 per {unit}, about a tenth of it goes in a {unit} if "
            "nothing comes in.",
        ),
        ("Steady state C*", "α/β: where replenishment and depletion are in balance, and to which capacity returns."),
        ("Half-life", f"ln 2/β: how many {unit}s it takes until half of a good or a bad deviation from C* has gone."),
        (
            "Ratio on α or β",
            "1.2 means a fifth more with the intervention on than off, 1 no difference. C* rises if α grows more than "
            "β.",
        ),
        (
            "Interval",
            f"The middle {tables.level(material.prob)} of the posterior: given model and data, the quantity lies in "
            "it with that probability.",
        ),
        (
            "Probability of an increase",
            "The share of posterior draws in which the quantity rises. It says nothing on how large the rise is: see "
            "the interval.",
        ),
        (
            "Pareto k, draws worth, log densities off by",
            "How well the posterior was approximated: Pareto k should be at most 0.7 (less with few proposals), or parts of it are "
            "missed; weighted draws are worth fewer independent ones, which should be at least 100; what log densities are off by, "
            "where it is known, should be at most 0.5: a mean may be off by as many posterior standard deviations.",
        )
        if material.fit.approximate
        else (
            "R-hat, ESS",
            "How well the posterior was computed: R-hat should be at most 1.01 and the effective sample size (ESS) at "
            "least 400.",
        ),
    ]
    return Section("guide", "How to read this", [Terms(items)])


def provenance(material) -> Section:
    facts, sampling = material.facts, material.facts["sampling"]
    sizes = material.posterior.sizes
    rows = [
        *(_quick(sampling) if material.fit.approximate else _sampled(sampling, sizes)),
        ["Seed", str(sampling["seed"])],
        ["Time of sampling", f"{number(sampling['seconds'])} s"],
        ["Complete", "yes" if material.fit.complete else "no: interrupted"],
        ["Fingerprint of the study", facts["study_fingerprint"]],
    ]
    versions = [[package, version] for package, version in facts["versions"].items()]
    software = Fold("Versions of the software", [Table("Versions", ["package", "version"], versions, labels=2)])
    return Section("provenance", "How it was computed", [Table("Sampling", ["", ""], rows, labels=2), software])


def _sampled(sampling: dict, sizes) -> list[list[str]]:
    return [
        ["Draws kept", f"{sizes['chain']} chains of {sizes['draw']} draws{thinned(sampling)}"],
        ["Last try", f"{sampling['chains']} chains of {sampling['draws']} draws after {sampling['tune']} of warm-up"],
        ["Acceptance target", number(sampling["target_accept"])],
        ["Tries", str(sampling["tries"])],
    ]


def _quick(sampling: dict) -> list[list[str]]:
    return [
        ["Method", "a quick look: Laplace approximations within importance sampling"],
        ["Draws", f"{sampling['draws']} from {sampling['proposals']} weighted proposals"],
        ["Independent draws that these are worth", number(sampling["effective"])],
        ["Pareto k of the weights", number(sampling["pareto_k"], 2)],
        *([["Log densities are off by (SD)", number(sampling["left"], 2)]] if "left" in sampling else []),
    ]


def _table(table: Table, fold: bool = False):
    """A long table is closed until opened, so that the page stays readable."""
    if not fold and len(table.rows) <= FOLD_FROM:
        return table
    return Fold(f"{table.caption} \N{EN DASH} {count(len(table.rows), 'row')}", [table])
