"""Where the posterior is too curved for the quick look's polynomials: its points in coordinates that follow the curve (`warp`)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .laplace import LARGE, Laplace, with_map_of_part
from .settle import settled
from .warp import Warp, Warped

POINTS, POINTS_OF_MANY = 8, 6  # of a step, for each parameter of the population: in a part or a small study, and in a large one
ROUNDS, ROUNDS_OF_MANY = 12, 24  # steps at most


def straightened(found: Laplace, effects_of: Callable, model, study, rng: np.random.Generator):
    """Effects in coordinates in which the posterior is about standard normal, and the points that say so.

    A large study's posterior is curved as that of a part of it, where a step takes a fraction of the time, and the narrower.

    Parameters
    ----------
    found : Laplace
    effects_of : function
        The `Effects` of such an approximation.
    model : CapacityModel
    study : Study
    rng : Generator

    Returns
    -------
    effects : Warped
    group : tuple
        As `surrogate.fitted` takes them.

    Raises
    ------
    UserError
        Where the density can be computed at none of the first points.
    """
    p = found.scale.size
    whole = with_map_of_part(found, model, study) if found.structure.unit_of.size >= LARGE else None
    if whole is None:
        effects, warp = effects_of(found), Warp.none(_least_known_first(found))
    else:
        part = whole.part
        warp, _ = settled(part.effects(found.threads), Warp.none(_least_known_first(part)), POINTS * p, ROUNDS, rng)
        narrower = np.sqrt(part.structure.unit_of.size / found.structure.unit_of.size)
        warp = warp.after(np.zeros(p), narrower * np.eye(p), np.zeros((p, p, p)))
        effects = effects_of(whole)
    warp, group = settled(effects, warp, (POINTS if whole is None else POINTS_OF_MANY) * p, ROUNDS_OF_MANY, rng)
    return Warped(effects, warp), group


def _least_known_first(found: Laplace) -> np.ndarray:
    """The population's coordinates by how narrow the parameter is of which each is the last part, relative to what it could be."""
    scale = found.coordinates.scale
    return np.argsort(-np.sqrt(np.square(scale).sum(axis=1)) / found.scale, kind="stable")
