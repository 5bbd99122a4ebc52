"""What a shared report is made from: of a fit, the tables known to be safe, after suppression, and nothing else."""

from __future__ import annotations

from functools import cached_property
from types import SimpleNamespace

import numpy as np
import pandas as pd
import xarray as xr

from ...inference.convergence import ESS_LIMIT, RHAT_LIMIT
from ...models.priors import MEANINGS
from ..format import percent
from ..material import Material
from .plan import Plan, mentions
from .pseudonyms import pseudonyms

# quantities of the population that are safe by themselves; those of covariates, programmes and scores are judged by the plan
POPULATION = (
    "alpha", "beta", "capacity", "half_life", "capacity_mean", "trait_sd", "process_sd", "error_sd_total", "rate_sd", "spread_sd",
    "level_rate_correlation", "unit_level_sd", "unit_rate_sd", "start_shift", "drift",
)  # fmt: skip
BY_COVARIATE = ("gamma_alpha", "gamma_beta", "moderation_alpha", "moderation_beta")
BY_PROGRAMME = ("effect_unit_sd", "effect_clinician_sd")
BY_EXPOSED = ("selection",)
BY_SCORE = ("intercept", "loading")
EFFECTS = ("ratio_alpha", "ratio_beta", "ratio_omega", "capacity_change", "score_change")
# beginnings of warnings and cautions that name no person or unit
SAFE_WARNINGS = ("INCOMPLETE: ", "NOT CONVERGED after ", "NOT CONVERGED: ")
SAFE_CAUTIONS = ("Selection is not adjusted for (selection = false)", "No secular time although the design of ")
FORECAST_CELLS = 48


