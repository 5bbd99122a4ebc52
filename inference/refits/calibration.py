"""Simulation-based calibration of a model on a study's own design (Talts et al. 2018, arXiv:1804.06788).

Parameters are drawn from the priors, answers from the model, and the model is fitted to them: if the computation is right,
the true value of every quantity is any of the posterior draws' equals in rank. The joint log-likelihood is among the
quantities, since it sees errors that no single parameter shows (Modrak et al. 2023, Bayesian Analysis 20).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ...datasets.errors import UserError
from ...models.levers import LN2, levers
from ...models.likelihood import filter as kalman
from ...models.simulation import simulate
from ..convergence import SAMPLE, measures
from ..derive import derive
from ..sampling import Sampling
from .jobs import run_jobs
from .refit import Refit

RANKS = 99  # draws that the truth is ranked among
MEMBERS = 3  # clinicians, and units, whose own quantities are ranked: first, middle, last


def calibrate(
    model, study, *, replicates: int = 100, seed: int = 1, draws: int = 500, tune: int = 400, chains: int = 2,
    target_accept: float = 0.8, **how,
) -> dict:  # fmt: skip
    """Ranks of true parameters among posterior draws, over studies drawn from the priors.

    Scores follow the model exactly (not rounded, not cut to the range): it is the computation that is tested.

    Parameters
    ----------
    model : CapacityModel
    study : Study
        Gives the design: who is surveyed when, exposure, covariates, missing answers.
    replicates : int
    seed : int
        Replicate n has the same parameters and answers however many there are.
    draws, tune, chains, target_accept
        Of each refit; 99 of the draws, evenly spaced, are what the truth is ranked among. They are as good as independent where
        the effective sample size of each quantity is well above 99.
    **how
        As for `jobs.run_jobs`: ledger, workers, scheduler, progress.

    Returns
    -------
    dict
        Plain values: ``ranks`` (by quantity, one rank from 0 to 99 a replicate), ``among`` (99), and by replicate ``rhat`` (the
        largest), ``ess`` (the smallest effective sample size of what is ranked), ``divergences``, ``tries``, ``seconds``;
        ``sampling``; ``failed``, the number of replicates whose sampler found no start.
    """
    settings = Sampling(draws, tune, chains, seed, target_accept)
    given = {"model": model, "study": study, "settings": settings}
    made = run_jobs(prepare, given, work, {f"replicate {n}": n for n in range(replicates)}, **how).values()
    done = [result for result in made if "failed" not in result]
    if not done:
        raise UserError(f"no replicate could be fitted: {next(iter(made))['failed']}")
    names = list(done[0]["ranks"])
    out = {"failed": len(made) - len(done), "among": RANKS, "sampling": vars(settings)}
    out["ranks"] = {name: [r["ranks"][name] for r in done] for name in names}
    return out | {key: [r[key] for r in done] for key in ("rhat", "ess", "divergences", "tries", "seconds")}


def prepare(given: Mapping) -> tuple[Refit, Sampling]:
    return Refit(given["model"], given["study"]), given["settings"]


def work(context, number: int) -> dict:
    """One replicate."""
    refit, settings = context
    started = time.perf_counter()
    new = simulate(refit.model, refit.study, seed=np.random.default_rng([settings.seed, number]), rounded=False)
    capacity = new.study.surveys["capacity"].to_numpy(float)
    try:
        fitted = refit.sample(capacity, replace(settings, seed=settings.seed + number))
    except UserError as error:  # priors so wide that some of their studies cannot be fitted
        return {"failed": str(error)}
    # numbers of this replicate alone: with the same ones in each, ranks of single clinicians would not be uniform
    truth, values = _truth(refit, new, capacity), _values(refit, fitted, np.random.default_rng([settings.seed, number, 1]))
    # an effect that a programme was not let have, or a layer left out, is the same in every draw: there is nothing to rank
    truth = {name: true for name, true in truth.items() if np.ptp(values[name]) > 1e-12 * np.abs(values[name]).max()}
    shape = (fitted.draws.chains, fitted.draws.draws)
    ess = measures(np.stack([values[name].reshape(shape) for name in truth], axis=2))["ess_bulk"].min()
    chosen = np.linspace(0, shape[0] * shape[1] - 1, RANKS).astype(int)
    return {
        "ranks": {name: int((values[name][chosen] < true).sum()) for name, true in truth.items()},
        "rhat": fitted.rhat, "ess": float(ess), "divergences": fitted.divergences, "tries": fitted.tries,
        "seconds": round(time.perf_counter() - started, 2),
    }  # fmt: skip


def _members(count: int) -> list[int]:
    return sorted({0, count // 2, count - 1})[:MEMBERS]


def _truth(refit: Refit, new, capacity) -> dict[str, float]:
    """Every quantity that is ranked, at the parameters that the answers were drawn with.

    What is a monotone function of one parameter (``beta_population``, ``level_rate_correlation``) has that parameter's ranks
    and is left out.
    """
    p, design = new.parameters, refit.design
    lever = levers(p, design, refit.model, np)
    out = {}
    for parameter in refit.table:
        if not parameter.latent:
            out |= _named(parameter.name, np.asarray(p[parameter.name]))
    out |= {
        "alpha_population": p["level"] * LN2 / p["half_life"], "trait_sd": lever.trait_sd, "process_sd": lever.omega,
        "error_sd_total": np.sqrt(lever.error_sd**2 + design.error_floor[0]),
    }  # fmt: skip
    for i in _members(design.n_clinicians):
        for name in ("alpha", "beta", "capacity"):
            out[f"{name}[clinician {i + 1}]"] = new.clinicians[name].iloc[i]
    if design.n_units > 1:
        for u in _members(design.n_units):
            for name in ("alpha", "beta", "capacity"):
                out[f"{name}[unit {u + 1}]"] = new.units[name].iloc[u]
    for k in range(len(design.interventions)):
        effect = new.effects.iloc[k]
        out |= {f"theta_alpha[{k + 1}]": effect["theta_alpha"], f"theta_beta[{k + 1}]": effect["theta_beta"],
                f"capacity_change[{k + 1}]": effect["capacity_change"]}  # fmt: skip
    data = replace(design, survey_score=capacity).data()
    out["log_likelihood"] = kalman.log_likelihood(*data, *lever.arguments)[0].sum()
    return {name: float(value) for name, value in out.items()}


def _values(refit: Refit, fitted, rng) -> dict[str, np.ndarray]:
    """The same quantities in every draw, chains joined."""
    draws, posterior, design = fitted.draws, fitted.posterior, refit.design
    derived, contrasts, _, log_likelihood = derive(draws, rng)
    out = {}
    for parameter in refit.table:
        if not parameter.latent:
            out |= _named(parameter.name, _joined(draws.values[parameter.name]), leading=1)

    def of(name):
        return _joined(posterior[name].transpose(*SAMPLE, ...).to_numpy())

    out |= {name: of(name) for name in ("alpha_population", "trait_sd", "process_sd", "error_sd_total")}
    clinician = {"alpha": _joined(derived["alpha"].to_numpy()), "beta": of("beta"), "capacity": _joined(derived["capacity"].to_numpy())}
    for i in _members(design.n_clinicians):
        out |= {f"{name}[clinician {i + 1}]": value[:, i] for name, value in clinician.items()}
    if design.n_units > 1:
        for u in _members(design.n_units):
            out |= {f"{name}[unit {u + 1}]": of(f"{name}_unit")[:, u] for name in ("alpha", "beta", "capacity")}
    for k in range(len(design.interventions)):
        out |= {f"theta_{lever}[{k + 1}]": of(f"theta_{lever}")[:, k] for lever in ("alpha", "beta")}
        out[f"capacity_change[{k + 1}]"] = _joined(contrasts["capacity_change"][1])[:, k]
    out["log_likelihood"] = _joined(log_likelihood.to_numpy()).sum(axis=1)
    return out


def _named(name: str, value: np.ndarray, leading: int = 0) -> dict[str, np.ndarray]:
    """A parameter's elements by name; ``leading`` axes are those of draws."""
    if value.ndim == leading:
        return {name: value}
    flat = value.reshape(*value.shape[:leading], -1)
    return {f"{name}[{j + 1}]": flat[..., j] for j in range(flat.shape[-1])}


def _joined(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, *values.shape[2:])
