"""`equipoise run --quick` with all estimands, by the size of the study: seconds, processor seconds and peak memory.

    python -P benchmarks/large/quick.py                    # 1,000, 5,000, 20,000 and 50,000 clinicians, 20 surveys each
    python -P benchmarks/large/quick.py --sizes 1000 5000

Each size is a process of its own, from the files to the report; 400 draws. Slopes are those of log seconds on log rows from one size to the
next, and from the smallest to the largest. The first run of all compiles for about a minute; ``--warm`` runs the smallest size once before.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import pandas as pd

from equipoise import load

sys.path.insert(0, str(Path(__file__).parent))
from make_study import TRUTH, make

SURVEYS = 20
ESTIMANDS = "\n[estimands]\nhorizon = 26.0\nthreshold = 40.0\n"


def measured(folder: Path, clinicians: int) -> dict:
    file, known = folder / "quick.toml", folder / "truth.json"
    if not (file.is_file() and known.is_file() and json.loads(known.read_text(encoding="utf-8")) == TRUTH):
        made = make(folder, clinicians, SURVEYS)
        file.write_text(made.read_text(encoding="utf-8") + ESTIMANDS, encoding="utf-8")
    started = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-P", "-m", "equipoise", "run", str(file), "--quick", "--fresh"])
    _, status, used = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{clinicians} clinicians: `equipoise run --quick` failed.")
    return {
        "clinicians": clinicians, "wall": time.perf_counter() - started, "cpu": used.ru_utime + used.ru_stime,
        "peak": used.ru_maxrss / 2**20, "off": from_truth(folder),
        "look": load(folder / "results" / "quick.quick" / "posterior.nc").facts["sampling"],
    }  # fmt: skip


def from_truth(folder: Path) -> tuple[float, str]:
    """By how many posterior standard deviations the means are off what the study was made from, at most, and which it is."""
    tables = folder / "results" / "quick.quick" / "tables"
    population = pd.read_csv(tables / "population.csv").set_index("quantity")
    changes = pd.read_csv(tables / "interventions.csv").query("effect == 'capacity_change'").set_index("intervention")
    known = {name: TRUTH[name] for name in ("half_life", "rate_sd", "spread_sd", "unit_level_sd", "unit_rate_sd")}
    known |= {"capacity": TRUTH["level"], "effect_unit_sd[mindfulness]": TRUTH["effect_unit_sd"]}
    off = {name: (population.loc[name, "mean"] - value) / population.loc[name, "sd"] for name, value in known.items()}
    for row in pd.read_csv(folder / "truth.csv").itertuples():
        off[f"change of C* by {row.intervention}"] = (
            (changes.loc[row.intervention, "mean"] - row.capacity_change) / changes.loc[row.intervention, "sd"]
        )  # fmt: skip
    worst = max(off, key=lambda name: abs(off[name]))
    return off[worst], worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 5_000, 20_000, 50_000])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "equipoise-large")
    parser.add_argument("--warm", action="store_true")
    asked = parser.parse_args()
    sizes = sorted(asked.sizes)
    if asked.warm:
        measured(asked.folder / str(sizes[0]), sizes[0])
    found = []
    for size in sizes:
        found.append(measured(asked.folder / str(size), size))
        print(json.dumps(found[-1]), file=sys.stderr, flush=True)
    columns = ("clinicians x surveys", "s", "CPU s", "peak GiB", "proposals", "Pareto k", "log densities off by",
               "furthest from the truth, posterior SDs")
    print(f"| {' | '.join(columns)} |")
    print("|---|---:|---:|---:|---:|---:|---:|---|")
    for each in found:
        look = each["look"]
        figures = f"{each['wall']:.0f} | {each['cpu']:.0f} | {each['peak']:.2f} | {look['proposals']} | {look['pareto_k']:.2f}"
        print(f"| {each['clinicians']:,} x {SURVEYS} | {figures} | {look.get('left', 0):.2f} | {each['off'][0]:.1f} ({each['off'][1]}) |")
    for first, last in [*pairwise(found), *([(found[0], found[-1])] if len(found) > 2 else [])]:
        rows = math.log(last["clinicians"] / first["clinicians"])
        slopes = [math.log(last[kind] / first[kind]) / rows for kind in ("wall", "cpu")]
        told = "{:.2f} by the clock, {:.2f} of processor time".format(*slopes)
        print(f"Slope of log time on log rows from {first['clinicians']:,} to {last['clinicians']:,}: {told}.")


if __name__ == "__main__":
    main()
