"""One real fit, and everything that needs one: its tree, what it learnt, saving, repeating and interrupting it."""

import json
import os
import signal
import threading
import time
import warnings
from types import SimpleNamespace

import arviz as az
import numpy as np
import pytest
import xarray as xr

import equipoise as eq
from equipoise import CapacityModel, Score, datasets, simulate
from equipoise.datasets import UserError
from equipoise.inference import fitting
from equipoise.inference import spreads as spreads_module
from equipoise.inference.checks import CHECKS
from equipoise.inference.laplace.coordinates import coordinates_of
from equipoise.inference.laplace.density import Density
from equipoise.inference.over_workers import ClusterLost
from equipoise.inference.refits.doubling import doubling
from equipoise.inference.refits.sensitivity import sensitivity
from equipoise.inference.sampling import Sampling, sample
from equipoise.inference.spreads import OtherSpreads

MODEL = CapacityModel(depletion="sleep", interventions={"coach": "replenishment"}, randomised=True, varying="none")
TRUTH = {
    "level": 60.0, "half_life": 1.5, "total_sd": 16.0, "variance_shares": [0.4, 0.4, 0.2], "rate_sd": 0.2,
    "level_change": [0.1, 0.25], "speed_up": [0.1], "covariate_level": [0.0, -0.1], "start_shift": 0.0,
}  # fmt: skip
SETTINGS = {"draws": 200, "tune": 200, "chains": 2, "seed": 1, "progress": False}


@pytest.fixture(scope="module")
def real():
    """A fit of 24 clinicians x 10 surveys, with the compiled model so that nothing is compiled twice."""
    design = datasets.design_study(
        clinicians=24, surveys=10, units=3, jitter=0.2, missing=0.1, covariates=("sleep",),
        interventions={"coach": "alternating", "course": "parallel"},
        scores={"stress": Score(range=(0, 40), better="lower", step=1)},
    )  # fmt: skip
    new = simulate(MODEL, design, TRUTH, seed=3)
    kept = {}
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so few draws are told to be too few
        compile_model, sample = fitting.compile_model, fitting.sample
        patch.setattr(fitting, "compile_model", lambda m: kept.setdefault("compiled", compile_model(m)))
        patch.setattr(fitting, "sample", lambda *a, **k: kept.update(last=sample(*a, **k)) or kept["last"])
        fit = eq.fit(MODEL, new.study, **SETTINGS)
    return SimpleNamespace(
        fit=fit, tree=fit.tree, study=new.study, truth=new, compiled=kept["compiled"], raw=kept["last"][0]
    )


@pytest.fixture
def quick(real, monkeypatch):
    """Fit the same study again, without compiling; the function's keywords are those of `equipoise.fit`."""
    monkeypatch.setattr(fitting, "compile_model", lambda _: real.compiled)

    def quick(**settings):
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            fit = eq.fit(MODEL, real.study, **(SETTINGS | settings))
        return fit, [str(w.message) for w in warned]

    return quick


# --- the tree -------------------------------------------------------------------------------------------------------


def test_the_tree_holds_the_groups_of_the_contract(real):
    sizes = {"chain": 2, "draw": 200}
    answered = real.study.n_surveys
    rows = len(real.study.surveys)
    expected = {
        "posterior": {**sizes, "clinician": 24, "unit": 3, "intervention": 2},
        "sample_stats": sizes,
        "observed_data": {"survey": rows},
        "constant_data": {"survey": rows, "clinician": 24},
        "log_likelihood": {**sizes, "clinician": 24},
        "log_likelihood_survey": {**sizes, "survey": answered},
        "log_prior": sizes,
        "posterior_predictive": {**sizes, "survey": rows},
        "latent_capacity": {**sizes, "survey": rows},
        "contrasts": {**sizes, "intervention": 2},
    }
    for group, dims in expected.items():
        assert group in real.tree.children
        assert {d: real.tree[group].sizes[d] for d in dims} == dims, group
    posterior = real.tree["posterior"]
    for name in ("alpha", "beta", "capacity"):
        assert posterior[name].dims == ("chain", "draw", "clinician")
        assert posterior[f"{name}_unit"].dims == ("chain", "draw", "unit")
        assert f"{name}_last" in posterior
    assert list(posterior["clinician"].to_numpy()) == list(real.study.clinicians["clinician"])
    assert list(posterior["intervention"].to_numpy()) == ["coach", "course"]
    np.testing.assert_array_equal(real.tree["observed_data"]["scores"], real.study.surveys["capacity"])
    assert real.tree["latent_capacity"]["at_survey"].dtype == np.float32


