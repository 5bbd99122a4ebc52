"""Coverage of the 89 % intervals over simulated studies of the bundled design (truth known).

    python benchmarks/coverage.py --studies 50
    python benchmarks/coverage.py --studies 50 --from-prior

By default every study has the bundled study's parameters and rounded scores. With ``--from-prior`` parameters are drawn
from the priors and scores follow the model exactly: there, coverage must be 89 % if the computation is right.

The model is compiled once and refitted with new scores. Results are appended to ``results/coverage*.csv`` one study
at a time, so that a run that was stopped goes on where it was.
"""

import argparse
import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd

from equipoise.inference.derive import derive
from equipoise.inference.refits.refit import Refit
from equipoise.inference.sampling import Sampling

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"


def bundled():
    spec = importlib.util.spec_from_file_location("bundled", ROOT / "reports/papers/example/simulate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def covered(draws, truth):
    """Share of true values inside the equal-tailed 89 % interval, over the last axis."""
    low, high = np.quantile(draws, [0.055, 0.945], axis=(0, 1))
    return float(np.mean((low <= truth) & (truth <= high)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=50)
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--tune", type=int, default=400)
    parser.add_argument("--from-prior", action="store_true")
    options = parser.parse_args()
    out = RESULTS / ("coverage_prior.csv" if options.from_prior else "coverage.csv")
    from equipoise import simulate

    example = bundled()
    design = example.bundled_study()[0].study
    model = example.MODEL
    refit = Refit(model, design)
    out.parent.mkdir(exist_ok=True)
    done = pd.read_csv(out) if out.exists() else pd.DataFrame()
    for seed in range(len(done), options.studies):
        given = None if options.from_prior else example.PARAMETERS
        new = simulate(model, design, given, seed=seed, rounded=not options.from_prior)
        settings = Sampling(draws=options.draws, tune=options.tune, chains=2, seed=seed)
        fitted = refit.sample(new.study.surveys["capacity"].to_numpy(), settings, tries=1)
        posterior = fitted.posterior
        quantities, contrasts, *_ = derive(fitted.draws, np.random.default_rng(seed))
        row = {"seed": seed, "divergences": fitted.divergences}
        row["alpha"] = covered(quantities["alpha"].to_numpy(), new.clinicians["alpha"].to_numpy())
        row["beta"] = covered(posterior["beta"].to_numpy(), new.clinicians["beta"].to_numpy())
        row["capacity"] = covered(quantities["capacity"].to_numpy(), new.clinicians["capacity"].to_numpy())
        row["capacity_unit"] = covered(posterior["capacity_unit"].to_numpy(), new.units["capacity"].to_numpy())
        row["beta_unit"] = covered(posterior["beta_unit"].to_numpy(), new.units["beta"].to_numpy())
        for name in ("theta_alpha", "theta_beta"):
            row[name] = covered(posterior[name].to_numpy(), new.effects[name].to_numpy())
        row["capacity_change"] = covered(contrasts["capacity_change"][1], new.effects["capacity_change"].to_numpy())
        for name in ("half_life", "level", "total_sd", "rate_sd", "spread_sd"):
            row[name] = covered(posterior[name].to_numpy()[..., None], np.array([new.parameters[name]]))
        log_half_life = np.log(posterior["half_life"].to_numpy())
        row["half_life_z"] = (log_half_life.mean() - np.log(new.parameters["half_life"])) / log_half_life.std()
        pd.DataFrame([row]).to_csv(out, mode="a", header=not out.exists(), index=False)
        print(f"study {seed}: " + ", ".join(f"{k} {row[k]:.2f}" for k in ("alpha", "beta", "capacity")), flush=True)
    table = pd.read_csv(out).drop(columns="seed")
    summary = pd.DataFrame({"mean": table.mean(), "mc_error": table.std() / np.sqrt(len(table))})
    print(f"{len(table)} studies of the bundled design, 89 % intervals\n{summary.round(3).to_string()}")


if __name__ == "__main__":
    main()
