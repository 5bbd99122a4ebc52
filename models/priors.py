"""Prior distributions by the words analysts use (median and factor, mean and sd), and the defaults of each parameter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..datasets.errors import UserError, is_number, nearest
from .shapes import SHAPES, shape_parameters

# family -> (its arguments, the parameters it can describe)
FAMILIES = {
    "normal": (("mean", "sd"), "real"),
    "student_t": (("mean", "scale", "df"), "real"),
    "lognormal": (("median", "factor"), "positive"),
    "gamma": (("mean", "sd"), "positive"),
    "half_normal": (("sd",), "positive"),
    "beta": (("a", "b"), "share"),
    "dirichlet": (("concentration",), "shares"),
}


@dataclass(frozen=True)
class Prior:
    """A prior distribution.

    Parameters
    ----------
    family : str
        ``normal`` (mean, sd), ``student_t`` (mean, scale, df), ``lognormal`` (median, factor = exp of the SD of the
        log), ``gamma`` (mean, sd), ``half_normal`` (sd), ``beta`` (a, b) or ``dirichlet`` (concentration).
    arguments : tuple of (str, float) pairs
        Use `Prior.of` or `Prior.from_dict` rather than writing these out.

    Examples
    --------
    >>> print(Prior.of("lognormal", median=2, factor=3))
    LogNormal(median 2, factor 3)
    >>> Prior.from_dict({"mean": 0, "sd": 0.1}) == Prior.of("normal", mean=0, sd=0.1)
    True
    """

    family: str
    arguments: tuple[tuple[str, float | tuple[float, ...]], ...]

    @classmethod
    def of(cls, family: str, **arguments) -> Prior:
        """Build and validate a prior; raises `UserError` for unknown families or arguments."""
        if family not in FAMILIES:
            raise UserError(
                f"unknown prior family {family!r}.{nearest(family, FAMILIES)} Known: {', '.join(FAMILIES)}."
            )
        names, _ = FAMILIES[family]
        if set(names) != set(arguments):
            raise UserError(f"a {family} prior needs {' and '.join(names)}; got {', '.join(arguments) or 'nothing'}.")
        clean = []
        for name in names:
            value = arguments[name]
            if name == "concentration":
                if not isinstance(value, (list, tuple)) or not all(is_number(v) and v > 0 for v in value):
                    raise UserError(f"{name} must be a list of positive numbers; got {value!r}.")
                clean.append((name, tuple(float(v) for v in value)))
                continue
            if not is_number(value):
                raise UserError(f"{name} of a {family} prior must be a finite number; got {value!r}.")
            if name == "factor" and value <= 1:
                raise UserError(
                    f"factor of a lognormal prior must be above 1 (3 means 'times or divided by 3'); got {value}."
                )
            if (name not in ("mean", "factor") or family == "gamma") and value <= 0:
                raise UserError(f"{name} of a {family} prior must be positive; got {value}.")
            clean.append((name, float(value)))
        return cls(family, tuple(clean))

    @classmethod
    def from_dict(cls, given: Mapping) -> Prior:
        """From a table such as ``{median = 2, factor = 3}``; the family is told by the keys or by ``family``."""
        if not isinstance(given, Mapping):
            raise UserError(f"a prior is a table such as {{ median = 2.0, factor = 3.0 }}; got {given!r}.")
        arguments = {key: value for key, value in given.items() if key != "family"}
        if "family" in given:
            return cls.of(given["family"], **arguments)
        for family, (names, _) in FAMILIES.items():
            if set(names) == set(arguments):
                return cls.of(family, **arguments)
        shapes = "; ".join(f"{family}: {', '.join(names)}" for family, (names, _) in FAMILIES.items())
        raise UserError(f"no prior has the arguments {', '.join(map(str, arguments)) or '(none)'}. Known: {shapes}.")

    def to_dict(self) -> dict:
        return {"family": self.family} | {k: list(v) if isinstance(v, tuple) else v for k, v in self.arguments}

    def __getattr__(self, name):
        for key, value in object.__getattribute__(self, "arguments"):
            if key == name:
                return value
        raise AttributeError(name)

    @property
    def support(self) -> str:
        return FAMILIES[self.family][1]

    def draw(self, rng: np.random.Generator, size: tuple[int, ...] = ()) -> np.ndarray:
        """Independent draws, of shape ``size`` (a Dirichlet adds its own last axis)."""
        match self.family:
            case "normal":
                return rng.normal(self.mean, self.sd, size)
            case "student_t":
                return self.mean + self.scale * rng.standard_t(self.df, size)
            case "lognormal":
                return self.median * np.exp(math.log(self.factor) * rng.standard_normal(size))
            case "gamma":
                return rng.gamma((self.mean / self.sd) ** 2, self.sd**2 / self.mean, size)
            case "half_normal":
                return np.abs(rng.normal(0, self.sd, size))
            case "beta":
                return rng.beta(self.a, self.b, size)
            case _:
                return rng.dirichlet(self.concentration, size)

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Log density at ``x`` (over the last axis for a Dirichlet)."""
        from scipy import stats

        match self.family:
            case "normal":
                return stats.norm.logpdf(x, self.mean, self.sd)
            case "student_t":
                return stats.t.logpdf(x, self.df, self.mean, self.scale)
            case "lognormal":
                return stats.lognorm.logpdf(x, math.log(self.factor), scale=self.median)
            case "gamma":
                return stats.gamma.logpdf(x, (self.mean / self.sd) ** 2, scale=self.sd**2 / self.mean)
            case "half_normal":
                return stats.halfnorm.logpdf(x, scale=self.sd)
            case "beta":
                return stats.beta.logpdf(x, self.a, self.b)
            case _:
                a = np.array(self.concentration)
                constant = math.lgamma(a.sum()) - sum(math.lgamma(v) for v in a)
                return constant + ((a - 1) * np.log(x)).sum(axis=-1)

    def variable(self, name: str, dims: tuple[str, ...] = ()):
        """The PyMC variable, inside a model context."""
        import pymc as pm

        dims = dims or None
        match self.family:
            case "normal":
                return pm.Normal(name, self.mean, self.sd, dims=dims)
            case "student_t":
                return pm.StudentT(name, nu=self.df, mu=self.mean, sigma=self.scale, dims=dims)
            case "lognormal":
                return pm.LogNormal(name, math.log(self.median), math.log(self.factor), dims=dims)
            case "gamma":
                return pm.Gamma(name, mu=self.mean, sigma=self.sd, dims=dims)
            case "half_normal":
                return pm.HalfNormal(name, self.sd, dims=dims)
            case "beta":
                return pm.Beta(name, self.a, self.b, dims=dims)
            case _:
                return pm.Dirichlet(name, np.array(self.concentration), dims=dims)

    def __str__(self) -> str:
        title = {"lognormal": "LogNormal", "half_normal": "HalfNormal", "student_t": "StudentT"}
        name = title.get(self.family, self.family.capitalize())
        if self.family == "dirichlet":
            return f"{name}({', '.join(f'{v:g}' for v in self.concentration)})"
        return f"{name}({', '.join(f'{k} {v:.3g}' for k, v in self.arguments)})"


