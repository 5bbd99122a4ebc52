"""The same posterior sampled by Equipoise, PyMC, numpyro and Stan, on the same simulated studies.

    python benchmarks/peers/run.py                              everything; resumable, a line of JSON for each run
    python benchmarks/peers/run.py --sizes 40x20 --seeds 1 2 --systems stan equipoise
    python benchmarks/peers/run.py --report                     the tables, in Markdown

The peers live in an environment of their own, made at the first run from ``requirements.txt`` in
``benchmarks/results/peers-venv`` (or given as --peers-python). First their log densities and gradients are compared at common
points, then value and gradient are timed, systems taking turns, then the samplers run one after another.
"""

import argparse
import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
from studies import SIZES, write
from tables import line, report

from equipoise.inference.refits.ledger import Ledger
from equipoise.keys import source_digest

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results"
SCRATCH = RESULTS / "peers"
RUNS = [("equipoise", "ours")] + [(s, c) for s in ("stan", "numpyro", "pymc") for c in ("customary", "ours")]
SYSTEMS = ("equipoise", "stan", "numpyro", "pymc")
# the peers would take hours for the largest study: fewer draws there, which spares them most of their warm-up
SETTINGS = {"tune": 1000, "draws": 1000, "chains": 4}
SHORT = {"1000x40": {"tune": 300, "draws": 200, "chains": 2}}
ROUNDS, ROUND_SECONDS = 25, 0.05
AGREE = 1e-6


def peers_python(given) -> str:
    """The interpreter of the peers' environment, which is made if it is missing or its requirements have changed."""
    if given:
        return given
    folder, wanted = RESULTS / "peers-venv", (HERE / "requirements.txt").read_text()
    mark = folder / "made_from.txt"
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    if not mark.exists() or mark.read_text() != wanted:
        print(f"making the peers' environment in {folder} ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-qq", "-r", HERE / "requirements.txt"], check=True)
        mark.write_text(wanted)
    return str(python)


