from dataclasses import replace

import numpy as np
import pandas as pd
import pymc as pm
import pytensor
import pytest
from pytensor.compile.mode import Mode
from scipy import stats

from equipoise import CapacityModel, Prior, Score, datasets
from equipoise.models.design import build_design
from equipoise.models.levers import levers
from equipoise.models.likelihood.filter import log_likelihood
from equipoise.models.parameters import coordinates, draw_parameters, parameter_table
from equipoise.models.priors import DEFAULTS, MEANINGS
from equipoise.models.shapes import shape_parameters

AS_IT_IS = Mode(linker="py", optimizer=None)
SCORES = {"joy": Score((0, 10), "higher", step=1), "stress": Score((0, 4), "lower", step=0.5)}


def rich_study(surveys=5, seed=0, **keywords):
    options = {
        "units": 3, "interventions": {"course": "stepped", "coach": "alternating"}, "covariates": ("sleep",),
        "scores": SCORES,
    } | keywords  # fmt: skip
    study = datasets.design_study(clinicians=6, surveys=surveys, jitter=0.2, missing=0.15, **options)
    if study.covariates:  # one that is constant within clinicians
        senior = study.occasions["clinician"].to_numpy() % 2.0
        study = replace(study, occasions=study.occasions.assign(senior=senior), covariates=("sleep", "senior"))
    values = np.random.default_rng(seed).uniform(20, 80, len(study.surveys))
    values[study.surveys["capacity"].isna()] = np.nan
    return study.with_scores(values)


# between them these hold every parameter that a model can have
MODELS = {
    "displaced": CapacityModel(replenishment="sleep", depletion="sleep", interventions={"coach": "depletion"}),
    "free": CapacityModel(start="free", spread="shared_sigma", level="sampled", randomised=True, periods=0),
    "stationary": CapacityModel(
        start="stationary", spread="shared_omega", interventions="replenishment", depletion="sleep"
    ),
    "shaped": CapacityModel(exposures={"course": ["delay", "ramp"], "coach": ["saturating", "fade"]}),
    "varied": CapacityModel(
        replenishment="course * senior", depletion="course:senior + coach:senior", interventions={"coach": "depletion"},
        varying="both", secular="spline",
    ),
    "varied_shaped": CapacityModel(exposures={"course": "ramp"}, varying="both", secular="linear", spread="shared_sigma"),
    "drifting": CapacityModel(secular="linear", secular_lever="depletion", varying="clinician"),
    "plain": CapacityModel(level="sampled"),
}
STUDIES = {
    name: {"surveys": 10} if name == "free" else {} for name in MODELS
} | {"plain": {"units": 1, "interventions": None, "covariates": (), "scores": None}}  # fmt: skip


def make(name):
    return MODELS[name], rich_study(**STUDIES[name])


def test_coordinates_carry_the_real_names():
    model, study = make("displaced")
    built = model.build(study)
    coords = {name: list(values) for name, values in built.coords.items()}
    assert coords["clinician"] == [f"c{i}" for i in range(1, 7)]
    assert coords["unit"] == ["unit 1", "unit 2", "unit 3"]
    assert coords["intervention"] == ["coach", "course"]
    assert coords["intervention_two_levers"] == ["course"]
    assert coords["term"] == coords["term_two_levers"] == ["sleep (mean)", "sleep (deviation)"]
    assert coords["indicator_further"] == ["stress"]
    assert coords["layer"] == ["trait", "process", "error"]
    dims = built.named_vars_to_dims
    assert dims["rate_z"] == dims["beta"] == dims["log_likelihood"] == ("clinician",)
    assert dims["theta_alpha"] == ("intervention",) and dims["speed_up"] == ("intervention_two_levers",)
    assert dims["capacity_unit"] == ("unit",)


def test_dimensions_that_are_empty_are_left_out():
    model, study = make("plain")
    built = model.build(study)
    assert set(built.coords) == {"clinician", "unit", "layer", "indicator"}
    assert "theta_alpha" not in built.named_vars and "unit_level_z" not in built.named_vars


def test_every_parameter_is_met_by_one_of_these_models():
    seen = set()
    for name in MODELS:
        model, study = make(name)
        design, _, _ = build_design(model, study)
        seen |= {p.name for p in parameter_table(model, study, design)}
    assert seen >= set(MEANINGS) | {"rate_z", "spread_z", "level_z", "level_effect", "unit_level_z", "unit_rate_z"}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore:No secular time")
