"""The population's parameters at their marginal mode, effects of units and clinicians integrated out by Laplace's method.

Given the population's parameters theta, the effects w have a posterior close to normal, with the mode as its mean and the
inverse curvature there as its covariance. The gradient of log p(theta | y) is the posterior expectation of the joint density's
(Fisher's identity), here over that normal from points on either side: all clinicians move along one axis together, so that it
costs a few gradients whatever their number (compare Tierney & Kadane 1986; Kristensen et al. 2016 on TMB, JSS 70).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from .curvature import STEP, Latent, following, latent_curvature

MOST_NEWTON = 30  # steps for the effects
CLOSE = 1e-5  # a step of the effects, in conditional standard deviations, that ends them
SAME = 0.2  # a step after which the curvature is worked out anew
MOST_STEP = 3.0  # conditional standard deviations an effect may move at once
MOST_OUTER = 25
APART = 0.3  # posterior standard deviations to the points that tell the population's second derivatives, where these are about known
LEAST_NEAR = 0.3  # precision that is about known, relative to steps that count as large
REFRESH = 4  # steps after which the population's second derivatives are worked out anew
DONE = 0.03  # Newton decrement (posterior standard deviations still to go) that ends the search
# ... from which a step that gains less than `LITTLE` is the last: in a large study third derivatives of effects hide where the search ends
NEARLY, LITTLE = 0.2, 0.01
NEAR = 3.0  # ... that will do where the search cannot go on, as where a variance goes to zero


@dataclass(frozen=True)
class Conditional:
    """Effects given the population's parameters: where they are, and how precisely.

    Attributes
    ----------
    x : array (size)
        The population's parameters and the mode of the effects.
    value : float
        Joint log density there.
    latent : Latent
    change : float
        The last step, in conditional standard deviations.
    """

    x: np.ndarray
    value: float
    latent: Latent
    change: float

    @property
    def log_marginal(self) -> float:
        """Log p(theta, y) by Laplace's method, up to a constant."""
        return -np.inf if self.latent is None else self.value - 0.5 * self.latent.log_determinant


@dataclass(frozen=True)
class Approximation:
    """Laplace's approximation of the posterior, in `coordinates.plain` coordinates.

    Attributes
    ----------
    at : Conditional
        At the population's marginal mode.
    precision : array (p, p)
        Of the population's parameters, effects integrated out.
    unit_follows, clinician_follows : arrays (units, l, p), (clinicians, k, p)
        How the effects' mode follows the population's parameters.
    """

    at: Conditional
    precision: np.ndarray
    unit_follows: np.ndarray
    clinician_follows: np.ndarray

    def predicted(self, structure, theta: np.ndarray) -> np.ndarray:
        """The population's parameters ``theta`` with effects at where their mode is expected, to first order."""
        s, x = structure, self.at.x.copy()
        moved = theta - x[s.population]
        x[s.population] = theta
        x[s.unit] += self.unit_follows @ moved
        x[s.clinician] += self.clinician_follows @ moved
        return x


def conditional_mode(density, structure, x: np.ndarray, most: int = MOST_NEWTON) -> Conditional:
    """Newton's method for the effects of units and clinicians, the population's parameters held.

    Parameters
    ----------
    density : Density, in `coordinates.plain` coordinates
    structure : Structure
    x : array (size)
        Where to start; the population's parameters stay.
    most : int
        Steps at most.
    """
    s, x = structure, x.copy()
    value, gradient = density(x)
    change, latent = np.inf, None
    for _ in range(most):
        if not np.isfinite(value):
            break
        if latent is None:
            latent = _curvature(density, s, x)
        if latent is None:
            break
        unit, clinician = latent.solve(gradient[s.unit], gradient[s.clinician])
        # length of each step in conditional standard deviations
        length = np.sqrt(np.maximum((clinician * gradient[s.clinician]).sum(axis=1), 0))
        x[s.clinician] += clinician / np.maximum(1, length / MOST_STEP)[:, None]
        x[s.unit] += np.clip(unit, -MOST_STEP, MOST_STEP)
        change = float(max(np.abs(clinician).max(), np.abs(unit).max(initial=0)))
        value, gradient = density(x)
        if change < CLOSE:
            break
        if change > SAME:
            latent = None
    latent = _curvature(density, s, x) if np.isfinite(value) else None
    if latent is None:
        return Conditional(x, -np.inf, None, np.inf)
    return Conditional(x, value, latent, change)


def _curvature(density, structure, x) -> Latent | None:
    """`latent_curvature`; None at the edge of where the density can be computed."""
    try:
        return latent_curvature(density, structure, x)
    except np.linalg.LinAlgError:
        return None


REACH = 1.0  # of the points that tell how far the conditional is from a normal, in its standard deviations


def _moved(density, structure, at, by_unit, by_clinician):
    unit, clinician = at.latent.spread(by_unit, by_clinician)
    moved = at.x.copy()
    moved[structure.unit] += unit
    moved[structure.clinician] += clinician
    return density(moved)[1]


def expected_gradient(density, structure, at: Conditional) -> np.ndarray:
    """Expectation of the joint density's gradient over the effects' conditional normal, to fourth order."""
    s = structure
    here = density(at.x)[1]
    total = here.copy()
    for blocks in (s.unit, s.clinician):
        for c in range(blocks.shape[1]):
            # all of a kind move together along one axis of their conditional, units with their clinicians
            along = [np.zeros(s.unit.shape), np.zeros(s.clinician.shape)]
            along[blocks is s.clinician][:, c] = REACH
            there, back = (_moved(density, s, at, sign * along[0], sign * along[1]) for sign in (1, -1))
            total += (there + back - 2 * here) / (2 * REACH**2)
    return total


