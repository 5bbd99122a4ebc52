"""Sentences that state the results with their uncertainty."""

from __future__ import annotations

import math

import numpy as np

from ..inference.decisions import FITTED
from ..inference.options import NONE
from .caveats import half_life, levers, selection
from .format import (
    between,
    count,
    estimate,
    lasting,
    level,
    listed,
    monte_carlo,
    name,
    number,
    percent,
    probability,
    row_decimals,
)


def headline(material) -> list[tuple[str, str, str, str]]:
    """The four key numbers: label, median, interval, Monte Carlo error."""
    unit = material.time_unit
    out = []
    for quantity, label, measure in (
        ("capacity", "Steady state C*", "of 100"),
        ("alpha", "Replenishment α", f"points per {unit}"),
        ("beta", "Depletion β", f"per {unit}"),
        ("half_life", "Half-life", f"{unit}s"),
    ):
        row = material.row(material.population_table, quantity=quantity)
        places = row_decimals(row)
        middle, low, high = (number(row[q], places) for q in ("median", "low", "high"))
        out.append((f"{label}, {measure}", middle, f"{low} to {high}", monte_carlo(row["mcse_mean"])))
    return out


def summary(material) -> list[str]:
    """The key results in plain words."""
    effects = [intervention(material, k) for k in range(len(material.interventions))]
    caveats = (" ".join(levers(material)), selection(material), half_life(material))
    return [s for s in (population(material), *effects, *caveats) if s]


def population(material) -> str:
    table, unit = material.population_table, material.time_unit
    rows = {q: estimate(material.row(table, quantity=q)) for q in ("capacity", "alpha", "beta", "half_life")}
    off = "with interventions off, " if material.interventions else ""
    return (
        f"Over the long run, {off}the capacity of the median clinician settles at C* = {rows['capacity']} on the "
        "scale from 0 to "
        f"100 (median and {level(material.prob)} interval, as everywhere below). It is replenished by {rows['alpha']} "
        "points "
        f"per {unit} and depleted at a rate of {rows['beta']} per {unit}, so that a disturbance loses half of its "
        "size in "
        f"{rows['half_life']} {unit}s."
    )


def spread(material) -> str:
    table = material.population_table
    rows = {q: estimate(material.row(table, quantity=q)) for q in ("trait_sd", "process_sd", "error_sd_total")}
    return (
        f"Clinicians differ from each other with a standard deviation of {rows['trait_sd']} points; around the own "
        "level, "
        f"capacity moves over time with a standard deviation of {rows['process_sd']} points; and a single answer lies "
        "around "
        f"the capacity of the moment with a standard deviation of {rows['error_sd_total']} points."
    )


def intervention(material, k: int) -> str:
    """What the data say about one intervention."""
    table = material.intervention_table
    mine = table[table["intervention"] == material.interventions[k]].set_index("effect")
    change = mine.loc["capacity_change"]
    places = row_decimals(change)
    middle, low, high = (number(change[q], places) for q in ("median", "low", "high"))
    sign = probability(change["p_positive"], material.draws)
    out = [
        f"{name(material.interventions[k])}: the data are compatible with a change of C* between {low} and {high} "
        "points "
        f"(median {middle}), averaged over all clinicians studied; the probability that it is positive is {sign}."
    ]
    score, described = next(iter(material.scores.items()))
    if described["range"] != [0.0, 100.0] or described["better"] != "higher":
        points = mine.loc["score_change"]
        places = row_decimals(points)
        low, middle, high = (number(points[q], places) for q in ("low", "median", "high"))
        out.append(
            f"In the points of {name(score)}, where {described['better']} is better: {low} to {high} (median {middle})."
        )
    moved = [
        f"{word} by a factor of {estimate(mine.loc[effect])}"
        for effect, word in (("ratio_alpha", "replenishment"), ("ratio_beta", "depletion"))
        if mine.loc[effect, "sd"] > 0
    ]
    if moved:
        out.append(f"It multiplies {listed(moved)}.")
    if material.interventions[k] in fading(material):
        out.append("All this is at full exposure, which does not last: its effect fades, so judge it at a horizon.")
    return " ".join(out)


