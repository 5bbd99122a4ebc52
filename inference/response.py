"""What an intervention did to the days answered: the modelled response along each clinician's own spells."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ..models.exposure import doses_before
from ..models.levers import added_by
from ..models.likelihood import smoother
from .derive import Draws


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
    offset, prelude, gap, epoch, survey, base, *_, anchor = draws.data()
    ends = np.flatnonzero((survey >= 0) & ~np.isnan(design.survey_score[survey]))
    owner = np.repeat(np.arange(design.n_clinicians), np.diff(offset))[ends]
    # the spells in force in the interval that ends at the survey
    running = doses_before(study, study.surveys["occasion"].to_numpy()[survey[ends]])
    exposed = fit.tree["constant_data"]["exposed"].to_numpy().astype(bool)
    deviations = fit.tree["posterior"]["level_deviation"].transpose("chain", "draw", "clinician").to_numpy()
    chosen = draws.thinned(most)
    difference = np.empty((draws.chains, chosen.size, len(design.interventions)))
    for c, n, lever in draws.some(chosen):
        level, rate, *_ = lever.arguments
        shift, deviation = lever.rest[2], deviations[c, chosen[n]]
        arrays = (offset, prelude, gap, epoch, base, anchor)
        actual = smoother.expected_path(*arrays, level, rate, shift, deviation)[ends]
        for k in range(len(design.interventions)):
            without = np.exp(-added_by(k, lever, design))
            path = smoother.expected_path(*arrays, level * without[:, 0], rate * without[:, 1], shift, deviation)
            response = actual - path[ends]
            mine = exposed[owner, k]
            on, off = mine & (running[:, k] > 0), mine & (running[:, k] == 0)
            difference[c, n, k] = response[on].mean() - response[off].mean() if on.any() and off.any() else np.nan
    score = next(iter(study.scores.values()))
    dims = ("chain", "draw", "intervention")
    return xr.Dataset(
        {"capacity": (dims, difference), "score": (dims, score.change_to_points(difference))},
        coords={"draw": chosen, "intervention": list(design.interventions)},
    )
