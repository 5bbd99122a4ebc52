import numpy as np
import pytest

from equipoise import CapacityModel, datasets
from equipoise.models.design import build_design
from equipoise.models.levers import levers
from equipoise.models.likelihood import filter as kalman
from equipoise.models.likelihood import smoother
from equipoise.models.parameters import coordinates, draw_parameters, parameter_table
from equipoise.models.part import part_of, surveys_of

MODELS = {
    "plain": {},
    "covariates and periods": {"replenishment": "sleep", "secular": "periods", "periods": 3},
    "shapes and varying effects": {
        "exposures": {"coaching": {"shape": "fade", "fixed": {"fade": 2.0}}}, "varying": "clinician", "replenishment": "sleep",
    },
}  # fmt: skip


@pytest.mark.parametrize("options", MODELS.values(), ids=MODELS)
def test_a_part_gives_its_clinicians_what_the_whole_gives_them(options):
    study = datasets.design_study(
        clinicians=30, surveys=6, units=5, jitter=0.3, missing=0.2, covariates=("sleep",),
        interventions={"coaching": "stepped", "rota": "alternating"}, seed=4,
    )  # fmt: skip
    model = CapacityModel(**options)
    design, _, _ = build_design(model, study)
    table, coords = parameter_table(model, study, design), coordinates(study, design)
    point = draw_parameters(table, coords, {"half_life": 3.0}, np.random.default_rng(1))
    members = np.array([0, 3, 4, 11, 28, 29])
    own = {p.name: point[p.name][..., members] if "clinician" in p.dims else point[p.name] for p in table}
    part = part_of(design, members)
    whole, cut = levers(point, design, model, np), levers(own, part, model, np)
    np.testing.assert_allclose(cut.beta, whole.beta[members], rtol=1e-12)
    np.testing.assert_allclose(cut.capacity_unit, whole.capacity_unit, rtol=1e-12)
    everyone = kalman.log_likelihood(*design.data(), *whole.arguments)
    some = kalman.log_likelihood(*part.data(), *cut.arguments)
    for ours, theirs in zip(some, everyone, strict=True):
        np.testing.assert_allclose(ours, theirs[members], rtol=1e-9)
    rows = surveys_of(design, members)
    who = study.occasions["clinician"].to_numpy()[study.surveys["occasion"].to_numpy()]
    np.testing.assert_array_equal(rows, np.flatnonzero(np.isin(who, members)))
    left_out = (smoother.leave_one_out(*d.data(), *lever.arguments)[2] for d, lever in ((part, cut), (design, whole)))
    ours, theirs = left_out
    np.testing.assert_allclose(ours, theirs[rows], rtol=1e-8)
