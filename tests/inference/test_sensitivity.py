"""The sensitivity panel: what each assumption changes, how refits are kept, and when a conclusion turns."""

import importlib.util
import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from equipoise import CapacityModel, Score, Study, datasets
from equipoise.datasets import UserError
from equipoise.inference import Fit, fitting
from equipoise.inference.checks import assess
from equipoise.inference.checks import sensitivity as checking
from equipoise.inference.refits import sensitivity as panel
from equipoise.inference.refits.ledger import Ledger
from equipoise.inference.refits.variants import VARIANTS, influential

STRESS = Score(range=(0, 10), better="lower", step=1)
MINDFULNESS = "mindfulness"


def prior_fit(model, study, **keywords):
    """A fit made of prior draws, as the tests of the reports make them, with its study."""
    spec = importlib.util.spec_from_file_location("fits", Path(__file__).parents[1] / "reports" / "conftest.py")
    fits = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fits)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return Fit(fits.prior_fit(model, study, **keywords).tree, study)


def a_study(holds="before", interventions=True, step=1, units=3):
    """Ten clinicians in wards; the programme comes from a column, so that a reading is needed. Some leave early."""
    rows = [(f"c{i}", f"ward {i % units}", week) for i in range(10) for week in range(0, (12 if i < 7 else 5))]
    frame = pd.DataFrame(rows, columns=["id", "ward", "week"])
    frame["stress"] = [(3 * r) % 7 for r in range(len(frame))]
    frame["on"] = ((frame["week"] > 3) & frame["id"].isin([f"c{i}" for i in range(0, 10, 2)])).astype(int)
    return Study.from_table(
        frame, clinician="id", unit="ward", time="week", time_unit="week", holds=holds,
        scores={"stress": Score(range=(0, 10), better="lower", step=step)},
        interventions={MINDFULNESS: "on"} if interventions else None,
    )  # fmt: skip


@pytest.fixture(scope="module")
def fit():
    return prior_fit(CapacityModel(), a_study(), draws=150, known={"total_sd": 15.0, "level": 55.0, "half_life": 3.0})


def changed(one, two):
    one, two = one.to_dict(), two.to_dict()
    return {name: two[name] for name in one if one[name] != two[name] and name != "priors"}


def wider(fit, model):
    """Ratio of standard deviations (of logs) of the priors, where they differ."""
    out = {}
    for name, prior in model.priors.items():
        for key, value in prior.arguments:
            old = dict(fit.priors[name].arguments)[key]
            if value != old:
                out[name, key] = np.log(value) / np.log(old) if key == "factor" else value / old
    return out


# --- what each variant changes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, what",
    [
        ("no_error", {"left_out": "error"}),
        ("no_trait", {"left_out": "trait"}),
        ("spread_shared_omega", {"spread": "shared_omega"}),
        ("spread_shared_sigma", {"spread": "shared_sigma"}),
        ("start_stationary", {"start": "stationary"}),
        ("start_free", {"start": "free"}),
        ("secular_none", {"secular": "none"}),
        ("secular_spline", {"secular": "spline"}),
        ("secular_periods", {"secular": "periods"}),
    ],
)
def test_an_option_is_all_that_differs(fit, name, what):
    model, study = VARIANTS[name].make(fit.model, fit.study, fit, None)
    assert changed(fit.model, model) == what and model.priors == fit.model.priors
    assert study is fit.study


@pytest.mark.parametrize("name", ["all_layers", "spread_free", "start_displaced", "secular_linear"])
def test_what_was_fitted_is_not_fitted_again(fit, name):
    assert fit.facts["study"]["secular"] == "linear"
    assert VARIANTS[name].make(fit.model, fit.study, fit, None) is None


