"""The engine of the quick look: against quadrature of the joint density, and densities whose moments are known."""

import itertools
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import special

from equipoise import CapacityModel, datasets, simulate
from equipoise.inference.laplace.density import Density, Expansion
from equipoise.inference.laplace.laplace import laplace
from equipoise.inference.laplace.quick import Effects, Value, quick_posterior
from equipoise.inference.laplace.surrogate import fitted
from equipoise.inference.psis import HIGH_K, smoothed
from equipoise.inference.sampling import compile_model
from equipoise.models.design import build_design


@pytest.fixture(scope="module")
def pair():
    """Laplace's approximation of two clinicians x 30 surveys: four effects, which can be integrated by quadrature."""
    model = CapacityModel()
    empty = datasets.design_study(clinicians=2, surveys=30, units=1, jitter=0.2)
    study = simulate(model, empty, {"level": 60.0, "half_life": 1.5, "total_sd": 16.0}, seed=3).study
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numba and PyTensor tell of caches
        compiled = compile_model(model.build(study))
    return laplace(compiled, model, study, build_design(model, study)[0])


def quadrature(found, point, order=9):
    """Log of the joint density integrated over the effects, and their mean and covariance (Gauss-Hermite products)."""
    s, density = found.structure, Density(found.sampler())
    places = s.clinician.ravel()
    nodes, weights = np.polynomial.hermite_e.hermegauss(order)
    grid = np.array(list(itertools.product(nodes, repeat=places.size)))
    logs = np.log(np.array(list(itertools.product(weights, repeat=places.size)))).sum(axis=1)
    y = np.zeros(s.size)
    y[s.population] = point
    values = np.empty(len(grid))
    for n, z in enumerate(grid):
        y[places] = z
        values[n] = density(y)[0]
    logs += values + 0.5 * np.square(grid).sum(axis=1)
    total = special.logsumexp(logs)
    share = np.exp(logs - total)
    mean = share @ grid
    return total, mean, (grid - mean).T @ ((grid - mean) * share[:, None])


def test_effects_are_integrated_out_as_by_quadrature(pair):
    effects, s = Effects(pair), pair.structure
    points = 0.7 * np.random.default_rng(2).standard_normal((4, s.population.size))
    size = s.clinician.size
    for point, value in zip(points, effects.at(points, range(4)), strict=True):
        exact = quadrature(pair, point)[0] - 0.5 * size * np.log(2 * np.pi)
        assert abs(value.laplace + value.correction - exact) < max(0.4 * abs(value.laplace - exact), 0.01)
        assert abs(value.laplace + value.correction - exact) < 0.06


def test_draws_of_the_effects_have_the_moments_of_the_quadrature(pair):
    effects, s = Effects(pair), pair.structure
    point = np.zeros(s.population.size)
    _, mean, covariance = quadrature(pair, point)
    draws = np.array([v.draw for v in effects.at(np.tile(point, (4000, 1)), range(4000))])[:, s.clinician.ravel()]
    sd = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(draws.mean(axis=0), mean, atol=0.08 * sd.max())  # Monte Carlo error 0.016
    np.testing.assert_allclose(np.cov(draws.T), covariance, atol=0.15 * sd.max() ** 2)


def test_scores_are_derivatives(pair):
    """Of Laplace's value to first order: what is left is how the effects' mean follows."""
    effects, p, h = Effects(pair), pair.structure.population.size, 1e-3
    moves = h * np.eye(p)
    there, back = (np.array([v.laplace for v in effects.at(sign * moves, range(p))]) for sign in (1, -1))
    [value] = effects.at(np.zeros((1, p)), [0])
    np.testing.assert_allclose(value.score, (there - back) / (2 * h), atol=0.1)


def test_where_there_is_no_density_there_is_no_value(pair):
    [value] = Effects(pair).at(np.full((1, pair.structure.population.size), 1e4), [0])
    assert value.laplace == -np.inf


