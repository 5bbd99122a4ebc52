"""The sampler's coordinates from Laplace's approximation: the map's numbers, each found by a few evaluations of the density."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .coordinates import Coordinates, plain
from .curvature import central, latent_curvature
from .quantile import log_half_normal

LEAST_INFORMATION = 1e-3  # of an effect, from which its growth is told
MOST_SHARE = 0.99  # of a variance or precision that comes from effects


def coordinates_at(structure, x, latent, covariance, unit_follows, clinician_follows, growth=None, level=None) -> Coordinates:
    """Coordinates from Laplace's approximation at ``x`` (in `plain` coordinates).

    Parameters
    ----------
    growth : pair of arrays (m, p), (k, p), optional
    level : array (2 + m, clinicians), optional
        See `Coordinates`.
    """
    s, start = structure, plain(structure)
    level = start.level if level is None else level
    unit_growth, clinician_growth = (start.unit_growth, start.clinician_growth) if growth is None else growth
    unit, clinician = latent.blocks
    precision, told, moves = np.zeros(len(clinician)), np.zeros(clinician.shape[:2]), np.zeros(latent.coupling.shape)
    if s.link[0] >= 0:
        c = np.tanh(x[s.population[s.link[0]]] / 2)
        slope = c / (1 - c**2 + level[0])
        precision, told[:, s.link[1]], moves[:, s.link[1]] = c * slope, slope * level[1], slope[:, None] * level[2:].T
        clinician = clinician.copy()
        clinician[:, s.link[1], s.link[1]] -= precision
    unit, clinician = _information(unit), _information(clinician)
    log_sd = np.array([
        value if np.isnan(unit_) else unit_ + log_half_normal(value)[0]
        for unit_, value in zip(s.log_unit, x[s.population], strict=True)
    ])  # fmt: skip
    # what effects follow, the level's part apart: own^-1 (whole w - told)
    own = clinician + np.eye(clinician.shape[1])
    whole = own.copy()
    whole[:, s.link[1], s.link[1]] += precision
    centre = x.copy()
    centre[s.clinician] = np.linalg.solve(own, (whole @ x[s.clinician][..., None]) - told[..., None])[..., 0]
    followed = np.linalg.solve(own, whole)
    found = replace(
        start, log_sd=log_sd, centre=centre, scale=np.linalg.cholesky(covariance), unit_growth=unit_growth,
        clinician_growth=clinician_growth, level=level, coupling=followed @ latent.coupling + np.linalg.solve(own, moves),
        unit_information=unit, clinician_information=clinician, funnel=_funnel(s, x, log_sd, unit, clinician, covariance),
    )  # fmt: skip
    # the map follows much of its own accord; what is left of the dependence is linear
    found = replace(found, unit_follows=unit_follows - _followed(found)[0])
    return replace(found, clinician_follows=followed @ (clinician_follows - _followed(found)[1]))


def _information(blocks):
    """What the study adds to the effects' own precision of 1; directions in which it would take away count as nothing."""
    if not blocks.size:
        return blocks
    values, vectors = np.linalg.eigh(blocks - np.eye(blocks.shape[1]))
    return np.einsum("ikl,il,iml->ikm", vectors, np.maximum(values, 0.0), vectors)


def _followed(found: Coordinates, step: float = 1e-4):
    """How the map's effects change with the population's parameters at the centre."""
    s = found.structure
    unscaled = replace(found, scale=np.eye(s.population.size))
    columns = []
    for position in s.population:
        y = np.zeros(s.size)
        y[position] = step
        columns.append((unscaled.parameters(y) - unscaled.parameters(-y)) / (2 * step))
    columns = np.stack(columns, axis=-1)
    return columns[s.unit], columns[s.clinician]


def _funnel(structure, x, log_sd, unit_information, clinician_information, covariance):
    """What `population.opened` needs: how much of a mean's variance comes from units' effects, of the correlation's precision from the
    clinicians' rates, and the variance of one effect's own measurement.
    """
    s, found = structure, np.zeros((3, structure.population.size))
    for a in np.flatnonzero(s.width_by >= 0):
        if a == s.link[0]:
            found[:, a] = *_of_correlation(s, x, clinician_information, covariance[a, a]), 0.0
            continue
        effect = np.flatnonzero(s.unit_sd == s.width_by[a])[0]
        own = 1 / max(unit_information[:, effect, effect].mean(), LEAST_INFORMATION)
        variance = np.exp(2 * log_sd[s.width_by[a]]) * (own + 1) / len(unit_information)
        found[:, a] = min(MOST_SHARE, variance / covariance[a, a]), own, 1.0
    return found