def test_quantities_belong_together_in_every_draw(real):
    p, contrasts = real.tree["posterior"], real.tree["contrasts"]
    np.testing.assert_allclose(p["alpha"], p["beta"] * p["capacity"])
    np.testing.assert_allclose(p["alpha_unit"], p["beta_unit"] * p["capacity_unit"])
    np.testing.assert_allclose(p["theta_alpha"] - p["theta_beta"], p["level_change"], atol=1e-14)
    np.testing.assert_array_equal(p["theta_beta"].sel(intervention="coach"), 0)  # replenishment only
    change = p["capacity"].mean("clinician") * np.expm1(p["theta_alpha"] - p["theta_beta"])
    np.testing.assert_allclose(contrasts["capacity_change"], change)
    np.testing.assert_allclose(contrasts["score_change"], -0.4 * change)  # 40 points, lower is better
    on_course = sorted(set(real.study.spells.query("intervention == 1")["clinician"]))
    exposed = p["capacity"].isel(clinician=on_course).mean("clinician") * np.expm1(
        (p["theta_alpha"] - p["theta_beta"]).sel(intervention="course")
    )
    np.testing.assert_allclose(contrasts["capacity_change_exposed"].sel(intervention="course"), exposed)
    # in force at the last survey: the course for those on it, and sleep as it was in the last interval
    moved = np.log((p["beta_last"] / p["beta"]).to_numpy())
    moved[..., on_course] -= p["theta_beta"].sel(intervention="course").to_numpy()[..., None]
    sleep = moved / p["gamma_beta"].sel(term="sleep (deviation)").to_numpy()[..., None]
    table = real.study.occasions
    gap = table.groupby("clinician")["time"].diff().fillna(real.study.median_gap)
    mean = (table["sleep"] * gap).groupby(table["clinician"]).sum() / gap.groupby(table["clinician"]).sum()
    expected = (table.groupby("clinician")["sleep"].last() - mean) / table["sleep"].std(ddof=0)
    np.testing.assert_allclose(sleep, np.broadcast_to(expected, sleep.shape), rtol=1e-6, atol=1e-6)


def test_the_log_likelihood_is_that_of_the_sampler(real):
    """log p(scores | parameters) + log prior = the sampler's own log density, up to what does not move."""
    total = real.tree["log_likelihood"]["scores"].sum("clinician")
    prior = real.tree["log_prior"].to_dataset()
    for name in prior:
        total = total + prior[name].sum([d for d in prior[name].dims if d not in ("chain", "draw")])
    p = real.tree["posterior"]
    for name in ("rate_z", "spread_z", "unit_level_z", "unit_rate_z"):
        total = total - (p[name] ** 2).sum(p[name].dims[2]) / 2
    # the change of variables of parameters that live above 0, between 0 and 1, and on the simplex
    for name in ("level", "half_life", "total_sd", "rate_sd", "spread_sd", "unit_level_sd", "unit_rate_sd", "start_sd_ratio"):
        total = total + np.log(p[name])
    share = p["level_rate_concordance"]
    total = total + np.log(share) + np.log1p(-share) + np.log(p["variance_shares"]).sum("layer")
    # the sampler walks in coordinates of its own; the density that these are put upon is the model's
    density, names = Density(real.compiled), real.compiled.shape_info[0]
    apart = []
    for draw in range(0, 200, 20):
        parts = []
        for name in names[: len(real.compiled.shape_info[1]) and names.index("alpha_population")]:
            here = {n: p[n].isel(chain=0, draw=draw).to_numpy().ravel() for n in p if name in (n, f"{n}_{name.removeprefix(n + '_')}")}
            base, values = max(here.items(), key=lambda item: len(item[0]))
            match name.removeprefix(base):
                case "_log__":
                    parts.append(np.log(values))
                case "_logodds__":
                    parts.append(np.log(values) - np.log1p(-values))
                case "_simplex__":
                    parts.append((np.log(values) - np.log(values).mean())[:-1])
                case "":
                    parts.append(values)
        apart.append(float(total[0, draw]) - density(np.concatenate(parts))[0])
    np.testing.assert_allclose(apart, apart[0], atol=1e-6)


