"""How many cores there are to use, and who uses them."""

import functools
import os


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def one_blas_thread(function):
    """A function while which linear algebra stays on the thread that asks for it.

    A large study's density has products of long thin matrices, for which OpenBLAS wakes a thread for each core. These wait for the next
    product in a loop, on the cores that chains or points of the quick look are to have: half of all processor time with 50,000 clinicians.
    """

    @functools.wraps(function)
    def computed(*args, **kwargs):
        from threadpoolctl import threadpool_limits  # sees the libraries that are loaded by now

        with threadpool_limits(1, "blas"):
            return function(*args, **kwargs)

    return computed