class Worker:
    """A system in a process of its own."""

    def __init__(self, system, coordinates, size, seed, python):
        study = write(size, seed, SCRATCH)
        if system == "equipoise":
            command = [sys.executable, HERE / "ours.py", system, coordinates, size, str(seed)]
        else:
            command = [python, HERE / "worker.py", system, coordinates, study, SCRATCH]
        self.name = f"{system}, {coordinates}"
        self.log = open(SCRATCH / f"{system}_{coordinates}.log", "w")  # noqa: SIM115 (closed with the process)
        self.process = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True
        )

    def ask(self, what, **request):
        self.process.stdin.write(json.dumps({"do": what} | request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} stopped; see {self.log.name}")
        return json.loads(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        self.log.close()


def gradients(size, seed, runs, python) -> dict:
    """Log densities and gradients at three points: the largest differences from the first peer and from the reference."""
    found = {}
    for system, coordinates in runs:
        with Worker(system, coordinates, size, seed, python) as worker:
            found[worker.name] = [worker.ask("gradient", seed=point) for point in range(3)]
    out = {}
    for name, answers in found.items():
        if "note" in answers[0]:
            out[name] = {"note": answers[0]["note"]}
            continue
        coordinates = name.split(", ")[1]
        first = next(n for n in found if n.endswith(coordinates) and not n.startswith("equipoise"))
        value, slope, reference = (np.array([a.get(k, b.get(k)) for a, b in zip(answers, found[first], strict=True)])
                                   for k in ("value", "gradient", "reference"))  # fmt: skip
        other = np.array([b["gradient"] for b in found[first]])
        constant = np.ptp(value - reference) / np.abs(reference).max()  # densities are the same up to one constant
        scale = np.abs(other).max(axis=1, keepdims=True)
        out[name] = {"density": float(constant), "gradient": float((np.abs(slope - other) / scale).max()), "against": first}
        if max(out[name]["density"], out[name]["gradient"]) > AGREE:
            raise SystemExit(f"{name} has another posterior than {first} or posterior.py: {out[name]}")
    return out


def times(size, seed, runs, python) -> dict:
    """Nanoseconds a survey row of value and gradient: by system and what is timed, one figure for each round."""
    workers = [Worker(system, coordinates, size, seed, python) for system, coordinates in runs]
    calls, found = {}, {}
    try:
        clinicians, surveys, _ = SIZES[size]
        for worker in workers:
            worker.ask("time", calls=2)
            slowest = max(worker.ask("time", calls=3).values()) * clinicians * surveys
            calls[worker.name] = max(1, round(ROUND_SECONDS * 1e9 / slowest))
        for _ in range(ROUNDS):
            for worker in workers:
                for what, ns in worker.ask("time", calls=calls[worker.name]).items():
                    found.setdefault(f"{worker.name}, {what}", []).append(round(ns, 2))
    finally:
        for worker in workers:
            worker.__exit__()
    return found


def settings_of(system, size, asked) -> dict:
    settings = SETTINGS if system == "equipoise" else SETTINGS | SHORT.get(size, {})
    settings = settings | {k: getattr(asked, k) for k in SETTINGS if getattr(asked, k)}
    return settings | {"accept": asked.accept, "limit": asked.limit, "cores": asked.cores}


def version_of(system) -> str:
    """Digest of what a system's figures depend on: the project's sources, or the peer's files here and its packages."""
    if system == "equipoise":
        return source_digest(("models", "inference"))[:10]
    files = [HERE / "posterior.py", HERE / f"peer_{system}.py", HERE / "requirements.txt"]
    if system == "stan":
        files += [*sorted(HERE.glob("*.stan")), HERE / "stan_driver.cpp"]
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:10]


def main(asked):
    SCRATCH.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(RESULTS / "peers.jsonl", "peers 1")
    runs = [(s, c) for s, c in RUNS if s in asked.systems and c in (asked.coordinates if s != "equipoise" else [c])]
    if asked.report:
        print(report(ledger.results))
        return
    python = peers_python(asked.peers_python) if any(s != "equipoise" for s, _ in runs) else ""
    versions = {system: version_of(system) for system, _ in runs}
    version = sha256("".join(versions.values()).encode()).hexdigest()[:10]

    def once(name, job, *arguments):
        if asked.fresh or name not in ledger.results:
            result = job(*arguments)
            ledger.add(name, result)
        return ledger.results[name]

    for size in asked.sizes:
        which = "+".join(f"{s} {c}" for s, c in runs)
        if "gradients" in asked.parts and size != "1000x40":
            found = once(f"gradients|{size}|{asked.seeds[0]}|{which}|{version}", gradients, size, asked.seeds[0], runs, python)
            for name, result in found.items():
                print(f"{size}: {name}: {result}", flush=True)
        if "times" in asked.parts:
            found = once(f"times|{size}|{asked.seeds[0]}|{which}|{version}", times, size, asked.seeds[0], runs, python)
            for name, ns in found.items():
                print(f"{size}: {name}: {np.median(ns):.1f} (least {min(ns):.1f}) ns a row", flush=True)
        if "sampling" not in asked.parts:
            continue
        for seed in asked.seeds:
            for system, coordinates in runs:
                settings = settings_of(system, size, asked)
                name = f"sampling|{size}|{seed}|{system}|{coordinates}|{json.dumps(settings, sort_keys=True)}"
                name += f"|{versions[system]}"

                def job(system=system, coordinates=coordinates, seed=seed, settings=settings, size=size):
                    with Worker(system, coordinates, size, seed, python) as worker:
                        return worker.ask("sample", details=size == "40x20", seed=seed, **settings)

                row = once(name, job)
                print(f"{size}, seed {seed}, {system}, {coordinates}: " + line(row), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=SIZES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=SYSTEMS)
    parser.add_argument("--coordinates", nargs="+", default=["customary", "ours"], choices=["customary", "ours"])
    parser.add_argument("--parts", nargs="+", default=["gradients", "times", "sampling"], choices=["gradients", "times", "sampling"])
    parser.add_argument("--tune", type=int, help="warm-up draws, in place of 1000 (300 for the peers at 1000x40)")
    parser.add_argument("--draws", type=int, help="draws of a chain, in place of 1000 (200)")
    parser.add_argument("--chains", type=int, help="in place of 4 (2)")
    parser.add_argument("--accept", type=float, default=0.8, help="the peers' acceptance target; .8 is the default of all three")
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds of wall time for one run of a peer")
    parser.add_argument("--cores", type=int, default=2, help="chains side by side")
    parser.add_argument("--peers-python", help="an interpreter that has what requirements.txt lists")
    parser.add_argument("--fresh", action="store_true", help="run again what has been run")
    parser.add_argument("--report", action="store_true", help="print the tables of what has been run")
    main(parser.parse_args())