def test_replicated_scores_resemble_the_answers(real):
    observed = real.tree["observed_data"]["scores"]
    replicated = real.tree["posterior_predictive"]["scores"]
    inside = (replicated.quantile(0.025, ("chain", "draw")) < observed) & (
        observed < replicated.quantile(0.975, ("chain", "draw"))
    )
    assert 0.85 < float(inside[~np.isnan(observed)].mean()) <= 1.0
    path = real.tree["latent_capacity"]["at_survey"].mean(("chain", "draw"))
    answered = ~np.isnan(observed.to_numpy())
    assert np.corrcoef(path.to_numpy()[answered], observed.to_numpy()[answered])[0, 1] > 0.8


def test_arviz_works_on_the_tree_as_it_is(real):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Estimated shape parameter")
        by_clinician = az.loo(real.tree)
        assert by_clinician.n_data_points == 24
        survey = real.tree.copy()
        survey["log_likelihood"] = real.tree["log_likelihood_survey"].to_dataset()
        by_survey = az.loo(survey)
    assert by_survey.n_data_points == real.study.n_surveys
    # a clinician's other answers tell something of each: leaving one answer out costs less than leaving all out
    assert by_clinician.elpd < by_survey.elpd < 0
    table = az.psense_summary(real.tree, var_names=["level", "half_life", "theta_alpha"])
    assert np.isfinite(table[["prior", "likelihood"]].to_numpy(float)).all()
    assert list(az.summary(real.tree, var_names=["level"]).index) == ["level"]


# --- what was learnt ------------------------------------------------------------------------------------------------


def test_the_truth_is_recovered(real):
    table = real.fit.clinicians().set_index(["quantity", "clinician"])
    truth = real.truth.clinicians.set_index("clinician")
    for quantity in ("alpha", "beta", "capacity"):
        rows = table.loc[quantity]
        inside = (rows["low"] < truth[quantity]) & (truth[quantity] < rows["high"])
        assert inside.mean() >= 0.7, quantity  # 89 % intervals of 24 clinicians
    error = table.loc["capacity"]["mean"] - truth["capacity"]
    assert error.std() < 0.75 * truth["capacity"].std()  # much of the differences was learnt
    population = real.fit.population(0.99).set_index("quantity")
    for name, value in (("half_life", 1.5), ("capacity", 60), ("trait_sd", 16 * 0.4**0.5), ("process_sd", 16 * 0.4**0.5)):
        assert population.loc[name, "low"] < value < population.loc[name, "high"], name
    effects = real.fit.interventions(0.99).set_index(["intervention", "effect"])
    for k, name in enumerate(("coach", "course")):
        row = effects.loc[(name, "capacity_change")]
        assert row["low"] < real.truth.effects["capacity_change"][k] < row["high"]
    assert effects.loc[("course", "capacity_change"), "p_positive"] > 0.95
    assert effects.loc[("course", "score_change"), "mean"] < 0  # less stress


# --- saving and loading ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(real, tmp_path_factory):
    return real.fit.save(tmp_path_factory.mktemp("saved") / "posterior.nc")


def test_a_round_trip_changes_nothing(real, saved):
    again = eq.load(saved, real.study, MODEL)
    assert set(again.tree.children) == set(real.tree.children)
    for group in real.tree.children:
        xr.testing.assert_equal(again.tree[group].to_dataset(), real.tree[group].to_dataset())
    assert again.facts == real.fit.facts
    assert again.model == MODEL and again.study is real.study and again.complete
    assert again.warnings == real.fit.warnings
    for table in ("clinicians", "units", "interventions", "population"):
        ours, theirs = getattr(again, table)(), getattr(real.fit, table)()
        assert ours.equals(theirs.astype(ours.dtypes)), table
    assert os.listdir(saved.parent) == ["posterior.nc"]  # nothing was left aside


