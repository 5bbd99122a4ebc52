"""Laplace's approximation of a model: against numerical integration, differences, and the sampler in other coordinates."""

import ctypes
import warnings
from dataclasses import replace
from types import SimpleNamespace

import arviz as az
import numpy as np
import pytest
import xarray as xr
from scipy import special, stats
from scipy.optimize import minimize_scalar

from equipoise import CapacityModel, Score, datasets, simulate
from equipoise.inference.approximate import MOST_OFF
from equipoise.inference.laplace import laplace as laplacing
from equipoise.inference.laplace import mode as laplacing_mode
from equipoise.inference.laplace import quick
from equipoise.inference.laplace.coordinates import coordinates_of, in_coordinates, plain
from equipoise.inference.laplace.density import _CALL, Density
from equipoise.inference.laplace.draws import plain_draws
from equipoise.inference.laplace.laplace import from_draws, laplace
from equipoise.inference.laplace.mode import conditional_mode, expected_gradient, marginal_mode
from equipoise.inference.laplace.structure import Structure
from equipoise.inference.sampling import Sampling, compile_model, sample, well_scaled
from equipoise.models.design import build_design


@pytest.fixture(scope="module")
def small():
    """A compiled model of 20 clinicians x 8 surveys in 3 units, and Laplace's approximation of its posterior."""
    model = CapacityModel()
    scores = {"stress": Score(range=(0, 40), better="lower", step=1)}
    empty = datasets.design_study(clinicians=20, surveys=8, units=3, jitter=0.2, missing=0.05, scores=scores)
    truth = {"level": 60.0, "half_life": 1.5, "total_sd": 16.0, "variance_shares": [0.4, 0.4, 0.2], "rate_sd": 0.2}
    study = simulate(model, empty, truth, seed=3).study
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numba and PyTensor tell of caches
        compiled = compile_model(model.build(study))
    design = build_design(model, study)[0]
    return SimpleNamespace(
        model=model, study=study, design=design, compiled=compiled, found=laplace(compiled, model, study, design)
    )


def by_differences(f, x, step=1e-5):
    """Derivatives of ``f`` by ``x`` in the last axis."""
    moves = step * np.eye(x.size)
    return np.stack([(f(x + move) - f(x - move)) / (2 * step) for move in moves], axis=-1)


# --- the compiled model -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["plain", "at the mode"])
def test_a_compiled_model_in_other_coordinates(small, which):
    coordinates = plain(small.found.structure) if which == "plain" else small.found.coordinates
    mapped = Density(in_coordinates(small.compiled, coordinates))
    points = np.random.default_rng(1).normal(size=(3, mapped.size))
    own, apart = Density(small.compiled), []
    for y in points:
        value, gradient = mapped(y)
        numerical = by_differences(lambda at: mapped(at)[0], y)
        np.testing.assert_allclose(gradient, numerical, rtol=1e-5, atol=1e-6 * np.abs(numerical).max())
        logs = np.linalg.slogdet(by_differences(coordinates.parameters, y))[1]
        apart.append(value - own(coordinates.parameters(y))[0] - logs)
    np.testing.assert_allclose(apart, apart[0], atol=1e-5)


def test_the_compiled_model_is_an_arrow(small):
    """Every parameter has one place, and the blocks are all there is of the model's second derivatives."""
    s, density, x = small.found.structure, small.found.density, small.found.approximation.at.x
    np.testing.assert_array_equal(np.sort(np.concatenate([s.population, s.unit.ravel(), s.clinician.ravel()])), np.arange(s.size))
    dense = -by_differences(lambda at: density(at)[1], x, 1e-4)
    effects = np.concatenate([s.unit.ravel(), s.clinician.ravel()])
    apart = np.ones((s.size, s.size), bool)
    apart[s.population], apart[:, s.population] = False, False
    for own, unit in zip(s.clinician, s.unit_of, strict=True):
        at = np.concatenate([own, s.unit[unit]])
        apart[np.ix_(at, at)] = False
    assert np.abs(dense[apart]).max() < 1e-6
    found = small.found.approximation.at.latent.log_determinant
    assert np.isclose(found, np.linalg.slogdet(dense[np.ix_(effects, effects)])[1], rtol=1e-5)
    slope = density(x)[1][effects]  # the effects are at their mode
    assert np.sqrt(slope @ np.linalg.solve(dense[np.ix_(effects, effects)], slope)) < 1e-3


