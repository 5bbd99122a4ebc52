"""Effects of units and clinicians integrated out: against quadrature, and densities whose expansion is known."""

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import special

from equipoise.inference.laplace.density import Density

sys.path.insert(0, str(Path(__file__).parent))
from integrals import NO_UNITS, at_zero, by_quadrature, hermite, of_study

# --- a model ----------------------------------------------------------------------------------------------------------


def test_what_each_clinician_contributes_is_all_there_is():
    """The quadrature by clinicians is that over all of their effects at once."""
    found = of_study(3, 30, 1)
    s, density = found.structure, Density(found.sampler())
    places, (grid, logs) = s.clinician.ravel(), hermite(5, s.clinician.size)
    y = np.zeros(s.size)
    for n, y[places] in enumerate(grid):
        logs[n] += density(y)[0]
    whole = special.logsumexp(logs)
    total, mean, square = by_quadrature(found, y[s.population], 5)
    assert total == pytest.approx(whole, abs=1e-8)
    np.testing.assert_allclose(mean[places], np.exp(logs - whole) @ grid, atol=1e-8)
    np.testing.assert_allclose(square[places], np.exp(logs - whole) @ np.square(grid), atol=1e-8)


@pytest.mark.parametrize("shape, orders, left", [((3, 30, 1), (12, 16), 0.2), ((4, 20, 2), (6, 8), 0.6)])
def test_effects_are_integrated_out_as_by_quadrature(shape, orders, left):
    """In the sampler's coordinates few are far from a normal: what Laplace's method misses is small, and what is left smaller.

    With units, terms that only they have are left out. Quadrature of two orders agrees to 1e-5, which these numbers are far above.
    """
    found = of_study(*shape)
    points = np.random.default_rng(2).standard_normal((3, found.structure.population.size)) * [[0], [0.7], [1]]
    missed = []
    for point, value in zip(points, found.effects().at(points, range(3)), strict=True):
        exact = by_quadrature(found, point, orders[1])[0]
        missed.append([value.laplace - exact, value.laplace + value.correction - exact])
    assert abs(exact - by_quadrature(found, point, orders[0])[0]) < 1e-5
    missed = np.abs(missed)
    assert missed[:, 0].max() < 0.1 and missed[:, 1].max() < 0.01
    assert missed[:, 1].sum() < left * missed[:, 0].sum()


def test_draws_of_units_and_clinicians_have_the_moments_of_the_quadrature():
    found, n = of_study(4, 20, 2), 4000
    s = found.structure
    point = 0.5 * np.random.default_rng(4).standard_normal(s.population.size)
    _, mean, square = by_quadrature(found, point, 8)
    draws = np.array([v.draw for v in found.effects(2).at(np.tile(point, (n, 1)), range(n))])
    np.testing.assert_array_equal(draws[:, s.population], np.tile(point, (n, 1)))
    effects = np.concatenate([s.unit.ravel(), s.clinician.ravel()])
    sd = np.sqrt(square - mean**2)[effects]
    error = 4 / np.sqrt(n)
    assert np.abs(draws.mean(axis=0) - mean)[effects].max() < (error + 0.02) * sd.max()
    np.testing.assert_allclose(draws.std(axis=0)[effects], sd, rtol=error / np.sqrt(2) + 0.05)
    again = [v.draw for v in found.effects().at(np.tile(point, (3, 1)), range(3))]
    np.testing.assert_array_equal(again, draws[:3])  # whatever the number of threads


def test_scores_are_derivatives_of_laplaces_value():
    """With the curvature's log determinant, and with how the effects' mode follows."""
    found, h = of_study(4, 20, 2), 1e-3
    s, effects = found.structure, found.effects()
    for point in 0.5 * np.random.default_rng(4).standard_normal((2, s.population.size)):
        moves = h * np.eye(s.population.size)
        there, back = (np.array([v.laplace for v in effects.at(point + sign * moves, range(len(moves)))]) for sign in (1, -1))
        [here] = effects.at(point[None], [0])
        np.testing.assert_allclose(here.score, (there - back) / (2 * h), atol=2e-3)
        [unscored] = effects.at(point[None], [0], scored=False)
        assert (unscored.score == 0).all() and unscored.laplace == here.laplace and unscored.correction == here.correction