def test_priors_move_as_their_words_say(fit):
    def made(name, model=fit.model):
        return VARIANTS[name].make(model, fit.study, fit, None)[0]

    base = fit.priors["half_life"]
    for name, by in (("half_life_longer", 3), ("half_life_shorter", 1 / 3)):
        moved = made(name).priors["half_life"]
        assert moved.median == pytest.approx(by * base.median) and moved.factor == base.factor
    stated = replace(fit.model, priors={"half_life": {"family": "gamma", "mean": 6, "sd": 2}})
    moved = made("half_life_longer", stated).priors["half_life"]
    assert (moved.family, moved.mean, moved.sd) == ("gamma", 18, 6)

    sceptical, wide = wider(fit, made("sceptical")), wider(fit, made("wide_effects"))
    assert set(sceptical) == {("level_change", "sd"), ("speed_up", "sd"), ("spread_change", "sd")} == set(wide)
    np.testing.assert_allclose(list(sceptical.values()), 1 / 3)
    np.testing.assert_allclose(list(wide.values()), 3)
    spreads = wider(fit, made("wide_spreads"))
    assert {("rate_sd", "sd"), ("unit_level_sd", "sd"), ("total_sd", "factor"), ("start_sd_ratio", "factor"), ("drift", "sd")} <= {*spreads}
    assert not any(name in ("start_mean", "level", "half_life", "level_change") for name, _ in spreads)
    np.testing.assert_allclose(list(spreads.values()), 3)


def test_the_other_reading_is_asked_for_only_where_it_matters(fit):
    make = VARIANTS["holds"].make
    asked = []

    def other():
        asked.append(1)
        return a_study("after")

    model, study = make(fit.model, fit.study, fit, other)
    assert model == fit.model and study.holds == "after" and asked == [1]
    assert not study.spells.equals(fit.study.spells)
    with pytest.raises(UserError, match="not at hand"):
        make(fit.model, fit.study, fit, None)
    dated = datasets.design_study(clinicians=6, surveys=5, interventions={"course": "parallel"})
    with pytest.raises(UserError, match="spells with dates of their own"):
        make(fit.model, dated, fit, other)
    assert asked == [1]


@pytest.mark.parametrize("roll_out, design", [("stepped", "stepped_wedge"), ("parallel", "cluster_trial")])
def test_without_units_the_rest_of_the_design_stays(roll_out, design):
    study = datasets.design_study(clinicians=12, surveys=8, units=4, interventions={"course": roll_out})
    model = CapacityModel(design=design)
    kind, periods = model.resolve_secular(study, model.study_designs(study))
    joined, one = VARIANTS["no_units"].make(model, study, None, None)
    assert one.n_units == 1 and one.n_clinicians == 12
    pd.testing.assert_frame_equal(one.spells, study.spells)
    assert joined.resolve_secular(one, joined.study_designs(one)) == (kind, periods)
    assert model.is_randomised is (design == "cluster_trial")
    assert (joined.is_randomised, joined.adjust_selection) == (model.is_randomised, model.adjust_selection)
    with pytest.raises(UserError, match="one unit"):
        VARIANTS["no_units"].make(joined, one, None, None)


def test_what_does_not_apply_says_why(fit):
    trait = replace(fit.model, left_out="trait")
    with pytest.raises(UserError, match="leaves out the trait already"):
        VARIANTS["no_error"].make(trait, fit.study, fit, None)
    assert VARIANTS["no_trait"].make(trait, fit.study, fit, None) is None
    assert VARIANTS["all_layers"].make(trait, fit.study, fit, None)[0] == fit.model  # what was left out is put back
    sampled = VARIANTS["no_trait"].make(replace(fit.model, level="sampled"), fit.study, fit, None)[0]
    assert (sampled.left_out, sampled.level) == ("trait", "integrated")
    few = fit.study.without(range(6))
    with pytest.raises(UserError, match="fewer than 5"):
        VARIANTS["not_influential"].make(fit.model, few, fit, None)
    alone = prior_fit(CapacityModel(), a_study(interventions=False), draws=4)
    for name in ("sceptical", "wide_effects"):
        with pytest.raises(UserError, match="no intervention"):
            VARIANTS[name].make(alone.model, alone.study, alone, None)


