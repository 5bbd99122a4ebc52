"""Effects that differ between clinicians: what formulas say, and what each clinician's levers become."""

import warnings
from dataclasses import replace

import numpy as np
import pytensor
import pytest
from pytensor.compile.mode import Mode

from equipoise import CapacityModel, UserError, datasets
from equipoise.models.builder import build_model
from equipoise.models.design import build_design
from equipoise.models.levers import levers
from equipoise.models.likelihood.filter import log_likelihood
from equipoise.models.moderation import split_formula
from equipoise.models.parameters import coordinates, draw_parameters, parameter_table

AS_IT_IS = Mode(linker="py", optimizer=None)

COLUMNS, PROGRAMMES = ("sleep", "senior", "baseline stress"), ("course", "coach")


@pytest.mark.parametrize(
    "formula, plain, moderated",
    [
        ("sleep", "sleep", {}),
        ("sleep + course:senior", "sleep", {"course": "senior"}),
        ("course * senior", "senior", {"course": "senior"}),
        ("course*senior + coach:sleep", "senior", {"course": "senior", "coach": "sleep"}),
        ("course:senior + course:sleep", "", {"course": "senior + sleep"}),
        ("course:senior:sleep", "", {"course": "senior:sleep"}),
        ("course:log(sleep)", "", {"course": "log(sleep)"}),
        ("course * `baseline stress`", "`baseline stress`", {"course": "`baseline stress`"}),
        ("course * (senior + sleep)", "senior + sleep", {"course": "senior + sleep"}),
    ],
)
def test_formulas_are_split(formula, plain, moderated):
    assert split_formula(formula, COLUMNS, PROGRAMMES, "replenishment") == (plain, moderated)


@pytest.mark.parametrize(
    "formula, words",
    [
        ("course", "enters the model by itself"),
        ("sleep + coach + course:sleep", "'coach' is an intervention"),
        ("course:coach", "cannot be multiplied"),
        ("course * coach", "cannot be multiplied"),
        ("log(course):sleep", "inside a transform"),
        ("log(course)", "inside a transform"),
        ("course:slep", "Did you mean 'sleep'"),
    ],
)
def test_what_a_formula_cannot_say(formula, words):
    with pytest.raises(UserError, match=words):
        split_formula(formula, COLUMNS, PROGRAMMES, "replenishment")


@pytest.fixture(scope="module")
def study():
    made = datasets.design_study(
        clinicians=8, surveys=9, units=4, covariates=("sleep",), interventions={"coach": "alternating", "course": "stepped"}
    )
    code = made.occasions["clinician"].to_numpy()
    stress = np.array([3.0, 5, 4, 8, 2, 6, 7, 1])
    occasions = made.occasions.assign(senior=code % 2.0, stress=stress[code])
    return replace(made, occasions=occasions, covariates=("sleep", "senior", "stress"))


def at_a_point(model, study):
    design, _, _ = build_design(model, study)
    table = parameter_table(model, study, design)
    p = draw_parameters(table, coordinates(study, design), None, np.random.default_rng(3))
    return design, p, levers(p, design, model, np)


@pytest.mark.parametrize("spread", ["free", "shared_sigma"])
@pytest.mark.parametrize("lever", ["both", "replenishment", "depletion"])
def test_effects_by_unit_and_clinician(study, lever, spread):
    """The change of log C* is the average one plus the unit's and the clinician's; it is shared between the levers there are."""
    model = CapacityModel(interventions=lever, varying="both", spread=spread, secular="none", selection=False)
    with pytest.warns(UserWarning):
        model.build(study)
    design, p, out = at_a_point(model, study)
    names = list(design.interventions)
    for e in range(design.n_epochs):
        i = design.epoch_clinician[e]
        level = rate = spread_shift = 0.0
        for k, _ in enumerate(names):
            dose = design.epoch_columns[e, len(design.terms.names) + k]
            change = p["level_change"][k] + p["effect_unit_sd"][k] * p["effect_unit_z"][k][study.unit_code[i]]
            change += p["effect_clinician_sd"][k] * p["effect_clinician_z"][k][i]
            speed = p["speed_up"][k] if lever == "both" else None
            theta_beta = {"both": lambda c=change, s=speed: s - c / 2, "replenishment": lambda: 0.0,
                          "depletion": lambda c=change: -c}[lever]()  # fmt: skip
            level += dose * change
            rate += dose * theta_beta
            spread_shift += dose * (p["spread_change"][k] if spread == "free" else -theta_beta / 2)
        np.testing.assert_allclose(out.shift[e], [level, rate, spread_shift], atol=1e-12)


