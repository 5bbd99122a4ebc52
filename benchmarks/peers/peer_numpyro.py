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
BLOCK = 128  # clinicians whose arrays fit the cache


def plain_filter(gap, score, clinician, error):
    """Log density of all scores. ``gap`` and ``score``: surveys x clinicians; ``clinician``: C*, beta, omega, shift and standard
    deviation at the start; ``error``: variance of an answer."""
    capacity, rate, omega, shift, start_sd = clinician
    total, (v, _) = innovations(gap, score - capacity, None, rate, omega, shift, start_sd, error)
    return -0.5 * jnp.sum(jnp.log(total) + v * v / total)


def integrated_filter(gap, score, clinician, error, mean, sd):
    """The same with e ~ Normal(mean, sd) integrated out, C* being the one given times 1 + e."""
    capacity, rate, omega, shift, start_sd = clinician
    total, (v, one) = innovations(gap, score - capacity, 1.0, rate, omega, shift, start_sd, error)
    by = one / total
    vl, ll = capacity * jnp.sum(v * by, axis=0), capacity**2 * jnp.sum(one * by, axis=0)
    d, r = 1 + sd**2 * ll, vl - mean * ll
    quadratic = -2 * mean * vl + mean**2 * ll + jnp.log(d) - sd**2 * r**2 / d
    return -0.5 * (jnp.sum(jnp.log(total) + v * v / total) + jnp.sum(quadratic))


def in_blocks(density, gap, score, *by_clinician, error):
    """The same density, block of clinicians by block with its gradient at once, so that a block's arrays stay in the cache.

    Plain reverse mode writes all of the study's arrays before it reads the first back: at 1000 x 40 that takes twice the time.
    """
    n = score.shape[1]
    if n <= 2 * BLOCK:
        clinician = tuple(x + jnp.zeros(n) for x in by_clinician)
        return density(gap, score, clinician[:5], error, *clinician[5:])
    size = max(d for d in range(1, min(n, BLOCK) + 1) if n % d == 0)

    def cut(x):  # the axis of clinicians into blocks, which come first
        return jnp.moveaxis(x.reshape(*x.shape[:-1], n // size, size), -2, 0)

    numbers = tuple(range(2, 3 + len(by_clinician)))
    slope = jax.value_and_grad(lambda gap, score, *rest: density(gap, score, rest[:5], rest[-1], *rest[5:-1]), argnums=numbers)

    def value_and_slopes(*at):
        blocks = tuple(map(cut, (gap, score, *at[:-1])))
        value, slopes = jax.lax.map(lambda block: slope(*block, at[-1]), blocks)
        return value.sum(), (*(d.reshape(n) for d in slopes[:-1]), slopes[-1].sum())

    value = jax.custom_vjp(lambda *at: value_and_slopes(*at)[0])
    value.defvjp(value_and_slopes, lambda slopes, cotangent: tuple(cotangent * d for d in slopes))
    return value(*(x + jnp.zeros(n) for x in by_clinician), error)


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
    _, (total, out) = jax.lax.scan(step, begin, (keeps, score))
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
        own = (capacity, rate, omega, shift, omega * ratio, e_mean, e_sd)
        numpyro.factor("scores", in_blocks(integrated_filter, gap, score, *own, error=error))
    else:
        capacity = capacity * (1 + e_mean + e_sd * z("level_z", n))
        numpyro.factor("scores", in_blocks(plain_filter, gap, score, capacity, rate, omega, shift, omega * ratio, error=error))


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
        return timer_of(lambda x: (None, self.call(x)[1:]), jnp.asarray(theta))

    def kernels(self):
        """The filters alone, with all their gradients: by name, a function as of `timer`."""
        n, rng = self.study.clinicians, np.random.default_rng(0)
        gap, score = jnp.asarray(self.study.gap), jnp.asarray(self.study.score)
        own = (60 + rng.normal(0, 1, n), 0.3 + 0.1 * rng.random(n), 11 + rng.random(n), np.zeros(n), 11 + rng.random(n))
        level = (np.zeros(n), np.full(n, 0.2))
        own, level, error = tuple(map(jnp.asarray, own)), tuple(map(jnp.asarray, level)), jnp.asarray(60.0)
        calls = {
            "filter": (lambda own, error: plain_filter(gap, score, own, error), own, error),
            "filter, level integrated": (
                lambda own, error, mean, sd: integrated_filter(gap, score, own, error, mean, sd), own, error, *level,
            ),
            "filter, in blocks": (lambda own, error: in_blocks(plain_filter, gap, score, *own, error=error), own, error),
            "filter, level integrated, in blocks": (
                lambda own, error, *level: in_blocks(integrated_filter, gap, score, *own, *level, error=error),
                own, error, *level,
            ),
        }  # fmt: skip
        return {
            name: timer_of(jax.value_and_grad(call, argnums=tuple(range(len(at)))), *at) for name, (call, *at) in calls.items()
        }

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


def timer_of(slope, *at):
    """Nanoseconds a call within one compiled loop, as in the sampler: a call from Python would cost more than a small study."""

    @jax.jit
    def loop(calls, at):
        # each call starts where the one before pushed it, by next to nothing, so that none can be left out
        return jax.lax.fori_loop(0, calls, lambda _, x: jax.tree.map(lambda v, d: v + 1e-30 * d, x, slope(*x)[1]), at)

    jax.block_until_ready(loop(1, at))

    def run(calls):
        begun = time.perf_counter_ns()
        jax.block_until_ready(loop(calls, at))
        return (time.perf_counter_ns() - begun) / calls

    return run


def processor_time():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
