"""Coverage of the 89 % intervals and bias of the estimands at fixed true effects, design by design.

    python benchmarks/trials/coverage.py --studies 60
    python benchmarks/trials/coverage.py --report

Effects: none; small (C* up by 6 %, half a standard error or so in these studies); large (C* up by 22 %); in both,
replenishment does three quarters of it and more. Everything else is at the same plausible truth, which is not the priors'
centre. Scores follow the model exactly. The run is resumable, as that of ``calibration.py``.
"""

import argparse
import time

import numpy as np
import pandas as pd
from designs import TRIALS, trial
from refit import ESTIMANDS, Estimates
from tables import RESULTS, append, done

from equipoise import simulate
from equipoise.models.parameters import parameter_table

EFFECTS = {
    "none": {"level_change": 0.0, "speed_up": 0.0},
    "small": {"level_change": 0.06, "speed_up": 0.06},
    "large": {"level_change": 0.2, "speed_up": 0.2},
}
TRUTH = {
    "level": 50.0, "half_life": 2.0, "total_sd": 18.0, "variance_shares": [0.4, 0.4, 0.2], "rate_sd": 0.25, "spread_sd": 0.25,
    "level_rate_concordance": 0.5, "unit_level_sd": 0.05, "unit_rate_sd": 0.05, "start_shift": -2.0, "start_sd_ratio": 1.0,
    "spread_change": 0.0, "selection": 0.0, "effect_unit_sd": 0.04, "effect_clinician_sd": 0.04,
    "period_effect": [0.04, 0.02, 0.0, -0.01, -0.02, -0.03], "drift": 0.05,
}  # fmt: skip


def run(name, studies):
    model, study = trial(name)
    refit = None
    for effect, given in EFFECTS.items():
        file = RESULTS / f"effects_{name}_{effect}.csv"
        for seed in range(done(file), studies):
            refit = refit or Estimates(model, study)
            names = {p.name for p in parameter_table(model, study, refit.design)}
            fixed = {n: v for n, v in (TRUTH | given).items() if n in names}
            started = time.perf_counter()
            new = simulate(model, study, fixed, seed=seed, rounded=False)
            truth = refit.truth(new)
            draws, divergences, rhat = refit.estimate(new, seed)
            row = {"seed": seed, "divergences": divergences, "rhat": rhat}
            for estimand in ESTIMANDS:
                low, high = np.quantile(draws[estimand], (0.055, 0.945))
                row[f"{estimand}_covered"] = int(low <= truth[estimand] <= high)
                row[f"{estimand}_error"] = draws[estimand].mean() - truth[estimand]
                row[f"{estimand}_sd"] = draws[estimand].std()
            append(file, row)
        print(f"{name}, {effect}: {time.perf_counter() - started if refit else 0:.1f} s for the last", flush=True)


def report():
    rows = []
    for name in TRIALS:
        for effect in EFFECTS:
            file = RESULTS / f"effects_{name}_{effect}.csv"
            if not done(file):
                continue
            table = pd.read_csv(file)
            root = len(table) ** 0.5
            row = {"design": name, "effect": effect, "n": len(table)}
            for e in ESTIMANDS:
                covered, error = table[f"{e}_covered"], table[f"{e}_error"]
                row[f"{e}: coverage (MC error)"] = f"{100 * covered.mean():.0f} % ({100 * covered.std() / root:.0f})"
                row[f"{e}: bias (MC error)"] = f"{error.mean():.2f} ({error.std() / root:.2f})"
            rows.append(row)
    table = pd.DataFrame(rows)
    print("| " + " | ".join(table.columns) + " |\n|" + "---|" * len(table.columns))
    for row in table.itertuples(index=False):
        print("| " + " | ".join(map(str, row)) + " |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=60)
    parser.add_argument("--design", choices=list(TRIALS), nargs="*", default=list(TRIALS))
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    if not options.report:
        for chosen in options.design:
            run(chosen, options.studies)
    report()
