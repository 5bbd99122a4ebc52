"""Chains one by one, each on a worker of a Dask cluster, with the draws that they have where they are sampled together.

nutpie gives chain c the stream c of random numbers of one seed, and knows no other way to it than c + 1 chains. So as many are
started, and all but the last are held back at their starting points until it is done: they cost nothing, and its draws are
those of the same chain anywhere.
"""

from __future__ import annotations

import hashlib
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import closing, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from .over_workers import ClusterLost, asking, prepared, share_out
from .workers import need_memory

PROGRESS = "equipoise-chains"  # topic of what workers tell
OF_PROCESS = 0.6e9  # bytes of a worker before it samples: libraries, a compiled model
LOOK = 0.1  # seconds between looks at a chain

_STOPPED: set[str] = set()  # runs that this process is to end with the draws they have


@dataclass(frozen=True)
class Source:
    """What a worker makes the compiled model from: a description and a study.

    The coordinates come from who asks (`laplace.coordinates`): their mode, found anew, could differ in its last bits.
    """

    model: object
    study: object
    coordinates: object = None
    threads: int = 1  # of each chain's likelihood

    @property
    def key(self) -> str:
        """Of what is compiled and sampled."""
        total = hashlib.sha256(f"{self.model.to_dict()} {self.study.fingerprint} {self.threads > 1}".encode())
        for array in () if self.coordinates is None else self.coordinates.arrays:
            total.update(array.tobytes())
        return total.hexdigest()

    def compiled(self):
        from .laplace.coordinates import in_coordinates
        from .sampling import compile_model

        with warnings.catch_warnings(), redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore", UserWarning)  # cautions were given where the fit was asked for
            found = compile_model(self.model.build(self.study, self.threads > 1))
        return found if self.coordinates is None else in_coordinates(found, self.coordinates)


def first_seeds(seed: int, chains: int) -> list[int]:
    """What nutpie gives each chain's starting point as a seed, from a run that costs nothing."""
    import nutpie
    from nutpie.compiled_pyfunc import from_pyfunc

    seen: list[int] = []

    def start(own):
        seen.append(own)
        return np.ones(1)

    normal = from_pyfunc(
        1, lambda *_: lambda x, **_: (-0.5 * float(x[0]) ** 2, -x), lambda *_: lambda x, **_: {"x": x}, [np.dtype(float)], [(1,)],
        ["x"], make_initial_point_fn=start,
    )  # fmt: skip
    nutpie.sample(normal, chains=chains, cores=1, draws=1, tune=1, seed=seed, progress_bar=False, return_raw_trace=True)
    return seen


def sample_one(compiled, settings: dict, chain: int, stopped: Callable = lambda: False, tell: Callable = lambda done: None) -> xr.DataTree:
    """One chain of a run.

    Parameters
    ----------
    compiled : compiled model
    settings : dict
        Arguments of `nutpie.sample` for the run as a whole, but ``chains`` and ``cores``.
    chain : int
        Which one, from 0.
    stopped : function () -> bool
        Whether to end with the draws there are.
    tell : function (int)
        Is given the number of draws made, warm-up among them.

    Returns
    -------
    DataTree
        As from `nutpie.sample`, of this chain alone.
    """
    import nutpie

    ended, done = threading.Event(), threading.Event()
    held = set(first_seeds(settings["seed"], chain + 1)[:chain])
    made = [0]

    def start(seed=None):
        if seed in held:
            ended.wait()
        return compiled.initial_point_func(seed)

    def watch(chains):
        made[0] = chains[chain].finished_draws
        if made[0] >= chains[chain].total_draws:
            done.set()

    sampler = nutpie.sample(
        replace(compiled, initial_point_func=start), chains=chain + 1, cores=chain + 1, blocking=False, return_raw_trace=True,
        progress_bar=False, progress_callback=watch, progress_rate=int(1000 * LOOK), **settings,
    )  # fmt: skip
    try:
        while not (done.wait(LOOK) or _has_ended(sampler) or stopped()):
            tell(made[0])
    finally:
        ended.set()
    found = sampler.abort()
    sampler._return_raw_trace = False
    return sampler._extract(_Only(found, chain))