def test_all_that_is_recorded_of_a_draw(pair):
    recorded = Expansion(pair.sampler())(np.zeros(pair.structure.size))
    assert recorded["beta"].shape == (2,) and not any(name.endswith("__") for name in recorded)
    np.testing.assert_allclose(recorded["beta_population"], np.log(2) / recorded["half_life"], rtol=1e-12)


# --- the population's parameters -----------------------------------------------------------------------------------------


class Toy:
    """Independent coordinates with log density ``log`` and its derivative ``slope``."""

    def __init__(self, log, slope, p):
        self.structure = SimpleNamespace(population=np.arange(p), size=p)
        self.log, self.slope = log, slope

    def at(self, points, seeds, keep=True):
        for y, _ in zip(points, seeds, strict=True):
            yield Value(float(self.log(y).sum()), 0.0, self.slope(y), y.copy() if keep else None)


SHARES, MEANS, SDS = np.array([0.7, 0.3]), np.array([-0.3, 0.7]), np.array([0.8, 1.1])


def skewed():
    """A mixture of two normals, whose moments are known: its log density and derivative."""

    def parts(y):
        z = (y[..., None] - MEANS) / SDS
        return np.log(SHARES / SDS) - 0.5 * z**2, -z / SDS

    def log(y):
        return special.logsumexp(parts(y)[0], axis=-1)

    def slope(y):
        logs, slopes = parts(y)
        return (np.exp(logs - special.logsumexp(logs, axis=-1, keepdims=True)) * slopes).sum(axis=-1)

    return log, slope


def test_skewed_marginals_have_their_moments():
    p = 8
    found = quick_posterior(Toy(*skewed(), p), 4000, 1)
    draws = found.draws[found.chosen]
    error = np.sqrt(1 / 4000 + 1 / found.effective)
    assert found.pareto_k < 0.6 and found.effective > 0.5 * found.proposals
    second, third = SHARES @ (MEANS**2 + SDS**2), SHARES @ (MEANS**3 + 3 * MEANS * SDS**2)
    assert abs(SHARES @ MEANS) < 1e-12
    assert np.abs(draws.mean(axis=0)).max() < 3.5 * error * np.sqrt(second)
    np.testing.assert_allclose(draws.var(axis=0), second, rtol=5 * error * np.sqrt(2))
    np.testing.assert_allclose((draws**3).mean(), third, atol=0.1)
    again = quick_posterior(Toy(*skewed(), p), 4000, 1)
    np.testing.assert_array_equal(again.draws[again.chosen], draws)


def test_tails_that_are_missed_show_in_pareto_k():
    found = quick_posterior(Toy(lambda y: -np.log1p(y**2), lambda y: -2 * y / (1 + y**2), 4), 1000, 1)  # Cauchy
    assert found.pareto_k > HIGH_K


def test_a_surrogate_draws_from_the_density_that_it_tells():
    rng, p = np.random.default_rng(0), 3
    log, slope = skewed()
    y = rng.standard_normal((200, p))
    made = fitted([(1.0, y, log(y).sum(axis=1) + 0.5 * np.square(y).sum(axis=1), slope(y) + y, np.zeros(200))], rng)
    draws = made.draw(20_000, rng)
    normal = 1.3 * rng.standard_normal((200_000, p))
    weights = np.exp(made.log_density(normal) + 0.5 * np.square(normal / 1.3).sum(axis=1))
    weights /= weights.sum()
    mean = weights @ normal
    np.testing.assert_allclose(draws.mean(axis=0), mean, atol=0.04)
    np.testing.assert_allclose(draws.var(axis=0), weights @ np.square(normal) - mean**2, atol=0.06)


def test_smoothed_weights():
    weights, k = smoothed(np.zeros(500))
    np.testing.assert_allclose(weights, 1 / 500)
    assert k == 0
    values = np.random.default_rng(1).standard_normal(1000)
    values[:3] = -np.inf
    weights, k = smoothed(values)
    assert weights.sum() == pytest.approx(1) and weights[:3].max() < 1e-12 and k < 0.7
    assert smoothed(np.full(10, -np.inf))[1] == np.inf
