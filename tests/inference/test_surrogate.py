"""The polynomial that the quick look draws from: against known polynomials, differences, and its own density."""

from dataclasses import replace
from itertools import combinations_with_replacement

import numpy as np
import pytest
from scipy import special, stats

from equipoise.inference.laplace import surrogate
from equipoise.inference.laplace.surrogate import Polynomial, Region, Surrogate, fitted


def group(y, ratio, scores, correction=None):
    return 1.0, y, ratio, scores, np.zeros(len(y)) if correction is None else correction


SHAPE = 6.0
MEAN, SD = special.digamma(SHAPE), np.sqrt(special.polygamma(1, SHAPE))
TURN = np.array([[1.0, 0.0, 0.0], [0.3, 0.9, 0.0], [-0.2, 0.2, 1.0]])


def log_gammas(y):
    """Log density and its derivative of correlated coordinates, TURN times independent standardised logs of gamma variables."""
    g = MEAN + SD * np.linalg.solve(TURN, y.T).T
    return (SHAPE * g - np.exp(g)).sum(axis=1), np.linalg.solve(TURN.T, SD * (SHAPE - np.exp(g)).T).T


@pytest.fixture(scope="module")
def skewed():
    rng = np.random.default_rng(0)
    y = rng.standard_normal((300, 3))
    log, slope = log_gammas(y)
    return fitted([group(y, log + 0.5 * np.square(y).sum(axis=1), slope + y)], np.random.default_rng(1))


def test_its_terms_and_their_derivatives():
    rng, p = np.random.default_rng(1), 4
    y, h = rng.standard_normal((5, p)), 1e-5
    terms = surrogate._features(y)
    expected = [y[:, [i]] for i in range(p)]
    expected += [(y[:, i] * y[:, j])[:, None] for i, j in combinations_with_replacement(range(p), 2)]
    expected += [(y[:, i] ** 2 * y[:, j])[:, None] for i in range(p) for j in range(p)] + [y[:, [i]] ** 4 for i in range(p)]
    np.testing.assert_allclose(terms, np.concatenate(expected, axis=1), rtol=1e-12)
    for i, move in enumerate(h * np.eye(p)):
        slopes, of = surrogate._slopes(y, i)
        every = np.zeros(terms.shape)
        every[:, of] = slopes
        np.testing.assert_allclose(every, (surrogate._features(y + move) - surrogate._features(y - move)) / (2 * h), atol=1e-8)


def test_a_polynomial_is_found_again():
    """Of its own kind, from values and scores at many points: only the ridge holds the coefficients back, by 1 in a thousand."""
    rng, p, n = np.random.default_rng(2), 4, 5000
    linear, quartic = 0.2 * rng.standard_normal(p), -0.01 * rng.random(p)
    quadratic, cubic = np.triu(0.1 * rng.standard_normal((p, p))), 0.03 * rng.standard_normal((p, p))
    y, h = rng.standard_normal((n, p)), 1e-5

    def ratio(y):
        return (
            y @ linear + np.einsum("ni,ij,nj->n", y, quadratic, y) + np.einsum("ni,ij,nj->n", y**2, cubic, y) + y**4 @ quartic
        )  # fmt: skip

    scores = np.stack([(ratio(y + move) - ratio(y - move)) / (2 * h) for move in h * np.eye(p)], axis=1)
    correction = 0.05 * y[:, 0] - 0.04 * y[:, 2] ** 2
    found = fitted([group(y[:100], ratio(y[:100]) + 7.0, scores[:100]), group(y, ratio(y), scores, correction)], rng)
    linear[0] += 0.05
    quadratic[2, 2] -= 0.04
    np.testing.assert_allclose(found.polynomial.linear, linear, atol=2e-3)
    np.testing.assert_allclose(found.polynomial.quadratic, quadratic, atol=2e-3)
    np.testing.assert_allclose(found.polynomial.cubic, cubic, atol=2e-3)
    np.testing.assert_allclose(found.polynomial.quartic, quartic, atol=2e-3)


def test_it_comes_close_to_a_skewed_density(skewed):
    """So close that weights by the ratio are worth four in five draws; with them, its moments."""
    draws = skewed.draw(20_000, np.random.default_rng(3))
    log = log_gammas(draws)[0] - skewed.log_density(draws)
    weights = np.exp(log - special.logsumexp(log))
    worth = 1 / np.square(weights).sum()
    assert worth > 0.8 * len(draws)
    covariance, error = TURN @ TURN.T, 4 / np.sqrt(worth)
    np.testing.assert_allclose(weights @ draws, 0, atol=error * np.sqrt(np.diag(covariance).max()))
    found = (draws - weights @ draws).T @ ((draws - weights @ draws) * weights[:, None])
    np.testing.assert_allclose(found, covariance, atol=2 * error * np.diag(covariance).max())


