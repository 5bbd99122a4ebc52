"""The joint log density of all unconstrained parameters, as the sampler calls it."""

from __future__ import annotations

import ctypes

import numpy as np

_DOUBLE = ctypes.POINTER(ctypes.c_double)
_EXPANSION = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_uint64, ctypes.c_uint64, _DOUBLE, _DOUBLE, ctypes.c_void_p)
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


class Expansion:
    """All that a compiled model records of a draw, as a function of its coordinates.

    Parameters
    ----------
    compiled : compiled model
        As from `sampling.compile_model`, or in other coordinates.
    """

    def __init__(self, compiled):
        self.compiled = compiled
        self._call = _EXPANSION(compiled.compiled_expand_func.address)
        self._data = compiled.user_data.ctypes.data

    def __call__(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Values by name; NaN where they cannot be computed."""
        x = np.ascontiguousarray(x, float)
        names, slices, shapes = self.compiled.shape_info
        out = np.empty(self.compiled.n_expanded)
        arguments = x.ctypes.data_as(_DOUBLE), out.ctypes.data_as(_DOUBLE), self._data
        if self._call(self.compiled.n_dim, out.size, *arguments):
            out[:] = np.nan
        return {
            name: out[place].reshape(shape)
            for name, place, shape in zip(names, slices, shapes, strict=True) if not name.endswith("__")
        }  # fmt: skip
