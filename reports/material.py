"""What a report is made from: tables and arrays of a fit, worked out once for prose, tables and figures."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pandas as pd

from ..datasets.errors import UserError
from ..inference.checks import Check
from ..inference.checks.learnt import learnt
from ..inference.convergence import SAMPLE
from ..inference.options import ALL, NONE
from ..inference.tables import blocks_of
from .format import TimeAxis

# columns of the truth -> effects of `Fit.interventions`, and how one becomes the other
_EFFECTS = {
    "theta_alpha": ("ratio_alpha", np.exp),
    "theta_beta": ("ratio_beta", np.exp),
    "theta_omega": ("ratio_omega", np.exp),
    "capacity_change": ("capacity_change", lambda change: change),
}
# names under which the truth may state the population's quantities
_ALIASES = {"level": "capacity", "alpha_population": "alpha", "beta_population": "beta", "omega": "process_sd"}


class Material:
    """A fit as the report sees it.

    Parameters
    ----------
    fit : Fit
        Also one loaded without its study: only the tree and ``fit.facts`` are used.
    prob : float
        Probability of the intervals.
    truth : mapping of str to DataFrame, optional
        Of a simulated study: ``clinicians``, ``units``, ``effects``, ``population``.
    clinicians_shown : int
        Clinicians drawn one by one.
    decisions : mapping, optional
        Arguments of `Fit.decisions`, ``worthwhile`` among them; without them nothing is said on what to choose.
    estimands : mapping, optional
        Arguments of `Fit.estimands`; estimands in want of a horizon or threshold are left out without one.
    forecast : mapping, optional
        Arguments of `Fit.forecast`, which needs the study; without them no paths are drawn.
    evidence : mapping of str to dict, optional
        What commands have found by refitting, as for `inference.checks.assess`.
    statements : mapping of str to str, optional
        What the authors say for reporting checklists, by the keys of ``[report.statements]``.
    dataset : str, optional
        Name of a published study, whose paper is to be cited.
    """

    def __init__(
        self, fit, prob: float = 0.89, truth: Mapping[str, pd.DataFrame] | None = None, clinicians_shown: int = 9,
        decisions: Mapping | None = None, estimands: Mapping | None = None, forecast: Mapping | None = None,
        evidence: Mapping[str, dict] | None = None, statements: Mapping[str, str] | None = None, dataset: str | None = None,
    ):  # fmt: skip
        if not isinstance(prob, (int, float)) or isinstance(prob, bool) or not 0 < prob < 1:
            raise UserError(
                f"prob, the probability of the interval, must lie between 0 and 1 (such as 0.89); got {prob!r}."
            )
        if (
            not isinstance(clinicians_shown, (int, np.integer))
            or isinstance(clinicians_shown, bool)
            or clinicians_shown < 0
        ):
            raise UserError(f"clinicians_shown must be a whole number of at least 0; got {clinicians_shown!r}.")
        self.fit, self.prob, self.facts = fit, float(prob), fit.facts
        self.truth = dict(truth or {})
        self.clinicians_shown = int(clinicians_shown)
        self.decisions = {"points": "capacity", "costs": {}} | dict(decisions) if decisions else {}
        self.estimands, self.forecast = dict(estimands or {}), dict(forecast or {})
        self.evidence = dict(evidence or {})
        self.statements, self.dataset = dict(statements or {}), dataset
        self.posterior = fit.tree["posterior"].to_dataset()
        self.constant = fit.tree["constant_data"].to_dataset()
        self.description: dict = self.facts["study"]["description"]
        self.time = TimeAxis(self.facts["study"]["time_unit"], self.facts["study"]["origin"])
        self.time_unit: str = self.time.unit
        self.draws = self.posterior.sizes["chain"] * self.posterior.sizes["draw"]

    # who and what
    @cached_property
    def clinician_names(self) -> np.ndarray:
        return self.posterior["clinician"].to_numpy().astype(str)

    @cached_property
    def unit_names(self) -> np.ndarray:
        return self.constant["unit_name"].to_numpy().astype(str)

    @cached_property
    def clinician_unit(self) -> np.ndarray:
        return self.constant["clinician_unit"].to_numpy()

    @cached_property
    def interventions(self) -> list[str]:
        if "intervention" not in self.posterior.sizes:
            return []
        return self.posterior["intervention"].to_numpy().astype(str).tolist()

    @property
    def scores(self) -> dict[str, dict]:
        return self.facts["study"]["scores"]

    @cached_property
    def surveys(self) -> pd.DataFrame:
        """clinician (code), time, indicator (code), score (0-100, NaN where missing), one row a survey."""
        return pd.DataFrame(
            {
                "clinician": self.constant["survey_clinician"].to_numpy(),
                "time": self.constant["survey_time"].to_numpy().astype(float),
                "indicator": self.constant["survey_indicator"].to_numpy(),
                "score": self.fit.tree["observed_data"]["scores"].to_numpy().astype(float),
            }
        )

    @cached_property
    def spells(self) -> pd.DataFrame:
        """clinician (code), intervention (code), start, end, dose; cut to the clinician's own follow-up."""
        follow = self.surveys.groupby("clinician")["time"].agg(["min", "max"])
        frame = pd.DataFrame(
            {
                name: self.constant[f"spell_{name}"].to_numpy()
                for name in ("clinician", "intervention", "start", "end", "dose")
            }
        )
        own = follow.reindex(frame["clinician"].astype(int))
        frame["start"] = np.maximum(frame["start"], own["min"].to_numpy())
        frame["end"] = np.minimum(frame["end"], own["max"].to_numpy())
        return frame[frame["end"] > frame["start"]].reset_index(drop=True)

    # what was found
    @cached_property
    def population_table(self) -> pd.DataFrame:
        table = self.fit.population(self.prob)
        given = self.truth.get("population")
        if given is not None:
            values = given.set_index(given["quantity"].replace(_ALIASES))["value"]
            table["truth"] = table["quantity"].map(values[~values.index.duplicated()])
        return _without_empty_truth(table)

    @cached_property
    def unit_table(self) -> pd.DataFrame:
        return self._beside_truth(self.fit.units(self.prob), "units", "unit")

    @cached_property
    def clinician_table(self) -> pd.DataFrame:
        return self._beside_truth(self.fit.clinicians(self.prob), "clinicians", "clinician")

    @cached_property
    def intervention_table(self) -> pd.DataFrame:
        table = self.fit.interventions(self.prob)
        given = self.truth.get("effects")
        if given is None or table.empty:
            return table
        long = []
        for column, (effect, turn) in _EFFECTS.items():
            if column in given:
                values = turn(given[column].to_numpy(float))
                long += zip(given["intervention"].astype(str), [effect] * len(given), values, strict=True)
        if "capacity_change" in given:
            points = self.to_points(given["capacity_change"].to_numpy(float))
            long += zip(given["intervention"].astype(str), ["score_change"] * len(given), points, strict=True)
        return _without_empty_truth(
            table.merge(
                pd.DataFrame(long, columns=["intervention", "effect", "truth"]), "left", ["intervention", "effect"]
            )
        )

    def _beside_truth(self, table: pd.DataFrame, which: str, key: str) -> pd.DataFrame:
        given = self.truth.get(which)
        if given is None:
            return table
        quantities = [q for q in table["quantity"].unique() if q in given]
        if "beta" in given and "half_life" not in given:
            given, quantities = given.assign(half_life=np.log(2) / given["beta"]), [*quantities, "half_life"]
        long = given.assign(**{key: given[key].astype(str)}).melt(key, quantities, "quantity", "truth")
        return _without_empty_truth(table.merge(long.drop_duplicates([key, "quantity"]), "left", [key, "quantity"]))

    def to_points(self, change):
        """A change of capacity (0-100) in the first score's own points, with its own sign."""
        score = next(iter(self.scores.values()))
        low, high = score["range"]
        return np.asarray(change) * (high - low) / 100 * (1 if score["better"] == "higher" else -1)

    @cached_property
    def decision_table(self) -> pd.DataFrame | None:
        """`Fit.decisions`, where the smallest worthwhile change is stated."""
        return self.fit.decisions(prob=self.prob, **self.decisions) if self.decisions else None

    @cached_property
    def estimand_table(self) -> pd.DataFrame | None:
        """`Fit.estimands`, where there are programmes, with the truth of a simulated study where it is known."""
        if not self.interventions:
            return None
        table = self.fit.estimands(prob=self.prob, **self.estimands)
        given = self.truth.get("effects")
        if given is None:
            return table
        known = {name: (column, turn) for column, (name, turn) in _EFFECTS.items() if column in given}
        if "capacity_change" in given:
            known["score_change"] = ("capacity_change", self.to_points)
        given = given.set_index(given["intervention"].astype(str))
        mine = table["option"].isin(given.index) & (table["against"] == NONE) & (table["group"] == ALL)
        table["truth"] = [
            float(known[e][1](given.loc[option, known[e][0]])) if m and e in known else np.nan
            for option, e, m in zip(table["option"], table["estimand"], mine, strict=True)
        ]
        return _without_empty_truth(table)

    @cached_property
    def forecast_table(self) -> pd.DataFrame | None:
        """`Fit.forecast`, where one is asked for."""
        return self.fit.forecast(prob=self.prob, **self.forecast) if self.forecast else None

    @cached_property
    def checks(self) -> dict[str, Check]:
        """The checks of the fit by name."""
        return self.fit.checks(self.prob, evidence=self.evidence)

    @cached_property
    def learnt(self) -> pd.DataFrame:
        """Prior against posterior; see `inference.checks.learnt`."""
        return learnt(self.fit, self.prob)

    @property
    def designs(self) -> list[dict]:
        """The study design of each intervention; see `study_designs`."""
        return self.facts["study"]["designs"]

    @cached_property
    def lever_table(self) -> pd.DataFrame:
        """`Fit.lever` of every intervention with two levers."""
        return self.fit.lever(self.prob)

    def samples(self, name: str, **where) -> np.ndarray:
        """All draws of a quantity, chains joined: (draws, ...)."""
        values = self.posterior[name]
        values = values.sel(where) if where else values
        values = values.transpose(*SAMPLE, ...).to_numpy()
        return values.reshape(-1, *values.shape[2:])

    @cached_property
    def outside(self) -> SimpleNamespace:
        """Shares of C* draws above 100 and below 0, over all clinicians, and clinicians with over 5 % of such draws."""
        above, below, clinicians = 0.0, 0.0, 0
        capacity = self.posterior["capacity"]
        for members in blocks_of(self.posterior, "clinician"):
            values = capacity.isel(clinician=members).to_numpy()
            over, under = values > 100, values < 0
            above, below = above + over.sum(), below + under.sum()
            clinicians += int(((over | under).mean(axis=(capacity.get_axis_num(SAMPLE))) > 0.05).sum())
        return SimpleNamespace(above=float(above / capacity.size), below=float(below / capacity.size), clinicians=clinicians)

    @cached_property
    def diagnostics(self) -> pd.DataFrame:
        return self.fit.diagnostics

    @cached_property
    def shown(self) -> np.ndarray:
        """Codes of the clinicians drawn one by one: evenly spread over the ranks of C*, answering often if possible."""
        answers = self.surveys["score"].notna().groupby(self.surveys["clinician"]).sum()
        answers = answers.reindex(range(len(self.clinician_names)), fill_value=0).to_numpy()
        ranked = np.argsort(self.median_capacity, kind="stable")
        if self.fit.panel is not self.fit:  # those whose paths were kept
            ranked = ranked[np.isin(ranked, self.fit.panel.members)]
        often = ranked[answers[ranked] >= max(2, np.median(answers) / 2)]
        candidates = often if len(often) >= self.clinicians_shown else ranked
        places = np.linspace(0, len(candidates) - 1, min(self.clinicians_shown, len(candidates))).round().astype(int)
        return candidates[places]

    @cached_property
    def median_capacity(self) -> np.ndarray:
        """Posterior median of each clinician's C*."""
        table = self.clinician_table
        return table.loc[table["quantity"] == "capacity", "median"].to_numpy()

    @cached_property
    def trajectories(self) -> pd.DataFrame:
        """Latent capacity over time: clinician (code), time, median, low, high; surveys and grid together, in order.

        Of a large study only of the clinicians whose paths were kept.
        """
        latent = self.fit.tree["latent_capacity"].to_dataset()
        surveys = self.surveys.iloc[latent["survey"].to_numpy()]
        path = np.concatenate([_flat(latent["at_survey"]), _flat(latent["on_grid"])], axis=1)
        frame = pd.DataFrame(
            {
                "clinician": np.concatenate([surveys["clinician"], latent["grid_clinician"].to_numpy()]).astype(
                    int
                ),
                "time": np.concatenate([surveys["time"], latent["grid_time"].to_numpy()]),
            }
        )
        tail = (1 - self.prob) / 2
        # one sort of each column serves all three quantiles
        frame["low"], frame["median"], frame["high"] = np.quantile(path, [tail, 0.5, 1 - tail], axis=0)
        ordered = frame.sort_values(["clinician", "time"], kind="stable")
        return ordered.drop_duplicates(["clinician", "time"], ignore_index=True)

    @cached_property
    def never_together(self) -> list[tuple[str, str]]:
        """Pairs of programmes that no clinician had at the same time."""
        spells, pairs = self.spells, []
        for a, b in combinations(range(len(self.interventions)), 2):
            one, two = (spells[spells["intervention"] == k] for k in (a, b))
            both = one.merge(two, on="clinician")
            if not ((both["start_x"] < both["end_y"]) & (both["start_y"] < both["end_x"])).any():
                pairs.append((self.interventions[a], self.interventions[b]))
        return pairs

    def row(self, table: pd.DataFrame, **where) -> pd.Series:
        """The one row of a table with these values."""
        for column, value in where.items():
            table = table[table[column] == value]
        return table.iloc[0]


def _flat(values) -> np.ndarray:
    values = values.transpose(*SAMPLE, ...).to_numpy()
    return values.reshape(values.shape[0] * values.shape[1], values.shape[2])


def _without_empty_truth(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns="truth") if "truth" in table and table["truth"].isna().all() else table
