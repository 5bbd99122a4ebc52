"""The joint log density of all unconstrained parameters, as the sampler calls it."""

from __future__ import annotations

import ctypes

import numpy as np

_DOUBLE = ctypes.POINTER(ctypes.c_double)
_CALL = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_uint64, _DOUBLE, _DOUBLE, _DOUBLE, ctypes.c_void_p)


class Density:
    """Value and gradient of a compiled model's log density; other threads run on while it is computed.

    Parameters
    ----------
    compiled : compiled model
        As from `sampling.compile_model`.
    """

    def __init__(self, compiled):
        self.compiled = compiled  # owns the machine code and the data
        self.size = compiled.n_dim
        self._call = _CALL(compiled.compiled_logp_func.address)
        self._data = compiled.user_data.ctypes.data

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Log density and its gradient at ``x``; minus infinity (and a gradient of NaN) where it cannot be computed."""
        x = np.ascontiguousarray(x, float)
        gradient = np.empty(self.size)
        value = ctypes.c_double()
        failed = self._call(
            self.size, x.ctypes.data_as(_DOUBLE), gradient.ctypes.data_as(_DOUBLE), ctypes.byref(value), self._data
        )
        if failed:
            return -np.inf, np.full(self.size, np.nan)
        return value.value, gradient


_EXPAND = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_uint64, ctypes.c_uint64, _DOUBLE, _DOUBLE, ctypes.c_void_p)


def expansion(compiled):
    """A function of an unconstrained point that gives all that is recorded of a draw, in the order of ``shape_info``."""
    call, data = _EXPAND(compiled.compiled_expand_func.address), compiled.user_data.ctypes.data

    def expand(x: np.ndarray) -> np.ndarray:
        x, out = np.ascontiguousarray(x, float), np.empty(compiled.n_expanded)
        if call(compiled.n_dim, compiled.n_expanded, x.ctypes.data_as(_DOUBLE), out.ctypes.data_as(_DOUBLE), data):
            raise FloatingPointError("a draw could not be expanded")
        return out

    return expand
