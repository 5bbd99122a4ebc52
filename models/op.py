"""The likelihood as one PyTensor Op: value and all gradients in one pass over the data."""

import pytensor.tensor as pt
from pytensor.gradient import disconnected_type
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key

from .likelihood import KERNEL_VERSION
from .likelihood.filter import log_scale_gradients

INTEGERS = ("step_offset", "step_prelude", "step_epoch", "step_survey", "epoch_base", "survey_indicator")
DATA = (
    "step_offset", "step_prelude", "step_gap", "step_epoch", "step_survey", "epoch_base",
    "survey_score", "survey_repeats", "survey_indicator", "start_anchor",
)  # fmt: skip
OWNER = "epoch_clinician"
MATRICES = ("clinician", "shift")
CLINICIAN_PARAMETERS = ("level_mean", "level_var", "start_shift", "start_var")
INDICATOR_PARAMETERS = ("intercept", "loading", "error_var")
PARAMETERS = MATRICES + CLINICIAN_PARAMETERS + INDICATOR_PARAMETERS
INPUTS = (*DATA, OWNER, *PARAMETERS)


class CapacityLogLikelihood(Op):
    """Log-likelihood of each clinician's scores, its gradients beside it.

    Inputs are the data arrays of `likelihood.filter.log_likelihood` in its order, ``epoch_clinician`` (int, epochs),
    the owner of each epoch, and the parameters: ``clinician`` (clinicians x 3: logs of level, rate and stationary
    standard deviation), ``shift`` (epochs x 3, added to the owner's), then those of the filter by clinician and by
    indicator. Outputs are the log-likelihoods (clinicians) and their derivatives by each parameter, which `pullback`
    multiplies by the cotangents: these may differ between clinicians, so the Op is right inside any model. Gradients
    of the gradients are not available.
    """

    __props__ = ()

    def make_node(self, *inputs):
        if len(inputs) != len(INPUTS):
            raise ValueError(f"expected {len(INPUTS)} inputs ({', '.join(INPUTS)}), got {len(inputs)}")
        variables = []
        for name, value in zip(INPUTS, inputs, strict=True):
            dtype = "int32" if name in INTEGERS or name == OWNER else "float64"
            variable = pt.as_tensor_variable(value)
            if variable.ndim != (2 if name in MATRICES else 1):
                raise ValueError(f"{name} has {variable.ndim} dimensions")
            variables.append(variable if variable.dtype == dtype else pt.cast(variable, dtype))
        outputs = [pt.vector(dtype="float64")]
        outputs += [pt.matrix(dtype="float64") for _ in MATRICES]
        outputs += [pt.vector(dtype="float64") for _ in CLINICIAN_PARAMETERS]
        outputs += [pt.matrix(dtype="float64") for _ in INDICATOR_PARAMETERS]
        return Apply(self, variables, outputs)

    def perform(self, node, inputs, output_storage):
        for storage, value in zip(output_storage, log_scale_gradients(*inputs), strict=True):
            storage[0] = value

    def infer_shape(self, node, input_shapes):
        shapes = dict(zip(INPUTS, input_shapes, strict=True))
        clinicians = shapes["epoch_base"]
        shape = [clinicians, *(shapes[name] for name in MATRICES)]
        shape += [clinicians for _ in CLINICIAN_PARAMETERS]
        shape += [(clinicians[0], shapes["intercept"][0]) for _ in INDICATOR_PARAMETERS]
        return shape

    def connection_pattern(self, node):
        return [[name in PARAMETERS] + [False] * (len(node.outputs) - 1) for name in INPUTS]

    def pullback(self, inputs, outputs, cotangents):
        cotangent = cotangents[0]
        owner = inputs[INPUTS.index(OWNER)]
        by_clinician, by_epoch, *derivatives = outputs[1:]
        gradients = [disconnected_type() for _ in (*DATA, OWNER)]
        gradients += [cotangent[:, None] * by_clinician, cotangent[owner][:, None] * by_epoch]
        gradients += [cotangent * d for d in derivatives[: len(CLINICIAN_PARAMETERS)]]
        gradients += [pt.dot(cotangent, d) for d in derivatives[len(CLINICIAN_PARAMETERS) :]]
        return gradients


@register_funcify_default_op_cache_key(CapacityLogLikelihood)
def _(op, node, **kwargs):
    @numba_njit
    def run(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, owner, p0, p1, p2, p3, p4, p5, p6, p7, p8):
        return log_scale_gradients(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, owner, p0, p1, p2, p3, p4, p5, p6, p7, p8)

    return run, KERNEL_VERSION


capacity_log_likelihood = CapacityLogLikelihood()
