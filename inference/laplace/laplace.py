"""Laplace's approximation of a model on a study, found from its compiled density alone."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.optimize import minimize

from ...models.design import build_design
from ...models.parameters import coordinates, parameter_table
from .bends import bent_marginals, bent_standard_deviations, moved_to
from .coordinates import Coordinates, in_coordinates, plain
from .curvature import following
from .density import Density
from .draws import bent_to, plain_draws
from .effects import Effects
from .mode import Approximation, conditional_mode, marginal_mode
from .refine import coordinates_at, growth, levels
from .structure import Structure, structure_of

STARTS = 16  # the sampler's own starting points, jittered, whose average the search begins at
FIRST_STEPS = 60
HOPELESS = 1e100  # what stands for an infinite loss
FASTER = 2.0  # by which the log of the half-life is shorter in a second search
SAME_WAY = 0.3  # ... or longer than in the first, where both searches go the same way
WORSE = 50.0  # log density by which a search may lie behind the other on the way
LARGE = 5000  # clinicians, from which the mode is searched for in a part of the study first
PART = 1500  # clinicians that are in it
LEAST_UNITS = 20  # that are in it as a whole
LEAST_DRAWS = 20  # for each parameter, from which draws tell the coordinates
LEAST_PRECISION = 0.3  # of a population parameter, relative to steps that count as large


@dataclass(frozen=True)
class Laplace:
    """The approximation, and what it was found from.

    Attributes
    ----------
    compiled : compiled model
        As from `sampling.compile_model`.
    density : Density
        The joint log density in `coordinates.plain` coordinates.
    structure : Structure
    scale : array (p)
        Steps of the population's parameters that count as large: the prior's SD where it is normal, 1 on log scales.
    approximation : Approximation
    threads : int
        At a time; the numbers do not depend on it.
    part : Laplace, optional
        Of a part of a large study, which tells what is the same there.
    """

    compiled: object
    density: Density
    structure: Structure
    scale: np.ndarray
    approximation: Approximation
    threads: int = 1
    part: Laplace | None = None

    @cached_property
    def covariance(self) -> np.ndarray:
        """Of the population's parameters; directions without curvature are given a wide one."""
        values, vectors = np.linalg.eigh(self.approximation.precision * np.outer(self.scale, self.scale))
        return (vectors / np.maximum(values, LEAST_PRECISION)) @ vectors.T * np.outer(self.scale, self.scale)

    @property
    def log_evidence(self) -> float:
        """Log of the probability that lies about the mode, up to a constant."""
        return self.approximation.at.log_marginal + 0.5 * float(np.linalg.slogdet(self.covariance)[1])

    @cached_property
    def coordinates(self) -> Coordinates:
        found, density, s = self.approximation, self.density, self.structure
        straight = coordinates_at(
            s, found.at.x, found.at.latent, self.covariance, found.unit_follows, found.clinician_follows, self.growth,
            levels(density, s, found.at.x),
        )  # fmt: skip
        if self.part is not None:
            return bent_standard_deviations(
                straight, lambda at: Effects(s, in_coordinates(self.compiled, at), self.threads), self._recentred
            )
        with ThreadPoolExecutor(self.threads) as pool:
            return bent_marginals(density, straight, found, pool.map)

    def _recentred(self, found: Coordinates) -> Coordinates:
        """About where the bent coordinates have their centre, what effects are and follow there."""
        theta, wider = moved_to(found, found.scale @ found.bend[0])
        density, s = self.density, self.structure
        at = conditional_mode(density, s, self.approximation.predicted(s, theta))
        if not np.isfinite(at.log_marginal):
            return found
        with ThreadPoolExecutor(self.threads) as pool:
            follows = following(density, s, at.x, at.latent, pool.map)
        scale = wider[:, None] * found.scale
        there = coordinates_at(s, at.x, at.latent, scale @ scale.T, *follows, self.growth, levels(density, s, at.x))
        return replace(there, bend=np.stack([np.zeros(theta.size), *found.bend[1:]]))

    @cached_property
    def growth(self) -> tuple[np.ndarray, np.ndarray]:
        if self.part is not None:
            return self.part.growth
        with ThreadPoolExecutor(self.threads) as pool:
            return growth(self.density, self.structure, self.approximation, np.sqrt(np.diag(self.covariance)), pool.map)

    def sampler(self):
        """The compiled model in the sampler's coordinates."""
        return in_coordinates(self.compiled, self.coordinates)

    def effects(self, threads: int | None = None) -> Effects:
        """What integrates the effects out, in the sampler's coordinates; by default with as many threads as this was found with."""
        return Effects(self.structure, self.sampler(), threads or self.threads)


