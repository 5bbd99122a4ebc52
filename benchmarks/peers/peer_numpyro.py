"""The posterior in numpyro: ``jax.lax.scan`` over surveys with all clinicians side by side, float64, NUTS of numpyro.

The step of the sampler is numpyro's own (`NUTS.init`, `NUTS.sample`); the loop around it is ours, so that compiling is
timed apart and a run can be stopped in time.
"""

import os
import resource
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

# one thread a chain: idle threads that spin would be charged to numpyro
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

os.environ["JAX_ENABLE_X64"] = "1"

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import NUTS
from numpyro.infer.util import potential_energy
from posterior import LN2, join, split, start

CHUNK = 25  # draws between two looks at the clock
UNROLL = 1


def plain_filter(gap, score, capacity, rate, omega, shift, start_sd, error):
    """Log density of all scores; everything but ``error`` by clinician, ``gap`` and ``score`` surveys x clinicians."""
    total, (v, _) = innovations(gap, score - capacity, None, rate, omega, shift, start_sd, error)
    return -0.5 * jnp.sum(jnp.log(total) + v * v / total)


def integrated_filter(gap, score, capacity, rate, omega, shift, start_sd, error, mean, sd):
    """The same with e ~ Normal(mean, sd) integrated out, C* being capacity (1 + e)."""
    total, (v, one) = innovations(gap, score - capacity, 1.0, rate, omega, shift, start_sd, error)
    by = one / total
    vl, ll = capacity * jnp.sum(v * by, axis=0), capacity**2 * jnp.sum(one * by, axis=0)
    d, r = 1 + sd**2 * ll, vl - mean * ll
    quadratic = -2 * mean * vl + mean**2 * ll + jnp.log(d) - sd**2 * r**2 / d
    return -0.5 * (jnp.sum(jnp.log(total) + v * v / total) + jnp.sum(quadratic))


def innovations(gap, score, constant, rate, omega, shift, start_sd, error):
    """Innovation variances, and the innovations of the scores and, if asked for, of a constant 1."""
    stationary = omega**2
    keeps = jnp.exp(-rate * gap)

    def step(state, row):
        mean, ones, variance = state
        keep, y = row
        variance = stationary + keep * keep * (variance - stationary)
        total = variance + error
        gain = variance / total
        mean = keep * mean
        v = y - mean
        out = v
        if constant is not None:
            ones = keep * ones
            one = constant - ones
            ones = ones + gain * one
            out = (v, one)
        return (mean + gain * v, ones, gain * error), (total, out)

    begin = (shift + 0 * rate, None if constant is None else 0 * rate, start_sd**2)
    _, (total, out) = jax.lax.scan(step, begin, (keeps, score), unroll=UNROLL)
    return total, out if constant is not None else (out, None)


def model(study, coordinates):
    """The numpyro model; sites have the names of `posterior.blocks`."""
    prior = {name: study.normal(name) for name in ("level", "half_life", "total_sd", "start_shift", "start_sd_ratio")}
    n, units, unit = study.clinicians, study.units, jnp.asarray(study.unit)
    shares = jnp.asarray(study.priors["variance_shares"]["concentration"])
    if coordinates == "ours":
        level = numpyro.sample("level", dist.LogNormal(*prior["level"]))
        beta = LN2 / numpyro.sample("half_life", dist.LogNormal(*prior["half_life"]))
        total = numpyro.sample("total_sd", dist.LogNormal(*prior["total_sd"]))
        x = numpyro.sample("variance_shares", dist.ImproperUniform(dist.constraints.real_vector, (), (2,)))
        logs = jax.nn.log_softmax(jnp.append(x, -x.sum()))
        numpyro.factor("variance_shares_prior", shares @ logs)
        trait_sd, process_sd, error_sd = total * jnp.exp(0.5 * logs)
    else:
        log_beta = numpyro.sample("log_beta", dist.Normal(np.log(LN2) - prior["half_life"][0], prior["half_life"][1]))
        log_alpha = numpyro.sample("log_alpha", dist.Normal(prior["level"][0] + log_beta, prior["level"][1]))
        level, beta = jnp.exp(log_alpha - log_beta), jnp.exp(log_beta)
        log_sd = numpyro.sample("log_sd", dist.ImproperUniform(dist.constraints.real_vector, (), (3,)))
        # total_sd and the shares have the priors; this is their density in the logs of the three
        log_total = 0.5 * jax.nn.logsumexp(2 * log_sd)
        factor = dist.Normal(*prior["total_sd"]).log_prob(log_total) + shares @ (2 * (log_sd - log_total))
        numpyro.factor("sd_prior", factor)
        trait_sd, process_sd, error_sd = jnp.exp(log_sd)
    beta_prior = study.priors["level_rate_concordance"]
    rho = 2 * numpyro.sample("level_rate_concordance", dist.Beta(beta_prior["a"], beta_prior["b"])) - 1
    sds = {}
    for name in ("rate_sd", "spread_sd", "unit_level_sd", "unit_rate_sd"):
        sds[name] = numpyro.sample(name, dist.HalfNormal(study.priors[name]["sd"]))
    shift = numpyro.sample("start_shift", dist.Normal(*prior["start_shift"]))
    ratio = numpyro.sample("start_sd_ratio", dist.LogNormal(*prior["start_sd_ratio"]))

    def z(name, size):
        return numpyro.sample(name, dist.Normal(0, 1).expand([size]).to_event(1))

    rate_z, spread_z = z("rate_z", n), z("spread_z", n)
    unit_level, unit_rate = sds["unit_level_sd"] * z("unit_level_z", units), sds["unit_rate_sd"] * z("unit_rate_z", units)
    capacity = level * jnp.exp(unit_level)[unit]
    rate = beta * jnp.exp(unit_rate[unit] + sds["rate_sd"] * rate_z)
    omega = process_sd * jnp.exp(sds["spread_sd"] * spread_z)
    e_mean, e_sd = trait_sd / level * rho * rate_z, trait_sd / level * jnp.sqrt(1 - rho**2)
    error = error_sd**2 + study.floor
    gap, score = jnp.asarray(study.gap), jnp.asarray(study.score)
    if coordinates == "ours":
        given = (gap, score, capacity, rate, omega, shift, omega * ratio, error, e_mean, e_sd)
        numpyro.factor("scores", integrated_filter(*given))
    else:
        capacity = capacity * (1 + e_mean + e_sd * z("level_z", n))
        numpyro.factor("scores", plain_filter(gap, score, capacity, rate, omega, shift, omega * ratio, error))