def test_without_the_study_tables_work_and_the_rest_says_what_it_needs(saved):
    alone = eq.load(saved)
    assert len(alone.clinicians()) == 24 * 4
    with pytest.raises(UserError, match="loaded without their study"):
        _ = alone.study


def test_another_study_is_refused(real, saved):
    scores = real.study.surveys["capacity"].to_numpy().copy()
    scores[0] += 2.5
    with pytest.raises(UserError, match="holds results of another study"):
        eq.load(saved, real.study.with_scores(scores))


@pytest.mark.parametrize(
    "change, named",
    [({"start": "free"}, "start"), ({"depletion": ""}, "depletion"), ({"priors": {"level": {"median": 40, "factor": 2}}}, "priors")],
)
def test_a_changed_description_is_refused(saved, change, named):
    with pytest.raises(UserError, match=f"fitted with another model: {named} differ"):
        eq.load(saved, model=CapacityModel.from_dict(MODEL.to_dict() | change))


def test_files_that_are_not_results_are_refused(real, saved, tmp_path):
    with pytest.raises(UserError, match="there is no file"):
        eq.load(tmp_path / "absent.nc")
    cut = tmp_path / "cut.nc"
    cut.write_bytes(saved.read_bytes()[: saved.stat().st_size // 2])
    with pytest.raises(UserError, match="cannot be read as results"):
        eq.load(cut)
    text = tmp_path / "text.nc"
    text.write_text("not netCDF")
    with pytest.raises(UserError, match="cannot be read as results"):
        eq.load(text)
    foreign = tmp_path / "foreign.nc"
    xr.Dataset({"x": 1.0}).to_netcdf(foreign, engine="h5netcdf")
    with pytest.raises(UserError, match="not one written by equipoise"):
        eq.load(foreign)
    newer = real.tree["observed_data"].to_dataset().assign_attrs(equipoise=json.dumps({"schema": 99}))
    newer.to_netcdf(tmp_path / "newer.nc", engine="h5netcdf")
    with pytest.raises(UserError, match="has schema 99"):
        eq.load(tmp_path / "newer.nc")


def test_saving_where_one_cannot_is_told_and_leaves_what_was_there(real, saved, tmp_path):
    with pytest.raises(UserError, match="cannot write"):
        real.fit.save(tmp_path / "absent" / "posterior.nc")
    folder = tmp_path / "posterior.nc"
    folder.mkdir()
    with pytest.raises(UserError, match="cannot write"):
        real.fit.save(folder)
    assert os.listdir(tmp_path) == ["posterior.nc"]


# --- sampling again -------------------------------------------------------------------------------------------------


def test_few_draws_are_told_of_at_the_head(real):
    sampling_facts = real.fit.facts["sampling"]
    assert real.fit.warnings and any("effective sample size under 400" in text for text in real.fit.warnings)
    if sampling_facts["tries"] == 2:
        assert real.fit.warnings[0].startswith("NOT CONVERGED")
    assert real.fit.warnings[0] in repr(real.fit)


def test_the_same_seed_gives_the_same_draws_whatever_the_cores(quick):
    first, again, other = (quick(draws=20, tune=20, seed=seed, cores=cores)[0] for seed, cores in ((5, 1), (5, 2), (6, 2)))
    for group in ("posterior", "latent_capacity", "posterior_predictive", "contrasts"):
        xr.testing.assert_identical(
            first.tree[group].to_dataset().drop_attrs(), again.tree[group].to_dataset().drop_attrs()
        )
    assert (first.tree["posterior"]["level"] != other.tree["posterior"]["level"]).any()
    assert first.facts["sampling"]["seed"] == 5


QUALITY = {"method": "laplace", "pareto_k": 0.31, "effective": 50.0, "proposals": 320}


@pytest.fixture
def quick_look(real, quick, monkeypatch):
    """A quick look whose draws are those of a chain; ``said`` is what its engine says of itself."""
    asked = []

    def quick_look(said=("APPROXIMATE: a quick look",)):
        def approximate(compiled, model, study, design, settings):
            asked.append((design.survey_score.size, settings))
            return xr.DataTree.from_dict({g: real.raw[g].to_dataset().isel(chain=[0]) for g in real.raw.children}), QUALITY, list(said)

        monkeypatch.setattr(fitting, "approximate", approximate)
        monkeypatch.setattr(fitting, "sample", None)  # a quick look that samples is none
        return *quick(method="laplace", compare_spreads=True), asked[-1]

    return quick_look


def test_a_quick_look_is_one_chain_that_says_what_it_is(real, quick_look, tmp_path):
    fit, warned, (surveys, settings) = quick_look()
    assert surveys == len(real.study.surveys) and (settings.draws, settings.chains, settings.seed) == (200, 1, 1)
    assert fit.tree["posterior"].sizes["chain"] == 1 and fit.approximate and not real.fit.approximate
    assert fit.warnings == ["APPROXIMATE: a quick look"] and not fit.doubtful and fit.complete
    assert warned == []  # it was asked for; where it cannot be trusted was not
    assert "a quick look" in repr(fit) and fit.warnings[0] in repr(fit)
    assert QUALITY.items() <= fit.facts["sampling"].items()
    again = eq.load(fit.save(tmp_path / "posterior.nc"), real.study, MODEL)
    assert again.approximate and again.warnings == fit.warnings
    for table in ("clinicians", "units", "interventions", "population", "estimands"):
        frame = getattr(again, table)()
        assert len(frame) == len(getattr(real.fit, table)()), table


def test_draws_of_a_quick_look_are_worth_what_its_weights_leave(real, quick_look):
    """Nothing has an R-hat; no quantity has more effective draws than the weights; errors of means follow."""
    fit, *_ = quick_look()
    plain = fit.tree["posterior"]["level"].to_numpy()
    everything = [fit.diagnostics, fit.population(), fit.clinicians(), fit.interventions(), fit.estimands()]
    for table in everything:
        moving = table[table["mcse_mean"].notna()]
        assert len(moving) and table["rhat"].isna().all()
        assert (moving["ess_bulk"] <= QUALITY["effective"] + 1e-9).all()
    level = fit.population().set_index("quantity").loc["capacity"]
    ess = float(az.ess(plain))
    assert ess > QUALITY["effective"]  # so that it is the weights that bind here
    assert level["mcse_mean"] == pytest.approx(plain.std(ddof=1) / QUALITY["effective"] ** 0.5, rel=0.1)


def test_a_quick_look_that_cannot_be_trusted_says_so_aloud_and_is_kept(quick_look):
    said = ("DO NOT TRUST: the weights are bad", "APPROXIMATE: a quick look")
    fit, warned, _ = quick_look(said)
    assert warned == ["DO NOT TRUST: the weights are bad"]
    assert fit.doubtful and fit.warnings == list(said)


def test_a_method_that_is_none_is_refused_before_anything(quick):
    with pytest.raises(UserError, match=r"method must be 'nuts' or 'laplace'; got 'laplce'\. Did you mean 'laplace'\?"):
        quick(method="laplce")


def test_what_needs_chains_is_refused_of_a_quick_look(quick_look):
    fit, *_ = quick_look()
    for refit in (doubling, sensitivity):
        with pytest.raises(UserError, match="quick look"):
            refit(fit, progress=False) if refit is doubling else refit(fit)


def test_a_quick_look_makes_the_checks_that_are_quick(real, quick_look):
    fit, *_ = quick_look()
    found = fit.checks()
    assert list(found) == list(CHECKS)
    made = {name for name, check in found.items() if "quick look leaves it out" not in check.sentence}
    assert made == {"sampling", "predictive", "dropout", "learnt"}
    assert found["sampling"].passed and "0.31" in found["sampling"].sentence and "50" in found["sampling"].sentence
    doubted, *_ = quick_look(("DO NOT TRUST: the weights are bad",))
    assert doubted.checks(only=["sampling"])["sampling"].passed is False
    assert "leaves it out" not in fit.checks(only=["power_scaling"])["power_scaling"].sentence  # whoever asks gets it
    assert not any("quick look" in check.sentence for check in real.fit.checks(only=["sampling", "learnt"]).values())


def test_without_a_seed_one_is_drawn_and_recorded(quick):
    fit, _ = quick(draws=8, tune=10, seed=None)
    again, _ = quick(draws=8, tune=10, seed=fit.facts["sampling"]["seed"])
    np.testing.assert_array_equal(fit.tree["posterior"]["alpha"], again.tree["posterior"]["alpha"])


def with_divergences(raw, count):
    stats = raw["sample_stats"].to_dataset().copy(deep=True)
    stats["diverging"][:] = False
    stats["diverging"][0, :count] = True
    return xr.DataTree.from_dict({"posterior": raw["posterior"].to_dataset(), "sample_stats": stats})


def judged_converged(monkeypatch):
    """Leave divergences as the only thing that can be wrong."""
    monkeypatch.setattr(fitting, "needs_another_try", lambda table, divergences, *limit: bool(divergences))
    monkeypatch.setattr(fitting, "problems", lambda table, divergences, draws: ["diverged"] if divergences else [])


@pytest.mark.parametrize("divergences, head", [([7, 0], []), ([7, 3, 0], []), ([7, 3, 1], ["NOT CONVERGED", "diverged"])])
def test_divergences_ask_for_further_tries_with_a_higher_target(real, quick, monkeypatch, divergences, head):
    judged_converged(monkeypatch)
    tries, walked = [], []

    def fake(compiled, settings, *_, **__):
        tries.append(settings)
        walked.append(coordinates_of(compiled))
        return with_divergences(real.raw, divergences[len(tries) - 1]), True

    monkeypatch.setattr(fitting, "sample", fake)
    fit, warned = quick(target_accept=0.9)
    assert [(round(s.target_accept, 12), s.thin) for s in tries] == [(0.9, 1), (0.98, 1), (0.996, 6)][: len(divergences)]
    # each further one in coordinates that the draws before it ask for
    assert walked[1] is not walked[0] and not np.allclose(walked[1].scale, walked[0].scale)
    assert fit.divergences == divergences[-1]
    assert fit.facts["sampling"]["tries"] == len(tries) and fit.complete
    assert [w.split(" after")[0] for w in fit.warnings] == head
    assert warned == fit.warnings


def test_one_try_is_enough_where_all_is_well(real, quick, monkeypatch):
    judged_converged(monkeypatch)
    monkeypatch.setattr(fitting, "sample", lambda *_, **__: (with_divergences(real.raw, 0), True))
    fit, warned = quick()
    assert fit.facts["sampling"]["tries"] == 1 and fit.warnings == warned == []


def test_ctrl_c_keeps_the_draws_there_are(real, quick, monkeypatch, tmp_path):
    import nutpie

    begin = nutpie.sample
    timers = []

    def sample_and_interrupt(*args, **settings):
        timers.append(threading.Timer(2.0, os.kill, (os.getpid(), signal.SIGINT)))
        timers[-1].start()
        return begin(*args, **settings)

    monkeypatch.setattr(nutpie, "sample", sample_and_interrupt)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        fit, warned = quick(draws=100_000, tune=50)
    finally:
        for timer in timers:
            timer.cancel()
        signal.signal(signal.SIGINT, before)
    assert len(timers) == 1  # no second try after an interruption
    assert not fit.complete
    assert fit.warnings[0].startswith("INCOMPLETE") and warned == fit.warnings
    posterior = fit.tree["posterior"].to_dataset()
    assert 1 <= posterior.sizes["draw"] < 100_000
    assert all(np.isfinite(posterior[name]).all() for name in posterior)
    assert "incomplete" in repr(fit)
    again = eq.load(fit.save(tmp_path / "part.nc"), real.study)
    assert not again.complete and again.warnings == fit.warnings


def test_ctrl_c_during_warm_up_stops(real, quick, monkeypatch):
    import nutpie

    empty = xr.DataTree.from_dict(
        {"sample_stats": xr.Dataset({"energy": (("chain", "draw"), np.full((2, 5), np.nan))}), "posterior": xr.Dataset()}
    )
    monkeypatch.setattr(nutpie, "sample", lambda *_, **__: empty)
    with pytest.raises(KeyboardInterrupt):
        quick(draws=5)


def test_what_is_wrong_is_told_before_anything_is_compiled(real, monkeypatch):
    monkeypatch.setattr(fitting, "compile_model", lambda _: pytest.fail("compiled"))
    for options in ({"depletion": "slep"}, {"interventions": {"caoch": "both"}}):
        with pytest.raises(UserError, match="Did you mean"):
            eq.fit(CapacityModel(**options), real.study)



# --- the other spreads ----------------------------------------------------------------------------------------------


@pytest.fixture
def spreads(real, monkeypatch):
    """Refits under the other spreads, all with the model that is compiled already; what was sampled with which settings."""
    monkeypatch.setattr(spreads_module, "compile_model", lambda _: real.compiled)
    monkeypatch.setattr(spreads_module, "well_scaled", lambda compiled, model, study: compiled)
    return OtherSpreads(MODEL, real.study, False, 2)


def test_draws_do_not_depend_on_what_is_done_meanwhile(real, spreads):
    settings = Sampling(draws=20, tune=20, chains=2, seed=7)
    done = []
    beside, whole = sample(real.compiled, settings, False, 2, meanwhile=lambda: done.append(True))
    alone, _ = sample(real.compiled, settings, False, 1)
    assert whole and done == [True]
    xr.testing.assert_equal(beside["posterior"].to_dataset(), alone["posterior"].to_dataset())
    assert spreads.beside(settings, lambda: "work") == "work" and list(spreads.found) == ["shared_omega"]
    found = spreads.finish(settings)
    assert list(found) == ["shared_omega", "shared_sigma"]
    for kept in found.values():
        assert set(kept.data_vars) == {"level", "theta_alpha", "theta_beta"} and np.isfinite(kept.attrs["rhat"])
        xr.testing.assert_equal(kept["level"].variable, alone["posterior"]["level"].variable)
    spreads.restart()  # other settings, and nothing of the first is kept
    assert spreads.found == {} and len(spreads.finish(settings)) == 2


def test_without_wanted_spreads_the_work_is_done_all_the_same(real, monkeypatch):
    monkeypatch.setattr(spreads_module, "sample", None)
    none = OtherSpreads(MODEL, real.study, False, 2, wanted=False)
    none.restart()
    assert none.beside(Sampling(), lambda: 3) == 3 and none.finish(Sampling()) == {}


@pytest.mark.filterwarnings("ignore:Found chain dimension")  # so few draws there were
@pytest.mark.parametrize("error", [KeyboardInterrupt, ClusterLost])
def test_ctrl_c_and_a_lost_cluster_give_up_the_spreads_and_not_the_work(spreads, error):
    """Whether it comes while the work is done or while the chains are waited for."""
    calls = []

    def work():
        calls.append(len(calls))
        if calls == [0]:
            raise error
        return "work"

    settings = Sampling(draws=100_000, tune=50, chains=2, seed=1)
    assert spreads.beside(settings, work) == "work" and calls == [0, 1]
    assert spreads.found == {} and spreads.finish(settings) == {}


def test_work_that_fails_ends_the_chains(real):
    def work():
        raise RuntimeError("a mistake")

    started = time.monotonic()
    with pytest.raises(RuntimeError, match="a mistake"):
        sample(real.compiled, Sampling(draws=1_000_000, tune=50, chains=2, seed=1), False, 2, meanwhile=work)
    assert time.monotonic() - started < 60


def test_a_fit_with_both_levers_has_a_group_for_each_other_spread(real, quick, spreads, monkeypatch):
    fit, _ = quick(draws=20, tune=20, compare_spreads=True)
    groups = {name for name in fit.tree.children if name.startswith("spread_")}
    assert groups == {"spread_shared_omega", "spread_shared_sigma"}
    plain, _ = quick(draws=20, tune=20)
    xr.testing.assert_equal(fit.tree["posterior"].to_dataset(), plain.tree["posterior"].to_dataset())
    assert not any(name.startswith("spread_") for name in plain.tree.children)
