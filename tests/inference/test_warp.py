"""Curved posteriors: the warp, how it is found, and the quick look in its coordinates."""

from types import SimpleNamespace

import numpy as np
import pytest

from equipoise.datasets import UserError
from equipoise.inference.laplace import quick
from equipoise.inference.laplace.effects import Value
from equipoise.inference.laplace.quick import quick_posterior
from equipoise.inference.laplace.settle import CLOSE, settled, worth_handing_on
from equipoise.inference.laplace.warp import Warp, Warped
from equipoise.inference.psis import HIGH_K

P, BOW, TWIST = 5, 1.3, 0.8
WHERE, WIDTH = np.array([0.5, -1.0, 2.0, 0.0, 1.0]), np.array([1.5, 0.6, 0.4, 1.0, 0.7])


def some_warp(seed=1, p=4):
    rng = np.random.default_rng(seed)
    curl = rng.normal(scale=0.3, size=(p, p, p))
    a, b, c = np.indices(curl.shape)
    curl = np.where((b < a) & (c < a), curl + curl.transpose(0, 2, 1), 0.0)
    root = np.tril(rng.normal(scale=0.4, size=(p, p)), -1) + np.diag(rng.uniform(0.5, 2, p))
    return Warp(rng.permutation(p), rng.normal(size=p), root, curl)


class Banana:
    """Normal z_0, z_1 and z_4; z_2 and z_3 about a square and a product of these; each with its own place and width.

    A hundredth of the log density is left to the correction.
    """

    def __init__(self, clinicians=1):
        self.structure = SimpleNamespace(population=np.arange(P), size=P, unit_of=np.zeros(clinicians, int))
        self.compiled = None

    @staticmethod
    def straight(y):
        z = (y - WHERE) / WIDTH
        z[..., 2] -= BOW * (z[..., 0] ** 2 - 1)
        z[..., 3] -= TWIST * z[..., 0] * z[..., 1]
        return z

    def at(self, points, seeds, keep=True, brief=False, scored=True, whole=False):
        for y, _ in zip(points, seeds, strict=True):
            z, x = self.straight(y.copy()), (y - WHERE) / WIDTH
            by = -z
            by[0] += 2 * BOW * x[0] * z[2] + TWIST * x[1] * z[3]
            by[1] += TWIST * x[0] * z[3]
            log, correction = -0.5 * z @ z, 0.1 * z[4]
            yield Value(log - correction, correction, by / WIDTH - 0.1 * np.eye(P)[4] / WIDTH, y if keep else None)


def test_a_warp_and_the_way_back():
    warp, z = some_warp(), np.random.default_rng(2).normal(size=(20, 4))
    np.testing.assert_allclose(warp.back(warp.there(z)), z, atol=1e-10)
    np.testing.assert_allclose(Warp.none(np.arange(4)).there(z), z)


def test_the_jacobian_of_a_warp_is_the_same_everywhere_and_its_scores_are_derivatives():
    warp, step = some_warp(), 1e-6 * np.eye(4)
    by_y = np.random.default_rng(3).normal(size=4)
    for z in np.random.default_rng(2).normal(size=(5, 4)):
        jacobian = ((warp.there(z + step) - warp.there(z - step)) / 2e-6).T  # [y, z]
        assert np.log(abs(np.linalg.det(jacobian))) == pytest.approx(warp.log_jacobian, abs=1e-7)
        np.testing.assert_allclose(warp.scores(z[None], by_y[None])[0], by_y @ jacobian, atol=1e-7)


def test_a_warp_after_a_step():
    """Exactly so for a linear step, else up to what is of third degree."""
    warp, step, z = some_warp(), some_warp(5), np.random.default_rng(2).normal(size=(20, 4))
    linear = warp.after(step.mean, step.root, np.zeros((4, 4, 4)))
    np.testing.assert_allclose(linear.there(z), warp.there(step.mean + z @ step.root.T), atol=1e-9)
    made = warp.after(step.mean, step.root, step.curl)

    def apart(size):
        curled = size * z + np.einsum("abc,nb,nc->na", step.curl, size * z, size * z)
        return np.abs(made.there(size * z) - warp.there(step.mean + curled @ step.root.T)).max()

    # without the turn of its own curl by what is shifted nothing of second degree is left over
    assert apart(1e-2) / apart(1e-3) > 90
    still = warp.after(np.zeros(4), step.root, step.curl)
    curled = 1e-3 * z + np.einsum("abc,nb,nc->na", step.curl, 1e-3 * z, 1e-3 * z)
    assert np.abs(still.there(1e-3 * z) - warp.there(curled @ step.root.T)).max() < 1e-6
    assert np.allclose(np.triu(made.root, 1), 0)


