"""Seconds and peak memory of everything but the sampling, by the size of the study.

    python benchmarks/large/stages.py                     # 1,000, 5,000, 20,000 and 50,000 clinicians, 20 surveys each
    python benchmarks/large/stages.py --sizes 1000 5000 --draws 100

Each size is a process of its own. Draws come from the priors around the truth, 1 chain x 400, and go the way that all draws go:
derived quantities, the results tree, tables, estimands, the report. The slope is that of log CPU seconds on log rows over the
two largest sizes. In brackets: CPU seconds, which a busy machine does not lengthen as it does those of the clock.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NEAR_TRUTH = ("level", "half_life", "total_sd", "rate_sd", "spread_sd")  # what every model has
SURVEYS = 20
HORIZON, THRESHOLD = 26.0, 40.0


class Clock:
    """Seconds of each stage by the clock and of all processors, and the most memory that the process has had by its end (GiB)."""

    def __init__(self):
        self.stages = {}
        self.at = time.perf_counter(), time.process_time()

    def __call__(self, stage: str) -> None:
        now = time.perf_counter(), time.process_time()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        self.stages[stage] = (*(b - a for a, b in zip(self.at, now, strict=True)), peak)
        print("  {}: {:.1f} s, {:.1f} CPU s, {:.2f} GiB".format(stage, *self.stages[stage]), file=sys.stderr, flush=True)
        self.at = time.perf_counter(), time.process_time()


def raw_draws(model, study, draws: int):
    """A tree as a sampler gives it: parameters from the priors, those of the population near the truth."""
    import numpy as np
    import xarray as xr
    from make_study import TRUTH

    from equipoise.models.design import build_design
    from equipoise.models.levers import LN2, levers
    from equipoise.models.parameters import coordinates, draw_parameters, parameter_table

    rng = np.random.default_rng(0)
    design, _, _ = build_design(model, study)
    table, coords = parameter_table(model, study, design), coordinates(study, design)
    kept, dims = {}, {p.name: p.dims for p in table}
    by = {"unit": ("capacity_unit", "beta_unit"), "clinician": ("beta", "omega_clinician"),
          "intervention": ("theta_alpha", "theta_beta", "theta_omega")}  # fmt: skip
    for d in range(draws):
        given = {name: TRUTH[name] * np.exp(0.02 * rng.standard_normal()) for name in NEAR_TRUTH}
        point = draw_parameters(table, coords, given, rng)
        derived = levers(point, design, model, np)
        point |= {name: getattr(derived, name) for names in by.values() for name in names}
        point |= {"alpha_unit": derived.capacity_unit * derived.beta_unit, "alpha_population": point["level"] * LN2 / point["half_life"],
                  "beta_population": LN2 / point["half_life"], "trait_sd": derived.trait_sd, "process_sd": derived.omega,
                  "error_sd_total": derived.error_sd, "level_rate_correlation": derived.correlation}  # fmt: skip
        for name, value in point.items():
            kept.setdefault(name, np.empty((1, draws, *np.shape(value))))[0, d] = value
    dims |= {name: (dim,) for dim, names in by.items() for name in names} | {"alpha_unit": ("unit",)}
    posterior = xr.Dataset({name: (("chain", "draw", *dims.get(name, ())), value) for name, value in kept.items()})
    posterior = posterior.rename(omega_clinician="omega")
    stats = xr.Dataset({"diverging": (("chain", "draw"), np.zeros((1, draws), bool))})
    return xr.DataTree.from_dict({"posterior": posterior, "sample_stats": stats})


def one_size(folder: Path, clinicians: int, draws: int) -> dict:
    """All stages at one size."""
    sys.path.insert(0, str(Path(__file__).parent))
    from make_study import make

    analysis_file = folder / "parquet.toml"
    if not analysis_file.is_file():
        subprocess.run(
            [sys.executable, "-P", Path(__file__).with_name("make_study.py"), folder, "--clinicians", str(clinicians)],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
    del make
    clock = Clock()
    from equipoise.analysis import Analysis
    from equipoise.check import check

    analysis = Analysis.read(analysis_file)
    clock("import")
    study = analysis.study()
    clock("read and validate")
    model = analysis.model(study)
    _ = study.fingerprint
    clock("fingerprint")
    check(analysis_file)
    clock("equipoise check (reads again)")

    from equipoise import load
    from equipoise.inference import Fit
    from equipoise.inference.fitting import _Derived, _study_facts
    from equipoise.inference.results import SCHEMA
    from equipoise.inference.sampling import Sampling
    from equipoise.models.design import build_design
    from equipoise.models.priors import priors_in_force
    from equipoise.reports import write_outputs

    clock("import (again)")
    build_design(model, study)
    clock("design")
    raw = raw_draws(model, study, draws)
    clock("draws (stand for sampling)")
    result = _Derived(raw, model, study, Sampling(draws, 1, 1, 1, 0.9))
    clock("derive and diagnose")
    tree = result.tree(None)
    clock("paths and tree")
    tree.attrs["equipoise"] = json.dumps({
        "schema": SCHEMA, "model": model.to_dict(), "equations": model.equations(study),
        "priors": {name: prior.to_dict() for name, prior in priors_in_force(model, study).items()},
        "study_fingerprint": study.fingerprint, "study": _study_facts(study, model),
        "sampling": {"draws": draws, "tune": 1, "chains": 1, "seed": 1, "target_accept": 0.9, "tries": 1, "seconds": 0.0},
        "complete": True, "warnings": [], "cautions": [], "versions": {},
    })  # fmt: skip
    fit = Fit(tree, study)
    fit.save(folder / "posterior.nc")
    clock("save")
    del raw, result, tree, fit
    fit = load(folder / "posterior.nc", study)
    clock("load")
    asked = {"horizon": HORIZON, "threshold": THRESHOLD}
    fit.estimands(**asked)
    clock("estimands")
    fit.clinicians()
    fit.units()
    fit.population()
    clock("tables")
    write_outputs(fit, folder / "results", estimands=asked)
    clock("report (tables and estimands again)")
    return clock.stages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 5_000, 20_000, 50_000])
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "equipoise-large")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(one_size(asked.folder / str(asked.one), asked.one, asked.draws)))
        return
    found = {}
    for size in asked.sizes:
        print(f"{size:,} clinicians x {SURVEYS}", file=sys.stderr)
        command = [sys.executable, "-P", __file__, "--one", str(size), "--draws", str(asked.draws), "--folder", asked.folder]
        found[size] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])
    show(found)


def show(found: dict[int, dict]) -> None:
    """The table in Markdown."""
    import math

    sizes = list(found)
    print("| stage | " + " | ".join(f"{n * SURVEYS:,} rows" for n in sizes) + " | slope |")
    print("|---|" + "---:|" * (len(sizes) + 1))
    for stage in [*next(iter(found.values())), "all"]:
        each = {n: list(found[n].values()) if stage == "all" else [found[n][stage]] for n in sizes}
        clock, cpu = ({n: sum(e[k] for e in each[n]) for n in sizes} for k in (0, 1))
        peak = {n: max(e[2] for e in each[n]) for n in sizes}
        slope = ""
        if len(sizes) > 1 and cpu[sizes[-1]] > 1:
            slope = f"{math.log(cpu[sizes[-1]] / cpu[sizes[-2]]) / math.log(sizes[-1] / sizes[-2]):.2f}"
        cells = " | ".join(f"{clock[n]:.1f} s ({cpu[n]:.1f}), {peak[n]:.2f} GiB" for n in sizes)
        print(f"| {stage} | {cells} | {slope} |")


if __name__ == "__main__":
    main()
