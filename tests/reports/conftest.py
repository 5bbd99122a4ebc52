"""What the tests of the reports share: fits made from prior draws, in no time and of any shape."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from equipoise import CapacityModel, datasets, simulate
from equipoise.inference import Fit
from equipoise.inference.convergence import problems, weighted
from equipoise.inference.fitting import VERSIONED, _Derived, _study_facts
from equipoise.inference.results import SCHEMA
from equipoise.inference.sampling import Sampling
from equipoise.models.design import build_design
from equipoise.models.levers import LN2, levers
from equipoise.models.parameters import coordinates, draw_parameters, parameter_table
from equipoise.models.priors import priors_in_force


def prior_fit(
    model, study, draws: int = 60, chains: int = 2, complete: bool = True, known=None, seed: int = 5, quality=None, said=()
) -> Fit:
    """A fit whose draws come from the prior: the same tree as a real one, without sampling.

    ``known`` gives parameters that are the same in all draws; ``quality`` and ``said`` are those of `approximate`: a quick look.
    """
    rng = np.random.default_rng(seed)
    design, _, _ = build_design(model, study)
    table, coords = parameter_table(model, study, design), coordinates(study, design)
    points = [draw_parameters(table, coords, known, rng) for _ in range(draws * chains)]
    names = {p.name: p.dims for p in table}
    kept = {name: np.array([p[name] for p in points]) for name in names}
    derived = [levers(p, design, model, np) for p in points]
    by_dim = {
        "unit": ("capacity_unit", "beta_unit"),
        "clinician": ("beta", "omega_clinician"),
        "intervention": ("theta_alpha", "theta_beta", "theta_omega"),
        "term": ("gamma_alpha", "gamma_beta"),
    }
    for dim, members in by_dim.items():
        for name in members if dim in coords else ():
            short = "omega" if name == "omega_clinician" else name
            kept[short] = np.array([getattr(d, name) for d in derived])
            names[short] = (dim,)
    kept["alpha_unit"], names["alpha_unit"] = kept["capacity_unit"] * kept["beta_unit"], ("unit",)
    kept["alpha_population"], kept["beta_population"] = kept["level"] * LN2 / kept["half_life"], LN2 / kept["half_life"]
    for name, source in (("trait_sd", "trait_sd"), ("process_sd", "omega"), ("error_sd_total", "error_sd"),
                         ("level_rate_correlation", "correlation")):  # fmt: skip
        kept[name] = np.array([getattr(d, source) for d in derived])
    posterior = xr.Dataset(
        {
            name: (("chain", "draw", *names.get(name, ())), value.reshape(chains, draws, *value.shape[1:]))
            for name, value in kept.items()
        },
        coords={dim: values for dim, values in coords.items() if any(dim in d for d in names.values())},
    )
    stats = xr.Dataset(
        {
            "diverging": (("chain", "draw"), np.zeros((chains, draws), bool)),
            "energy": (("chain", "draw"), rng.normal(size=(chains, draws))),
        }
    )
    raw = xr.DataTree.from_dict({"posterior": posterior, "sample_stats": stats})
    settings = Sampling(draws, 100, chains, 1, 0.95)
    result = _Derived(raw, model, study, settings)
    if quality:
        result.diagnostics = weighted(result.diagnostics, quality["effective"])
    tree = result.tree(None)
    found = list(said) if quality else problems(result.diagnostics, 0, draws * chains)
    if not complete:
        found.insert(0, "INCOMPLETE: the run was interrupted; these are the draws it had, not the draws asked for.")
    tree.attrs["equipoise"] = json.dumps(
        {
            "schema": SCHEMA,
            "model": model.to_dict(),
            "equations": model.equations(study),
            "priors": {name: prior.to_dict() for name, prior in priors_in_force(model, study).items()},
            "study_fingerprint": study.fingerprint,
            "study": _study_facts(study, model),
            "sampling": vars(settings) | {"tries": 1, "seconds": 1.5} | (quality or {}),
            "complete": complete,
            "warnings": found,
            "cautions": [],
            "versions": dict.fromkeys(VERSIONED, "1.0"),
        }
    )
    return Fit(tree)  # without its study, as a report must do


@pytest.fixture(scope="session")
def make_fit():
    return prior_fit


@pytest.fixture(scope="session")
def simulated():
    """A small study with two interventions and two covariates, its fit, and its truth."""
    model = CapacityModel(replenishment="sleep", depletion="workload")
    planned = datasets.design_study(
        clinicians=12, surveys=8, units=3, gap=2, jitter=0.2, missing=0.1, covariates=("sleep", "workload"),
        interventions={"mindfulness": "stepped", "debriefing": "parallel"}, seed=2,
    )  # fmt: skip
    made = simulate(model, planned, {"level": 55.0, "half_life": 4.0}, seed=3)
    fit = prior_fit(model, made.study, draws=120, known={"total_sd": 15.0})
    truth = {
        "clinicians": made.clinicians,
        "units": made.units,
        "effects": made.effects,
        "population": pd.DataFrame({"quantity": ["capacity", "half_life"], "value": [55.0, 4.0]}),
    }
    return fit, truth


@pytest.fixture(scope="session")
def fit(simulated):
    return simulated[0]
