"""Runs killed (SIGKILL) at random moments: are the results whole afterwards, old or new, and does the next command mend the rest?

    python benchmarks/robustness/kills.py --kills 100 --seed 0

Of 100 kills 45 hit a process that writes the report anew again and again, under new titles, and 45 one that samples and writes
all of it again and again: draws of the prior stand in for the sampler, 30 small files for the tables and figures, and what takes
time without writing is done beforehand, so that the kills fall into the writing of files.

Five hit `equipoise run` as it is while it writes the whole report, and five while it samples (PyMC and nutpie). After each
kill the folder must hold what its ``provenance.json`` lists, no more and no less, with the right digests; page, tables and
draws must load; and a further run must end well and leave nothing beside the results.
"""

import argparse
import collections
import functools
import os
import random
import re
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import pandas as pd

import equipoise as eq
from equipoise import outputs
from equipoise import run as running
from equipoise.analysis import Analysis
from equipoise.inference import Fit
from equipoise.reports.page import write
from equipoise.reports.table_files import to_csv

ANALYSIS = """\
schema = 1
[study]
data = "survey.csv"
clinician = "id"
unit = "ward"
time = "week"
time_unit = "week"
[study.scores.stress]
range = [0, 10]
better = "lower"
[sampling]
draws = 50
tune = 50
chains = 2
seed = 1
[report]
title = "run 0"
"""
KINDS = {"report": 45, "all": 45, "real report": 5, "real sampling": 5}  # of a hundred
LONGEST = {"report": 2.0, "all": 2.0, "real report": 25.0, "real sampling": 60.0}  # seconds until the kill, at most


# --- the process to be killed ---------------------------------------------------------------------------------------


def render(fit, folder, *, title, **options):
    """As many files as a report has, in little time."""
    write(folder / "report.html", f"<!DOCTYPE html><title>{title}</title>" + "<p>text</p>" * 20_000 + "</html>\n")
    table = to_csv(fit.diagnostics)
    for number in range(15):
        write(folder / "tables" / f"table{number}.csv", table)
        write(folder / "figures" / f"figure{number}.svg", f"<svg><!-- {title} -->{' ' * 20_000}</svg>")


def retitle(file: Path) -> None:
    """The next title, written whole or not at all: the analysis file is not what is being tested."""
    text = re.sub(r'title = "run (\d+)"', lambda found: f'title = "run {int(found[1]) + 1}"', file.read_text())
    aside = file.with_suffix(".part")
    aside.write_text(text)
    os.replace(aside, file)


def work(file: Path, kind: str) -> None:
    """Write results again and again until killed."""
    while True:
        retitle(file)
        running.run(file, fresh=kind == "all", progress=False)


# --- the one that kills ---------------------------------------------------------------------------------------------


def prepare(folder: Path) -> Path:
    """A study with complete results, and the draws that stand in for the sampler's."""
    rng = random.Random(1)
    rows = [(f"c{i}", f"ward {i % 3}", week, rng.randrange(11)) for i in range(9) for week in range(0, 12, 2)]
    pd.DataFrame(rows, columns=["id", "ward", "week", "stress"]).to_csv(folder / "survey.csv", index=False)
    file = folder / "analysis.toml"
    file.write_text(ANALYSIS)
    analysis = Analysis.read(file)
    study = analysis.study()
    prior_fit = runpy.run_path(str(Path(__file__).parents[2] / "tests" / "reports" / "conftest.py"))["prior_fit"]
    fit = Fit(prior_fit(analysis.model(study), study, draws=50).tree, study)
    running.sample = running.restore = lambda *given, **options: fit
    running._render = render
    running.keys.distributions = functools.cache(running.keys.distributions)
    running.run(file, progress=False)
    return file


def state(target: Path) -> tuple[str, list[str]]:
    """The title of the results in a folder ("" if there is none), and what is wrong with them."""
    if not target.exists():
        return "", []
    found = outputs.read_provenance(target)
    if found is None:
        return "", ["no provenance.json of ours"]
    wrong = sorted(set(found["files"]) - outputs.intact_files(target))
    there = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    wrong += sorted(there ^ {*found["files"], outputs.PROVENANCE})
    title = found["report"]["title"]
    page = (target / "report.html").read_text(encoding="utf-8")
    if f"<title>{title}</title>" not in page or not page.rstrip().endswith("</html>"):
        wrong.append("the page is not the one of the provenance")
    for path in target.glob("tables/*.csv"):
        if pd.read_csv(path).empty:
            wrong.append(f"{path.name} is empty")
    eq.load(target / "posterior.nc")
    return title, wrong


def kill(file: Path, kind: str, rng: random.Random) -> None:
    """Start a process, wait for a random moment, and kill it, with all that it has started."""
    if kind.startswith("real"):
        retitle(file)
        command = [sys.executable, "-m", "equipoise", "run", str(file), *(["--fresh"] if kind == "real sampling" else [])]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, start_new_session=True, **quiet)
        time.sleep(rng.uniform(0.0, LONGEST[kind]))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return
    # a copy of this process, which has imported everything already
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads of this process wait, and hold no lock
        child = os.fork()
    if not child:
        try:
            work(file, kind)
        finally:
            os._exit(1)
    time.sleep(rng.uniform(0.0, LONGEST[kind]))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        raise RuntimeError("the process that was to be killed ended by itself")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, counts, started = random.Random(options.seed), collections.Counter(), time.perf_counter()
    kinds = [kind for kind, share in KINDS.items() for _ in range(max(1, round(share * options.kills / 100)))][: options.kills]
    place = Path(tempfile.mkdtemp())
    try:
        file = prepare(place)
        target = outputs.results_folder(file)
        before, _ = state(target)
        for number, kind in enumerate(kinds):
            kill(file, kind, rng)
            after, wrong = state(target)
            beside = sorted(path.name for path in target.parent.iterdir() if path != target)
            counts[kind, "between the two renames" if not target.exists() else "old" if after == before else "new"] += 1
            counts[kind, "something to mend"] += bool(beside)
            running.run(file, progress=False)  # the next command
            before, left = state(target)
            left += sorted(path.name for path in target.parent.iterdir() if path != target)
            if f'"{before}"' not in file.read_text():
                left.append("not the results asked for")
            counts[kind, "torn"] += bool(wrong)
            counts[kind, "not mended"] += bool(left)
            if wrong or left:
                print(f"kill {number} ({kind}): {wrong}; after the next run: {left}; beside: {beside}", flush=True)
    finally:
        shutil.rmtree(place)
    columns = ("old", "new", "between the two renames", "something to mend", "torn", "not mended")
    print(f"| killed while | kills | {' | '.join(columns)} |\n|---|---|{'---|' * len(columns)}")
    for kind in KINDS:
        print(f"| {kind} | {kinds.count(kind)} | " + " | ".join(str(counts[kind, column]) for column in columns) + " |")
    print(f"{len(kinds)} kills, seed {options.seed}: {time.perf_counter() - started:.0f} s")
    return int(any(counts[kind, column] for kind in KINDS for column in columns[-2:]))


if __name__ == "__main__":
    sys.exit(main())
