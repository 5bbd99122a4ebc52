"""Who was exposed to which intervention, for how long, and whether the roll-out was staggered."""

from __future__ import annotations

import numpy as np


def staggered_roll_outs(study) -> tuple[int, ...]:
    """Interventions that start at different dates and then run on: programme and calendar time are confounded."""
    _, last = study.follow_up
    found = []
    for k in range(len(study.interventions)):
        spells = study.spells[study.spells["intervention"] == k]
        if spells.empty:
            continue
        code = spells["clinician"].to_numpy(int)
        stays = (np.bincount(code, minlength=study.n_clinicians)[code] == 1) & (spells["end"].to_numpy() >= last[code])
        starts = np.unique(spells["start"].to_numpy()[stays])
        if stays.mean() >= 0.8 and starts.size > 1 and np.ptp(starts) > study.median_gap:
            found.append(k)
    return tuple(found)


def mean_exposures(study) -> np.ndarray:
    """Share of the follow-up that each clinician was exposed, dose-weighted (clinicians x interventions)."""
    first, last = study.follow_up
    share = np.zeros((study.n_clinicians, len(study.interventions)))
    for spell in study.spells.itertuples():
        i = spell.clinician
        if last[i] > first[i]:
            length = max(min(spell.end, last[i]) - max(spell.start, first[i]), 0.0)
            share[i, spell.intervention] += spell.dose * length / (last[i] - first[i])
        elif spell.start <= first[i] < spell.end:
            share[i, spell.intervention] = spell.dose
    return share


def exposed_clinicians(study) -> np.ndarray:
    """Whether each clinician was ever exposed to each intervention up to the last survey (clinicians x interventions)."""
    exposed = np.zeros((study.n_clinicians, len(study.interventions)), bool)
    spells = study.spells
    code = spells["clinician"].to_numpy(int)
    begun = spells["start"].to_numpy() < study.follow_up[1][code]
    exposed[code[begun], spells["intervention"].to_numpy(int)[begun]] = True
    return exposed


def doses_before(study, occasions: np.ndarray) -> np.ndarray:
    """Dose of the spells in force just before each of these occasions (occasions x interventions)."""
    time = study.occasions["time"].to_numpy(float)[occasions]
    owner = study.occasions["clinician"].to_numpy()[occasions]
    dose = np.zeros((occasions.size, len(study.interventions)))
    for spell in study.spells.itertuples():
        mine = (owner == spell.clinician) & (spell.start < time) & (time <= spell.end)
        dose[mine, spell.intervention] = spell.dose
    return dose