def fading(material) -> list[str]:
    """Interventions whose exposure does not last."""
    return [label for label, course in material.fit.model.exposures.items() if not course.lasts]


def decisions(material) -> list[str]:
    """What the smallest worthwhile change makes of the effects."""
    asked = material.decisions
    score = next(iter(material.scores))
    unit = "points of 0\N{EN DASH}100" if asked["points"] == "capacity" else f"points of {name(score)}"
    table = material.decision_table
    fitted = table[table["prior"] == FITTED].set_index("option")
    out = [f"Asked for: a change of C* of at least {number(asked['worthwhile'])} {unit}, averaged over the clinicians studied."]
    for option in material.interventions:
        row = fitted.loc[option]
        chances = [probability(row[p], material.draws) for p in ("p_worthwhile", "p_equivalent", "p_harm")]
        out.append(
            f"{name(option)}: worthwhile with probability {chances[0]}, within that of no programme {chances[1]}, "
            f"worse than it by as much {chances[2]}."
        )
    if fading(material):
        who = listed([name(label) for label in fading(material)])
        out.append(f"{who}: the change is that at full exposure, which does not last, so these chances flatter it.")
    best = fitted["p_best"].idxmax()
    chance = probability(fitted.loc[best, "p_best"], material.draws)
    loss = number(fitted.loc[best, "expected_loss"], 1)
    subject = "no programme" if best == NONE else name(best)
    out.append(
        f"Best with the highest probability ({chance}): {subject}; choosing it, {loss} points of C* are expected to be lost "
        "against the best choice, which nobody knows. Programmes are set against each other one by one, not combined; costs "
        "and harms beyond C* are not in this."
    )
    return out


def counts(material) -> list[str]:
    """Who was surveyed, how often, over what time, and what is missing."""
    d, time, unit = material.description, material.time, material.time_unit
    per, gap, follow = d["surveys_per_clinician"], d["gap"], d["follow_up"]
    out = [
        f"{count(d['clinicians'], 'clinician')} in {count(d['units'], 'unit')} gave {count(d['answered'], 'answer')} "
        "at "
        f"{count(d['occasions'], 'survey')}, from {time.text(d['first'])} to {time.text(d['last'])}."
    ]
    if d["missing"]:
        out.append(
            f"{count(d['missing'], 'score')} ({percent(d['missing_share'])}) are missing; they are taken as missing "
            "at random, "
            "given what was observed of the clinician."
        )
    else:
        out.append("No score is missing among the surveys listed.")
    if per["min"] == per["max"]:
        out.append(f"Every clinician answered {count(int(per['min']), 'survey')}.")
    else:
        out.append(f"A clinician answered {_from_to(per)} surveys (median {number(per['median'])}).")
    if math.isfinite(gap["median"]):
        out.append(
            f"Successive surveys of a clinician lie {lasting(gap['median'], unit)} apart (median; {_from_to(gap)}), "
            "and "
            f"clinicians were followed for {lasting(follow['median'], unit)} (median; {_from_to(follow)})."
        )
    return out


def exposure(material) -> list[str]:
    out = []
    for label, d in material.description["interventions"].items():
        out.append(
            f"{name(label)}: {count(d['clinicians'], 'clinician')} in {count(d['units'], 'unit')} exposed, for "
            f"{percent(d['share_of_time'])} of all time followed{', with partial doses' if d['dosed'] else ''}."
        )
    return out


def _from_to(quartiles: dict) -> str:
    return f"{number(quartiles['min'])} to {number(quartiles['max'])}"


