"""Work shared out over a Dask cluster: which one, whether its workers are as they must be, and jobs that outlive a worker.

What is found does not depend on where it is computed. Code and arguments travel between processes of the same environment; no
file is unpickled.
"""

from __future__ import annotations

import functools
import logging
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from itertools import islice
from typing import Any

from ..datasets.errors import UserError
from .cores import available_cores
from .workers import LOCAL, check_scheduler, check_versions

WAIT_WORKERS = 60  # seconds
UNDER_WAY = 2  # blocks for each thread of the workers: one that is worked on, and the next
MOST_PREPARED = 3  # that a worker keeps: as many as there are assumptions on the spread

_PREPARED: dict[str, Any] = {}  # of this process
_LOCK = threading.Lock()
_PLACE: ContextVar[_Place | None] = ContextVar("place", default=None)


class _Place:
    """A scheduler by its address, "local" or a client of one's own; connected when it is first needed."""

    def __init__(self, scheduler, workers: int | None):
        self.scheduler, self.workers, self.client, self.opened = scheduler, workers, None, ExitStack()

    def connect(self):
        if self.client is None:
            self.client = _client(self.scheduler, self.workers, self.opened)
        return self.client


@contextmanager
def on_cluster(scheduler, workers: int | None = None) -> Iterator[None]:
    """Share out what is computed inside over the workers of a Dask cluster: chains, derived quantities, estimands, refits.

    Parameters
    ----------
    scheduler : str, dask.distributed.Client or None
        A scheduler's address (``tcp://host:8786``), or "local" for a cluster on this machine. None: as it was outside.
    workers : int, optional
        Processes of a "local" one; default: one for each core.

    Raises
    ------
    UserError
        Where work is first shared out, which is before any sampling: for a scheduler that cannot be reached or has no workers, for
        a worker whose versions differ from those here, and without ``dask.distributed``.

    Examples
    --------
    >>> with on_cluster("tcp://host:8786"):                          # doctest: +SKIP
    ...     fit = equipoise.fit(model, study, seed=1)
    ...     worth = fit.estimands(horizon=26)
    """
    if scheduler is None:
        yield
        return
    place = _Place(scheduler, workers)
    before = _PLACE.set(place)
    try:
        with place.opened:
            yield
    finally:
        _PLACE.reset(before)


def is_asked() -> bool:
    """Whether work is to be shared out over a cluster."""
    return _PLACE.get() is not None


def client_in_use():
    """The client of the cluster that work is shared out over, connected and checked; None where it is done here."""
    place = _PLACE.get()
    return None if place is None else place.connect()


def takes_scheduler(function: Callable) -> Callable:
    """Give a function the arguments ``scheduler`` and ``workers`` of `on_cluster`, met before it begins."""

    @functools.wraps(function)
    def computed(*args, scheduler=None, workers=None, **kwargs):
        with on_cluster(scheduler, workers):
            client_in_use()
            return function(*args, **kwargs)

    return computed


def _client(scheduler, workers, opened: ExitStack):
    """A client with workers that agree; what was opened for it is closed with ``opened``."""
    check_scheduler(scheduler)
    from distributed import Client, LocalCluster

    opened.enter_context(_quiet())
    if isinstance(scheduler, Client):
        client = scheduler
    elif scheduler == LOCAL:
        quiet = {"dashboard_address": ":0", "silence_logs": logging.CRITICAL}  # Ctrl-C is to end in one message
        cluster = opened.enter_context(LocalCluster(n_workers=workers or available_cores(), threads_per_worker=1, **quiet))
        client = opened.enter_context(Client(cluster, set_as_default=False))
    else:
        client = opened.enter_context(Client(scheduler, set_as_default=False))
    try:
        client.wait_for_workers(1, timeout=WAIT_WORKERS)
    except TimeoutError:
        raise UserError(
            f"the Dask scheduler {scheduler!r} has no workers (waited {WAIT_WORKERS:g} s); start some with `dask worker ADDRESS` in an "
            "environment like this one."
        ) from None
    check_versions(client)
    if scheduler == LOCAL:
        client.run(ignore_interrupts)
    return client


