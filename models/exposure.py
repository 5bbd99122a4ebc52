"""Who was exposed to which intervention, and for how long."""

from __future__ import annotations

import numpy as np


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