# What each prior is on, in the words of the report. Units: C in points of 0-100, time in the study's unit.
MEANINGS = {
    "level": "steady state C* of the median clinician, interventions off (0-100)",
    "half_life": "half-life of a disturbance for the median clinician (time units)",
    "total_sd": "total standard deviation of scores (0-100)",
    "variance_shares": "shares of trait, process and measurement error in the total variance",
    "rate_sd": "standard deviation of log beta between clinicians",
    "spread_sd": "standard deviation of log omega between clinicians",
    "level_rate_concordance": "(1 + correlation of a clinician's level and log beta)/2",
    "unit_level_sd": "standard deviation of log C* between units",
    "unit_rate_sd": "standard deviation of log beta between units",
    "start_shift": "mean distance from the steady state at the first survey (0-100)",
    "start_sd_ratio": "spread around it, relative to omega",
    "start_mean": "mean capacity at the first survey (0-100)",
    "start_sd": "its standard deviation (0-100)",
    "level_change": "change of log C* by an intervention (log ratio on alpha minus on beta)",
    "speed_up": "common change of log alpha and log beta by an intervention",
    "spread_change": "change of log omega by an intervention",
    "covariate_level": "change of log C* by one standard deviation of a covariate",
    "covariate_speed": "common change of log alpha and log beta by one standard deviation of a covariate",
    "selection": "difference of log C* between clinicians always and never exposed (selection)",
    "moderation_level": "change of an intervention's effect on log C* by one standard deviation of a covariate",
    "moderation_speed": "common change of its effects on log alpha and log beta by one standard deviation of a covariate",
    "effect_unit_sd": "standard deviation between units of an intervention's effect on log C*",
    "effect_clinician_sd": "standard deviation between clinicians of an intervention's effect on log C*",
    "period_effect": "deviation of log C* in a calendar period from the average over periods (centred as it enters)",
    "drift": "change of log C* along a line from the first to the last survey of the study",
    "knot_effect": "deviation of log C* at a knot of the spline over calendar time (centred as it enters)",
    "intercept": "intercept of a further score (0-100)",
    "loading": "loading of a further score on capacity",
    "error_sd": "error standard deviation of a further score, beyond rounding (0-100)",
}

# ... and those of exposure shapes
MEANINGS |= shape_parameters()