def marginal_gradient(density, structure, at: Conditional, follows: Approximation) -> np.ndarray:
    """Gradient of log p(theta | y).

    What is left of the expected gradient by the effects is by how much their mean is off their mode; it moves with theta as they do.
    """
    s, expected = structure, expected_gradient(density, structure, at)
    return (
        expected[s.population]
        + np.einsum("jlp,jl->p", follows.unit_follows, expected[s.unit])
        + np.einsum("ikp,ik->p", follows.clinician_follows, expected[s.clinician])
    )


def marginal_mode(
    density, structure, start: np.ndarray, scale: np.ndarray, threads: int = 1, held: np.ndarray | None = None,
    near: np.ndarray | None = None,
) -> Approximation | None:  # fmt: skip
    """The population's marginal mode and curvature; None where none is found.

    Parameters
    ----------
    density : Density, in `coordinates.plain` coordinates
    start : array (size)
    scale : array (p)
        Steps of the population's parameters that count as large.
    threads : int
    held : bool array (p), optional
        Parameters that stay where they are, with curvatures of 1.
    near : array (p, p), optional
        About the precision; where it is known, the search is near its end, and costs less.
    """
    s = structure
    held = np.zeros(s.population.size, bool) if held is None else held
    at = conditional_mode(density, s, start)
    if not np.isfinite(at.log_marginal):
        return None
    radius, age, precision, before, short = 1.0, REFRESH if near is None else -REFRESH, near, None, None
    gained = np.inf  # by the last step, of the log marginal
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(MOST_OUTER):
            follows = following(density, s, at.x, at.latent, pool.map)
            approximation = Approximation(at, precision, *follows)
            gradient = np.where(held, 0.0, marginal_gradient(density, s, at, approximation))
            if before is not None:
                precision = _updated(precision, scale * short, before - gradient)
                approximation = replace(approximation, precision=precision)
            if age >= REFRESH:
                approximation, age = _with_precision(density, s, approximation, scale, held, pool, gradient, near is not None), 1
                precision = approximation.precision
            # the absolute curvature: from a saddle the way leads off, too
            values, vectors = np.linalg.eigh(precision * np.outer(scale, scale))
            step = vectors @ ((vectors.T @ (gradient * scale)) / np.maximum(np.abs(values), 0.3))
            decrement = np.sqrt(step @ (gradient * scale))
            if decrement < DONE or (near is not None and decrement < NEARLY and gained < LITTLE):
                return _with_precision(density, s, approximation, scale, held, pool, None if near is None else gradient, near is not None)
            length = np.linalg.norm(step)
            while True:
                short = step * min(1.0, radius / length)
                theta = at.x[s.population] + scale * short
                there = conditional_mode(density, s, approximation.predicted(s, theta))
                # the marginal by Laplace's method and by its expected gradient differ a little
                if np.isfinite(there.value) and there.log_marginal > at.log_marginal - 0.05:
                    break
                radius, age = min(radius, length) / 4, REFRESH
                if radius < 1e-3:
                    return approximation if decrement < NEAR else None
            gained = there.log_marginal - at.log_marginal
            before, at, age = gradient, there, age + 1
            if length > radius:
                radius *= 2
        return approximation if decrement < NEAR else None


def _updated(precision, step, change):
    """The BFGS update, where it keeps the matrix positive definite; otherwise nothing is learnt from the step."""
    if step @ change <= 1e-3 * np.sqrt((change @ change) * (step @ step)):
        return precision
    along = precision @ step
    if step @ along <= 0:
        return precision
    return precision - np.outer(along, along) / (step @ along) + np.outer(change, change) / (step @ change)


def _with_precision(density, structure, approximation: Approximation, scale, held, pool, here=None, near=False) -> Approximation:
    """With the marginal's second derivatives: differences of its gradient, effects following.

    Given the gradient ``here``, from points on one side: half the work, and good enough on the way. Where about the precision is known
    (``near``: the approximation's), points lie `APART` posterior standard deviations away, along axes in which it is the identity:
    in a large study some directions are known a thousand times as well as others, and what steps along the parameters themselves
    miss of those would be more than all that is known of these.
    """
    s, centre, p = structure, approximation.at, scale.size
    root = np.diag(scale)
    if near:
        values, vectors = np.linalg.eigh(approximation.precision * np.outer(scale, scale))
        root = scale[:, None] * vectors / np.sqrt(np.maximum(values, LEAST_NEAR))
    h = APART if near else 10 * STEP

    def gradient(job):
        k, sign = job
        x = approximation.predicted(s, centre.x[s.population] + sign * h * root[:, k])
        # so near the centre its curvature will do for the step that is left
        by = density(x)[1]
        unit, clinician = centre.latent.solve(by[s.unit], by[s.clinician])
        x[s.unit] += unit
        x[s.clinician] += clinician
        latent = _curvature(density, s, x)
        if latent is None:
            raise np.linalg.LinAlgError("no curvature of the effects beside the mode")
        return marginal_gradient(density, s, replace(centre, x=x, latent=latent), approximation)

    signs = (-1, 1) if here is None else (1,)
    found = np.array(list(pool.map(gradient, [(k, sign) for k in range(p) for sign in signs])))
    change = here - found if here is not None else (found[::2] - found[1::2]) / 2
    along = (change / h) @ root
    back = np.linalg.inv(root)
    precision = back.T @ ((along + along.T) / 2) @ back
    precision[held], precision[:, held] = 0.0, 0.0
    precision[held, held] = 1.0
    return replace(approximation, precision=precision)
