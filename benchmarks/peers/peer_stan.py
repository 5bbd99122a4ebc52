"""The posterior in Stan: `customary.stan` and `ours.stan`, translated and compiled by what httpstan's wheel holds.

pystan would do, but passes every draw as text through a web server, which would be charged to Stan; `stan_driver.cpp`
calls the same sampler (`hmc_nuts_diag_e_adapt`) with the defaults of CmdStan. One process a chain.

Tried and not taken, in ns a row at 1000 x 40: `reduce_sum` over blocks of 50 clinicians with STAN_THREADS, 140 where this takes 27.
"""

import ctypes
import importlib.util
import json
import multiprocessing
import os
import resource
import subprocess
import tempfile
import time
from hashlib import sha256
from pathlib import Path

import numpy as np
from posterior import blocks, natural, rectangle, split, start

HERE = Path(__file__).parent
LIBRARIES = ("-l:libtbb.so.2", "-lsundials_cvodes", "-lsundials_idas", "-lsundials_nvecserial")
# CmdStan's -O3, and the instructions of this machine, as numba and XLA use them too; no STAN_THREADS, which is slower
FLAGS = (
    "-std=c++17", "-O3", "-march=native", "-fPIC", "-shared", "-w", "-DBOOST_DISABLE_ASSERTS",
    "-DBOOST_PHOENIX_NO_VARIADIC_EXPRESSION", "-D_REENTRANT", "-D_GLIBCXX_USE_CXX11_ABI=0",
)  # fmt: skip
STATISTICS = 7  # lp, accept_stat, stepsize, treedepth, n_leapfrog, divergent, energy
POINTER = ctypes.POINTER(ctypes.c_double)


def library(coordinates: str, folder: Path) -> tuple[Path, float]:
    """Compile the model, unless that has been done from the same sources; the library and the seconds that it took."""
    stan = Path(importlib.util.find_spec("httpstan").origin).parent
    driver = HERE / "stan_driver.cpp"
    # the library finds Stan's own where they lay when it was compiled
    key = sha256((HERE / f"{coordinates}.stan").read_bytes() + driver.read_bytes() + " ".join((*FLAGS, str(stan))).encode())
    out = folder / f"stan_{coordinates}_{key.hexdigest()[:12]}.so"
    took = out.with_suffix(".seconds")
    if not out.exists():
        begun = time.perf_counter()
        folder.mkdir(parents=True, exist_ok=True)
        code, partial = out.with_suffix(".hpp"), out.with_suffix(f".{os.getpid()}")
        translate = [stan / "stanc", "--O1", f"--name=peer_{coordinates}", f"--o={code}", HERE / f"{coordinates}.stan"]
        include = [f"-I{stan / 'include'}", f'-DMODEL="{code}"', f"-L{stan / 'lib'}", f"-Wl,-rpath,{stan / 'lib'}"]
        for command in (translate, [os.environ.get("CXX", "g++"), *FLAGS, driver, *include, *LIBRARIES, "-o", partial]):
            done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"{command[0]} failed: {done.stderr[-2000:]}")
        took.write_text(f"{time.perf_counter() - begun:.1f}")
        partial.rename(out)
    return out, float(took.read_text())


def data_of(study) -> dict:
    named = {f"prior_{name}": study.normal(name) for name in ("level", "half_life", "total_sd", "start_sd_ratio", "start_shift")}
    concordance = study.priors["level_rate_concordance"]
    return named | {
        "N": study.clinicians, "T": study.score.shape[0], "U": study.units, "unit": (study.unit + 1).tolist(),
        "gap": study.gap.tolist(), "score": study.score.tolist(), "rounding": study.floor,
        "prior_sd": [study.priors[n]["sd"] for n in ("rate_sd", "spread_sd", "unit_level_sd", "unit_rate_sd")],
        "prior_concordance": [concordance["a"], concordance["b"]],
        "prior_shares": study.priors["variance_shares"]["concentration"],
    }  # fmt: skip


