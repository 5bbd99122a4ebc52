"""What was done in this very analysis, in sentences that cite (`cite`)."""

from __future__ import annotations

from ...inference.convergence import ESS_LIMIT, RHAT_LIMIT
from ..checking import told
from ..format import count, lasting, level, listed, name, number, plain, thinned
from .entries import DATASETS, DESIGNS

_SECULAR = {
    "linear": "a line", "spline": "a natural cubic spline", "periods": "a free effect of each period",
}  # fmt: skip


MARK = "\x1e"  # users' text has lost its control characters, so that none of it is taken for a citation


def paragraphs(material) -> list[list[str]]:
    """Study and model; computation; checks: sentences of each."""
    parts = ((_study, _model, _programmes, _priors), (_sampling, _convergence, _summaries), (_checks, _refits, _reporting))
    return [[sentence for part in paragraph for sentence in part(material)] for paragraph in parts]


def cite(*keys: str) -> str:
    """The mark of a citation."""
    return f"{MARK}{' '.join(keys)}{MARK}"


def _study(material) -> list[str]:
    d = material.description
    paper = f" {cite(DATASETS[material.dataset])}" if material.dataset in DATASETS else ""
    where = f" in {count(d['units'], 'unit')}" if d["units"] > 1 else ""
    out = [
        f"We analysed {count(d['answered'], 'answer')} of {count(d['clinicians'], 'clinician')}{where}{paper}, followed for "
        f"{lasting(d['follow_up']['median'], material.time_unit)} (median), on {listed([name(n) for n in material.scores])}, turned into "
        "percent of the possible range so that higher is better."
    ]
    if d["missing"]:
        out.append(f"Scores that are missing ({d['missing']}) were taken as missing at random {cite('rubin1976')}.")
    return out


def _model(material) -> list[str]:
    model = material.fit.model
    units = " and units" if len(material.unit_names) > 1 else ""
    out = [
        f"Capacity was modelled as an Ornstein\N{EN DASH}Uhlenbeck process in continuous time {cite('uhlenbeck1930', 'oravecz2011')}, "
        f"whose replenishment α and depletion β vary between clinicians{units}, so that unequal gaps between surveys count as such."
    ]
    for formula, lever in ((model.replenishment, "replenishment"), (model.depletion, "depletion")):
        if formula:
            out.append(f"The log of {lever} depended on {plain(formula)}.")
    if model.left_out == "none":
        out.append("Differences between clinicians, change within clinicians over time and the error of a single answer were told apart.")
    else:
        what = "lasting differences between clinicians" if model.left_out == "trait" else "measurement error other than rounding"
        out.append(f"The model leaves out {what}.")
    both = model.level == "integrated" and model.left_out != "trait"
    what = "The latent path and each clinician's level were" if both else "The latent path was"
    out.append(
        f"{what} integrated out exactly by a Kalman filter {cite('kalman1960', *(['dejong1991'] if both else []))}; paths were drawn by "
        f"forward filtering and backward sampling {cite('carter1994')}."
    )
    return out


def _programmes(material) -> list[str]:
    if not material.interventions:
        return []
    named = [
        f"{d['title']} for {name(d['intervention'])}{' ' + cite(*DESIGNS[d['design']]) if d['design'] in DESIGNS else ''}"
        for d in material.designs
    ]
    out = [f"Study design: {listed(named)}."]
    secular = material.facts["study"]["secular"]
    if secular in _SECULAR:
        out.append(f"Calendar time entered as {_SECULAR[secular]}.")
    if "selection" in material.posterior:
        out.append(
            "Each clinician's mean exposure entered the level, so that who gets a programme is not taken for its effect "
            f"{cite('mundlak1978')}."
        )
    out.append(
        "Effects are differences between every clinician's values with and without a programme, averaged over "
        f"{'a stated target population' if material.estimands.get('target') else 'the clinicians studied'} in every posterior draw "
        f"{cite('robins1986', 'hernan2020')}."
    )
    return out


def _priors(material) -> list[str]:
    half_life = material.fit.priors.get("half_life")
    own = [plain(n) for n in material.fit.model.priors]
    said = f"The half-life had the prior {half_life} in {material.time_unit}s" if half_life else "All priors are in the report"
    stated = f"stated by us: {listed(own)}" if own else "all priors are the program's defaults"
    return [f"{said}; {stated}. The report lists every one."]


