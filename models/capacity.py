"""The description of a model: what is believed about replenishment and depletion, without any data."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..datasets.errors import UserError, nearest
from .course import Course
from .priors import Prior, check_priors

LEVERS = ("both", "replenishment", "depletion")
STARTS = ("displaced", "stationary", "free")
SPREADS = ("free", "shared_omega", "shared_sigma")
LEVELS = ("integrated", "sampled")
MOST_PERIODS = 6


@dataclass(frozen=True, kw_only=True)
class CapacityModel:
    """Capacity for compassion as an Ornstein-Uhlenbeck process, dC = (alpha - beta C) dt + sigma dW.

    A description only: it holds no data and samples nothing. `build` turns it and a study into a ``pymc.Model``.

    Parameters
    ----------
    replenishment, depletion : str
        Right-hand sides of R-style formulas for log alpha and log beta, such as ``"sleep + workload"``. Covariates are
        centred and scaled; interventions enter by themselves and do not belong here.
    interventions : {"both", "replenishment", "depletion"} or mapping
        The levers on which interventions act; a mapping sets it by intervention, the rest act on both.
    exposures : mapping
        How spells of an intervention turn into exposure over time, by intervention: a name in `SHAPES` (``"step"``,
        ``"ramp"``, ``"fade"``, ...), a list of them, or ``{"shape": "ramp", "fixed": {"onset": 2.0}}``. Parameters
        that are not fixed are estimated. Default: "pulse", exposure while the spell runs.
    start : {"displaced", "stationary", "free"}
        Capacity at the first survey: near the clinician's own level with a common displacement; in the stationary
        distribution; or free of the level.
    spread : {"free", "shared_omega", "shared_sigma"}
        Stationary spread omega by clinician and intervention (the default), or one omega, or one sigma for all. With
        sigma shared, beta turns into a variance parameter: it is there to be compared, not to be trusted.
    level : {"integrated", "sampled"}
        Whether each clinician's level is integrated out exactly (normal) or sampled (lognormal).
    randomised : bool
        Whether exposure was randomised, so that no adjustment for selection is needed.
    selection : bool, optional
        Let a clinician's mean exposure enter the level (Mundlak 1978). Default: unless randomised.
    periods : int, optional
        Number of calendar periods with an effect of their own on the level; 0 for none. Default: 2 to 6 where an
        intervention is rolled out at different dates, none elsewhere.
    split_covariates : bool
        Split covariates that vary in time into the person's mean and the deviation from it.
    priors : mapping
        Prior by parameter name, in place of the default: ``{"half_life": {"median": 8, "factor": 2}}``.

    Raises
    ------
    UserError
        For an unknown option or prior, with the nearest valid name.

    Examples
    --------
    >>> model = CapacityModel(replenishment="sleep", depletion="workload")
    >>> CapacityModel.from_dict(model.to_dict()) == model
    True
    """

    replenishment: str = ""
    depletion: str = ""
    interventions: str | Mapping[str, str] = "both"
    exposures: Mapping[str, Course] = field(default_factory=dict)
    start: str = "displaced"
    spread: str = "free"
    level: str = "integrated"
    randomised: bool = False
    selection: bool | None = None
    periods: int | None = None
    split_covariates: bool = True
    priors: Mapping[str, Prior] = field(default_factory=dict)

    def __post_init__(self):
        for name, allowed in (("start", STARTS), ("spread", SPREADS), ("level", LEVELS)):
            _one_of(name, getattr(self, name), allowed)
        if isinstance(self.interventions, Mapping):
            for name, lever in self.interventions.items():
                _one_of(f"interventions[{name!r}]", lever, LEVERS)
            object.__setattr__(self, "interventions", dict(self.interventions))
        else:
            _one_of("interventions", self.interventions, LEVERS)
        if not isinstance(self.exposures, Mapping):
            raise UserError(f"exposures must map interventions to shapes, such as {{'course': 'ramp'}}; got {self.exposures!r}.")
        courses = {name: Course.of(given, f"exposures[{name!r}]") for name, given in self.exposures.items()}
        object.__setattr__(self, "exposures", {name: c for name, c in courses.items() if c != Course()})
        for name in ("replenishment", "depletion"):
            if not isinstance(getattr(self, name), str):
                raise UserError(
                    f"{name} must be the text of a formula, such as 'sleep + workload'; got {getattr(self, name)!r}."
                )
        for name, kinds in (("randomised", (bool,)), ("selection", (bool, type(None))), ("split_covariates", (bool,))):
            if not isinstance(getattr(self, name), kinds):
                raise UserError(f"{name} must be true or false; got {getattr(self, name)!r}.")
        if self.periods is not None and (
            not isinstance(self.periods, int) or isinstance(self.periods, bool) or self.periods < 0 or self.periods > 50
        ):
            raise UserError(f"periods must be a whole number from 0 to 50; got {self.periods!r}.")
        object.__setattr__(self, "priors", check_priors(self.priors))

    def __hash__(self):
        return hash(json.dumps(self.to_dict(), sort_keys=True))

    def to_dict(self) -> dict:
        """Plain values, ready for JSON."""
        plain = {
            name: getattr(self, name)
            for name in (
                "replenishment", "depletion", "interventions", "start", "spread", "level", "randomised", "selection",
                "periods", "split_covariates",
            )
        }  # fmt: skip
        return plain | {
            "exposures": {name: course.to_dict() for name, course in sorted(self.exposures.items())},
            "priors": {name: prior.to_dict() for name, prior in sorted(self.priors.items())},
        }

    @classmethod
    def from_dict(cls, given: Mapping) -> CapacityModel:
        known = cls.__dataclass_fields__
        for name in given:
            if name not in known:
                raise UserError(f"a model has no option {name!r}.{nearest(name, known)} Known: {', '.join(known)}.")
        return cls(**given)

    @property
    def adjust_selection(self) -> bool:
        return not self.randomised if self.selection is None else self.selection

    def levers(self, interventions) -> tuple[np.ndarray, np.ndarray]:
        """Whether each intervention acts on alpha, and on beta (bool arrays)."""
        chosen = self.interventions
        if isinstance(chosen, Mapping):
            _known(chosen, interventions)
            lever = [chosen.get(name, "both") for name in interventions]
        else:
            lever = [chosen] * len(interventions)
        return (
            np.array([v in ("both", "replenishment") for v in lever], bool),
            np.array([v in ("both", "depletion") for v in lever], bool),
        )

    def courses(self, interventions) -> tuple[Course, ...]:
        """The course of exposure to each intervention."""
        _known(self.exposures, interventions)
        return tuple(self.exposures.get(name, Course()) for name in interventions)

    def resolve_periods(self, study, staggered) -> int:
        """Number of calendar periods: as stated, or what a staggered roll-out asks for."""
        if self.periods is not None:
            return self.periods
        if not staggered:
            return 0
        starts = study.spells.loc[study.spells["intervention"].isin(staggered), "start"].nunique()
        return int(np.clip(starts + 1, 2, MOST_PERIODS))

    def cautions(self, study) -> list[str]:
        """Sentences on adjustments that were switched off against the design."""
        from .exposure import mean_exposures, staggered_roll_outs

        found = []
        exposure = mean_exposures(study)
        if self.selection is False and not self.randomised and (exposure.std(axis=0) > 0.01).any():
            found.append(
                "Selection is not adjusted for (selection = false) although the study is not said to be randomised: "
                "a difference between those who took a programme and those who did not counts as its effect."
            )
        if self.periods is not None and self.periods < 2:
            names = [study.interventions[k] for k in staggered_roll_outs(study)]
            if names:
                found.append(
                    f"No period effect (periods = {self.periods}) although {' and '.join(names)} "
                    "started at different dates: a drift over calendar time counts as the effect of the programme."
                )
        return found

    def build(self, study):
        """The model of a study as a plain ``pymc.Model`` with named coords.

        Raises
        ------
        UserError
            For formulas, interventions or priors that do not fit the study.
        """
        from .builder import build_model

        for caution in self.cautions(study):
            warnings.warn(caution, UserWarning, stacklevel=2)
        return build_model(self, study)

    def equations(self, study=None) -> str:
        """The model with its priors as text; with a study, its own names and design-informed priors."""
        from .equations import write_equations

        return write_equations(self, study)


def _known(names, interventions) -> None:
    for name in names:
        if name not in interventions:
            known = ", ".join(interventions) or "none"
            raise UserError(f"the study has no intervention {name!r}.{nearest(name, interventions)} It has: {known}.")


def _one_of(name, value, allowed):
    if value not in allowed:
        raise UserError(f"{name} must be one of {', '.join(allowed)}; got {value!r}.{nearest(str(value), allowed)}")