class Peer:
    name = "numpyro"

    def __init__(self, study, coordinates):
        self.study, self.coordinates = study, coordinates
        self.model = partial(model, study, coordinates)
        self.call = jax.jit(jax.value_and_grad(self.log_density))

    def log_density(self, theta):
        return -potential_energy(self.model, (), {}, self.to_sites(theta))

    def to_sites(self, theta):
        return {k: jnp.asarray(v) for k, v in split(theta, self.coordinates, self.study).items()}

    def gradient(self, theta):
        value, slope = self.call(jnp.asarray(theta))
        return float(value), np.asarray(slope)

    def timer(self, theta):
        """A function that runs value and gradient so many times and gives nanoseconds a call."""
        return timer_of(self.call, jnp.asarray(theta))

    def kernels(self):
        """The filters alone, with all their gradients: by name, a function as of `timer`."""
        n = self.study.clinicians
        rng = np.random.default_rng(0)
        at = [60 + rng.normal(0, 1, n), 0.3 + 0.1 * rng.random(n), 11 + rng.random(n), 0 * rng.random(n), 11 + rng.random(n)]
        at = tuple(map(jnp.asarray, [*at, np.float64(60.0)]))
        data = (jnp.asarray(self.study.gap), jnp.asarray(self.study.score))
        more = (jnp.zeros(n), 0.2 + jnp.zeros(n))
        out = {}
        for name, function, given in (
            ("filter", plain_filter, at), ("filter, level integrated", integrated_filter, at + more),
        ):  # fmt: skip
            call = jax.jit(jax.value_and_grad(function, argnums=tuple(range(2, 2 + len(given)))))
            out[name] = timer_of(call, *data, *given)
        return out

    def sample(self, seed, tune, draws, chains, accept, limit, cores):
        study, coordinates = self.study, self.coordinates
        kernel = NUTS(self.model, target_accept_prob=accept)
        rng = np.random.default_rng(seed)
        begun = time.perf_counter()
        keys = jax.random.split(jax.random.PRNGKey(seed), chains)
        starts = [self.to_sites(start(coordinates, study, rng)) for _ in range(chains)]
        states = [kernel.init(key, tune, at, (), {}) for key, at in zip(keys, starts, strict=True)]

        def advance(state):
            def one(state, _):
                state = kernel.sample(state, (), {})
                return state, (state.z, state.diverging, state.num_steps)

            # of the chunks, which have one length so that one compilation serves; what passes the end is cut off
            return jax.lax.scan(one, state, None, length=CHUNK)

        advance = jax.jit(advance).lower(states[0]).compile()
        compiled = time.perf_counter() - begun
        used, began = processor_time(), time.perf_counter()
        kept = []
        with ThreadPoolExecutor(cores) as pool:  # XLA lets go of the interpreter
            for _ in range(0, tune + draws, CHUNK):
                if time.perf_counter() - began > limit:
                    break
                row = list(pool.map(advance, states))
                states = [state for state, _ in row]
                kept.append([jax.tree.map(np.asarray, out) for _, out in row])
        spent = {"cpu": processor_time() - used, "wall": time.perf_counter() - began, "compile": compiled}
        # chains x draws x ... for each number kept
        sites, diverging, steps = jax.tree.map(lambda *a: np.concatenate(a, axis=1), *map(_chains, kept))
        kept = slice(tune, tune + draws)
        theta, steps = join(sites, coordinates, study)[:, kept], float(steps[:, : tune + draws].sum())
        return {"theta": theta, "diverging": diverging[:, kept], "steps": steps, **spent}


def _chains(row):
    return jax.tree.map(lambda *a: np.stack(a), *row)


def timer_of(call, *given):
    jax.block_until_ready(call(*given))

    def run(calls):
        begun = time.perf_counter_ns()
        for _ in range(calls):
            out = call(*given)
        jax.block_until_ready(out)
        return (time.perf_counter_ns() - begun) / calls

    return run


def processor_time():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
