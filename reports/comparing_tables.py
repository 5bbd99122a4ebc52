"""Tables of analyses side by side, as their page shows them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..inference.estimands import ALL_ESTIMANDS
from ..inference.leave_one_out import HIGH_K
from .blocks import Table
from .format import DASH, count, estimate, level, number, plain, probability, row_decimals, short
from .tables import LONGEST

LEFT_OUT = {"survey": ("one survey at a time", "answer"), "clinician": ("one clinician at a time", "clinician")}
_POPULATION = {"capacity": "steady state C*", "alpha": "replenishment α", "beta": "depletion β", "half_life": "half-life"}
_BY_PROGRAMME = {"interventions": "lever", "design": "design", "exposures": "exposure"}


def analyses(comparison) -> Table:
    """What each analysis is."""
    rows = []
    for label, fit in comparison.fits.items():
        study, sizes = fit.facts["study"], fit.tree["posterior"].sizes
        answers = int(np.isfinite(fit.tree["observed_data"]["scores"].to_numpy()).sum())
        programmes = ", ".join(plain(n) for n in study["interventions"]) or "none"
        rows.append([
            short(label, LONGEST), short(programmes, LONGEST), _converged(fit),
            str(sizes["clinician"]), str(answers), f"{sizes['chain']} x {sizes['draw']}",
        ])  # fmt: skip
    columns = ["analysis", "programmes", "converged", "clinicians", "answers", "chains x draws"]
    return Table("The analyses", columns, rows, labels=3)


def _converged(fit) -> str:
    if fit.approximate:
        return "a quick look: see above"
    return "no: see above" if fit.warnings else "yes"


def differing(comparison) -> Table | None:
    """Choices that are not the same in all analyses: model, study, sampling."""
    choices = {}
    for label, fit in comparison.fits.items():
        facts = fit.facts
        mine = {"study (fingerprint)": facts["study_fingerprint"][:12], "time unit": facts["study"]["time_unit"]}
        for option, value in facts["model"].items():
            if option in _BY_PROGRAMME and not isinstance(value, Mapping):
                value = dict.fromkeys(facts["study"]["interventions"], value)
            if isinstance(value, Mapping):
                mine |= {f"{_BY_PROGRAMME.get(option, option)}: {key}": value[key] for key in value}
            else:
                mine[option] = value
        mine |= {"method": "nuts"} | {n: facts["sampling"][n] for n in ("draws", "tune", "chains", "seed", "target_accept")}
        if fit.approximate:
            mine["method"] = "laplace"
        choices[label] = mine
    every = dict.fromkeys(option for mine in choices.values() for option in mine)
    rows = []
    for option in every:
        missing = "default" if option.startswith(("priors", "exposure")) else DASH
        values = [_written(mine[option]) if option in mine else missing for mine in choices.values()]
        if len(set(values)) > 1:
            rows.append([short(option.replace("_", " "), LONGEST), *values])
    heads = [short(label, 24) for label in comparison.fits]
    return Table("Where they differ", ["choice", *heads], rows, labels=1 + len(heads)) if rows else None


def _written(value) -> str:
    if value is None or value == "":
        return "default" if value is None else DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return short(", ".join(f"{key} {_written(part)}" for key, part in value.items()), LONGEST)
    if isinstance(value, (list, tuple)):
        return short(", ".join(_written(part) for part in value), LONGEST)
    return short(f"{value:g}" if isinstance(value, float) else value, LONGEST)


def leave_one_out(comparison, left_out: str) -> Table:
    """How well each analysis predicts what is left out."""
    mine = comparison.loo[comparison.loo["unit_left_out"] == left_out]
    rows = [
        [short(r.analysis, LONGEST), number(r.elpd, 1), number(r.se, 1), number(r.elpd_diff, 1) if r.rank > 1 else DASH,
         number(r.se_diff, 1) if r.rank > 1 else DASH, f"{r.weight:.2f}", number(r.p_loo, 1), str(r.n_high_k)]
        for r in mine.itertuples()
    ]  # fmt: skip
    columns = ["analysis", "elpd", "SE", "difference to the best", "SE of it", "stacking weight", "effective parameters",
               f"Pareto k > {HIGH_K:g}"]  # fmt: skip
    told, unit = LEFT_OUT[left_out]
    caption = f"Leaving out {told} ({count(int(mine['n_left_out'].iloc[0]), unit)})"
    return Table(caption, columns, rows, file="tables/loo.csv")


def estimands(comparison) -> Table:
    """Comparisons with their estimands, the analyses below one another."""
    table = comparison.estimands
    table = table[table["comparable"] & (table["against"] != "")]
    sizes = {label: fit.tree["posterior"].sizes for label, fit in comparison.fits.items()}
    draws = {label: size["chain"] * size["draw"] for label, size in sizes.items()}
    rows = []
    for (option, against, estimand), mine in table.groupby(["option", "against", "estimand"], sort=False):
        told = ALL_ESTIMANDS[estimand].label
        for _, row in mine.iterrows():
            unit = row["unit"].replace("0-100", f"0{DASH}100")
            if row["sd"] > 1e-12:
                places, p = row_decimals(row), row["p_positive"]
                cells = [number(row["median"], places), f"{number(row['low'], places)} to {number(row['high'], places)}",
                         probability(p, draws[row["analysis"]]) if np.isfinite(p) else ""]  # fmt: skip
            else:
                cells = [number(row["median"]), "held fixed" if np.isfinite(row["median"]) else "", ""]
            rows.append([short(f"{option} against {against}", 2 * LONGEST), told + (f" ({unit})" if unit else ""),
                         short(row["analysis"], LONGEST), *cells])  # fmt: skip
    columns = ["comparison", "estimand", "analysis", "median", f"{level(comparison.prob)} interval",
               "probability of an increase"]  # fmt: skip
    return Table("The same estimands in each analysis", columns, rows, labels=3, file="tables/estimands.csv")


def population(comparison) -> Table:
    """alpha, beta, C* and half-life of each analysis' median clinician."""
    table = comparison.population
    units = table.drop_duplicates("analysis").set_index("analysis")["time_unit"]
    rows = []
    for quantity, told in _POPULATION.items():
        mine = table[table["quantity"] == quantity].set_index("analysis")
        rows.append([told, *(estimate(mine.loc[label]) for label in units.index)])
    heads = [short(label, 24) + (f" (in {unit}s)" if units.nunique() > 1 else "") for label, unit in units.items()]
    time = f"; time in {units.iloc[0]}s" if units.nunique() == 1 else ""
    caption = f"The median clinician: median and {level(comparison.prob)} interval{time}"
    return Table(caption, ["quantity", *heads], rows, file="tables/population.csv")
