"""The integral over clinicians' effects along rays: against integrals that are known, and quadrature."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import special

from equipoise.inference.laplace.rays import lacking, rule

sys.path.insert(0, str(Path(__file__).parent))
from integrals import NO_UNITS, at_zero, by_quadrature, called_by_address, of_study


@pytest.mark.parametrize("k, degree", [(1, 7), (2, 9), (3, 7), (4, 7), (5, 7), (6, 7)])
def test_directions_integrate_powers_of_a_projection(k, degree):
    """Over the sphere, the mean of (d v)^n is Gamma(k/2) Gamma((n + 1)/2) / (Gamma(1/2) Gamma((k + n)/2)) for even n, and 0 for odd."""
    directions, shares, *_ = rule(k)
    assert shares.sum() == pytest.approx(1) and np.linalg.norm(directions, axis=1) == pytest.approx(np.ones(len(directions)))
    for v in np.random.default_rng(k).standard_normal((5, k)):
        for n in range(1, degree + 1):
            logs = special.gammaln([k / 2, (n + 1) / 2, 0.5, (k + n) / 2]) @ [1, 1, -1, -1]
            exact = 0.0 if n % 2 else np.exp(logs)
            assert shares @ (directions @ v / np.linalg.norm(v)) ** n == pytest.approx(exact, abs=1e-12)


def skewed(k, shape):
    """Effects of two clinicians: logs of gamma variates, mixed by a rotation. Off the known integral by Laplace, expansion and rays."""
    places = np.random.default_rng(1).permutation(2 * k).reshape(2, k)
    turns = np.linalg.qr(np.random.default_rng(2).standard_normal((2, k, k)))[0]

    def log(at):
        gradient, value = np.empty(2 * k), 0.0
        for mine, turn in zip(places, turns, strict=True):
            x = turn @ at[mine]
            value += shape * (x - np.exp(x)).sum()
            gradient[mine] = turn.T @ (shape * (1 - np.exp(x)))
        return value, gradient

    exact = 2 * k * (special.gammaln(shape) - shape * np.log(shape) - np.log(2 * np.pi) / 2)
    value, correction, *_ = at_zero(log, 2 * k, NO_UNITS, places, np.zeros(2, int))
    _compiled, call = called_by_address(log)
    given = (np.ascontiguousarray(np.transpose(p)) for p in (NO_UNITS, places))
    more = lacking(call, np.zeros(2 * k), *given, np.zeros(2, int), 1e-8, *rule(k))
    return np.abs([value - exact, value + correction - exact, value + correction + more - exact])


@pytest.mark.parametrize("k, shape, close", [(1, 0.5, 0.02), (2, 0.5, 0.03), (3, 0.5, 0.1), (4, 0.5, 0.1), (1, 2.0, 1e-3), (2, 2.0, 1e-3)])
def test_known_integrals_of_two_clinicians(k, shape, close):
    """A shape of 0.5 has a skewness of -1.5 (that of an exponential variate's log is -1.1)."""
    laplace_value, expansion, whole = skewed(k, shape)
    assert whole < close < laplace_value / 5
    if k < 3:  # in three dimensions what the expansion leaves out happens to cancel
        assert whole < 0.2 * expansion


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 6])
def test_of_what_laplaces_method_misses_by_little_a_small_share_is_left(k):
    laplace_value, expansion, whole = skewed(k, 50.0)
    assert expansion < 0.01 * laplace_value and whole < 0.02 * laplace_value


def test_effects_are_integrated_as_by_quadrature():
    found = of_study(3, 30, 1)
    points = np.random.default_rng(2).standard_normal((2, found.structure.population.size)) * [[0], [1]]
    for point, value in zip(points, found.effects().at(points, range(2), scored=False, whole=True), strict=True):
        assert value.laplace + value.correction == pytest.approx(by_quadrature(found, point, 16)[0], abs=2e-5)


def test_where_a_ray_leaves_the_densitys_edge_it_is_told():
    def log(at):
        inside = np.abs(at).max() < 2
        return (-0.5 * np.square(at).sum(), -at) if inside else (-np.inf, np.full(at.size, np.nan))

    _compiled, call = called_by_address(log)
    places = (np.ascontiguousarray(np.transpose(p)) for p in (NO_UNITS, np.arange(4).reshape(2, 2)))
    assert np.isnan(lacking(call, np.zeros(4), *places, np.zeros(2, int), 1e-8, *rule(2)))
