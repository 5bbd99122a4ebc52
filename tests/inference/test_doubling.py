"""Twice the draws from another seed: two fits of one posterior agree within Monte Carlo error, others do not."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

from equipoise.datasets import UserError
from equipoise.inference import fitting
from equipoise.inference.checks import assess
from equipoise.inference.refits.agreement import agreement, beyond, independent, limit
from equipoise.inference.refits.doubling import doubling
from equipoise.inference.refits.ledger import Ledger

CLINICIANS = 12
SAMPLING = {"draws": 500, "tune": 400, "chains": 4, "seed": 7, "target_accept": 0.9, "tries": 1, "seconds": 1.0}


def correlated(rng, chains, draws, quantities, rho):
    """Draws of standard normals whose autocorrelation at lag t is rho ** t, as those of a sampler."""
    fresh = rng.standard_normal((draws, chains, quantities)) * np.sqrt(1 - rho**2)
    out = np.empty_like(fresh)
    out[0] = fresh[0] / np.sqrt(1 - rho**2)
    for t in range(1, draws):
        out[t] = rho * out[t - 1] + fresh[t]
    return out.transpose(1, 0, 2)


def a_fit(seed, draws=500, rho=0.6, shift=0.0, moved=lambda x: x, warnings=()):
    """A fit whose posterior is known: a level, a half-life, an effect and every clinician's alpha, beta and C*."""
    rng = np.random.default_rng(seed)
    x = moved(correlated(rng, 4, draws, 3 + 3 * CLINICIANS, rho))
    dims = ("chain", "draw")
    clinicians = {"clinician": np.array([f"c{i}" for i in range(CLINICIANS)], object)}
    each = [x[..., 3 + k * CLINICIANS : 3 + (k + 1) * CLINICIANS] for k in range(3)]
    posterior = xr.Dataset({
        "level": (dims, 50 + 2 * (x[..., 0] + shift)), "half_life": (dims, 4 * np.exp(0.5 * x[..., 1])),
        "alpha": ((*dims, "clinician"), np.exp(0.4 * each[0])), "beta": ((*dims, "clinician"), np.exp(each[1] - 2)),
        "capacity": ((*dims, "clinician"), 50 + 5 * each[2]),
    }, coords=clinicians)  # fmt: skip
    contrasts = xr.Dataset(
        {"capacity_change": ((*dims, "intervention"), 3 + x[..., 2, None])}, coords={"intervention": np.array(["course"], object)}
    )
    diagnostics = pd.DataFrame({"rhat": [1.001], "ess_bulk": [900.0], "ess_tail": [800.0]})
    return SimpleNamespace(
        tree=xr.DataTree.from_dict({"posterior": posterior, "contrasts": contrasts}), complete=True, model="model", study="study",
        approximate=False, weighting_loss=1.0,
        facts={"sampling": SAMPLING}, diagnostics=diagnostics, divergences=0, warnings=list(warnings),
    )  # fmt: skip


def compared(monkeypatch, one, other):
    """What doubling finds, and the check made of it."""
    monkeypatch.setattr(fitting, "fit", lambda model, study, **settings: other)
    found = json.loads(json.dumps(doubling(one, prob=0.89), allow_nan=False))
    return found, assess(one, 0.89, {"doubling": found}, only=["doubling"])["doubling"]