def test_what_a_level_tells_of_a_rate(small):
    """How the rates' curvature changes with their correlation with the levels, as an even function, and their slope, as an odd one."""
    s, density, x = small.found.structure, small.found.density, small.found.approximation.at.x.copy()
    variance, level, *follows = small.found.coordinates.level
    rate = s.clinician[:, s.link[1]]

    def slope_and_precision(c):
        x[s.population[s.link[0]]], slopes = 2 * np.arctanh(c), []
        for step in (-1e-4, 0.0, 1e-4):
            moved = x.copy()
            moved[rate] += step
            slopes.append(density(moved)[1][rate])
        return np.array([slopes[1], (slopes[0] - slopes[2]) / 2e-4])

    low, none, high = map(slope_and_precision, (-0.3, 0.0, 0.3))
    told = 0.3 / (1 - 0.3**2 + variance)
    np.testing.assert_allclose((low + high)[1] / 2 - none[1], 0.3 * told, rtol=0.2)
    np.testing.assert_allclose((high - low)[0] / 2, told * level, rtol=0.2, atol=0.02)
    # a level is relative to its unit's: what it tells changes with the unit's effects
    assert len(follows) == s.unit.shape[1] and np.mean(follows[0]) < -0.1
    centre = x.copy()
    for effect, change in zip(s.unit.T, follows, strict=True):
        beside = []
        for sign in (1, -1):
            x = centre.copy()
            x[effect] += 0.1 * sign
            low, high = (slope_and_precision(c)[0] for c in (-0.3, 0.3))
            beside.append((high - low) / 2)
        np.testing.assert_allclose((beside[0] - beside[1]) / 0.2, told * change, rtol=0.2, atol=0.02)


def test_chains_in_other_coordinates_have_the_same_posterior(small):
    settings = Sampling(draws=400, tune=400, chains=2, seed=1)
    scaled = well_scaled(small.compiled, small.model, small.study, small.design)
    assert scaled is not small.compiled
    starts = np.array([scaled.initial_point_func(seed) for seed in range(200)])  # draws from the approximation
    assert np.abs(starts.mean(axis=0)).max() < 5 / np.sqrt(200) and 0.9 < starts.std() < 1.1
    own, other = (sample(c, settings, progress=False)[0]["posterior"].to_dataset() for c in (small.compiled, scaled))
    assert {name: (v.dims, v.shape, v.dtype) for name, v in own.items()} == {
        name: (v.dims, v.shape, v.dtype) for name, v in other.items()
    }
    names = ["level", "half_life", "total_sd"]
    errors = [az.mcse(draws[names]) for draws in (own, other)]
    for name in names:
        error = np.hypot(*(float(e[name]) for e in errors))
        assert abs(float(own[name].mean()) - float(other[name].mean())) < 5 * error, name
        assert 0.6 < float(own[name].std()) / float(other[name].std()) < 1.6, name


def of_population(small, theta):
    """The population's parameters, by the model's names, at ``theta`` (draws, p) in `plain` coordinates."""
    s, drawn = small.found.structure, {}
    names, slices, _ = small.compiled.shape_info
    for y in theta:
        at = np.zeros(s.size)
        at[s.population] = y
        x = plain(s).parameters(at)
        for name, place in zip(names, slices, strict=True):
            if place.stop > s.size or place.start not in s.population:
                continue
            values = x[place]
            if name.endswith("_log__"):
                name, values = name.removesuffix("_log__"), np.exp(values)
            elif name.endswith("_logodds__"):
                name, values = name.removesuffix("_logodds__"), special.expit(values)
            elif name.endswith("_simplex__"):
                name, values = name.removesuffix("_simplex__"), special.softmax([*values, -values.sum()])
            drawn.setdefault(name, []).append(values if values.size > 1 else values[0])
    return xr.Dataset({
        name: (("chain", "draw", *(["layer"] if np.ndim(v[0]) else [])), np.array(v)[None]) for name, v in drawn.items()
    })  # fmt: skip


