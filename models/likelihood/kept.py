"""``njit`` whose machine code is kept on disk between processes, and never served for another version of its source."""

from contextlib import suppress
from pathlib import Path

import numba
from numba.core import sigutils
from numba.core.caching import CompileResultCacheImpl, FunctionCache, UserProvidedCacheLocator, UserWideCacheLocator
from numba.core.ccallback import CFunc

from . import KERNEL_VERSION, folder_version


class _Named:
    """File names that change with any source file of the function's folder, and of this one, which others call.

    numba looks at the function's own file alone: it would go on serving code that was made of an older helper. A stamp
    inside its index would leave a moment between index and code in which another process takes one for the other.
    """

    def get_disambiguator(self):
        return f"{self._lineno}-{folder_version(Path(self._py_file).parent)}-{KERNEL_VERSION:x}"


class _Given(_Named, UserProvidedCacheLocator):
    """The folder that NUMBA_CACHE_DIR names."""


class _OfUser(_Named, UserWideCacheLocator):
    """The user's own folder for caches."""


class _Kept(CompileResultCacheImpl):
    _locator_classes = (_Given, _OfUser)


class _Cache(FunctionCache):
    """A cache that helps where it can and never fails: a damaged file is made again, a full disk holds nothing."""

    _impl_class = _Kept

    def load_overload(self, sig, target_context):
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # what cannot be read can raise anything
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig, data):
        with suppress(OSError):
            super().save_overload(sig, data)


def njit(**options):
    """`numba.njit` with a cache on disk, for functions that call none but those of their own folder and of this one.

    Parameters
    ----------
    options
        Of `numba.njit`.
    """

    def compiled(function):
        dispatcher = numba.njit(**options)(function)
        with suppress(RuntimeError, OSError):  # no folder to write to
            dispatcher._cache = _Cache(function)
        return dispatcher

    return compiled


def cfunc(signature, function, **options):
    """`numba.cfunc` with the same cache."""
    callback = CFunc(function, sigutils.normalize_signature(signature), locals={}, options=options)
    with suppress(RuntimeError, OSError):
        callback._cache = _Cache(function)
    callback.compile()
    return callback
