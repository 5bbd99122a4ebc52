"""One band for the ranks of several quantities (Säilynoja, Bürkner & Vehtari 2022, Statistics and Computing 32)."""

from __future__ import annotations

import numpy as np


def pointwise_level(count: int, among: int, quantities: int, level: float) -> float:
    """Tail probability at each rank that holds the band for all ranks and quantities together.

    Exact over the ranks of one quantity. Quantities are taken as independent (Šidák); where they are not, the band is
    wider than it need be, by a few thousandths.

    Parameters
    ----------
    count : int
        Replicates.
    among : int
        Draws that the truth is ranked among: ranks run from 0 to this.
    quantities : int
    level : float
        Probability with which all stay inside if all is right; between this and 1, since counts are whole numbers.
    """
    wanted = level ** (1 / quantities)
    low, high = -40.0, 0.0  # logarithms: at the lower end the band holds, at the upper it does not
    for _ in range(40):
        middle = (low + high) / 2
        held = probability_inside(*limits(count, among, np.exp(middle)), count, among) >= wanted
        low, high = (middle, high) if held else (low, middle)
    return float(np.exp(low))


def limits(count: int, among: int, pointwise: float) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest number of replicates with a rank below 1, 2, ..., ``among``: tails of at least ``pointwise``/2."""
    from scipy import stats

    at = np.arange(1, among + 1) / (among + 1)
    return stats.binom.ppf(pointwise / 2, count, at).astype(int), stats.binom.isf(pointwise / 2, count, at).astype(int)


def probability_inside(low: np.ndarray, high: np.ndarray, count: int, among: int) -> float:
    """Probability that uniform ranks of ``count`` replicates keep all their cumulative counts within limits.

    The numbers of replicates at each rank are independent Poisson numbers given that they sum to ``count``: the sums are
    followed from rank to rank, and those outside are left behind.
    """
    from scipy import stats

    each = stats.poisson.pmf(np.arange(count + 1), count / (among + 1))
    inside = np.zeros(count + 1)
    inside[0] = 1.0
    number = np.arange(count + 1)
    for a, b in zip(low, high, strict=True):
        inside = np.convolve(inside, each)[: count + 1]
        inside[(number < a) | (number > b)] = 0.0
    return float(inside @ each[::-1] / stats.poisson.pmf(count, count))


def reach(ranks: np.ndarray, among: int, pointwise: float) -> tuple[bool, float]:
    """Whether the ranks' distribution stays in the band, and how far it goes.

    Parameters
    ----------
    ranks : int array (replicates)

    Returns
    -------
    inside : bool
    share : float
        Of the way to the band, in standard deviations (normal scores of the tails): 1 at its edge, above 1 outside.
    """
    from scipy import stats

    at = np.arange(1, among + 1) / (among + 1)
    below = np.cumsum(np.bincount(ranks, minlength=among + 1))[:-1]
    tail = np.minimum(stats.binom.cdf(below, ranks.size, at), stats.binom.sf(below - 1, ranks.size, at)).min()
    share = stats.norm.isf(np.maximum(tail, 1e-300)) / stats.norm.isf(pointwise / 2)
    return bool(2 * tail >= pointwise), float(share)
