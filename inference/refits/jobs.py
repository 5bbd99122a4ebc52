"""Many independent refits, side by side: over the cores of this machine, or over a Dask cluster with one argument.

A worker prepares once (compiles a model) and then works job by job. Arguments travel to our own processes; no file is
unpickled.
"""

from __future__ import annotations

import hashlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, redirect_stdout
from typing import Any

from ...datasets.errors import UserError
from ..cluster import client_in_use, ignore_interrupts, is_asked, on_cluster
from ..cores import available_cores
from ..over_workers import prepared, share_out
from .ledger import Ledger


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
        A Dask scheduler's address (``tcp://host:8786``), or "local" for a cluster on this machine. Default: the cluster of
        `cluster.on_cluster`, if inside one.
    progress : str
        What is being done; shows a progress bar (on standard error). Empty: none.

    Returns
    -------
    dict of str to dict
        In the order of ``jobs``.

    Raises
    ------
    UserError
        For a scheduler that cannot be reached or whose workers are not as they must be (`cluster.on_cluster`), and if processes
        were killed; what is done is in the ledger.
    KeyboardInterrupt
        On Ctrl-C; what is done is in the ledger.
    """
    ledger = ledger or Ledger()
    missing = {name: job for name, job in jobs.items() if name not in ledger.results}
    if missing:
        key = hashlib.sha256(os.urandom(16)).hexdigest()  # of this call
        several = min(workers or available_cores(), len(missing))
        with on_cluster(scheduler, several):
            if is_asked():
                done = _over_dask(key, prepare, given, work, missing)
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
        return work(prepared(key, prepare, given), job)


def _over_processes(workers, key, prepare, given, work, jobs) -> Iterator[tuple[str, dict]]:
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import active_children, get_context

    before = set(active_children())
    # spawned, not forked: numba's and the sampler's threads do not survive a fork
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=ignore_interrupts)
    try:
        names = {pool.submit(_one, key, prepare, given, work, job): name for name, job in jobs.items()}
        for future in as_completed(list(names)):
            name = names.pop(future)
            if future.exception() is not None:
                # what was done before the failure may be told after it, and more be done by now: none is to be lost with it
                yield from ((names[other], other.result()) for other in names if other.done() and other.exception() is None)
            yield name, future.result()
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


def _over_dask(key, prepare, given, work, jobs) -> Iterator[tuple[str, dict]]:
    yield from share_out(client_in_use(), job_with_context, (key, prepare, given, work), jobs.items())


def job_with_context(shared, job) -> dict:
    """One job of those that are shared out: ``shared`` is its key, prepare, given and work, as of `run_jobs`."""
    key, prepare, given, work = shared
    return _one(key, prepare, given, work, job)


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
