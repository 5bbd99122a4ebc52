"""The description of a model: what is believed about replenishment and depletion, without any data."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..datasets.errors import UserError, known_interventions, nearest
from .course import Course
from .levers import LAYERS
from .moderation import LEAST_CLINICIANS, LEAST_UNITS, VARYING
from .priors import Prior, check_priors
from .secular import KINDS, MOST_PERIODS
from .study_designs import DESIGNS, recognise

LEVERS = ("both", "replenishment", "depletion")
STARTS = ("displaced", "stationary", "free")
SPREADS = ("free", "shared_omega", "shared_sigma")
LEVELS = ("integrated", "sampled")
LEFT_OUT = ("none", "trait", "error")
FREE_PERIODS = 4  # free periods where no roll-out sets their number


@dataclass(frozen=True, kw_only=True)
class CapacityModel:
    """Capacity for compassion as an Ornstein-Uhlenbeck process, dC = (alpha - beta C) dt + sigma dW.

    A description only: it holds no data and samples nothing. `build` turns it and a study into a ``pymc.Model``.

    Parameters
    ----------
    replenishment, depletion : str
        Right-hand sides of R-style formulas for log alpha and log beta, such as ``"sleep + workload"``. Covariates are
        centred and scaled; interventions enter by themselves, and here only in products with what their effect on that
        lever depends on: ``"sleep + mindfulness * baseline_stress"``.
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
    left_out : {"none", "trait", "error"}
        Leave out the differences between clinicians' levels, or the measurement error beyond rounding. Both move beta
        many-fold on real panels: it is there to show how far, not to be trusted.
    design : str or mapping
        The study design (a name in `study_designs.DESIGNS`: ``"parallel_trial"``, ``"stepped_wedge"``, ...), for all
        interventions or by intervention. Default: recognised from the spells and units. It brings secular time, the
        comparison and its warnings; one that the spells contradict is an error.
    randomised : bool, optional
        Whether exposure was randomised, so that no adjustment for selection is needed. Default: where a stated design
        is a randomised trial.
    selection : bool, optional
        Let a clinician's mean exposure enter the level (Mundlak 1978). Default: unless randomised.
    secular : {"none", "linear", "spline", "periods"}, optional
        What calendar time does to everyone's level. Default: what the design brings, such as free periods for a stepped
        wedge and a line for a trial with a control group.
    secular_lever : {"replenishment", "depletion"}
        The lever by which calendar time moves the level.
    periods : int, optional
        Number of free calendar periods; 0 for no secular time. Default: 2 to 6, by the dates of the roll-out.
    varying : {"none", "unit", "clinician", "both"}, optional
        Whether effects on log C* differ between units, or clinicians, around their average, with shrinkage. Default: by
        unit in a stepped wedge of 8 units or more, by clinician in N-of-1 trials of 10 clinicians or more; elsewhere
        the design cannot tell it from other differences, and effects do not vary.
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
    left_out: str = "none"
    design: str | Mapping[str, str] = ""
    randomised: bool | None = None
    selection: bool | None = None
    secular: str | None = None
    secular_lever: str = "replenishment"
    periods: int | None = None
    varying: str | None = None
    split_covariates: bool = True
    priors: Mapping[str, Prior] = field(default_factory=dict)

    def __post_init__(self):
        options = {"start": STARTS, "spread": SPREADS, "level": LEVELS, "left_out": LEFT_OUT, "secular_lever": LEVERS[1:]}
        options |= {name: allowed for name, allowed in (("secular", KINDS), ("varying", VARYING)) if getattr(self, name) is not None}
        for name, allowed in options.items():
            _one_of(name, getattr(self, name), allowed)
        if isinstance(self.design, Mapping):
            object.__setattr__(self, "design", dict(self.design))
        for name in self._stated_designs():
            _one_of("design", name, tuple(DESIGNS))
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
        optional = (bool, type(None))
        for name, kinds in (("randomised", optional), ("selection", optional), ("split_covariates", (bool,))):
            if not isinstance(getattr(self, name), kinds):
                raise UserError(f"{name} must be true or false; got {getattr(self, name)!r}.")
        if self.periods is not None and (
            not isinstance(self.periods, int) or isinstance(self.periods, bool) or self.periods < 0 or self.periods > 50
        ):
            raise UserError(f"periods must be a whole number from 0 to 50; got {self.periods!r}.")
        if self.periods is not None and self.secular not in (None, "periods" if self.periods > 1 else "none"):
            raise UserError(f'periods = {self.periods} does not go with secular = "{self.secular}"; state one of them.')
        if self.left_out == "trait" and self.level == "sampled":
            raise UserError('left_out = "trait" leaves no level to sample; state level = "integrated".')
        trials = [d for d in self._stated_designs() if DESIGNS[d].randomised]
        if self.randomised is False and trials:
            raise UserError(f"design = {trials[0]!r} says that exposure was randomised, and randomised = false that it was not.")
        if self.randomised and "controlled_pre_post" in self._stated_designs():
            raise UserError(
                'design = "controlled_pre_post" says that exposure was not randomised, and randomised = true that it was; '
                'state "parallel_trial" or "cluster_trial".'
            )
        object.__setattr__(self, "priors", check_priors(self.priors))

    def __hash__(self):
        return hash(json.dumps(self.to_dict(), sort_keys=True))

    def to_dict(self) -> dict:
        """Plain values, ready for JSON."""
        plain = {
            name: getattr(self, name)
            for name in (
                "replenishment", "depletion", "interventions", "design", "start", "spread", "level", "left_out", "randomised",
                "selection", "secular", "secular_lever", "periods", "varying", "split_covariates",
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

    def _stated_designs(self) -> list[str]:
        return list(self.design.values()) if isinstance(self.design, dict) else [self.design] if self.design else []

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers of spread that share the total variance."""
        return tuple(layer for layer in LAYERS if layer != self.left_out)

    @property
    def is_randomised(self) -> bool:
        """Whether exposure was randomised: as stated, or as the stated designs of all interventions say."""
        if self.randomised is not None:
            return self.randomised
        stated = self._stated_designs()
        return bool(stated) and all(DESIGNS[d].randomised for d in stated)

    @property
    def adjust_selection(self) -> bool:
        return not self.is_randomised if self.selection is None else self.selection

    def study_designs(self, study) -> dict:
        """The study design of each intervention, recognised from its spells or as stated.

        Raises
        ------
        UserError
            If the spells contradict a stated design.
        """
        if isinstance(self.design, dict):
            known_interventions(self.design, study.interventions)
            stated = self.design
        else:
            stated = dict.fromkeys(study.interventions, self.design) if self.design else {}
        endless = [n for n, c in self.exposures.items() if any(s.endless for s in c.chain)]
        return recognise(study, self.is_randomised, stated, endless)

    def levers(self, interventions) -> tuple[np.ndarray, np.ndarray]:
        """Whether each intervention acts on alpha, and on beta (bool arrays)."""
        chosen = self.interventions
        if isinstance(chosen, Mapping):
            known_interventions(chosen, interventions)
            lever = [chosen.get(name, "both") for name in interventions]
        else:
            lever = [chosen] * len(interventions)
        return (
            np.array([v in ("both", "replenishment") for v in lever], bool),
            np.array([v in ("both", "depletion") for v in lever], bool),
        )

    def courses(self, interventions) -> tuple[Course, ...]:
        """The course of exposure to each intervention."""
        known_interventions(self.exposures, interventions)
        return tuple(self.exposures.get(name, Course()) for name in interventions)

    def resolve_secular(self, study, recognised) -> tuple[str, int]:
        """Secular time and its number of free periods: as stated, or as the designs ask for."""
        kind = self.secular or max((r.secular for r in recognised.values()), key=KINDS.index, default="none")
        if self.periods is not None:
            kind = "periods" if self.periods > 1 else "none"
        dates = max((len(r.pattern.starts) for r in recognised.values() if r.secular == "periods"), default=0)
        return kind, self.periods or (min(dates + 1, MOST_PERIODS) if dates else FREE_PERIODS)

    def resolve_varying(self, study, recognised) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Interventions whose effects vary by unit and by clinician: as stated, or where the design can tell."""
        names = list(study.interventions)
        if self.varying is not None:
            if self.varying in ("unit", "both") and names and study.n_units < 2:
                raise UserError(f'varying = "{self.varying}": the study has one unit only.')
            if self.varying in ("clinician", "both") and names and study.n_clinicians < 2:
                raise UserError(f'varying = "{self.varying}": the study has one clinician only.')
            every = tuple(range(len(names)))
            return (
                every if self.varying in ("unit", "both") else (),
                every if self.varying in ("clinician", "both") else (),
            )
        by_unit, by_clinician = [], []
        for k, found in enumerate(recognised.values()):
            exposed, design = found.pattern.exposed, found.design and found.design.name
            if design == "stepped_wedge" and np.unique(study.unit_code[exposed]).size >= LEAST_UNITS:
                by_unit.append(k)
            if design == "n_of_1" and exposed.sum() >= LEAST_CLINICIANS:
                by_clinician.append(k)
        return tuple(by_unit), tuple(by_clinician)

    def cautions(self, study) -> list[str]:
        """Sentences on what the study shows and this model, as it is set, leaves out."""
        from .cautions import cautions

        return cautions(self, study)

    def build(self, study, threaded: bool = False):
        """The model of a study as a plain ``pymc.Model`` with named coords.

        Parameters
        ----------
        study : Study
        threaded : bool
            Whether the likelihood can be shared out over threads, as many as the model's data ``threads`` say (1 as built).
            The numbers are the same; worth it for large studies where there are more cores than chains.

        Raises
        ------
        UserError
            For formulas, interventions or priors that do not fit the study.
        """
        from .builder import build_model

        for caution in self.cautions(study):
            warnings.warn(caution, UserWarning, stacklevel=2)
        return build_model(self, study, threaded)

    def equations(self, study=None) -> str:
        """The model with its priors as text; with a study, its own names and design-informed priors."""
        from .equations import write_equations

        return write_equations(self, study)


def _one_of(name, value, allowed):
    if value not in allowed:
        raise UserError(f"{name} must be one of {', '.join(allowed)}; got {value!r}.{nearest(str(value), allowed)}")
