"""The posterior in PyMC: ``pytensor.scan`` over surveys with all clinicians side by side, sampled by nutpie (numba)."""

import resource
import time

import numpy as np
import nutpie
import pymc as pm
import pytensor
import pytensor.tensor as pt
from posterior import LN2, blocks, join, rectangle, split

TRANSFORMS = ("_log__", "_logodds__", "_simplex__")


def innovations(gap, score, rate, omega, shift, start_sd, error, with_constant):
    """Innovation variances, and the innovations of the scores and, if asked for, of a constant 1 (surveys x clinicians)."""
    stationary = omega**2

    def step(keep, y, mean, variance, *rest):
        *ones, stationary, error = rest
        variance = stationary + keep * keep * (variance - stationary)
        total = variance + error
        gain = variance / total
        mean = keep * mean
        v = y - mean
        out = [mean + gain * v, gain * error]
        if ones:
            before = keep * ones[0]
            one = 1 - before
            return [*out, before + gain * one, total, v, one]
        return [*out, total, v]

    begin = [shift + pt.zeros_like(rate), start_sd**2] + ([pt.zeros_like(rate)] if with_constant else [])
    outputs = pytensor.scan(
        step,
        sequences=[pt.exp(-rate * gap), score],
        outputs_info=[*begin, None, None, *([None] if with_constant else [])],
        non_sequences=[stationary, error],
        return_updates=False,
    )
    return outputs[len(begin) :]


def plain_filter(gap, score, capacity, rate, omega, shift, start_sd, error):
    total, v = innovations(gap, score - capacity, rate, omega, shift, start_sd, error, False)
    return -0.5 * (pt.log(total) + v * v / total).sum()


def integrated_filter(gap, score, capacity, rate, omega, shift, start_sd, error, mean, sd):
    """The same with e ~ Normal(mean, sd) integrated out, C* being capacity (1 + e)."""
    total, v, one = innovations(gap, score - capacity, rate, omega, shift, start_sd, error, True)
    by = one / total
    vl, ll = capacity * (v * by).sum(axis=0), capacity**2 * (one * by).sum(axis=0)
    d, r = 1 + sd**2 * ll, vl - mean * ll
    quadratic = -2 * mean * vl + mean**2 * ll + pt.log(d) - sd**2 * r**2 / d
    return -0.5 * ((pt.log(total) + v * v / total).sum() + quadratic.sum())


def build(study, coordinates) -> pm.Model:
    """The PyMC model; variables have the names of `posterior.blocks`."""
    prior = {name: study.normal(name) for name in ("level", "half_life", "total_sd", "start_shift", "start_sd_ratio")}
    shares = np.array(study.priors["variance_shares"]["concentration"], float)
    n, units = study.clinicians, study.units
    with pm.Model() as model:
        # data, as constants would be compiled into the machine code
        gap, score, unit = pm.Data("gap", study.gap), pm.Data("score", study.score), pm.Data("unit", study.unit)
        if coordinates == "ours":
            level = pm.LogNormal("level", *prior["level"])
            beta = LN2 / pm.LogNormal("half_life", *prior["half_life"])
            trait_sd, process_sd, error_sd = (
                pm.LogNormal("total_sd", *prior["total_sd"]) * pt.sqrt(pm.Dirichlet("variance_shares", shares))
            )
        else:
            log_beta = pm.Normal("log_beta", np.log(LN2) - prior["half_life"][0], prior["half_life"][1])
            log_alpha = pm.Normal("log_alpha", prior["level"][0] + log_beta, prior["level"][1])
            level, beta = pt.exp(log_alpha - log_beta), pt.exp(log_beta)
            log_sd = pm.Flat("log_sd", shape=3, initval=np.full(3, prior["total_sd"][0] - 0.5 * np.log(3)))
            # total_sd and the shares have the priors; this is their density in the logs of the three
            log_total = 0.5 * pt.logsumexp(2 * log_sd)
            pm.Potential(
                "sd_prior",
                pm.logp(pm.Normal.dist(*prior["total_sd"]), log_total) + (shares * 2 * (log_sd - log_total)).sum(),
            )
            trait_sd, process_sd, error_sd = pt.exp(log_sd)
        concordance = study.priors["level_rate_concordance"]
        rho = 2 * pm.Beta("level_rate_concordance", concordance["a"], concordance["b"]) - 1
        sds = {
            name: pm.HalfNormal(name, study.priors[name]["sd"])
            for name in ("rate_sd", "spread_sd", "unit_level_sd", "unit_rate_sd")
        }
        shift = pm.Normal("start_shift", *prior["start_shift"])
        ratio = pm.LogNormal("start_sd_ratio", *prior["start_sd_ratio"])
        rate_z, spread_z = pm.Normal("rate_z", shape=n), pm.Normal("spread_z", shape=n)
        unit_level = sds["unit_level_sd"] * pm.Normal("unit_level_z", shape=units)
        unit_rate = sds["unit_rate_sd"] * pm.Normal("unit_rate_z", shape=units)
        capacity = level * pt.exp(unit_level)[unit]
        rate = beta * pt.exp(unit_rate[unit] + sds["rate_sd"] * rate_z)
        omega = process_sd * pt.exp(sds["spread_sd"] * spread_z)
        e_mean, e_sd = trait_sd / level * rho * rate_z, trait_sd / level * pt.sqrt(1 - rho**2)
        error = error_sd**2 + study.floor
        if coordinates == "ours":
            scores = integrated_filter(gap, score, capacity, rate, omega, shift, omega * ratio, error, e_mean, e_sd)
        else:
            capacity = capacity * (1 + e_mean + e_sd * pm.Normal("level_z", shape=n))
            scores = plain_filter(gap, score, capacity, rate, omega, shift, omega * ratio, error)
        pm.Potential("scores", scores)
    return model


