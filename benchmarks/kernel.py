"""Cost of the likelihood with all gradients, the level integrated, per survey row on one core.

python benchmarks/kernel.py
"""

import time

import numpy as np

from equipoise.models.likelihood.filter import log_likelihood_and_gradients, log_scale_gradients


def problem(clinicians, surveys, epochs_per_clinician, seed=0):
    """Arrays of the likelihood's form: one score, irregular gaps, epochs shared evenly by a clinician's surveys."""
    rng = np.random.default_rng(seed)
    rows = clinicians * surveys
    who, place = np.divmod(np.arange(rows), surveys)
    gap = rng.gamma(4, 0.25, rows)
    gap[::surveys] = 0
    integer = {
        "offset": np.arange(0, rows + 1, surveys),
        "prelude": np.zeros(clinicians),
        "epoch": who * epochs_per_clinician + place * epochs_per_clinician // surveys,
        "survey": np.arange(rows),
        "base": np.arange(clinicians) * epochs_per_clinician,
        "indicator": np.zeros(rows),
        "owner": np.repeat(np.arange(clinicians), epochs_per_clinician),
    }
    i = {name: values.astype(np.int32) for name, values in integer.items()}
    count = clinicians * epochs_per_clinician
    data = (
        i["offset"], i["prelude"], gap, i["epoch"], i["survey"], i["base"], rng.normal(50, 15, rows), np.ones(rows),
        i["indicator"], np.ones(clinicians),
    )  # fmt: skip
    rest = (
        rng.normal(0, 0.1, clinicians), np.full(clinicians, 0.04), np.zeros(clinicians), np.full(clinicians, 80.0),
        np.zeros(1), np.ones(1), np.full(1, 40.0),
    )  # fmt: skip
    logs = np.column_stack([rng.normal(4, 0.1, count), rng.normal(-1, 0.2, count), rng.normal(2, 0.1, count)])
    natural = (np.exp(logs[:, 0]), np.exp(logs[:, 1]), np.exp(2 * logs[:, 2]), *rest)
    return data, natural, (i["owner"], np.zeros((clinicians, 3)), logs, *rest)


def nanoseconds(call, rows, repeats=25):
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e9 * np.median(times) / rows, 1e9 * min(times) / rows


def main():
    print("clinicians x surveys, epochs   filter and adjoint       with exponentials of every epoch   (ns a row)")
    for clinicians, surveys, epochs in ((100, 40, 2), (1000, 40, 2), (4000, 40, 2), (1000, 40, 40), (200, 25, 3)):
        data, natural, log_scale = problem(clinicians, surveys, epochs)
        rows = clinicians * surveys
        plain = nanoseconds(lambda d=data, n=natural: log_likelihood_and_gradients(*d, *n), rows)
        full = nanoseconds(lambda d=data, g=log_scale: log_scale_gradients(*d, *g), rows)
        print(
            f"{clinicians:6d} x {surveys:2d}, {epochs:2d}              median {plain[0]:5.1f}, min {plain[1]:5.1f}"
            f"       median {full[0]:5.1f}, min {full[1]:5.1f}"
        )


if __name__ == "__main__":
    main()
