"""The same levers in NumPy and in the PyMC model, for every combination of options, and against the formulas."""

from itertools import product

import numpy as np
import pytensor
import pytest
from pytensor.compile.mode import Mode

from equipoise import CapacityModel, Score, datasets
from equipoise.models.builder import build_model
from equipoise.models.capacity import LEVELS, SPREADS, STARTS
from equipoise.models.design import build_design
from equipoise.models.levers import LN2, levers, split_change
from equipoise.models.likelihood.filter import log_likelihood
from equipoise.models.parameters import coordinates, draw_parameters, parameter_table

AS_IT_IS = Mode(linker="py", optimizer=None)
TWO_SCORES = {
    "joy": Score(range=(0, 10), better="higher", step=1),
    "stress": Score(range=(0, 4), better="lower", step=0.5),
}
# what the study and the description may hold beside start, spread and level
FURTHER = [
    {"units": 1},
    {"units": 3, "interventions": {"course": "stepped", "coach": "alternating"}},
    {"units": 3, "interventions": {"course": "stepped", "coach": "alternating"}, "covariates": ("sleep", "work"),
     "model": {"replenishment": "sleep", "depletion": "sleep + work", "interventions": {"coach": "depletion"}}},
    {"units": 1, "covariates": ("sleep",), "scores": TWO_SCORES,
     "model": {"replenishment": "sleep", "split_covariates": False}},
    {"units": 2, "interventions": {"course": "parallel"}, "scores": TWO_SCORES,
     "model": {"interventions": "replenishment", "periods": 2, "randomised": True}},
    {"units": 2, "interventions": {"course": "stepped"}, "covariates": ("sleep",),
     "model": {"interventions": "depletion", "depletion": "sleep", "selection": True, "periods": 0}},
]  # fmt: skip
EVERYTHING = [
    (dict(zip(("start", "spread", "level"), main, strict=True)), further)
    for main, further in product(product(STARTS, SPREADS, LEVELS), FURTHER)
]


def case(main, further):
    further = dict(further)
    options = main | further.pop("model", {})
    study = datasets.design_study(clinicians=6, surveys=5, jitter=0.2, missing=0.15, **further)
    rng = np.random.default_rng(0)
    values = rng.uniform(20, 80, len(study.surveys))
    values[study.surveys["capacity"].isna()] = np.nan
    return CapacityModel(**options), study.with_scores(values)


def a_point(model, study, seed=1):
    design, _, _ = build_design(model, study)
    table = parameter_table(model, study, design)
    return design, draw_parameters(table, coordinates(study, design), None, np.random.default_rng(seed))


@pytest.mark.parametrize(
    "main, further", EVERYTHING, ids=[f"{'-'.join(m.values())}-{FURTHER.index(f)}" for m, f in EVERYTHING]
)
def test_the_sampled_model_and_numpy_agree(main, further):
    model, study = case(main, further)
    design, values = a_point(model, study)
    derived = levers(values, design, model, np)
    data = design.data()
    pymc_model = build_model(model, study)
    assert {v.name for v in pymc_model.free_RVs} == set(values)
    outputs = [pymc_model["log_likelihood"], *pymc_model.deterministics]
    function = pytensor.function(
        list(pymc_model.free_RVs), outputs, mode=AS_IT_IS, on_unused_input="ignore"
    )
    results = function(**{v.name: values[v.name] for v in pymc_model.free_RVs})
    by_name = dict(zip([o.name for o in outputs], results, strict=True))
    np.testing.assert_allclose(by_name.pop("log_likelihood"), log_likelihood(*data, *derived.arguments)[0], rtol=1e-10)
    expected = {
        "alpha_population": values["level"] * LN2 / values["half_life"],
        "beta_population": LN2 / values["half_life"],
        "trait_sd": derived.trait_sd,
        "process_sd": derived.omega,
        "error_sd_total": np.sqrt(derived.error_sd**2 + design.error_floor[0]),
        "level_rate_correlation": 2 * values["level_rate_concordance"] - 1,
        "capacity_unit": derived.capacity_unit,
        "beta_unit": derived.beta_unit,
        "alpha_unit": derived.capacity_unit * derived.beta_unit,
        "beta": derived.beta,
        "omega": derived.omega_clinician,
    }
    if design.interventions:
        thetas = ("theta_alpha", "theta_beta", "theta_omega") if model.spread == "free" else ("theta_alpha", "theta_beta")
        expected |= {name: getattr(derived, name) for name in thetas}
    if design.terms.names:
        expected |= {name: getattr(derived, name) for name in ("gamma_alpha", "gamma_beta")}
    assert set(by_name) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(by_name[name], value, rtol=1e-10, err_msg=name)


# --- the formulas of the design, written out ------------------------------------------------------------------------


def test_effects_split_into_alpha_and_beta():
    on_alpha = np.array([True, True, False, True])
    on_beta = np.array([True, False, True, True])
    change, speed = np.array([0.1, 0.2, 0.3, -0.4]), np.array([0.5, -0.6])
    theta_alpha, theta_beta = split_change(change, speed, on_alpha, on_beta)
    np.testing.assert_allclose(theta_alpha - theta_beta, change)  # Delta, whatever the levers
    np.testing.assert_allclose((theta_alpha + theta_beta)[[0, 3]] / 2, speed)
    assert theta_beta[1] == 0 and theta_alpha[2] == 0
    np.testing.assert_allclose([theta_alpha[1], theta_beta[2]], [0.2, -0.3])


