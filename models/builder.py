"""The one place that turns a description and a study into a ``pymc.Model``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from .design import build_design
from .levers import LN2, levers
from .likelihood.packing import pack
from .op import LEVEL_PARAMETERS, THREADS, capacity_log_likelihood
from .parameters import coordinates, parameter_table

# arrays that grow with the study travel as data: as constants they would be compiled into the machine code
_EPOCH_DATA = ("epoch_clinician", "epoch_columns")
_CELL_DATA = ("row", "low", "high", "start", "end", "dose")


def build_model(model, study, threaded: bool = False) -> pm.Model:
    """Build the PyMC model; use `CapacityModel.build`, which adds the design's cautions.

    The likelihood enters as the potential ``log_likelihood`` (clinicians), since the latent path and the clinician's
    level are integrated out and scores of one clinician are not independent.

    With ``threaded`` the likelihood can share out clinicians over threads: as many as the model's data ``threads`` say, 1
    as built. Compilation takes longer.
    """
    design, _, _ = build_design(model, study)
    coords = coordinates(study, design)
    table = parameter_table(model, study, design)
    with pm.Model(coords=coords) as pymc_model:
        values = {}
        for parameter in table:
            if parameter.name == "level_effect":
                # centred: the clinician's own deviation of log C*, not a standardised one
                trait = values["total_sd"] * pt.sqrt(values["variance_shares"][0]) / values["level"]
                values["level_effect"] = pm.Normal("level_effect", 0, trait, dims="clinician")
            else:
                values[parameter.name] = parameter.prior.variable(parameter.name, parameter.dims)
        data = likelihood_data(design)
        data = {name: pm.Data(name, value) for name, value in data.items()}
        epochs = {name: pm.Data(name, getattr(design, name)) for name in _EPOCH_DATA}
        cells = tuple(
            replace(c, **{part: pm.Data(f"exposure_{part}_{c.intervention}", getattr(c, part)) for part in _CELL_DATA})
            for c in design.cells
        )
        shared = replace(design, **epochs, cells=cells)
        derived = levers(values, shared, model, pt)
        # a level that is sampled, or the same for all, leaves nothing to integrate
        integrated = model.level == "integrated" and "trait" in design.layers
        threads = [pm.Data(THREADS, np.ones(1, int))] if threaded else []
        rest = derived.rest if integrated else derived.rest[len(LEVEL_PARAMETERS) :]
        outputs = capacity_log_likelihood(
            *data.values(), epochs["epoch_clinician"], *threads, derived.clinician, derived.shift, derived.slopes, *rest,
            integrated=integrated, threaded=threaded,
        )  # fmt: skip
        pm.Potential("log_likelihood", outputs[0], dims="clinician")

        _report("alpha_population", values["level"] * LN2 / values["half_life"])
        _report("beta_population", LN2 / values["half_life"])
        _report("trait_sd", derived.trait_sd)
        _report("process_sd", derived.omega)
        _report("error_sd_total", pt.sqrt(derived.error_sd**2 + design.error_floor[0]))
        if "trait" in design.layers:
            _report("level_rate_correlation", derived.correlation)
        _report("capacity_unit", derived.capacity_unit, "unit")
        _report("beta_unit", derived.beta_unit, "unit")
        _report("alpha_unit", derived.capacity_unit * derived.beta_unit, "unit")
        _report("beta", derived.beta, "clinician")
        _report("omega", derived.omega_clinician, "clinician")
        # with one sigma or one omega for all an intervention has no effect of its own on the spread
        for name in ("theta_alpha", "theta_beta") + (("theta_omega",) if model.spread == "free" else ()):
            _report(name, getattr(derived, name), "intervention")
        for name, dim in (("gamma", "term"), ("moderation", "moderation")):
            for lever in ("alpha", "beta"):
                _report(f"{name}_{lever}", getattr(derived, f"{name}_{lever}"), dim)
    return pymc_model


def likelihood_data(design) -> dict[str, np.ndarray]:
    """The data of the likelihood by name, as the model holds them: what changes when answers do."""
    return pack(*design.data(), design.epoch_columns)


def _report(name, value, dim=None):
    model = pm.modelcontext(None)
    if dim is None:
        pm.Deterministic(name, value)
    elif dim in model.coords:
        pm.Deterministic(name, pt.as_tensor_variable(value), dims=dim)