def test_the_most_influential_clinicians_are_those_whose_leaving_moves_an_answer_most():
    """A clinician whose log-likelihood is a times a standard normal quantity moves its mean by a when left out."""
    rng = np.random.default_rng(3)
    slope = np.zeros(40)
    slope[[7, 31, 12]] = 0.8, -0.5, 0.25
    level, half_life, change, other = rng.standard_normal((4, 2, 2000))
    log_likelihood = slope * np.stack([change, *[other] * 39], axis=2)[:, :, np.where(slope == 0.8, 0, 1)]
    log_likelihood[:, :, 31] = slope[31] * change
    log_likelihood[:, :, 12] = slope[12] * level
    log_likelihood += 0.02 * rng.standard_normal(log_likelihood.shape)
    dims = ("chain", "draw")
    by_programme = {"intervention": np.array(["course"], object)}
    tree = xr.DataTree.from_dict({
        "posterior": xr.Dataset({
            "level": (dims, 50 + 4 * level), "half_life": (dims, np.exp(half_life)),
            "theta_alpha": ((*dims, "intervention"), 0.1 * change[..., None]),
            "theta_beta": ((*dims, "intervention"), np.zeros((2, 2000, 1))),
        }, coords=by_programme),
        "contrasts": xr.Dataset({"capacity_change": ((*dims, "intervention"), 3 * change[..., None])}, coords=by_programme),
        "log_likelihood": xr.Dataset({"scores": ((*dims, "clinician"), log_likelihood)}),
    })  # fmt: skip
    fake = type("FakeFit", (), {"tree": tree})
    np.testing.assert_array_equal(influential(fake), [7, 31])  # 5 % of 40


# --- the refits ------------------------------------------------------------------------------------------------------


class Sampler:
    """Stands for `fit`: prior draws, or a failure by the model's option."""

    def __init__(self, made, fail=None):
        self.made, self.fail, self.asked = made, fail or {}, []

    def __call__(self, model, study, **settings):
        self.asked.append((model, study, settings))
        for error, where in self.fail.items():
            if where(model):
                raise error
        return self.made


@pytest.fixture
def sampler(fit, monkeypatch):
    fake = Sampler(fit)
    monkeypatch.setattr(fitting, "fit", fake)
    return fake


def test_every_assumption_is_fitted_once_and_what_is_done_is_kept(fit, sampler, tmp_path):
    ledger = Ledger(tmp_path / "refits.jsonl", "key")
    found = panel.sensitivity(fit, only=["start_free", "no_trait"], workers=1, ledger=ledger)
    assert [m.start if m.start != "displaced" else m.left_out for m, _, _ in sampler.asked] == ["trait", "free"]
    facts = fit.facts["sampling"]
    for _, _, settings in sampler.asked:
        assert settings == {
            "chains": facts["chains"], "seed": facts["seed"], "target_accept": facts["target_accept"],
            "draws": 150, "tune": 100, "progress": False, "cores": 1, "retry_above": 1.02,
        }  # fmt: skip
    assert [v["name"] for v in found["variants"]] == ["base", "no_trait", "start_free"]
    json.dumps(found, allow_nan=False)  # plain values throughout

    # a second command adds to it, and samples only what is new
    found = panel.sensitivity(fit, only=["holds", "sceptical"], workers=1, ledger=Ledger(tmp_path / "refits.jsonl", "key"))
    assert len(sampler.asked) == 3
    assert [v["name"] for v in found["variants"]] == ["base", "no_trait", "holds", "start_free", "sceptical"]
    assert "not at hand" in found["variants"][2]["why_not"]


@pytest.mark.parametrize("had, half", [(1000, 500), (4000, 2000), (700, 500), (300, 300)])
def test_a_refit_has_half_the_draws(had, half):
    assert panel._half(had) == half


def test_all_assumptions_are_done_or_say_why_not(fit, sampler):
    sampler.fail = {
        UserError("a prior that does not fit."): lambda m: m.start == "free",
        RuntimeError("all initialization points failed\nmore"): lambda m: m.spread == "shared_sigma",
    }
    found = panel.sensitivity(fit, other=lambda: a_study("after"), workers=1)
    by_name = {v["name"]: v for v in found["variants"]}
    as_fitted = {"all_layers", "spread_free", "start_displaced", "secular_linear"}
    assert set(by_name) == {"base", *VARIANTS} - as_fitted
    assert by_name["start_free"]["why_not"] == "a prior that does not fit."
    assert by_name["spread_shared_sigma"]["why_not"] == "it could not be sampled (all initialization points failed)"
    assert by_name["not_influential"]["clinicians"] == influential(fit).tolist()
    assert all("rows" in v or "why_not" in v for v in found["variants"])
    # names of clinicians are nowhere in what is stored
    assert not any(f'"{name}"' in json.dumps(found) for name in fit.study.clinicians["clinician"])