class SharedMaterial:
    """A fit as a shared report sees it; has what `Material` has of what is safe, and no way to the rest.

    Sections and figures of the report that are made from this alone can show nothing else: what they ask for beyond it is an
    error, not a leak.

    Parameters
    ----------
    fit : Fit
        With its study.
    plan : Plan
    key : bytes, optional
        Of the pseudonyms; without it units keep their names.
    prob, decisions, estimands, forecast, evidence
        As for `Material`.
    """

    def __init__(self, fit, plan: Plan, key: bytes | None, prob=0.89, decisions=None, estimands=None, forecast=None, evidence=None):
        # under a name of its own, so that nobody takes from it what is not to be shown
        self.__whole = whole = Material(fit, prob, None, 0, decisions, estimands, forecast, evidence)
        self.__plan, self.__key = plan, key
        self.prob, self.draws, self.time, self.time_unit = whole.prob, whole.draws, whole.time, whole.time_unit
        self.truth: dict = {}
        self.interventions, self.scores, self.never_together = whole.interventions, whole.scores, whole.never_together
        self.decisions, self.estimands, self.forecast = whole.decisions, whole.estimands, whole.forecast
        self.facts = {"study": {"secular": whole.facts["study"]["secular"]}}
        first, last = (np.sort(times) for times in fit.study.follow_up)
        # not one person's first or last survey: by then, and from then on, at least the smallest cell of clinicians were surveyed
        self.description = {"first": float(first[plan.smallest - 1]), "last": float(last[-plan.smallest])}
        self.fit = SimpleNamespace(  # a quick look is not shared
            model=fit.model, complete=fit.complete, warnings=self._warnings(), doubtful=fit.doubtful, approximate=False
        )

    def _warnings(self) -> list[str]:
        """Convergence in words without names of quantities, which hold names, and without their number, which tells that of units."""
        fit = self.__whole.fit
        if not fit.warnings:
            return []
        found = [text for text in fit.warnings if text.startswith(SAFE_WARNINGS)]
        if fit.divergences:
            found.append(f"{fit.divergences} of {self.draws} draws diverged: parts of the posterior may be missing from these results.")
        table = fit.diagnostics
        if table.empty:
            return [*found, "Too few draws to judge convergence."]
        apart, few = ~(table["rhat"] <= RHAT_LIMIT), ~(table[["ess_bulk", "ess_tail"]].min(axis=1) >= ESS_LIMIT)
        if apart.any():
            found.append(f"{percent(apart.mean())} of all quantities have R-hat above {RHAT_LIMIT}: the chains disagree.")
        if few.any():
            found.append(
                f"{percent(few.mean())} of all quantities have an effective sample size under {ESS_LIMIT}: their intervals are imprecise."
            )
        return found or ["There are warnings on these results; whoever made them knows which."]

    @cached_property
    def cautions(self) -> list[str]:
        """Cautions on the design that name no person or unit."""
        return [text for text in self.__whole.facts.get("cautions", []) if text.startswith(SAFE_CAUTIONS)]

    @cached_property
    def __labels(self) -> list[str]:
        """What each unit is called here, by its code."""
        names = self.__whole.unit_names.tolist()
        if self.__key is None:
            return names
        shared = pseudonyms(names, self.__key)
        return [shared[name] for name in names]

    @cached_property
    def unit_names(self) -> np.ndarray:
        """Units shown, in the order of the names they have here, which need not be that of their own."""
        shown = [label for label, safe in zip(self.__labels, self.__plan.units, strict=True) if safe]
        return np.array(sorted(shown), dtype=str)

    @cached_property
    def unit_table(self) -> pd.DataFrame:
        n = len(self.__labels)
        return self._grouped(self.__whole.unit_table, "unit", self.__plan.units, np.arange(n))

    def _grouped(self, table, column: str, shown: np.ndarray, units: np.ndarray, rows: int = 1) -> pd.DataFrame:
        """Rows of groups that are shown, units by the labels they have here and in the order of these.

        ``table`` has ``rows`` rows for each group in turn, over and over.
        """
        place = np.arange(len(table)) // rows
        code, block = place % len(shown), place // len(shown)
        label = np.array([self.__labels[u] if u >= 0 else "" for u in units], object)
        # the order of units' own names would tell something of them
        rank = np.arange(len(shown))
        rank[np.flatnonzero(units >= 0)[np.argsort(label[units >= 0], kind="stable")]] = rank[units >= 0]
        named = np.where(units[code] >= 0, label[code], table[column])
        order = np.lexsort((np.arange(len(table)), rank[code], block))
        return table.assign(**{column: named}).iloc[order[shown[code][order]]].reset_index(drop=True)

    @cached_property
    def population_table(self) -> pd.DataFrame:
        table = self.__whole.population_table
        return table[[self._is_safe(quantity) for quantity in table["quantity"]]].reset_index(drop=True)

    def _is_safe(self, quantity: str) -> bool:
        head, _, inside = quantity.partition("[")
        inside = inside.removesuffix("]")
        if not inside:
            return quantity in POPULATION
        if head in BY_COVARIATE:
            return self._covariates_are_safe(inside)
        if head in BY_EXPOSED:
            return self.__plan.exposed.get(inside, False)
        if head in BY_SCORE:
            return inside in self.__safe_scores
        # what is left are parameters of a programme, as of its shape
        return head in BY_PROGRAMME or (inside in self.interventions and head in self.__shapes)

    def _covariates_are_safe(self, term: str) -> bool:
        return not any(mentions(term, name) for name, safe in self.__plan.columns.items() if not safe)

    @cached_property
    def __shapes(self) -> set[str]:
        return {name for course in self.fit.model.exposures.values() for name in course.estimated}

    @cached_property
    def __safe_scores(self) -> set[str]:
        """Scores that enough clinicians answered."""
        seen = self.__whole.surveys
        answered = seen[seen["score"].notna()].groupby("indicator")["clinician"].nunique()
        return {name for k, name in enumerate(self.scores) if answered.get(k, 0) >= self.__plan.smallest}

    @cached_property
    def score_table(self) -> pd.DataFrame:
        """One row a score: score, low, high, better, step, answers, mean, sd; floor and ceiling (NaN if of few clinicians)."""
        seen, rows = self.__whole.surveys, []
        for k, (name, score) in enumerate(self.scores.items()):
            if name not in self.__safe_scores:
                continue
            found = self.__whole.description["scores"][name]
            mine = seen[seen["indicator"] == k]
            ends = {"floor": 0.0, "ceiling": 100.0} if score["better"] == "higher" else {"floor": 100.0, "ceiling": 0.0}
            shares = {}
            for end, value in ends.items():
                who = mine[np.isclose(mine["score"], value)]["clinician"].nunique()
                shares[end] = found[end] if who >= self.__plan.smallest else np.nan  # none is not told from few
            low, high = score["range"]
            rows.append({"score": name, "low": low, "high": high, "better": score["better"], "step": found["step"] or np.nan,
                         "answers": self._about(found["answered"]), "mean": found["mean"], "sd": found["sd"], **shares})  # fmt: skip
        return pd.DataFrame(rows)

    def _about(self, n: int) -> int:
        """A number of answers, rounded so that it does not tell how many of a few were not given."""
        return round(n / self.__plan.smallest) * self.__plan.smallest

    @cached_property
    def counts(self) -> SimpleNamespace:
        """Numbers of the whole study: clinicians, units (None where it may not be told), surveys, medians."""
        d = self.__whole.description
        return SimpleNamespace(
            clinicians=d["clinicians"], units=d["units"] if self.__plan.tell_number else None, answered=self._about(d["answered"]),
            missing_share=d["missing_share"], surveys=d["surveys_per_clinician"]["median"], gap=d["gap"]["median"],
            follow_up=d["follow_up"]["median"],
        )  # fmt: skip

    @cached_property
    def exposed(self) -> dict[str, tuple[int, float]]:
        """Clinicians exposed to each programme, and share of time, where it may be told."""
        found = self.__whole.description["interventions"]
        return {name: (self.__plan.n_exposed[name], found[name]["share_of_time"]) for name, safe in self.__plan.exposed.items() if safe}

    @cached_property
    def intervention_table(self) -> pd.DataFrame:
        table = self.__whole.intervention_table
        if table.empty:
            return table
        exposed = (table["effect"] == "capacity_change_exposed") & table["intervention"].map(self.__plan.exposed).astype(bool)
        return table[table["effect"].isin(EFFECTS) | exposed].reset_index(drop=True)

    @cached_property
    def lever_table(self) -> pd.DataFrame:
        return self.__whole.lever_table

    @cached_property
    def decision_table(self) -> pd.DataFrame | None:
        return self.__whole.decision_table

    @cached_property
    def learnt(self) -> pd.DataFrame:
        table = self.__whole.learnt
        return table[table["quantity"] == "half_life"] if len(table) else table

    @cached_property
    def outside(self) -> SimpleNamespace:
        """Shares of draws of C* beyond the scale, unless they are those of a few clinicians."""
        found = self.__whole.outside
        few = 0 < found.clinicians < self.__plan.smallest
        return SimpleNamespace(above=0.0 if few else found.above, below=0.0 if few else found.below, clinicians=0)

    @cached_property
    def estimand_table(self) -> pd.DataFrame | None:
        shown = self.__plan.groups
        table = self.__whole.estimand_table if shown.any() else None
        if table is None:
            return None
        return self._grouped(table, "group", shown, self.__plan.group_units)

    @cached_property
    def forecast_table(self) -> pd.DataFrame | None:
        shown = self.__plan.forecast
        table = self.__whole.forecast_table if shown.any() else None
        if table is None:
            return None
        table = self._grouped(table, "group", shown, self.__plan.forecast_units, rows=len(table) // len(shown))
        # the other times are dates at which somebody's spell begins or ends
        begin, end = table["time"].min(), table["time"].max()
        grid = np.linspace(begin, end, FORECAST_CELLS + 1)
        on_grid = np.abs(table["time"].to_numpy()[:, None] - grid).min(axis=1) < 1e-6 * (end - begin)
        return table[on_grid].reset_index(drop=True)

    @cached_property
    def designs(self) -> list[dict]:
        """The study design of each programme: its title, and the sequences of enough clinicians."""
        n, out = len(self.__whole.clinician_names), []
        for d in self.__whole.designs:
            kept = [d["sequences"][place] for place in self.__plan.sequences[d["intervention"]]]
            kept = [s | {"units": s["units"] if self.__plan.tell_number else None} for s in kept]
            out.append({
                "intervention": d["intervention"], "design": d["design"], "title": d["title"], "stated": d["stated"],
                "sequences": kept, "since_first_survey": d["since_first_survey"],
                "left_out": n - sum(s["clinicians"] for s in kept),
            })  # fmt: skip
        return out

    @cached_property
    def posterior(self) -> xr.Dataset:
        """Names of what effects vary with, and the number of periods: no draws."""
        whole, kept = self.__whole.posterior, {}
        for dim in ("moderation", "intervention_by_unit", "intervention_by_clinician"):
            if dim in whole.sizes:
                labels = whole[dim].to_numpy().astype(str).tolist()
                kept[dim] = [label for label in labels if dim != "moderation" or self._covariates_are_safe(label)]
        if "period" in whole.sizes:
            kept["period"] = range(whole.sizes["period"])
        return xr.Dataset(coords={dim: labels for dim, labels in kept.items() if len(labels)})

    @cached_property
    def priors(self) -> list[str]:
        """Priors in force, one line for each parameter of the model."""
        drawn = self.__whole.posterior
        return [f"{name} ~ {prior}   {MEANINGS[name]}" for name, prior in self.__whole.fit.priors.items() if name in drawn]

    @cached_property
    def sampling(self) -> dict:
        """How the draws were made, without the seed, with which somebody could try out guesses at the data."""
        made = self.__whole.facts["sampling"]
        return {name: made[name] for name in ("draws", "tune", "chains", "target_accept", "tries")} | {"thin": made.get("thin", 1)}

    @cached_property
    def versions(self) -> dict[str, str]:
        return self.__whole.facts["versions"]

    def verdicts(self, names) -> list[tuple[str, str]]:
        """Question and verdict of those checks that are named here and apply."""
        from ...inference.checks import assess

        found = assess(self.__whole.fit, self.prob, self.__whole.evidence, only=list(names))
        return [(check.title, check.verdict) for check in found.values()]

    def row(self, table: pd.DataFrame, **where) -> pd.Series:
        """As `Material.row`."""
        return self.__whole.row(table, **where)

    @property
    def summary(self) -> SimpleNamespace:
        """What the page says of itself: the smallest cell, and units left out (None where that may not be told)."""
        plan = self.__plan
        units = len(plan.units)
        left_out = plan.n_left_out if plan.tell_number and units > 1 else 0 if units == 1 else None
        return SimpleNamespace(smallest=plan.smallest, units=units, left_out=left_out, pseudonyms=self.__key is not None)