@pytest.mark.parametrize("order", [np.arange(P), np.array([1, 0, 4, 3, 2])])
def test_a_curved_density_is_settled_on(order):
    rng = np.random.default_rng(1)
    warp, group = settled(Banana(), Warp.none(order), 60, 30, rng)
    z = rng.standard_normal((4000, P))
    straight = Banana.straight(warp.there(z))
    # its own normal coordinates again: means, standard deviations, and no bow
    np.testing.assert_allclose(straight.mean(axis=0), 0, atol=0.15)
    np.testing.assert_allclose(straight.std(axis=0), 1, atol=0.15)
    assert np.abs(np.corrcoef(straight[:, 2], straight[:, 0] ** 2)[0, 1]) < 0.15
    log = -0.5 * np.square(straight).sum(axis=1) + 0.5 * np.square(z).sum(axis=1)
    assert log.std() < CLOSE
    y, ratio, slopes, corrections = group
    assert len(y) == len(ratio) == len(corrections) == len(worth_handing_on(group)[0]) and slopes.shape == y.shape
    values = list(Warped(Banana(), warp).at(y[:5], range(5)))
    np.testing.assert_allclose(ratio[:5], [v.laplace + warp.log_jacobian + 0.5 * a @ a for v, a in zip(values, y[:5], strict=True)])
    np.testing.assert_allclose(slopes[:5], [v.score + a for v, a in zip(values, y[:5], strict=True)], atol=1e-9)
    np.testing.assert_allclose([v.draw for v in values], warp.there(y[:5]))


@pytest.mark.parametrize("clinicians", [1, 6000])
def test_a_quick_look_of_a_curved_density(clinicians, monkeypatch):
    monkeypatch.setattr(quick, "CURVED", 1.0)
    asked = []

    def straightened(rng):
        asked.append(1)
        warp, group = settled(Banana(clinicians), Warp.none(np.arange(P)), 60, 30, rng)
        return Warped(Banana(clinicians), warp), group

    found = quick_posterior(Banana(clinicians), 1000, 1, straightened)
    assert asked == [1] and found.effective > 900 and found.proposals < 1200
    straight = Banana.straight(found.draws[found.chosen])
    np.testing.assert_allclose(straight.mean(axis=0), 0, atol=0.12)
    np.testing.assert_allclose(straight.std(axis=0), 1, atol=0.1)
    without = quick_posterior(Banana(clinicians), 1000, 1)
    assert without.pareto_k > HIGH_K or without.proposals > 1.5 * found.proposals


def test_a_normal_density_is_left_as_it_is(monkeypatch):
    class Normal(Banana):
        @staticmethod
        def straight(y):
            return (y - WHERE) / WIDTH

        def at(self, points, seeds, *arguments, **options):
            for y, _ in zip(points, seeds, strict=True):
                yield Value(float(-0.5 * y @ y), 0.0, -y, y)

    found = quick_posterior(Normal(), 200, 1, lambda rng: pytest.fail("nothing is curved here"))
    assert found.pareto_k < HIGH_K
    # where nothing can be computed in the first coordinates, others are looked for
    def nowhere(*_):
        raise UserError("no point near the mode")

    monkeypatch.setattr(quick, "_first_groups", nowhere)
    with pytest.raises(UserError, match="no point near"):
        quick_posterior(Normal(), 200, 1)
    warp = Warp.none(np.arange(P))
    found = quick_posterior(Normal(), 200, 1, lambda rng: (Warped(Normal(), warp), settled(Normal(), warp, 40, 3, rng)[1]))
    assert found.pareto_k < HIGH_K and found.effective > 190


def test_a_density_that_can_be_computed_nowhere_is_not_settled_on():
    class Nowhere(Banana):
        def at(self, points, seeds, *arguments, **options):
            for _ in points:
                yield Value(-np.inf, np.nan, np.full(P, np.nan), None)

    with pytest.raises(UserError, match=r"no point near the mode .* sample instead"):
        settled(Nowhere(), Warp.none(np.arange(P)), 40, 5, np.random.default_rng(1))