def test_a_score_without_a_step_has_no_variant_without_error(sampler):
    study = a_study(step=None)
    assert study.scores["stress"].step is not None  # detected; taken away here
    study = replace(study, scores={"stress": Score(range=(0, 10), better="lower")})
    unstepped = prior_fit(CapacityModel(), study, draws=60)
    found = panel.sensitivity(unstepped, only=["no_error"], workers=1)
    assert "state its step" in found["variants"][1]["why_not"] and not sampler.asked


def test_the_rows_are_the_estimands_of_the_fit(fit):
    rows = panel.rows_of(fit, panel._asked(None), 0.8)
    table = fit.estimands(prob=0.8, show=list(panel.EFFECTS))
    assert len(rows) == len(table) + len(panel.POPULATION)
    for row, (_, expected) in zip(rows, table.iterrows(), strict=False):
        assert (row["option"], row["estimand"]) == (expected["option"], expected["estimand"])
        assert row["median"] == expected["median"] and row["mcse_mean"] == expected["mcse_mean"]
    assert rows[-1]["p_positive"] is None  # a spread has no direction
    # what the analysis asks for is shown beside; groups are not
    asked = panel._asked({"horizon": 8.0, "by": ["unit"], "show": ["horizon_change"]})
    assert asked == {"horizon": 8.0, "show": [*panel.EFFECTS, "horizon_change"]}
    assert {r["estimand"] for r in panel.rows_of(fit, asked, 0.8)} == {*panel.EFFECTS, "horizon_change", *panel.POPULATION}


@pytest.mark.parametrize(
    "asked, says", [({"only": ["start_fre"]}, "Did you mean 'start_free'"), ({"delta": "five"}, "delta must be a number")]
)
def test_what_cannot_be_asked(fit, sampler, asked, says):
    with pytest.raises(UserError, match=says):
        panel.sensitivity(fit, workers=1, **asked)
    assert not sampler.asked


def test_a_model_with_a_layer_left_out_has_all_tables():
    for layer in ("trait", "error"):
        small = prior_fit(CapacityModel(left_out=layer), a_study(), draws=20)
        population = small.population().set_index("quantity")
        assert population.loc["trait_sd" if layer == "trait" else "error_sd_total", "sd"] < 1e-12
        assert len(small.clinicians()) == 40 and len(small.estimands()) and len(small.units())
        rows = panel.rows_of(small, panel._asked(None), 0.89)
        json.dumps(rows, allow_nan=False)


# --- dropout that depends on capacity --------------------------------------------------------------------------------


def test_those_who_left_while_exposed_move_the_average_by_delta_times_their_share(fit):
    """c7, c8 and c9 stop at week 4 of 11; of these only c8 takes the programme, on from week 3."""
    (entry,) = panel.dropout(fit, 0.89, -5.0)
    assert (entry["left"], entry["left_exposed"], entry["share"]) == (3, 1, 0.1)
    change = fit.tree["contrasts"]["capacity_change"].to_numpy().ravel()
    # the average over ten clinicians, one of whom has delta less
    assert entry["median_delta"] == pytest.approx(np.median(change) - 0.5)
    assert entry["p_positive_delta"] == pytest.approx((change > 0.5).mean())
    assert np.median(change) + entry["delta_median"] * 0.1 == pytest.approx(0, abs=1e-12)
    known = Fit(fit.tree.copy(deep=True), fit.study)
    moved = known.tree["contrasts"].to_dataset()
    known.tree["contrasts"] = moved.assign(capacity_change=np.abs(moved["capacity_change"]) + 1)
    (entry,) = panel.dropout(known, 0.89, None)
    shifted = known.tree["contrasts"]["capacity_change"].to_numpy() + entry["delta_interval"] * entry["share"]
    assert np.quantile(shifted, 0.055) == pytest.approx(0, abs=1e-9)
    assert entry["delta_median"] < entry["delta_interval"] < 0 and "delta" not in entry