def coverage(material) -> list[str]:
    """How many of the intervals hold the truth, where it is known."""
    out = []
    words = {"capacity": "C*", "alpha": "α", "beta": "β", "half_life": "half-life"}
    for table, who in ((material.clinician_table, "clinicians"), (material.unit_table, "units")):
        if "truth" not in table:
            continue
        known = table[table["truth"].notna()]
        inside = (known["low"] <= known["truth"]) & (known["truth"] <= known["high"])
        parts = [
            f"{inside[mine].sum()} of {mine.sum()} ({percent(inside[mine].mean())}) for {words.get(q, q)}"
            for q in known["quantity"].unique()
            if (mine := known["quantity"] == q).any()
        ]
        out.append(f"The {level(material.prob)} intervals of the {who} hold the truth in {listed(parts)}.")
    for table, who in (
        (material.population_table, "of the population's quantities"),
        (material.intervention_table, "of the interventions' effects"),
    ):
        if "truth" not in table:
            continue
        known = table[table["truth"].notna() & (table["sd"] > 0)]
        inside = int(((known["low"] <= known["truth"]) & (known["truth"] <= known["high"])).sum())
        out.append(f"Of the {level(material.prob)} intervals {who}, {inside} of {len(known)} hold the truth.")
    return out


def worth(material) -> list[str]:
    """What each programme is worth beyond its effect on C*: speed, area, threshold."""
    table = material.estimand_table
    first = table["group"].iloc[0]
    out = []
    for option in material.interventions:
        rows = table[(table["option"] == option) & (table["against"] == NONE) & (table["group"] == first)]
        mine = rows.set_index("estimand")
        said = []
        if "time_to_90" in mine.index and np.isfinite(mine.loc["time_to_90", "median"]):
            said.append(
                f"nine tenths of its effect on capacity, whatever its size, are there after {estimate(mine.loc['time_to_90'])} "
                f"{material.time_unit}s"
            )
        if "sd_change" in mine.index and mine.loc["sd_change", "sd"] > 0:
            said.append(f"the change of C* is {estimate(mine.loc['sd_change'])} standard deviations of a single answer")
        if "area" in mine.index:
            said.append(
                f"beginning at the last survey it changes capacity, summed over the next "
                f"{lasting(material.estimands['horizon'], material.time_unit)}, by {estimate(mine.loc['area'])} points x "
                f"{material.time_unit}s"
            )
        if "share_below_change" in mine.index:
            low, middle, high = (percent_points(mine.loc["share_below_change", q]) for q in ("low", "median", "high"))
            said.append(
                f"the share of clinicians whose C* lies under the threshold of {number(material.estimands['threshold'])} changes "
                f"by {middle} percentage points ({low} to {high})"
            )
        if said:
            out.append(f"{name(option)}: {'; '.join(said)}.")
    apart = material.never_together
    if apart:
        out.append(
            f"No clinician had {' or '.join(f'{name(a)} and {name(b)}' for a, b in apart)} at once: what they do together rests "
            "on their effects adding up on the log scale."
        )
    missing = [word for word in ("horizon", "threshold") if material.estimands.get(word) is None]
    if missing:
        out.append(
            f"Not shown, since nobody but the reader can say {'it' if len(missing) == 1 else 'them'}: what needs a "
            f"{' or a '.join(missing)} (`[estimands]` in the analysis file)."
        )
    return out


def percent_points(share: float) -> str:
    return number(100 * share, 0)


def paths(material) -> list[str]:
    """Where the regimes lead."""
    table = material.forecast_table
    begin, end = float(table["time"].min()), float(table["time"].max())
    everyone = table[(table["group"] == table["group"].iloc[0]) & (table["time"] == end)]
    out = [
        f"From {material.time.text(begin)} to {material.time.text(end)}, starting from where the clinicians were then. A single "
        "programme begins then for everyone; a planned roll-out stands in place of the recorded spells; no programme means that "
        "nothing lingers of earlier ones. Covariates are at each clinician's mean, calendar time at its average. The bands are "
        "for a group's mean, not for single clinicians, and hold if nothing else changes."
    ]
    for row in everyone.itertuples():
        if row.regime != NONE:
            out.append(
                f"{name(row.regime)}: by then, {between(row.gain_median, row.gain_low, row.gain_high)} points of difference to no "
                "programme."
            )
    return out
