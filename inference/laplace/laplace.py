"""Laplace's approximation of a model on a study, found from its compiled density alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...models.parameters import coordinates, parameter_table
from .coordinates import Coordinates, in_coordinates, plain
from .curvature import following
from .density import Density
from .draws import bent_to, plain_draws
from .mode import Approximation, conditional_mode, marginal_mode
from .refine import bent_marginals, coordinates_at, growth, levels
from .structure import Structure, structure_of

STARTS = 16  # the sampler's own starting points, jittered, whose average the search begins at
FASTER = 2.0  # by which the log of the half-life is shorter in a second search
MOST_TWICE = 2000  # clinicians, up to which there is one
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
    """

    compiled: object
    density: Density
    structure: Structure
    scale: np.ndarray
    approximation: Approximation

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
            s, found.at.x, found.at.latent, self.covariance, found.unit_follows, found.clinician_follows,
            growth(density, s, found, np.sqrt(np.diag(self.covariance))), levels(density, s, found.at.x),
        )  # fmt: skip
        return bent_marginals(density, straight, found)

    def sampler(self):
        """The compiled model in the sampler's coordinates."""
        return in_coordinates(self.compiled, self.coordinates)


def laplace(compiled, model, study, design) -> Laplace | None:
    """Laplace's approximation; None where no mode is found, as in models without a proper one.

    Parameters
    ----------
    compiled : compiled model
        As from `sampling.compile_model`.
    model : CapacityModel
    study : Study
    design : Design
    """
    names, slices, structure, scale, density = _prepared(compiled, model, study, design)
    start = np.mean([compiled.initial_point_func(seed) for seed in range(STARTS)], axis=0)
    start[structure.population[~np.isnan(structure.log_unit)]] = 0.0
    start[structure.unit], start[structure.clinician] = 0.0, 0.0
    # Answers that vary at random may be error, or a process that is faster than the gaps between surveys: two modes.
    starts = [start]
    if "half_life_log__" in names and structure.clinician.shape[0] <= MOST_TWICE:
        starts.append(start.copy())
        starts[1][slices[names.index("half_life_log__")]] -= FASTER
    found = [Laplace(compiled, density, structure, scale, mode) for at in starts if (mode := marginal_mode(density, structure, at, scale))]
    return max(found, key=lambda each: each.log_evidence, default=None)


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
    covariance = np.cov(theta.T)
    found = Approximation(at, np.linalg.inv(covariance), *following(density, s, at.x, at.latent))
    straight = coordinates_at(
        s, at.x, at.latent, covariance, found.unit_follows, found.clinician_follows,
        growth(density, s, found, np.sqrt(np.diag(covariance))), levels(density, s, at.x),
    )  # fmt: skip
    return in_coordinates(compiled, bent_to(theta, straight))


def _prepared(compiled, model, study, design):
    table = parameter_table(model, study, design)
    sizes = {dim: len(labels) for dim, labels in coordinates(study, design).items()}
    names, slices, _ = compiled.shape_info
    free = [k for k, place in enumerate(slices) if place.stop <= compiled.n_dim]
    names, slices = [names[k] for k in free], [slices[k] for k in free]
    structure = structure_of(names, slices, table, sizes, design.unit_code)
    return names, slices, structure, _scale(names, slices, table), Density(in_coordinates(compiled, plain(structure)))


def _scale(names, slices, table) -> np.ndarray:
    priors = {p.name: p.prior for p in table}
    latent = {p.name for p in table if p.latent}
    scale = []
    for name, place in zip(names, slices, strict=True):
        if name not in latent:
            prior = priors.get(name)  # a transformed parameter has another name
            scale += [prior.sd if prior is not None and prior.family == "normal" else 1.0] * (place.stop - place.start)
    return np.array(scale)
