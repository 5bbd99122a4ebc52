"""Calibration: would intervals from this model and this design hold the truth as often as they say?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..bands import pointwise_level, reach
from .check import Check, not_done

TITLE = "Is the method calibrated on studies like this one?"
LEVEL = 0.99
LEAST = 20  # replicates below which nothing is said
UNCONVERGED = 1.05
ALLOWED = 0.02  # share of replicates that may not have converged
MOST_PANELS = 12


def check(fit, prob: float, evidence: dict | None) -> Check:
    """Ranks of true parameters in studies simulated from the priors on this design; see `refits.calibration`.

    Passes where the ranks of all quantities stay inside one band that holds with 99 % over all of them, and at most 2 % of the
    replicates have an R-hat above 1.05.
    """
    if evidence is None:
        return not_done("calibration", TITLE, "Not done: `equipoise calibrate` fits studies simulated on this design.")
    ranks = {name: np.array(values, int) for name, values in evidence["ranks"].items()}
    count, among = len(evidence["rhat"]), evidence["among"]
    if count < LEAST:
        return not_done("calibration", TITLE, f"{count} replicates are too few to judge; at least {LEAST} are needed.")
    pointwise = pointwise_level(count, among, len(ranks), LEVEL)
    near = {name: reach(values, among, pointwise) for name, values in ranks.items()}
    table = pd.DataFrame({
        "quantity": list(ranks), "share of the way to the band": [near[n][1] for n in ranks],
        "inside": [near[n][0] for n in ranks],
        # uniform ranks have mean L/2 and variance L (L + 2)/12
        "mean rank, standard errors from the middle": [
            (values.mean() - among / 2) / np.sqrt(among * (among + 2) / 12 / count) for values in ranks.values()
        ],
    }).sort_values("share of the way to the band", ascending=False, ignore_index=True)  # fmt: skip
    outside = [name for name in ranks if not near[name][0]]
    unconverged = int((np.array(evidence["rhat"], float) > UNCONVERGED).sum())
    diverged = int((np.array(evidence["divergences"]) > 0).sum())
    said = f"In {count} studies drawn from the priors on this design, the ranks of "
    if outside:
        more = f" and {len(outside) - 6} more" if len(outside) > 6 else ""
        said += (
            f"{', '.join(outside[:6])}{more} leave the {100 * LEVEL:.0f} % band over all {len(ranks)} "
            f"quantities: their intervals do not hold the truth as often as they say."
        )
    else:
        said += f"all {len(ranks)} quantities, the joint log-likelihood among them, stay inside one {100 * LEVEL:.0f} % band."
    said += f" {unconverged} of the refits had R-hat above {UNCONVERGED}, {diverged} a divergent draw."
    passed = not outside and unconverged <= ALLOWED * count
    shown = table["quantity"].head(MOST_PANELS).tolist()
    caption = (
        f"Empirical distribution of the true values' ranks less the uniform, of the {len(shown)} quantities that come nearest the band; "
        f"band: {100 * LEVEL:.0f} % over all {len(ranks)} quantities."
    )
    return Check("calibration", TITLE, passed, said, table, caption=caption,
                 make=lambda: _picture({n: ranks[n] for n in shown}, among, LEVEL ** (1 / len(ranks))))  # fmt: skip


def _picture(ranks: dict[str, np.ndarray], among: int, level: float):
    """`arviz.plot_ecdf_pit` of the ranks."""
    import arviz as az
    import xarray as xr
    from matplotlib import pyplot as plt

    pit = {name: ("sample", (values + 0.5) / (among + 1)) for name, values in ranks.items()}
    tree = xr.DataTree.from_dict({"prior_sbc": xr.Dataset(pit, coords={"sample": np.arange(len(next(iter(ranks.values()))))})})
    rows = -(-len(ranks) // 3)
    drawn = az.plot_ecdf_pit(
        tree, sample_dims=["sample"], method="envelope", envelope_prob=level, stats={"ecdf_pit": {"n_simulations": 10_000}},
        backend="matplotlib", col_wrap=3, figure_kwargs={"figsize": (7.2, 0.6 + 1.5 * rows), "layout": "constrained"},
        visuals={"xlabel": False, "ylabel": False, "title": {"size": 7.5}, "remove_axis": False},
    )  # fmt: skip
    figure = drawn.viz["figure"].item()
    plt.close(figure)  # ours alone: nothing is left open in the session
    return figure