def test_in_brief_laplaces_value_and_the_draws_are_the_same():
    found = of_study(4, 20, 2)
    s, effects = found.structure, found.effects(2)
    points = np.concatenate([np.zeros((1, s.population.size)), np.random.default_rng(4).standard_normal((4, s.population.size))])
    whole, brief = (list(effects.at(points, range(len(points)), brief=brief)) for brief in (False, True))
    np.testing.assert_allclose([v.laplace for v in brief], [v.laplace for v in whole], atol=2e-3)
    assert all(v.correction == 0 and (v.score == 0).all() for v in brief)
    np.testing.assert_allclose(brief[0].draw, whole[0].draw, atol=1e-3)
    apart = np.array([b.draw - w.draw for b, w in zip(brief, whole, strict=True)])
    assert np.abs(apart).max() < 0.3 and np.abs(apart).mean() < 0.03  # where the mean's distance from the mode is not the centre's
    assert [v.laplace for v in effects.at(np.full((1, s.population.size), 1e4), [0], brief=True)] == [-np.inf]


def test_in_brief_where_the_mode_is_found_in_several_steps():
    """Whatever the last step's length, the curvature is that of the mode."""
    found = of_study(4, 20, 2)
    s, effects = found.structure, found.effects(2)
    points = 1.5 * np.random.default_rng(5).standard_normal((60, s.population.size))
    whole, brief = (list(effects.at(points, range(len(points)), brief=brief)) for brief in (False, True))
    np.testing.assert_allclose([v.laplace for v in brief], [v.laplace for v in whole], atol=0.01)
    assert np.abs([v.draw for v in brief]).max() < 10


# --- densities whose expansion is known ---------------------------------------------------------------------------------


def polynomial(e):
    """A normal, plus e times terms of third and e^2 times terms of fourth degree, of two effects x and y of each of three clinicians."""
    places = np.random.default_rng(1).permutation(6).reshape(3, 2)
    a, b, c = np.array([0.5, -0.25, 0.4]), np.array([0.3, 0.45, -0.5]), np.array([0.7, 1.0, 0.5])

    def parts(x, y, a, b, c):
        value = -(x**2 + y**2 - x * y) / 2 + e * (a * x**3 + b * x**2 * y) - e**2 * c * (x**4 + y**4 + x**3 * y + 3 * x**2 * y**2)
        by_x = -x + y / 2 + e * (3 * a * x**2 + 2 * b * x * y) - e**2 * c * (4 * x**3 + 3 * x**2 * y + 6 * x * y**2)
        by_y = -y + x / 2 + e * b * x**2 - e**2 * c * (4 * y**3 + x**3 + 6 * x**2 * y)
        return value, by_x, by_y

    def log(at):
        value, by_x, by_y = parts(*at[places].T, a, b, c)
        gradient = np.empty(6)
        gradient[places] = np.stack([by_x, by_y], axis=1)
        return value.sum(), gradient

    line = np.linspace(-9, 9, 241)
    grid = np.stack(np.meshgrid(line, line, indexing="ij"))
    exact, means = 0.0, np.empty((3, 2))
    for i in range(3):
        density = np.exp(parts(*grid, a[i], b[i], c[i])[0])
        exact += np.log(density.sum() * (line[1] - line[0]) ** 2 / (2 * np.pi))
        means[i] = (grid * density).sum(axis=(1, 2)) / density.sum()
    marginal, correction, mode, draw, _ = at_zero(log, 6, NO_UNITS, places, np.zeros(3, int))
    return marginal - exact, marginal + correction - exact, np.abs(draw[places] - means).max(), np.abs(mode[places] - means).max()


def test_the_expansion_is_right_to_the_order_that_it_says():
    """Laplace's value errs by the square of how far from a normal the density is, the corrected one by its fourth power."""
    whole, half = np.abs(polynomial(0.03)), np.abs(polynomial(0.015))
    laplace_value, corrected, mean, mode = whole / half
    assert 3.5 < laplace_value < 4.5 and 12 < corrected < 20
    assert 1.8 < mode < 2.2 and 6.5 < mean < 9.5  # of the mean: first and third power
    assert half[1] < 0.02 * half[0]


