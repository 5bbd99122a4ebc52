"""Two workers against one: how much faster a LocalCluster of two is, task by task.

    python -P benchmarks/cluster.py                        # every task
    python -P benchmarks/cluster.py calibrate --rounds 5

Both clusters are there all the time, one thread a worker, and each worker has compiled before anything is timed. Rounds are
interleaved: one worker, two workers, one worker ... The same jobs are done each time. Where other work runs on the machine the
clock says little, so what the processor time of the busiest worker would allow stands beside it: how well the work is shared out,
and whether side by side it costs more than one after the other. The rest of a round is what one worker's clock shows beyond its
processor time: sending, waiting, and other people's work.
"""

import argparse
import logging
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from distributed import Client, LocalCluster

from equipoise.inference.over_workers import share_out
from equipoise.inference.refits import calibration
from equipoise.inference.refits.jobs import job_with_context
from equipoise.inference.sampling import Sampling

TASKS: dict[str, Callable] = {}


def task(function):
    """Register a task: a function (jobs) -> Task, by its name."""
    TASKS[function.__name__] = function
    return function


@dataclass(frozen=True)
class Task:
    """What is shared out.

    Attributes
    ----------
    work : function (given, job) of a module
    given : object
    jobs : list of (name, job)
    warm : a job that makes a worker compile all there is to compile
    """

    work: Callable
    given: object
    jobs: list
    warm: object


@task
def calibrate(count: int) -> Task:
    """Replicates of `equipoise calibrate`: 20 clinicians in 4 units, 8 surveys each, 2 chains x 500 draws."""
    sys.path.insert(0, str(Path(__file__).parent / "calibration"))
    from options import OPTIONS

    model, study = OPTIONS["default"]()
    settings = Sampling(500, 400, 2, 1, 0.9)
    given = ("benchmark", calibration.prepare, {"model": model, "study": study, "settings": settings}, calibration.work)
    return Task(job_with_context, given, [(f"replicate {n}", n) for n in range(count)], 0)


@task
def quick(count: int) -> Task:
    """Inner steps of the quick look at 1,000 clinicians x 20: effects integrated out at 8 points of the population's parameters a job."""
    import numpy as np

    from equipoise import CapacityModel, datasets, simulate
    from equipoise.inference.chains import Source
    from equipoise.inference.laplace.coordinates import coordinates_of
    from equipoise.inference.laplace.on_workers import values_at
    from equipoise.inference.sampling import compile_model, well_scaled

    model = CapacityModel()
    planned = datasets.design_study(clinicians=1000, surveys=20, units=50, seed=1, interventions={"coaching": "stepped"})
    study = simulate(model, planned, {"half_life": 4.0}, seed=1).study
    source = Source(model, study, coordinates_of(well_scaled(compile_model(model.build(study)), model, study)))
    points = np.random.default_rng(1).standard_normal((count + 1, 8, source.coordinates.structure.population.size))
    jobs = [(f"points {n}", (batch, [[1, n, k] for k in range(8)], False)) for n, batch in enumerate(points)]
    return Task(values_at, (source.key, source), jobs[1:], jobs[0][1])


def processor_time(client) -> dict[str, float]:
    """Seconds of each worker's processors so far."""
    return client.run(time.process_time)


def once(client, made: Task) -> tuple[float, list[float]]:
    """Seconds by the clock, and of the processors of each worker."""
    before, started = processor_time(client), time.perf_counter()
    done = dict(share_out(client, made.work, made.given, made.jobs))
    took = time.perf_counter() - started
    assert len(done) == len(made.jobs)
    after = processor_time(client)
    return took, [after[w] - before[w] for w in after]


def warm(client, made: Task) -> None:
    """Let every worker compile, one after the other: the second finds the first's code on disk."""
    for worker in client.nthreads():
        client.submit(made.work, made.given, made.warm, workers=[worker], pure=False).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", nargs="*", help=f"of {', '.join(TASKS)}; all without one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=16)
    asked = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    print("| task | one worker, s | two workers, s | ratio by the clock (each round) | ratio by the busiest worker's processor time "
          "| more processor time side by side | sending and waiting, one worker, s |\n|---|---|---|---|---|---|---|")  # fmt: skip
    quiet = {"threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": logging.ERROR}
    with (
        LocalCluster(n_workers=1, **quiet) as one, LocalCluster(n_workers=2, **quiet) as two,
        Client(one, set_as_default=False) as alone, Client(two, set_as_default=False) as both,
    ):  # fmt: skip
        for name in asked.task or TASKS:
            made = TASKS[name](asked.jobs)
            warm(alone, made)
            warm(both, made)
            rounds = [(once(alone, made), once(both, made)) for _ in range(asked.rounds)]
            row(f"{name}, {len(made.jobs)} jobs", rounds)


def row(name: str, rounds: list) -> None:
    clock = [[r[k][0] for r in rounds] for k in (0, 1)]
    ratios = [a / b for a, b in zip(*clock, strict=True)]
    alone = [sum(r[0][1]) for r in rounds]
    busiest = [max(r[1][1]) for r in rounds]
    total = [sum(r[1][1]) for r in rounds]
    middle = statistics.median
    print(
        f"| {name} | {min(clock[0]):.1f} | {min(clock[1]):.1f} | {middle(ratios):.2f} ({', '.join(f'{r:.2f}' for r in ratios)}) "
        f"| {middle(a / b for a, b in zip(alone, busiest, strict=True)):.2f} "
        f"| {100 * (middle(total) / middle(alone) - 1):.0f} % | {min(c - a for c, a in zip(clock[0], alone, strict=True)):.1f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
