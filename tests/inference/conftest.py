"""What the tests of inference share: a fit to any answers of one design, compiled once."""

import json
from dataclasses import replace

import pytest
import xarray as xr

from equipoise.inference import Fit
from equipoise.inference.convergence import problems
from equipoise.inference.fitting import _Derived, _study_facts
from equipoise.inference.refits.refit import Refit
from equipoise.inference.results import SCHEMA
from equipoise.inference.sampling import Sampling
from equipoise.models.priors import priors_in_force

SETTINGS = Sampling(draws=300, tune=400, chains=2, seed=1, target_accept=0.9)


class Laboratory:
    """Fits of one model to other answers of one study's design."""

    def __init__(self, model, study):
        self.model, self.study, self.refit = model, study, Refit(model, study)

    def fit(self, capacity, settings: Sampling = SETTINGS) -> Fit:
        """A whole fit, as `equipoise.fit` makes it."""
        study = self.study.with_scores(capacity)
        found = self.refit.sample(capacity, settings)
        raw = xr.DataTree.from_dict({"posterior": found.posterior, "sample_stats": found.stats})
        settings = replace(settings, draws=found.draws.draws)
        result = _Derived(raw, self.model, study, settings)
        tree = result.tree(None)
        told = problems(result.diagnostics, result.divergences, found.draws.chains * found.draws.draws)
        tree.attrs["equipoise"] = json.dumps({
            "schema": SCHEMA, "model": self.model.to_dict(), "equations": self.model.equations(study),
            "priors": {name: prior.to_dict() for name, prior in priors_in_force(self.model, study).items()},
            "study_fingerprint": study.fingerprint, "study": _study_facts(study, self.model),
            "sampling": vars(settings) | {"tries": found.tries, "seconds": 1.0}, "complete": True, "warnings": told, "cautions": [],
            "versions": {},
        })  # fmt: skip
        return Fit(tree, study)


@pytest.fixture(scope="session")
def laboratory():
    return Laboratory