def test_log_density_and_gradient(name):
    """The density is that of the priors times the likelihood; its gradient is finite at the start, right elsewhere."""
    model, study = make(name)
    built = model.build(study)
    (logp, plain), dlogp = (built.logp(jacobian=j) for j in (True, False)), built.dlogp()
    function = built.compile_fn([logp, plain, dlogp], inputs=built.value_vars, mode=AS_IT_IS)
    start = built.initial_point()
    value, _, gradient = function(start)
    assert np.isfinite(value) and np.isfinite(gradient).all()

    rng = np.random.default_rng(2)
    point = {k: v + rng.normal(0, 0.2, np.shape(v)) for k, v in start.items()}
    _, density, gradient = function(point)
    assert gradient.size == sum(np.size(v) for v in start.values())
    direction = {k: rng.normal(size=np.shape(v)) for k, v in point.items()}
    h = 1e-5
    up, down = (function({k: v + s * h * direction[k] for k, v in point.items()})[0] for s in (1, -1))
    along = gradient @ np.concatenate([np.ravel(direction[v.name]) for v in built.value_vars])
    assert (up - down) / (2 * h) == pytest.approx(along, rel=1e-5)

    transforms = built.rvs_to_transforms
    pairs = built.rvs_to_values.items()
    back = [transforms[rv].backward(v, *rv.owner.inputs) if transforms[rv] else v for rv, v in pairs]
    to_natural = pytensor.function(built.value_vars, back, mode=AS_IT_IS, on_unused_input="ignore")
    natural = dict(zip([rv.name for rv in built.rvs_to_values], to_natural(**point), strict=True))
    design, _, _ = build_design(model, study)
    derived = levers(natural, design, model, np)
    data = design.data()
    expected = log_likelihood(*data, *derived.arguments)[0].sum()
    for parameter in parameter_table(model, study, design):
        x = natural[parameter.name]
        if parameter.name == "level_effect":  # centred: the deviation of log C* itself
            expected += stats.norm.logpdf(x, 0, derived.trait_sd / natural["level"]).sum()
        elif parameter.latent:
            expected += stats.norm.logpdf(x).sum()
        else:
            expected += parameter.prior.log_density(x).sum()
    assert density == pytest.approx(expected, rel=1e-7)


OTHER = {
    "real": Prior.of("student_t", mean=0.3, scale=0.7, df=5),
    "positive": Prior.of("gamma", mean=3, sd=1.5),
    "share": Prior.of("beta", a=3, b=2),
    "shares": Prior.of("dirichlet", concentration=(3, 1, 2)),
}


@pytest.mark.parametrize("name", MEANINGS)
@pytest.mark.filterwarnings("ignore:No secular time")
def test_every_prior_can_be_replaced_by_name(name):
    where = dict.fromkeys(("start_mean", "start_sd"), "free") | dict.fromkeys(shape_parameters(), "shaped")
    varied = ("moderation_level", "moderation_speed", "effect_unit_sd", "effect_clinician_sd", "knot_effect")
    where |= dict.fromkeys(varied, "varied") | {"drift": "drifting"}
    where = where.get(name, "displaced")
    model, study = make(where)
    prior = OTHER[DEFAULTS.get(name, DEFAULTS["level"]).support]
    replaced = CapacityModel(**(model.to_dict() | {"priors": {name: prior.to_dict()}}))
    variable = replaced.build(study)[name]
    draw = pm.draw(variable, random_seed=1, mode=AS_IT_IS)
    logp = pm.logp(variable, draw).eval(mode=AS_IT_IS)
    np.testing.assert_allclose(logp, prior.log_density(draw), rtol=1e-6)


def test_centred_and_non_centred_levels_by_the_number_of_surveys():
    model = CapacityModel(level="sampled")
    few, many = (datasets.design_study(clinicians=4, surveys=n) for n in (7, 8))
    assert "level_z" in model.build(few).named_vars
    assert "level_effect" in model.build(many).named_vars
    # half of the answers of the second study are missing: too few again
    values = np.full(32, 50.0)
    values[::2] = np.nan
    assert "level_z" in model.build(many.with_scores(values)).named_vars


def test_missing_answers_and_absent_rows_are_the_same():
    """A row without an answer adds nothing, and moves no number."""
    model = CapacityModel()
    frame = {"clinician": list("aaab"), "week": [0, 1, 3, 2], "joy": [4, np.nan, 6, 7]}
    def study(keep):
        return datasets.Study.from_table(
            pd.DataFrame(frame)[keep], clinician="clinician", time="week", time_unit="week",
            scores={"joy": SCORES["joy"]},
        )  # fmt: skip

    values = []
    for keep in ([True] * 4, [True, False, True, True]):
        s = study(keep)
        design, _, _ = build_design(model, s)
        table, coords = parameter_table(model, s, design), coordinates(s, design)
        point = draw_parameters(table, coords, {"half_life": 2.0}, np.random.default_rng(0))
        built = model.build(s)
        function = pytensor.function(
            list(built.free_RVs), built["log_likelihood"], mode=AS_IT_IS, on_unused_input="ignore"
        )
        values.append(function(**point))
    np.testing.assert_allclose(*values, rtol=1e-12)
