"""Whether a Dask cluster is as it must be: reached, with the versions that are here, with memory enough. One message if not."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import platform
from importlib.util import find_spec
from pathlib import Path

from ..datasets.errors import UserError

LOCAL = "local"
WAIT_SCHEDULER = 5  # seconds
MUST_AGREE = ("equipoise", "pymc", "pytensor", "nutpie", "numba", "numpy")
ROOMS = ("datasets", "models", "inference")
MOST_OF_LIMIT = 0.95  # of a worker's memory, at which Dask ends it


def check_scheduler(scheduler) -> None:
    """Raise `UserError` without ``dask.distributed``, or where there is no scheduler at an address; nothing for None."""
    if scheduler is None:
        return
    if find_spec("distributed") is None:
        raise UserError('a Dask scheduler needs dask.distributed: `pip install "dask[distributed]"` (the extra `cluster` of this package).')
    if isinstance(scheduler, str) and scheduler != LOCAL:
        _reach(scheduler)


def _reach(address: str) -> None:
    """Raise `UserError` for an address without a scheduler: a client that fails to connect keeps trying to close for long."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    from distributed.core import connect
    from distributed.security import Security

    async def knock():
        how = Security().get_connection_args("client")  # certificates for tls:// are named in Dask's own configuration
        # the limit of `connect` is for what answers at all, not for the handshake with something that is no scheduler
        comm = await asyncio.wait_for(connect(address, timeout=WAIT_SCHEDULER, **how), 2 * WAIT_SCHEDULER)
        await comm.close()

    try:
        with ThreadPoolExecutor(1) as apart:  # a notebook has a loop of its own in this thread
            apart.submit(asyncio.run, knock()).result()
    # what is no scheduler may say anything, and an address that Dask's configuration does not allow is one of the last two
    except (OSError, ValueError, MemoryError, EOFError, TypeError, RuntimeError) as error:
        said = next(iter(str(error).splitlines()), "") or "what answers there is no Dask scheduler; its dashboard has another port"
        raise UserError(
            f"the Dask scheduler {address!r} cannot be reached ({said}); give an address such as "
            f'"tcp://host:8786", or "{LOCAL}" for this machine.'
        ) from None


def check_versions(client) -> None:
    """Ask the scheduler and every worker for the versions that draws depend on.

    Raises
    ------
    UserError
        Naming the first worker that differs, the package, and both versions.
    """
    asked = {"Python": (platform.python_version,)} | {p: (importlib.metadata.version, p) for p in MUST_AGREE}
    wrong = [
        (where, package, theirs, ours)
        for package, (function, *of) in asked.items()
        for ours in [function(*of)]
        for where, theirs in _everywhere(client, function, *of).items()
        # bytecode and pickles are those of a minor version
        if (theirs.split(".")[:2] != ours.split(".")[:2] if package == "Python" else theirs != ours)
    ]
    if not wrong:  # one number can stand for several states of the sources
        ours = source_digest()
        theirs = _everywhere(client, source_digest)
        wrong = [(where, "equipoise", f"from other sources ({t[:12]})", f"{ours[:12]}") for where, t in theirs.items() if t != ours]
    if wrong:
        where, package, theirs, ours = wrong[0]
        raise UserError(_differs(where, package, theirs, ours, len({w for w, *_ in wrong}) - 1))


def _differs(where: str, package: str, theirs: str, ours: str, others: int = 0) -> str:
    return (
        f"{where} has {package} {theirs}, and here it is {ours}{f'; {others} more differ' if others else ''}: results might not be the "
        "same. Install the same versions there (requirements.lock), or leave that worker out."
    )


@functools.cache
def environment() -> dict[str, str]:
    """What draws depend on, of this process, by name."""
    found = {"Python": ".".join(platform.python_version_tuple()[:2])}
    for package in MUST_AGREE:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "absent"
    return found | {"equipoise from sources": source_digest()[:12]}


def must_agree(versions: dict[str, str]) -> None:
    """Raise `UserError` on a worker whose `environment` is not that of who asks."""
    own = environment()
    for package, ours in versions.items():
        if own[package] != ours:
            from distributed import get_worker

            raise UserError(_differs(f"the worker {get_worker().address}, new since the others were asked,", package, own[package], ours))


def _everywhere(client, function, *args) -> dict[str, str]:
    """What a function gives on the scheduler and on every worker; where it fails, "absent"."""
    by_worker = client.run(function, *args, on_error="return")
    found = {f"the worker {address}": value for address, value in by_worker.items()}
    try:
        found["the scheduler"] = client.run_on_scheduler(function, *args)
    except Exception as error:  # whatever that function raises there
        found["the scheduler"] = error
    return {where: value if isinstance(value, str) else "absent" for where, value in found.items()}


def source_digest() -> str:
    """SHA-256 of the rooms that draws depend on, as they are installed here."""
    total, root = hashlib.sha256(), __package__.rpartition(".")[0]
    for room in ROOMS:
        for folder in map(Path, find_spec(f"{root}.{room}").submodule_search_locations):
            for file in sorted(folder.rglob("*.py")):
                total.update(f"{room}/{file.relative_to(folder).as_posix()}\0".encode() + file.read_bytes().replace(b"\r\n", b"\n"))
    return total.hexdigest()


def need_memory(client, needed: float, what: str) -> None:
    """Raise `UserError` where a worker's limit is less than the bytes that something needs there."""
    limits = {w: facts.get("memory_limit") for w, facts in client.scheduler_info(n_workers=-1)["workers"].items()}
    small = {worker: limit for worker, limit in limits.items() if limit and needed > MOST_OF_LIMIT * limit}
    if small:
        worker, limit = min(small.items(), key=lambda item: item[1])
        raise UserError(
            f"{what} needs about {needed / 1e9:.1f} GB of a worker's memory, and the worker {worker} may have {limit / 1e9:.1f} GB. Give "
            "workers more (`dask worker --memory-limit`, or fewer of them on a machine), or ask for fewer draws."
        )
