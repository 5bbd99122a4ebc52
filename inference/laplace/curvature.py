"""Second derivatives of the joint log density, block by block, and what is solved with them.

All blocks of one kind are found at once: moving the first effect of every clinician together gives that column of
every clinician's block, since clinicians do not depend on one another (differences by colouring: Curtis, Powell &
Reid 1974). The number of gradients does not depend on the number of clinicians.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STEP = 1e-4  # of central differences of the gradient: error and rounding are then both about 1e-8
LEAST = 0.2  # precision of an effect from which on curvature counts; standardised effects have a prior precision of 1


@dataclass(frozen=True)
class Latent:
    """Negative second derivatives by the effects of units and clinicians, factored.

    Attributes
    ----------
    unit_of : int array (clinicians)
    clinician : array (clinicians, k, k)
        Upper triangular R with R'R the block of a clinician.
    coupling : array (clinicians, k, units' effects)
        The block between a clinician and its unit, divided by the clinician's: how much its mode follows its unit.
    unit : array (units, l, l)
        Upper triangular R with R'R the unit's block less what its clinicians take (the Schur complement).
    """

    unit_of: np.ndarray
    clinician: np.ndarray
    coupling: np.ndarray
    unit: np.ndarray

    @property
    def blocks(self) -> tuple[np.ndarray, np.ndarray]:
        """The blocks themselves: of units (Schur complements) and of clinicians."""
        return tuple(np.einsum("ilk,ilm->ikm", r, r) for r in (self.unit, self.clinician))

    @property
    def log_determinant(self) -> float:
        diagonals = (np.diagonal(r, axis1=1, axis2=2) for r in (self.clinician, self.unit))
        return 2 * float(sum(np.log(d).sum() for d in diagonals))

    def solve(self, by_unit: np.ndarray, by_clinician: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Solution for right-hand sides of the shapes (units, l, ...) and (clinicians, k, ...)."""
        taken = np.zeros((self.unit.shape[0], *np.shape(by_unit)[1:]))
        np.add.at(taken, self.unit_of, _left(self.coupling, by_clinician))
        unit = _twice(self.unit, by_unit - taken)
        return unit, _twice(self.clinician, by_clinician) - _apply(self.coupling, unit[self.unit_of])

    def spread(self, by_unit: np.ndarray, by_clinician: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Standard normal numbers (units, l), (clinicians, k) turned into deviations with this precision."""
        unit = _backward(self.unit, by_unit)
        return unit, _backward(self.clinician, by_clinician) - _apply(self.coupling, unit[self.unit_of])


def _left(a, b):
    return np.einsum("ikl,ik...->il...", a, b)


def _apply(a, b):
    return np.einsum("ikl,il...->ik...", a, b)


def _backward(r, b):
    """Solve r x = b for upper triangular blocks."""
    x = np.empty_like(b, float)
    for k in range(r.shape[1] - 1, -1, -1):
        rest = b[:, k] - np.einsum("il,il...->i...", r[:, k, k + 1 :], x[:, k + 1 :])
        x[:, k] = rest / r[:, k, k].reshape(-1, *(1,) * (b.ndim - 2))
    return x


def _forward(r, b):
    """Solve r' x = b for upper triangular blocks."""
    x = np.empty_like(b, float)
    for k in range(r.shape[1]):
        rest = b[:, k] - np.einsum("il,il...->i...", r[:, :k, k], x[:, :k])
        x[:, k] = rest / r[:, k, k].reshape(-1, *(1,) * (b.ndim - 2))
    return x


def _twice(r, b):
    return _backward(r, _forward(r, b))


def factor(blocks: np.ndarray, least: float = LEAST) -> np.ndarray:
    """Upper triangular factors of symmetric blocks, whose eigenvalues count as at least ``least``; LinAlgError if they are no numbers."""
    blocks = (blocks + blocks.transpose(0, 2, 1)) / 2
    if not np.isfinite(blocks).all():
        raise np.linalg.LinAlgError("second derivatives are no numbers")
    if not blocks.size:
        return blocks
    values, vectors = np.linalg.eigh(blocks)
    low = values[:, 0] < least
    if low.any():
        fixed = np.maximum(values[low], least)
        blocks[low] = np.einsum("ikl,il,iml->ikm", vectors[low], fixed, vectors[low])
    return np.linalg.cholesky(blocks).transpose(0, 2, 1)


def central(density, x: np.ndarray, positions: np.ndarray, step: float = STEP) -> np.ndarray:
    """Negative change of the gradient per unit of moving all of ``positions`` together."""
    there, back = x.copy(), x.copy()
    there[positions] += step
    back[positions] -= step
    return (density(back)[1] - density(there)[1]) / (2 * step)


def latent_curvature(density, structure, x: np.ndarray) -> Latent:
    """Blocks of units and clinicians at ``x``."""
    s = structure
    k, units = s.clinician.shape[1], s.unit.shape[1]
    own = np.stack([central(density, x, s.clinician[:, c])[s.clinician] for c in range(k)], axis=2)
    r = factor(own)
    if not units:
        none = np.zeros((s.clinician.shape[0], k, 0))
        return Latent(s.unit_of, r, none, np.zeros((s.unit.shape[0], 0, 0)))
    moved = [central(density, x, s.unit[:, c]) for c in range(units)]
    between = np.stack([m[s.clinician] for m in moved], axis=2)
    coupling = _twice(r, between)
    schur = np.stack([m[s.unit] for m in moved], axis=2)
    np.subtract.at(schur, s.unit_of, np.einsum("ikl,ikm->ilm", between, coupling))
    return Latent(s.unit_of, r, coupling, factor(schur))


def following(density, structure, x: np.ndarray, latent: Latent, mapped=map) -> tuple[np.ndarray, np.ndarray]:
    """How the mode of the effects follows the population's parameters: (units, l, p) and (clinicians, k, p)."""
    moved = list(mapped(lambda k: central(density, x, np.array([k])), structure.population))
    by_unit = np.stack([m[structure.unit] for m in moved], axis=2)
    by_clinician = np.stack([m[structure.clinician] for m in moved], axis=2)
    unit, clinician = latent.solve(by_unit, by_clinician)
    return -unit, -clinician
