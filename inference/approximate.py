"""The quick look: draws from Laplace's approximation in the form of the sampler's, and what is to be said of them."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ..datasets.errors import UserError
from .cluster import client_in_use
from .cores import available_cores, one_blas_thread
from .laplace.density import Expansion
from .laplace.laplace import laplace
from .laplace.on_workers import EffectsOnWorkers
from .laplace.quick import Quick, quick_posterior
from .psis import good_k
from .sampling import Sampling
from .store import Drawn

APPROXIMATE = (
    "APPROXIMATE: a quick look by Laplace's method, not the full posterior; sample (without --quick, or with method = \"nuts\") "
    "before you publish."
)
MOST_OFF = 0.5  # of log densities by which draws are off, as far as a few are checked; at the worst, as many posterior SDs a mean is off
FEW = 100  # effective draws below which means are not to be trusted either


@one_blas_thread
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
        ``method``, ``pareto_k``, ``effective``, the number of draws that the weighted ones are worth, ``proposals``, and ``left``, the
        standard deviation of what log densities are off by, where it is known.
    found : list of str
        What stands at the head of every output.

    Raises
    ------
    UserError
        Where the posterior has no mode that Laplace's method could start from, or cannot be computed around it.
    """
    found = laplace(compiled, model, study, design, available_cores())
    if found is None:
        raise UserError(
            "the quick look found no mode of this posterior, so that there is nothing to approximate; sample instead "
            '(`equipoise run` without --quick, method = "nuts").'
        )
    client = client_in_use()
    effects = found.effects(available_cores()) if client is None else EffectsOnWorkers(found, client, model, study)
    quick = quick_posterior(effects, settings.draws, settings.seed)
    stats = xr.Dataset({"diverging": (("chain", "draw"), np.zeros((1, settings.draws), bool))})
    tree = xr.DataTree.from_dict({"posterior": recorded(effects.compiled, quick), "sample_stats": stats})
    effective = min(quick.effective, float(settings.draws))
    quality = {"method": "laplace", "pareto_k": round(quick.pareto_k, 3), "effective": round(effective, 1), "proposals": quick.proposals}
    if quick.left and np.isfinite(quick.left):
        quality["left"] = round(quick.left, 3)
    said, limit = [APPROXIMATE], good_k(quick.proposals)
    if not quick.pareto_k <= limit or effective < min(FEW, settings.draws / 2):
        said.insert(
            0,
            f"DO NOT TRUST: the quick look's weights have a Pareto k of {quick.pareto_k:.2f} (limit {limit:.2f}) and are worth "
            f"{effective:.0f} draws (at least {FEW}): it misses parts of this posterior. Sample instead.",
        )
    elif not quick.left <= MOST_OFF:
        if np.isfinite(quick.left):
            reason = f"are off by {quick.left:.2f} from draw to draw (limit {MOST_OFF:g}), as a few draws show for which all was worked out"
        elif np.isnan(quick.left):
            reason = "could be worked out in full for too few different draws to say what they are off by"
        else:
            reason = "are too high: of a few draws for which all was worked out, some have no density at all"
        said.insert(0, f"DO NOT TRUST: log densities of the quick look {reason}. Sample instead.")
    return tree, quality, said


def recorded(compiled, quick: Quick) -> xr.Dataset:
    """All that the model records of the draws, as one chain; large quantities on disk (`store.Drawn`)."""
    expand, draws = Expansion(compiled), quick.chosen.size
    first = expand(quick.draws[quick.chosen[0]])
    dims = {name: compiled.dims.get(name, tuple(f"{name}_dim_{k}" for k in range(value.ndim))) for name, value in first.items()}
    drawn = Drawn(
        {
            name: {"chain": 1, "draw": draws} | dict(zip(dims[name], value.shape, strict=True))
            for name, value in first.items()
        }
    )  # fmt: skip
    for chain, block in drawn.blocks(1, draws, max(value.size for value in first.values())):
        rows = [expand(quick.draws[row]) for row in quick.chosen[block]]
        drawn.write(chain, block, {name: np.stack([row[name] for row in rows]) for name in first})
    used = {dim for names in dims.values() for dim in names}
    return xr.Dataset(drawn.variables(), coords={dim: labels for dim, labels in compiled.coords.items() if dim in used})
