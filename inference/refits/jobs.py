"""Many independent refits, side by side: over the cores of this machine, or over a Dask cluster with one argument.

A worker prepares once (compiles a model) and then works job by job. Arguments travel to our own processes; no file is
unpickled.
"""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, redirect_stdout
from importlib.util import find_spec
from typing import Any

from ...datasets.errors import UserError
from ..cores import available_cores
from .ledger import Ledger

LOCAL = "local"
WAIT_SCHEDULER, WAIT_WORKERS = 5, 60  # seconds
_PREPARED: dict[str, Any] = {}  # of this process
_LOCK = threading.Lock()


def run_jobs(
    prepare: Callable, given: Any, work: Callable, jobs: Mapping[str, Any], *, ledger: Ledger | None = None,
    workers: int | None = None, scheduler=None, progress: str = "",
) -> dict[str, dict]:  # fmt: skip
    """Do every job that the ledger does not hold.

    Parameters
    ----------
    prepare : function (given) -> context
        Called once in each worker. It and ``work`` are functions of a module, so that they can be found there.
    given : object
        What is prepared from, such as a model and a study.
    work : function (context, job) -> dict
        Gives plain values that JSON can hold.
    jobs : mapping of str to object
        By names that are the same in every run.
    ledger : Ledger, optional
        Takes results as they come.
    workers : int, optional
        Processes; default: one for each core. 1: here, without another process. In a script of yours, more than one
        needs the usual ``if __name__ == "__main__":`` around what the script does.
    scheduler : str or dask.distributed.Client, optional
        A Dask scheduler's address (``tcp://host:8786``), or "local" for a cluster on this machine.
    progress : str
        What is being done; shows a progress bar (on standard error). Empty: none.

    Returns
    -------
    dict of str to dict
        In the order of ``jobs``.

    Raises
    ------
    UserError
        For a scheduler that cannot be reached or has no workers, without ``dask.distributed``, and if a process was killed.
    KeyboardInterrupt
        On Ctrl-C; what is done is in the ledger.
    """
    ledger = ledger or Ledger()
    missing = {name: job for name, job in jobs.items() if name not in ledger.results}
    if missing:
        key = hashlib.sha256(os.urandom(16)).hexdigest()  # of this call
        several = min(workers or available_cores(), len(missing))
        if scheduler is not None:
            done = _over_dask(scheduler, workers, key, prepare, given, work, missing)
        elif several == 1:
            done = ((name, _one(key, prepare, given, work, job)) for name, job in missing.items())
        else:
            done = _over_processes(several, key, prepare, given, work, missing)
        # closed at once where the ledger cannot be written: or else the workers would go on with all that is left
        with closing(done), _bar(progress, len(jobs), len(jobs) - len(missing)) as advance:
            for name, result in done:
                ledger.add(name, result)
                advance()
    return {name: ledger.results[name] for name in jobs}


def _one(key: str, prepare, given, work, job) -> dict:
    with warnings.catch_warnings(), redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore", UserWarning)  # what a refit has to say is in its result
        with _LOCK:
            if key not in _PREPARED:
                _PREPARED.clear()
                _PREPARED[key] = prepare(given)
            context = _PREPARED[key]
        return work(context, job)


def _ignore_interrupts() -> None:
    """Ctrl-C is for the process that asked; it ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _over_processes(workers, key, prepare, given, work, jobs) -> Iterator[tuple[str, dict]]:
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import active_children, get_context

    before = set(active_children())
    # spawned, not forked: numba's and the sampler's threads do not survive a fork
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_ignore_interrupts)
    try:
        futures = {pool.submit(_one, key, prepare, given, work, job): name for name, job in jobs.items()}
        for future in as_completed(futures):
            yield futures[future], future.result()
        pool.shutdown()
    except BaseException as error:
        for child in set(active_children()) - before:
            child.terminate()
        pool.shutdown(wait=False, cancel_futures=True)
        if isinstance(error, BrokenProcessPool):
            raise UserError(
                "a process that refits was ended from outside, as systems do that run out of memory; fewer workers need less."
            ) from None
        raise


def _over_dask(scheduler, workers, key, prepare, given, work, jobs) -> Iterator[tuple[str, dict]]:
    check_scheduler(scheduler)
    from distributed import Client, LocalCluster, as_completed

    with ExitStack() as opened:
        if isinstance(scheduler, Client):
            client = scheduler
        elif scheduler == LOCAL:
            count = min(workers or available_cores(), len(jobs))
            quiet = {"dashboard_address": ":0", "silence_logs": logging.CRITICAL}  # Ctrl-C is to end in one message
            cluster = opened.enter_context(LocalCluster(n_workers=count, threads_per_worker=1, **quiet))
            client = opened.enter_context(Client(cluster))
        else:
            client = opened.enter_context(Client(scheduler))
        try:
            client.wait_for_workers(1, timeout=WAIT_WORKERS)
        except TimeoutError:
            raise UserError(f"the Dask scheduler {scheduler!r} has no workers; start some with `dask worker ADDRESS`.") from None
        # a name of its own (no hash): a second call's may be gone when the first call's is released
        shared = client.scatter(given, broadcast=True, hash=False)
        futures = {client.submit(_one, key, prepare, shared, work, job, pure=False): name for name, job in jobs.items()}
        try:
            for future in as_completed(list(futures)):
                yield futures[future], future.result()
        finally:
            client.cancel(list(futures))  # what a cluster that goes on would still do


def check_scheduler(scheduler) -> None:
    """Raise `UserError` without ``dask.distributed``, or where there is no scheduler at an address; nothing for None."""
    if scheduler is None:
        return
    if find_spec("distributed") is None:
        raise UserError('a Dask scheduler needs dask.distributed; install "equipoise[cluster]".')
    if isinstance(scheduler, str) and scheduler != LOCAL:
        _reach(scheduler)


def _reach(address: str) -> None:
    """Raise `UserError` for an address without a scheduler: a client that fails to connect keeps trying to close for long."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    from distributed.core import connect

    async def knock():
        await (await connect(address, timeout=WAIT_SCHEDULER)).close()

    try:
        with ThreadPoolExecutor(1) as apart:  # a notebook has a loop of its own in this thread
            apart.submit(asyncio.run, knock()).result()
    except (OSError, ValueError) as error:
        raise UserError(
            f"the Dask scheduler {address!r} cannot be reached ({str(error).splitlines()[0]}); give an address such as "
            f'"tcp://host:8786", or "{LOCAL}" for this machine.'
        ) from None


@contextmanager
def _bar(title: str, total: int, done: int):
    if not title:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total, completed=done)
        yield lambda: bar.advance(task)