def test_nobody_who_left_cannot_turn_anything():
    study = datasets.design_study(clinicians=8, surveys=6, interventions={"course": "parallel"})
    (entry,) = panel.dropout(prior_fit(CapacityModel(), study, draws=20), 0.89, -5.0)
    assert entry["share"] == 0 and "delta_median" not in entry
    assert panel.dropout(prior_fit(CapacityModel(), a_study(interventions=False), draws=4), 0.89, -5.0) == []


# --- the check -------------------------------------------------------------------------------------------------------


def row(estimand="capacity_change", p=0.99, median=2.0, sd=1.0, option=MINDFULNESS, against="no programme", mcse=0.01, rhat=1.0):
    return {
        "option": option, "against": against, "estimand": estimand, "median": median, "low": median - 1.6 * sd,
        "high": median + 1.6 * sd, "mean": median, "sd": sd, "mcse_mean": mcse, "p_positive": p, "rhat": rhat,
    }  # fmt: skip


def population(level=50.0, half_life=4.0):
    given = {"option": "", "against": "", "p": None}
    return [row("capacity", median=level, sd=2.0, **given), row("half_life", median=half_life, sd=1.0, **given)]


def variant(*rows, words="another start", believed=True, rhat=1.005, divergences=0):
    return {"name": words, "words": words, "believed": believed, "rows": [*rows], "rhat": rhat, "divergences": divergences,
            "draws": 2000, "seconds": 1.0}  # fmt: skip


def evidence(base, *variants, dropout=()):
    return {"variants": [variant(*base, words="as fitted"), *variants], "dropout": list(dropout), "prob": 0.89, "sampling": {}}


def judged(fit, base, *variants, **more):
    return assess(fit, 0.89, {"sensitivity": evidence(base, *variants, **more)}, only=["sensitivity"])["sensitivity"]


@pytest.mark.parametrize(
    "before, now, passed, says",
    [
        (0.99, 0.98, True, "No direction that is known changes"),
        (0.99, 0.45, False, "A conclusion turns with another start: capacity change of mindfulness"),
        (0.99, 0.80, False, "A conclusion weakens with another start: capacity change of mindfulness"),
        (0.00, 0.01, True, "No direction that is known changes"),  # known to be harmful is known
        (0.00, 0.60, False, "A conclusion turns"),
        (0.02, 0.30, False, "A conclusion weakens"),
        (0.946, 0.943, True, "No direction that is known changes"),  # within Monte Carlo error of the limit
        (0.60, 0.999, True, "A direction that is not known as fitted is known with another start"),  # gained, not lost
        (0.943, 0.947, True, "No direction of an effect is known"),
        (0.10, 0.999, False, "A conclusion turns"),  # known to be what was unlikely
        (None, None, True, "No direction of an effect is known"),
    ],
)
def test_when_a_conclusion_turns_or_weakens(fit, before, now, passed, says):
    check = judged(fit, [row(p=before)], variant(row(p=now)))
    assert check.passed is passed and says in check.sentence


def test_a_known_mistake_is_shown_and_does_not_decide(fit):
    check = judged(fit, [row()], variant(row(p=0.2), words="no error", believed=False))
    assert check.passed and "A conclusion turns with no error (a known mistake" in check.sentence


def test_sceptical_priors_shrink_by_intent_and_decide_only_where_a_conclusion_turns(fit):
    base = [row(), *population()]
    shrunk = variant(row(p=0.8), *population(level=53.0)) | {"name": "sceptical"}
    check = judged(fit, base, shrunk)
    assert check.passed and "A conclusion weakens with another start" in check.sentence and "C* by +1.5 SD" in check.sentence
    assert judged(fit, base, variant(row(p=0.3)) | {"name": "sceptical"}).passed is False


@pytest.mark.parametrize(
    "broken", [{"rhat": 1.2}, {"divergences": 30}, {"rhat": None}], ids=["unconverged", "divergent", "unknown"]
)
def test_refits_that_did_not_converge_are_named_and_not_judged(fit, broken):
    check = judged(fit, [row()], variant(row(p=0.2), **broken), variant(row(p=0.99), words="other prior"))
    assert check.passed and "Not converged, and not judged: another start" in check.sentence
    check = judged(fit, [row()], variant(row(p=0.2), **broken))
    assert check.passed is None  # nothing is left to judge by
    # a shown number whose chains disagree
    assert judged(fit, [row()], variant(row(p=0.2, rhat=1.03))).passed is None


