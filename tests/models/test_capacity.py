import json

import pytest

from equipoise import CapacityModel, datasets
from equipoise.datasets import UserError
from equipoise.models.design import build_design
from equipoise.models.parameters import parameter_table

FULL = {
    "replenishment": "sleep", "depletion": "workload", "interventions": {"course": "replenishment", "coach": "both"},
    "start": "free", "spread": "shared_omega", "level": "sampled", "randomised": True, "selection": True, "periods": 3,
    "split_covariates": False,
    "priors": {"half_life": {"median": 8.0, "factor": 2.0}, "level_change": {"mean": 0, "sd": 0.1}},
}  # fmt: skip


@pytest.mark.parametrize("options", [{}, FULL])
def test_a_description_survives_a_trip_through_json(options):
    model = CapacityModel(**options)
    again = CapacityModel.from_dict(json.loads(json.dumps(model.to_dict())))
    assert again == model
    assert hash(again) == hash(model)
    assert again.to_dict() == model.to_dict()


def test_equal_descriptions_have_equal_hashes_whatever_the_order():
    a = CapacityModel(interventions={"x": "both", "y": "depletion"})
    b = CapacityModel(interventions={"y": "depletion", "x": "both"})
    assert a == b and hash(a) == hash(b)
    assert a != CapacityModel(interventions={"x": "both", "y": "both"})


@pytest.mark.parametrize("name", [name for name in FULL if name != "priors"])
def test_descriptions_that_differ_in_one_option_are_not_equal(name):
    assert CapacityModel(**{name: FULL[name]}) != CapacityModel()


def test_a_description_cannot_be_changed():
    model = CapacityModel()
    with pytest.raises(AttributeError):
        model.start = "free"


@pytest.mark.parametrize(
    "options, message",
    [
        ({"start": "stationery"}, "Did you mean 'stationary'"),
        ({"spread": "shared"}, "spread must be one of free, shared_omega, shared_sigma"),
        ({"level": "sample"}, "Did you mean 'sampled'"),
        ({"interventions": "replenish"}, "Did you mean 'replenishment'"),
        ({"interventions": {"course": "beta"}}, r"interventions\['course'\] must be one of"),
        ({"replenishment": ["sleep"]}, "replenishment must be the text of a formula"),
        ({"periods": -1}, "whole number from 0 to 50"),
        ({"periods": 2.0}, "whole number from 0 to 50"),
        ({"periods": True}, "whole number from 0 to 50"),
        ({"randomised": "yes"}, "randomised must be true or false"),
        ({"design": "parallel_trail"}, "design must be one of .* Did you mean 'parallel_trial'"),
        ({"design": "cluster_trial", "randomised": False}, "says that exposure was randomised"),
        ({"secular": "linear", "periods": 3}, "does not go with"),
        ({"secular": "quadratic"}, "secular must be one of"),
        ({"varying": "ward"}, "varying must be one of"),
        ({"selection": 1}, "selection must be true or false"),
    ],
)
def test_unknown_options_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        CapacityModel(**options)


def test_an_unknown_key_names_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'depletion'"):
        CapacityModel.from_dict({"depletoin": "workload"})


def test_interventions_the_study_does_not_have_are_refused():
    study = datasets.design_study(clinicians=4, surveys=4, interventions={"course": "parallel"})
    with pytest.raises(UserError, match=r"no intervention 'cuorse'\. Did you mean 'course'"):
        CapacityModel(interventions={"cuorse": "both"}).build(study)


def test_levers_of_each_intervention():
    model = CapacityModel(interventions={"a": "replenishment", "b": "depletion"})
    on_alpha, on_beta = model.levers(("a", "b", "c"))
    assert on_alpha.tolist() == [True, False, True]
    assert on_beta.tolist() == [False, True, True]


@pytest.mark.parametrize(
    "roll_out, options, expected",
    [
        ("stepped", {}, 0),
        ("stepped", {"periods": 0}, 1),
        ("parallel", {"periods": 0}, 1),
        ("alternating", {"periods": 0}, 0),
        ("parallel", {"secular": "none"}, 1),
        ("parallel", {"selection": False}, 1),
        ("parallel", {"selection": False, "randomised": True}, 0),
        ("stepped", {"periods": 0, "selection": False}, 2),
    ],
)
def test_switching_an_adjustment_off_against_the_design_is_warned_of(roll_out, options, expected):
    study = datasets.design_study(clinicians=8, surveys=6, units=4, interventions={"course": roll_out})
    model = CapacityModel(**options)
    cautions = model.cautions(study)
    assert len(cautions) == expected
    if expected:
        with pytest.warns(UserWarning) as warned:
            model.build(study)
        assert [str(w.message) for w in warned] == cautions
    else:
        model.build(study)


def test_equations_name_every_prior_and_every_term():
    study = datasets.design_study(
        clinicians=8, surveys=6, units=4, covariates=("sleep",), interventions={"course": "stepped", "coach": "parallel"}
    )
    model = CapacityModel(
        depletion="sleep", interventions={"course": "replenishment"}, priors={"half_life": {"median": 7, "factor": 2}}
    )
    text = model.equations(study)
    design, _, _ = build_design(model, study)
    for parameter in parameter_table(model, study, design):
        if not parameter.latent:
            line = next(row for row in text.splitlines() if row.split()[:2] == [parameter.name, "~"])
            assert str(parameter.prior) in line
    assert "LogNormal(median 7, factor 2) (stated)" in text
    alpha = next(row for row in text.splitlines() if "log alpha_i(t)" in row)
    beta = next(row for row in text.splitlines() if "log beta_i(t)" in row)
    for name, on_alpha, on_beta in (("theta_{}[course]", True, False), ("theta_{}[coach]", True, True)):
        assert (name.format("alpha") in alpha) is on_alpha
        assert (name.format("beta") in beta) is on_beta
    assert "gamma_beta[sleep (deviation)]" in beta and "gamma_alpha" not in alpha


@pytest.mark.parametrize("coach, both", [("both", True), ("depletion", False)])
def test_equations_speak_of_a_common_speed_up_only_where_there_is_one(coach, both):
    study = datasets.design_study(clinicians=8, surveys=6, interventions={"course": "parallel", "coach": "alternating"})
    model = CapacityModel(interventions={"course": "replenishment", "coach": coach})
    assert ("Effects on both levers" in model.equations(study)) is both


def test_equations_can_be_printed_without_a_study():
    text = CapacityModel(replenishment="sleep", start="free").equations()
    assert "gamma_alpha[sleep]" in text and "Normal(start_mean, start_sd^2)" in text
    assert "set by the study's spacing and length" in text
