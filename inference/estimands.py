"""Estimands: what programmes are worth, by standardisation over clinicians, from every posterior draw.

Each clinician's C* and beta are set to what they would be with and without a programme, others off and covariates at the
clinician's mean, and averaged (g-computation: Robins 1986; Hernan & Robins 2020, chapter 13). Paths start from where each
clinician was at the last survey and follow expected capacity, exactly within cells of constant exposure.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..datasets.errors import UserError, is_number, nearest
from ..datasets.score import Score
from . import regimes
from .convergence import SAMPLE
from .options import Option, Population, check_points, check_prob, read_comparisons, read_population, title
from .over_workers import block_by_block

LN10 = float(np.log(10.0))
NOTHING = "nothing of what was asked for exists: time_to_90 is of programmes against none, and of effects that last."
BLOCK = 400_000  # numbers in one array of a block of draws


@dataclass(frozen=True)
class Estimand:
    """What an estimand is called, its unit, what has to be stated for it, and the value that means no effect."""

    label: str
    unit: str
    needs: str = ""
    none: float | None = 0.0


# contrasts of two options ...
CONTRASTS = {
    "ratio_alpha": Estimand("replenishment α, ratio", "", none=1.0),
    "ratio_beta": Estimand("depletion β, ratio", "", none=1.0),
    "capacity_change": Estimand("steady state C*, change", "points of 0-100"),
    "score_change": Estimand("steady state in the score's own points, change", "points of the score"),
    "sd_change": Estimand("steady state C*, change", "standard deviations of a single answer"),
    "half_life_change": Estimand("half-life, change", "time units"),
    "time_to_90": Estimand("time to 90 % of the effect on C", "time units", none=None),
    "area": Estimand("capacity gained up to the horizon", "points of 0-100 x time units", "horizon"),
    "horizon_change": Estimand("capacity at the horizon, change", "points of 0-100", "horizon"),
    "share_below_change": Estimand("clinicians with C* below the threshold, change", "share", "threshold"),
}
# ... and what each option comes to by itself
LEVELS = {
    "capacity": Estimand("steady state C*", "0-100", none=None),
    "capacity_at_horizon": Estimand("capacity at the horizon", "0-100", "horizon", None),
    "share_below": Estimand("clinicians with C* below the threshold", "share", "threshold", None),
}
ALL_ESTIMANDS = CONTRASTS | LEVELS


@dataclass(frozen=True)
class Request:
    """A checked request for estimands; see `estimands` for the meaning of each part."""

    comparisons: tuple[tuple[Option, Option], ...]
    population: Population
    horizon: float | None
    threshold: float | None  # 0-100
    show: tuple[str, ...]


def request(
    interventions, columns: Mapping, score: Mapping, *, horizon=None, threshold=None, points="capacity", comparisons=None,
    by=(), target=None, show=None, varying=(), fading=(),
) -> Request:  # fmt: skip
    """Check what is asked for, without any draws: `equipoise check` and `run` do so before sampling.

    Parameters
    ----------
    interventions : sequence of str
    columns : mapping, as from `options.study_columns`
    score : mapping
        ``range`` and ``better`` of the first score.
    fading : sequence of str
        Interventions whose exposure does not last (`Course.lasts`).

    Raises
    ------
    UserError
        For a horizon or threshold that is missing where it is needed or impossible, and as in `options`.
    """
    if not interventions:
        raise UserError("estimands compare programmes, and the study has no intervention.")
    if horizon is not None and not (is_number(horizon) and horizon > 0):
        raise UserError(f"horizon must be a number above 0, in the study's time unit; got {horizon!r}.")
    check_points(points)
    if threshold is not None:
        low, high = (0, 100) if points == "capacity" else score["range"]
        if not (is_number(threshold) and low < threshold < high):
            raise UserError(f"threshold must lie inside {low:g} to {high:g} (points = {points!r}); got {threshold!r}.")
        if points == "score":
            threshold = Score(range=score["range"], better=score["better"]).to_capacity(threshold)
    if show is not None and not isinstance(show, str) and not list(show):
        raise UserError("show is empty; leave it out for all estimands.")
    stated = {"horizon": horizon, "threshold": threshold, "": 0}
    if show is not None:
        for name in [show] if isinstance(show, str) else show:
            if name not in ALL_ESTIMANDS:
                raise UserError(
                    f"there is no estimand {name!r}.{nearest(str(name), ALL_ESTIMANDS)} Known: {', '.join(ALL_ESTIMANDS)}."
                )
            if stated[ALL_ESTIMANDS[name].needs] is None:
                raise UserError(f"the estimand {name!r} needs a {ALL_ESTIMANDS[name].needs}; it has no default.")
    pairs = read_comparisons(comparisons, interventions)
    asked = ALL_ESTIMANDS if show is None else [show] if isinstance(show, str) else list(show)
    if set(asked) == {"time_to_90"} and not any(a and not b and not set(a) & set(fading) for a, b in pairs):
        raise UserError(NOTHING)
    return Request(
        tuple(pairs),
        read_population(columns, by, target, varying),
        None if horizon is None else float(horizon),
        None if threshold is None else float(threshold),
        tuple(name for name in ALL_ESTIMANDS if name in asked and stated[ALL_ESTIMANDS[name].needs] is not None),
    )


def estimands(fit, *, prob: float = 0.89, **asked) -> pd.DataFrame:
    """What each programme is worth against none and against each other.

    Parameters
    ----------
    fit : Fit
    horizon : float, optional
        Time from the last survey, for `area`, `horizon_change` and `capacity_at_horizon`. A programme then begins at each
        clinician's last survey and runs on.
    threshold : float, optional
        C* under which a clinician counts for `share_below` and its change.
    points : {"capacity", "score"}
        Whether the threshold is in points of 0-100 or in the first score's own.
    comparisons : list of pairs, optional
        Such as ``[("mindfulness", "none"), ("mindfulness + debriefing", "debriefing")]``. Default: each programme against
        none, each pair, and combinations against none.
    by : str or list of str
        Groups to report beside everyone: "unit", or covariates that are constant within clinicians.
    target : mapping, optional
        A stated target population: ``{"column": "role", "shares": {"nurse": 0.7, "physician": 0.3}}``.
    show : list of str, optional
        Names of estimands; default: all that are not in want of a horizon or threshold.
    prob : float
        Probability of the intervals.

    Returns
    -------
    DataFrame
        One row for each comparison (or option, where ``against`` is empty), group and estimand: option, against, group,
        clinicians, estimand, unit, median, low, high, mean, sd, p_positive (probability of lying above no effect), rhat,
        ess_bulk, mcse_mean, interval. Ratios are geometric means over clinicians, the rest plain means;
        ``sd_change`` divides by the standard deviation of a single answer of the median clinician (trait, process and error).

    Raises
    ------
    UserError
        As in `request`.
    """
    check_prob(prob)
    wanted = request_of(fit, **asked)
    clinicians = _Clinicians(fit)
    values = _values(clinicians, wanted)
    if not values:
        raise UserError(NOTHING)
    return _table(values, clinicians, wanted, prob, fit.measures)


def request_of(fit, **asked) -> Request:
    """The request checked against what a fit knows of its study."""
    study = fit.facts["study"]
    constant = fit.tree["constant_data"].to_dataset()
    columns = {"unit": constant["unit_name"].to_numpy().astype(str)[constant["clinician_unit"].to_numpy()]}
    stored = {n.removeprefix("column_"): v for n, v in constant.data_vars.items() if n.startswith("column_")}
    columns |= {v.attrs.get("name", n): v.to_numpy() for n, v in stored.items()}  # earlier results have the name itself
    varying = [name for name in study["covariates"] if name not in columns]
    score = next(iter(study["scores"].values()))
    fading = [name for name, course in fit.model.exposures.items() if not course.lasts]
    return request(study["interventions"], columns, score, varying=varying, fading=fading, **asked)


class _Clinicians:
    """Draws of every clinician's C*, beta and state, and of what options change, in blocks."""

    def __init__(self, fit):
        posterior = fit.tree["posterior"].to_dataset()
        individual = fit.tree["individual"].to_dataset()
        self.names = list(posterior["intervention"].to_numpy().astype(str))
        self.chains, self.draws = posterior.sizes["chain"], posterior.sizes["draw"]
        self.count = posterior.sizes["clinician"]
        self.own_draws = [posterior["capacity"], posterior["beta"], individual["state_last"]]
        theta = {lever: _flat(posterior[f"theta_{lever}"], "intervention") for lever in ("alpha", "beta")}
        self.level, self.rate = theta["alpha"] - theta["beta"], theta["beta"]
        self.varied = "level_deviation_effect" in individual
        if self.varied:
            self.own_draws += [individual[f"{n}_deviation_effect"] for n in ("level", "rate")]
        self.courses = fit.model.courses(self.names)
        self.given = [
            {p: _flat(posterior[p].sel({f"intervention_{p}": name}, drop=True)) for p in course.estimated}
            for name, course in zip(self.names, self.courses, strict=True)
        ]
        self.median_rate = _flat(posterior["beta_population"])
        spreads = [_flat(posterior[n]) for n in ("trait_sd", "process_sd", "error_sd_total")]
        self.answer_sd = np.sqrt(sum(s**2 for s in spreads))
        score = next(iter(fit.facts["study"]["scores"].values()))
        self.points = float(Score(range=score["range"], better=score["better"]).change_to_points(1.0))

    def stretches(self):
        """Stretches of draws (chains joined), each with what `hold` takes."""
        size = max(1, BLOCK // self.count)
        for chain in range(self.chains):
            for begin in range(0, self.draws, size):
                draws = slice(begin, min(begin + size, self.draws))
                dims = (*SAMPLE, "intervention", "clinician")
                here = [v.transpose(*(d for d in dims if d in v.dims))[chain, draws].to_numpy() for v in self.own_draws]
                yield slice(chain * self.draws + draws.start, chain * self.draws + draws.stop), here

    def hold(self, here) -> None:
        """Let ``capacity``, ``beta`` and ``state`` be those of a stretch of draws (draws x clinicians)."""
        self.capacity, self.beta, self.state, *self.own = here

    def blocks(self):
        """Stretches of draws, held meanwhile."""
        for block, here in self.stretches():
            self.hold(here)
            yield block

    def without_draws(self) -> _Clinicians:
        """What is the same for all stretches, for a worker to hold one."""
        bare = copy(self)
        bare.own_draws = []
        return bare

    def moved(self, option: Option, block):
        """Change of log C* and log beta by an option in full (draws x clinicians, or x 1 where clinicians do not differ)."""
        change = rate = 0.0
        for k in map(self.names.index, option):
            more = [own[:, k] for own in self.own] if self.varied else (0.0, 0.0)
            change = change + self.level[block, k, None] + more[0]
            rate = rate + self.rate[block, k, None] + more[1]
        return change, rate

    def changes(self, option: Option, block, edges):
        """What the kernels of `regimes` take: changes by programme, their shapes' exposure in each cell, and the cells."""
        chosen = [self.names.index(name) for name in option]
        draws = len(self.beta)
        exposure = np.empty((len(chosen), draws, edges.size - 1))
        width = self.count if self.varied else 1
        level, rate = np.empty((2, len(chosen), draws, width))
        for n, k in enumerate(chosen):
            given = {p: v[block] for p, v in self.given[k].items()}
            exposure[n] = regimes.exposure_of_new_spell(self.courses[k], edges, given, draws)
            level[n], rate[n] = self.moved((self.names[k],), block)
        return level, rate, exposure, np.diff(edges)

    def lasting(self, option: Option) -> bool:
        """Whether the option's exposure comes to 1 and stays there."""
        return all(self.courses[self.names.index(name)].lasts for name in option)

    def shaped(self, option: Option) -> bool:
        return any(not self.courses[self.names.index(name)].is_plain for name in option)


def _values(c: _Clinicians, wanted: Request) -> dict:
    """(option, against, estimand) -> array (draws x groups)."""
    show, out = set(wanted.show), {}
    options = {side for pair in wanted.comparisons for side in pair}
    scale = {o: _time_scale(c, o) for o in options if o and "time_to_90" in show and c.shaped(o)}
    blocks = (((block.start, block.stop), (block, here)) for block, here in c.stretches())
    for (start, stop), values in block_by_block(_of_block, _of_block, (c.without_draws(), wanted, scale), blocks):
        for key, value in values.items():
            out.setdefault(key, np.empty((c.chains * c.draws, value.shape[1])))[start:stop] = value
    for a, b in wanted.comparisons:
        if "score_change" in show:
            out[a, b, "score_change"] = out[a, b, "capacity_change"] * c.points
        if "sd_change" in show:
            out[a, b, "sd_change"] = out[a, b, "capacity_change"] / c.answer_sd[:, None]
    return {key: values for key, values in out.items() if key[2] in show}


def _of_block(given, job) -> dict:
    """(option, against, estimand) -> array (draws x groups) of one stretch of draws."""
    c, wanted, scale = given
    block, here = job
    c = copy(c)  # threads of a worker share the original
    c.hold(here)
    capacity, beta, state = here[:3]
    show, weights, out, found = set(wanted.show), wanted.population.matrix, {}, {}

    def put(key, values):
        out[key] = values @ weights

    for option in dict.fromkeys(side for pair in wanted.comparisons for side in pair):
        change, rate = c.moved(option, block)
        star, speed = capacity * np.exp(change), beta * np.exp(rate)
        here = {"capacity": star, "half_life": regimes.half_life(speed)}
        here["log_alpha"], here["log_beta"] = (np.broadcast_to(moved, star.shape) for moved in (change + rate, rate))
        if wanted.threshold is not None:
            here["share_below"] = (star < wanted.threshold).astype(float)
        if wanted.horizon is not None and show & {"area", "horizon_change", "capacity_at_horizon"}:
            edges = regimes.cells_until([c.courses[c.names.index(n)] for n in option], wanted.horizon)
            if len(edges) == 2 and not c.shaped(option):
                end, area = regimes.step(state, star, speed, wanted.horizon)
            else:
                end, area = regimes.path(state, capacity, beta, *c.changes(option, block, edges))
            here |= {"capacity_at_horizon": end, "area": area}
        if option and "time_to_90" in show and c.lasting(option):
            if c.shaped(option):
                edges = regimes.long_cells(*scale[option])
                here["time_to_90"] = regimes.time_to_share(capacity, beta, *c.changes(option, block, edges), star, 0.9)
            else:
                here["time_to_90"] = LN10 / speed
        found[option] = here
        for name in LEVELS:
            if name in here and name in show:
                put((option, None, name), here[name])
    for a, b in wanted.comparisons:
        one, two = found[a], found[b]
        for name, part in (("ratio_alpha", "log_alpha"), ("ratio_beta", "log_beta")):
            if name in show:
                put((a, b, name), one[part] - two[part])
                out[a, b, name] = np.exp(out[a, b, name])
        differences = {
            "capacity_change": "capacity", "half_life_change": "half_life", "area": "area",
            "horizon_change": "capacity_at_horizon", "share_below_change": "share_below",
        }  # fmt: skip
        for name, part in differences.items():
            if part in one and name in show | ({"capacity_change"} if show & {"score_change", "sd_change"} else set()):
                put((a, b, name), one[part] - two[part])
        if not b and "time_to_90" in one:
            put((a, b, "time_to_90"), one["time_to_90"])
    return out


def _time_scale(c: _Clinicians, option: Option) -> tuple[float, float]:
    """The length of time that the response to an option is of the order of, and the longest of any draw and clinician."""
    typical = [regimes.LN2 / np.median(c.median_rate)]
    longest = [regimes.LN2 / (c.beta * np.exp(np.minimum(c.moved(option, block)[1], 0.0))).min() for block in c.blocks()]
    for k in map(c.names.index, option):
        course = c.courses[k]
        fixed = dict(course.fixed)
        for name in (p for shape in course.chain for p in shape.parameters if p not in shape.priors):
            typical.append(fixed[name] if name in fixed else float(np.median(c.given[k][name])))
            longest.append(fixed[name] if name in fixed else float(c.given[k][name].max()))
    return float(max(typical)), float(max(longest + typical))


def _table(values: dict, c: _Clinicians, wanted: Request, prob: float, measures) -> pd.DataFrame:
    order = {name: n for n, name in enumerate(ALL_ESTIMANDS)}
    pairs = {pair: n for n, pair in enumerate(wanted.comparisons)}
    keys = sorted(values, key=lambda key: (key[1] is None, pairs.get(key[:2], -1), order[key[2]]))
    groups = wanted.population.groups
    flat = np.concatenate([values[key] for key in keys], axis=1)
    tail = (1 - prob) / 2
    ordered = np.sort(flat, axis=0)
    low, median, high = _quantiles(ordered, (tail, 0.5, 1 - tail))
    table = pd.DataFrame({
        "option": np.repeat([title(k[0]) for k in keys], len(groups)),
        "against": np.repeat(["" if k[1] is None else title(k[1]) for k in keys], len(groups)),
        "group": np.tile(np.array(groups, object), len(keys)),
        "clinicians": np.tile(wanted.population.sizes, len(keys)),
        "estimand": np.repeat([k[2] for k in keys], len(groups)),
        "unit": np.repeat([ALL_ESTIMANDS[k[2]].unit for k in keys], len(groups)),
        "median": median, "low": low, "high": high, "mean": flat.mean(axis=0), "sd": flat.std(axis=0, ddof=1),
    })  # fmt: skip
    none = np.array([np.nan if (n := ALL_ESTIMANDS[e].none) is None else n for e in table["estimand"]])
    above = np.where(np.isnan(none), np.nan, (flat > none).mean(axis=0))
    table["p_positive"] = np.where(table["sd"] > 1e-12, above, np.nan)
    # shares of few clinicians take few values, which may have no R-hat
    with np.errstate(divide="ignore", invalid="ignore"):
        judged = measures(flat.reshape(c.chains, c.draws, -1))
    table = pd.concat([table, judged[["rhat", "ess_bulk", "mcse_mean"]]], axis=1)
    return table.assign(interval=prob)


def _quantiles(ordered: np.ndarray, at) -> list[np.ndarray]:
    """Quantiles of sorted columns (linear interpolation), without sorting again."""
    found = []
    for q in at:
        place = q * (len(ordered) - 1)
        below = int(np.floor(place))
        above = min(below + 1, len(ordered) - 1)
        found.append(ordered[below] + (place - below) * (ordered[above] - ordered[below]))
    return found


def _flat(values, *dims) -> np.ndarray:
    values = values.transpose(*SAMPLE, *dims).to_numpy()
    return np.ascontiguousarray(values.reshape(-1, *values.shape[2:]))
