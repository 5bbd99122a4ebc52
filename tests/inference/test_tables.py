"""Every number of the tables, recomputed from a small tree whose draws are made here."""

import json

import arviz as az
import numpy as np
import pytest
import xarray as xr

from equipoise.datasets import UserError
from equipoise.inference import Fit
from equipoise.inference.convergence import diagnose

RNG = np.random.default_rng(0)
CLINICIANS, UNITS, PROGRAMMES = ["c1", "c2", "c3"], ["north", "south"], ["yoga", "coach"]
UNIT_OF = [1, 0, 1]


def lognormal(centre, *shape):
    return centre * np.exp(0.2 * RNG.normal(size=(2, 60, *shape)))


def a_fit(units=UNITS, unit_of=UNIT_OF) -> Fit:
    sample = ("chain", "draw")
    capacity, beta = lognormal(60, 3), lognormal(0.4, 3)
    level, half_life = lognormal(60), lognormal(1.7)
    theta = 0.3 * RNG.normal(size=(2, 60, 2, 2))
    theta[..., 0, 1] = 0.0  # yoga acts on alpha alone
    n = len(units)
    posterior = xr.Dataset(
        {
            "alpha": ((*sample, "clinician"), capacity * beta),
            "beta": ((*sample, "clinician"), beta),
            "capacity": ((*sample, "clinician"), capacity),
            "alpha_unit": ((*sample, "unit"), lognormal(24, n)),
            "beta_unit": ((*sample, "unit"), lognormal(0.4, n)),
            "capacity_unit": ((*sample, "unit"), lognormal(60, n)),
            "alpha_population": (sample, level * np.log(2) / half_life),
            "beta_population": (sample, np.log(2) / half_life),
            "level": (sample, level),
            "half_life": (sample, half_life),
            "start_shift": (sample, RNG.normal(1, 2, (2, 60))),
            "trait_sd": (sample, lognormal(8)),
            "theta_alpha": ((*sample, "intervention"), theta[..., 0]),
            "theta_beta": ((*sample, "intervention"), theta[..., 1]),
            "theta_omega": ((*sample, "intervention"), np.zeros((2, 60, 2))),
            "gamma_beta": ((*sample, "term"), RNG.normal(0.2, 0.1, (2, 60, 1))),
            "gamma_alpha": ((*sample, "term"), np.zeros((2, 60, 1))),
            "period_effect": ((*sample, "period"), RNG.normal(0.5, 0.1, (2, 60, 3))),
        },
        coords={"clinician": CLINICIANS, "unit": units, "intervention": PROGRAMMES, "term": ["sleep"], "period": [1, 2, 3],
                "chain": [0, 1], "draw": np.arange(60)},
    )  # fmt: skip
    change = capacity.mean(-1)[..., None] * np.expm1(theta[..., 0] - theta[..., 1])
    exposed = change.copy()
    exposed[..., 1] = np.nan  # nobody met the coach
    contrasts = xr.Dataset(
        {
            "capacity_change": ((*sample, "intervention"), change),
            "capacity_change_exposed": ((*sample, "intervention"), exposed),
            "score_change": ((*sample, "intervention"), -change / 10),
        },
        coords={"intervention": PROGRAMMES},
    )
    constant = xr.Dataset({"clinician_unit": (("clinician",), unit_of), "unit_name": (("unit",), np.array(units, object))})
    diagnostics = diagnose(posterior, contrasts).set_index("quantity")
    tree = xr.DataTree.from_dict(
        {"posterior": posterior, "contrasts": contrasts, "constant_data": constant,
         "diagnostics": xr.Dataset.from_dataframe(diagnostics)}
    )  # fmt: skip
    tree.attrs["equipoise"] = json.dumps({"study": {"time_unit": "week"}, "sampling": {}, "warnings": []})
    return Fit(tree)


@pytest.fixture(scope="module")
def fit():
    return a_fit()


def check(row, draws, prob, turned=False):
    """All columns that any quantity has; ``turned``: its ranks were judged before it was turned into another scale."""
    draws = np.asarray(draws)
    flat = np.sort(draws.ravel())
    tail = (1 - prob) / 2

    def quantile(q):  # linear interpolation between order statistics, by hand
        place = q * (flat.size - 1)
        k = int(place)
        return flat[k] + (place - k) * (flat[min(k + 1, flat.size - 1)] - flat[k])

    expected = [flat.mean(), quantile(0.5), flat.std(ddof=1), quantile(tail), quantile(1 - tail)]
    np.testing.assert_allclose(row[["mean", "median", "sd", "low", "high"]].to_numpy(float), expected, rtol=1e-9)
    assert row["interval"] == prob
    alone = xr.Dataset({"x": (("chain", "draw"), draws)})
    assert row["ess_bulk"] == pytest.approx(float(az.ess(alone, method="bulk")["x"]), rel=1e-6)
    # the folded half of R-hat and the mean's error are no matter of ranks: a change of scale alters them a little
    assert row["rhat"] == pytest.approx(float(az.rhat(alone)["x"]), abs=0.02 if turned else 1e-9)
    assert row["mcse_mean"] == pytest.approx(float(az.mcse(alone, method="mean")["x"]), rel=0.3 if turned else 1e-6)


