import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from equipoise.inference.convergence import diagnose, is_narrow, measures, needs_another_try, problems


@pytest.fixture
def posterior():
    rng = np.random.default_rng(0)
    level = rng.normal(50, 2, (4, 500))
    effect = rng.normal(0, 1, (4, 500, 3))
    effect[..., 1] = 0.0  # an effect that was fixed
    effect[..., 2] = np.nan  # nobody was exposed
    slow = np.cumsum(rng.normal(size=(4, 500)), axis=1)
    return xr.Dataset(
        {
            "level": (("chain", "draw"), level),
            "effect": (("chain", "draw", "intervention"), effect),
            "pair": (("intervention", "draw", "chain", "unit"), rng.normal(size=(3, 500, 4, 2))),
            "slow": (("chain", "draw"), slow),
            "constant": (("unit",), np.zeros(2)),
        },
        coords={"intervention": ["a", "b", "c"], "unit": ["north", "south"]},
    )


def test_every_moving_scalar_is_measured_as_arviz_does(posterior):
    table = diagnose(posterior).set_index("quantity")
    pairs = [f"pair[{k}, {u}]" for k in "abc" for u in ("north", "south")]
    assert list(table.index) == ["level", "effect[a]", *pairs, "slow"]
    assert table.loc["effect[a]", "variable"] == "effect"
    for quantity, values in (
        ("level", posterior["level"]),
        ("effect[a]", posterior["effect"].sel(intervention="a")),
        ("pair[b, south]", posterior["pair"].sel(intervention="b", unit="south")),
    ):
        alone = xr.Dataset({"x": values.transpose("chain", "draw")})
        row = table.loc[quantity]
        assert row["rhat"] == pytest.approx(float(az.rhat(alone)["x"]))
        assert row["ess_bulk"] == pytest.approx(float(az.ess(alone, method="bulk")["x"]))
        assert row["ess_tail"] == pytest.approx(float(az.ess(alone, method="tail")["x"]))
        assert row["mcse_mean"] == pytest.approx(float(az.mcse(alone, method="mean")["x"]))


def test_several_datasets_are_diagnosed_as_one(posterior):
    both = diagnose(posterior, xr.Dataset({"change": posterior["level"] * 2}))
    assert both["quantity"].iloc[-1] == "change"
    assert both["rhat"].iloc[-1] == pytest.approx(both["rhat"].iloc[0])


def test_an_offset_does_not_pass_for_movement():
    """Rounding around a large constant is not sampling."""
    rng = np.random.default_rng(0)
    draws = np.stack([1e6 + 1e-9 * rng.normal(size=(2, 50)), rng.normal(size=(2, 50))], axis=2)
    table = measures(draws)
    assert np.isnan(table.loc[0]).all()
    assert np.isfinite(table.loc[1]).all()


def test_a_single_chain_is_judged_by_its_halves(posterior):
    table = diagnose(posterior[["level", "slow"]].isel(chain=[0])).set_index("quantity")
    assert table.loc["level", "rhat"] < 1.01 < table.loc["slow", "rhat"]


@pytest.mark.parametrize("draws", [1, 3])
def test_too_few_draws_cannot_be_judged(draws):
    values = xr.Dataset({"x": (("chain", "draw"), np.random.default_rng(0).normal(size=(2, draws)))})
    table = diagnose(values)
    assert table.empty
    assert problems(table, 0, 2 * draws) == ["Too few draws to judge convergence."]
    assert not needs_another_try(table, 0)


def healthy():
    return pd.DataFrame(
        {"quantity": ["a", "b"], "rhat": [1.001, 1.01], "ess_bulk": [400.0, 900.0], "ess_tail": [500.0, 400.0]}
    )


def test_nothing_is_said_where_all_is_well():
    assert problems(healthy(), 0, 4000) == []
    assert not needs_another_try(healthy(), 0)


def test_divergences_head_the_list():
    found = problems(healthy(), 3, 4000)
    assert len(found) == 1 and found[0].startswith("3 of 4000 draws diverged")
    assert needs_another_try(healthy(), 3)


def test_few_effective_draws_ask_for_a_second_try():
    table = healthy()
    least = table["ess_bulk"].min()
    assert needs_another_try(table, 0, draws=int(11 * least)) and not needs_another_try(table, 0, draws=int(9 * least))


def test_the_worst_r_hat_is_named():
    table = healthy()
    table["rhat"] = [1.0101, 1.2345]
    (sentence,) = problems(table, 0, 4000)
    assert sentence.startswith("2 of 2 quantities have R-hat above 1.01 (worst: b, 1.234")
    assert needs_another_try(table, 0) and not needs_another_try(table, 0, limit=1.3)


def test_a_run_fails_narrowly_where_r_hat_alone_is_off_by_little():
    table = healthy()
    table["rhat"] = [1.001, 1.019]
    assert needs_another_try(table, 0, draws=1000) and is_narrow(table, 0, draws=1000)
    assert not is_narrow(table, 1, draws=1000)  # a draw diverged
    assert is_narrow(table, 0, draws=3600) and not is_narrow(table, 0, draws=3700)  # less than a quarter is effective of what is off
    assert not is_narrow(table.assign(ess_bulk=[400.0, 9000.0]), 0, draws=4100)  # less than a tenth of another
    assert not is_narrow(table.assign(rhat=[1.001, 1.021]), 0, draws=1000)
    assert is_narrow(table.assign(rhat=[1.001, 1.09]), 0, limit=1.05, draws=1000)


@pytest.mark.parametrize("column", ["ess_bulk", "ess_tail"])
def test_the_smallest_effective_sample_size_is_named_and_needs_no_second_try(column):
    table = healthy()
    table.loc[1, column] = 399.0
    (sentence,) = problems(table, 0, 4000)
    assert "1 of 2 quantities have an effective sample size under 400 (worst: b," in sentence and "399" in sentence
    assert not needs_another_try(table, 0)


def test_chains_that_disagree_are_caught(posterior):
    level = posterior["level"].copy()
    level[0] += 3
    table = diagnose(xr.Dataset({"level": level, "slow": posterior["slow"]}))
    found = problems(table, 0, 2000)
    assert any("R-hat" in text for text in found) and any("effective sample size" in text for text in found)
