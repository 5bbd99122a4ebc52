"""Jobs on the workers of a Dask cluster: they outlive the loss of a worker, and blocks of work that of the cluster."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count as count_up
from itertools import islice
from typing import Any

from ..datasets.errors import UserError
from .cluster import client_in_use
from .workers import environment, must_agree

AGAIN = "; run it again."
LOST = "the connection to the Dask scheduler was lost" + AGAIN
UNDER_WAY = 2  # blocks for each thread of the workers: one that is worked on, and the next
MOST_PREPARED = 3  # that a worker keeps: as many as there are assumptions on the spread

_PREPARED: dict[str, Any] = {}  # of this process
_LOCK = threading.Lock()


class ClusterLost(UserError):
    """A cluster that gave up a job, has a worker that cannot do it, or cannot be reached any more."""


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
    interrupted: Callable | None = None, meanwhile: Callable | None = None, patient: bool = False,
) -> Iterator[tuple[Any, Any]]:  # fmt: skip
    """``function(given, job)`` on the workers for each (name, job): pairs of name and result, in the order they are done.

    A job whose worker is lost is done again on another; where a job loses one worker after the other, that is an error. Before an
    error is raised the results that are there by then are given.

    Parameters
    ----------
    client : dask.distributed.Client
    function : function of a module
    given : object
        Sent once, and kept by the workers.
    jobs : iterable of (hashable, object)
        Taken as they are needed. Names that are text are told in errors.
    under_way : int, optional
        At most so many at a time, as where jobs or results are large. None: all of them.
    interrupted : function (), optional
        Called on the first Ctrl-C, which then does not end this: it is to make the jobs come to an end.
    meanwhile : function (), optional
        What to do here once the jobs are sent.
    patient : bool
        Where a job is given up, first wait for the others.

    Raises
    ------
    ClusterLost
        Where workers are lost again and again over one job, or the scheduler is, and for a worker that joined with other versions than
        those here.
    """
    from concurrent.futures import CancelledError

    from distributed import KilledWorker, as_completed
    from distributed.client import ClosedClientError

    if client.status != "running":  # what is asked of it then may never come back
        raise ClusterLost(LOST)
    waiting, number, names, done = iter(jobs), count_up(1), {}, as_completed(loop=client.loop)
    sent, given_up = [], None

    def send(count):
        for name, job in islice(waiting, count):
            with _large_graphs():
                # in the order given: Dask takes what is sent at about the same time in any order
                future = client.submit(_agreeing, environment(), function, shared, job, pure=False, priority=-next(number))
            names[future] = name
            done.add(future)

    try:
        with _large_graphs():
            # as a task, not scattered: where the worker that holds it is lost, it is had again
            shared = client.submit(_itself, given, pure=False)
        sent.append(shared)
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
            if future.status == "error" and not patient:
                # what was done before the failure may be told after it, and more be done by now: none is to be lost with it
                yield from ((names[other], other.result()) for other in names if other.status == "finished")
            try:
                result = future.result()
            except (KilledWorker, ClusterLost, ImportError) as error:  # the last where a worker has another version, or none
                given_up = given_up or _given_up(name, error)
                if not patient:
                    raise given_up from None
                send(1)
                continue
            except CancelledError:
                raise ClusterLost(f"the connection to the Dask scheduler was lost before {_called(name)} was done{AGAIN}") from None
            yield name, result
            del future, result
            send(1)
        if given_up is not None:
            raise given_up
    except ClosedClientError:
        raise ClusterLost(LOST) from None
    finally:
        with suppress(Exception):  # where the scheduler is gone there is nothing to cancel
            client.cancel([*names, *sent])  # what a cluster that goes on would still do


@contextmanager
def asking(client) -> Iterator[None]:
    """For what is asked of the scheduler itself: raises `ClusterLost` where it is gone, which shows in many ways."""
    from distributed.client import ClosedClientError

    if client.status != "running":
        raise ClusterLost(LOST)
    try:
        yield
    except (OSError, RuntimeError, KeyError, AttributeError, ClosedClientError):
        raise ClusterLost(LOST) from None


def threads_of(client) -> int:
    """Of all workers together; raises `ClusterLost` without a scheduler."""
    with asking(client):
        return max(sum(client.nthreads().values()), 1)


def _agreeing(versions, function: Callable, given: Any, job: Any):
    """On a worker, which may have joined when all others had been asked."""
    try:
        must_agree(versions)
    except UserError as error:
        raise ClusterLost(str(error)) from None
    return function(given, job)


def block_by_block(here: Callable, there: Callable, given: Any, blocks: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    """Pairs of name and result of each (name, block): ``here(given, block)``, or, on a cluster, ``there(given, block)`` in any order.

    Few blocks are in memory at a time. Where the cluster is lost, the rest is worked out here.
    """
    client, sent, blocks = client_in_use(), {}, iter(blocks)

    def noted():
        for name, block in blocks:
            sent[name] = block
            yield name, block

    if client is not None:
        try:
            for name, value in share_out(client, there, given, noted(), UNDER_WAY * threads_of(client)):
                del sent[name]
                yield name, value
        except ClusterLost as error:
            print(f"{str(error).removesuffix(AGAIN).removesuffix('.')}. What is left of it is worked out here.", file=sys.stderr)
    while sent:
        name, block = sent.popitem()
        yield name, here(given, block)
    yield from ((name, here(given, block)) for name, block in blocks)


def _itself(given):
    return given


@contextmanager
def _large_graphs():
    """Dask advises against large arguments, to which there is no other way that outlives a worker."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
        yield


def _called(name) -> str:
    return name if isinstance(name, str) else "a block of the work"


def _given_up(name, error) -> ClusterLost:
    if isinstance(error, ClusterLost):
        return error
    if isinstance(error, ImportError):
        return ClusterLost(
            f"a worker could not do {_called(name)} ({error}): it has not what is installed here. Install the same versions there "
            "(requirements.lock), or leave that worker out."
        )
    return ClusterLost(_lost(name, error))


def _lost(name, error) -> str:
    count = error.allowed_failures + 1
    lost = "a worker was lost over it" if count == 1 else f"{count} workers were lost over it, one after the other"
    limit = error.last_worker.memory_limit
    had = f" (the last had {limit / 1e9:.1f} GB)" if limit else ""
    return (
        f"{_called(name)} was given up: {lost}, as happens where memory runs out{had}. Give workers more memory (`dask worker "
        "--memory-limit`), or take fewer and larger ones."
    )