@pytest.mark.parametrize("cut", [0.0, 4.0])
def test_it_draws_from_its_own_density(skewed, cut):
    """Points of a wide Student distribution, weighted, have the marginals of the draws; also where much of its ratio is cut off."""
    skewed = replace(skewed, high=skewed.high - cut)
    n, p = 400_000, 3
    draws = skewed.draw(n // 20, np.random.default_rng(4))
    wide = stats.multivariate_t(draws.mean(axis=0), 1.5 * np.cov(draws.T), df=5, seed=5)
    points = wide.rvs(n)
    log = skewed.log_density(points) - wide.logpdf(points)
    weights = np.exp(log - special.logsumexp(log))
    worth = 1 / np.square(weights).sum()
    assert worth > n / 10
    for k in range(p):
        order = np.argsort(points[:, k])
        reached = np.interp(np.sort(draws[:, k]), points[order, k], np.cumsum(weights[order]))
        gap = np.abs(reached - (np.arange(len(draws)) + 0.5) / len(draws)).max()
        assert gap < 2 * np.sqrt(1 / len(draws) + 1 / worth)  # Kolmogorov and Smirnov's at about 1 in 1,500


def test_it_goes_on_outside_its_box_as_at_the_edge():
    """A cubic would run away there; draws stay where the base has them."""
    p = 2
    box = np.array([[-2.0, -3.0], [3.0, 2.0]])
    cubic = np.array([[0.2, 0.0], [0.0, -0.1]])
    made = Surrogate(Polynomial(box, np.zeros(p), np.zeros((p, p)), cubic, np.zeros(p)), np.zeros(p), np.eye(p))
    np.testing.assert_allclose(made.polynomial(np.array([[50.0, 0.0], [0.0, -50.0], [1.0, 1.0]])), [5.4, 2.7, 0.1])
    draws = made.bounded(np.random.default_rng(6)).draw(1000, np.random.default_rng(7))
    assert draws.shape == (1000, p) and np.abs(draws).max() < 8


def test_same_seed_same_draws(skewed):
    first, again = (skewed.draw(100, np.random.default_rng(8)) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_corrections_of_a_large_study_with_products():
    """Known by values alone at fewer points than there are terms; nothing is drawn outside the region."""
    rng, p, n = np.random.default_rng(9), 8, 120
    y, there = rng.standard_normal((n, p)), rng.standard_normal((30, p))
    slopes, region = np.linspace(-1, 1, p), Region(np.zeros(p), np.eye(p))

    def correction(y):
        return y @ slopes + 2 * y[:, 0] * y[:, 1] * np.exp(0.2 * y[:, 0])

    def fit(told):
        some = [group(y, np.zeros(n), np.zeros((n, p)), told), (1.0, y[:9], np.zeros(9), None, None)]
        return fitted(some, np.random.default_rng(1), region)

    found = fit(correction(y))
    for fit_ in (found.correction, found.polynomial):
        assert np.std(fit_(there) - correction(there)) < 0.5  # of 2.5
    draws = found.draw(2000, np.random.default_rng(2))
    assert found.region.holds(draws).all()  # which is about the draws, and somewhat wider
    narrow, wide = (np.linalg.eigvalsh(np.linalg.solve(np.cov(draws.T), found.region.root @ found.region.root.T))[k] for k in (0, -1))
    assert 1.2 < narrow < wide < 2.3
    # what is drawn follows what is fitted: the log densities differ by a constant
    log = found.polynomial(draws) - 0.5 * np.square(draws).sum(axis=1) - found.log_density(draws)
    assert np.mean(np.abs(log - np.median(log)) < 1e-6) > 0.9


def test_the_base_is_not_lost_beside_a_polynomial_that_has_run_away():
    """At the upper bound of the ratio, where draws are: or else weights would be equal, and pass for good ones."""
    p, points = 3, np.random.default_rng(1).normal(size=(50, 3))
    box, none = np.array([[-3.0] * p, [3.0] * p]), np.zeros((p, p))
    runs_away = Polynomial(box, np.zeros(p), none, none, np.full(p, 1e25))
    made = Surrogate(runs_away, np.zeros(p), np.eye(p), low=0.0, high=1e20)
    np.testing.assert_allclose(made.log_density(points), -0.5 * np.square(points).sum(axis=1), rtol=1e-12)
