"""Decisions: shares of draws, ranks and losses counted by hand, and other priors against the conjugate answer."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from equipoise import CapacityModel
from equipoise.datasets import UserError
from equipoise.inference.decisions import FITTED, NONE, decisions

LEVEL = 50.0


def a_fit(log_change, names=("course", "rota"), score=(0, 100), model=None):
    """A stand-in: draws (draws x interventions) of the change of log C* around a C* of 50."""
    log_change = np.asarray(log_change, float)[None]
    dims = ("chain", "draw", "intervention")
    coords = {"intervention": list(names)}
    posterior = xr.Dataset({"level_change": (dims, log_change)}, coords=coords)
    contrasts = xr.Dataset({"capacity_change": (dims, LEVEL * np.expm1(log_change))}, coords=coords)
    return SimpleNamespace(
        tree=xr.DataTree.from_dict({"posterior": posterior, "contrasts": contrasts}),
        model=model or CapacityModel(),
        facts={"study": {"scores": {"joy": {"range": list(score)}}}},
    )


def draws(points):
    return np.log1p(np.asarray(points, float) / LEVEL)


def test_chances_ranks_and_losses_are_counted_over_draws():
    points = [[4, 1], [6, -2], [-1, -3], [2, 3]]
    table = decisions(a_fit(draws(points)), 3, priors={}, costs={"course": 12.0}).set_index("option")
    course, rota, none = table.loc["course"], table.loc["rota"], table.loc[NONE]
    assert set(table["prior"]) == {FITTED}
    chances = course[["p_benefit", "p_worthwhile", "p_equivalent", "p_harm"]].to_numpy(float)
    np.testing.assert_allclose(chances, [0.75, 0.5, 0.5, 0])
    assert (rota["p_harm"], rota["p_benefit"]) == (0, 0.5)
    np.testing.assert_allclose(table["p_best"].to_numpy(float), [0.5, 0.25, 0.25])
    np.testing.assert_allclose(table["expected_rank"].to_numpy(float), [(1 + 1 + 2 + 2) / 4, (2 + 3 + 3 + 1) / 4, (3 + 2 + 1 + 3) / 4])
    np.testing.assert_allclose(table["expected_loss"].to_numpy(float), [(0 + 0 + 1 + 1) / 4, (3 + 8 + 3 + 0) / 4, (4 + 6 + 0 + 3) / 4])
    assert course["cost_per_point_high"] == np.inf and course["cost_per_point_median"] == 3.0
    assert np.isnan(rota["cost_per_point_median"]) and np.isnan(none["p_benefit"])


@pytest.mark.parametrize("label, mean, sd", [("wide", 0.0, 0.5), ("narrow", 0.0, 0.06), ("moved", -0.1, 0.1)])
def test_other_priors_give_the_conjugate_posterior(label, mean, sd):
    """Estimate .2 with standard error .05 under Normal(0, .15), then under another normal prior."""
    rng = np.random.default_rng(1)

    def posterior(m, s):
        precision = 1 / s**2 + 1 / 0.05**2
        return (m / s**2 + 0.2 / 0.05**2) / precision, precision**-0.5

    centre, spread = posterior(0, 0.15)
    fit = a_fit(centre + spread * rng.standard_normal((40_000, 1)), names=("course",))
    table = decisions(fit, 5, priors={label: {"mean": mean, "sd": sd}})
    row = table[(table["prior"] == label) & (table["option"] == "course")].iloc[0]
    centre, spread = posterior(mean, sd)
    assert np.log1p(row["median"] / LEVEL) == pytest.approx(centre, abs=0.15 * spread)
    assert np.log1p(row["high"] / LEVEL) == pytest.approx(centre + 1.598 * spread, abs=0.25 * spread)
    assert row["pareto_k"] < 0.7


def test_a_prior_far_from_the_draws_is_told_by_the_tail_of_its_weights():
    rng = np.random.default_rng(1)
    fit = a_fit(0.4 + 0.03 * rng.standard_normal((4000, 1)), names=("course",))
    table = decisions(fit, 5, priors={"far": {"mean": -0.5, "sd": 0.05}}).set_index("prior")
    assert (table.loc["far", "pareto_k"] > 0.7).all()
    assert table.loc["far", "median"].iloc[0] < table.loc[FITTED, "median"].iloc[0]


def test_the_worthwhile_change_may_be_in_the_score_s_points():
    fit = a_fit(draws([[4, 1], [6, -2]]), score=(10, 50))
    in_score, in_percent = decisions(fit, 2, points="score", priors={}), decisions(fit, 5, priors={})
    assert in_score.equals(in_percent)


@pytest.mark.parametrize(
    "arguments, says",
    [
        ({"worthwhile": None}, "smallest worthwhile change"),
        ({"worthwhile": 0}, "above 0"),
        ({"worthwhile": 5, "points": "scores"}, "Did you mean 'score'"),
        ({"worthwhile": 5, "costs": {"cuorse": 3}}, "Did you mean 'course'"),
        ({"worthwhile": 5, "costs": {"course": -3}}, "cost of course"),
        ({"worthwhile": 5, "prob": 1}, "prob must lie"),
    ],
)
def test_what_cannot_be_decided_on_is_refused(arguments, says):
    with pytest.raises(UserError, match=says):
        decisions(a_fit(draws([[4, 1], [6, -2]])), **arguments)


def test_a_study_without_interventions():
    fit = SimpleNamespace(tree=xr.DataTree.from_dict({"posterior": xr.Dataset()}))
    with pytest.raises(UserError, match="has none"):
        decisions(fit, 5)
