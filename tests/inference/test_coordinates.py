"""The sampler's coordinates and what they rest on, against linear algebra and differences; and code kept by folder."""

import ctypes
import importlib.util
import sys
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numba
import numpy as np
import pytest
from numba import types
from scipy import special, stats

from equipoise.inference.laplace.bends import _bend, bent_standard_deviations
from equipoise.inference.laplace.coordinates import Coordinates, in_coordinates
from equipoise.inference.laplace.curvature import following, latent_curvature
from equipoise.inference.laplace.density import _CALL, Density
from equipoise.inference.laplace.mode import DONE, marginal_mode
from equipoise.inference.laplace.population import bent, opened, stick
from equipoise.inference.laplace.quantile import half_normal_position, log_half_normal
from equipoise.inference.laplace.refine import _of_correlation, coordinates_at
from equipoise.inference.laplace.structure import Structure
from equipoise.models.likelihood import kept

# with many beside -3 and 0, where the way of working it out changes
POSITIONS = np.concatenate([np.linspace(-30, 8, 200), [-3.001, -3.0, -2.999, -1e-3, 0.0, 1e-3]])


def log_quantile(r):
    """Log of the half-normal's quantile at the normal's probability of r, from the tail that is not close to one."""
    if r > 0:
        return np.log(stats.halfnorm.isf(stats.norm.sf(r)))
    if r > -5:
        return np.log(stats.halfnorm.ppf(stats.norm.cdf(r)))
    return np.log(np.sqrt(2) * special.erfinv(stats.norm.cdf(r)))  # SciPy's ppf rounds to zero here


