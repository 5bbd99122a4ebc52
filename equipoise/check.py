"""What a study can and cannot tell, said before a second is spent on sampling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .analysis import Analysis
from .datasets.errors import list_some
from .exposure import intervention_findings

FEW_UNITS = 10
FEW_CLINICIANS = 10
# At this many gaps to a half-life a disturbance has shrunk to a tenth by the next survey.
GAPS_UNTIL_GONE = math.log2(10)
LIKELY = 0.25


@dataclass(frozen=True)
class Check:
    """Findings on a valid analysis file.

    Attributes
    ----------
    study : list of str
        What was read: counts, spacing, exposure.
    tells : list of str
        What can be learnt, and from which comparison.
    cautions : list of str
        What cannot, or only by leaning on a prior.
    """

    study: list[str]
    tells: list[str]
    cautions: list[str]


def check(path: str | Path) -> Check:
    """Validate an analysis file with its data and model, and say what the study can and cannot tell.

    Nothing is sampled and PyMC is not imported.

    Raises
    ------
    UserError
        For anything wrong with the file, the data or the model.
    """
    from .datasets.describe import describe

    analysis = Analysis.read(path)
    study = analysis.study()
    model = analysis.model(study)
    facts = describe(study)
    found = Check([], [], [])
    _counts(study, facts, found)
    _half_life(study, model, found)
    _units(study, found)
    _scores(study, facts, found)
    intervention_findings(study, model, found)
    found.cautions.extend(model.cautions(study))
    if analysis.spec.share is not None:
        _sharing(study, analysis.spec.share.smallest_cell, found)
    return found


def _counts(study, facts: dict, found: Check) -> None:
    each = facts["surveys_per_clinician"]
    found.study.append(
        f"{counted(study.n_clinicians, 'clinician')} in {counted(study.n_units, 'unit')}; {study.n_surveys:,} answers"
        f" ({', '.join(study.scores)}), {facts['missing_share']:.0%} missing; answered surveys a clinician:"
        f" {number(each['min'])} to {number(each['max'])}, median {number(each['median'])}."
    )
    if study.covariates:
        varying = [name for name in study.covariates if name in study.varying]
        listed = ", ".join(study.covariates)
        found.study.append(f"Covariates: {listed}; varying in time: {', '.join(varying) or 'none'}.")
    if study.holds:
        which = "ends at the row" if study.holds == "before" else "starts at the row"
        found.study.append(f'Values that vary in time describe the interval that {which} (holds = "{study.holds}").')
    if facts["missing_share"] > 0.3:
        found.cautions.append(
            f"{facts['missing_share']:.0%} of the answers are missing. The model takes them as missing at random:"
            " it cannot know of clinicians who stopped answering because they were doing badly."
        )
    if study.n_clinicians < FEW_CLINICIANS:
        found.cautions.append(
            f"Only {counted(study.n_clinicians, 'clinician')}: how far clinicians differ leans on the priors."
        )
    if each["median"] <= 3:
        found.cautions.append(
            f"With a median of {counted(int(each['median']), 'survey')} a clinician, real ups and downs can hardly be"
            " told from measurement error, so the spread of each leans on its prior."
        )
    if facts["once"]:
        found.tells.append(
            f"{counted(facts['once'], 'clinician')} with one answered survey or none: kept; estimates for them are"
            " mostly those of their unit."
        )


def _half_life(study, model, found: Check) -> None:
    """The half-life's prior against the spacing and the length of the study."""
    from .models.priors import default_priors

    unit = study.time_unit
    gap, follow_up = study.median_gap, study.median_follow_up
    prior = model.priors.get("half_life") or default_priors(study)["half_life"]
    draws = prior.draw(np.random.default_rng(0), (100_000,))
    low, middle, high = np.quantile(draws, [0.055, 0.5, 0.945])
    stated = "stated in [model.priors]" if "half_life" in model.priors else "the default for this spacing and length"
    said = (
        f"Half-life of a disturbance, prior ({stated}): median {spell(middle, unit)}, 89% between {number(low)} and"
        f" {number(high)}."
    )
    if not gap > 0:
        found.tells.append(said)
        found.cautions.append(
            "Nobody was surveyed twice: beta will be known only from its prior, and alpha with it; only the steady"
            " state can be learnt."
        )
        return
    found.study.append(f"Median gap between surveys {spell(gap, unit)}, median follow-up {spell(follow_up, unit)}.")
    found.tells.append(said)
    found.tells.append(
        f"At that median {0.5 ** (gap / middle):.0%} of a disturbance is left at the next survey and"
        f" {0.5 ** (follow_up / middle):.0%} at the end of the follow-up."
    )
    shortest = gap / GAPS_UNTIL_GONE
    gone, unfinished = float((draws < shortest).mean()), float((draws > follow_up).mean())
    found.tells.append(
        f"Half-lives between about {number(shortest)} and {spell(follow_up, unit)} can be learnt from these survey"
        f" times; the prior puts {max(1 - gone - unfinished, 0):.0%} there."
    )
    if gone > LIKELY:
        found.cautions.append(
            f"The half-life expected ({spell(middle, unit)}) is {_much(gone)}shorter than the median gap"
            f" ({spell(gap, unit)}): by the next survey a disturbance is gone, and with it the correlation from survey"
            " to survey. Then beta is known only from its prior; C* and effects on C* can still be learnt."
            " Closer surveys would tell."
            + _chance(gone)
        )
    if unfinished > LIKELY:
        found.cautions.append(
            f"The half-life expected ({spell(middle, unit)}) is {_much(unfinished)}long for the median follow-up"
            f" ({spell(follow_up, unit)}): not half of a disturbance has faded by the end. Then alpha and beta cannot"
            " be told apart, and C* is partly extrapolated. A longer follow-up would tell." + _chance(unfinished)
        )


