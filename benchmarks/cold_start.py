"""Stages of ``equipoise run`` on the bundled study, each run in a new process with warm caches and no results.

python benchmarks/cold_start.py                 # the demo's analysis file as it is
python benchmarks/cold_start.py --draws 200     # few draws: what is left is everything but sampling
python benchmarks/cold_start.py --runs 3        # one line a stage, the runs side by side
python benchmarks/cold_start.py --spreads       # the whole of it: with the lever under the two other spreads
python benchmarks/cold_start.py --quick         # `equipoise run --quick`

Wall and processor seconds of the process are counted; stages are told apart by hooks that this file puts into the
functions concerned, and a stage that runs inside another is not counted in the outer one. The processor's time of chains
that run in the background counts for the stage that Python is in.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

STAGES = (
    "start", "read", "imports", "design", "model graph", "functions", "callbacks", "coordinates", "quick look", "sampling", "derived",
    "diagnostics", "paths", "answers left out", "netCDF", "tables", "checks", "figures", "page", "files", "rest",
)  # fmt: skip


class Clock:
    """Exclusive seconds of nested stages."""

    def __init__(self, born):
        self.spent = {stage: [0.0, 0.0] for stage in STAGES}
        self.stack = ["rest"]
        self.born, self.last = born, (time.time(), time.process_time())
        self.owner = threading.get_ident()
        self.spent["start"] = [self.last[0] - born, self.last[1]]

    def mark(self):
        now = time.time(), time.process_time()
        for k in range(2):
            self.spent[self.stack[-1]][k] += now[k] - self.last[k]
        self.last = now

    def hook(self, module, name, stage, after=None):
        inner = getattr(module, name)

        def timed(*args, **kwargs):
            if threading.get_ident() != self.owner:
                return inner(*args, **kwargs)
            self.mark()
            self.stack.append(stage)
            try:
                return inner(*args, **kwargs)
            finally:
                self.mark()
                self.stack.pop()
                if after:
                    after()

        setattr(module, name, staticmethod(timed) if isinstance(module.__dict__.get(name), staticmethod) else timed)


def child(file, output, born, quick):
    clock = Clock(born)
    import importlib

    def module(name):
        return importlib.import_module(f"equipoise.{name}")

    run, analysis = module("run"), module("analysis")
    clock.hook(analysis.Analysis, "read", "read")
    clock.mark()
    clock.stack.append("imports")
    fitting, spreads, results = (module(f"inference.{name}") for name in ("fitting", "spreads", "results"))
    for name in ("pymc", "nutpie", "arviz", "equipoise.models.builder"):
        importlib.import_module(name)
    page = module("reports.page")
    clock.mark()
    clock.stack.pop()

    first = []
    hook_sampling(clock, (fitting, spreads), first)
    clock.hook(fitting, "approximate", "quick look")
    clock.hook(module("models.builder"), "build_design", "design")
    clock.hook(module("models.builder"), "build_model", "model graph")
    clock.hook(fitting, "derive", "derived")
    clock.hook(fitting, "diagnose", "diagnostics")
    clock.hook(fitting, "latent_paths", "paths")
    clock.hook(fitting, "survey_log_likelihood", "answers left out")
    clock.hook(results.Fit, "save", "netCDF")
    clock.hook(page, "_figures", "figures")
    clock.hook(page, "_page", "page")
    clock.hook(page.table_files, "files", "tables")
    clock.hook(results.Fit, "checks", "checks")
    clock.hook(module("outputs"), "commit", "files")
    run.run(file, output=output, fresh=True, quick=quick, progress=False)
    clock.mark()
    found = {"first draw": first[0] - born if first else float("nan"), "everything": time.time() - born}
    print(json.dumps({"spent": clock.spent, **found, "processor": time.process_time()}))


def hook_sampling(clock, modules, first):
    """The time of the first draw, told by the sampler's own progress."""
    import nutpie
    import nutpie.compile_pymc as compiling

    inner = nutpie.sample

    def noticed(*args, **kwargs):
        def progress(chains):
            if not first and any(chain.finished_draws for chain in chains):
                first.append(time.time())

        return inner(*args, **kwargs, progress_callback=progress)

    nutpie.sample = noticed
    for module in modules:
        clock.hook(module, "sample", "sampling")
        clock.hook(module, "compile_model", "callbacks")
        clock.hook(module, "well_scaled", "coordinates")
    clock.hook(compiling, "_make_functions", "functions")


def launch(file, output, quick):
    script = f"import runpy, sys; sys.argv = {[__file__, '--child', str(file), str(output), repr(time.time()), *quick]!r}"
    script += f"; runpy.run_path({__file__!r}, run_name='__main__')"
    said = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(said.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, help="draws and warm-up draws of 2 chains, in place of the demo's")
    parser.add_argument("--runs", type=int, default=2, help="the first may find cold caches")
    parser.add_argument("--spreads", action="store_true", help="with the lever under the two other spreads")
    parser.add_argument("--quick", action="store_const", const=["--quick"], default=[], help="a quick look in place of sampling")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(Path(asked.child[0]), Path(asked.child[1]), float(asked.child[2]), bool(asked.quick))
        return
    from equipoise.starter import write_demo

    with tempfile.TemporaryDirectory() as folder:
        file, _ = write_demo(folder)
        text = file.read_text()
        if asked.draws:
            text = text.replace("draws = 1000", f"draws = {asked.draws}").replace("tune = 500", f"tune = {asked.draws}")
            text = text.replace("chains = 4", "chains = 2")
        if not asked.spreads:
            text = text.replace("seed = 1", "seed = 1\ncompare_spreads = false")
        file.write_text(text)
        found = [launch(file, Path(folder) / "out", asked.quick) for _ in range(asked.runs)]
    print(f"{'wall and processor seconds':26s}" + "".join(f"      run {k + 1:2d}   " for k in range(asked.runs)))
    for stage in STAGES:
        print(f"{stage:26s}" + "".join("   {:6.2f} {:6.2f}".format(*run["spent"][stage]) for run in found))
    for name in ("first draw", "everything", "processor"):
        print(f"{name:26s}" + "".join(f"   {run[name]:6.2f}       " for run in found))
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