def test_the_second_run_has_twice_the_draws_and_another_seed(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(fitting, "fit", lambda model, study, **settings: asked.append((model, study, settings)) or a_fit(2, 1000))
    ledger = Ledger(tmp_path / "doubling.jsonl", "key")
    found = doubling(a_fit(1), ledger=ledger, progress=False)
    twice = {"draws": 1000, "tune": 800, "chains": 4, "seed": 8, "target_accept": 0.9}
    assert asked == [("model", "study", twice | {"progress": False})] and found["sampling"] == twice
    assert doubling(a_fit(1), ledger=Ledger(tmp_path / "doubling.jsonl", "key")) == found and len(asked) == 1
    unfinished = a_fit(1)
    unfinished.complete = False
    with pytest.raises(UserError, match="interrupted"):
        doubling(unfinished)


def test_differences_are_those_of_means_and_quantiles_in_their_own_errors():
    one, other = a_fit(1, 2000, rho=0.0), a_fit(2, 4000, rho=0.0)
    table = agreement(one, other, 0.8)
    assert set(table["what"]) == {"mean", "low", "median", "high"} and len(table) == 4 * (3 + 3 * CLINICIANS)
    level = table[table["quantity"] == "level"].set_index("what")
    draws = [f.tree["posterior"]["level"].to_numpy().ravel() for f in (one, other)]
    for what, at in (("low", 0.1), ("median", 0.5), ("high", 0.9)):
        assert level.loc[what, "one"] == pytest.approx(np.quantile(draws[0], at))
        assert level.loc[what, "other"] == pytest.approx(np.quantile(draws[1], at))
        # independent draws: sqrt(p (1 - p)) / density over the root of their number (here of SD 2)
        error = 2 * np.sqrt(at * (1 - at) * (1 / 8000 + 1 / 16000)) / stats.norm.pdf(stats.norm.ppf(at))
        assert level.loc[what, "mcse"] == pytest.approx(error, rel=0.2)
    assert level.loc["mean", "mcse"] == pytest.approx(2 * np.sqrt(1 / 8000 + 1 / 16000), rel=0.1)
    np.testing.assert_allclose(table["z"], (table["other"] - table["one"]) / table["mcse"])
    assert set(table["group"]) == {"population", "effects", "members"}


def test_two_runs_of_one_posterior_pass(monkeypatch):
    found, check = compared(monkeypatch, a_fit(1), a_fit(2, 1000))
    assert check.passed, check.sentence
    assert found["count"] == len(found["z"]) == 4 * (3 + 3 * CLINICIANS)
    assert "4 chains of 1000 draws and another seed" in check.sentence and "R-hat is at most 1.001" in check.sentence
    assert found["relative"] < 0.2 and found["percent"] < 10
    assert f"{100 * found['relative']:.3g} % of a posterior standard deviation" in check.sentence
    assert len(check.table) and check.figure().axes


def test_false_alarms_are_rare_and_shares_are_near_what_is_expected(monkeypatch):
    """40 pairs of runs of one posterior, autocorrelated and skewed: about one in twenty numbers beyond 1.96, no alarm."""
    alarms, shares = 0, []
    for n in range(40):
        table = agreement(a_fit([n, 1], 250), a_fit([n, 2], 500))
        alarms += len(beyond(table)) > 0
        shares.append((table["z"].abs() > 1.96).mean())
    assert alarms <= 2  # 1 in 100 is meant
    assert np.mean(shares) == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize("shift", [0.3, -0.3])
def test_a_posterior_that_has_moved_fails(monkeypatch, shift):
    found, check = compared(monkeypatch, a_fit(1), a_fit(2, 1000, shift=shift))
    assert check.passed is False and "differ by more than chance" in check.sentence
    assert check.table.iloc[0]["quantity"] == "level"  # the largest difference comes first
    assert found["relative"] == pytest.approx(0.3, abs=0.1)


def test_a_run_that_missed_a_part_of_the_posterior_fails(monkeypatch):
    """Four chains in one of two modes agree with each other; twice the draws from another seed see both."""

    def two_modes(x):
        x = x.copy()
        x[2:, :, 1] += 2.5  # two chains in the other mode, in the half-life
        return x

    _, check = compared(monkeypatch, a_fit(1), a_fit(2, 1000, moved=lambda x: x + 2.5 * (np.arange(x.shape[-1]) == 1)))
    assert check.passed is False
    # where the chains disagree, the run says so itself, and its Monte Carlo error grows with it
    _, check = compared(monkeypatch, a_fit(1), a_fit(2, 1000, moved=two_modes, warnings=["1 of 39 quantities have R-hat above 1.01."]))
    assert check.passed is False and "The second run: 1 of 39 quantities" in check.sentence


def test_many_small_differences_fail_where_no_single_one_does(monkeypatch):
    """Errors that are said to be too small by a third, such as of chains that hardly move."""
    found, _ = compared(monkeypatch, a_fit(1), a_fit(2, 1000))
    rng = np.random.default_rng(0)
    found |= {"z": np.clip(1.6 * rng.standard_normal(found["count"]), -4, 4).tolist(), "independent": 30.0}
    check = assess(None, 0.89, {"doubling": found}, only=["doubling"])["doubling"]
    assert check.passed is False and "Too many differ somewhat" in check.sentence
    # of quantities that all move together it is no wonder
    check = assess(None, 0.89, {"doubling": found | {"independent": 2.0}}, only=["doubling"])["doubling"]
    assert check.passed


def test_how_many_independent_quantities_there_are():
    assert independent(a_fit(1, 2000, rho=0.0)) == pytest.approx(3 + 3 * CLINICIANS, rel=0.03)
    # exponentials of one thing are not quite correlated by 1
    assert 1 <= independent(a_fit(1, moved=lambda x: x[..., :1] + np.zeros(x.shape[-1]))) < 1.3
    halves = independent(a_fit(1, 2000, rho=0.0, moved=lambda x: np.where(np.arange(39) < 19, x[..., :1], x[..., 1:2])))
    assert 2 <= halves < 2.6


def test_the_limit_grows_with_the_numbers_compared():
    assert limit(1) == pytest.approx(stats.t.isf(0.005, 50))
    for count in (10, 1000):  # Šidák: none of so many independent ones passes it, but with a chance of 1 %
        assert (1 - 2 * stats.t.sf(limit(count), 50)) ** count == pytest.approx(0.99)


def test_relative_deviations_leave_means_near_zero_out(monkeypatch):
    one, other = a_fit(1, rho=0.0), a_fit(2, 1000, rho=0.0)
    for f, value in ((one, 1e-4), (other, 3e-4)):  # an effect of nothing: three times as large says nothing
        contrasts = f.tree["contrasts"].to_dataset()
        x = contrasts["capacity_change"] - contrasts["capacity_change"].mean()
        f.tree["contrasts"] = contrasts.assign(capacity_change=x + value)
    found, _ = compared(monkeypatch, one, other)
    names = ("level", "half_life")
    means = [[float(f.tree["posterior"][n].mean()) for n in names] for f in (one, other)]
    assert found["percent"] == pytest.approx(100 * max(abs(b - a) / abs(a) for a, b in zip(*means, strict=True)))


def test_not_done_without_evidence():
    check = assess(None, 0.89, None, only=["doubling"])["doubling"]
    assert check.passed is None and "equipoise run --doubling" in check.sentence