def test_effects_by_covariates(study):
    """On each lever the effect at a clinician is the average clinician's plus the moderation times the scaled covariate."""
    model = CapacityModel(
        replenishment="course * stress", depletion="course:stress + course:senior", secular="none", selection=False,
        varying="none",
    )  # fmt: skip
    design, p, out = at_a_point(model, study)
    assert design.moderation.names == ("course:stress", "course:senior")
    stress = np.array([3.0, 5, 4, 8, 2, 6, 7, 1])
    stress = (stress - stress.mean()) / stress.std()
    senior = np.arange(8) % 2 - 0.5  # 0/1 columns are centred, not scaled
    np.testing.assert_allclose(design.moderation.values, np.column_stack([stress, senior]))
    change, speed = p["moderation_level"], p["moderation_speed"]
    on_alpha = stress * (speed[0] + change[0] / 2)
    on_beta = stress * (speed[0] - change[0] / 2) - senior * change[1]
    k = list(design.interventions).index("course")
    np.testing.assert_allclose(out.deviations[k][0], on_alpha - on_beta, atol=1e-12)
    np.testing.assert_allclose(out.deviations[k][1], on_beta, atol=1e-12)
    assert set(out.deviations) == {k}
    dose = design.epoch_columns[:, len(design.terms.names) + k]
    mine = design.epoch_clinician
    expected = dose * (p["level_change"][k] + (on_alpha - on_beta)[mine])
    np.testing.assert_allclose(out.added[k][:, 0], expected, atol=1e-12)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"replenishment": "course:sleep"}, "'sleep' changes within a clinician"),
        ({"depletion": "course:senior", "interventions": "replenishment"}, "course does not act on depletion"),
    ],
)
def test_moderators_that_cannot_be(study, options, words):
    with pytest.raises(UserError, match=words):
        build_design(CapacityModel(**options), study)


def test_effects_vary_by_default_only_where_the_design_can_tell():
    def varying(clinicians, units, roll_out):
        made = datasets.design_study(clinicians=clinicians, surveys=9, units=units, interventions={"course": roll_out})
        found = build_design(CapacityModel(), made)[0].moderation
        return found.by_unit, found.by_clinician

    assert varying(16, 8, "stepped") == ((0,), ())
    assert varying(14, 7, "stepped") == ((), ())
    assert varying(16, 8, "parallel") == ((), ())
    assert varying(12, 1, "alternating") == ((), (0,))
    assert varying(9, 1, "alternating") == ((), ())


def test_one_unit_cannot_vary():
    made = datasets.design_study(clinicians=4, surveys=4, interventions={"course": "parallel"})
    with pytest.raises(UserError, match="one unit only"):
        build_design(CapacityModel(varying="unit"), made)


# --- names and forms that formulas may have -------------------------------------------------------------------------

ODD_COLUMNS = ("sleep", "course before", "course.score", "rota", "role", "work-load")
ODD_PROGRAMMES = ("course", "deep breathing", "peer-talk", "rota")


@pytest.mark.parametrize(
    "formula, plain, moderated",
    [
        ("", "", {}),
        ("`deep breathing` * sleep", "sleep", {"deep breathing": "sleep"}),
        ("`peer-talk`:`work-load`", "", {"peer-talk": "`work-load`"}),
        ("sleep/course", "sleep", {"course": "sleep"}),
        ("course/sleep", "", {"course": "sleep"}),
        ("course * sleep * role", "sleep + role + sleep:role", {"course": "sleep + role + sleep:role"}),
        ("course * sleep - sleep", "", {"course": "sleep"}),
        ("course:sleep + sleep:course", "", {"course": "sleep"}),
        ("course:bs(sleep, df=4)", "", {"course": "bs(sleep, df=4)"}),
        ("poly(sleep, 2) * course", "poly(sleep, 2)", {"course": "poly(sleep, 2)"}),
        ("course:C(role)", "", {"course": "C(role)"}),
        # columns in whose names a programme's stands
        ("`course before`", "`course before`", {}),
        ("`course before` * course", "`course before`", {"course": "`course before`"}),
        ("course.score * sleep", "course.score * sleep", {}),
        # a covariate of the same name goes first: the programme by that name is not meant
        ("rota * sleep", "rota * sleep", {}),
    ],
)
def test_formulas_with_odd_names_and_forms_are_split(formula, plain, moderated):
    assert split_formula(formula, ODD_COLUMNS, ODD_PROGRAMMES, "depletion") == (plain, moderated)