@pytest.fixture(scope="module")
def arrow():
    """Places of two effects of each of two units and of each of three clinicians, a precision of theirs, and terms of third degree."""
    rng = np.random.default_rng(3)
    order = rng.permutation(11)
    unit, clinician, unit_of = order[1:5].reshape(2, 2), order[5:].reshape(3, 2), np.array([1, 0, 1])
    precision, third = np.eye(11), np.zeros((11, 11, 11))
    for i, places in enumerate([*unit, *clinician]):
        precision[np.ix_(places, places)] = [[2.0 + i / 5, 0.4], [0.4, 1.5]]
    for i, places in enumerate(clinician):
        above = unit[unit_of[i]]
        between = 0.2 * rng.standard_normal((2, 2))
        precision[np.ix_(places, above)], precision[np.ix_(above, places)] = between, between.T
        both = np.concatenate([places, above])
        for triple in itertools.combinations_with_replacement(both, 3):
            amount = 0.02 * rng.standard_normal()
            for a, b, c in set(itertools.permutations(triple)):
                third[a, b, c] += amount
    assert np.linalg.eigvalsh(precision).min() > 0.1  # nothing counts as more than it is
    return unit, clinician, unit_of, precision, third


def test_units_and_clinicians_are_drawn_with_their_precision(arrow):
    """A normal density: exact, and so is the draws' spread."""
    unit, clinician, unit_of, precision, _ = arrow
    middle = np.random.default_rng(4).standard_normal(11)
    effects = np.concatenate([unit.ravel(), clinician.ravel()])
    middle[np.setdiff1d(np.arange(11), effects)] = 0.0  # the population's parameter stays where it is

    def log(at):
        return -0.5 * (at - middle) @ precision @ (at - middle), -precision @ (at - middle)

    within = precision[np.ix_(effects, effects)]
    marginal, correction, mode, draw, _ = at_zero(log, 11, unit, clinician, unit_of)
    assert marginal == pytest.approx(-0.5 * np.linalg.slogdet(within)[1], abs=1e-6) and abs(correction) < 1e-6
    np.testing.assert_allclose(mode, middle, atol=1e-6)
    np.testing.assert_allclose(draw, middle, atol=1e-6)
    columns = [(at_zero(log, 11, unit, clinician, unit_of, normals)[3] - draw)[effects] for normals in np.eye(11)[effects]]
    np.testing.assert_allclose(np.transpose(columns) @ columns, np.linalg.inv(within), atol=1e-6)


def test_units_and_clinicians_in_the_expansion(arrow):
    """Shun and McCullagh's terms from whole tensors, where the mode is at 0 and no derivative above the third."""
    unit, clinician, unit_of, precision, third = arrow
    effects = np.concatenate([unit.ravel(), clinician.ravel()])

    def log(at):
        by = np.einsum("abc,b,c->a", third, at, at)
        return -0.5 * at @ precision @ at + by @ at / 6, by / 2 - precision @ at

    _, correction, mode, mean, score = at_zero(log, 11, unit, clinician, unit_of)
    covariance = np.zeros((11, 11))
    covariance[np.ix_(effects, effects)] = np.linalg.inv(precision[np.ix_(effects, effects)])
    traces = np.einsum("abc,ab->c", third, covariance)
    expected = traces @ covariance @ traces / 8
    for own in clinician:
        f, c = third[np.ix_(own, own, own)], np.linalg.inv(precision[np.ix_(own, own)])
        expected += np.einsum("abc,def,ad,be,cf->", f, f, c, c, c) / 12
    np.testing.assert_allclose(mode, 0, atol=1e-12)
    np.testing.assert_allclose(mean, covariance @ traces / 2, atol=1e-7)
    # by the curvature, and by the mode, which moves by as much as the mean does
    np.testing.assert_allclose(score, traces / 2 - precision @ mean, atol=1e-6)
    assert np.abs(mean).max() > 0.01 and expected > 5e-4
    assert correction == pytest.approx(expected, rel=1e-4)


def test_a_curvature_that_is_not_positive_gives_numbers():
    """Between two modes, where the search starts and the gradient is zero."""

    def log(at):
        return (at**2 / 2 - at**4 / 4).sum(), at - at**3

    found = at_zero(log, 2, NO_UNITS, [[0], [1]], [0, 0], np.ones(2))
    for numbers in found:
        assert np.isfinite(numbers).all()


@pytest.mark.parametrize("edge", [-0.5, 1e-5, 0.5], ids=["at the start", "beside the mode", "around the mode"])
def test_where_the_density_cannot_be_computed_there_is_no_value(edge):
    def log(at):
        return (-np.square(at).sum() / 2 if (at < edge).all() else -np.inf), -at

    marginal, correction, mode, draw, _ = at_zero(log, 2, NO_UNITS, [[0], [1]], [0, 0], np.ones(2))
    assert marginal == -np.inf and correction == 0
    np.testing.assert_array_equal(draw, mode)