def laplace(compiled, model, study, design, threads: int = 1) -> Laplace | None:
    """Laplace's approximation; None where no mode or no curvature is found, as in models without a proper one.

    Parameters
    ----------
    compiled : compiled model
        As from `sampling.compile_model`.
    model : CapacityModel
    study : Study
    design : Design
    threads : int
        The numbers do not depend on it.
    """
    names, slices, s, scale, density = _prepared(compiled, model, study, design)
    if design.n_clinicians >= LARGE:
        with suppress(np.linalg.LinAlgError):
            if (found := _by_part(compiled, model, study, s, scale, density, threads)) is not None:
                return found
    start = np.mean([compiled.initial_point_func(seed) for seed in range(STARTS)], axis=0)
    start[s.population[~np.isnan(s.log_unit)]] = 0.0
    start[s.unit], start[s.clinician] = 0.0, 0.0
    half_life = slices[names.index("half_life_log__")] if "half_life_log__" in names else None
    starts = _starts(density, s, start, half_life)
    found = []
    # Where clinicians have few surveys, Laplace's method may be so far off in standard deviations that it finds no mode: the rest then
    for held in (None, ~np.isnan(s.log_unit)):
        for at in () if found else starts:
            with suppress(np.linalg.LinAlgError):  # second derivatives that cannot be computed
                if (mode := marginal_mode(density, s, at, scale, threads, held)) is not None:
                    found.append(Laplace(compiled, density, s, scale, mode, threads))
    for each in sorted(found, key=lambda one: -one.log_evidence):
        with suppress(np.linalg.LinAlgError):
            _ = each.coordinates
            return each
    return None


def _by_part(compiled, model, study, structure, scale, density, threads: int) -> Laplace | None:
    """By way of a part of the study; None where that does not lead to its mode."""
    from ..sampling import compile_model

    part = _part_of(study)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # cautions are given with the whole study
        small = laplace(compile_model(model.build(part)), model, part, build_design(model, part)[0], threads)
    if small is None or small.scale.size != scale.size:  # it may lack a level of a covariate, or a programme
        return None
    start = np.zeros(structure.size)
    start[structure.population] = small.approximation.at.x[small.structure.population]
    precision = small.approximation.precision * (study.n_clinicians / part.n_clinicians)
    mode = marginal_mode(density, structure, start, scale, threads, near=precision)
    found = None if mode is None else Laplace(compiled, density, structure, scale, mode, threads, small)
    if found is not None:
        _ = found.coordinates
    return found


def _part_of(study):
    """About `PART` clinicians of a study: whole units drawn at random, or members of each where there are few large ones."""
    unit = study.clinicians["unit"].to_numpy()
    names, code, sizes = np.unique(unit, return_inverse=True, return_counts=True)
    rng = np.random.default_rng(0)
    if names.size * PART >= LEAST_UNITS * unit.size:
        order = rng.permutation(names.size)
        kept = np.isin(code, order[: int(np.searchsorted(np.cumsum(sizes[order]), PART)) + 1])
    else:
        kept = rng.permutation(unit.size) < PART
    return study.without(np.flatnonzero(~kept))


