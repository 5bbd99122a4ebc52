"""Evidence that items of several checklists share."""

from __future__ import annotations

from ...inference.checks.predictive import inside as statistics_inside
from ...inference.checks.sensitivity import converged, decides
from ...inference.convergence import ESS_LIMIT, RHAT_LIMIT
from ..checking import GROUPS
from ..format import count, listed, number, percent, plain
from .item import AUTHORS, DONE, NOT_APPLICABLE, NOT_DONE, NOT_MET, Answer

STRONG = 10  # draws for an independent one, above which a chain is said to be strongly autocorrelated
COMMANDS = {
    "sensitivity": "`equipoise sensitivity analysis.toml`",
    "doubling": "`equipoise run analysis.toml --doubling`",
}


def section(check: str) -> str:
    """The section of the report that shows a check."""
    return next(f"section “{title}”" for title, _, members in GROUPS.values() if check in members)


def stated(material, key: str, prompt: str, done: str = "") -> Answer:
    """What the authors have stated in the analysis file, or what they are to say."""
    said = material.statements.get(key)
    if said:
        return Answer(DONE, f"{done + ' ' if done else ''}Stated: {plain(said)}")
    return Answer(AUTHORS, f"{done + ' ' if done else ''}{prompt} (`{key}` in [report.statements] of the analysis file).")


def by_check(material, name: str, words: str = "") -> Answer:
    """An item that is met where a check passed; ``words`` are its numbers."""
    check = material.checks.get(name)
    if check is None or check.passed is None:
        if material.fit.approximate:
            return Answer(NOT_DONE, "A quick look leaves it out.")
        if name in COMMANDS and name not in material.evidence:
            return Answer(NOT_DONE, f"{COMMANDS[name]} does it.")
        return Answer(NOT_DONE, f"It could not be done or judged: {section(name)}.")
    said = f"{words + ' ' if words else ''}{section(name)[0].upper()}{section(name)[1:]}."
    return Answer(DONE, f"Passed. {said}") if check.passed else Answer(NOT_MET, f"The check did not pass. {said}")


def inside(material, name: str) -> str:
    """How many statistics of the answers lie in the interval of their replicates."""
    check = material.checks.get(name)
    if check is None or check.passed is None:
        return ""
    known = check.table[check.table["tail"].notna()]
    return f"{statistics_inside(known)} of {len(known)} statistics of the answers lie in the interval of the replicates."


def convergence(material) -> Answer:
    """R-hat of every parameter and derived quantity."""
    table = material.diagnostics
    if material.fit.approximate:
        return Answer(NOT_MET, "A quick look by an approximation: there are no chains that could converge. `equipoise run` makes them.")
    if table.empty:
        return Answer(NOT_DONE, "There are too few draws for R-hat.")
    worst = float(table["rhat"].max())
    said = (
        f"Rank-normalised R-hat of {count(len(table), 'quantity', 'quantities')} is at most {worst:.3f} (limit {RHAT_LIMIT}); "
        f"{count(material.fit.divergences, 'draw')} of {material.draws} diverged; ranks of the chains are drawn in {section('sampling')}, "
        "all numbers are in tables/diagnostics.csv."
    )
    check = material.checks.get("sampling")
    bad = not worst <= RHAT_LIMIT or material.fit.divergences or not material.fit.complete or (check is not None and check.passed is False)
    if bad or material.fit.warnings:
        return Answer(NOT_MET, f"{said} See the warnings at the head of the report.")
    return Answer(DONE, said)


def resolution(material) -> Answer:
    """Effective sample sizes."""
    table = material.diagnostics
    if table.empty:
        return Answer(NOT_DONE, "There are too few draws for an effective sample size.")
    bulk, tail = float(table["ess_bulk"].min()), float(table["ess_tail"].min())
    said = (
        f"Of {material.draws} draws the effective sample size is at least {bulk:.0f} (bulk) and {tail:.0f} (tail; limit {ESS_LIMIT}). "
        "Monte Carlo errors stand beside the numbers, which have no more digits than these support."
    )
    return Answer(DONE if min(bulk, tail) >= ESS_LIMIT else NOT_MET, said)


def autocorrelation(material) -> Answer:
    """How many draws are worth one independent draw."""
    table = material.diagnostics
    if material.fit.approximate:
        return Answer(NOT_APPLICABLE, "A quick look by an approximation: its draws are independent.")
    if table.empty:
        return Answer(NOT_DONE, "There are too few draws to judge it.")
    each = (material.draws / table["ess_bulk"]).clip(lower=1.0)
    typical, worst = (number(value, 1) for value in (each.median(), each.max()))
    said = (
        f"It takes {typical} draws to tell as much as an independent one for the median quantity, {worst} for the worst (up to "
        f"{STRONG} is not strong)."
    )
    return Answer(DONE if each.max() <= STRONG else NOT_MET, said)


def doubling(material) -> Answer:
    """Twice the draws from another seed."""
    found = material.evidence.get("doubling")
    if found is None:
        return by_check(material, "doubling")
    z = max((abs(v) for v in found["z"] if v is not None), default=0.0)
    said = f"Of {found['count']} numbers none differs by more than {z:.1f} Monte Carlo errors; R-hat then is at most {found['rhat']:.3f}."
    return by_check(material, "doubling", said)


def variants(material, names: tuple[str, ...], asked: str) -> Answer:
    """Whether the conclusions hold under some assumptions of the sensitivity panel.

    ``asked`` says what these assumptions are, in words.
    """
    found = material.evidence.get("sensitivity")
    if found is None and material.fit.approximate:
        return by_check(material, "sensitivity")
    if found is None:
        return Answer(NOT_DONE, f"{COMMANDS['sensitivity']} fits the model with {asked}.")
    base = found["variants"][0]
    here = [v for v in found["variants"][1:] if v["name"] in names and "why_not" not in v]
    judged = [v for v in here if converged(v)]
    if not judged:
        why = "did not converge" if here else "is not among what was fitted"
        return Answer(NOT_DONE, f"The model with {asked} {why}: {COMMANDS['sensitivity']}.")
    changed = [v for v in judged if decides(base, v, found["prob"])]
    said = f"Fitted with {listed([v['words'] for v in judged])}: "
    left = [v["words"] for v in here if v not in judged]
    ending = f" Not converged: {listed(left)}." if left else ""
    if changed:
        changes = listed([v["words"] for v in changed])
        return Answer(NOT_MET, f"{said}conclusions change with {changes} ({section('sensitivity')}).{ending}")
    return Answer(DONE, f"{said}no conclusion changes ({section('sensitivity')}).{ending}")


def sensitivity(material) -> Answer:
    """The whole panel."""
    found = material.evidence.get("sensitivity")
    fitted = 0 if found is None else sum("rows" in v for v in found["variants"][1:])
    return by_check(material, "sensitivity", f"{count(fitted, 'other assumption')} fitted anew.")


def outside(material) -> str:
    """How many draws of C* lie beyond the scale."""
    o = material.outside
    return f"{percent(o.above)} of all draws of clinicians' C* lie above 100 and {percent(o.below)} below 0"