class Peer:
    name = "pymc"

    def __init__(self, study, coordinates):
        self.study, self.coordinates = study, coordinates
        self.model = build(study, coordinates)
        self._function = None

    @property
    def function(self):
        if self._function is None:
            self._function = self.model.logp_dlogp_function(ravel_inputs=True)
            self._function.set_extra_values({})
        return self._function

    def raveled(self, theta):
        """Our flat vector in the order of PyMC's."""
        parts = split(np.asarray(theta), self.coordinates, self.study)
        return np.concatenate([np.atleast_1d(parts[plain_name(v.name)]) for v in self.model.value_vars])

    def gradient(self, theta):
        value, slope = self.function(self.raveled(theta))
        sizes, cut, at = dict(blocks(self.coordinates, self.study)), {}, 0
        for variable in self.model.value_vars:
            name = plain_name(variable.name)
            piece = slope[at : at + sizes[name]]
            cut[name] = piece if name.endswith("_z") or sizes[name] > 1 else piece[0]
            at += sizes[name]
        return float(value), join(cut, self.coordinates, self.study)

    def timer(self, theta):
        function, at = self.function._pytensor_function, self.raveled(theta)
        function.trust_input = True
        return lambda calls: _nanoseconds(function, at, calls)

    def sample(self, seed, tune, draws, chains, accept, limit, cores):
        begun = time.perf_counter()
        compiled = nutpie.compile_pymc_model(self.model)
        spent = {"compile": time.perf_counter() - begun}
        used, began = processor_time(), time.perf_counter()
        sampler = nutpie.sample(
            compiled, draws=draws, tune=tune, chains=chains, cores=cores, seed=seed, target_accept=accept,
            progress_bar=False, save_warmup=True, blocking=False, store_unconstrained=True,
        )  # fmt: skip
        try:
            tree = sampler.wait(timeout=limit)
        except TimeoutError:
            tree = sampler.abort()
        spent |= {"cpu": processor_time() - used, "wall": time.perf_counter() - began}
        return self.kept(tree) | spent

    def kept(self, tree):
        stats, warm = tree["sample_stats"].to_dataset(), tree["warmup_sample_stats"].to_dataset()
        lengths = np.isfinite(stats["energy"].to_numpy()).sum(axis=1)
        chains, length = rectangle(list(lengths))
        flat = stats["unconstrained_draw"].to_numpy()[chains, :length]
        sizes, cut, at = dict(blocks(self.coordinates, self.study)), {}, 0
        for variable in self.model.value_vars:
            name = plain_name(variable.name)
            piece = flat[..., at : at + sizes[name]]
            cut[name] = piece if name.endswith("_z") or sizes[name] > 1 else piece[..., 0]
            at += sizes[name]
        steps = np.nansum(stats["n_steps"].to_numpy()) + np.nansum(warm["n_steps"].to_numpy())
        return {
            "theta": join(cut, self.coordinates, self.study), "steps": float(steps),
            "diverging": stats["diverging"].to_numpy()[chains, :length].astype(bool),
        }  # fmt: skip


def plain_name(name):
    for ending in TRANSFORMS:
        name = name.removesuffix(ending)
    return name


def _nanoseconds(function, at, calls):
    begun = time.perf_counter_ns()
    for _ in range(calls):
        function(at)
    return (time.perf_counter_ns() - begun) / calls


def processor_time():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
