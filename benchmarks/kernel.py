"""Cost of the likelihood with all gradients, per survey row: packed kernel (plain, integrated, two threads) and scalar reference.

python benchmarks/kernel.py

The versions take turns, so that a busy machine slows all of them; the ratios are medians over the turns.
"""

import time

import numpy as np

from equipoise.models.likelihood.gradients import log_scale_gradients
from equipoise.models.likelihood.packing import pack
from equipoise.models.likelihood.side_by_side import VERSIONS, threads_are_safe

SIZES = ((100, 40, 2), (1000, 40, 2), (4000, 40, 2), (50_000, 20, 2), (1000, 40, 40), (5000, 3, 2))
TURN = 0.01  # s: a turn repeats a version for about so long


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
    return data, i["owner"], (np.zeros((clinicians, 3)), logs, *rest)


def versions(clinicians, surveys, epochs):
    """What is timed, by name: functions without arguments."""
    data, owner, parameters = problem(clinicians, surveys, epochs)
    packed = tuple(pack(*data).values())
    none = np.zeros((1, 0))
    plain, integrated = ((*parameters[:2], none, *parameters[n:]) for n in (4, 2))
    calls = {
        "scalar": lambda: log_scale_gradients(*data, owner, *parameters),
        "plain": lambda: VERSIONS[False, False](1, packed, plain),
        "integrated": lambda: VERSIONS[True, False](1, packed, integrated),
    }
    if threads_are_safe():
        calls["plain, 2 threads"] = lambda: VERSIONS[False, True](2, packed, plain)
        calls["integrated, 2 threads"] = lambda: VERSIONS[True, True](2, packed, integrated)
    return calls


def once(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def take_turns(calls, turns=30):
    """Seconds a call (versions x turns); within a turn the quickest of its repeats counts."""
    repeats = {name: max(1, int(TURN / min(once(call) for _ in range(2)))) for name, call in calls.items()}
    times = [[min(once(call) for _ in range(repeats[name])) for name, call in calls.items()] for _ in range(turns)]
    return dict(zip(calls, np.transpose(times), strict=True))


def main():
    print("ns per survey row, median over turns (least); ratios are medians within turns")
    plain_at = {}
    for clinicians, surveys, epochs in SIZES:
        times = take_turns(versions(clinicians, surveys, epochs))
        rows = clinicians * surveys
        print(f"{clinicians:,} x {surveys}, {epochs} epochs a clinician")
        for name, seconds in times.items():
            print(f"    {name:22s} {1e9 * np.median(seconds) / rows:6.1f} ({1e9 * seconds.min() / rows:.1f})")

        def ratio(a, b, times=times):
            return np.median(times[a] / times[b])

        plain_at[clinicians, surveys, epochs] = 1e9 * np.median(times["plain"]) / rows
        parts = [f"scalar / integrated {ratio('scalar', 'integrated'):.1f}", f"integrated / plain {ratio('integrated', 'plain'):.2f}"]
        parts += [f"1 / 2 threads, {n} {ratio(n, n + ', 2 threads'):.2f}" for n in ("plain", "integrated") if n + ", 2 threads" in times]
        print("    " + "; ".join(parts))
    print(f"plain, 50,000 x 20 / 1,000 x 40: {plain_at[50_000, 20, 2] / plain_at[1000, 40, 2]:.2f}")


if __name__ == "__main__":
    main()
