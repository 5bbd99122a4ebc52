"""The change of C* against a linear mixed model's treatment effect, where both estimate the same thing.

    python benchmarks/trials/textbook.py --studies 5

A randomised trial with long follow-up and fast dynamics: 60 clinicians, 60 weekly surveys, half-life a quarter of a week, half
of the clinicians treated from week 10 on. The mixed model is that of statsmodels: score ~ treated + (1 | clinician), REML.
The prior of the change is vague, and everybody's spread is the same, so that neither shrinks nor weighs. Our effect is in
proportion to a clinician's C*, the mixed model's the same number of points for all: clinicians differ little here (SD 6 points
around 50), so that both are nearly one. The difference is in standard errors of the mixed model's effect; a quarter is allowed.
"""

import argparse

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf
from designs import study

from equipoise import CapacityModel, fit, simulate

MODEL = CapacityModel(
    design="parallel_trial", secular="none", spread="shared_omega", start="stationary",
    priors={"level_change": {"mean": 0, "sd": 1}, "speed_up": {"mean": 0, "sd": 0.35}, "half_life": {"median": 0.25, "factor": 2}},
)  # fmt: skip
TRUTH = {
    "level": 50.0, "half_life": 0.25, "total_sd": 18.0, "variance_shares": [0.1, 0.6, 0.3], "rate_sd": 0.1,
    "level_rate_concordance": 0.5, "level_change": 0.1, "speed_up": 0.0,
}  # fmt: skip


def one(seed):
    planned = study(60, 60, 1, lambda i, u: [(10.0, None)] if i % 2 else [])
    new = simulate(MODEL, planned, TRUTH, seed=seed, rounded=False)
    occasions = new.study.occasions
    frame = pd.DataFrame({
        "score": new.study.surveys["capacity"].to_numpy(), "who": occasions["clinician"].to_numpy(),
        "treated": ((occasions["clinician"] % 2 == 1) & (occasions["time"] > 10)).astype(float).to_numpy(),
    }).dropna()  # fmt: skip
    mixed = smf.mixedlm("score ~ treated", frame, groups=frame["who"]).fit()
    effect, error = mixed.params["treated"], mixed.bse["treated"]
    ours = fit(MODEL, new.study, draws=1000, tune=700, seed=seed, progress=False).tree["contrasts"]["capacity_change"]
    truth = new.effects["capacity_change"].item()
    return effect, error, float(ours.mean()), float(ours.std()), (float(ours.mean()) - effect) / error, truth


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=5)
    import warnings

    warnings.simplefilter("ignore", UserWarning)
    rows = [one(seed) for seed in range(parser.parse_args().studies)]
    table = pd.DataFrame(rows, columns=["mixed model", "its SE", "ours", "our SD", "difference in SE", "truth"])
    print(table.round(3).to_string())
    print("largest difference:", np.abs(table["difference in SE"]).max().round(3), "standard errors")
