"""One band for the ranks of several quantities (Säilynoja, Bürkner & Vehtari 2022, Statistics and Computing 32)."""

from __future__ import annotations

import numpy as np

SIMULATIONS = 40_000


def pointwise_level(count: int, among: int, quantities: int, level: float, simulations: int = SIMULATIONS, seed: int = 0) -> float:
    """Tail probability at each rank that holds the band for all ranks and quantities together.

    Quantities are taken as independent (Šidák); where they are not, the band is wider than it need be, by a few thousandths.

    Parameters
    ----------
    count : int
        Replicates.
    among : int
        Draws that the truth is ranked among: ranks run from 0 to this.
    quantities : int
    level : float
        Probability with which all stay inside if all is right.
    """
    tails = _tails(count, among)
    rng = np.random.default_rng(seed)
    least = np.empty(simulations)
    at = np.arange(among)
    for s in range(simulations):
        below = np.cumsum(np.bincount(rng.integers(0, among + 1, count), minlength=among + 1))[:-1]
        least[s] = tails[at, below].min()
    return float(np.quantile(least, 1 - level ** (1 / quantities)))


def reach(ranks: np.ndarray, among: int, pointwise: float) -> tuple[bool, float]:
    """Whether the ranks' distribution stays in the band, and how near it comes (1: at the edge; above 1: outside).

    Parameters
    ----------
    ranks : int array (replicates)
    """
    below = np.cumsum(np.bincount(ranks, minlength=among + 1))[:-1]
    low, high = limits(ranks.size, among, pointwise)
    middle = ranks.size * np.arange(1, among + 1) / (among + 1)
    share = np.where(below > middle, (below - middle) / np.maximum(high - middle, 1), (middle - below) / np.maximum(middle - low, 1))
    return bool(((below >= low) & (below <= high)).all()), float(share.max())


def limits(count: int, among: int, pointwise: float) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest number of replicates with a rank up to 0, 1, ..., ``among`` - 1."""
    from scipy import stats

    at = np.arange(1, among + 1) / (among + 1)
    return stats.binom.ppf(pointwise / 2, count, at), stats.binom.isf(pointwise / 2, count, at)


def _tails(count: int, among: int) -> np.ndarray:
    """Twice the smaller tail of every number of replicates with a rank up to each (ranks x numbers)."""
    from scipy import stats

    at = np.arange(1, among + 1)[:, None] / (among + 1)
    number = np.arange(count + 1)[None]
    return 2 * np.minimum(stats.binom.cdf(number, count, at), stats.binom.sf(number - 1, count, at))
