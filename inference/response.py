"""What an intervention did to the days answered: the modelled response along each clinician's own spells."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ..models.exposure import doses_before
from ..models.levers import added_by
from ..models.likelihood import smoother
from .derive import Draws


def expected_path(draws: Draws, lever, deviation, without: int | None = None) -> np.ndarray:
    """Expected capacity at the end of every step of the study's layout, in full or without one intervention.

    Parameters
    ----------
    draws : Draws
    lever : namespace
        The `levers` of one draw.
    deviation : float array (clinicians)
        The drawn e_i of the same draw.
    without : int, optional
        Code of the intervention that is taken away.
    """
    offset, prelude, gap, epoch, _, base, *_, anchor = draws.data()
    level, rate, *_ = lever.arguments
    if without is not None:
        off = np.exp(-added_by(without, lever, draws.design))
        level, rate = level * off[:, 0], rate * off[:, 1]
    return smoother.expected_path(offset, prelude, gap, epoch, base, anchor, level, rate, lever.rest[2], deviation)


def exposed_difference(fit, most: int = 1000) -> xr.Dataset:
    """Modelled difference between exposed and other days, averaged over the days answered.

    The response of intervention k at a survey is the expected capacity under the clinician's own spells less that
    without k. Its mean over the answered surveys that k was on, less its mean over the others of the same (ever
    exposed) clinicians, is what a comparison of exposed with other days estimates; it is smaller than the change of
    C* where spells are short against the half-life, because capacity is still on its way.

    Parameters
    ----------
    fit : Fit
        With its study.
    most : int
        At most so many posterior draws, evenly spaced.

    Returns
    -------
    Dataset
        ``capacity`` (0-100) and ``score`` (the first score's points and sign), dims chain, draw, intervention.
    """
    study = fit.study
    draws = Draws.of(fit.tree["posterior"].to_dataset(), fit.model, study)
    design = draws.design
    offset, survey = design.layout.step_offset, design.layout.step_survey
    ends = np.flatnonzero((survey >= 0) & ~np.isnan(design.survey_score[survey]))
    owner = np.repeat(np.arange(design.n_clinicians), np.diff(offset))[ends]
    # the spells in force in the interval that ends at the survey
    running = doses_before(study, study.surveys["occasion"].to_numpy()[survey[ends]])
    exposed = fit.tree["constant_data"]["exposed"].to_numpy().astype(bool)
    deviations = fit.tree["posterior"]["level_deviation"].transpose("chain", "draw", "clinician").to_numpy()
    chosen = draws.thinned(most)
    difference = np.empty((draws.chains, chosen.size, len(design.interventions)))
    for c, n, lever in draws.some(chosen):
        deviation = deviations[c, chosen[n]]
        actual = expected_path(draws, lever, deviation)[ends]
        for k in range(len(design.interventions)):
            response = actual - expected_path(draws, lever, deviation, without=k)[ends]
            mine = exposed[owner, k]
            on, off = mine & (running[:, k] > 0), mine & (running[:, k] == 0)
            difference[c, n, k] = response[on].mean() - response[off].mean() if on.any() and off.any() else np.nan
    score = next(iter(study.scores.values()))
    dims = ("chain", "draw", "intervention")
    return xr.Dataset(
        {"capacity": (dims, difference), "score": (dims, score.change_to_points(difference))},
        coords={"draw": chosen, "intervention": list(design.interventions)},
    )
