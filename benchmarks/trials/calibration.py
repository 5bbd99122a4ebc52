"""Simulation-based calibration of the estimands, design by design (Talts et al. 2018).

    python benchmarks/trials/calibration.py --studies 200
    python benchmarks/trials/calibration.py --report

Parameters are drawn from the priors, scores from the model; the model is compiled once for each design and refitted with new
scores. Ranks of the true estimands among thinned draws must be uniform: their empirical distribution stays inside one band
that holds with 99 % over all ranks and estimands of a design (Säilynoja et al. 2022; the estimands are treated as
independent, which makes the band wider than it need be where they are not, by a few thousandths). Seeds are the numbers of the studies, so
that designs with as many clinicians and units share their draws from the prior. Results are appended to
``results/calibration_DESIGN.csv`` study by study, so that a run that was stopped goes on where it was.
"""

import argparse
import time

import numpy as np
import pandas as pd
from designs import TRIALS, trial
from refit import ESTIMANDS, Estimates
from tables import RESULTS, append, done

from equipoise import simulate
from equipoise.inference.bands import pointwise_level, reach

RANKS = 99  # draws that the truth is ranked among: of 100 possible ranks
LEVEL = 0.99


def run(name, studies):
    file = RESULTS / f"calibration_{name}.csv"
    model, study = trial(name)
    begun = done(file)
    if begun >= studies:
        return
    refit = Estimates(model, study)
    for seed in range(begun, studies):
        started = time.perf_counter()
        new = simulate(model, study, seed=seed, rounded=False)
        truth = refit.truth(new)
        draws, divergences, rhat = refit.estimate(new, seed)
        row = {"seed": seed, "divergences": divergences, "rhat": rhat, "seconds": time.perf_counter() - started}
        for estimand in ESTIMANDS:
            values = draws[estimand]
            chosen = values[np.linspace(0, values.size - 1, RANKS).astype(int)]
            row[estimand] = int((chosen < truth[estimand]).sum())
        append(file, row)
        print(f"{name} {seed}: {row['seconds']:.1f} s, {divergences} divergent, R-hat {rhat:.3f}", flush=True)


def report():
    rows = []
    for name in TRIALS:
        file = RESULTS / f"calibration_{name}.csv"
        if not done(file):
            continue
        table = pd.read_csv(file)
        pointwise = pointwise_level(len(table), RANKS, len(ESTIMANDS), LEVEL)
        row = {"design": name, "studies": len(table)}
        for estimand in ESTIMANDS:
            held, share = reach(table[estimand].to_numpy(), RANKS, pointwise)
            row[estimand] = f"{'in' if held else 'OUT'} {share:.2f}"
        row["diverged"] = int((table["divergences"] > 0).sum())
        row["R-hat > 1.05"] = int((table["rhat"] > 1.05).sum())
        row["s a study"] = round(table["seconds"].median(), 1)
        rows.append(row)
    print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--design", choices=list(TRIALS), nargs="*", default=list(TRIALS))
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    if not options.report:
        for chosen in options.design:
            run(chosen, options.studies)
    report()
