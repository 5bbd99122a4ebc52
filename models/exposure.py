"""Who was exposed to which intervention, and for how long."""

from __future__ import annotations

import numpy as np

from .timeline import keyed


def mean_exposures(study) -> np.ndarray:
    """Share of the follow-up that each clinician was exposed, dose-weighted (clinicians x interventions)."""
    first, last = study.follow_up
    share = np.zeros((study.n_clinicians, len(study.interventions)))
    spells = study.spells
    i, k = spells["clinician"].to_numpy(int), spells["intervention"].to_numpy(int)
    start, end, dose = (spells[c].to_numpy(float) for c in ("start", "end", "dose"))
    length = np.maximum(np.minimum(end, last[i]) - np.maximum(start, first[i]), 0.0)
    followed = last[i] > first[i]
    np.add.at(share, (i[followed], k[followed]), (dose * length)[followed] / (last - first)[i[followed]])
    at_once = ~followed & (start <= first[i]) & (first[i] < end)  # surveyed once: exposed then, or not
    share[i[at_once], k[at_once]] = dose[at_once]
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
    for k in range(len(study.interventions)):
        mine = study.spells[study.spells["intervention"].to_numpy(int) == k]
        if not len(mine):
            continue
        who, start, end, size = (mine[c].to_numpy() for c in ("clinician", "start", "end", "dose"))
        # spells come sorted and never overlap, so that only the last one begun before can be in force
        s = np.searchsorted(keyed(who, start), keyed(owner, time), side="left") - 1
        inside = (s >= 0) & (who[s] == owner) & (time <= end[s])
        dose[inside, k] = size[s[inside]]
    return dose
