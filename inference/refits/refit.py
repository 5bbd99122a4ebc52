"""A model compiled once and sampled again with other answers: what calibration and cross-validation are made of."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from ...datasets.errors import UserError
from ...models.builder import likelihood_data
from ...models.design import build_design
from ...models.parameters import parameter_table
from ..convergence import REFIT_RHAT, SAMPLE, measures
from ..derive import Draws
from ..sampling import Sampling, compile_model, sample, well_scaled


@dataclass(frozen=True)
class Refitted:
    """Draws of a refit.

    Attributes
    ----------
    posterior : Dataset (chain, draw, ...)
        The sampled parameters and what the model computes beside them.
    stats : Dataset (chain, draw)
        The sampler's statistics.
    draws : Draws
        The same with the design that holds the answers that were fitted.
    divergences : int
    rhat : float
        The largest R-hat of the population's parameters (not of standardised effects).
    tries : int
    """

    posterior: xr.Dataset
    stats: xr.Dataset
    draws: Draws
    divergences: int
    rhat: float
    tries: int


class Refit:
    """A model compiled for the design of a study: who is surveyed when, exposure and covariates stay, answers change."""

    def __init__(self, model, study):
        self.model, self.study = model, study
        self.design, _, _ = build_design(model, study)
        self.table = parameter_table(model, study, self.design)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # cautions are given with the model's own fit
            self.compiled = compile_model(model.build(study))

    def sample(self, capacity: np.ndarray, settings: Sampling, tries: int = 2, limit: float = REFIT_RHAT) -> Refitted:
        """Sample with these answers.

        Parameters
        ----------
        capacity : float array (surveys)
            On the 0-100 scale, NaN where there is none.
        settings : Sampling
            One after another: chains of a refit share one core, since refits run side by side.
        tries : int
            2: as in `equipoise.fit`, a second and stricter try where a draw diverged or R-hat passes ``limit``; twice as long, since
            refits have few draws.
        """
        design = replace(self.design, survey_score=np.array(capacity, float))
        compiled = self.compiled.with_data(**likelihood_data(design))
        compiled = well_scaled(compiled, self.model, self.study, design)
        tried = 0
        while True:
            tried += 1
            try:
                tree, complete = sample(compiled, settings, progress=False, cores=1)
            except RuntimeError as error:  # no start with a finite density
                raise UserError(f"the sampler could not start ({str(error).splitlines()[0]}); look at the priors.") from None
            if not complete:
                raise KeyboardInterrupt  # what is left of a refit is no result
            posterior = tree["posterior"].to_dataset()
            divergences = int(tree["sample_stats"]["diverging"].sum())
            rhat = self.worst(posterior)
            if tried == tries or (not divergences and rhat <= limit):
                break
            settings = replace(settings.stricter(), draws=2 * settings.draws, tune=2 * settings.tune)
        values = {p.name: posterior[p.name].transpose(*SAMPLE, *p.dims).to_numpy() for p in self.table}
        draws = Draws(self.model, self.study, design, values, posterior.sizes["chain"], posterior.sizes["draw"])
        return Refitted(posterior, tree["sample_stats"].to_dataset(), draws, divergences, rhat, tried)

    def worst(self, posterior: xr.Dataset) -> float:
        columns = [
            posterior[p.name].transpose(*SAMPLE, *p.dims).to_numpy().reshape(*(posterior.sizes[s] for s in SAMPLE), -1)
            for p in self.table if not p.latent
        ]  # fmt: skip
        return float(measures(np.concatenate(columns, axis=2))["rhat"].max())
