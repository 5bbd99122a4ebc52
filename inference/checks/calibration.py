"""Calibration: would intervals from this model and this design hold the truth as often as they say?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...datasets.errors import list_some
from ..bands import limits, pointwise_level, reach
from ..convergence import REFIT_RHAT
from .check import Check, not_done
from .drawing import FIRST, few_ticks, grid_colour, muted, panels, shortened

TITLE = "Is the method calibrated on studies like this one?"
LEVEL = 0.99
LEAST = 100  # replicates below which nothing is said
ALLOWED = 0.02  # share of replicates that may not have converged
MOST_PANELS, COLUMNS = 12, 3
MOST_NAMED = 6
SHIFTED = 3.0  # standard errors


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
    found = {name: reach(values, among, pointwise) for name, values in ranks.items()}
    # uniform ranks have mean L/2 and variance L (L + 2)/12
    error = np.sqrt(among * (among + 2) / 12 / count)
    table = pd.DataFrame({
        "quantity": list(ranks), "share of the way to the band": [share for _, share in found.values()],
        "inside": [inside for inside, _ in found.values()],
        "looks": ["" if found[name][0] else how(ranks[name], among) for name in ranks],
        "mean rank, standard errors from the middle": [(values.mean() - among / 2) / error for values in ranks.values()],
    }).sort_values("share of the way to the band", ascending=False, ignore_index=True)  # fmt: skip
    outside = table[~table["inside"]].set_index("quantity")["looks"]
    unconverged = int((np.array(evidence["rhat"], float) > REFIT_RHAT).sum())
    diverged = int((np.array(evidence["divergences"]) > 0).sum())
    few = int((np.array(evidence["ess"], float) < among).sum())
    said = f"In {count} studies drawn from the priors on this design, the ranks of "
    if len(outside):
        shown = list_some([f"{name} ({looks})" for name, looks in outside.items()], MOST_NAMED)
        said += (
            f"{shown} leave the {100 * LEVEL:.0f} % band over all {len(ranks)} quantities (up to "
            f"{table['share of the way to the band'][0]:.1f} times as far): their intervals do not hold the truth as often as they say."
        )
    else:
        said += (
            f"all {len(ranks)} quantities, the joint log-likelihood among them, stay inside one {100 * LEVEL:.0f} % band (the nearest, "
            f"{table['quantity'][0]}, goes {100 * table['share of the way to the band'][0]:.0f} % of the way)."
        )
    said += f" {unconverged} of the refits had R-hat above {REFIT_RHAT}, {diverged} a divergent draw."
    if few:
        said += f" In {few} a quantity had an effective sample size below the {among} draws that it is ranked among."
    failed = evidence.get("failed", 0)
    if failed:
        said += f" {failed} more could not be fitted at all: their priors allow studies for which the sampler finds no start."
    passed = not len(outside) and unconverged + failed <= ALLOWED * (count + failed)
    nearest = table["quantity"].head(MOST_PANELS).tolist()
    caption = (
        f"Empirical distribution of the true values' ranks (0 to 1) less the uniform, of the {len(nearest)} quantities that come nearest "
        f"the band; shaded: the band, {100 * LEVEL:.0f} % over all {len(ranks)} quantities. A hump: truths rank low, estimates are too "
        f"high; a dip: too low; up, then down: intervals are too narrow; down, then up: too wide."
    )
    return Check(
        "calibration", TITLE, passed, said, table, caption=caption, height=0.6 + 1.5 * -(-len(nearest) // COLUMNS),
        draw=lambda figure: _draw(figure, {name: ranks[name] for name in nearest}, among, pointwise),
    )  # fmt: skip


def how(ranks: np.ndarray, among: int) -> str:
    """In what way ranks differ from the uniform: by their mean, where that is beyond chance, or by their spread."""
    shift = ranks.mean() - among / 2
    if abs(shift) > SHIFTED * ranks.std() / np.sqrt(ranks.size):
        return "estimated too low" if shift > 0 else "estimated too high"
    # the variance of uniform ranks is L (L + 2)/12
    return "intervals too narrow" if ranks.var() > among * (among + 2) / 12 else "intervals too wide"


def _draw(figure, ranks: dict[str, np.ndarray], among: int, pointwise: float) -> None:
    """`arviz.plot_ecdf_pit` of the ranks, in axes of ours; the band is the one that is judged by."""
    import arviz as az
    import xarray as xr

    axes = panels(figure, len(ranks), COLUMNS)
    pit = xr.Dataset({name: ("sample", (values + 0.5) / (among + 1)) for name, values in ranks.items()})
    places = xr.DataTree.from_dict({
        "/": xr.Dataset({"figure": np.array(figure, dtype=object)}),
        "plot": xr.Dataset({name: np.array(part, dtype=object) for name, part in zip(ranks, axes, strict=True)}),
    })  # fmt: skip
    drawn = az.plot_ecdf_pit(
        xr.DataTree.from_dict({"prior_sbc": pit}), sample_dims=["sample"],
        plot_collection=az.PlotCollection(pit, places, backend="matplotlib"),
        visuals={"ecdf_lines": {"color": FIRST}, "suspicious_points": False, "p_value_text": False,
                 "title": False, "xlabel": False, "ylabel": False},
    )  # fmt: skip
    count = len(next(iter(ranks.values())))
    low, high = (np.concatenate([[0], ends, [count]]) / count for ends in limits(count, among, pointwise))
    at = np.linspace(0, 1, among + 2)
    for name, part in zip(ranks, axes, strict=True):
        part.fill_between(at, low - at, high - at, color=grid_colour(), zorder=0, linewidth=0)
        drawn.viz["ref_line"][name].item().set_color(muted())
        part.set_title(shortened(name), fontsize=8)
        most = max(part.get_ylim()[1], 1.1 * np.abs(high - at).max())
        part.set_ylim(-most, most)
        few_ticks(part.yaxis, 4)
