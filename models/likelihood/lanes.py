"""A numba type that holds one float64 of each of several clinicians, for arithmetic on all of them at once.

LLVM's vectoriser cannot be relied on for the filter (stores to the workspace might overlap the data, so it gives up), and
the llvmlite on PyPI knows no vectorised exponential. Here every operation is one instruction of LLVM on a vector, which it
turns into whatever registers the machine has (one of AVX-512, two of AVX2, four of SSE or NEON): the
numbers are the same on all of them, but for `muladd`, which rounds once where the machine has fused multiply-add.

Arrays are contiguous, and read and written at a flat position: ``load(array, at)`` takes ``WIDTH`` neighbours from
``array.flat[at]`` on. Positions are not checked.
"""

import operator

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, lower_cast, models, register_model

WIDTH = 8

# for functions of lanes, which become part of their caller: they cannot be called from Python, so that there is less to compile
inlined = njit(nogil=True, forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)

_DOUBLES = ir.VectorType(ir.DoubleType(), WIDTH)
_WORDS = ir.VectorType(ir.IntType(64), WIDTH)
_BITS = ir.VectorType(ir.IntType(1), WIDTH)
_ARITHMETIC = {operator.add: "fadd", operator.sub: "fsub", operator.mul: "fmul", operator.truediv: "fdiv"}
_INTEGER_ARITHMETIC = {
    operator.add: "add", operator.sub: "sub", operator.and_: "and_", operator.or_: "or_", operator.lshift: "shl", operator.rshift: "lshr",
}  # fmt: skip
_COMPARISON = {operator.gt: ">", operator.lt: "<"}


class _Lanes(types.Type):
    def __init__(self, name):
        super().__init__(name=name)


lanes = _Lanes(f"lanes(float64 x {WIDTH})")
words = _Lanes(f"lanes(int64 x {WIDTH})")
marks = _Lanes(f"lanes(bool x {WIDTH})")
_STORAGE = {lanes: _DOUBLES, words: _WORDS, marks: _BITS}
register_model(_Lanes)(lambda manager, kind: models.PrimitiveModel(manager, kind, _STORAGE[kind]))


def _splat(builder, scalar, kind):
    """The same number in every lane."""
    if isinstance(scalar, ir.Constant):
        return ir.Constant(kind, [scalar] * WIDTH)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH))


@lower_cast(types.Float, lanes)
def _(context, builder, given, wanted, value):
    return _splat(builder, context.cast(builder, value, given, types.float64), _DOUBLES)


@lower_cast(types.Integer, words)
def _(context, builder, given, wanted, value):
    return _splat(builder, context.cast(builder, value, given, types.int64), _WORDS)


def _declare(operation, kind, scalars, result, lower):
    """Let numba apply an operator to two vectors, or to a vector and a number."""

    class Template(AbstractTemplate):
        def generic(self, args, keywords):
            if kind in args and all(a == kind or isinstance(a, scalars) for a in args):
                return signature(result, kind, kind)

    infer_global(operation)(Template)
    lower_builtin(operation, kind, kind)(lambda context, builder, sig, args: lower(builder, *args))


for _operation, _name in _ARITHMETIC.items():
    _declare(_operation, lanes, types.Float, lanes, lambda builder, a, b, name=_name: getattr(builder, name)(a, b))
for _operation, _name in _INTEGER_ARITHMETIC.items():
    _declare(_operation, words, types.Integer, words, lambda builder, a, b, name=_name: getattr(builder, name)(a, b))
for _operation, _name in _COMPARISON.items():
    _declare(_operation, lanes, types.Float, marks, lambda builder, a, b, name=_name: builder.fcmp_ordered(name, a, b))


@intrinsic
def broadcast(context, number):
    """A number in every lane."""
    return lanes(types.float64), lambda context, builder, sig, args: _splat(builder, args[0], _DOUBLES)


@intrinsic
def muladd(context, a, b, c):
    """a b + c, rounded once where the machine can."""

    def lower(context, builder, sig, args):
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_DOUBLES, [_DOUBLES] * 3), f"llvm.fmuladd.v{WIDTH}f64"
        )
        return builder.call(function, args)

    return lanes(lanes, lanes, lanes), lower


@intrinsic
def select(context, mark, a, b):
    """a where marked, b elsewhere."""
    return lanes(marks, lanes, lanes), lambda context, builder, sig, args: builder.select(*args)