def _sampling(material) -> list[str]:
    versions, asked = material.facts["versions"], material.facts["sampling"]
    sizes = material.posterior.sizes

    def with_version(package, label):
        return f"{label} {versions[package]}" if package in versions else label

    if material.fit.approximate:
        return [
            f"A quick look with {with_version('equipoise', 'Equipoise')} {cite('equipoise')} on {with_version('pymc', 'PyMC')} "
            f"{cite('pymc2023')}: effects of clinicians and units were integrated out by Laplace approximations {cite('tierney1986')}, and "
            f"the population's parameters explored outside of these {cite('rue2009')} by importance sampling with Pareto-smoothed weights "
            f"{cite('vehtari2024')}: {sizes['draw']} draws, seed {asked['seed']}."
        ]
    return [
        f"Draws were made with {with_version('equipoise', 'Equipoise')} {cite('equipoise')} on {with_version('pymc', 'PyMC')} "
        f"{cite('pymc2023')}, by the No-U-Turn sampler {cite('hoffman2014')} of {with_version('nutpie', 'nutpie')} {cite('nutpie')}: "
        f"{sizes['chain']} chains of {sizes['draw']} draws{thinned(asked)} after {asked['tune']} of warm-up, acceptance target "
        f"{number(asked['target_accept'])}, seed {asked['seed']}."
    ]


def _convergence(material) -> list[str]:
    table = material.diagnostics
    if material.fit.approximate:
        made = material.facts["sampling"]
        return [
            "NOT FOR PUBLICATION: these draws are of an approximation; see the warnings at the head of the report.",
            f"The weights had a Pareto k of {made['pareto_k']:.2f} and were worth {made['effective']:.0f} independent draws.",
        ]
    if table.empty:
        return ["NOT FOR PUBLICATION: there are too few draws to judge convergence."]
    least = float(table[["ess_bulk", "ess_tail"]].min(axis=1).min())
    out = [
        f"Rank-normalised R-hat {cite('vehtari2021')} of {len(table)} parameters and derived quantities was at most "
        f"{table['rhat'].max():.3f} (limit {RHAT_LIMIT}), the effective sample size at least {least:.0f} (limit {ESS_LIMIT}), computed "
        f"with ArviZ {cite('arviz2026')}; {material.fit.divergences} of {material.draws} draws diverged."
    ]
    if material.fit.warnings:
        out.insert(0, "NOT FOR PUBLICATION: these draws did not converge, or are incomplete; see the warnings at the head of the report.")
    return out


def _summaries(material) -> list[str]:
    out = [f"We report posterior medians with equal-tailed {level(material.prob)} intervals, and probabilities of an increase."]
    if material.decision_table is not None:
        unit = "points of 0\N{EN DASH}100" if material.decisions["points"] == "capacity" else "points of the score"
        out.append(
            f"Changes of C* under {number(material.decisions['worthwhile'])} {unit} in size were taken as practically equivalent to none "
            f"{cite('kruschke2018')}."
        )
    return out


def _checks(material) -> list[str]:
    def judged(check):
        return check in material.checks and material.checks[check].passed is not None

    made = [
        text
        for check, text in (
            ("prior_predictive", f"prior predictive checks {cite('gabry2019')}"),
            ("predictive", f"posterior predictive checks {cite('gelman1996')}"),
            ("loo", f"leave-one-out densities of single answers {cite('dejong1988')} with Pareto-smoothed importance sampling "
                    f"{cite('vehtari2017', 'vehtari2024')}"),
            ("loo_pit", f"leave-one-out probability integral transforms {cite('sailynoja2022')}"),
            ("power_scaling", f"power-scaling of prior and likelihood {cite('kallioinen2024')}"),
        )
        if judged(check)
    ]  # fmt: skip
    if not made:
        return []
    failed = [c.title for c in material.checks.values() if c.passed is False]
    out = [f"The model was criticised by {listed(made)}."]
    return [*out, f"Not passed: {listed([f'“{title}”' for title in failed])}."] if failed else out


def _refits(material) -> list[str]:
    out = []
    checks = material.checks
    if "cross_validation" in material.evidence:
        out.append(
            f"Cross-validation left out clinicians, units and the future in turn; forecasts were scored by the continuous ranked "
            f"probability score {cite('gneiting2007')}."
        )
    if "sensitivity" in material.evidence:
        fitted = sum("rows" in v for v in material.evidence["sensitivity"]["variants"][1:])
        out.append(f"The model was fitted again under {count(fitted, 'other assumption')}.")
    if "doubling" in material.evidence and "doubling" in checks:
        out.append(told(checks["doubling"]))
    if "calibration" in material.evidence and "calibration" in checks:
        out.append(
            f"Calibration of the method on this design was checked by simulation {cite('talts2018', 'modrak2025', 'sailynoja2022')}. "
            + told(checks["calibration"])
        )
    return out


def _reporting(material) -> list[str]:
    return [f"Reporting follows BARG {cite('kruschke2021')} and WAMBS {cite("depaoli2017")}; what was not done is marked in the lists."]
