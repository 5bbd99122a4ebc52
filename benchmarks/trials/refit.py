"""Fit a compiled model to new scores, and the estimands of the draws and of the truth."""

from types import SimpleNamespace

import arviz as az
import numpy as np
import xarray as xr

from equipoise.inference.derive import derive
from equipoise.inference.estimands import _Clinicians, _values, request
from equipoise.inference.refits.refit import Refit
from equipoise.inference.sampling import Sampling
from equipoise.models.levers import LN2, levers

ESTIMANDS = ("ratio_alpha", "ratio_beta", "capacity_change", "half_life_change", "area")
HORIZON = 8.0


class Estimates(Refit):
    """A model compiled once for the design of a study, and its estimands."""

    def __init__(self, model, study):
        super().__init__(model, study)
        score = {"range": (0.0, 100.0), "better": "higher"}
        columns = {"unit": study.clinicians["unit"].to_numpy().astype(str)}
        self.request = request(study.interventions, columns, score, horizon=HORIZON, show=ESTIMANDS)

    def estimate(self, new, seed):
        """Estimands of the posterior draws (chains joined), the number of divergences, and the largest R-hat of them."""
        capacity = new.study.surveys["capacity"].to_numpy(float)
        fitted = self.sample(capacity, Sampling(draws=250, tune=400, chains=2, seed=seed, target_accept=0.9))
        derived, _, individual, _ = derive(fitted.draws, np.random.default_rng(seed))
        values = self.estimands(fitted.posterior.assign(derived), xr.Dataset(individual))
        shaped = {n: (("chain", "draw"), v.reshape(fitted.draws.chains, -1)) for n, v in values.items()}
        rhat = az.rhat(xr.Dataset(shaped))
        return values, fitted.divergences, max(float(rhat[n]) for n in values)

    def truth(self, new):
        """The same estimands at the parameters and paths that the scores were simulated from."""
        p = new.parameters
        lever = levers(p, self.design, self.model, np)
        own = new.study.occasions["clinician"].to_numpy()[new.study.surveys["occasion"].to_numpy()]
        last = np.append(np.flatnonzero(np.diff(own)), own.size - 1)
        sample, who, what = ("chain", "draw"), ("clinician",), ("intervention",)
        posterior = xr.Dataset(
            {
                "capacity": ((*sample, *who), new.clinicians["capacity"].to_numpy()[None, None]),
                "beta": ((*sample, *who), lever.beta[None, None]),
                "theta_alpha": ((*sample, *what), lever.theta_alpha[None, None]),
                "theta_beta": ((*sample, *what), lever.theta_beta[None, None]),
                "beta_population": (sample, np.array([[LN2 / p["half_life"]]])),
                "trait_sd": (sample, [[lever.trait_sd]]),
                "process_sd": (sample, [[lever.omega]]),
                "error_sd_total": (sample, [[lever.error_sd]]),
            },
            coords={"intervention": list(self.study.interventions)},
        )
        individual = {"state_last": ((*sample, *who), new.path[last][None, None])}
        for j, name in enumerate(("level", "rate")):
            if lever.deviations:
                more = np.array([lever.deviations[k][j] for k in range(len(self.study.interventions))])
                individual[f"{name}_deviation_effect"] = ((*sample, *what, *who), more[None, None])
        return {n: float(v[0]) for n, v in self.estimands(posterior, xr.Dataset(individual)).items()}

    def estimands(self, posterior, individual):
        posterior = posterior.assign_coords(intervention=list(self.study.interventions))
        individual = individual.assign_coords(intervention=list(self.study.interventions))
        facts = {"study": {"scores": {"joy": {"range": [0.0, 100.0], "better": "higher"}}}}
        tree = xr.DataTree.from_dict({"posterior": posterior, "individual": individual})
        fit = SimpleNamespace(tree=tree, facts=facts, model=self.model)
        values = _values(_Clinicians(fit), self.request)
        return {n: values[("course",), (), n][:, 0] for n in ESTIMANDS}