def _of_correlation(structure, x, clinician_information, variance):
    """Share of the precision of the correlation's log odds that the study tells, and the variance of a rate's own measurement."""
    s = structure
    concordance = 1 / (1 + np.exp(-x[s.population[s.link[0]]]))
    prior = s.link_concentration * concordance * (1 - concordance)
    share = np.clip(1 - prior * variance, 0.0, MOST_SHARE)
    own = 1 / max(clinician_information[:, s.link[1], s.link[1]].mean(), LEAST_INFORMATION)
    if share > 0:  # clinicians whose levels and rates were known would tell a quarter each
        own = min(own, max(len(clinician_information) / 4 / prior * (1 - share) / share - 1, 0.0))
    return share, own


C = 0.6  # correlations at which the level's part is told from the rest
MOVE = 0.05  # of units' effects, in their standard deviations, that tells how levels change with them


def levels(density, structure, x) -> np.ndarray:
    """What is known of each clinician's level, from how the rate's curvature and slope change with their correlation c.

    The level tells c^2/(1 - c^2 + v) of the rate's precision, and c/(1 - c^2 + v) times the level of its slope.
    """
    s = structure
    if s.link[0] < 0:
        return plain(structure).level
    rate, at = s.clinician[:, s.link[1]], x.copy()

    def with_correlation(c):
        at[s.population[s.link[0]]] = 2 * np.arctanh(c)
        return at

    none, low, high = (central(density, with_correlation(c), rate)[rate] for c in (0.0, -C, C))
    told = np.maximum((low + high) / 2 - none, 1e-6)
    variance = np.maximum(C**2 / told - (1 - C**2), 1e-3)

    def level():
        slopes = [density(with_correlation(c))[1][rate] for c in (-C, C)]
        return (slopes[1] - slopes[0]) * (1 - C**2 + variance) / (2 * C)

    found = [variance, level()]
    for effect in s.unit.T:
        beside = []
        for sign in (1, -1):
            at[effect] = x[effect] + sign * MOVE
            beside.append(level())
        at[effect] = x[effect]
        found.append((beside[0] - beside[1]) / (2 * MOVE))
    return np.stack(found)


def growth(density, structure, approximation, sd: np.ndarray, mapped=map) -> tuple[np.ndarray, np.ndarray]:
    """How the logs of the root of effects' information grow with the population's parameters, on average.

    Parameters
    ----------
    sd : array (p)
        Posterior standard deviations: half the distance over which growth is told, but at most 1/2.
    mapped : function, optional
        Does what `map` does.
    """
    s, x = structure, approximation.at.x
    centre = [_diagonal(blocks) for blocks in approximation.at.latent.blocks]
    found = [np.zeros((blocks.shape[1], s.population.size)) for blocks in (s.unit, s.clinician)]
    steps = np.minimum(sd, 0.5)

    def blocks_at(job):
        k, sign = job
        theta = x[s.population].copy()
        theta[k] += sign * steps[k]
        return latent_curvature(density, s, approximation.predicted(s, theta)).blocks

    beside = list(mapped(blocks_at, [(k, sign) for k in range(steps.size) for sign in (1, -1)]))
    for k, h in enumerate(steps):
        blocks = beside[2 * k : 2 * k + 2]
        for which, middle in enumerate(centre):
            there, back = (_diagonal(b[which]) for b in blocks)
            weight = middle / (1 + middle)
            grown = weight * (np.log(there) - np.log(back)) / (4 * h)
            found[which][:, k] = grown.sum(axis=0) / weight.sum(axis=0)
    for which, sds in enumerate((s.unit_sd, s.clinician_sd)):
        for effect, own in enumerate(sds):
            if own >= 0:
                found[which][effect, own] = 0.0  # the map follows it exactly
    if s.link[0] >= 0:
        found[1][s.link[1], s.link[0]] = 0.0
    return tuple(found)


def _diagonal(blocks):
    return np.maximum(np.diagonal(blocks, axis1=1, axis2=2) - 1, LEAST_INFORMATION)
