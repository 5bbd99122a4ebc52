"""Estimands of a large study: 1,000 clinicians x 4,000 draws, two programmes, all comparisons, by unit.

    python benchmarks/trials/speed.py              # exposure while the spell runs
    python benchmarks/trials/speed.py --ramp       # one programme with an estimated onset
"""

import argparse
import resource
import time
from types import SimpleNamespace

import numpy as np
import xarray as xr

from equipoise import CapacityModel
from equipoise.inference.estimands import estimands

CLINICIANS, CHAINS, DRAWS, UNITS = 1000, 4, 1000, 20


def synthetic(ramp: bool):
    """A fit as far as estimands see it, with plausible numbers in place of draws."""
    rng = np.random.default_rng(0)
    size, sample = (CHAINS, DRAWS), ("chain", "draw")
    own = rng.normal(0, 0.2, CLINICIANS)
    log_change = rng.normal(0.1, 0.05, (*size, 2))
    posterior = {
        "capacity": ((*sample, "clinician"), 50 * np.exp(own + rng.normal(0, 0.1, (*size, CLINICIANS)))),
        "beta": ((*sample, "clinician"), 0.15 * np.exp(rng.normal(0, 0.2, (*size, CLINICIANS)))),
        "theta_alpha": ((*sample, "intervention"), log_change),
        "theta_beta": ((*sample, "intervention"), rng.normal(0, 0.1, (*size, 2))),
        "beta_population": (sample, 0.15 * np.exp(rng.normal(0, 0.1, size))),
        **{n: (sample, np.full(size, 8.0)) for n in ("trait_sd", "process_sd", "error_sd_total")},
    }
    coords = {"intervention": ["a", "b"]}
    if ramp:
        posterior["onset"] = ((*sample, "intervention_onset"), rng.lognormal(1, 0.3, (*size, 1)))
        coords["intervention_onset"] = ["a"]
    states = 50 * np.exp(own + rng.normal(0, 0.1, (*size, CLINICIANS)))
    unit = np.arange(CLINICIANS) * UNITS // CLINICIANS
    constant = {"clinician_unit": (("clinician",), unit), "unit_name": (("unit",), np.array([f"u{k}" for k in range(UNITS)], object))}
    tree = xr.DataTree.from_dict({
        "posterior": xr.Dataset(posterior, coords=coords),
        "individual": xr.Dataset({"state_last": ((*sample, "clinician"), states)}, coords={"intervention": ["a", "b"]}),
        "constant_data": xr.Dataset(constant),
    })  # fmt: skip
    facts = {"study": {"interventions": ["a", "b"], "covariates": [], "scores": {"joy": {"range": [0, 100], "better": "higher"}}}}
    return SimpleNamespace(tree=tree, facts=facts, model=CapacityModel(exposures={"a": "ramp"} if ramp else {}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ramp", action="store_true")
    fit = synthetic(parser.parse_args().ramp)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    started = time.perf_counter()
    table = estimands(fit, horizon=26.0, threshold=40.0, by="unit")
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{len(table)} estimands in {seconds:.1f} s; peak of the process {peak:.2f} GiB, {before:.2f} GiB of it the draws")