@pytest.mark.parametrize(
    "formula, words",
    [
        ("course + `deep breathing`:sleep", "depletion = .*'course' is an intervention"),
        ("course:1", "enters the model by itself"),
        ("`peer-talk`:`deep breathing`:sleep", "peer-talk and deep breathing cannot be multiplied"),
        ("scale(course) * sleep", "inside a transform"),
        ("course ** 2", "operator"),
        ("(course:sleep", "cannot be read"),
        ("sleep ~ course", "right-hand side only"),
        ("course:__import__('os')", "not"),
    ],
)
def test_what_a_formula_cannot_say_of_programmes(formula, words):
    with pytest.raises(UserError, match=words):
        split_formula(formula, ODD_COLUMNS, ODD_PROGRAMMES, "depletion")


@pytest.mark.parametrize("formula", ["0 + course * senior", "course:senior - 1"])
def test_the_intercept_stays_also_beside_products_with_programmes(study, formula):
    with pytest.raises(UserError, match="intercept"):
        build_design(CapacityModel(replenishment=formula), study)


# --- the columns ----------------------------------------------------------------------------------------------------

STRESS = [3.0, 5.0, 4.0, 8.0, 2.0, 6.0, 7.0, 1.0]


def with_columns(study, **columns):
    """The study with columns that are given by clinician."""
    code = study.occasions["clinician"].to_numpy()
    added = {name: np.asarray(values)[code] for name, values in columns.items()}
    return replace(study, occasions=study.occasions.assign(**added), covariates=(*study.covariates, *added))


def moderation_of(study, formula, **options):
    return build_design(CapacityModel(replenishment=formula, **options), study)[0].moderation


def test_categories_are_columns_of_their_own(study):
    roles = ["nurse", "physician", "porter", "nurse", "nurse", "physician", "nurse", "nurse"]
    m = moderation_of(with_columns(study, role=np.array(roles, object)), "coach:C(role)")
    assert m.names == ("coach:C(role)[T.physician]", "coach:C(role)[T.porter]")
    assert set(m.intervention) == {study.interventions.index("coach")}
    for c, (role, share) in enumerate((("physician", 2 / 8), ("porter", 1 / 8))):
        np.testing.assert_allclose(m.values[:, c], [float(r == role) - share for r in roles], atol=1e-15)
    np.testing.assert_array_equal(m.scale, 1.0)
    assert m.on_alpha.all() and not m.on_beta.any()


def test_products_of_covariates_and_transforms(study):
    ages = np.array([30.0, 41, 28, 55, 60, 33, 47, 39])
    more = with_columns(study, age=ages)
    m = moderation_of(more, "course:stress:age + course:log(stress)")
    stress = np.array(STRESS)
    # numbers are centred before they are multiplied, unless they also stand inside a transform
    for label, x in (("course:log(stress)", np.log(stress)), ("course:stress:age", stress * (ages - ages.mean()))):
        column = m.names.index(label)
        scale = np.sqrt(((x - x.mean()) ** 2).mean())
        np.testing.assert_allclose(m.values[:, column], (x - x.mean()) / scale, atol=1e-12, err_msg=label)
        assert m.scale[column] == pytest.approx(scale)


def test_a_column_in_both_formulas_is_one_with_both_levers(study):
    model = CapacityModel(replenishment="course:stress", depletion="course:stress + coach:stress")
    m = build_design(model, study)[0].moderation
    told = dict(zip(m.names, zip(m.on_alpha.tolist(), m.on_beta.tolist(), strict=True), strict=True))
    assert told == {"course:stress": (True, True), "coach:stress": (False, True)}
    assert [m.varies(k) for k in range(2)] == [True, True]


@pytest.mark.parametrize("value", [0.1, 1 / 3, 7.0, 0.0])
def test_a_moderator_that_is_the_same_for_all_is_refused(study, value):
    """Also where the means of clinicians with unequal gaps between surveys differ by rounding."""
    time = study.occasions["time"].to_numpy() * (1 + 0.1 * study.occasions["clinician"].to_numpy())
    uneven = with_columns(replace(study, occasions=study.occasions.assign(time=time)), flat=np.full(8, value))
    with pytest.raises(UserError, match="'flat' is the same for all clinicians, so course cannot depend on it"):
        moderation_of(uneven, "course:flat")


# --- in the model ---------------------------------------------------------------------------------------------------

FORMULAS = {"replenishment": "course * stress + coach:senior", "depletion": "course:stress"}
KINDS = {
    "both": {},
    "each": {"interventions": {"course": "both", "coach": "replenishment"}, "spread": "shared_sigma"},
    "shaped": {"exposures": {"course": "ramp", "coach": {"shape": "fade", "fixed": {"fade": 2.0}}}},
    "sampled": {"level": "sampled", "spread": "shared_omega", "start": "free"},
    "depletion": {
        "interventions": {"course": "depletion", "coach": "depletion"},
        "replenishment": "",
        "depletion": "course * stress",
    },
}  # fmt: skip