@pytest.mark.parametrize("r", POSITIONS)
def test_a_standard_deviation_as_a_normal_quantile(r):
    value, slope, log_slope, slope_of_log = log_half_normal(r)
    assert np.isclose(value, log_quantile(r), rtol=1e-11, atol=1e-9)
    step = 1e-4
    above, below = log_half_normal(r + step), log_half_normal(r - step)
    assert np.isclose(slope, (above[0] - below[0]) / (2 * step), rtol=1e-6)
    assert np.isclose(np.exp(log_slope), slope, rtol=1e-10)
    assert np.isclose(slope_of_log, (above[2] - below[2]) / (2 * step), rtol=1e-5, atol=1e-7)
    assert np.isclose(half_normal_position(value), r, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("y", [-30.0, -2.0, 0.0, 0.7, 30.0])
def test_a_bent_coordinate(y):
    shift, slope, turn, step = 0.3, 1.2, -0.7, 1e-5
    value, d, of_log = bent(y, shift, slope, turn)
    assert np.isclose(value, shift + slope * y + turn * np.log(np.cosh(y)), rtol=1e-12)
    above, below = bent(y + step, shift, slope, turn), bent(y - step, shift, slope, turn)
    assert np.isclose(d, (above[0] - below[0]) / (2 * step), rtol=1e-8)
    assert np.isclose(of_log, (np.log(above[1]) - np.log(below[1])) / (2 * step), atol=1e-8)


@pytest.mark.parametrize("low, high", [(2.0, 4.0), (0.7, 9.0)])
def test_a_share_as_nearly_a_normal_quantile(low, high):
    """Under its beta prior it has about a normal's tails; log odds would have a straight one."""
    middle, slope = special.digamma(low) - special.digamma(high), np.sqrt(special.polygamma(1, low) + special.polygamma(1, high))

    def log_density(r):
        odds, _, log_slope, _ = stick(r, middle, slope, low, high)
        return low * odds - (low + high) * np.logaddexp(0, odds) + log_slope

    for r in (-5.0, -1.0, 0.0, 2.0, 5.0):
        step = 1e-4
        above, below = stick(r + step, middle, slope, low, high), stick(r - step, middle, slope, low, high)
        _, d, log_d, of_log = stick(r, middle, slope, low, high)
        assert np.isclose(d, (above[0] - below[0]) / (2 * step), rtol=1e-7) and np.isclose(np.exp(log_d), d)
        assert np.isclose(of_log, (above[2] - below[2]) / (2 * step), atol=1e-4)
    for far in (-40.0, 40.0):  # curvature of a normal of variance 1, nearly
        curved = log_density(far + 1) + log_density(far - 1) - 2 * log_density(far)
        assert np.isclose(curved, -1, atol=0.1)


def test_a_mean_of_effects_is_known_the_less_the_more_they_differ():
    """Variance of the mean of 5 measured effects and something else, by how much the effects differ."""
    effects, own, other = 0.3, 0.2, 0.05

    def variance(sd):
        return other + (sd**2 + own) / 5

    share = (effects**2 + own) / 5 / variance(effects)
    for ratio in (1e-3, 0.5, 1.0, 4.0):
        log, slope = opened(np.log(ratio), share, own / effects**2, 1.0)
        assert np.isclose(np.exp(2 * log), variance(effects * ratio) / variance(effects))
        step = 1e-6
        above, below = (opened(np.log(ratio) + sign * step, share, own / effects**2, 1.0)[0] for sign in (1, -1))
        assert np.isclose(slope, (above - below) / (2 * step), atol=1e-6)


def test_a_correlation_with_effects_is_known_the_better_the_more_they_differ():
    """Precision of the slope of 5 measured effects on something known, and its prior's, by how much the effects differ."""
    effects, own, prior = 0.3, 0.2, 4.0

    def precision(sd):
        return prior + 5 * sd**2 / (sd**2 + own)

    share = 1 - prior / precision(effects)
    for ratio in (1e-3, 0.5, 1.0, 4.0):
        log, slope = opened(np.log(ratio), share, own / effects**2, 0.0)
        assert np.isclose(np.exp(-2 * log), precision(effects * ratio) / precision(effects))
        step = 1e-6
        above, below = (opened(np.log(ratio) + sign * step, share, own / effects**2, 0.0)[0] for sign in (1, -1))
        assert np.isclose(slope, (above - below) / (2 * step), atol=1e-6)


def test_what_a_study_tells_of_the_correlation_and_what_it_could():
    """Shares of the precision at a beta prior of 8 and 8, and at how many clinicians more differences of rates tell no more."""
    rng = np.random.default_rng(0)
    s = replace(places(rng, 3, 1, 1, 1000, 2), link=np.array([1, 1]), link_concentration=16.0)
    x, information = np.zeros(s.size), np.zeros((1000, 2, 2))
    assert _of_correlation(s, x, information, 1 / 4)[0] == 0  # the prior's own precision
    assert _of_correlation(s, x, information, 1.0)[0] == 0
    share, own = _of_correlation(s, x, information, 1 / 8)
    assert share == 0.5
    # where all rates are known the data's precision is a quarter for each clinician
    log = opened(np.log(1e6), share, own, 0.0)[0]
    assert np.isclose(8 * np.exp(-2 * log), 4 + 1000 / 4, rtol=1e-6)
    assert _of_correlation(s, x, information[:10], 1 / 8) == (0.5, 0.0)
    information[:, 1, 1] = 0.5
    assert _of_correlation(s, x, information, 1 / 8) == (0.5, 2.0)


def test_what_bends_a_skewed_marginal_straightens_it():
    points = np.array([-8, -6, -4.5, -3, -2, -1, 0, 1, 2, 3, 4.5, 6, 8.0])
    np.testing.assert_allclose(_bend(points, -0.5 * points**2), (0, 1, 0), atol=2e-3)
    gamma = stats.loggamma(2.0)  # a long left tail
    mode, scale = np.log(2.0), 1 / np.sqrt(2.0)  # and the curvature at the mode
    shift, slope, turn = _bend(points, gamma.logpdf(mode + scale * points))
    for y in (-1.5, 0.0, 1.5):
        assert np.isclose(gamma.cdf(mode + scale * bent(y, shift, slope, turn)[0]), stats.norm.cdf(y), atol=0.01)


@dataclass(frozen=True)
class Unbent:
    """What of `Coordinates` is bent: three parameters, of which the last two are standard deviations."""

    bend: np.ndarray = field(default_factory=lambda: np.array([[0.0], [1.0], [0.0]]) * np.ones(3))
    structure: object = field(default_factory=lambda: SimpleNamespace(log_unit=np.array([np.nan, 0.0, 0.0]), population=np.arange(3)))


def test_standard_deviations_of_a_large_study_are_bent_where_the_others_are():
    """One is skewed, and lies further up the larger the other is, which is normal, but not about the centre."""
    gamma, asked = stats.loggamma(1.0), []

    def effects_in(found):
        def at(points, seeds, keep, scored):
            asked.extend(points)
            for y in points:
                t, d, _ = np.transpose([bent(value, *column) for value, column in zip(y, found.bend.T, strict=True)])
                log = stats.norm.logpdf(t[0]) + gamma.logpdf(t[1] - 0.5 * t[2]) + stats.norm.logpdf(t[2], 2.0)
                yield SimpleNamespace(laplace=log - 3.0, correction=3.0 + np.log(d).sum())

        return SimpleNamespace(at=at, structure=found.structure)

    found = bent_standard_deviations(Unbent(), effects_in, lambda found: found)
    np.testing.assert_array_equal(found.bend[:, 0], (0, 1, 0))
    np.testing.assert_allclose(found.bend[:, 2], (2, 1, 0), atol=0.5)
    for y in (-1.5, 0.0, 1.5):
        above = 0.5 * found.bend[0, 2]  # by how much the other, at its own middle, moves it
        assert np.isclose(gamma.cdf(bent(y, *found.bend[:, 1])[0] - above), stats.norm.cdf(y), atol=0.05)
    assert len(asked) < 30


def test_standard_deviations_that_are_known_nowhere_are_left():
    def effects_in(found):
        nothing = SimpleNamespace(laplace=-np.inf, correction=0.0)
        return SimpleNamespace(at=lambda points, *_, **__: (nothing for _ in points), structure=found.structure)

    np.testing.assert_array_equal(bent_standard_deviations(Unbent(), effects_in, lambda found: found).bend, Unbent().bend)


# --- densities that are known -----------------------------------------------------------------------------------------


@dataclass
class StandIn:
    """A density of Python in place of a compiled model's."""

    density: object
    n_dim: int
    compiled_logp_func: object = None
    compiled_expand_func: object = field(default_factory=lambda: SimpleNamespace(address=0))
    user_data: object = None
    initial_point_func: object = None
    logp_func: object = None

    def __post_init__(self):
        if self.compiled_logp_func is None:

            def call(size, x, gradient, value, data):
                value[0], slopes = self.density(np.ctypeslib.as_array(x, (size,)))
                np.ctypeslib.as_array(gradient, (size,))[:] = slopes
                return 0

            self.user_data = np.zeros(1)
            function = _CALL(call)
            address = ctypes.cast(function, ctypes.c_void_p).value
            self.compiled_logp_func = SimpleNamespace(address=address, function=function)


def places(rng, p, units, m, clinicians, k) -> Structure:
    """A structure whose parameters lie in no particular order, without standard deviations among them."""
    order = rng.permutation(p + units * m + clinicians * k)
    population, unit, clinician = np.split(order, [p, p + units * m])
    return Structure(
        population, unit.reshape(units, m), clinician.reshape(clinicians, k), np.arange(clinicians) % units,
        np.full(m, -1), np.full(k, -1), np.full(p, np.nan), np.full(p, -1), np.empty(0, int), np.empty((4, 0)), np.array([-1, -1]),
    )  # fmt: skip


class Gaussian:
    """A normal density whose precision is an arrow, at least the identity."""

    def __init__(self, rng, s):
        self.s, self.mean, self.precision = s, rng.normal(size=s.size), np.eye(s.size)
        for own, unit in zip(s.clinician, s.unit_of, strict=True):
            at = np.concatenate([s.population, s.unit[unit], own])
            root = 0.5 * rng.normal(size=(at.size, at.size))
            self.precision[np.ix_(at, at)] += root @ root.T
        self.effects = np.concatenate([s.unit.ravel(), s.clinician.ravel()])

    def __call__(self, x):
        slope = self.precision @ (self.mean - x)
        return 0.5 * slope @ (x - self.mean), slope

    def block(self, rows, columns):
        return self.precision[np.ix_(rows, columns)]

    @property
    def follows(self):
        """How the effects' mode follows the population's parameters: -H_ww^-1 H_wp."""
        return -np.linalg.solve(self.block(self.effects, self.effects), self.block(self.effects, self.s.population))

    @property
    def marginal(self):
        """The precision of the population's parameters, effects integrated out: a Schur complement."""
        p = self.s.population
        return self.block(p, p) + self.block(p, self.effects) @ self.follows


SIZES = [(4, 3, 2, 8, 2), (3, 1, 0, 6, 2), (5, 2, 1, 6, 3)]  # p, units, their effects, clinicians, their effects


@pytest.fixture(params=SIZES, ids=str)
def gaussian(request):
    rng = np.random.default_rng(request.param)
    return Gaussian(rng, places(rng, *request.param))


def by_effect(s, by_unit, by_clinician):
    """Results for units and clinicians one below the other, in the order of `Gaussian.effects`."""
    trailing = by_clinician.shape[2:]
    return np.concatenate([by_unit.reshape(s.unit.size, *trailing), by_clinician.reshape(s.clinician.size, *trailing)])


def by_differences(f, x, step=1e-5):
    """Derivatives of ``f`` by ``x`` in the last axis."""
    moves = step * np.eye(x.size)
    return np.stack([(f(x + move) - f(x - move)) / (2 * step) for move in moves], axis=-1)


# --- the map ----------------------------------------------------------------------------------------------------------


def assert_same_density(mapped, own, coordinates, points):
    """Gradient and value of the mapped density, against differences and against the density and a dense Jacobian."""
    apart = []
    for y in points:
        value, gradient = mapped(y)
        numerical = by_differences(lambda at: mapped(at)[0], y)
        np.testing.assert_allclose(gradient, numerical, rtol=1e-5, atol=1e-6 * np.abs(numerical).max())
        sign, logs = np.linalg.slogdet(by_differences(coordinates.parameters, y))
        assert sign != 0
        apart.append(value - own(coordinates.parameters(y))[0] - logs)
    np.testing.assert_allclose(apart, apart[0], atol=1e-5)


@pytest.mark.parametrize("sizes", [*SIZES, (8, 3, 4, 7, 4)], ids=str)
def test_any_coordinates_keep_the_density(sizes):
    """With standard deviations, means, shares and a correlation of every kind among the parameters, whatever the map's arrays are."""
    rng = np.random.default_rng(sizes)
    p, units, m, clinicians, k = sizes
    s, number = places(rng, *sizes), np.arange(p)
    share = number[4:7:2] if p > 6 else number[1:2]
    s = replace(
        s, log_unit=np.where(number % 2, np.nan, -0.7), unit_sd=np.arange(m) % (p + 1) - 1, clinician_sd=(np.arange(k) + 1) % (p + 1) - 1,
        width_by=np.where(number == p - 1, 0, -1), share=share, sticks=0.5 + rng.random((4, share.size)), link=np.array([1, k - 1]),
    )  # fmt: skip
    s.log_unit[[*share, p - 1]] = np.nan
    if p > 6:
        s.width_by[1] = 2  # the correlation's scale follows a standard deviation, as it does in the model
    roots = rng.normal(size=(units, m, m)), rng.normal(size=(clinicians, k, k))
    coordinates = Coordinates(
        s, *(0.3 * rng.normal(size=size) for size in (p, s.size)), np.tril(0.2 * rng.normal(size=(p, p))) + 0.5 * np.eye(p),
        np.stack([0.2 * rng.normal(size=p), 1 + rng.random(p), rng.uniform(-0.9, 0.9, p)]),
        np.stack([*rng.random((2, p)), number != 1]),
        0.2 * rng.normal(size=(m, p)), 0.2 * rng.normal(size=(k, p)),
        np.concatenate([rng.random((1, clinicians)), rng.normal(size=(1 + m, clinicians))]),
        *(0.5 * rng.normal(size=size) for size in ((units, m, p), (clinicians, k, p), (clinicians, k, m))),
        *(root @ root.transpose(0, 2, 1) for root in roots),
    )  # fmt: skip
    gaussian = Gaussian(rng, s)

    def density(x):  # no quadratic, so that the parameters' places matter
        value, gradient = gaussian(x)
        return value + np.sin(x).sum(), gradient + np.cos(x)

    mapped = Density(in_coordinates(StandIn(density, s.size), coordinates))
    assert_same_density(mapped, density, coordinates, 0.7 * rng.normal(size=(3, s.size)))


def test_a_normal_posterior_becomes_standard(gaussian):
    s = gaussian.s
    latent = latent_curvature(gaussian, s, gaussian.mean)
    follows = following(gaussian, s, gaussian.mean, latent)
    coordinates = coordinates_at(s, gaussian.mean, latent, np.linalg.inv(gaussian.marginal), *follows)
    density = Density(in_coordinates(StandIn(gaussian, s.size), coordinates))
    constant = density(np.zeros(s.size))[0]
    for y in np.random.default_rng(1).normal(size=(5, s.size)):
        value, gradient = density(y)
        assert np.isclose(value - constant, -0.5 * y @ y, atol=1e-5)
        np.testing.assert_allclose(gradient, -y, atol=1e-5)


# --- normal posteriors ------------------------------------------------------------------------------------------------


def test_curvature_by_blocks_is_that_of_the_whole_matrix(gaussian):
    s, rng = gaussian.s, np.random.default_rng(1)
    dense = gaussian.block(gaussian.effects, gaussian.effects)
    latent = latent_curvature(gaussian, s, rng.normal(size=s.size))
    assert np.isclose(latent.log_determinant, np.linalg.slogdet(dense)[1], rtol=1e-7)
    for trailing in ((), (4,)):
        sides = rng.normal(size=(*s.unit.shape, *trailing)), rng.normal(size=(*s.clinician.shape, *trailing))
        exact = np.linalg.solve(dense, by_effect(s, *sides))
        np.testing.assert_allclose(by_effect(s, *latent.solve(*sides)), exact, atol=1e-6)
    n, split = gaussian.effects.size, s.unit.size
    root = np.stack([
        by_effect(s, *latent.spread(z[:split].reshape(s.unit.shape), z[split:].reshape(s.clinician.shape))) for z in np.eye(n)
    ], axis=1)  # fmt: skip
    np.testing.assert_allclose(root @ root.T, np.linalg.inv(dense), atol=1e-6)
    follows = following(gaussian, s, rng.normal(size=s.size), latent)
    np.testing.assert_allclose(by_effect(s, *follows), gaussian.follows, atol=1e-6)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_marginal_mode_of_a_normal(gaussian, threads):
    s = gaussian.s
    start = gaussian.mean + np.random.default_rng(2).normal(size=s.size)
    found = marginal_mode(gaussian, s, start, np.ones(s.population.size), threads)
    exact, apart = gaussian.marginal, found.at.x[s.population] - gaussian.mean[s.population]
    assert np.sqrt(apart @ exact @ apart) < DONE
    np.testing.assert_allclose(found.precision, exact, atol=1e-5 * np.abs(exact).max())
    np.testing.assert_allclose(by_effect(s, found.unit_follows, found.clinician_follows), gaussian.follows, atol=1e-6)
    expected = gaussian.mean[gaussian.effects] + gaussian.follows @ apart
    np.testing.assert_allclose(found.at.x[gaussian.effects], expected, atol=1e-5)


# --- code kept on disk ----------------------------------------------------------------------------------------------


@pytest.fixture
def process(monkeypatch, tmp_path):
    """Makes the callback and the kernel of ``tmp_path/room/source.py``, as a new process would."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    room = tmp_path / "room"
    room.mkdir()
    (room / "source.py").write_text("def run(x):\n    return x + 1\n")
    (room / "helper.py").write_text("A = 1\n")

    def make():
        kept.folder_version.cache_clear()
        spec = importlib.util.spec_from_file_location("kept_source", room / "source.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "kept_source", module)  # code that is found again asks for its module
        spec.loader.exec_module(module)
        callback, kernel = kept.cfunc(types.double(types.double), module.run), kept.njit()(module.run)
        assert callback.ctypes(2.0) == kernel(2.0) == 2.0 + make.added
        return callback.cache_hits, sum(kernel.stats.cache_hits.values())

    make.room, make.added = room, 1
    yield make
    kept.folder_version.cache_clear()


def test_code_of_any_folder_is_kept(process):
    process()
    assert all(process())


@pytest.mark.parametrize("file", ["source.py", "helper.py", "new.py"])
def test_code_is_made_anew_when_a_source_file_of_its_folder_changes(process, file):
    process()
    before = kept.folder_version(process.room)
    (process.room / file).write_text("def run(x):\n    return x + 2\n")
    process.added = 2 if file == "source.py" else 1
    assert not any(process())
    assert kept.folder_version(process.room) != before
    assert all(process())


def test_code_is_kept_when_another_folder_or_no_source_changes(process, tmp_path):
    process()
    before = kept.folder_version(process.room)
    (tmp_path / "helper.py").write_text("A = 2\n")
    (process.room / "notes.txt").write_text("no source")
    assert all(process())
    assert kept.folder_version(process.room) == before