DEFAULTS = {
    "level": Prior.of("lognormal", median=50, factor=1.65),
    "total_sd": Prior.of("lognormal", median=18, factor=1.65),
    "variance_shares": Prior.of("dirichlet", concentration=(2, 2, 2)),
    "rate_sd": Prior.of("half_normal", sd=0.35),
    "spread_sd": Prior.of("half_normal", sd=0.35),
    "level_rate_concordance": Prior.of("beta", a=8, b=8),
    "unit_level_sd": Prior.of("half_normal", sd=0.1),
    "unit_rate_sd": Prior.of("half_normal", sd=0.1),
    "start_shift": Prior.of("normal", mean=0, sd=5),
    "start_sd_ratio": Prior.of("lognormal", median=1, factor=math.exp(0.3)),
    "start_mean": Prior.of("normal", mean=50, sd=25),
    "start_sd": Prior.of("lognormal", median=18, factor=1.65),
    "level_change": Prior.of("normal", mean=0, sd=0.15),
    "speed_up": Prior.of("normal", mean=0, sd=0.35),
    "spread_change": Prior.of("normal", mean=0, sd=0.2),
    "covariate_level": Prior.of("normal", mean=0, sd=0.15),
    "covariate_speed": Prior.of("normal", mean=0, sd=0.35),
    # wide: where it is shrunk, what it should take up (who chose to be exposed) leaks back into the effect
    "selection": Prior.of("normal", mean=0, sd=0.5),
    "moderation_level": Prior.of("normal", mean=0, sd=0.1),
    "moderation_speed": Prior.of("normal", mean=0, sd=0.2),
    "effect_unit_sd": Prior.of("half_normal", sd=0.1),
    "effect_clinician_sd": Prior.of("half_normal", sd=0.1),
    "period_effect": Prior.of("normal", mean=0, sd=0.1),
    "drift": Prior.of("normal", mean=0, sd=0.15),
    "knot_effect": Prior.of("normal", mean=0, sd=0.1),
    "intercept": Prior.of("normal", mean=0, sd=15),
    "loading": Prior.of("lognormal", median=1, factor=1.35),
    "error_sd": Prior.of("lognormal", median=10, factor=2),
}
DEFAULTS |= {name: Prior.from_dict(given) for shape in SHAPES.values() for name, given in shape.priors.items()}


def half_life_prior(study) -> Prior:
    """The default prior of the half-life: what a design with this spacing and length can see.

    Lognormal, centred at the geometric mean of the median gap and the median follow-up, with
    factor max(3, sqrt(follow-up / gap)).
    """
    times = study.occasions["time"].to_numpy(float)
    span = float(np.ptp(times)) if times.size else 0.0
    gap = study.median_gap if study.median_gap and math.isfinite(study.median_gap) else span
    follow_up = study.median_follow_up if study.median_follow_up and math.isfinite(study.median_follow_up) else span
    follow_up = max(follow_up, gap)
    return Prior.of("lognormal", median=math.sqrt(gap * follow_up), factor=max(3.0, math.sqrt(follow_up / gap)))


def default_priors(study) -> dict[str, Prior]:
    """Default priors for a study, by parameter name.

    Times of an exposure shape: half the centre of the half-life's prior, times or divided by 3 (one SD of the log).
    """
    half_life = half_life_prior(study)
    length = Prior.of("lognormal", median=half_life.median / 2, factor=3)
    lengths = {name: length for shape in SHAPES.values() for name in shape.parameters if name not in shape.priors}
    return {"half_life": half_life} | lengths | DEFAULTS


def priors_in_force(model, study) -> dict[str, Prior]:
    """Priors by parameter name: the model's own, and the study's defaults for the rest."""
    return default_priors(study) | check_priors(model.priors)


def check_priors(given: Mapping[str, Prior | Mapping]) -> dict[str, Prior]:
    """Validate replacements of priors by name; raises `UserError` naming the nearest valid name."""
    checked = {}
    for name, prior in given.items():
        if name not in MEANINGS:
            raise UserError(
                f"no parameter called {name!r} has a prior.{nearest(name, MEANINGS)} Known: {', '.join(MEANINGS)}."
            )
        try:
            checked[name] = prior if isinstance(prior, Prior) else Prior.from_dict(prior)
        except UserError as error:
            raise UserError(f"prior of {name}: {error}") from None
        default = DEFAULTS.get(name, DEFAULTS["level"])
        if checked[name].support != default.support:
            fitting = [family for family, (_, support) in FAMILIES.items() if support == default.support]
            raise UserError(f"prior of {name}: {checked[name].family} does not fit; use {' or '.join(fitting)}.")
        if name == "variance_shares" and len(checked[name].concentration) != 3:
            raise UserError("prior of variance_shares: needs three concentrations (trait, process, error).")
    return checked