def test_levers_by_clinician_and_epoch_are_those_of_the_design():
    """log C*, log beta and log omega as DESIGN section 1 writes them, term by term."""
    model, study = case({"level": "integrated"}, FURTHER[2])
    design, p = a_point(model, study)
    out = levers(p, design, model, np)
    level, rate, variance, level_mean, level_var, start_shift, start_var, *_, error = out.arguments
    e_sd = p["total_sd"] * np.sqrt(p["variance_shares"][0]) / p["level"]
    omega = p["total_sd"] * np.sqrt(p["variance_shares"][1])
    rho = 2 * p["level_rate_concordance"] - 1
    names = (*design.terms.names, *design.interventions, *range(design.secular.n_columns))
    for k in range(design.n_epochs):
        i = design.epoch_clinician[k]
        u = study.unit_code[i]
        log_c = np.log(p["level"]) + p["unit_level_sd"] * p["unit_level_z"][u]
        log_c += design.mean_exposure[i] @ p["selection"]
        log_b = np.log(np.log(2) / p["half_life"]) + p["unit_rate_sd"] * p["unit_rate_z"][u]
        log_b += p["rate_sd"] * p["rate_z"][i]
        log_w = np.log(omega) + p["spread_sd"] * p["spread_z"][i]
        period_effect = p["period_effect"] - p["period_effect"].mean()
        both_terms = np.flatnonzero(design.terms.on_alpha & design.terms.on_beta).tolist()
        for column, name in enumerate(names):
            x = design.epoch_columns[k, column]
            if name in design.terms.names:
                delta = p["covariate_level"][column]
                if column in both_terms:
                    b = p["covariate_speed"][both_terms.index(column)] - delta / 2
                else:
                    b = -delta
                log_c += x * delta
                log_b += x * b
            elif name in ("course", "coach"):
                q = design.interventions.index(name)
                delta = p["level_change"][q]
                log_c += x * delta
                log_b += x * (p["speed_up"][0] - delta / 2 if name == "course" else -delta)
                log_w += x * p["spread_change"][q]
            else:
                log_c += x * period_effect[name]
        np.testing.assert_allclose([level[k], rate[k], variance[k]], np.exp([log_c, log_b, 2 * log_w]), rtol=1e-12)
    # level and rate of one clinician are correlated: E[e | z], var[e | z] of a bivariate normal
    np.testing.assert_allclose(level_mean, e_sd * rho * p["rate_z"])
    np.testing.assert_allclose(level_var, e_sd**2 * (1 - rho**2))
    np.testing.assert_allclose(start_shift, p["start_shift"])
    np.testing.assert_allclose(start_var, out.omega_clinician**2 * p["start_sd_ratio"] ** 2)
    np.testing.assert_allclose(error, p["total_sd"] ** 2 * p["variance_shares"][2] + 1 / 12)  # 0-100 in steps of 1


def test_the_three_layers_add_up_to_the_total_variance():
    model, study = case({}, FURTHER[0])
    design, p = a_point(model, study)
    out = levers(p, design, model, np)
    assert out.trait_sd**2 + out.omega**2 + out.error_sd**2 == pytest.approx(p["total_sd"] ** 2)


def test_starts():
    results = {}
    for start in STARTS:
        model, study = case({"start": start}, FURTHER[1])
        design, p = a_point(model, study)
        out = levers(p, design, model, np)
        results[start] = (*out.arguments[5:7], p, out)
    shift, var, _, out = results["stationary"]
    np.testing.assert_array_equal(shift, 0)
    np.testing.assert_allclose(var, out.omega_clinician**2)
    shift, var, p, _ = results["free"]
    np.testing.assert_allclose(shift, p["start_mean"])
    np.testing.assert_allclose(var, p["start_sd"] ** 2)


def test_shared_spreads():
    for spread in ("shared_omega", "shared_sigma"):
        model, study = case({"spread": spread}, FURTHER[2])
        design, p = a_point(model, study)
        _, rate, variance, *_ = levers(p, design, model, np).arguments
        sigma_square = 2 * rate * variance
        constant, varying = (variance, sigma_square) if spread == "shared_omega" else (sigma_square, variance)
        np.testing.assert_allclose(constant, constant[0], rtol=1e-12)
        assert np.ptp(varying) > 1e-3 * varying.mean()


def test_sampled_levels_move_c_star_and_carry_the_correlation():
    model, study = case({"level": "sampled"}, FURTHER[0])
    design, p = a_point(model, study)
    assert "level_z" in p  # five surveys a clinician: not centred
    zero = p | {"level_z": np.zeros(6)}
    moved, still = levers(p, design, model, np), levers(zero, design, model, np)
    e_sd = p["total_sd"] * np.sqrt(p["variance_shares"][0]) / p["level"]
    np.testing.assert_allclose(moved.clinician[:, 0] - still.clinician[:, 0], e_sd * p["level_z"])
    rho = 2 * p["level_rate_concordance"] - 1
    np.testing.assert_allclose(
        np.log(moved.beta / still.beta), p["rate_sd"] * rho * p["level_z"], atol=1e-14
    )
    np.testing.assert_array_equal(moved.arguments[3], 0)
    np.testing.assert_array_equal(moved.arguments[4], 0)


def test_the_unit_s_median_clinician_has_its_clinicians_mean_covariates_and_exposure():
    model, study = case({}, FURTHER[2])
    design, p = a_point(model, study)
    out = levers(p | {"rate_z": np.zeros(6)}, design, model, np)
    level = (out.clinician + out.shift[design.epoch_base])[:, 0]
    for u in range(3):
        mine = study.unit_code == u
        # without clinician effects a unit's median is the geometric mean of its clinicians
        np.testing.assert_allclose(np.log(out.capacity_unit[u]), level[mine].mean())
        np.testing.assert_allclose(np.log(out.beta_unit[u]), np.log(out.beta[mine]).mean())
