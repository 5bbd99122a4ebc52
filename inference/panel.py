"""Of a large study: the part of the results that belongs to the clinicians whose paths and replicates were kept."""

from __future__ import annotations

import numpy as np
import xarray as xr


def panel_tree(tree: xr.DataTree) -> tuple[xr.DataTree, np.ndarray] | None:
    """The tree cut to its panel, numbered anew, and the codes of the panel's clinicians; None where it is of everybody.

    What is not of single clinicians or surveys, such as the units and the population, stays as it is.
    """
    constant = tree["constant_data"].to_dataset()
    if "panel" not in constant:
        return None
    kept = constant["panel"].to_numpy().astype(bool)
    members, number = np.flatnonzero(kept), np.cumsum(kept) - 1
    surveys = np.flatnonzero(kept[constant["survey_clinician"].to_numpy()])
    spells = np.flatnonzero(kept[constant["spell_clinician"].to_numpy()])

    def renumbered(dataset):
        here = np.searchsorted(surveys, dataset["survey"].to_numpy())
        return dataset.assign_coords(survey=here)

    constant = constant.drop_vars("panel").isel(clinician=members, survey=surveys, spell=spells)
    for owner in ("survey_clinician", "spell_clinician"):
        constant[owner] = constant[owner].copy(data=number[constant[owner].to_numpy()])
    paths = renumbered(tree["latent_capacity"].to_dataset())
    owner = number[paths["grid_clinician"].to_numpy()]
    cut = {
        name: node.to_dataset().isel(clinician=members) if "clinician" in node.sizes else node.to_dataset()
        for name, node in tree.children.items()
    }
    cut |= {
        "constant_data": renumbered(constant),
        "observed_data": renumbered(tree["observed_data"].to_dataset().isel(survey=surveys)),
        "latent_capacity": paths.assign_coords(grid_clinician=("grid", owner)),
        "posterior_predictive": renumbered(tree["posterior_predictive"].to_dataset()),
        "log_likelihood_survey": renumbered(tree["log_likelihood_survey"].to_dataset()),
    }
    part = xr.DataTree.from_dict(cut)
    part.attrs = tree.attrs
    return part, members