@pytest.mark.parametrize("varying", ["none", "unit", "clinician", "both"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_sampled_model_and_numpy_agree_where_effects_vary(study, kind, varying):
    model = CapacityModel(**(FORMULAS | KINDS[kind]), varying=varying)
    answered = study.with_scores(np.random.default_rng(4).uniform(20, 80, len(study.surveys)))
    design, p, out = at_a_point(model, answered)
    built = build_model(model, answered)
    variables = list(built.free_RVs)
    assert {v.name for v in variables} == set(p)
    moderation = [built["moderation_alpha"], built["moderation_beta"]]
    function = pytensor.function(
        variables, [built["log_likelihood"], *moderation], mode=AS_IT_IS, on_unused_input="ignore"
    )
    got, *effects = function(**{v.name: p[v.name] for v in variables})
    data = design.data()
    np.testing.assert_allclose(got, log_likelihood(*data, *out.arguments)[0], rtol=1e-10)
    np.testing.assert_allclose(effects, [out.moderation_alpha, out.moderation_beta], rtol=1e-12)


@pytest.mark.parametrize("kind", ["each", "shaped", "depletion"])
def test_the_gradient_is_finite_and_says_how_the_density_changes(study, kind):
    model = CapacityModel(**(FORMULAS | KINDS[kind]), varying="both")
    answered = study.with_scores(np.random.default_rng(4).uniform(20, 80, len(study.surveys)))
    built = build_model(model, answered)
    both = built.compile_fn([built.logp(), built.dlogp()], inputs=built.value_vars, mode=AS_IT_IS)
    start = built.initial_point()
    rng = np.random.default_rng(5)
    point = {k: v + rng.normal(0, 0.2, np.shape(v)) for k, v in start.items()}
    value, gradient = both(point)
    assert np.isfinite(value) and np.isfinite(gradient).all()
    direction = {k: rng.normal(size=np.shape(v)) for k, v in point.items()}
    up, down = (both({k: v + s * 1e-5 * direction[k] for k, v in point.items()})[0] for s in (1, -1))
    along = gradient @ np.concatenate([np.ravel(direction[v.name]) for v in built.value_vars])
    assert (up - down) / 2e-5 == pytest.approx(along, rel=1e-5, abs=1e-4)


def test_the_coordinates_say_what_varies_with_what(study):
    model = CapacityModel(**FORMULAS, varying="both", selection=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        built = model.build(study)
    coords = {name: list(values) for name, values in built.coords.items()}
    assert set(coords["moderation"]) == {"course:stress", "coach:senior"}
    assert coords["moderation_two_levers"] == ["course:stress"]
    assert coords["intervention_by_unit"] == coords["intervention_by_clinician"] == list(study.interventions)
    dims = built.named_vars_to_dims
    assert dims["effect_unit_z"] == ("intervention_by_unit", "unit")
    assert dims["effect_clinician_z"] == ("intervention_by_clinician", "clinician")
    assert dims["moderation_alpha"] == dims["moderation_beta"] == ("moderation",)


def test_deviations_of_a_shaped_effect_follow_its_exposure(study):
    """What a clinician's own effect adds is in proportion to what the average effect adds, cell by cell."""
    model = CapacityModel(
        exposures={"course": {"shape": "ramp", "fixed": {"onset": 1.5}}}, varying="clinician", secular="none",
        interventions="replenishment", selection=False,
    )  # fmt: skip
    design, p, out = at_a_point(model, study)
    k = design.interventions.index("course")
    own = p["effect_clinician_sd"][k] * p["effect_clinician_z"][k]
    average = levers(p | {"effect_clinician_z": 0 * p["effect_clinician_z"]}, design, model, np).added[k]
    expected = average[:, 0] * (1 + own[design.epoch_clinician] / p["level_change"][k])
    np.testing.assert_allclose(out.added[k][:, 0], expected, atol=1e-12)
    assert np.ptp(average[:, 0]) > 0.3 * abs(p["level_change"][k])
    # where nobody is exposed nothing differs
    np.testing.assert_array_equal(out.added[k][design.epoch_base], 0)


def test_what_is_reported_without_programmes_does_not_depend_on_how_effects_vary(study):
    model = CapacityModel(**FORMULAS, varying="both")
    design, p, out = at_a_point(model, study)
    zero = {n: 0 * v for n, v in p.items() if n.startswith(("moderation", "effect"))}
    still = levers(p | zero, design, model, np)
    for j in range(3):
        one, other = out.arguments[j], still.arguments[j]
        np.testing.assert_allclose(one[design.epoch_base], other[design.epoch_base], rtol=1e-14)
        assert j == 2 or not np.allclose(one, other)
