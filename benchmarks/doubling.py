"""How often the check of twice the draws is wrong where two runs are of the same posterior.

    python benchmarks/doubling.py

Draws of known distributions (normal, lognormal, exponential) with the autocorrelation of a sampler, 4 chains of 500 or 1000
against twice as many; 400 numbers (means, medians, ends of intervals of 100 quantities) a pair of runs.
"""

import argparse
from itertools import product

import numpy as np
from scipy import stats
from scipy.signal import lfilter

from equipoise.inference.refits.agreement import _error, _value, limit

SHAPES = {"normal": lambda x: x, "lognormal": np.exp, "exponential": lambda x: stats.expon.ppf(stats.norm.cdf(x))}
NUMBERS = {"mean": None, "low": 0.055, "median": 0.5, "high": 0.945}
QUANTITIES = 100


def chains(rng, draws, rho):
    """Standard normal autoregressive chains (4, draws, quantities)."""
    fresh = rng.standard_normal((4, draws, QUANTITIES))
    fresh[:, 1:] *= np.sqrt(1 - rho**2)
    return lfilter([1], [1, -rho], fresh, axis=1)


def main(pairs):
    most, normal = limit(4 * QUANTITIES), float(stats.norm.isf((1 - 0.99 ** (1 / (4 * QUANTITIES))) / 2))
    print(f"{pairs} pairs of runs each; limit {most:.2f} (normal: {normal:.2f}) for {4 * QUANTITIES} numbers")
    total = np.zeros(2)
    for (shape, moved), draws, rho in product(SHAPES.items(), (500, 1000), (0.0, 0.8)):
        rng = np.random.default_rng([draws, int(10 * rho), len(shape)])
        alarms, beyond, spread = np.zeros(2, int), [], {}
        for _ in range(pairs):
            one, two = moved(chains(rng, draws, rho)), moved(chains(rng, 2 * draws, rho))
            z = {n: np.abs(_value(two, p) - _value(one, p)) / np.hypot(_error(one, p), _error(two, p)) for n, p in NUMBERS.items()}
            every = np.concatenate(list(z.values()))
            alarms += [every.max() > most, every.max() > normal]
            beyond.append((every > 1.96).mean())
            for name, values in z.items():
                spread.setdefault(name, []).append((values**2).mean())
        total += alarms
        print(
            f"{shape:12s} {draws:5d} draws, autocorrelation {rho}: alarms {alarms[0]} (by the normal limit {alarms[1]}), beyond 1.96: "
            f"{100 * np.mean(beyond):.1f} %; SD of z " + ", ".join(f"{n} {np.sqrt(np.mean(v)):.2f}" for n, v in spread.items()),
            flush=True,
        )
    count = pairs * len(SHAPES) * 4
    print(f"alarms in all: {100 * total[0] / count:.1f} % (by the normal limit {100 * total[1] / count:.1f} %)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=50)
    main(parser.parse_args().pairs)