def ignore_interrupts() -> None:
    """Ctrl-C is for the process that asked; it stops its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _quiet() -> Iterator[None]:
    """What becomes of a cluster is told in our own messages."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client")]  # which have levels of their own
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


@contextmanager
def locks_of_this_process() -> Iterator[None]:
    """Without this xarray takes locks of a user's Dask client, if there is one, which know no file in memory."""
    if "distributed" not in sys.modules:
        yield
        return
    import dask

    with dask.config.set(scheduler="threads"):
        yield


def prepared(key: str, prepare: Callable, given: Any):
    """What ``prepare(given)`` made in this process under this key, made once; the latest few are kept."""
    with _LOCK:
        if key not in _PREPARED:
            while len(_PREPARED) >= MOST_PREPARED:
                del _PREPARED[next(iter(_PREPARED))]
            _PREPARED[key] = prepare(given)
        return _PREPARED[key]


def share_out(
    client, function: Callable, given: Any, jobs: Iterable[tuple[Any, Any]], under_way: int | None = None,
    interrupted: Callable | None = None, meanwhile: Callable | None = None,
) -> Iterator[tuple[Any, Any]]:  # fmt: skip
    """``function(given, job)`` on the workers for each (name, job): pairs of name and result, in the order they are done.

    A job whose worker is lost is done again on another; where a job loses one worker after the other, that is an error.

    Parameters
    ----------
    client : dask.distributed.Client
    function : function of a module
    given : object
        Sent once, and kept by the workers.
    jobs : iterable of (hashable, object)
        Taken as they are needed.
    under_way : int, optional
        At most so many at a time, as where jobs or results are large. None: all of them.
    interrupted : function (), optional
        Called on the first Ctrl-C, which then does not end this: it is to make the jobs come to an end.
    meanwhile : function (), optional
        What to do here once the jobs are sent.

    Raises
    ------
    UserError
        Where workers are lost again and again over one job, or the scheduler is.
    """
    from concurrent.futures import CancelledError

    from distributed import KilledWorker, as_completed

    waiting, names, done = iter(jobs), {}, as_completed(loop=client.loop)

    def send(count):
        for name, job in islice(waiting, count):
            with _large_graphs():
                future = client.submit(function, shared, job, pure=False)
            names[future] = name
            done.add(future)

    with _large_graphs():
        # as a task, not scattered: where the worker that holds it is lost, it is had again
        shared = client.submit(_itself, given, pure=False)
    try:
        send(under_way)
        while names:
            try:
                if meanwhile is not None:
                    now, meanwhile = meanwhile, None
                    now()
                future = next(done)
            except KeyboardInterrupt:
                if interrupted is None:
                    raise
                interrupted()
                interrupted = None
                continue
            name = names.pop(future)
            try:
                result = future.result()
            except KilledWorker as error:
                raise UserError(_lost(name, error)) from None
            except CancelledError:
                raise UserError(f"the connection to the Dask scheduler was lost before {name} was done; run it again.") from None
            yield name, result
            del future, result
            send(1)
    finally:
        client.cancel([*names, shared])  # what a cluster that goes on would still do


def block_by_block(here: Callable, there: Callable, given: Any, blocks: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    """Pairs of name and result of each (name, block): ``here(given, block)``, or, on a cluster, ``there(given, block)`` in any order.

    Few blocks are in memory at a time.
    """
    client = client_in_use()
    if client is None:
        return ((name, here(given, block)) for name, block in blocks)
    return share_out(client, there, given, blocks, UNDER_WAY * max(sum(client.nthreads().values()), 1))


def _itself(given):
    return given


@contextmanager
def _large_graphs():
    """Dask advises against large arguments, to which there is no other way that outlives a worker."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
        yield


def _lost(name, error) -> str:
    count = error.allowed_failures + 1
    lost = "a worker was lost over it" if count == 1 else f"{count} workers were lost over it, one after the other"
    limit = error.last_worker.memory_limit
    had = f" (the last had {limit / 1e9:.1f} GB)" if limit else ""
    return (
        f"{name} was given up: {lost}, as happens where memory runs out{had}. Give workers more memory (`dask worker --memory-limit`), or "
        "take fewer and larger ones."
    )