def _has_ended(sampler) -> bool:
    """Whether a sampler has come to its end; raises what went wrong."""
    try:
        return sampler.is_finished
    except TimeoutError:  # nutpie's way to say that it has not
        return False


class _Only:
    """The trace of one chain, as nutpie reads the whole."""

    def __init__(self, found, chain: int):
        self.batches = [batches[chain : chain + 1] for batches in found.get_arrow_trace()]

    def is_zarr(self) -> bool:
        return False

    def is_arrow(self) -> bool:
        return True

    def get_arrow_trace(self):
        return self.batches


def length_of(tree: xr.DataTree) -> np.ndarray:
    """Draws after warm-up that each chain has."""
    return np.isfinite(tree["sample_stats"]["energy"].to_numpy()).sum(axis=1)


def bytes_of_chain(numbers: int, draws: int, tune: int) -> float:
    """What a process needs that samples a chain: draws of so many numbers as nutpie has them, once more as arrays, and to be sent."""
    return 8.0 * numbers * (2 * (draws + tune) + draws) + OF_PROCESS


def sample_chains(
    client, source: Source, settings: dict, chains: int, numbers: int, progress: bool, meanwhile: Callable | None = None,
) -> list[tuple[int, xr.DataTree]]:  # fmt: skip
    """Chains on workers, in their order, with those draws that each has; Ctrl-C ends them with what they have.

    A chain whose worker is lost is sampled again on another one. If one is given up, the others are kept. ``numbers`` is how many
    a draw has; ``meanwhile`` is done here while they run.

    Raises
    ------
    UserError
        Before any sampling, where a worker has not the memory for a chain.
    """
    run = f"{source.key} {time.time_ns()}"
    given = (source.key, source, settings, run)
    found: dict[int, xr.DataTree] = {}
    jobs = [(f"chain {c}", c) for c in range(chains)]
    total = settings["tune"] + settings["draws"]
    with asking(client):
        need_memory(client, bytes_of_chain(numbers, settings["draws"], settings["tune"]), f"a chain of {settings['draws']} draws")
        workers, address = len(client.nthreads()), client.scheduler.address
    if progress:
        print(f"{chains} chains over {workers} worker{'s' * (workers > 1)} of {address} ...", flush=True)
    done = share_out(
        client, _sample, given, jobs, interrupted=lambda: client.run(_stop, run, on_error="ignore"), meanwhile=meanwhile, patient=True,
    )  # fmt: skip
    with _bar(client, run, chains, total, progress) as show, closing(done):
        try:
            for _, (c, tree) in done:
                if tree is not None:
                    found[c] = tree
                    show(c, settings["tune"] + int(length_of(tree)[0]))
        except ClusterLost as error:
            if not found:
                raise
            print(f"{error} The other chains are kept.", file=sys.stderr)
    return sorted(found.items())


def _stop(run: str) -> None:
    _STOPPED.add(run)


def _sample(given, chain: int) -> tuple[int, xr.DataTree | None]:
    """On a worker; None where the run was stopped before."""
    from distributed import get_worker

    from .sampling import use_threads

    key, source, settings, run = given
    if run in _STOPPED:
        return chain, None
    compiled = prepared(key, lambda made_from: made_from.compiled(), source)
    worker, last = get_worker(), [0.0]

    def tell(made):
        if time.monotonic() - last[0] > 1:
            last[0] = time.monotonic()
            worker.log_event(PROGRESS, {"run": run, "chain": chain, "made": made})

    if source.threads > 1:
        use_threads(compiled, source.threads)  # for all chains here, which are of one run
    tree = sample_one(compiled, settings, chain, lambda: run in _STOPPED, tell)
    return chain, tree


@contextmanager
def _bar(client, run: str, chains: int, total: int, progress: bool):
    if not progress:
        yield lambda chain, made: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        tasks = [bar.add_task(f"Chain {c + 1}", total=total) for c in range(chains)]

        def show(chain, made):
            bar.update(tasks[chain], completed=made)

        def hear(event):
            told = event[1]
            if told["run"] == run and told["made"] < total:
                show(told["chain"], told["made"])

        with asking(client):
            client.subscribe_topic(PROGRESS, hear)
        try:
            yield show
        finally:
            with suppress(Exception):  # where the cluster was lost, that is told and not this
                client.unsubscribe_topic(PROGRESS)
