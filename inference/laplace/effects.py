"""Effects of units and clinicians integrated out at many points of the population's parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .inner import briefly_integrated, integrated
from .rays import lacking, rule
from .structure import Structure

CLOSE = 1e-3  # of the effects' mode, in conditional standard deviations: its square is what log densities err by


@dataclass(frozen=True)
class Value:
    """What comes out at one point of the population's parameters.

    Attributes
    ----------
    laplace : float
        Log density of the population's parameters in the sampler's coordinates by Laplace's method, up to a constant.
    correction : float
        What the expansion's next terms add, or the integral (NaN where it cannot be computed); 0 in brief, where
        `quick.quick_posterior` puts what the other points tell of them.
    score : array (p)
        Derivatives of ``laplace``; 0 in brief and where they are not wanted.
    draw : array (size) or None
        The sampler's coordinates with one draw of the effects.
    """

    laplace: float
    correction: float
    score: np.ndarray
    draw: np.ndarray | None


class Effects:
    """Integrates the effects of all units and clinicians out, on this machine.

    Parameters
    ----------
    structure : Structure
    compiled : compiled model in the sampler's coordinates
    threads : int
    """

    def __init__(self, structure: Structure, compiled, threads: int = 1):
        self.structure, self.threads = structure, threads
        self.compiled = compiled  # owns what the addresses point to
        self._call = np.array([compiled.compiled_logp_func.address, compiled.user_data.ctypes.data], np.int64)
        self._places = tuple(np.ascontiguousarray(places.T) for places in (self.structure.unit, self.structure.clinician))

    def at(
        self, points: np.ndarray, seeds: Iterable, keep: bool = True, brief: bool = False, scored: bool = True, whole: bool = False
    ) -> Iterator[Value]:
        """Values at points (n, p) of the population's parameters, in order.

        Parameters
        ----------
        points : array (n, p)
        seeds : iterable
            Of the draws of the effects.
        keep : bool
            Whether draws are wanted.
        brief : bool
            By Laplace's method alone: without corrections and scores, and with effects whose mean is as far from their mode as it is at
            the centre of the population's parameters.
        scored : bool
            Whether scores are wanted; they take as long as all the rest of a point in brief.
        whole : bool
            Whether corrections are to be those that the integral over clinicians' effects tells in place of the expansion (`rays`).
        """
        shift = self._shift if brief else None
        with ThreadPoolExecutor(self.threads) as pool:
            yield from pool.map(lambda point, seed: self._one(point, seed, keep, shift, scored, whole), points, seeds)

    @cached_property
    def _shift(self) -> np.ndarray:
        s = self.structure
        mode, mean = np.zeros(s.size), np.empty(s.size)
        integrated(self._call, mode, *self._places, s.unit_of, CLOSE, np.zeros(s.size), mean, np.empty(s.size), False)
        return mean - mode

    def _one(self, point, seed, keep, shift, scored, whole) -> Value:
        s = self.structure
        y, draw, score = np.zeros(s.size), np.empty(s.size), np.zeros(s.size)
        y[s.population] = point
        normals = np.random.default_rng(seed).standard_normal(s.size)
        given = self._call, y, *self._places, s.unit_of, CLOSE
        if shift is None:
            laplace, correction = integrated(*given, normals, draw, score, scored)
        else:
            laplace, correction = briefly_integrated(*given, shift, normals, draw), 0.0
        if whole:
            correction += lacking(*given, *rule(s.clinician.shape[1]))
        return Value(laplace, correction, score[s.population], draw if keep else None)
