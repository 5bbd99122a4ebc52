"""A layer of spread left out: the likelihood is the dense normal's with that variance zero, and everything else follows."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytensor
import pytest
from pytensor.compile.mode import Mode

from equipoise import CapacityModel, Score, datasets, simulate
from equipoise.datasets import UserError
from equipoise.models.builder import build_model
from equipoise.models.design import build_design
from equipoise.models.levers import levers
from equipoise.models.parameters import coordinates, draw_parameters, parameter_table

sys.path.insert(0, str(Path(__file__).parent))
from textbook import dense_log_likelihood

AS_IT_IS = Mode(linker="py", optimizer=None)
PLACE = {"trait": 0, "process": 1, "error": 2}
LEVEL_MEAN, LEVEL_VAR, ERROR = 3, 4, 9  # among the likelihood's arguments


def study(**more):
    planned = datasets.design_study(
        clinicians=6, surveys=5, units=2, jitter=0.2, missing=0.15, interventions={"course": "stepped"}, seed=4, **more
    )
    values = np.random.default_rng(0).uniform(20, 80, len(planned.surveys))
    values[planned.surveys["capacity"].isna()] = np.nan
    return planned.with_scores(values)


def a_point(model, given, known=None, seed=1):
    design, _, _ = build_design(model, given)
    coords = coordinates(given, design)
    return design, draw_parameters(parameter_table(model, given, design), coords, known, np.random.default_rng(seed))


def without(layer, point):
    """The same process, trait and error but for the layer left out, in the parameters of the smaller model."""
    rest = [share for name, share in zip(PLACE, point["variance_shares"], strict=True) if name != layer]
    known = {name: value for name, value in point.items() if layer != "trait" or name != "level_rate_concordance"}
    return known | {"total_sd": point["total_sd"] * np.sqrt(sum(rest)), "variance_shares": np.array(rest) / sum(rest)}


@pytest.mark.parametrize("start", ["displaced", "stationary", "free"])
@pytest.mark.parametrize("spread", ["free", "shared_sigma"])
@pytest.mark.parametrize("layer", ["trait", "error"])
def test_the_likelihood_is_the_dense_normal_s_with_that_variance_zero(layer, spread, start):
    given = study()
    full = CapacityModel(start=start, spread=spread)
    design, point = a_point(full, given)
    arguments = list(levers(point, design, full, np).arguments)
    if layer == "trait":
        arguments[LEVEL_MEAN], arguments[LEVEL_VAR] = np.zeros((2, 6))
    else:
        arguments[ERROR] = np.full(1, 1 / 12)  # 0-100 in steps of 1
    expected = dense_log_likelihood(arguments, design.data())

    model = replace(full, left_out=layer)
    _, small = a_point(model, given, without(layer, point))
    built = build_model(model, given)
    assert {v.name for v in built.free_RVs} == set(small)
    function = pytensor.function(list(built.free_RVs), built["log_likelihood"], mode=AS_IT_IS, on_unused_input="ignore")
    np.testing.assert_allclose(function(**{v.name: small[v.name] for v in built.free_RVs}), expected, rtol=1e-9)
    assert np.isfinite(built.compile_dlogp(mode=AS_IT_IS)(built.initial_point())).all()


@pytest.mark.parametrize("layer", ["trait", "error"])
def test_the_other_layers_share_the_total(layer):
    model, given = CapacityModel(left_out=layer), study()
    design, point = a_point(model, given)
    out = levers(point, design, model, np)
    spreads = {"trait": out.trait_sd, "process": out.omega, "error": out.error_sd}
    assert spreads[layer] == 0
    assert sum(s**2 for s in spreads.values()) == pytest.approx(point["total_sd"] ** 2)
    kept = [name for name in PLACE if name != layer]
    assert coordinates(given, design)["layer"] == kept
    share = next(p for p in parameter_table(model, given, design) if p.name == "variance_shares")
    assert share.prior.concentration == (2.0, 2.0)
    # a stated prior loses the concentration of the layer that is left out
    stated = replace(model, priors={"variance_shares": {"concentration": [1, 3, 5]}})
    share = next(p for p in parameter_table(stated, given, design) if p.name == "variance_shares")
    assert share.prior.concentration == ((3.0, 5.0) if layer == "trait" else (1.0, 3.0))


def test_without_a_trait_clinicians_of_a_unit_share_their_level():
    model = CapacityModel(left_out="trait", randomised=True)
    made = simulate(model, study(), seed=2)
    assert made.clinicians.groupby("unit")["capacity"].agg(np.ptp).max() < 1e-9
    assert np.ptp(made.clinicians["alpha"]) > 0.01  # rates still differ
    assert simulate(CapacityModel(randomised=True), study(), seed=2).clinicians.groupby("unit")["capacity"].agg(np.ptp).min() > 1


def test_without_error_answers_are_the_rounded_path():
    made = simulate(CapacityModel(left_out="error"), study(), seed=2)
    score = made.study.surveys["capacity"].to_numpy()
    seen = ~np.isnan(score)
    np.testing.assert_allclose(score[seen], np.clip(np.round(made.path[seen]), 0, 100), atol=1e-9)


def test_without_error_the_likelihood_stays_finite_only_where_the_step_is_known():
    """Equal answers at the same time: their density goes to infinity with the error's variance, unless rounding bounds it."""
    given = study(scores={"joy": Score(range=(0, 10), better="higher")})
    assert given.scores["joy"].step is None
    with pytest.raises(UserError, match=r"joy has no step .* state its step"):
        CapacityModel(left_out="error").equations(given)
    CapacityModel(left_out="trait").equations(given)

    model, stepped = CapacityModel(left_out="error"), study()
    # two answers to the same question at once, equal: the second adds only the rounding's own density
    time = stepped.occasions["time"].to_numpy(float).copy()
    time[1] = time[0] + 1e-9
    surveys = stepped.surveys.assign(capacity=np.where(np.arange(len(stepped.surveys)) < 2, 40.0, stepped.surveys["capacity"]))
    twice = replace(stepped, occasions=stepped.occasions.assign(time=time), surveys=surveys)
    built = build_model(model, twice)
    function = pytensor.function(list(built.free_RVs), built["log_likelihood"], mode=AS_IT_IS, on_unused_input="ignore")
    _, point = a_point(model, twice)
    density = [
        function(**{v.name: (point | {"total_sd": sd})[v.name] for v in built.free_RVs})[0] for sd in (20.0, 1e-2, 1e-6)
    ]
    assert np.isfinite(density).all()
    assert max(density) < 5 * -0.5 * np.log(2 * np.pi / 12)  # no more than so many answers whose only error is rounding