def test_draws_are_found_where_they_lie(small):
    s = small.found.structure
    theta = np.random.default_rng(1).normal(size=(30, s.population.size)) * 1.5
    names, slices, _ = small.compiled.shape_info
    names = [name for name, place in zip(names, slices, strict=True) if place.start in s.population and place.stop <= s.size]
    np.testing.assert_allclose(plain_draws(names, s, of_population(small, theta)), theta, atol=1e-8)


def test_coordinates_are_bent_to_draws(small):
    """In the new coordinates skewed and correlated draws have about a standard normal's quantiles; the density stays the model's."""
    s, rng = small.found.structure, np.random.default_rng(2)
    z = rng.normal(size=(4000, s.population.size))
    theta = small.found.approximation.at.x[s.population] + 0.3 * (z + 0.5 * z[:, :1] + 0.2 * z**2)
    made = from_draws(small.compiled, small.model, small.study, small.design, of_population(small, theta[:500]))
    found, at = coordinates_of(made), np.zeros(s.size)
    for quantile in (-1.5, 0.0, 1.5):
        at[s.population[0]] = quantile  # the first coordinate is the first parameter's own
        x = found.parameters(at)[s.population[0]]
        assert abs(stats.norm.ppf(np.mean(theta[:, 0] < x)) - quantile) < 0.2
    mapped, own, apart = Density(made), Density(small.compiled), []
    for y in rng.normal(size=(2, mapped.size)):
        logs = np.linalg.slogdet(by_differences(found.parameters, y))[1]
        apart.append(mapped(y)[0] - own(found.parameters(y))[0] - logs)
    assert np.isclose(*apart, atol=1e-5)


def test_the_better_of_two_modes_is_found():
    """Half-lives far below the gaps, no error: the search that starts in the middle ends where all is error."""
    model = CapacityModel()
    truth = {"level": 60.0, "half_life": 0.1, "total_sd": 18.0, "variance_shares": [0.5, 0.5, 0.0], "spread_sd": 0.3}
    study = simulate(model, datasets.design_study(clinicians=10, surveys=25, units=2, jitter=0.2), truth, seed=1).study
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = compile_model(model.build(study))
    found = laplace(compiled, model, study, build_design(model, study)[0])
    names, slices, _ = compiled.shape_info
    assert found.approximation.at.x[slices[names.index("half_life_log__")]] < 0


@pytest.mark.parametrize("units", [12, 2])
def test_the_mode_of_a_large_study_is_found_by_way_of_a_part(monkeypatch, units):
    """Of whole units, or where there are few of them of members of each."""
    model = CapacityModel()
    empty = datasets.design_study(clinicians=72, surveys=8, units=units, jitter=0.2, interventions={"course": "parallel"})
    study = simulate(model, empty, {"level": 60.0, "half_life": 1.5, "total_sd": 16.0, "rate_sd": 0.2}, seed=3).study
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = compile_model(model.build(study))
    design = build_design(model, study)[0]
    whole = laplace(compiled, model, study, design)
    monkeypatch.setattr(laplacing, "LARGE", 60)
    monkeypatch.setattr(laplacing, "PART", 36)
    monkeypatch.setattr(laplacing, "LEAST_UNITS", 4)
    found = laplace(compiled, model, study, design)
    assert whole.part is None and found.part is not None
    part = found.part.structure
    assert len(part.unit) == (6 if units == 12 else 2) and len(part.clinician) == 36
    p, sd = found.structure.population, np.sqrt(np.diag(whole.covariance))
    assert np.abs((found.approximation.at.x - whole.approximation.at.x)[p] / sd).max() < 0.1
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariance)), sd, rtol=0.1)
    # whatever the part says, the posterior is the whole study's
    mapped, own, y = Density(found.sampler()), Density(compiled), np.random.default_rng(1).normal(size=(2, found.structure.size))
    logs = [np.linalg.slogdet(by_differences(found.coordinates.parameters, each))[1] for each in y]
    apart = [mapped(each)[0] - own(found.coordinates.parameters(each))[0] - log for each, log in zip(y, logs, strict=True)]
    np.testing.assert_allclose(apart[1], apart[0], atol=1e-5)

    # the quick look's way with large studies leads to where that with small ones does
    monkeypatch.setattr(quick, "LARGE", 60)
    large = quick.quick_posterior(found.effects(), 400, 1)
    monkeypatch.setattr(quick, "LARGE", 10_000)
    small = quick.quick_posterior(whole.effects(), 400, 1)
    assert 0 < small.left < 0.05 and 0 < large.left < MOST_OFF and max(large.pareto_k, small.pareto_k) < 0.7
    by_large, by_small = (
        np.array([coordinates.parameters(draw)[p] for draw in look.draws[look.chosen]])
        for look, coordinates in ((large, found.coordinates), (small, whole.coordinates))
    )
    (low, middle, high), (low_small, middle_small, high_small) = (np.quantile(d, [0.1, 0.5, 0.9], axis=0) for d in (by_large, by_small))
    assert (np.abs(middle - middle_small) < 0.15 * (high_small - low_small)).all()
    np.testing.assert_allclose(high - low, high_small - low_small, rtol=0.3)


