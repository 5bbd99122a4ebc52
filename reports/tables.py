"""Tables as the page shows them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..inference.decisions import EFFECT_PRIORS, FITTED, UNRELIABLE
from ..inference.estimands import ALL_ESTIMANDS
from ..inference.options import NONE
from .blocks import Table
from .format import DASH, between, level, monte_carlo, number, probability, row_decimals, short

MOST_ROWS = 1000
MONTE_CARLO = "Monte Carlo error of the mean"
LONGEST = 60  # letters of a name: a table is not a place to read a paragraph in

_LABELS = {
    "alpha": "replenishment α",
    "beta": "depletion β",
    "capacity": "steady state C*",
    "half_life": "half-life",
    "capacity_mean": "C*, mean of clinicians",
    "trait_sd": "SD between clinicians",
    "process_sd": "SD over time (omega)",
    "error_sd_total": "SD of a single answer",
    "rate_sd": "SD of log β between clinicians",
    "spread_sd": "SD of log omega between clinicians",
    "level_rate_correlation": "correlation of level and log β",
    "unit_level_sd": "SD of log C* between units",
    "unit_rate_sd": "SD of log β between units",
    "start_shift": "shift at the first survey",
    "drift": "drift over the study, log C*",
}
SPREADS = {"free": "spread of each's own", "shared_omega": "one omega for all", "shared_sigma": "one sigma for all"}
_GROUPS = {"gamma_alpha": "covariate on α", "gamma_beta": "covariate on β", "selection": "selection",
           "moderation_alpha": "effect on α, by covariate", "moderation_beta": "effect on β, by covariate",
           "effect_unit_sd": "SD of the effect between units", "effect_clinician_sd": "SD of the effect between clinicians",
           "period_effect": "period", "knot_effect": "calendar time, knot", "intercept": "intercept", "loading": "loading"}  # fmt: skip
_EFFECTS = {
    "ratio_alpha": "replenishment α, ratio",
    "ratio_beta": "depletion β, ratio",
    "ratio_omega": "spread over time, ratio",
    "capacity_change": "C*, change (0\N{EN DASH}100)",
    "capacity_change_exposed": "C*, change, the exposed only",
    "score_change": "score's own points, change",
}


def quantity_label(quantity: str) -> str:
    if quantity.endswith("]") and "[" in quantity:
        head, inside = quantity[:-1].split("[", 1)
        return f"{_GROUPS.get(head, head)}: {short(inside, LONGEST)}"
    return _LABELS.get(quantity, quantity)


def _interval(row) -> list[str]:
    """Median, interval, and the Monte Carlo error of the mean."""
    places = row_decimals(row)
    ends = f"{number(row['low'], places)} to {number(row['high'], places)}"
    return [number(row["median"], places), ends, monte_carlo(row["mcse_mean"])]


def _truth(row) -> str:
    value = row["truth"]
    return number(value, max(row_decimals(row), 0) + 1) if np.isfinite(value) else ""


def population(material) -> Table:
    table, prob = material.population_table, level(material.prob)
    columns = ["quantity", "median", f"{prob} interval", MONTE_CARLO, "probability above 0"]
    rows = []
    for _, row in table.iterrows():
        cells = [quantity_label(row["quantity"]), *_interval(row)]
        cells.append(probability(row["p_positive"], material.draws) if np.isfinite(row["p_positive"]) else "")
        rows.append(cells + ([_truth(row)] if "truth" in table else []))
    if "truth" in table:
        columns.append("truth")
    return Table(
        "The population: its median clinician, spread, covariates", columns, rows, file="tables/population.csv"
    )


def interventions(material) -> Table:
    table, prob = material.intervention_table, level(material.prob)
    columns = ["intervention", "effect on", "median", f"{prob} interval", MONTE_CARLO, "probability of an increase"]
    rows = []
    for _, row in table.iterrows():
        if row["sd"] > 0:
            cells = [*_interval(row), probability(row["p_positive"], material.draws)]
        elif row["effect"].startswith("ratio"):
            cells = ["1", "held fixed", "", ""]
        else:
            cells = ["", "nobody exposed" if row["effect"] == "capacity_change_exposed" else "", "", ""]
        cells = [short(row["intervention"], LONGEST), _EFFECTS[row["effect"]], *cells]
        rows.append(cells + ([_truth(row)] if "truth" in table else []))
    if "truth" in table:
        columns.append("truth")
    return Table("Effects of the interventions", columns, rows, labels=2, file="tables/interventions.csv")


def _members(
    material, table: pd.DataFrame, key: str, quantities: dict[str, str]
) -> tuple[list[str], dict[str, list[str]]]:
    """Columns and cells by member: median with interval for each quantity, and the truth of C* where it is known."""
    columns, cells = [], {}
    for quantity, label in quantities.items():
        part = table[table["quantity"] == quantity]
        columns.append(label)
        # the half-life is beta in other words: its truth would only widen the table
        has_truth = quantity != "half_life" and "truth" in part and part["truth"].notna().any()
        if has_truth:
            columns.append("truth")
        for _, row in part.iterrows():
            middle, ends, error = _interval(row)
            cells.setdefault(row[key], []).append(f"{middle} ({ends}) [{error}]")
            if has_truth:
                cells[row[key]].append(_truth(row))
    return columns, cells


def _first(table: pd.DataFrame, key: str, names) -> pd.DataFrame:
    """The rows of the members that the page has room for."""
    return table if len(names) <= MOST_ROWS else table[table[key].isin(names[:MOST_ROWS])]


def _above(table: pd.DataFrame, key: str, draws: int) -> dict[str, str]:
    part = table[table["quantity"] == "capacity"]
    return {row[key]: probability(row["p_above_population"], draws) for _, row in part.iterrows()}


def lever(material) -> Table:
    rows = []
    for row in material.lever_table.itertuples():
        parts = [
            between(*(getattr(row, f"{part}_{q}") for q in ("median", "low", "high")))
            for part in ("replenishment", "depletion")
        ]
        zero = f"{number(row.zero)} points lower" if row.zero else "as it is"
        zero = zero if row.spread == material.fit.model.spread else f"as it is; {SPREADS[row.spread]}"
        chances = [probability(p, material.draws) for p in (row.p_replenishment, row.p_prior)]
        rows.append([short(row.intervention, LONGEST), zero, *parts, *chances])
    columns = [
        "intervention", "scale's zero, spread", "change of log α", "minus change of log β", "P(mostly replenishment)",
        "before the data",
    ]  # fmt: skip
    return Table(f"The lever: median and {level(material.prob)} interval", columns, rows, labels=2, file="tables/lever.csv")


def designs(material) -> Table:
    """The study design of each intervention."""
    rows = [
        [short(d["intervention"], LONGEST), d["title"] + (" (stated)" if d["stated"] else ""), d["comparison"], d["baseline"]]
        for d in material.designs
    ]
    return Table("Study designs", ["intervention", "design", "comparison", "before the start"], rows, labels=4)


def estimands(material, groups: bool = False) -> Table:
    """What programmes are worth: comparisons for everyone, or by group."""
    table = material.estimand_table
    first = table["group"].iloc[0]
    chosen = table[(table["group"] != first) & table["estimand"].isin(_BY_GROUP)] if groups else table[table["group"] == first]
    has_truth = "truth" in chosen and chosen["truth"].notna().any()
    rows = []
    for _, row in chosen.iterrows():
        who = f"{row['option']} against {row['against']}" if row["against"] else row["option"]
        told = ALL_ESTIMANDS[row["estimand"]]
        unit = told.unit.replace("time units", f"{material.time_unit}s").replace("0-100", f"0{DASH}100")
        label = told.label + (f" ({unit})" if unit else "")
        if row["sd"] > 1e-12:
            cells = [*_interval(row), probability(row["p_positive"], material.draws) if np.isfinite(row["p_positive"]) else ""]
        else:
            cells = [number(row["median"]) if np.isfinite(row["median"]) else DASH, "held fixed", "", ""]
        group = [f"{short(row['group'], LONGEST)} ({row['clinicians']})"] if groups else []
        rows.append([short(who, 2 * LONGEST), *group, label, *cells, *([_truth(row)] if has_truth else [])])
    head = ["comparison, or option by itself", *(["group (clinicians)"] if groups else []), "estimand", "median",
            f"{level(material.prob)} interval", MONTE_CARLO, "probability of an increase", *(["truth"] if has_truth else [])]  # fmt: skip
    caption = "What programmes are worth, by group" if groups else f"What programmes are worth, over {first}"
    return Table(caption, head, rows, labels=3 if groups else 2, file="tables/estimands.csv")


_BY_GROUP = ("ratio_alpha", "ratio_beta", "capacity_change", "area", "share_below", "capacity_at_horizon")


def forecast(material) -> Table:
    """Where each regime leads by the end of the forecast."""
    table = material.forecast_table
    last = table[table["time"] == table["time"].max()]
    rows = []
    for row in last.itertuples():
        gain = DASH if row.regime == NONE else between(row.gain_median, row.gain_low, row.gain_high)
        who = f"{short(row.group, LONGEST)} ({row.clinicians})"
        rows.append([who, short(row.regime, LONGEST), between(row.median, row.low, row.high), gain])
    end = material.time.text(float(table["time"].max()))
    columns = ["group (clinicians)", "regime", f"expected capacity, {end}", "gain over no programme"]
    return Table(f"Where each regime leads: median and {level(material.prob)} band", columns, rows, labels=2, file="tables/forecast.csv")


def decisions(material) -> Table:
    """The options under the fitted prior: chances, rank, loss and cost."""
    table = material.decision_table
    rows = []
    for _, row in table[table["prior"] == FITTED].iterrows():
        chances = [probability(row[p], material.draws) for p in ("p_benefit", "p_worthwhile", "p_equivalent", "p_best")]
        cells = [short(row["option"], LONGEST), *chances, number(row["expected_rank"], 1), number(row["expected_loss"], 1)]
        if material.decisions["costs"]:
            each = [row[f"cost_per_point_{q}"] for q in ("median", "low", "high")]
            if np.isfinite(each[0]) and not np.isfinite(each[2]):
                cells.append(f"{number(each[0])} ({number(each[1])} to no limit)")
            else:
                cells.append(between(*each) if np.isfinite(each).all() else DASH if np.isnan(each[0]) else "nothing gained?")
        rows.append(cells)
    columns = ["option", "P(any benefit)", "P(worthwhile)", "P(equivalent)", "P(best)", "expected rank", "expected loss"]
    columns += ["cost per point"] if material.decisions["costs"] else []
    return Table("What to choose", columns, rows, file="tables/decisions.csv")


def decisions_by_prior(material) -> Table:
    """Each programme under other priors of the effects."""
    table = material.decision_table
    rows = []
    for _, row in table[table["option"] != NONE].iterrows():
        reliable = not row["pareto_k"] > UNRELIABLE
        shown = [between(row["median"], row["low"], row["high"]), probability(row["p_worthwhile"], material.draws),
                 probability(row["p_best"], material.draws)] if reliable else ["not reliable", DASH, DASH]  # fmt: skip
        prior = f"{row['prior']}: {EFFECT_PRIORS[row['prior']]}" if row["prior"] in EFFECT_PRIORS else row["prior"]
        rows.append([short(row["option"], LONGEST), prior, *shown])
    rows.sort(key=lambda cells: cells[0])
    columns = ["programme", "prior of the change of log C*", "change of C*", "P(worthwhile)", "P(best)"]
    return Table("The same under other priors of the effects", columns, rows, labels=2, file="tables/decisions.csv")


def units(material) -> Table:
    table = _first(material.unit_table, "unit", material.unit_names)
    columns, cells = _members(
        material, table, "unit",
        {"capacity": "C*", "alpha": "α", "beta": "β", "half_life": "half-life", "capacity_mean": "mean C*"},
    )  # fmt: skip
    size = table.drop_duplicates("unit").set_index("unit")["clinicians"]
    above = _above(table, "unit", material.draws)
    rows = [[short(u, LONGEST), str(size[u]), *cells[u], above[u]] for u in material.unit_names[:MOST_ROWS]]
    more = "" if len(material.unit_names) <= MOST_ROWS else f" (the first {MOST_ROWS}; all are in the CSV file)"
    return Table(
        f"Units: median, {level(material.prob)} interval and, in square brackets, Monte Carlo error{more}",
        ["unit", "clinicians", *columns, "P(C* above population's)"],
        rows,
        file="tables/units.csv",
    )


def clinicians(material) -> Table:
    table = _first(material.clinician_table, "clinician", material.clinician_names)
    columns, cells = _members(
        material, table, "clinician", {"capacity": "C*", "alpha": "α", "beta": "β", "half_life": "half-life"}
    )
    surveys = material.surveys
    answers = surveys[surveys["score"].notna()].groupby("clinician").size()
    above = _above(table, "clinician", material.draws)
    rows = [
        [short(c, LONGEST), short(material.unit_names[u], LONGEST), str(answers.get(i, 0)), *cells[c], above[c]]
        for i, (c, u) in enumerate(zip(material.clinician_names[:MOST_ROWS], material.clinician_unit[:MOST_ROWS], strict=True))
    ]
    more = "" if len(material.clinician_names) <= MOST_ROWS else f" (the first {MOST_ROWS}; all are in the CSV file)"
    return Table(
        f"Clinicians: median, {level(material.prob)} interval and, in square brackets, Monte Carlo error{more}",
        ["clinician", "unit", "answers", *columns, "P(C* above population's)"],
        rows,
        labels=2,
        file="tables/clinicians.csv",
    )
