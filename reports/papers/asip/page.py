"""Set the ASIP results beside the published ones: writes ``README.md`` next to this file.

equipoise run reports/papers/asip/analysis.toml
python reports/papers/asip/page.py
"""

from pathlib import Path

import pandas as pd

from equipoise import load
from equipoise.datasets import fetch_asip
from equipoise.inference.response import exposed_difference

HERE = Path(__file__).parent
# Vetter, Kurth, Konigorski (2025), Table 2: effect of the exercise weeks on stress, 0-10 points
PUBLISHED = {
    "mindfulness_breathing": ("Mindfulness breathing", 33, 461, -0.173, 0.230, -0.615, 0.283),
    "box_breathing": ("Box breathing", 43, 662, -0.067, 0.197, -0.451, 0.318),
}
TEXT = """\
# ASIP: two breathing exercises and the daily stress of physicians in residency

A series of N-of-1 trials (NCT06368791): 76 physicians, four weeks, an exercise in every other week (ABAB or BABA,
randomised), stress today from 0 to 10 each evening. Data: github.com/HIAlab/ASIP (MIT licence), fetched at a pinned
commit. Published analysis: Vetter, Kurth, Konigorski, medRxiv 10.1101/2025.04.09.25325513, Table 2.

    equipoise run reports/papers/asip/analysis.toml     # the report, in reports/papers/asip/results/analysis/
    python reports/papers/asip/page.py                  # this page

## Effect on stress (points of 0-10; lower is better)

| | Published: exercise weeks | Here: days in exercise weeks less other days, over the days answered | Here: change of the steady state |
|---|---|---|---|
{rows}

Published: estimate (standard error; 95 % interval). Here: posterior mean (standard deviation; 95 % interval),
{draws} draws, seed {seed}. Both readings are compatible with a small benefit, none, and a small harm: {signs}.

## Why the columns differ

- **What is estimated.** The published number is the mean difference between exercise weeks and other weeks. The second
  column is the same comparison made with the model: the expected path under each person's own exercise weeks less the
  path without, averaged over the days answered in them, less its average over the other days answered. The third is
  where stress would settle if the exercise went on. It is a little larger, because the first days of a period are still on their way:
  the half-life of a disturbance is {half_life} days (89 % interval {half_low} to {half_high}).
- **Autocorrelation.** The published AR(1) term runs over the rows of the file, across persons. Here it runs in time and
  within a person, so that days that were not answered count as the gaps they are.
- **Layers of spread.** Persons differ in level (SD {trait} points), days within a person ({process}), and a single answer
  is rounded to whole points ({error} in all). Persons also differ in how much they vary, and steadier persons weigh more.
- **Who chose what.** The order of the weeks was randomised, the exercise was the person's own choice; a person's mean
  exposure to each enters the level, so that the effect comes from changes within persons. As in the published analysis a
  day counts as exposed when it lies in an exercise week, whether the exercise was done that day or not.
- **Whom it helps.** Each person goes on and off twice, so effects may differ between persons, with shrinkage; their standard
  deviation between persons on log C* is {differ}. The columns are averages over all 76 persons.
- **Reading of the rows.** `holds = "before"`: the evening's answer looks back on that day and its exercise. With the
  other reading ("after") effects move; the choice is the analyst's and is stated in the analysis file.
- **Prior.** The change of log C* has prior Normal(0, 0.15), which is about 0.9 points: it shrinks these effects slightly.

A generalised least squares fit of the same start and spells, written in `tests/papers/`, agrees with the second column
within half a standard error for both exercises (with the covariance that the model estimated for each person).

## Checks

{checks}

The report has each with its numbers and figure. Those that need refits come of `equipoise crossvalidate`, `sensitivity`,
`run --doubling` and `calibrate` on the same file.
"""


def main() -> None:
    fit = load(HERE / "results" / "analysis" / "posterior.nc", study=fetch_asip("before", repeated="mean"))
    days = exposed_difference(fit)["score"]
    steady = fit.interventions(0.95).query("effect == 'score_change'").set_index("intervention")
    population = fit.population().set_index("quantity")
    rows, signs = [], []
    for name, (label, people, answers, mean, se, low, high) in PUBLISHED.items():
        values = days.sel(intervention=name)
        q = values.quantile([0.025, 0.975], ("chain", "draw")).to_numpy()
        c = steady.loc[name]
        rows.append(
            f"| {label} ({people} persons, {answers} answers) | {mean:.2f} ({se:.2f}; {low:.2f} to {high:.2f}) "
            f"| {float(values.mean()):.2f} ({float(values.std()):.2f}; {q[0]:.2f} to {q[1]:.2f}) "
            f"| {c['mean']:.2f} ({c['sd']:.2f}; {c['low']:.2f} to {c['high']:.2f}) |"
        )
        signs.append(f"the probability that {label.lower()} lowers stress is {1 - c['p_positive']:.2f}")
    points = population["mean"] / 10  # one point of stress is ten of the 0-100 scale
    sampling = fit.facts["sampling"]
    half = population.loc["half_life"]
    checks = pd.read_csv(HERE / "results" / "analysis" / "tables" / "checks.csv", keep_default_na=False)
    verdicts = {"yes": "passed", "no": "**not passed**", "": "not done"}
    told = [f"- {row.question} {verdicts[row.passed]}" + (f": {row.answer}" if row.passed == "no" else "") for row in checks.itertuples()]
    page = TEXT.format(
        checks="\n".join(told), rows="\n".join(rows), signs=", ".join(signs),
        draws=sampling["draws"] * sampling["chains"], seed=sampling["seed"],
        half_life=f"{half['median']:.1f}", half_low=f"{half['low']:.1f}", half_high=f"{half['high']:.1f}",
        differ=" and ".join(
            f"{population.loc[f'effect_clinician_sd[{name}]', 'median']:.2f} ({label.lower()})" for name, (label, *_) in PUBLISHED.items()
        ),
        trait=f"{points['trait_sd']:.1f}", process=f"{points['process_sd']:.1f}", error=f"{points['error_sd_total']:.1f}",
    )  # fmt: skip
    (HERE / "README.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