@intrinsic
def as_words(context, a):
    """The 64 bits of each float64 as an integer."""
    return words(lanes), lambda context, builder, sig, args: builder.bitcast(args[0], _WORDS)


@intrinsic
def as_floats(context, a):
    """The float64 that have these bits."""
    return lanes(words), lambda context, builder, sig, args: builder.bitcast(args[0], _DOUBLES)


@intrinsic
def rounded(context, a):
    """Whole numbers (below 2^63) as float64."""
    return lanes(words), lambda context, builder, sig, args: builder.sitofp(args[0], _DOUBLES)


def _flat(array, dtype=types.float64):
    """Refuse, when numba compiles, what cannot be read at a flat position."""
    if not (isinstance(array, types.Array) and array.layout == "C" and array.dtype == dtype):
        raise TypingError(f"expected a contiguous array of {dtype}, got {array}")


def _at(context, builder, array_type, array, position):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [position]), _DOUBLES.as_pointer())


@intrinsic
def load(context, array, at):
    """The numbers of all lanes, next to each other."""
    _flat(array)

    def lower(context, builder, sig, args):
        return builder.load(_at(context, builder, sig.args[0], *args), align=8)

    return lanes(array, types.intp), lower


@intrinsic
def store(context, array, at, value):
    """Write the numbers of all lanes next to each other."""
    _flat(array)

    def lower(context, builder, sig, args):
        builder.store(args[2], _at(context, builder, sig.args[0], *args[:2]), align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), lower


@intrinsic
def prefetch(context, array, at):
    """Ask the memory for the numbers of all lanes, which will be read soon; a position beyond the end does no harm."""
    _flat(array)

    def lower(context, builder, sig, args):
        address = _at(context, builder, sig.args[0], *args)
        integer = ir.IntType(32)
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [address.type, integer, integer, integer]), "llvm.prefetch.p0"
        )
        builder.call(function, [address, integer(0), integer(3), integer(1)])  # to read, to be kept, data
        return context.get_dummy_value()

    return types.void(array, types.intp), lower


def _places(context, builder, sig, args):
    """Pointer to ``array.flat[index.flat[at + l] * stride + column]`` of each lane l."""
    data = context.make_array(sig.args[0])(context, builder, args[0]).data
    index = context.make_array(sig.args[1])(context, builder, args[1]).data
    for lane in range(WIDTH):
        number = builder.load(builder.gep(index, [builder.add(args[2], ir.Constant(args[2].type, lane))]))
        number = builder.add(builder.mul(builder.sext(number, ir.IntType(64)), args[3]), args[4])
        yield ir.Constant(ir.IntType(32), lane), builder.gep(data, [number])


@intrinsic
def gather(context, array, index, at, stride, column):
    """``array.flat[index.flat[at + l] * stride + column]`` for each lane l."""
    _flat(array)
    _flat(index, types.int32)

    def lower(context, builder, sig, args):
        out = ir.Constant(_DOUBLES, ir.Undefined)
        for lane, place in _places(context, builder, sig, args):
            out = builder.insert_element(out, builder.load(place), lane)
        return out

    return lanes(array, index, types.intp, types.intp, types.intp), lower


@intrinsic
def scatter(context, array, index, at, stride, column, value):
    """Write each lane's number to ``array.flat[index.flat[at + l] * stride + column]``; of equal places the first lane's stays."""
    _flat(array)
    _flat(index, types.int32)

    def lower(context, builder, sig, args):
        for lane, place in reversed(list(_places(context, builder, sig, args))):
            builder.store(builder.extract_element(args[5], lane), place)
        return context.get_dummy_value()

    return types.void(array, index, types.intp, types.intp, types.intp, lanes), lower


@intrinsic
def scatter_add(context, array, index, at, stride, column, value):
    """Add each lane's number to ``array.flat[index.flat[at + l] * stride + column]``, one lane after another."""
    _flat(array)
    _flat(index, types.int32)

    def lower(context, builder, sig, args):
        for lane, place in _places(context, builder, sig, args):
            builder.store(builder.fadd(builder.load(place), builder.extract_element(args[5], lane)), place)
        return context.get_dummy_value()

    return types.void(array, index, types.intp, types.intp, types.intp, lanes), lower
