"""A grid of studies, fitted with the default settings: which converge, and what the user is told where one does not.

    python benchmarks/geometry.py                       every cell that has no line in the results yet, then the table
    python benchmarks/geometry.py --most-rows 30000     only cells of so many survey rows at most
    python benchmarks/geometry.py --report              the table alone

Five axes of five steps: clinicians, units, surveys, half-life and share of the error. 25 cells form an orthogonal array, in which
each pair of steps of each pair of axes occurs once; 16 more are the corners of small studies. Results are lines of JSON.
"""

import argparse
import json
import time
import warnings
from itertools import product
from pathlib import Path

import equipoise as eq
from equipoise.datasets import design_study

CLINICIANS = (10, 30, 100, 400, 2000)
UNITS = (1, 2, 5, 20, 100)  # at most one for each clinician
SURVEYS = (2, 4, 10, 25, 60)
HALF_LIVES = ("gap / 10", "gap", "between", "length", "length x 10")  # the gap is 1; between: their geometric mean
ERRORS = (0.0, 0.05, 0.15, 0.3, 0.5)  # share of the variance beyond rounding
RESULTS = Path(__file__).parent / "results" / "geometry.jsonl"
ESS_LIMIT, RHAT_LIMIT = 400, 1.01


def cells():
    axes = CLINICIANS, UNITS, SURVEYS, HALF_LIVES, ERRORS
    for i, j in product(range(5), repeat=2):
        steps = i, j, (i + j) % 5, (i + 2 * j) % 5, (i + 3 * j) % 5
        yield tuple(axis[step] for axis, step in zip(axes, steps, strict=True))
    for clinicians, surveys, half_life, error in product((10, 100), (2, 25), HALF_LIVES[::4], ERRORS[::4]):
        yield clinicians, 2, surveys, half_life, error


def study_of(clinicians, units, surveys, half_life, error):
    length = surveys - 1
    times = dict(zip(HALF_LIVES, (0.1, 1.0, length**0.5, length, 10.0 * length), strict=True))
    units = min(units, clinicians)
    truth = {
        "half_life": times[half_life], "level": 60.0, "total_sd": 18.0, "start_shift": 0.0, "rate_sd": 0.3, "spread_sd": 0.3,
        "variance_shares": [(1 - error) / 2, (1 - error) / 2, error],
    } | ({"unit_level_sd": 0.05, "unit_rate_sd": 0.05} if units > 1 else {})  # fmt: skip
    design = design_study(clinicians=clinicians, surveys=surveys, units=units, jitter=0.2)
    return eq.simulate(eq.CapacityModel(), design, truth, seed=1).study


def measured(cell):
    study = study_of(*cell)
    started = time.process_time(), time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # they are in the results
        fit = eq.fit(eq.CapacityModel(), study, seed=1, progress=False)
    table, sampling = fit.diagnostics, fit.facts["sampling"]
    worst, least, tail = (table.loc[place] for place in (table.rhat.idxmax(), table.ess_bulk.idxmin(), table.ess_tail.idxmin()))
    return {
        "cell": list(cell), "rows": len(study.surveys), "cpu": time.process_time() - started[0], "wall": time.perf_counter() - started[1],
        "sampling_seconds": sampling["seconds"], "tries": sampling["tries"], "divergences": fit.divergences,
        "rhat": [float(worst.rhat), worst.quantity], "ess": [float(least.ess_bulk), least.quantity],
        "ess_tail": [float(tail.ess_tail), tail.quantity], "told": list(fit.warnings),
    }  # fmt: skip


def converged(line):
    return line["divergences"] == 0 and line["rhat"][0] <= RHAT_LIMIT and line["ess"][0] >= ESS_LIMIT


def report(lines):
    print("| clinicians | units | surveys | half-life | error | tries | divergences | R-hat at most | least bulk ESS | CPU s | told |")
    print("|" + "---|" * 11)
    for line in lines:
        n, units, surveys, half_life, error = line["cell"]
        told = " ".join(line["told"]) or "-"
        print(
            f"| {n:,} | {min(n, units)} | {surveys} | {half_life} | {error:g} | {line['tries']} | {line['divergences']} "
            f"| {line['rhat'][0]:.4f} {line['rhat'][1]} | {line['ess'][0]:,.0f} {line['ess'][1]} | {line['cpu']:.0f} | {told} |"
        )
    good = sum(map(converged, lines))
    print(f"\nConverged (R-hat <= {RHAT_LIMIT}, no divergences, bulk ESS >= {ESS_LIMIT}): {good} of {len(lines)} cells, "
          f"{sum(line['tries'] == 1 for line in lines)} of them at the first try.")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most-rows", type=int, default=10**9, help="only cells of so many survey rows at most")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--report", action="store_true", help="the table of what there is")
    options = parser.parse_args()
    wanted = sorted(dict.fromkeys(cells()), key=lambda cell: cell[0] * cell[2])
    done = {}
    if options.results.exists():
        done = {tuple(line["cell"]): line for line in map(json.loads, options.results.read_text().splitlines())}
    if not options.report:
        options.results.parent.mkdir(parents=True, exist_ok=True)
        for cell in wanted:
            if cell not in done and cell[0] * cell[2] <= options.most_rows:
                done[cell] = measured(cell)
                with options.results.open("a") as file:
                    file.write(json.dumps(done[cell]) + "\n")
                report([done[cell]])
    report([done[cell] for cell in wanted if cell in done])


if __name__ == "__main__":
    main()
