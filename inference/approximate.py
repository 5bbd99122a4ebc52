"""The quick look: draws from Laplace's approximation in the form of the sampler's, and what is to be said of them."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ..datasets.errors import UserError
from .cores import available_cores
from .laplace.laplace import laplace
from .laplace.quick import quick_posterior
from .psis import good_k
from .sampling import Sampling

APPROXIMATE = (
    "APPROXIMATE: a quick look by Laplace's method, not the full posterior; sample (without --quick, or with method = \"nuts\") "
    "before you publish."
)
FEW = 100  # effective draws below which means are not to be trusted either


def approximate(compiled, model, study, design, settings: Sampling) -> tuple[xr.DataTree, dict, list[str]]:
    """One chain of independent draws by importance sampling.

    Parameters
    ----------
    compiled : compiled model
        As from `sampling.compile_model`.
    model : CapacityModel
    study : Study
    design : Design
    settings : Sampling
        Of which the number of draws and the seed count.

    Returns
    -------
    tree : DataTree
        ``posterior`` and ``sample_stats`` as the sampler gives them.
    quality : dict
        ``method``, ``pareto_k``, ``effective``, the number of draws that the weighted ones are worth, and ``proposals``.
    found : list of str
        What stands at the head of every output.

    Raises
    ------
    UserError
        Where the posterior has no mode that Laplace's method could start from.
    """
    found = laplace(compiled, model, study, design)
    if found is None:
        raise UserError(
            "the quick look found no mode of this posterior, so that there is nothing to approximate; sample instead "
            '(`equipoise run` without --quick, method = "nuts").'
        )
    quick = quick_posterior(found, settings.draws, settings.seed, threads=available_cores())
    drawn = expanded(compiled, quick.draws)
    stats = xr.Dataset({"diverging": (("chain", "draw"), np.zeros((1, settings.draws), bool))})
    quality = {"method": "laplace", "pareto_k": round(quick.pareto_k, 3), "effective": round(quick.effective, 1)}
    quality["proposals"] = quick.proposals
    said, limit = [APPROXIMATE], good_k(settings.draws)
    if not quick.pareto_k <= limit or quick.effective < FEW:
        said.insert(
            0,
            f"DO NOT TRUST: the quick look's weights have a Pareto k of {quick.pareto_k:.2f} (limit {limit:.2f}) and are worth "
            f"{quick.effective:.0f} draws (at least {FEW}): it misses parts of this posterior. Sample instead.",
        )
    return xr.DataTree.from_dict({"posterior": drawn, "sample_stats": stats}), quality, said


def expanded(compiled, points: np.ndarray) -> xr.Dataset:
    """All that the model records of unconstrained points (draws, size): one chain."""
    from .laplace.density import expansion

    expand = expansion(compiled)
    rows = np.array([expand(point) for point in points])
    names, _, shapes = compiled.shape_info
    variables, at = {}, 0
    for name, shape in zip(names, shapes, strict=True):
        size = int(np.prod(shape))
        values = rows[:, at : at + size].reshape(1, len(points), *shape)
        at += size
        dims = compiled.dims.get(name, tuple(f"{name}_dim_{k}" for k in range(len(shape))))
        if not name.endswith("__"):
            variables[name] = (("chain", "draw", *dims), values)
    used = {dim for dims, _ in variables.values() for dim in dims}
    return xr.Dataset(variables, coords={dim: labels for dim, labels in compiled.coords.items() if dim in used})