def test_a_part_that_lacks_what_the_study_has_is_not_followed(small, monkeypatch):
    monkeypatch.setattr(laplacing, "LARGE", 10)
    real, lacking = laplacing.laplace, replace(small.found, scale=small.found.scale[1:])
    monkeypatch.setattr(laplacing, "laplace", lambda *_: lacking)
    found = real(small.compiled, small.model, small.study, small.design)
    assert found.part is None
    np.testing.assert_allclose(found.approximation.at.x, small.found.approximation.at.x)


def test_standard_deviations_that_have_no_mode_are_held(small, monkeypatch):
    s, density, scale = small.found.structure, small.found.density, small.found.scale
    sds = ~np.isnan(s.log_unit)
    start = np.zeros(s.size)
    start[s.population] = small.found.approximation.at.x[s.population] * ~sds
    found = marginal_mode(density, s, start, scale, held=sds)
    np.testing.assert_allclose(found.at.x[s.population][sds], 0.0, atol=1e-12)
    free = found.precision[np.ix_(~sds, ~sds)]
    np.testing.assert_array_equal(found.precision[sds], np.eye(scale.size)[sds])
    # nothing is left to gain by the others
    gradient = laplacing_mode.marginal_gradient(density, s, found.at, found)[~sds]
    assert gradient @ np.linalg.solve(free, gradient) < laplacing_mode.DONE**2

    searched = []

    def none_at_first(*given):
        searched.append(given[-1])
        return None if given[-1] is None else marginal_mode(*given)

    monkeypatch.setattr(laplacing, "marginal_mode", none_at_first)
    given = laplace(small.compiled, small.model, small.study, small.design)
    assert searched[0] is None and searched[-1].tolist() == sds.tolist()
    np.testing.assert_allclose(given.approximation.at.x[s.population][sds], 0.0, atol=1e-12)


def test_a_density_that_is_nowhere_finite_has_no_approximation(small):
    nowhere = _CALL(lambda *_: 4)
    address = ctypes.cast(nowhere, ctypes.c_void_p).value
    broken = replace(small.compiled, compiled_logp_func=SimpleNamespace(address=address))
    assert laplace(broken, small.model, small.study, small.design) is None
    assert well_scaled(broken, small.model, small.study, small.design) is broken


# --- against integration ----------------------------------------------------------------------------------------------


def of_clinicians(clinicians, k) -> Structure:
    """One parameter of the population, and ``k`` effects of each clinician, in no particular order."""
    order = np.random.default_rng(1).permutation(1 + clinicians * k)
    return Structure(
        order[:1], np.empty((1, 0), int), order[1:].reshape(clinicians, k), np.zeros(clinicians, int),
        np.empty(0, int), np.full(k, -1), np.full(1, np.nan), np.full(1, -1), np.empty(0, int), np.empty((4, 0)), np.array([-1, -1]),
    )  # fmt: skip


