"""Random bad inputs through the command line: how many end in one clear message, and whether any does not.

    python benchmarks/robustness/bad_inputs.py --inputs 1000 --seed 0

Each input is a small study with one to three random faults in its table, its spells or its analysis file. `equipoise check`
reads all of them, `equipoise init` the survey of one in five; `equipoise run` takes one in ten, and one in six of those that
are accepted (with draws of the prior in place of the sampler, and the whole report). Nothing may end in a traceback, and no
failed command may leave a file behind.
"""

import argparse
import collections
import random
import runpy
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from inputs import write_input
from typer.testing import CliRunner

from equipoise import outputs
from equipoise import run as running
from equipoise.cli import app
from equipoise.inference import Fit

# made as in the tests of the reports
PRIOR_FIT = runpy.run_path(str(Path(__file__).parents[2] / "tests" / "reports" / "conftest.py"))["prior_fit"]


def from_the_prior(model, study, **options):
    """Stands in for the sampler: a whole fit from draws of the prior."""
    return Fit(PRIOR_FIT(model, study, draws=20).tree, study)


def outcome(*arguments) -> tuple[str, str]:
    """How a command ended, and what it said or where it broke."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        return "traceback", "".join(traceback.format_exception(done.exception))
    if done.exit_code == 0:
        return "accepted", done.stdout
    clear = done.exit_code == 1 and done.stderr.count("Error: ") == 1 and "Traceback" not in done.output and len(done.stderr) > 20
    return ("clear error" if clear else "unclear error"), done.output


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def whole(folder: Path) -> bool:
    """Whether a results folder holds all that its provenance lists, unchanged, and nothing else stands beside it."""
    found = outputs.read_provenance(folder)
    beside = {path.name for path in folder.parent.iterdir()} == {folder.name}
    return found is not None and outputs.intact_files(folder) == set(found["files"]) and beside


def examine(folder: Path, number: int) -> dict[str, tuple[str, str]]:
    """What the commands make of one input."""
    before, file = files(folder), folder / "analysis.toml"
    found = {"check": outcome("check", file)}
    if files(folder) != before:
        found["check"] = ("partial file", str(files(folder) - before))
    if number % 5 == 0:
        data = next(path for name in ("survey.parquet", "survey.xlsx", "survey.csv") if (path := folder / name).exists())
        found["init"] = outcome("init", data, "--output", folder / "draft")
        left = files(folder) - before
        if found["init"][0] != "accepted" and left:
            found["init"] = ("partial file", str(left))
        shutil.rmtree(folder / "draft", ignore_errors=True)
    if number % 10 == 0 or (number % 6 == 0 and found["check"][0] == "accepted"):
        found["run"] = outcome("run", file)
        left = files(folder) - before
        if left and (found["run"][0] != "accepted" or not whole(folder / "results" / "analysis")):
            found["run"] = ("partial file", f"{found['run']}: {left}")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="show what becomes of this input alone")
    options = parser.parse_args()
    running.sample = from_the_prior
    counts, started, broken = collections.Counter(), time.perf_counter(), collections.Counter()
    with tempfile.TemporaryDirectory() as place:
        for number in range(options.inputs) if options.only is None else [options.only]:
            folder = Path(place) / str(number)
            told = write_input(folder, random.Random(f"{options.seed}-{number}"))
            found = examine(folder, number if options.only is None else 0)
            for command, (how, text) in found.items():
                counts[command, how] += 1
                if options.only is not None or how not in ("accepted", "clear error"):
                    broken[text.strip().splitlines()[-1]] += 1
                    if options.only is not None or broken[text.strip().splitlines()[-1]] == 1:
                        print(f"input {number} ({', '.join(told)}), {command}: {how}\n{text}", flush=True)
            if options.only is None:
                shutil.rmtree(folder)
    kinds = ("clear error", "accepted", "traceback", "unclear error", "partial file")
    print(f"| command | {' | '.join(kinds)} |\n|---|{'---|' * len(kinds)}")
    for command in ("check", "init", "run"):
        print(f"| {command} | " + " | ".join(str(counts[command, kind]) for kind in kinds) + " |")
    print(f"{options.inputs} inputs, seed {options.seed}: {time.perf_counter() - started:.0f} s")
    return int(any(counts[command, kind] for command in ("check", "init", "run") for kind in kinds[2:]))


if __name__ == "__main__":
    sys.exit(main())
