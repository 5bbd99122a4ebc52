"""Simulation-based calibration: the band's level, the ranks of a small model, and that what is wrong is found."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from equipoise import CapacityModel, Prior, Score, Study, simulate
from equipoise.inference.bands import limits, pointwise_level, probability_inside, reach
from equipoise.inference.checks import calibration as judging
from equipoise.inference.checks.calibration import check
from equipoise.inference.refits import calibration as module
from equipoise.inference.refits.calibration import calibrate, prepare, work
from equipoise.inference.refits.ledger import Ledger
from equipoise.inference.sampling import Sampling

# --- the band


@pytest.mark.parametrize("count", [7, 40])
def test_two_ranks_are_a_binomial(count):
    low, high = np.array([count // 4]), np.array([count // 2 + 3])
    expected = stats.binom.cdf(high[0], count, 0.5) - stats.binom.cdf(low[0] - 1, count, 0.5)
    assert probability_inside(low, high, count, 1) == pytest.approx(expected, rel=1e-10)


def test_three_ranks_are_a_multinomial():
    low, high, count = np.array([2, 5]), np.array([5, 9]), 12
    expected = sum(
        stats.multinomial.pmf([a, b - a, count - b], count, [1 / 3] * 3) for a in range(2, 6) for b in range(max(a, 5), 10)
    )
    assert probability_inside(low, high, count, 2) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("count", "among", "quantities", "level"), [(100, 99, 1, 0.9), (60, 19, 4, 0.8), (250, 9, 2, 0.95)])
def test_uniform_ranks_stay_inside_as_often_as_the_level_says(count, among, quantities, level):
    pointwise = pointwise_level(count, among, quantities, level)
    rng = np.random.default_rng(1)
    times = 3_000
    at = np.arange(1, among + 1)
    low, high = limits(count, among, pointwise)
    inside = 0
    for _ in range(times):
        below = (rng.integers(0, among + 1, (quantities, count))[:, :, None] < at).sum(axis=1)
        inside += ((below >= low) & (below <= high)).all()
    exact = probability_inside(low, high, count, among) ** quantities
    assert exact >= level
    assert inside / times == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / times))
    # the next narrower band would not do: counts are whole numbers, so the level is not met exactly
    assert probability_inside(*limits(count, among, pointwise * 1.01), count, among) < level ** (1 / quantities) + 1e-9


def test_inside_is_what_the_limits_say():
    rng = np.random.default_rng(2)
    count, among, pointwise = 50, 19, 0.01
    low, high = limits(count, among, pointwise)
    seen = set()
    for power in np.linspace(0.5, 2, 200):
        ranks = np.minimum((rng.random(count) ** power * (among + 1)).astype(int), among)
        below = np.array([(ranks < j).sum() for j in range(1, among + 1)])
        inside, share = reach(ranks, among, pointwise)
        assert inside == ((below >= low) & (below <= high)).all() == (share <= 1)
        seen.add(inside)
    assert seen == {True, False}
    assert np.isfinite(reach(np.zeros(2000, int), 99, 1e-5)[1])


# --- the check


def evidence(ranks, rhat=1.002, ess=800.0):
    count = len(next(iter(ranks.values())))
    return {
        "ranks": {name: [int(v) for v in values] for name, values in ranks.items()}, "among": 99, "rhat": [rhat] * count,
        "ess": [ess] * count, "divergences": [0] * count, "tries": [1] * count, "seconds": [1.0] * count,
    }  # fmt: skip


def ranked(truth_sd=1.0, shift=0.0, count=150, seed=0, quantities=("level", "half_life", "log_likelihood")):
    """Ranks of truths among 99 draws of a standard normal: uniform only where the truths are standard normal too."""
    rng = np.random.default_rng(seed)
    truth = shift + truth_sd * rng.standard_normal((len(quantities), count, 1))
    ranks = (rng.standard_normal((len(quantities), count, 99)) < truth).sum(axis=2)
    return dict(zip(quantities, ranks, strict=True))


def test_uniform_ranks_pass():
    found = check(None, 0.89, evidence(ranked()))
    assert found.passed is True and "stay inside one 99 % band" in found.sentence
    assert found.table["inside"].all() and set(found.table["quantity"]) == {"level", "half_life", "log_likelihood"}
    assert found.table["mean rank, standard errors from the middle"].abs().max() < 3


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"shift": 0.6}, "level (estimated too low)"),
        ({"shift": -0.6}, "level (estimated too high)"),
        ({"truth_sd": 1.7}, "level (intervals too narrow)"),
        ({"truth_sd": 0.5}, "level (intervals too wide)"),
    ],
)
def test_one_wrong_quantity_fails_and_is_named(wrong, says):
    ranks = ranked() | ranked(**wrong, quantities=("level",))
    found = check(None, 0.89, evidence(ranks))
    assert found.passed is False and says in found.sentence and "half_life" not in found.sentence
    first = found.table.iloc[0]
    assert first["quantity"] == "level" and not first["inside"] and first["share of the way to the band"] > 1


def test_refits_that_did_not_converge_fail_and_few_draws_are_told():
    few = evidence(ranked())
    few["rhat"][:4] = [1.2] * 4
    found = check(None, 0.89, few)
    assert found.passed is False and "4 of the refits had R-hat above 1.05" in found.sentence
    few = evidence(ranked())
    few["rhat"][:2], few["ess"][:5] = [1.2] * 2, [60.0] * 5
    found = check(None, 0.89, few)
    assert found.passed is True and "In 5 a quantity had an effective sample size below the 99" in found.sentence


def test_nothing_is_judged_without_enough():
    assert check(None, 0.89, None).passed is None and "equipoise calibrate" in check(None, 0.89, None).sentence
    found = check(None, 0.89, evidence(ranked(count=10)))
    assert found.passed is None and "10 replicates are too few" in found.sentence


def test_the_picture_is_arviz_own_in_our_figure(monkeypatch):
    import arviz as az
    from matplotlib import pyplot as plt

    seen = []
    draw = az.plot_ecdf_pit
    monkeypatch.setattr(az, "plot_ecdf_pit", lambda tree, **how: seen.append(tree) or draw(tree, **how))
    many = {f"quantity {n}": values for n, values in enumerate(ranked(quantities=range(14)).values())}
    figure = check(None, 0.89, evidence(many)).figure()
    figure.canvas.draw()
    assert len(seen) == 1 and len(seen[0]["prior_sbc"].data_vars) == 12  # those nearest the band
    assert len(figure.axes) == 12 and all(axes.lines and axes.collections for axes in figure.axes)
    assert not plt.get_fignums()  # nothing of pyplot's is left open


# --- real refits


def tiny():
    """Six clinicians in two units, half of them with a course from the middle on."""
    weeks = np.tile(np.arange(6.0), 6)
    who = np.repeat(np.arange(6), 6)
    frame = pd.DataFrame({"id": [f"c{i}" for i in who], "ward": who % 2, "week": weeks, "joy": 50.0})
    frame.loc[[3, 20], "joy"] = np.nan
    spells = pd.DataFrame([{"clinician": f"c{i}", "intervention": "course", "start": 2.5, "end": None} for i in (0, 3, 4)])
    scores = {"joy": Score(range=(0, 100), better="higher", step=1)}
    return Study.from_table(frame, clinician="id", unit="ward", time="week", time_unit="week", scores=scores, spells=spells)


MODEL = CapacityModel(secular="none")
SETTINGS = Sampling(draws=100, tune=200, chains=2, seed=1, target_accept=0.9)


@pytest.fixture(scope="module")
def context():
    return prepare({"model": MODEL, "study": tiny(), "settings": SETTINGS})


def test_a_replicate_depends_on_its_number_and_the_seed_alone(context, tmp_path, monkeypatch):
    """So workers may share them out as they come (tests/inference/test_jobs.py), and more can be added later."""
    monkeypatch.setattr(module, "prepare", lambda given: context)
    how = {"draws": SETTINGS.draws, "tune": SETTINGS.tune, "seed": SETTINGS.seed, "workers": 1}
    ledger = Ledger(tmp_path / "l.jsonl", "k")
    found = calibrate(MODEL, tiny(), replicates=3, ledger=ledger, **how)
    json.dumps(found, allow_nan=False)  # plain values
    assert set(ledger.results) == {"replicate 0", "replicate 1", "replicate 2"}
    for n in (2, 0):  # alone and in another order
        alone = work(context, n)
        assert alone["ranks"] == {name: ranks[n] for name, ranks in found["ranks"].items()}
        assert alone["rhat"] == found["rhat"][n] and alone["ess"] == found["ess"][n]
    assert work((context[0], replace(SETTINGS, seed=2)), 0)["ranks"] != alone["ranks"]
    # fewer of them are those that the ledger has: nothing is sampled
    monkeypatch.setattr(module, "work", None)
    fewer = calibrate(MODEL, tiny(), replicates=2, ledger=ledger, **how)
    assert fewer["ranks"] == {name: ranks[:2] for name, ranks in found["ranks"].items()}


def test_every_parameter_and_derived_quantity_is_ranked(context):
    ranks = work(context, 0)["ranks"]
    sampled = {"level", "half_life", "total_sd", "level_rate_concordance", "rate_sd", "spread_sd", "unit_level_sd", "unit_rate_sd",
               "start_shift", "start_sd_ratio"}  # fmt: skip
    vectors = {f"variance_shares[{j}]" for j in (1, 2, 3)} | {"level_change[1]", "speed_up[1]", "spread_change[1]", "selection[1]"}
    derived = {"alpha_population", "trait_sd", "process_sd", "error_sd_total", "log_likelihood"}
    own = {f"{name}[clinician {i}]" for name in ("alpha", "beta", "capacity") for i in (1, 4, 6)}
    units = {f"{name}[unit {u}]" for name in ("alpha", "beta", "capacity") for u in (1, 2)}
    effects = {"theta_alpha[1]", "theta_beta[1]", "capacity_change[1]"}
    assert set(ranks) == sampled | vectors | derived | own | units | effects
    assert all(0 <= rank <= 99 for rank in ranks.values())


def test_a_draw_that_is_the_truth_has_the_truths_values(context):
    """Names and order of elements agree, and the joint log-likelihood is that of the answers that were fitted."""
    refit, _ = context
    capacity = simulate(MODEL, refit.study, seed=5, rounded=False).study.surveys["capacity"].to_numpy(float)
    fitted = refit.sample(capacity, replace(SETTINGS, draws=20), tries=1)
    given = fitted.draws.point(1, 7)
    new = simulate(MODEL, refit.study, given, seed=6, rounded=False)
    truth = module._truth(refit, new, capacity)
    values = module._values(refit, fitted, np.random.default_rng(0))
    drawn = [name for name in truth if name.startswith(("alpha[clin", "capacity[clin", "capacity_change"))]  # with their own e_i
    assert len(drawn) == 7
    for name in set(truth) - set(drawn):
        assert values[name].reshape(2, 20)[1, 7] == pytest.approx(truth[name], rel=1e-9), name


def test_refits_with_another_prior_than_the_truths_fail(context, monkeypatch):
    """Half-lives of the simulated studies come from elsewhere than the prior of the model that is fitted."""
    slow = replace(MODEL, priors={"half_life": Prior.of("lognormal", median=40.0, factor=1.2)})
    monkeypatch.setattr(module, "simulate", lambda model, study, **how: simulate(slow, study, **how))
    monkeypatch.setattr(judging, "LEAST", 20)  # so great a fault takes few replicates to see
    quick = context[0], replace(SETTINGS, draws=60, tune=150)
    done = [work(quick, n) for n in range(20)]
    found = evidence({name: [r["ranks"][name] for r in done] for name in done[0]["ranks"]})
    failed = check(None, 0.89, found)
    assert failed.passed is False
    looks = failed.table.set_index("quantity")["looks"]
    assert looks["half_life"] == "estimated too low" and looks["beta[unit 1]"] == "estimated too high"
    assert not looks["level"]  # what has nothing to do with it is not accused