def from_draws(compiled, model, study, design, posterior):
    """The compiled model in coordinates in which draws that were made of it are about standard normal; None where they are too few.

    Parameters
    ----------
    posterior : xarray.Dataset
        Draws of all sampled parameters of the population.
    """
    names, _, s, _, density = _prepared(compiled, model, study, design)
    latent = {p.name for p in parameter_table(model, study, design) if p.latent}
    theta = plain_draws([name for name in names if name not in latent], s, posterior)
    if len(theta) < LEAST_DRAWS * s.population.size or not np.isfinite(theta).all():
        return None
    x = np.zeros(s.size)
    x[s.population] = np.median(theta, axis=0)
    at = conditional_mode(density, s, x)
    if not np.isfinite(at.value):
        return None
    with suppress(np.linalg.LinAlgError):
        covariance = np.cov(theta.T)
        found = Approximation(at, np.linalg.inv(covariance), *following(density, s, at.x, at.latent))
        straight = coordinates_at(
            s, at.x, at.latent, covariance, found.unit_follows, found.clinician_follows,
            growth(density, s, found, np.sqrt(np.diag(covariance))), levels(density, s, at.x),
        )  # fmt: skip
        return in_coordinates(compiled, bent_to(theta, straight))
    return None


def _prepared(compiled, model, study, design):
    table = parameter_table(model, study, design)
    sizes = {dim: len(labels) for dim, labels in coordinates(study, design).items()}
    names, slices, _ = compiled.shape_info
    free = [k for k, place in enumerate(slices) if place.stop <= compiled.n_dim]
    names, slices = [names[k] for k in free], [slices[k] for k in free]
    structure = structure_of(names, slices, table, sizes, design.unit_code)
    return names, slices, structure, _scale(names, slices, table), Density(in_coordinates(compiled, plain(structure)))


def _starts(density, structure, start: np.ndarray, half_life: slice | None) -> list[np.ndarray]:
    """Where to search for the mode from.

    Answers that vary at random may be error, or a process that is faster than the gaps between surveys: two modes. Where the
    data tell which, or both ways lead to one place, there is one search.
    """
    first = _nearer(density, structure, start)
    if half_life is None:
        return [first]
    faster = start.copy()
    faster[half_life] -= FASTER
    second = _nearer(density, structure, faster)
    if np.abs(second[half_life] - first[half_life]).max() < SAME_WAY:
        return [first]
    values = np.array([conditional_mode(density, structure, x).log_marginal for x in (first, second)])
    if not np.isfinite(values).any():
        return [first]
    return [x for x, value in zip((first, second), values, strict=True) if value > values.max() - WORSE]


def _nearer(density, structure, start: np.ndarray) -> np.ndarray:
    """Some way towards the joint mode with the standard deviations held, where each step costs one gradient and not hundreds.

    (With standard deviations the joint mode would lie where they are zero.)
    """
    free = np.ones(structure.size, bool)
    free[structure.population[~np.isnan(structure.log_unit)]] = False

    def lost(part):
        x = start.copy()
        x[free] = part
        value, gradient = density(x)
        return (-value, -gradient[free]) if np.isfinite(value) else (HOPELESS, np.zeros(part.size))

    there = start.copy()
    there[free] = minimize(lost, start[free], jac=True, method="L-BFGS-B", options={"maxiter": FIRST_STEPS}).x
    return there if density(there)[0] > density(start)[0] else start


def _scale(names, slices, table) -> np.ndarray:
    priors = {p.name: p.prior for p in table}
    latent = {p.name for p in table if p.latent}
    scale = []
    for name, place in zip(names, slices, strict=True):
        if name not in latent:
            prior = priors.get(name)  # a transformed parameter has another name
            scale += [prior.sd if prior is not None and prior.family == "normal" else 1.0] * (place.stop - place.start)
    return np.array(scale)
