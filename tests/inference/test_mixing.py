"""R-hat and effective sample sizes of many quantities at once are ArviZ's, which takes one after the other."""

import arviz as az
import numpy as np
import pytest
import xarray as xr

from equipoise.inference import mixing


def some_draws(chains, length, quantities=40):
    """From alternating to barely moving, with ties, chains apart, heavy tails, and one that is not known everywhere."""
    rng = np.random.default_rng(length)
    keep = np.linspace(-0.95, 0.999, quantities)
    draws = rng.normal(size=(chains, length, quantities))
    draws[..., 3] = np.exp(4 * draws[..., 3])
    for t in range(1, length):
        draws[:, t] += keep * draws[:, t - 1]
    draws[..., 1] = np.round(draws[..., 1])
    draws[..., 2] += 3 * np.arange(chains)[:, None]
    draws[0, 0, 4] = np.nan
    return draws


@pytest.mark.parametrize("chains, length", [(4, 500), (2, 101), (1, 200), (3, 8), (2, 4), (4, 5), (2, 7)])
@pytest.mark.filterwarnings("ignore:invalid value", "ignore:divide by zero")
def test_the_numbers_are_arvizs(chains, length):
    draws = some_draws(chains, length)
    given = xr.Dataset({"x": (("chain", "draw", "quantity"), draws)})
    found = mixing.mixing(draws)
    expected = {
        "ess_bulk": az.ess(given, method="bulk"), "ess_tail": az.ess(given, method="tail"), "mcse_mean": az.mcse(given, method="mean"),
    }  # fmt: skip
    if chains > 1:
        expected["rhat"] = az.rhat(given)
    else:
        assert np.isnan(found["rhat"]).all()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values["x"].to_numpy(), rtol=1e-9, err_msg=name)


def test_too_few_draws_and_chains_that_stand_still_are_no_error():
    assert all(np.isnan(values).all() for values in mixing.mixing(np.arange(12.0).reshape(2, 3, 2)).values())
    stuck = np.repeat([[[1.0]], [[2.0]]], 50, axis=1)
    assert mixing.mixing(stuck)["rhat"][0] > 1e6


def test_blocks_and_their_threads_change_nothing(monkeypatch):
    draws = some_draws(2, 60, 30)
    whole = mixing.mixing(draws)
    monkeypatch.setattr(mixing, "BLOCK", 7 * 120)
    for name, values in mixing.mixing(draws).items():
        np.testing.assert_array_equal(values, whole[name])
