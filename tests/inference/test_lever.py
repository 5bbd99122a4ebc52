"""The lever: the split of the change of log C*, its probability, and what a moved zero does to it."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from equipoise import CapacityModel
from equipoise.datasets import UserError
from equipoise.inference.lever import lever


def a_fit(level, alpha, beta, model=None, both=("course",)):
    """A stand-in with these draws (draws,) of one intervention."""
    level, alpha, beta = (np.asarray(v, float)[None] for v in (level, alpha, beta))
    posterior = xr.Dataset(
        {
            "level": (("chain", "draw"), level),
            "theta_alpha": (("chain", "draw", "intervention"), alpha[..., None]),
            "theta_beta": (("chain", "draw", "intervention"), beta[..., None]),
        },
        coords={"intervention": ["course"]} | ({"intervention_two_levers": list(both)} if both else {}),
    )
    return SimpleNamespace(tree=xr.DataTree.from_dict({"posterior": posterior}), model=model or CapacityModel())


def test_the_split_is_that_of_the_formula():
    rng = np.random.default_rng(0)
    level, alpha, beta = rng.uniform(30, 60, 999), rng.normal(0.4, 0.05, 999), rng.normal(0.1, 0.05, 999)
    table = lever(a_fit(level, alpha, beta), 0.9, zeros=(0, 20)).set_index("zero")
    assert table.loc[0, "replenishment_median"] == pytest.approx(np.median(alpha))
    assert table.loc[0, "depletion_low"] == pytest.approx(np.quantile(-beta, 0.05))
    assert table.loc[0, "share_median"] == pytest.approx(np.median(alpha / (alpha - beta)))
    assert table.loc[0, "p_replenishment"] == pytest.approx(np.mean(alpha > -beta))
    # with another zero: alpha and beta of C + 20, written out
    off, on = level, level * np.exp(alpha - beta)
    alpha_off, alpha_on = (off + 20) * 1.0, (on + 20) * np.exp(beta)
    assert table.loc[20, "replenishment_median"] == pytest.approx(np.median(np.log(alpha_on / alpha_off)))
    assert table.loc[20, "depletion_median"] == table.loc[0, "depletion_median"]


@pytest.mark.parametrize(
    ("alpha", "beta", "p"),
    [(0.3, 0.0, 1), (0.0, -0.3, 0), (-0.3, 0.0, 1), (0.0, 0.3, 0), (0.3, 0.1, 1), (-0.1, -0.3, 0), (-0.3, -0.1, 1)],
)
def test_mostly_means_in_the_direction_of_the_change(alpha, beta, p):
    """A programme that lowers C* works by replenishment if it is replenishment that it takes away."""
    table = lever(a_fit(np.full(50, 40.0), np.full(50, alpha) + 1e-6 * np.arange(50), np.full(50, beta)), zeros=(0,))
    assert table["p_replenishment"].item() == p


def test_before_the_data_it_is_one_half():
    table = lever(a_fit([40.0] * 9, np.linspace(0.1, 0.3, 9), np.linspace(0, 0.1, 9)))
    assert table["p_prior"][0] == pytest.approx(0.5, abs=0.005)
    assert (table["p_prior"][1:] < 0.5).all()
    # with a common speed-up that is known to be large, replenishment makes the most of a rise and the least of a fall
    sped = CapacityModel(priors={"speed_up": {"mean": 1.0, "sd": 0.1}, "level_change": {"mean": 0.3, "sd": 0.05}})
    assert lever(a_fit([40.0] * 9, [0.1] * 9, [0.0] * 9, sped), zeros=(0,))["p_prior"].item() > 0.99


def test_there_is_no_share_of_a_change_whose_sign_is_not_known():
    table = lever(a_fit([40.0] * 99, np.linspace(-0.3, 0.3, 99), np.zeros(99)), zeros=(0,))
    assert np.isnan(table["share_median"].item())


def test_interventions_with_one_lever_have_none_to_be_told():
    assert lever(a_fit([40.0], [0.1], [0.0], both=())).empty


def test_a_zero_above_the_steady_state_is_refused():
    with pytest.raises(UserError, match="lies above"):
        lever(a_fit([40.0] * 9, [0.1] * 9, [0.0] * 9), zeros=(-45,))
