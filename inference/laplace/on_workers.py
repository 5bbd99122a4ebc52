"""The quick look's inner steps on the workers of a Dask cluster: each integrates the effects out at some of the points."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from ..chains import Source
from ..over_workers import prepared, share_out, threads_of
from .coordinates import coordinates_of
from .effects import Effects, Value

SHARES = 4  # batches for each thread of the workers, so that they come to an end together
MOST_NUMBERS = 1_000_000  # in the draws of a batch


class EffectsOnWorkers(Effects):
    """Integrates the effects of all units and clinicians out on workers; the values are those of `Effects`.

    Parameters
    ----------
    found : Laplace
    client : dask.distributed.Client
    model : CapacityModel
    study : Study
        What `found` is of.
    """

    def __init__(self, found, client, model, study):
        super().__init__(found.structure, found.sampler())
        self.client, self.source = client, Source(model, study, coordinates_of(self.compiled))

    def at(
        self, points: np.ndarray, seeds: Iterable, keep: bool = True, brief: bool = False, scored: bool = True, whole: bool = False
    ) -> Iterator[Value]:
        """Values at points (n, p) of the population's parameters, in order; see `Effects.at`."""
        threads = threads_of(self.client)
        jobs = batches(points, list(seeds), (keep, brief, scored, whole), SHARES * threads, self.structure.size)
        early: dict[int, list[Value]] = {}
        following = 0
        for number, values in share_out(self.client, values_at, (self.source.key, self.source), jobs, 2 * threads):
            early[number] = values
            while following in early:
                yield from early.pop(following)
                following += 1


def batches(points, seeds, how: tuple[bool, ...], count: int, size: int) -> list:
    """Points with their seeds in about so many numbered batches, smaller ones where draws (of this size) are large."""
    each = max(1, min(-(-len(points) // count), MOST_NUMBERS // size))
    starts = range(0, len(points), each)
    return [(n, (points[a : a + each], seeds[a : a + each], *how)) for n, a in enumerate(starts)]


def values_at(given, batch) -> list[Value]:
    """On a worker: ``given`` is a `Source` with its key, ``batch`` the arguments of `Effects.at`."""
    key, source = given
    effects = prepared(f"effects {key}", _effects, source)
    return list(effects.at(*batch))


def _effects(source: Source) -> Effects:
    return Effects(source.coordinates.structure, source.compiled())
