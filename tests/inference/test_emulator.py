"""What few values tell of a smooth function of many parameters: against the function, and against a kernel written out."""

import numpy as np
import pytest

from equipoise.inference.laplace.emulator import Emulator


def bent(y):
    """Bends along two of twelve directions, and leans along the others."""
    return y @ np.linspace(-1, 1, 12) + 3 * np.exp(0.4 * y[:, 3]) + 0.8 * y[:, 3] * y[:, 7]


@pytest.fixture(scope="module")
def told():
    y = np.random.default_rng(0).standard_normal((120, 12))
    return y, Emulator(y, bent(y))


def test_what_is_left_is_what_other_points_lack(told):
    _, found = told
    other = np.random.default_rng(1).standard_normal((400, 12))
    lacking = found(other) - bent(other)
    assert lacking.std() < 0.1 and found.left < 0.1  # of 3.2


def test_far_away_it_does_not_run_off(told):
    """A cubic polynomial by least squares would be off by hundreds there."""
    _, found = told
    far = 2.0 * np.random.default_rng(2).standard_normal((400, 12))
    assert np.abs(found(far) - bent(far)).max() < 0.35 * np.ptp(bent(far))  # a plane's is 0.6


def test_noise_is_left():
    rng = np.random.default_rng(3)
    y = rng.standard_normal((150, 4))
    found = Emulator(y, y @ [1.0, 2.0, -1.0, 0.5] + 0.5 * rng.standard_normal(150))
    assert 0.4 < found.left < 0.65
    assert np.std(found(y) - y @ [1.0, 2.0, -1.0, 0.5]) < 0.25


def test_values_that_are_all_the_same():
    y = np.random.default_rng(4).standard_normal((30, 3))
    found = Emulator(y, np.full(30, 7.0))
    np.testing.assert_allclose(found(2 * y), 7.0, atol=1e-9)


def test_derivatives_by_its_scales():
    rng = np.random.default_rng(5)
    y, by = rng.standard_normal((20, 3)), rng.standard_normal((20, 20))
    by, log, h = by + by.T, 0.3 * rng.standard_normal(8), 1e-6

    def total(log):
        return (by * (Emulator._covariance(y, y, log) + Emulator._noise(log) * np.eye(20))).sum()

    expected = [(total(log + move) - total(log - move)) / (2 * h) for move in h * np.eye(8)]
    np.testing.assert_allclose(Emulator._slopes(y, log, by), expected, rtol=1e-6, atol=1e-6)


def test_left_out_by_refitting():
    """The formula of what other points tell, against a process without the point, its scales held."""
    rng = np.random.default_rng(6)
    y = rng.standard_normal((25, 3))
    values = y @ [1.0, 2.0, -1.0] + 0.3 * y[:, 0] ** 2 + 0.5 * rng.standard_normal(25)
    found, apart = Emulator(y, values), []
    size, middle = values.std(), values.mean()
    for out in range(25):
        kept = np.delete(np.arange(25), out)
        within = Emulator._covariance(y[kept], y[kept], found._log) + Emulator._noise(found._log) * np.eye(24)
        weights = np.linalg.solve(within, (values[kept] - middle) / size)
        apart.append(values[out] - middle - size * (Emulator._covariance(y[[out]], y[kept], found._log) @ weights)[0])
    assert found.left > 0.3
    assert found.left == pytest.approx(np.std(apart), rel=1e-3)
