"""One system and one set of coordinates on one study: does what it is told on standard input, a JSON object a line.

    python worker.py SYSTEM COORDINATES STUDY.npz FOLDER

{"do": "gradient", "seed": 1}              log density and gradient at a starting point
{"do": "time", "calls": 20}                nanoseconds a survey row of value and gradient, by what is timed
{"do": "sample", "seed": 1, "tune": ...}   a run of the sampler, measured
"""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
from posterior import LEVERS, PlainStudy, convergence, log_density, quantities, start


def summary(draws: dict, details: bool) -> dict:
    """Convergence, and the means and their Monte Carlo errors by which posteriors are compared."""
    from arviz_stats.base import array_stats

    out = convergence(draws)
    if details:
        out["means"] = {}
        for name, values in draws.items():
            columns = values[..., None] if values.ndim == 2 else values
            error = array_stats.mcse(columns, chain_axis=0, draw_axis=1, method="mean")
            sd = columns.std(axis=(0, 1))
            for i, (m, e, s) in enumerate(zip(columns.mean(axis=(0, 1)), np.atleast_1d(error), sd, strict=True)):
                out["means"][f"{name}[{i}]" if name in LEVERS else name] = [float(m), float(e), float(s)]
    return out


def sampled(peer, study, coordinates, details, seed, **settings) -> dict:
    run = peer.sample(seed=seed, **settings)
    theta = run.pop("theta")
    run |= {"chains": theta.shape[0], "draws": theta.shape[1], "divergences": int(run.pop("diverging").sum())}
    if theta.shape[1] < 20:
        return run | {"ess": 0.0, "rhat": None, "slowest": "", "stopped": True}
    draws = quantities(theta, coordinates, study, np.random.default_rng(seed))
    return run | summary(draws, details) | {"stopped": theta.shape[:2] != (settings["chains"], settings["draws"])}


def serve(answer):
    """Answer each line of standard input; whatever else prints goes to standard error."""
    out, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(answer(request.pop("do"), request)), file=out, flush=True)


def main(system, coordinates, path, folder):
    study = PlainStudy.load(path)
    module = importlib.import_module(f"peer_{system}")
    peer = module.Peer(study, coordinates, Path(folder)) if system == "stan" else module.Peer(study, coordinates)
    timers = {}

    def answer(what, request):
        if what == "sample":
            return sampled(peer, study, coordinates, **request)
        theta = start(coordinates, study, np.random.default_rng(request.get("seed", 0)))
        if what == "gradient":
            value, slope = peer.gradient(theta)
            return {"value": value, "gradient": slope.tolist(), "reference": log_density(theta, coordinates, study)}
        if not timers:
            timers["posterior"] = peer.timer(theta)
            if hasattr(peer, "kernels") and coordinates == "ours":
                timers.update(peer.kernels())
        return {name: run(request["calls"]) / study.rows for name, run in timers.items()}

    serve(answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
