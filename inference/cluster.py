"""Work shared out over a Dask cluster: which one, and whether its workers are as they must be.

What is found does not depend on where it is computed. Code and arguments travel between processes of the same environment; no
file is unpickled.
"""

from __future__ import annotations

import functools
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar

from ..datasets.errors import UserError
from .cores import available_cores
from .workers import LOCAL, check_scheduler, check_versions

WAIT_WORKERS = 60  # seconds
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