class Peer:
    name = "stan"

    def __init__(self, study, coordinates, folder=HERE.parent / "results" / "peers"):
        self.study, self.coordinates = study, coordinates
        file, self.compile = library(coordinates, Path(folder))
        self.library = ctypes.CDLL(str(file))
        lib = self.library
        lib.peer_open.restype, lib.peer_open.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
        lib.peer_size.argtypes = [ctypes.c_void_p]
        lib.peer_gradient.restype, lib.peer_gradient.argtypes = ctypes.c_double, [ctypes.c_void_p, POINTER, POINTER]
        lib.peer_time.restype, lib.peer_time.argtypes = ctypes.c_double, [ctypes.c_void_p, POINTER, ctypes.c_int]
        lib.peer_sample.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, *[ctypes.c_uint] * 2,
                                    *[ctypes.c_int] * 2, ctypes.c_double]  # fmt: skip
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "data.json"
            file.write_text(json.dumps(data_of(study)))
            self.model = lib.peer_open(bytes(file))
        self.size = lib.peer_size(self.model)

    def gradient(self, theta):
        theta, slope = np.ascontiguousarray(theta, float), np.empty(self.size)
        value = self.library.peer_gradient(self.model, theta.ctypes.data_as(POINTER), slope.ctypes.data_as(POINTER))
        return value, slope

    def timer(self, theta):
        theta = np.ascontiguousarray(theta, float)
        return lambda calls: self.library.peer_time(self.model, theta.ctypes.data_as(POINTER), calls)

    def constrained(self, theta) -> dict:
        """Parameters as Stan declares them."""
        p, own = split(theta, self.coordinates, self.study), natural(theta, self.coordinates, self.study)
        kept = ("log_alpha", "log_beta", "log_sd", "variance_shares")  # unconstrained in Stan too
        return {name: np.asarray(p[name] if name in kept else own[name]).tolist() for name in p}

    def unconstrained(self, draws) -> np.ndarray:
        """Flat vectors from Stan's draws (draws x parameters)."""
        pieces, at = [], 0
        for name, size in blocks(self.coordinates, self.study):
            x = draws[:, at : at + size]
            if name == "level_rate_concordance":
                x = np.log(x) - np.log1p(-x)
            elif name.endswith(("_sd", "_ratio", "level", "half_life")) and name != "log_sd":
                x = np.log(x)
            pieces.append(x)
            at += size
        return np.concatenate(pieces, axis=1)

    def sample(self, seed, tune, draws, chains, accept, limit, cores):
        rng = np.random.default_rng(seed)
        with tempfile.TemporaryDirectory() as scratch:
            files = []
            for chain in range(chains):
                init, out = Path(scratch) / f"init{chain}.json", Path(scratch) / f"draws{chain}"
                init.write_text(json.dumps(self.constrained(start(self.coordinates, self.study, rng))))
                files.append((bytes(init), bytes(out), seed, chain + 1, tune, draws, accept))
            used, began = children_time(), time.perf_counter()
            context = multiprocessing.get_context("fork")
            share = limit * min(cores, chains) / chains
            waiting, running = list(files), []
            while waiting or running:
                while waiting and len(running) < cores:
                    process = context.Process(target=self.library.peer_sample, args=(self.model, *waiting.pop(0)))
                    process.start()
                    running.append((process, time.perf_counter()))
                time.sleep(0.02)
                for process, since in running:
                    if time.perf_counter() - since > share:
                        process.terminate()
                for process, _ in running:
                    if not process.is_alive():
                        process.join()
                running = [(p, since) for p, since in running if p.exitcode is None]
            spent = {"cpu": children_time() - used, "wall": time.perf_counter() - began, "compile": self.compile}
            tables = [_draws(Path(out.decode())) for _, out, *_ in files]
        kept, length = rectangle([max(0, len(t) - tune) for t in tables])
        rows = np.array([tables[k][tune : tune + length] for k in kept])
        steps = [t[: tune + draws, 4] for t in tables]
        theta = np.array([self.unconstrained(chain[:, STATISTICS:]) for chain in rows])
        return {"theta": theta, "diverging": rows[..., 5] > 0, "steps": float(sum(s.sum() for s in steps)), **spent}


def _draws(file):
    values = np.fromfile(file) if file.exists() else np.zeros(0)
    if not values.size:
        return np.zeros((0, STATISTICS))
    width = int(values[0])
    body = values[1:]
    return body[: body.size // width * width].reshape(-1, width)


def children_time():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
