"""Laplace's approximation of a model on a study, found from its compiled density alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import minimize

from ...models.parameters import coordinates, parameter_table
from .coordinates import Coordinates, in_coordinates, plain
from .density import Density
from .mode import Approximation, marginal_mode
from .refine import bent_marginals, coordinates_at, growth, levels
from .structure import Structure, structure_of

STARTS = 16  # the sampler's own starting points, jittered, whose average the search begins at
FIRST_STEPS = 60
HOPELESS = 1e100  # what stands for an infinite loss
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
    """

    compiled: object
    density: Density
    structure: Structure
    scale: np.ndarray
    approximation: Approximation
    threads: int = 1

    @cached_property
    def covariance(self) -> np.ndarray:
        """Of the population's parameters; directions without curvature are given a wide one."""
        values, vectors = np.linalg.eigh(self.approximation.precision * np.outer(self.scale, self.scale))
        return (vectors / np.maximum(values, LEAST_PRECISION)) @ vectors.T * np.outer(self.scale, self.scale)

    @cached_property
    def coordinates(self) -> Coordinates:
        found, density, s = self.approximation, self.density, self.structure
        with ThreadPoolExecutor(self.threads) as pool:
            straight = coordinates_at(
                s, found.at.x, found.at.latent, self.covariance, found.unit_follows, found.clinician_follows,
                growth(density, s, found, np.sqrt(np.diag(self.covariance)), pool.map), levels(density, s, found.at.x),
            )  # fmt: skip
            return bent_marginals(density, straight, found, pool.map)

    def sampler(self):
        """The compiled model in the sampler's coordinates."""
        return in_coordinates(self.compiled, self.coordinates)


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
    table = parameter_table(model, study, design)
    sizes = {dim: len(labels) for dim, labels in coordinates(study, design).items()}
    names, slices, _ = compiled.shape_info
    free = [k for k, place in enumerate(slices) if place.stop <= compiled.n_dim]
    names, slices = [names[k] for k in free], [slices[k] for k in free]
    structure = structure_of(names, slices, table, sizes, design.unit_code)
    scale = _scale(names, slices, table)
    start = np.mean([compiled.initial_point_func(seed) for seed in range(STARTS)], axis=0)
    start[structure.population[~np.isnan(structure.log_unit)]] = 0.0
    start[structure.unit], start[structure.clinician] = 0.0, 0.0
    density = Density(in_coordinates(compiled, plain(structure)))
    try:
        mode = marginal_mode(density, structure, _nearer(density, structure, start), scale, threads)
        found = None if mode is None else Laplace(compiled, density, structure, scale, mode, threads)
        if found is not None:
            _ = found.coordinates
    except np.linalg.LinAlgError:  # second derivatives that cannot be computed
        return None
    return found


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
