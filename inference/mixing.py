"""R-hat and effective sample sizes of many quantities at once (Vehtari et al. 2021, Bayesian Analysis 16).

The numbers are ArviZ's, which takes one quantity after the other.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.special import ndtri
from scipy.stats import rankdata

from .cores import available_cores

TAILS = (0.11, 0.89)  # as ArviZ takes them by default
BLOCK = 500_000  # numbers worked on at once


def mixing(draws: np.ndarray) -> dict[str, np.ndarray]:
    """Measures of each quantity.

    Parameters
    ----------
    draws : float array (chains, draws, quantities)
        Every quantity moves.

    Returns
    -------
    dict of str to float array (quantities)
        ``rhat`` (rank-normalised, the larger of bulk and folded; NaN for one chain), ``ess_bulk``, ``ess_tail`` (the smaller
        of the 11 % and 89 % quantiles'), ``mcse_mean``. NaN for quantities with a NaN, and from fewer than 4 draws.
    """
    chains, length, quantities = draws.shape
    if length < 4:
        return {name: np.full(quantities, np.nan) for name in ("rhat", "ess_bulk", "ess_tail", "mcse_mean")}
    size = max(1, BLOCK // (chains * length))
    with ThreadPoolExecutor(available_cores()) as pool:  # sorting and Fourier transforms let go of the interpreter's lock
        blocks = list(pool.map(lambda at: _measured(draws[:, :, at : at + size].transpose(2, 0, 1)), range(0, quantities, size)))
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


@np.errstate(divide="ignore", invalid="ignore")  # chains that stand still have no variance
def _measured(draws: np.ndarray) -> dict[str, np.ndarray]:
    """The same of one block (quantities, chains, draws)."""
    split = _split(draws)
    flat = draws.reshape(draws.shape[0], -1)
    scores = _normal_scores(split)
    folded = np.abs(split - np.median(split, axis=(1, 2), keepdims=True))
    tails = [_size(_split((draws <= at[:, None, None]).astype(float))) for at in np.quantile(flat, TAILS, axis=1)]
    found = {
        # where chains stand still in different places, the one is infinite and the other is not defined
        "rhat": np.fmax(_rhat(scores), _rhat(_normal_scores(folded))),
        "ess_bulk": _size(scores),
        "ess_tail": np.minimum(*tails),
        "mcse_mean": flat.std(axis=1, ddof=1) / np.sqrt(_size(split)),
    }
    bad = np.isnan(flat).any(axis=1)
    for values in found.values():
        values[bad] = np.nan
    if draws.shape[1] == 1:
        found["rhat"][:] = np.nan
    return found


def _split(draws):
    half = draws.shape[2] // 2
    return np.concatenate([draws[..., :half], draws[..., -half:]], axis=1)


def _normal_scores(draws):
    ranks = rankdata(draws.reshape(draws.shape[0], -1), axis=1).reshape(draws.shape)
    return ndtri((ranks - 3 / 8) / (draws[0].size + 1 / 4))


def _rhat(draws):
    length = draws.shape[2]
    between = length * draws.mean(axis=2).var(axis=1, ddof=1)
    within = draws.var(axis=2, ddof=1).mean(axis=1)
    return np.sqrt((between / within + length - 1) / length)


def _size(draws):
    """Effective sample size of the mean, by Geyer's initial monotone sequence.

    Sums of neighbouring autocorrelations, lags 2j and 2j + 1, count up to the first that is not positive, none of them more than
    the one before.
    """
    quantities, chains, length = draws.shape
    covariance = _autocovariance(draws)
    mean = draws.mean(axis=2)
    within = covariance[:, 0] * length / (length - 1)
    total = covariance[:, 0] + (mean.var(axis=1, ddof=1) if chains > 1 else 0.0)
    still = np.ptp(draws, axis=(1, 2)) < np.finfo(float).resolution
    total = np.where(still, 1.0, total)
    rho = 1 - (within[:, None] - covariance) / total[:, None]
    rho[:, 0] = 1.0
    last = max((length - 4) // 2, 0) + 1  # pairs that are looked at
    even, odd = rho[:, 0 : 2 * last : 2], rho[:, 1 : 2 * last : 2]
    pairs = even + odd
    # pairs before the first that is not positive
    kept = np.where((pairs <= 0).any(axis=1), np.argmax(pairs <= 0, axis=1), last)
    # where none of them is, the last pair looked at is the one that stops
    stop = np.minimum(kept, last - 1)
    counted = np.arange(last) < np.maximum(stop, 0)[:, None]
    sums = np.where(counted, np.minimum.accumulate(pairs, axis=1), 0.0).sum(axis=1)
    # of the pair that stops, the even lag still counts once: above 0, or where it is only that there are no further lags
    at = np.arange(quantities), stop
    more = np.where((even[at] > 0) | (pairs[at] >= 0), even[at], 0.0)
    tau = np.maximum(-1 + 2 * sums + more, 1 / np.log10(chains * length))
    return np.where(still, chains * length, chains * length / tau)


def _autocovariance(draws):
    """Averages over the chains (quantities, lags)."""
    length = draws.shape[2]
    width = next_fast_len(2 * length, real=True)
    spectrum = rfft(draws - draws.mean(axis=2, keepdims=True), n=width, axis=2)
    power = (spectrum.real**2 + spectrum.imag**2).mean(axis=1)
    return irfft(power, n=width, axis=1)[:, :length] / length
