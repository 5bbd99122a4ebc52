"""The project itself behind the protocol of `worker.py` (project's environment).

    python ours.py equipoise ours SIZE SEED

Only ``equipoise.fit`` and the model that ``CapacityModel.build`` gives are used. ``cpu`` is the processor time between the
end of compiling and the end of sampling, as for the peers; ``cpu_fit`` that of the whole call with compiling and everything
that is derived and checked.
"""

import resource
import sys
import time
import warnings

import numpy as np
import pytensor
from posterior import LEVERS, POPULATION, join, split, start
from studies import plain, simulated
from worker import serve, summary

import equipoise as eq
from equipoise.inference import fitting

NAMES = {"error_sd": "error_sd_total"}  # with rounding: a monotone function of ours, so of the same ESS and R-hat


def processor_time():
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, kinds))


class Clock:
    """Processor and wall time at the end of the last call of one function of a module, and the time inside it."""

    def __init__(self, module, name):
        self.cpu, self.wall, self.inside = processor_time(), time.perf_counter(), 0.0
        inner = getattr(module, name)

        def clocked(*args, **kwargs):
            begun = time.perf_counter()
            try:
                return inner(*args, **kwargs)
            finally:
                self.cpu, self.wall = processor_time(), time.perf_counter()
                self.inside += self.wall - begun

        setattr(module, name, clocked)


def sample(model, study, floor, details, seed, tune, draws, chains, cores, **_):
    # whatever else is done between the two to help the sampler is counted, as is a second try
    compiled, finished = Clock(fitting, "compile_model"), Clock(fitting, "sample")
    used = processor_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what failed is in the figures
        fit = eq.fit(model, study, seed=seed, tune=tune, draws=draws, chains=chains, progress=False, cores=cores)
    whole = processor_time() - used
    posterior = fit.tree["posterior"]
    values = {name: posterior[NAMES.get(name, name)].to_numpy() for name in (*POPULATION, *LEVERS)}
    # a monotone transform, undone so that means can be compared
    values["error_sd"] = np.sqrt(np.maximum(values["error_sd"] ** 2 - floor, 0))
    facts, stats = fit.facts["sampling"], fit.tree["sample_stats"]
    return summary(values, details) | {
        "cpu": finished.cpu - compiled.cpu, "wall": finished.wall - compiled.wall, "compile": compiled.inside, "cpu_fit": whole,
        "chains": chains, "draws": draws,
        "divergences": int(stats["diverging"].sum()), "tries": facts["tries"], "accept": facts["target_accept"],
        "steps": float(stats["n_steps"].sum()), "stopped": not fit.complete,
    }  # fmt: skip


def posterior_function(pymc_model):
    """Value and gradient of the whole model, compiled as for sampling, and its variables in order."""
    with pytensor.config.change_flags(numba__fastmath=False):
        function = pymc_model.logp_dlogp_function(ravel_inputs=True)
    function.set_extra_values({})
    return function, [v.name for v in pymc_model.value_vars]


def kernel_of(pymc_model):
    """The likelihood's Op alone with all its outputs (value and gradients), at the model's initial point."""
    from pytensor.graph.traversal import ancestors

    potential = pymc_model.replace_rvs_by_values(pymc_model.potentials)
    node = next(v.owner for v in ancestors(potential) if v.owner and type(v.owner.op).__module__.startswith("equipoise"))
    with pytensor.config.change_flags(numba__fastmath=False):
        read = pytensor.function(pymc_model.value_vars, node.inputs, on_unused_input="ignore", mode="FAST_COMPILE")
        inputs = [variable.type() for variable in node.inputs]
        function = pytensor.function(inputs, node.op(*inputs, return_list=True), mode="NUMBA")
    at = pymc_model.initial_point()
    values = [np.array(value) for value in read(*(at[v.name] for v in pymc_model.value_vars))]
    function.trust_input = True
    return timer_of(function, *values)


def timer_of(function, *given):
    function(*given)

    def run(calls):
        begun = time.perf_counter_ns()
        for _ in range(calls):
            function(*given)
        return (time.perf_counter_ns() - begun) / calls

    return run


def in_our_order(names, sizes, flat):
    """A flat vector of the builder's variables cut into the blocks of `posterior.py`."""
    cut, at = {}, 0
    for name in names:
        cut[name] = flat[at] if sizes[name] == 1 and not name.endswith("_z") else flat[at : at + sizes[name]]
        at += sizes[name]
    return cut


def gradient(study, function, variables, seed):
    parts = split(start("ours", study, np.random.default_rng(seed)), "ours", study)
    names = [name.partition("_log")[0].removesuffix("_simplex__") for name in variables]
    if set(names) != set(parts):
        return {"note": "the builder's variables are no longer those of posterior.py; only draws are compared"}
    value, slope = function(np.concatenate([np.atleast_1d(parts[name]) for name in names]))
    cut = in_our_order(names, {name: np.size(part) for name, part in parts.items()}, slope)
    return {"value": float(value), "gradient": join(cut, "ours", study).tolist()}


def main(size, seed):
    model, study = simulated(size, int(seed))
    arrays = plain(model, study)
    timers, compiled = {}, []

    def answer(what, request):
        if what == "sample":
            return sample(model, study, arrays.floor, **request)
        if not compiled:
            built = model.build(study)
            compiled.extend((built, *posterior_function(built)))
        built, function, names = compiled
        if what == "gradient":
            return gradient(arrays, function, names, request["seed"])
        if not timers:
            raw, at = function._pytensor_function, built.initial_point()
            raw.trust_input = True
            timers["posterior"] = timer_of(raw, np.concatenate([np.ravel(at[name]) for name in names]))
            timers["filter, level integrated"] = kernel_of(built)
            timers["filter"] = kernel_of(eq.CapacityModel(level="sampled").build(study))
        return {name: run(request["calls"]) / arrays.rows for name, run in timers.items()}

    serve(answer)


if __name__ == "__main__":
    main(*sys.argv[3:])