def test_the_marginal_mode_of_a_logistic_model_with_an_intercept_by_clinician():
    """Log odds theta + x_i of each clinician's 6 answers, x_i standard normal: against the integral over x_i."""
    asked, yes = 6, np.array([0, 1, 2, 3, 3, 4, 4, 5, 5, 6])
    s = of_clinicians(yes.size, 1)

    def density(x):
        theta, own = x[s.population], x[s.clinician[:, 0]]
        slope, gradient = yes - asked / (1 + np.exp(-theta - own)), np.empty(s.size)
        gradient[s.population], gradient[s.clinician[:, 0]] = slope.sum() - theta / 4, slope - own
        value = (yes * (theta + own) - asked * np.log1p(np.exp(theta + own)) - own**2 / 2).sum() - float(theta[0]) ** 2 / 8
        return value, gradient

    nodes, weights = np.polynomial.hermite_e.hermegauss(60)

    def exact(theta):
        rates = 1 / (1 + np.exp(-theta - nodes))
        return np.log(stats.binom.pmf(yes[:, None], asked, rates) @ weights).sum() - theta**2 / 8

    mode = minimize_scalar(lambda theta: -exact(theta), bounds=(-3, 3), method="bounded", options={"xatol": 1e-9}).x
    precision = (2 * exact(mode) - exact(mode + 1e-3) - exact(mode - 1e-3)) / 1e-6
    found = marginal_mode(density, s, np.zeros(s.size), np.ones(1))
    assert abs(found.at.x[s.population[0]] - mode) * np.sqrt(precision) < 0.1
    assert np.isclose(found.precision[0, 0], precision, rtol=0.1)


def test_the_expected_gradient_of_correlated_effects_that_are_not_normal():
    """Of third degree here, so that Gauss and Hermite's nodes give its expectation over the conditional normal exactly."""
    s = of_clinicians(3, 2)
    a, b, c, d, e = 0.01 * np.array([[2, -2, 0], [0.5, 0.6, 0.5], [2.5, -1.5, 3], [0.8, 0.4, 0.3], [0.5, 0.6, 1]])

    def density(at):
        x, y = at[s.clinician].T
        theta = at[s.population[0]]
        value = -(x**2 + y**2 - x * y) / 2 - a * x**3 - b * x**4 - c * x**2 * y - d * y**4 - e * x**2 * y**2 + theta * x**3
        by_x = -x + y / 2 - 3 * a * x**2 - 4 * b * x**3 - 2 * c * x * y - 2 * e * x * y**2 + 3 * theta * x**2
        by_y = -y + x / 2 - c * x**2 - 4 * d * y**3 - 2 * e * x**2 * y
        gradient = np.empty(s.size)
        gradient[s.clinician], gradient[s.population] = np.stack([by_x, by_y], axis=1), (x**3).sum()
        return value.sum(), gradient

    start = np.full(s.size, 0.1)
    at = conditional_mode(density, s, start)
    assert at.x[s.population] == 0.1 and np.abs(density(at.x)[1][s.clinician]).max() < 1e-5
    nodes, weights = np.polynomial.hermite_e.hermegauss(4)
    expected = np.zeros(s.size)
    for which in np.ndindex(4, 4):
        x, which = at.x.copy(), np.array(which)
        x[s.clinician] += at.latent.spread(np.zeros((1, 0)), np.tile(nodes[which], (3, 1)))[1]
        expected += np.prod(weights[which] / np.sqrt(2 * np.pi)) * density(x)[1]
    np.testing.assert_allclose(expected_gradient(density, s, at), expected, atol=1e-7)


def test_the_edge_of_the_density_is_no_mode():
    """Where a point can be computed but its neighbours cannot."""
    s = SimpleNamespace(unit=np.empty((1, 0), int), clinician=np.array([[1]]), unit_of=np.array([0]))

    def density(x):
        if x[1] > 0.00001:
            return -np.inf, np.full(2, np.nan)
        return -0.5 * float(x @ x), -x

    assert conditional_mode(density, s, np.zeros(2)).log_marginal == -np.inf
