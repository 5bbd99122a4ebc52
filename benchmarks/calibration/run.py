"""Simulation-based calibration of the default model and of each of its options.

    python benchmarks/calibration/run.py default --replicates 500
    python benchmarks/calibration/run.py --replicates 100            # every option; resumable
    python benchmarks/calibration/run.py --report

A small design: 20 clinicians in 4 units, 8 surveys each. Ranks are appended to ``benchmarks/results/ranks_OPTION.jsonl``
replicate by replicate. The band is simultaneous at 99 % over all ranks and all quantities of an option.
"""

import argparse
import resource
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))
from options import OPTIONS

from equipoise.inference.bands import pointwise_level, reach
from equipoise.inference.refits.calibration import calibrate
from equipoise.inference.refits.ledger import Ledger

RESULTS = Path(__file__).parents[1] / "results"
LEVEL = 0.99


def run(name, replicates, workers):
    model, study = OPTIONS[name]()
    started, used = time.perf_counter(), _processor_time()
    calibrate(model, study, replicates=replicates, ledger=Ledger(file_of(name), name), workers=workers, progress=name)
    took, used = time.perf_counter() - started, _processor_time() - used
    print(f"{name}: {took:.0f} s, {used:.0f} s of processor time, for what was missing of {replicates}", flush=True)


def file_of(name):
    return RESULTS / f"ranks_{name}.jsonl"


def _processor_time():
    """Of this process and of those it has started that have ended: compiling, sampling, everything."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, kinds))


def report():
    rows = []
    for name in OPTIONS:
        file = file_of(name)
        done = list(Ledger(file, name).results.values()) if file.exists() else []
        if len(done) < 20:
            continue
        quantities = list(done[0]["ranks"])
        pointwise = pointwise_level(len(done), 99, len(quantities), LEVEL)
        near = {q: reach(np.array([r["ranks"][q] for r in done]), 99, pointwise) for q in quantities}
        worst = max(near, key=lambda q: near[q][1])
        outside = [q for q in quantities if not near[q][0]]
        rows.append({
            "option": name, "replicates": len(done), "quantities": len(quantities), "outside": ", ".join(outside) or "none",
            "nearest the edge": f"{worst} {near[worst][1]:.2f}", "log-likelihood": f"{near['log_likelihood'][1]:.2f}",
            "smallest ESS": round(min(r["ess"] for r in done)),
            "R-hat > 1.05": sum(r["rhat"] > 1.05 for r in done), "diverged": sum(r["divergences"] > 0 for r in done),
            "s a replicate": round(float(np.median([r["seconds"] for r in done])), 1),
        })  # fmt: skip
    table = pd.DataFrame(rows)
    print("| " + " | ".join(table.columns) + " |\n|" + "---|" * len(table.columns))
    for row in table.itertuples(index=False):
        print("| " + " | ".join(map(str, row)) + " |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("option", nargs="*", help=f"of {', '.join(OPTIONS)}; all without one")
    parser.add_argument("--replicates", type=int, default=100)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--report", action="store_true")
    asked = parser.parse_args()
    if not asked.report:
        for option in asked.option or OPTIONS:
            run(option, asked.replicates, asked.workers)
    report()
