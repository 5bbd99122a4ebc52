"""Convergence and speed of the sampler with the default settings on simulated studies.

    python benchmarks/sampling.py medium            200 clinicians x 25 surveys in 10 units
    python benchmarks/sampling.py weak --seeds 5    three weak panels

One line a study: seconds of sampling, the largest R-hat and the smallest bulk ESS over every parameter and derived
quantity, divergences, tries, and ESS per second of alpha, beta and C* (the slowest clinician's).
"""

import argparse
import warnings

from equipoise import CapacityModel, fit, simulate
from equipoise.datasets import design_study

DESIGNS = {
    "medium": {
        "200 x 25, 10 units": {
            "clinicians": 200, "surveys": 25, "units": 10, "missing": 0.05, "jitter": 0.2,
            "interventions": {"mindfulness": "stepped", "debriefing": "parallel"},
        },
    },
    "weak": {
        "120 x 3, 4 units": {"clinicians": 120, "surveys": 3, "units": 4, "interventions": {"mindfulness": "parallel"}},
        "30 x 8, 2 units": {"clinicians": 30, "surveys": 8, "units": 2, "interventions": {"mindfulness": "parallel"}},
        "12 x 28 days, no units": {
            "clinicians": 12, "surveys": 28, "units": 1, "time_unit": "day", "missing": 0.2,
            "interventions": {"mindfulness": "alternating"},
        },
    },
}  # fmt: skip
TRUTH = {
    "half_life": 2.0, "level": 60.0, "total_sd": 18.0, "variance_shares": [0.4, 0.4, 0.2], "start_shift": 0.0,
    "rate_sd": 0.3, "spread_sd": 0.3, "level_change": 0.1, "speed_up": 0.0, "spread_change": 0.0,
}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", choices=DESIGNS)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    model = CapacityModel()
    for name, arguments in DESIGNS[options.which].items():
        design = design_study(**arguments)
        for seed in range(1, options.seeds + 1):
            study = simulate(model, design, TRUTH, seed=seed).study
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # what failed is in the line printed
                result = fit(model, study, seed=seed, progress=False)
            table, sampling = result.diagnostics, result.facts["sampling"]
            speed = {
                v: table.loc[table["variable"] == v, "ess_bulk"].min() / sampling["seconds"]
                for v in ("alpha", "beta", "capacity")
            }
            worst = table.loc[table["ess_bulk"].idxmin()]
            print(
                f"{name}, seed {seed}: {sampling['seconds']:.0f} s, tries {sampling['tries']}, "
                f"R-hat <= {table['rhat'].max():.4f}, ESS >= {worst['ess_bulk']:.0f} ({worst['quantity']}), "
                f"{result.divergences} divergences; ESS/s " + ", ".join(f"{k} {s:.0f}" for k, s in speed.items()),
                flush=True,
            )


if __name__ == "__main__":
    main()