def _much(probability: float) -> str:
    return "much " if probability > 0.9 else "possibly too " if probability < 0.5 else ""


def _chance(probability: float) -> str:
    return f" (Prior probability that it is so: {probability:.0%}.)"


def _units(study, found: Check) -> None:
    from .datasets.occasions import NO_UNIT

    if study.n_units > 1 and NO_UNIT in study.units:
        blank = study.clinicians.loc[study.clinicians["unit"] == NO_UNIT, "clinician"]
        found.cautions.append(
            f"{counted(len(blank), 'clinician')} without a unit in any row ({list_some(blank, 3)}) count as one unit"
            f" together, called {NO_UNIT!r}; fill it in, or remove them, if they do not belong together."
        )
    if study.n_units == 1:
        found.tells.append("All clinicians share one unit, so the model has no unit effects.")
    elif study.n_units == study.n_clinicians:
        found.cautions.append("Every unit has a single clinician: differences between units and clinicians are one.")
    elif study.n_units < FEW_UNITS:
        found.cautions.append(
            f"Only {study.n_units} units: how far units differ leans on its prior, and so does every unit's estimate."
        )


def _scores(study, facts: dict, found: Check) -> None:
    for name, score in study.scores.items():
        seen = facts["scores"][name]
        low, high = score.range
        steps = f"; steps of {number(score.step)} ({seen['step_source']})" if score.step else ""
        found.study.append(
            f"{name}: {number(low)} to {number(high)}, {score.better} is better; observed mean {number(seen['mean'])},"
            f" SD {number(seen['sd'])}{steps}."
        )
        if seen["levels"] <= 1:
            found.cautions.append(f"{name} has the same value in every answer: nothing tells clinicians apart.")
            continue
        if score.step is None:
            found.cautions.append(
                f"{name}: the distance between neighbouring scores was not found in the data. If answers are rounded,"
                f" state it as `step` in [study.scores.{name}]: it is the floor under the measurement error."
            )
        if seen["off_step"]:
            found.cautions.append(
                f"{name}: {seen['off_step']:.0%} of the answers do not lie on a step of {number(score.step)} from"
                f" {number(low)}. If they are means of which items are missing, that is fine; otherwise the step is wrong."
            )
        for end, word in (("floor", "lowest"), ("ceiling", "highest")):
            if seen[end] > 0.15:
                found.cautions.append(
                    f"{name}: {seen[end]:.0%} of the answers are the {word} possible score; changes beyond it cannot be"
                    " seen, and effects will look smaller than they are."
                )


def _sharing(study, smallest: int, found: Check) -> None:
    small = int((np.bincount(study.unit_code) < smallest).sum())
    if study.n_clinicians < smallest:
        found.cautions.append(f"[share]: with fewer clinicians than the smallest cell ({smallest}) nothing can be shared.")
    elif small and study.n_units > 1:
        found.cautions.append(
            f"[share]: {small} of {counted(study.n_units, 'unit')} {'has' if small == 1 else 'have'} fewer than {smallest} clinicians;"
            " they are left out of the shared version, and others where these could be worked out from them."
        )


def number(value: float) -> str:
    """Two or three digits, which is as much as any of these numbers is good for."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) >= 10 else f"{value:.2g}"


def spell(value: float, unit: str) -> str:
    """A length of time with its unit."""
    return f"{number(value)} {unit}{'' if number(value) == '1' else 's'}"


def counted(n: int, word: str) -> str:
    """``3 units``."""
    return f"{n:,} {word}{'' if n == 1 else 's'}"
