"""A curved map from standard normal coordinates to the sampler's, for posteriors that no linear one comes close to.

Where clinicians have few surveys, much of the population is hardly known (the half-life, which part of the variance is error), but some
combinations of it are known well (how answers a survey apart go together). Those follow squares and products of what is hardly known:
the posterior is curved. With what is known least in front,

    y = mean + root (z + curl(z, z)),

root lower triangular and curl strictly so: a triangular transport map of second degree (Marzouk, Moselhy, Parno & Spantini 2016, Sampling
via measure transport: an introduction), whose Jacobian is that of the root.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Warp:
    """The map.

    Attributes
    ----------
    order : int array (p)
        Places of the coordinates y, those that the study tells least first; all else is in this order.
    mean : array (p)
    root : array (p, p)
        Lower triangular.
    curl : array (p, p, p)
        [a, b, c], symmetric in b and c: of z_b z_c in the coordinate a, which comes after both.
    """

    order: np.ndarray
    mean: np.ndarray
    root: np.ndarray
    curl: np.ndarray

    @classmethod
    def none(cls, order: np.ndarray) -> Warp:
        """The identity."""
        p = len(order)
        return cls(np.asarray(order, int), np.zeros(p), np.eye(p), np.zeros((p, p, p)))

    @property
    def log_jacobian(self) -> float:
        """The same everywhere."""
        return float(np.log(np.diag(self.root)).sum())

    def there(self, z: np.ndarray) -> np.ndarray:
        """The sampler's coordinates (n, p) at points (n, p)."""
        y = np.empty(z.shape)
        y[:, self.order] = self.mean + (z + _curled(self.curl, z)) @ self.root.T
        return y

    def back(self, y: np.ndarray) -> np.ndarray:
        """The points (n, p) at which `there` gives these."""
        straight = np.linalg.solve(self.root, (y[:, self.order] - self.mean).T).T
        z = np.zeros(y.shape)
        for a in range(y.shape[1]):  # what comes before is known by then
            z[:, a] = straight[:, a] - ((z[:, :a] @ self.curl[a, :a, :a]) * z[:, :a]).sum(axis=1)
        return z

    def scores(self, z: np.ndarray, by_y: np.ndarray) -> np.ndarray:
        """Derivatives by z (n, p), given those by y."""
        by = by_y[:, self.order] @ self.root
        return by + 2 * np.einsum("na,abc,nc->nb", by, self.curl, z, optimize=True)

    def after(self, shift: np.ndarray, root: np.ndarray, curl: np.ndarray) -> Warp:
        """This map of ``shift + root (z + curl(z, z))``; what that has of third degree and more is left out."""
        turned = np.einsum("abc,b,cd->ad", self.curl, shift, root, optimize=True)
        slope = root + 2 * turned
        second = np.einsum("ab,bcd->acd", root, curl) + np.einsum("abc,bd,ce->ade", self.curl, root, root, optimize=True)
        p = len(shift)
        return replace(
            self,
            mean=self.mean + self.root @ (shift + _curled(self.curl, shift[None])[0]),
            root=self.root @ slope,
            curl=np.linalg.solve(slope, second.reshape(p, -1)).reshape(p, p, p),
        )


def _curled(curl, z):
    return np.einsum("abc,nb,nc->na", curl, z, z, optimize=True)


class Warped:
    """Effects integrated out at points of warped coordinates; draws are in the sampler's.

    Parameters
    ----------
    effects : Effects
    warp : Warp
    """

    def __init__(self, effects, warp: Warp):
        self.effects, self.warp = effects, warp
        self.structure, self.compiled = effects.structure, effects.compiled

    def at(self, points: np.ndarray, *arguments, **options) -> Iterator:
        """As `Effects.at`."""
        for z, value in zip(points, self.effects.at(self.warp.there(points), *arguments, **options), strict=True):
            yield replace(value, score=self.warp.scores(z[None], value.score[None])[0])