@pytest.mark.parametrize("prob", [0.89, 0.5])
def test_clinicians(fit, prob):
    table = fit.clinicians(prob)
    posterior = fit.tree["posterior"]
    assert len(table) == 3 * 4
    assert list(table.columns[:3]) == ["clinician", "unit", "quantity"]
    assert dict(zip(table["clinician"], table["unit"], strict=True)) == {"c1": "south", "c2": "north", "c3": "south"}
    population = {
        "alpha": posterior["alpha_population"], "beta": posterior["beta_population"],
        "capacity": posterior["level"], "half_life": posterior["half_life"],
    }  # fmt: skip
    for _, row in table.iterrows():
        name = "beta" if row["quantity"] == "half_life" else row["quantity"]
        draws = posterior[name].sel(clinician=row["clinician"])
        draws = np.log(2) / draws if row["quantity"] == "half_life" else draws
        check(row, draws, prob, turned=row["quantity"] == "half_life")
        assert row["p_above_population"] == float((draws.to_numpy() > population[row["quantity"]].to_numpy()).mean())


def test_units(fit):
    table = fit.units()
    posterior = fit.tree["posterior"]
    assert dict(zip(table["unit"], table["clinicians"], strict=True)) == {"north": 1, "south": 2}
    rows = table.set_index(["unit", "quantity"])
    assert set(table["quantity"]) == {"alpha", "beta", "capacity", "half_life", "capacity_mean"} and len(table) == 10
    for u in UNITS:
        for name in ("alpha", "beta", "capacity"):
            check(rows.loc[(u, name)], posterior[f"{name}_unit"].sel(unit=u), 0.89)
        check(rows.loc[(u, "half_life")], np.log(2) / posterior["beta_unit"].sel(unit=u), 0.89, turned=True)
    capacity = posterior["capacity"].to_numpy()
    check(rows.loc[("south", "capacity_mean")], capacity[..., [0, 2]].mean(-1), 0.89)
    check(rows.loc[("north", "capacity_mean")], capacity[..., 1], 0.89)
    above = (capacity[..., 1] > capacity.mean(-1)).mean()
    assert rows.loc[("north", "capacity_mean"), "p_above_population"] == pytest.approx(above)


def test_the_only_unit_is_not_compared_with_the_population():
    table = a_fit(["all"], [0, 0, 0]).units()
    assert table["p_above_population"].isna().all()


def test_interventions(fit):
    table = fit.interventions()
    posterior, contrasts = fit.tree["posterior"], fit.tree["contrasts"]
    assert list(table["intervention"].unique()) == PROGRAMMES  # in the study's order
    rows = table.set_index(["intervention", "effect"])
    for name in PROGRAMMES:
        theta = {k: posterior[f"theta_{k}"].sel(intervention=name) for k in ("alpha", "beta")}
        check(rows.loc[(name, "ratio_alpha")], np.exp(theta["alpha"]), 0.89, turned=True)
        assert rows.loc[(name, "ratio_alpha"), "p_positive"] == float((theta["alpha"] > 0).mean())
        for effect in ("capacity_change", "score_change"):
            draws = contrasts[effect].sel(intervention=name)
            check(rows.loc[(name, effect)], draws, 0.89)
            assert rows.loc[(name, effect), "p_positive"] == float((draws > 0).mean())
        # a score whose low end is the good one falls as capacity rises
        assert rows.loc[(name, "score_change"), "mean"] == pytest.approx(-rows.loc[(name, "capacity_change"), "mean"] / 10)
    check(rows.loc[("coach", "ratio_beta")], np.exp(posterior["theta_beta"].sel(intervention="coach")), 0.89, turned=True)


def test_levers_that_were_not_let_act_have_no_sign(fit):
    rows = fit.interventions().set_index(["intervention", "effect"])
    yoga = rows.loc[("yoga", "ratio_beta")]
    assert yoga["mean"] == yoga["low"] == yoga["high"] == 1 and np.isnan(yoga["p_positive"]) and np.isnan(yoga["rhat"])


def test_effects_on_nobody_are_missing(fit):
    rows = fit.interventions().set_index(["intervention", "effect"])
    assert rows.loc[("coach", "capacity_change_exposed"), ["mean", "low", "high", "p_positive"]].isna().all()
    assert rows.loc[("yoga", "capacity_change_exposed"), "mean"] == rows.loc[("yoga", "capacity_change"), "mean"]


def test_population(fit):
    posterior = fit.tree["posterior"]
    table = fit.population(0.8).set_index("quantity")
    for quantity, name in (
        ("alpha", "alpha_population"), ("beta", "beta_population"), ("capacity", "level"), ("half_life", "half_life"),
        ("trait_sd", "trait_sd"), ("start_shift", "start_shift"),
    ):  # fmt: skip
        check(table.loc[quantity], posterior[name], 0.8)
    check(table.loc["capacity_mean"], posterior["capacity"].mean("clinician"), 0.8)
    check(table.loc["gamma_beta[sleep]"], posterior["gamma_beta"].sel(term="sleep"), 0.8)
    assert "gamma_alpha[sleep]" not in table.index  # sleep does not act on alpha
    effect = posterior["period_effect"]
    check(table.loc["period_effect[2]"], (effect - effect.mean("period")).sel(period=2), 0.8)
    assert table.loc["start_shift", "p_positive"] == float((posterior["start_shift"] > 0).mean())
    assert np.isnan(table.loc["trait_sd", "p_positive"])
    assert "per week" in table.loc["beta", "meaning"]


@pytest.mark.parametrize("prob", [0, 1, 89, -0.5, float("nan")])
def test_probabilities_outside_0_to_1_are_refused(fit, prob):
    for table in (fit.clinicians, fit.units, fit.interventions, fit.population):
        with pytest.raises(UserError, match="between 0 and 1"):
            table(prob)
