"""What many small corrections add up to, as a function of the population's parameters, from its values at few points.

A Gaussian process, the sum of a linear function, of squares, and of products and bends with a scale for each parameter: few of them
bend the corrections of a large study much (standard deviations, correlations), and which these are the points tell. Polynomials with
as many terms as that needs would run away beside the points; this does not (Rasmussen & Williams 2006, Gaussian processes for machine
learning, sections 2.7 and 5).
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

CONSTANT = 1e4  # variance of the constant
SCALE, SCALES = -2.0, 1.5  # of the log inverse length scales, in standard normal coordinates: their prior's mean and SD
START = (0.0, 0.0, 0.0, -2.0, -2.0)  # logs of SDs: of bends, slopes, products and squares, and of what is left
SHORTEST = 1e-3  # SD of what is left, relative to the values'
STEPS = 100
HOPELESS = 1e10


class Emulator:
    """The mean of a Gaussian process given values at points.

    Parameters
    ----------
    y : array (n, p)
    values : array (n)

    Attributes
    ----------
    left : float
        Standard deviation of the values less what the other points tell of them, in the scales that all of them gave.
    """

    def __init__(self, y: np.ndarray, values: np.ndarray):
        n, p = y.shape
        self._y, self._middle = y, values.mean()
        residual = values - self._middle
        size = max(float(residual.std()), 1e-12)
        residual = residual / size

        def loss(log):
            try:
                factor = cho_factor(self._covariance(y, y, log) + self._noise(log) * np.eye(n), lower=True)
            except np.linalg.LinAlgError:
                return HOPELESS, np.zeros(log.size)
            weights, beyond = cho_solve(factor, residual), (log[:p] - SCALE) / SCALES
            slopes = self._slopes(y, log, (cho_solve(factor, np.eye(n)) - np.outer(weights, weights)) / 2)
            slopes[:p] += beyond / SCALES
            return 0.5 * residual @ weights + np.log(np.diag(factor[0])).sum() + 0.5 * beyond @ beyond, slopes

        start = np.concatenate([np.full(p, SCALE), START])
        bounds = [(None, 1.0)] * p + [(-6.0, 6.0)] * 4 + [(np.log(SHORTEST), 2.0)]
        self._log = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": STEPS}).x
        precision = np.linalg.inv(self._covariance(y, y, self._log) + self._noise(self._log) * np.eye(n))
        self._weights = size * (precision @ residual)
        self.left = float(np.std(self._weights / np.diag(precision)))

    @staticmethod
    def _noise(log) -> float:
        return float(np.exp(2 * log[-1]))

    @staticmethod
    def _parts(a, b, log):
        """What is linear, the products' root, squares, and what is bent; each by its variance."""
        p = a.shape[1]
        bends, slopes, products, squares = np.exp(2 * log[p : p + 4])
        near, far = a * np.exp(log[:p]), b * np.exp(log[:p])
        inner = near @ far.T
        apart = np.square(near).sum(axis=1)[:, None] + np.square(far).sum(axis=1) - 2 * inner
        return slopes * (a @ b.T), np.sqrt(products) * inner, squares * (np.square(a) @ np.square(b).T), bends * np.exp(-0.5 * apart)

    @classmethod
    def _covariance(cls, a, b, log):
        linear, root, squares, bent = cls._parts(a, b, log)
        return CONSTANT + linear + np.square(root) + squares + bent

    @classmethod
    def _slopes(cls, y, log, by):
        """Derivatives by ``log``, given those ``by`` the covariance (n, n) with its noise."""
        linear, root, squares, bent = cls._parts(y, y, log)
        products, bent = by * np.square(root), by * bent
        p, scales = y.shape[1], np.exp(2 * log[: y.shape[1]])
        own = 4 * np.exp(log[p + 2]) * ((by * root) @ y) * y + 2 * (bent @ y - bent.sum(axis=1)[:, None] * y) * y
        parts = bent.sum(), (by * linear).sum(), products.sum(), (by * squares).sum(), cls._noise(log) * np.trace(by)
        return np.concatenate([scales * own.sum(axis=0), 2 * np.array(parts)])

    def __call__(self, y: np.ndarray, corrections: np.ndarray | None = None) -> np.ndarray:
        """At points (n, p); nothing follows from their corrections."""
        return self._middle + self._covariance(y, self._y, self._log) @ self._weights
