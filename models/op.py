"""The likelihood as one PyTensor Op: value and all gradients in one pass over the data."""

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import disconnected_type
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key

from .likelihood import KERNEL_VERSION
from .likelihood.packing import PACKED
from .likelihood.side_by_side import VERSIONS, threads_are_safe

FLOATS = ("gap", "score", "weight", "slot_columns", "lane_anchor", "lane_answers")
OWNER = "epoch_clinician"
THREADS = "threads"
MATRICES = ("clinician", "shift", "effects")
LEVEL_PARAMETERS = ("level_mean", "level_var")
START_PARAMETERS = ("start_shift", "start_var")
INDICATOR_PARAMETERS = ("intercept", "loading", "error_var")
PARAMETERS = MATRICES + LEVEL_PARAMETERS + START_PARAMETERS + INDICATOR_PARAMETERS


class CapacityLogLikelihood(Op):
    """Log-likelihood of each clinician's scores, its gradients beside it.

    Inputs are the arrays of `likelihood.packing.pack` in its order, ``epoch_clinician`` (int, epochs), the owner of each
    epoch, where ``threaded`` the number of ``threads`` (int, one entry), and the parameters: ``clinician`` (clinicians x 3: logs of
    level, rate and stationary standard deviation), ``shift`` (epochs x 3, added to the owner's; no rows where nothing is),
    ``effects`` ((1 or clinicians) x (columns x 3), of the epochs' columns on the owner's logs), then those of the filter by clinician
    (``level_mean`` and ``level_var`` only where ``integrated``) and by indicator. Outputs are the log-likelihoods (clinicians) and
    their derivatives by each parameter, by effects for every clinician, which `pullback` multiplies by the cotangents: these may
    differ between clinicians, so the Op is right inside any model. Gradients of the gradients are not available.

    Parameters
    ----------
    integrated : bool
        Whether each clinician's level is integrated out. Otherwise its deviation e is 0, and the work less.
    threaded : bool
        Whether clinicians may be shared out over threads. The numbers are the same; compilation takes longer. Where numba
        has no threads that several chains can use at once (`threads_are_safe`), one is used.
    """

    __props__ = ("integrated", "threaded")

    def __init__(self, integrated: bool = True, threaded: bool = False):
        self.integrated, self.threaded = bool(integrated), bool(threaded)
        self.parameters = tuple(p for p in PARAMETERS if integrated or p not in LEVEL_PARAMETERS)
        self.data = (*PACKED, OWNER, *((THREADS,) if threaded else ()))
        self.inputs = self.data + self.parameters

    def make_node(self, *inputs):
        if len(inputs) != len(self.inputs):
            raise ValueError(f"expected {len(self.inputs)} inputs ({', '.join(self.inputs)}), got {len(inputs)}")
        variables = []
        for name, value in zip(self.inputs, inputs, strict=True):
            dtype = "float64" if name in FLOATS or name in PARAMETERS else "int32"
            variable = pt.as_tensor_variable(value)
            if variable.ndim != (2 if name in ("blocks", *MATRICES) else 1):
                raise ValueError(f"{name} has {variable.ndim} dimensions")
            variables.append(variable if variable.dtype == dtype else pt.cast(variable, dtype))
        outputs = [pt.vector(dtype="float64")]
        for name in self.parameters:
            outputs.append((pt.matrix if name in MATRICES + INDICATOR_PARAMETERS else pt.vector)(dtype="float64"))
        return Apply(self, variables, outputs)

    def perform(self, node, inputs, output_storage):
        # one kind of array, so that numba compiles once
        arrays = [np.require(value, requirements="CW") for value in inputs]
        threads = int(arrays[len(PACKED) + 1][0]) if self.threaded else 1
        kernel = VERSIONS[self.integrated, self.threaded and threads_are_safe()]
        results = kernel(threads, tuple(arrays[: len(PACKED)]), tuple(arrays[len(self.data) :]))
        for storage, value in zip(output_storage, results, strict=True):
            storage[0] = value

    def infer_shape(self, node, input_shapes):
        shapes = dict(zip(self.inputs, input_shapes, strict=True))
        clinicians = shapes["clinician"][0]
        shapes["effects"] = (clinicians, shapes["effects"][1])
        shapes |= dict.fromkeys(INDICATOR_PARAMETERS, (clinicians, shapes["intercept"][0]))
        return [(clinicians,), *(shapes[p] for p in self.parameters)]

    def connection_pattern(self, node):
        return [[name in PARAMETERS] + [False] * (len(node.outputs) - 1) for name in self.inputs]

    def pullback(self, inputs, outputs, cotangents):
        cotangent = cotangents[0]
        owner = inputs[self.inputs.index(OWNER)]
        gradients = [disconnected_type() for _ in self.data]
        for name, derivative in zip(self.parameters, outputs[1:], strict=True):
            if name in INDICATOR_PARAMETERS:
                gradients.append(pt.dot(cotangent, derivative))
            elif name == "shift":
                gradients.append(cotangent[owner][:, None] * derivative)
            elif name == "effects" and inputs[self.inputs.index(name)].type.shape[0] == 1:
                gradients.append(pt.dot(cotangent, derivative)[None])
            else:
                gradients.append((cotangent[:, None] if name in MATRICES else cotangent) * derivative)
        return gradients


@register_funcify_default_op_cache_key(CapacityLogLikelihood)
def _(op, node, **kwargs):
    # also starts numba's threads, which code that comes from a cache takes for granted
    threaded = op.threaded and threads_are_safe()
    kernel = VERSIONS[op.integrated, threaded]
    packed, data, count = len(PACKED), len(op.data), len(op.data) - 1
    if op.threaded:

        @numba_njit
        def run(*inputs):
            return kernel(inputs[count][0], inputs[:packed], inputs[data:])

    else:

        @numba_njit
        def run(*inputs):
            return kernel(1, inputs[:packed], inputs[data:])

    return run, KERNEL_VERSION + threaded


def capacity_log_likelihood(*inputs, integrated: bool = True, threaded: bool = False):
    """Outputs of `CapacityLogLikelihood` for its inputs."""
    return CapacityLogLikelihood(integrated, threaded)(*inputs)
