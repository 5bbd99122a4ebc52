"""Study designs without answers yet, for simulation: who is surveyed when, and who is exposed to what."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from .errors import UserError, one_of
from .score import Score
from .study import Study

ROLL_OUTS = ("stepped", "parallel", "alternating")


def design_study(
    *,
    clinicians: int,
    surveys: int,
    units: int = 1,
    gap: float = 1.0,
    jitter: float = 0.0,
    missing: float = 0.0,
    time_unit: str = "week",
    scores: Mapping[str, Score] | None = None,
    interventions: Mapping[str, str] | None = None,
    covariates: tuple[str, ...] = (),
    seed: int = 0,
) -> Study:
    """A study with a regular design and placeholder scores, for `equipoise.simulate` to fill.

    Parameters
    ----------
    clinicians, surveys, units : int
        Clinicians are spread evenly over units; each has `surveys` occasions.
    gap : float
        Time between occasions, in `time_unit`.
    jitter : float
        Largest shift of an occasion from its planned time, as a share of the gap (below 0.5).
    missing : float
        Share of occasions without an answer (the clinician's first always has one).
    scores : mapping, optional
        Default: one score, ``wellbeing``, 0 to 100 in steps of 1, higher is better.
    interventions : mapping, optional
        Name to roll-out: ``stepped`` (units start one after another and go on), ``parallel`` (every other unit, or
        clinician where there is one unit, from a third of the study on), ``alternating`` (off and on by quarters of
        the study, half of the clinicians starting with on).
    covariates : tuple of str
        Names of standard normal covariates that vary in time, half of their variance between clinicians.
    seed : int

    Returns
    -------
    Study

    Examples
    --------
    >>> design_study(clinicians=6, surveys=4, units=2, interventions={"rounds": "stepped"})
    <Study: 6 clinicians in 2 units, 24 surveys of wellbeing; intervention: rounds>
    """
    for name, value, least in (("clinicians", clinicians, 1), ("surveys", surveys, 2), ("units", units, 1)):
        if value < least:
            raise UserError(f"{name} must be at least {least}; got {value}.")
    if not 0 <= jitter < 0.5 or not 0 <= missing < 1 or gap <= 0:
        raise UserError(f"jitter must be in [0, 0.5), missing in [0, 1), gap above 0; got {jitter}, {missing}, {gap}.")
    rng = np.random.default_rng(seed)
    scores = dict(scores or {"wellbeing": Score(range=(0, 100), better="higher", step=1)})
    who = np.repeat(np.arange(clinicians), surveys)
    unit = np.arange(clinicians) * units // clinicians
    time = gap * (np.tile(np.arange(surveys), clinicians) + jitter * rng.uniform(-1, 1, clinicians * surveys))
    frame = pd.DataFrame(
        {
            "clinician": [f"c{i + 1:0{len(str(clinicians))}d}" for i in who],
            "unit": [f"unit {u + 1}" for u in unit[who]],
            "time": time,
        }
    )
    gone = rng.random(len(frame)) < missing
    gone[::surveys] = False
    for name, score in scores.items():
        frame[name] = np.where(gone, np.nan, score.range[0])
    for name in covariates:
        frame[name] = np.sqrt(0.5) * (rng.standard_normal(clinicians)[who] + rng.standard_normal(len(frame)))
    spells = [
        {"clinician": f"c{i + 1:0{len(str(clinicians))}d}", "intervention": name, "start": a, "end": b}
        for k, (name, kind) in enumerate((interventions or {}).items())
        for i in range(clinicians)
        for a, b in _spells(one_of(kind, ROLL_OUTS, "a roll-out"), i, k, unit, units, gap * (surveys - 1))
    ]
    return Study.from_table(
        frame,
        clinician="clinician",
        unit="unit",
        time="time",
        time_unit=time_unit,
        scores=scores,
        covariates=covariates,
        holds="before" if covariates else None,
        spells=pd.DataFrame(spells) if spells else None,
    )


def _spells(kind, i, k, unit, units, length):
    """Start and end of clinician i's spells; successive interventions are shifted so that they can be told apart."""
    if kind == "stepped":
        place = (unit[i] * (2 * k + 1) + 3 * k) % units
        yield length * (place + 1) / (units + 1), np.nan
    elif kind == "parallel":
        member = unit[i] if units > 1 else i
        if (member >> k) % 2:
            yield length / 3, np.nan
    else:
        begin = (i >> k) % 2
        for quarter in range(begin, 4, 2):
            yield length * quarter / 4, length * (quarter + 1) / 4
