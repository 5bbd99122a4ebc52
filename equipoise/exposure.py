"""What the exposure to interventions can tell: from which comparison, and where there is none."""

from __future__ import annotations

import itertools

import numpy as np


def intervention_findings(study, model, found) -> None:
    """Add to a `Check` what is to be said about each intervention, and about pairs of them."""
    from .models.exposure import mean_exposures

    if not study.interventions:
        return
    share = mean_exposures(study)
    dose = _dose_between_surveys(study)
    designs = model.study_designs(study)
    secular, periods = model.resolve_secular(study, designs)
    for k, (name, design) in enumerate(designs.items()):
        _one(study, name, k, share[:, k], found, model.is_randomised)
        _design(name, design.summary(secular), design.pattern.n_exposed, found)
    if secular != "none":
        form = {"linear": "along a line", "spline": "along a spline", "periods": f"in {periods} periods"}[secular]
        found.tells.append(f"Calendar time has an effect of its own {form} (`secular` in [model]).")
    for who, members in zip(("unit", "clinician"), model.resolve_varying(study, designs), strict=True):
        if members:
            names = ", ".join(study.interventions[k] for k in members)
            found.tells.append(f"Effects may differ by {who} around their average ({names}; `varying` in [model]).")
    if model.adjust_selection and (share.std(axis=0) > 0.01).any():
        found.tells.append(
            "The study is not said to be randomised, so a clinician's mean exposure enters the level and effects come"
            " from changes within clinicians (randomised = true in [model] if exposure was drawn by lot)."
        )
    elif model.is_randomised:
        found.tells.append("Said to be randomised: differences between clinicians count as effects too.")
    for a, b in itertools.combinations(range(len(study.interventions)), 2):
        if min(np.ptp(dose[:, a]), np.ptp(dose[:, b])) > 0 and abs(np.corrcoef(dose[:, a], dose[:, b])[0, 1]) > 0.95:
            first, second = study.interventions[a], study.interventions[b]
            found.cautions.append(
                f"{first} and {second} were in force at (nearly) the same times for the same clinicians, or one exactly"
                " where the other was not: their effects cannot be told apart."
            )


def _design(name: str, design: dict, exposed: int, found) -> None:
    """The study design, what it compares, and its warnings."""
    if not exposed:
        return
    how = "stated" if design["stated"] else "recognised from the spells"
    title = f"{design['title']} ({how})" if design["design"] else design["title"]
    found.tells.append(" ".join(part for part in (f"{name}: {title}.", design["comparison"], design["baseline"]) if part))
    found.cautions.extend(f"{name}: {warning}" for warning in design["warnings"])


def _one(study, name: str, k: int, share: np.ndarray, found, randomised: bool) -> None:
    spells = study.spells[study.spells["intervention"] == k]
    exposed = share > 0
    clinicians, units = int(exposed.sum()), len(set(study.unit_code[exposed]))
    found.study.append(
        f"{name}: {clinicians} of {study.n_clinicians} clinicians exposed, in {units} of {study.n_units} units,"
        f" {share.mean():.0%} of the time (by dose)."
    )
    first, last = study.follow_up
    code = spells["clinician"].to_numpy()
    start, end = spells["start"].to_numpy(), spells["end"].to_numpy()
    outside = (start >= last.max()) | (end <= first.min())
    if outside.any():
        found.cautions.append(
            f"{name}: {outside.sum()} of {len(spells)} spells lie wholly before the first or after the last survey of the"
            " whole study; if that is a surprise, look at their dates."
        )
    if clinicians and study.exposure_source[name] == "column":
        found.tells.append(
            f"{name} comes from a column, so its dates are those of the surveys around each change"
            f" (holds = \"{study.holds}\"); if the true dates are known, a table of spells is better."
        )
    if not clinicians:
        found.cautions.append(f"{name}: nobody was exposed during the follow-up; its effect is what the prior says.")
        return
    moves = ((start > first[code]) & (start < last[code])) | ((end > first[code]) & (end < last[code]))
    if not moves.any():
        if clinicians == study.n_clinicians and np.ptp(share) < 1e-9:
            found.cautions.append(
                f"{name}: everybody was exposed from the first survey to the last. Without a contrast its effect"
                " cannot be told from the level, and will be what the prior says."
            )
        elif not randomised:
            found.cautions.append(
                f"{name}: never starts or ends within anybody's follow-up, so it is compared between clinicians only;"
                " who took it and who did not may have differed before."
            )


def _dose_between_surveys(study) -> np.ndarray:
    """Dose of each intervention in the middle of each interval between two surveys, (intervals, interventions)."""
    time, code = study.occasions["time"].to_numpy(float), study.occasions["clinician"].to_numpy()
    same = code[1:] == code[:-1]
    middle, owner = ((time[1:] + time[:-1]) / 2)[same], code[1:][same]
    dose = np.zeros((max(middle.size, 1), len(study.interventions)))
    begin = np.searchsorted(owner, np.arange(study.n_clinicians), side="left")
    stop = np.searchsorted(owner, np.arange(study.n_clinicians), side="right")
    for spell in study.spells.itertuples():
        mine = slice(begin[spell.clinician], stop[spell.clinician])
        inside = (middle[mine] >= spell.start) & (middle[mine] < spell.end)
        dose[mine, spell.intervention][inside] = spell.dose
    return dose
