"""The likelihood as one PyTensor Op: value and all gradients in one pass over the data."""

import pytensor.tensor as pt
from pytensor.gradient import disconnected_type
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key

from .likelihood import KERNEL_VERSION
from .likelihood.filter import log_likelihood_and_gradients

INTEGERS = ("step_offset", "step_prelude", "step_epoch", "step_survey", "epoch_base", "survey_indicator")
DATA = (
    "step_offset", "step_prelude", "step_gap", "step_epoch", "step_survey", "epoch_base",
    "survey_score", "survey_repeats", "survey_indicator", "start_anchor",
)  # fmt: skip
EPOCH_PARAMETERS = ("level", "rate", "variance")
CLINICIAN_PARAMETERS = ("level_mean", "level_var", "start_shift", "start_var")
INDICATOR_PARAMETERS = ("intercept", "loading", "error_var")
PARAMETERS = EPOCH_PARAMETERS + CLINICIAN_PARAMETERS + INDICATOR_PARAMETERS


class CapacityLogLikelihood(Op):
    """Log-likelihood of each clinician's scores, its gradients beside it.

    Inputs are the arrays of `likelihood.filter.log_likelihood`, in its order, then ``epoch_clinician`` (int, epochs),
    the owner of each epoch. Outputs are the log-likelihoods (clinicians) and its derivatives by each parameter, which
    `pullback` multiplies by the cotangents: these may differ between clinicians, so the Op is right inside any model.
    Gradients of the gradients are not available.
    """

    __props__ = ()

    def make_node(self, *inputs):
        names = (*DATA, *PARAMETERS, "epoch_clinician")
        if len(inputs) != len(names):
            raise ValueError(f"expected {len(names)} inputs ({', '.join(names)}), got {len(inputs)}")
        variables = []
        for name, value in zip(names, inputs, strict=True):
            dtype = "int64" if name in INTEGERS or name == "epoch_clinician" else "float64"
            variable = pt.as_tensor_variable(value)
            if variable.ndim != 1:
                raise ValueError(f"{name} must be a vector, not of {variable.ndim} dimensions")
            variables.append(variable if variable.dtype == dtype else pt.cast(variable, dtype))
        outputs = [pt.vector(dtype="float64") for _ in range(1 + len(EPOCH_PARAMETERS) + len(CLINICIAN_PARAMETERS))]
        outputs += [pt.matrix(dtype="float64") for _ in INDICATOR_PARAMETERS]
        return Apply(self, variables, outputs)

    def perform(self, node, inputs, output_storage):
        for storage, value in zip(output_storage, log_likelihood_and_gradients(*inputs[:-1]), strict=True):
            storage[0] = value

    def infer_shape(self, node, input_shapes):
        shapes = dict(zip((*DATA, *PARAMETERS), input_shapes, strict=False))
        clinicians = shapes["epoch_base"]
        shape = [clinicians]
        shape += [shapes["level"] for _ in EPOCH_PARAMETERS]
        shape += [clinicians for _ in CLINICIAN_PARAMETERS]
        shape += [(clinicians[0], shapes["intercept"][0]) for _ in INDICATOR_PARAMETERS]
        return shape

    def connection_pattern(self, node):
        differentiable = [name in PARAMETERS for name in (*DATA, *PARAMETERS, "epoch_clinician")]
        return [[connected] + [False] * (len(node.outputs) - 1) for connected in differentiable]

    def pullback(self, inputs, outputs, cotangents):
        cotangent = cotangents[0]
        gradients = [disconnected_type() for _ in DATA]
        by_epoch = cotangent[inputs[-1]]
        derivatives = iter(outputs[1:])
        gradients += [by_epoch * next(derivatives) for _ in EPOCH_PARAMETERS]
        gradients += [cotangent * next(derivatives) for _ in CLINICIAN_PARAMETERS]
        gradients += [pt.dot(cotangent, next(derivatives)) for _ in INDICATOR_PARAMETERS]
        return [*gradients, disconnected_type()]


@register_funcify_default_op_cache_key(CapacityLogLikelihood)
def _(op, node, **kwargs):
    @numba_njit
    def run(
        a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, p0, p1, p2, p3, p4, p5, p6, p7, p8, p9, epoch_clinician
    ):  # fmt: skip
        return log_likelihood_and_gradients(
            a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, p0, p1, p2, p3, p4, p5, p6, p7, p8, p9
        )

    return run, KERNEL_VERSION


capacity_log_likelihood = CapacityLogLikelihood()
