"""From a PyMC model to the two C callbacks of the sampler, without compiling again what is in PyTensor's cache on disk.

nutpie's own step wraps PyTensor's compiled function in a numba callback, and numba optimises all of it once more in every
process. Here the callback only packs the arguments and calls the machine code where it lies. That code is what PyTensor keeps
on disk, under a key of the whole graph with its constants, the kernels' version (``KERNEL_VERSION``) and fastmath, and numba
adds argument types, its own version, the processor's name and its features.
"""

from __future__ import annotations

import numba
import numpy as np
import nutpie.compile_pymc as nutpie_pymc
import pytensor
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array
from pymc.initial_point import make_initial_point_fn
from pytensor.link.numba import cache

_REALS = types.CPointer(types.double)
_WORD = ir.IntType(64)


def compile_callbacks(model) -> nutpie_pymc.CompiledPyMCModel:
    """What `nutpie.compile_pymc_model` gives with its defaults.

    Parameters
    ----------
    model : pymc.Model

    Returns
    -------
    CompiledPyMCModel
        ``with_data`` gives the same for other values of the model's data, without compiling.
    """
    try:
        return _compiled(model)
    except Exception:  # a damaged file in the cache can raise anything, and so can a nutpie that looks different inside
        with pytensor.config.change_flags(numba__cache=False):
            compiled = nutpie_pymc.compile_pymc_model(model)  # fails again if the model is to blame
        for file in cache.NUMBA_CACHE_PATH.glob("*.nb[ci]"):
            file.unlink(missing_ok=True)  # to be made again: which of them it was, nobody can tell
        return compiled


def _compiled(model):
    start = make_initial_point_fn(
        model=model, default_strategy="support_point", jitter_rvs=set(model.free_RVs), return_transformed=True
    )
    start = nutpie_pymc._wrap_with_lock(start)
    n_dim, n_expanded, density, expansion, initial, shape_info, transformed = nutpie_pymc._make_functions(
        model, mode="NUMBA", compute_grad=True, join_expanded=True, pymc_initial_point_fn=start
    )
    shared = list(dict.fromkeys([*density.get_shared(), *expansion.get_shared()]))
    names = {variable: variable.name or f"unnamed {k}" for k, variable in enumerate(shared)}
    if len(set(names.values())) < len(names):
        raise ValueError("two data of the model have the same name")
    values = {names[variable]: np.array(variable.get_value(), order="C", copy=True) for variable in shared}
    for value in values.values():
        value.flags.writeable = False
    dims, coords = nutpie_pymc._prepare_dims_and_coords(model, shape_info, transformed)
    places = _places(shared)
    return nutpie_pymc.CompiledPyMCModel(
        _n_dim=n_dim,
        dims=dims,
        _coords=coords,
        _shapes={name: tuple(shape) for name, _, shape in zip(*shape_info, strict=True)},
        compiled_logp_func=_density_callback(n_dim, _caller(density, places)),
        compiled_expand_func=_expansion_callback(n_dim, n_expanded, _caller(expansion, places)),
        initial_point_func=initial,
        shared_data=values,
        shared_var_keys=names,
        user_data=nutpie_pymc.make_user_data(names, values),
        n_expanded=n_expanded,
        shape_info=shape_info,
        logp_func=density,  # these hold the machine code that the callbacks call
        expand_func=expansion,
        reparameterized_names=transformed,
    )


def _places(shared) -> dict:
    """Where nutpie's record keeps each array, in words of 64 bits: all addresses, all sizes, then the shapes."""
    places, at = {}, 2 * len(shared)
    for k, variable in enumerate(shared):
        places[variable] = k, at
        at += variable.ndim
    return places


def _density_callback(n_dim: int, call):
    """log density and gradient at a point; what it returns is nutpie's: 0, or why the point is to be refused."""

    def density(size, point, gradient, value, data):
        if size != n_dim:
            return -1
        try:
            found, slopes = call(numba.carray(point, (n_dim,)), data)
            value[0] = found[()]
            finite = True
            for k in range(n_dim):
                gradient[k] = slopes[k]
                finite &= np.isfinite(slopes[k])
            if not finite:
                return 3
            if not np.isfinite(found[()]):
                return 4
        except Exception:  # numba knows no other
            return 1
        return 0

    return numba.cfunc(types.int64(types.uint64, _REALS, _REALS, _REALS, types.voidptr))(density)


def _expansion_callback(n_dim: int, n_expanded: int, call):
    """The parameters on their own scales and what the model computes beside them."""

    def expansion(size, size_expanded, point, expanded, data):
        if size != n_dim or size_expanded != n_expanded:
            return -1
        try:
            (found,) = call(numba.carray(point, (n_dim,)), data)
            for k in range(n_expanded):
                expanded[k] = found[k]
        except Exception:  # numba knows no other
            return -2
        return 0

    return numba.cfunc(types.int64(types.uint64, types.uint64, _REALS, _REALS, types.voidptr))(expansion)


def _caller(function, places: dict):
    """A function (point, record of the data) for numba code, which calls a PyTensor function's machine code at its address."""
    variables = function.get_shared()
    arrays = [types.Array(numba.from_dtype(np.dtype(v.dtype)), v.ndim, "C") for v in variables]
    given = (types.Array(types.float64, 1, "C"), *arrays)
    entry = _entry(function.vm.jit_fn, given)
    (packed,) = entry.signature.args  # PyTensor's functions take *args: one tuple
    result = entry.signature.return_type
    address = entry.library.get_pointer_to_function(entry.fndesc.llvm_func_name)

    @intrinsic
    def call(typingctx, point, record):
        def codegen(context, builder, signature, arguments):
            words = builder.bitcast(arguments[1], _WORD.as_pointer())

            def array(kind, place):
                own = (place[0], *range(place[1], place[1] + kind.ndim))
                word = [builder.load(cgutils.gep_inbounds(builder, words, k)) for k in own]
                size = context.get_abi_sizeof(context.get_data_type(kind.dtype))
                strides = [ir.Constant(_WORD, size)]
                for extent in reversed(word[2:]):
                    strides.insert(0, builder.mul(strides[0], extent))
                made = make_array(kind)(context, builder)
                populate_array(
                    made,
                    data=builder.inttoptr(word[0], context.get_data_type(kind.dtype).as_pointer()),
                    shape=word[1:],
                    strides=strides[: kind.ndim],
                    itemsize=ir.Constant(_WORD, size),
                    meminfo=None,  # not numba's to free
                )
                return made._getvalue()

            parts = [arguments[0], *(array(kind, places[v]) for kind, v in zip(arrays, variables, strict=True))]
            convention = context.call_conv
            kind = convention.get_function_type(result, (packed,)).as_pointer()
            callee = builder.inttoptr(ir.Constant(_WORD, address), kind)
            status, found = convention.call_function(
                builder, callee, result, (packed,), [context.make_tuple(builder, packed, parts)]
            )
            with cgutils.if_unlikely(builder, status.is_error):
                convention.return_status_propagate(builder, status)
            return found

        return result(point, record), codegen

    return call


def _entry(dispatcher, given):
    """The compiled form of a numba function for these argument types, from the cache on disk where it is there."""
    known = set(dispatcher.overloads)
    dispatcher.get_call_template(given, {})
    (new,) = set(dispatcher.overloads) - known
    return dispatcher.overloads[new]