def test_the_population_may_move_by_one_standard_deviation(fit):
    base = [row(), *population()]
    assert judged(fit, base, variant(row(), *population(level=51.9))).passed
    check = judged(fit, base, variant(row(), *population(level=47.0)))
    assert not check.passed and "The population moves with another start: C* by -1.5 SD" in check.sentence
    # the half-life is the conclusion where there is no programme
    assert judged(fit, base, variant(row(), *population(half_life=9.0))).passed
    check = judged(fit, population(), variant(*population(half_life=9.0)))
    assert not check.passed and "half-life by +5.0 SD" in check.sentence


def test_comparisons_of_programmes_are_judged_too(fit):
    check = judged(fit, [row(against="rota")], variant(row(p=0.3, against="rota")))
    assert not check.passed and "capacity change of mindfulness against rota" in check.sentence


def test_a_stated_delta_is_judged_as_an_assumption(fit):
    entry = {
        "option": MINDFULNESS, "left": 30, "left_exposed": 20, "share": 0.4, "median": 2.0, "low": 0.4, "high": 3.6,
        "delta_median": -5.0, "delta_interval": -1.0,
    }  # fmt: skip
    stated = {"delta": -8.0, "median_delta": -1.2, "low_delta": -2.8, "high_delta": 0.4, "p_positive_delta": 0.11}
    same = variant(row())
    assert judged(fit, [row()], same, dropout=[entry]).passed  # only the delta at which it turns
    assert "if their C* under it were 5.0 points lower" in judged(fit, [row()], same, dropout=[entry]).sentence
    check = judged(fit, [row()], same, dropout=[entry | stated])
    assert not check.passed
    assert "turns with -8 points for those who left while exposed to mindfulness" in check.sentence
    last = check.table.iloc[-1]
    assert (last["median"], last["low"], last["high"]) == (-1.2, -2.8, 0.4)
    small = stated | {"delta": -0.5, "median_delta": 1.8, "low_delta": 0.2, "high_delta": 3.4, "p_positive_delta": 0.97}
    assert judged(fit, [row()], same, dropout=[entry | small]).passed


def test_not_done_without_evidence(fit):
    check = assess(fit, 0.89, None, only=["sensitivity"])["sensitivity"]
    assert check.passed is None and "equipoise sensitivity" in check.sentence


def test_table_and_figure_hold_every_assumption(fit, sampler):
    found = panel.sensitivity(fit, other=lambda: a_study("after"), workers=1, delta=-5.0, prob=0.8)
    check = assess(fit, 0.8, {"sensitivity": found}, only=["sensitivity"])["sensitivity"]
    done = [v for v in found["variants"] if "rows" in v]
    assert check.table["assumption"].nunique() == len(done) + 1  # and the stated delta
    assert set(check.table["estimand"]) == {*panel.EFFECTS, *panel.POPULATION}
    names = fit.tree["posterior"]["clinician"].to_numpy().astype(str)
    assert f"Most influential: {names[influential(fit)[0]]}." in check.sentence
    # refits that are the fit itself shift nothing
    refits = check.table[~check.table["assumption"].str.startswith("-5 points")]
    assert (refits["shift (SD as fitted)"].dropna() == 0).all() and len(refits) == len(check.table) - 1
    figure = check.figure()
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[0] == "C*, change\nmindfulness" and titles[-1] == "half-life"
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert len(labels) == len(done) + 1 and labels[0] == "as fitted"
    assert checking.converged(done[1]) is (done[1]["rhat"] <= 1.05 and max(r["rhat"] or 1 for r in done[1]["rows"]) <= 1.02)


def test_a_panel_is_as_wide_as_assumptions_that_could_be_made_ask_for(fit):
    """One known mistake a hundred half-lives away must not squeeze all others into a line."""
    base = [row(), *population()]
    far = variant(row(), *population(half_life=400.0), words="no trait", believed=False)
    check = judged(fit, base, variant(row(), *population(half_life=4.5)), far)
    low, high = check.figure().axes[-1].get_xlim()
    assert high < 10 and low < 4 - 1.6
    assert check.table["median"].max() == 400
