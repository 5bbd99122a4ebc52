"""Two fits side by side: the same to the last bit, or as near as Monte Carlo error lets them be (more in test_doubling.py)."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from equipoise.inference.refits.agreement import agreement, beyond, identical

DIMS = ("chain", "draw")


def a_fit(seed: int = 1, **changed):
    """A fit of two clinicians; ``changed`` replaces quantities."""
    rng = np.random.default_rng(seed)
    draws = {
        "level": (DIMS, rng.normal(50, 2, (4, 500))), "half_life": (DIMS, np.exp(rng.normal(1, 0.3, (4, 500)))),
        "alpha": ((*DIMS, "clinician"), np.exp(rng.normal(0, 0.3, (4, 500, 2)))), "start_shift": (DIMS, np.zeros((4, 500))),
    } | changed  # fmt: skip
    posterior = xr.Dataset(draws, coords={"clinician": np.array(["a", "b"], object)})
    return SimpleNamespace(tree=xr.DataTree.from_dict({"posterior": posterior, "contrasts": xr.Dataset()}), weighting_loss=1.0)


def test_equal_draws_are_identical_and_one_bit_is_a_difference():
    one, other = a_fit(), a_fit()
    assert identical(one, other)
    table = agreement(one, other)
    assert (table["one"] == table["other"]).all() and (table["z"] == 0).all() and beyond(table).empty
    level = one.tree["posterior"]["level"].to_numpy().copy()
    level[3, 17] = np.nextafter(level[3, 17], np.inf)
    assert not identical(one, a_fit(level=(DIMS, level)))
    assert not identical(one, a_fit(seed=2))


def test_values_that_are_missing_in_both_are_the_same():
    unknown = np.full((4, 500), np.nan)
    assert identical(a_fit(effect=(DIMS, unknown)), a_fit(effect=(DIMS, unknown)))
    assert not identical(a_fit(effect=(DIMS, unknown)), a_fit(effect=(DIMS, np.zeros((4, 500)))))
    assert not identical(a_fit(effect=(DIMS, unknown)), a_fit())


def test_draws_resampled_by_weight_have_larger_errors():
    """Of 2000 draws worth 500 the error is twice that of 2000."""
    one, other = a_fit(), a_fit(seed=2)
    before = agreement(one, other)
    one.weighting_loss = other.weighting_loss = 2.0
    after = agreement(one, other)
    np.testing.assert_allclose(after["mcse"], 2 * before["mcse"])
    np.testing.assert_allclose(after["z"], before["z"] / 2)


def test_the_order_of_dimensions_does_not_matter():
    one = a_fit()
    turned = one.tree["posterior"]["alpha"].transpose("clinician", "draw", "chain")
    assert identical(one, a_fit(alpha=turned.variable)) and identical(a_fit(alpha=turned.variable), one)


def test_what_does_not_move_is_left_out():
    assert set(agreement(a_fit(), a_fit())["quantity"]) == {"level", "half_life", "alpha[a]", "alpha[b]"}


@pytest.mark.parametrize(("errors", "found"), [(1.0, False), (5.5, True)])
def test_a_shift_is_measured_in_monte_carlo_errors(errors, found):
    """The same draws moved by a known number of errors of the difference."""
    one = a_fit()
    level = one.tree["posterior"]["level"].to_numpy()
    error = agreement(one, one).set_index(["quantity", "what"]).loc[("level", "mean"), "mcse"]
    table = agreement(one, a_fit(level=(DIMS, level + errors * error)))
    moved = table.set_index(["quantity", "what"]).loc[("level", "mean")]
    assert moved["z"] == pytest.approx(errors) and moved["other"] - moved["one"] == pytest.approx(errors * error)
    assert (("level" in set(beyond(table)["quantity"])) is found) and set(beyond(table)["quantity"]) <= {"level"}
