"""The real study: the modelled difference between exercise days and other days against generalised least squares."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

import equipoise as eq
from equipoise.datasets import fetch_asip
from equipoise.inference.response import exposed_difference

sys.path.insert(0, str(Path(__file__).parent))
import gls


def folder():
    named = os.environ.get("EQUIPOISE_DATA")
    for base in ([Path(named)] if named else []) + [Path(__file__).parents[3] / "shared" / "data"]:
        for place in (base / "asip", base):
            if all((place / file).is_file() for file in gls.FILES.values()):
                return place
    pytest.skip("the ASIP files are not here: set EQUIPOISE_DATA to a folder that holds them")


@pytest.fixture(scope="module")
def asip():
    place = folder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EQUIPOISE_DATA", str(place))
        study = fetch_asip("before", repeated="mean")
    return place, eq.fit(eq.CapacityModel(), study, seed=1, progress=False)


def test_it_converges(asip):
    _, fit = asip
    assert fit.warnings == []
    assert fit.divergences == 0


def test_difference_of_days_agrees_with_generalised_least_squares(asip):
    place, fit = asip
    ours = exposed_difference(fit, most=2000)["score"].mean(("chain", "draw"))
    posterior = fit.tree["posterior"]
    people = {
        str(name): (float(beta), float(omega) ** 2 / 100)
        for name, beta, omega in zip(
            posterior["clinician"].to_numpy(),
            posterior["beta"].median(("chain", "draw")).to_numpy(),
            posterior["omega"].median(("chain", "draw")).to_numpy(),
            strict=True,
        )
    }
    trait = float(posterior["trait_sd"].median() / 10) ** 2
    error = float(posterior["error_sd_total"].median() / 10) ** 2 - 1 / 12
    theirs = gls.exposed_difference(place, people, trait, error)
    for name, (difference, standard_error) in theirs.items():
        assert abs(float(ours.sel(intervention=name)) - difference) < standard_error / 2, name


def test_maximum_likelihood_variances_tell_the_same_story(asip):
    """With one beta and one omega for all, fitted by maximum likelihood, the least squares change little."""
    place, fit = asip
    ours = exposed_difference(fit, most=2000)["score"].mean(("chain", "draw"))
    for name, (difference, standard_error) in gls.common_difference(place).items():
        assert abs(float(ours.sel(intervention=name)) - difference) < standard_error, name


def test_published_intervals_hold_ours(asip):
    _, fit = asip
    ours = fit.interventions().query("effect == 'score_change'").set_index("intervention")["mean"]
    assert -0.615 < ours["mindfulness_breathing"] < 0.283
    assert -0.451 < ours["box_breathing"] < 0.318
    assert np.isfinite(ours).all()