def test_the_equations_say_what_is_left_out():
    given = study()
    whole = CapacityModel().equations(given)
    assert "left out" not in whole and "log(1 + e_i)" in whole
    text = CapacityModel(left_out="trait").equations(given)
    assert "trait SD^2 = 0, left out" in text and "(omega^2, error^2) = total_sd^2" in text
    assert "e_i" not in text and "rho" not in text and "level_rate_concordance" not in text
    assert "b_i = rate_sd z_i" in text
    assert "variance_shares" in text and "Dirichlet(2, 2)" in text
    text = CapacityModel(left_out="error").equations(given)
    assert "error^2 = 0, left out" in text and "(trait SD^2, omega^2) = total_sd^2" in text


@pytest.mark.parametrize("layer, says", [("trait", "too long"), ("error", "too short")])
def test_results_are_headed_by_what_is_left_out(layer, says):
    (caution,) = CapacityModel(left_out=layer, randomised=True).cautions(study())
    assert f'left_out = "{layer}"' in caution and says in caution


def test_the_option_is_part_of_the_description():
    model = CapacityModel(left_out="trait")
    again = CapacityModel.from_dict(json.loads(json.dumps(model.to_dict())))
    assert again == model and again.left_out == "trait" and hash(again) == hash(model)
    assert model != CapacityModel()
    with pytest.raises(UserError, match="left_out must be one of none, trait, error"):
        CapacityModel(left_out="process")
    with pytest.raises(UserError, match="leaves no level to sample"):
        CapacityModel(left_out="trait", level="sampled")
