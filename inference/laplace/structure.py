"""Where the unconstrained parameters lie: the population's, each unit's, each clinician's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import digamma, polygamma

CONCORDANCE = "level_rate_concordance"
# effects of a unit, and the parameter that is their mean (on the log scale, as they are)
MEANS = {"unit_level_z": "level_log__", "unit_rate_z": "half_life_log__"}


@dataclass(frozen=True)
class Structure:
    """Positions in the vector of unconstrained parameters.

    Given the population's parameters and its unit's effects, a clinician is independent of all others; given the
    population's parameters, so is a unit. Second derivatives are therefore non-zero only within a clinician, between it and
    its unit, within a unit, and between these and the population: an arrow of small blocks.

    Attributes
    ----------
    population : int array (p)
    unit : int array (units x effects of a unit)
    clinician : int array (clinicians x effects of a clinician)
    unit_of : int array (clinicians)
    unit_sd, clinician_sd : int arrays (effects of a unit, of a clinician)
        Which of the population's parameters is the log of the effect's standard deviation; -1: none is.
    log_unit : float array (p)
        Log of the unit in which a standard deviation is turned into a normal quantile (`quantile`); NaN for other parameters.
    width_by : int array (p)
        For the mean of an effect of units, which parameter is the log of that effect's standard deviation; for the correlation of rate
        and level, that of the rate's; -1 for others.
    share : int array (layers - 1)
        Which parameters are the centred logs of the shares of the variance (the last share's is left out).
    sticks : float array (4, layers - 1)
        Middle, slope and the two concentrations of `population.stick` for each share of what the ones before it left.
    link : int array (2)
        Which parameter is the log odds of the concordance of a clinician's level, integrated out, with its rate; which of a
        clinician's effects is the rate. -1: there is none.
    link_concentration : float
        Of the concordance's beta prior, both of its numbers together.
    """

    population: np.ndarray
    unit: np.ndarray
    clinician: np.ndarray
    unit_of: np.ndarray
    unit_sd: np.ndarray
    clinician_sd: np.ndarray
    log_unit: np.ndarray
    width_by: np.ndarray
    share: np.ndarray
    sticks: np.ndarray
    link: np.ndarray
    link_concentration: float = 0.0

    @property
    def size(self) -> int:
        return self.population.size + self.unit.size + self.clinician.size


def structure_of(names, slices, table, sizes, unit_of) -> Structure:
    """The structure of a model.

    Parameters
    ----------
    names : list of str
        Unconstrained variables in the order of the vector (transformed parameters have names of their own).
    slices : list of slice
        Where each lies in the vector.
    table : list of Parameter
    sizes : mapping of str to int, the length of each dimension
    unit_of : int array (clinicians)
    """
    latent = {p.name: p for p in table if p.latent}
    population, where = [], {}
    columns = {"unit": [], "clinician": []}
    effects = {"unit": [], "clinician": []}
    for name, place in zip(names, slices, strict=True):
        positions = np.arange(place.start, place.stop)
        if name not in latent:
            where[name] = sum(map(len, population))
            population.append(positions)
            continue
        *others, whose = latent[name].dims
        shaped = positions.reshape(*(sizes[dim] for dim in others), sizes[whose])
        columns[whose].append(np.moveaxis(shaped, -1, 0).reshape(sizes[whose], -1))
        effects[whose] += [(name, n) for n in range(columns[whose][-1].shape[1])]
    count = {"unit": int(unit_of.max()) + 1, "clinician": unit_of.size}
    blocks = {who: np.concatenate(c, axis=1) if c else np.empty((count[who], 0), int) for who, c in columns.items()}

    def scale_of(name, n):  # rate_z is scaled by rate_sd, which is sampled as its log
        sd = f"{name.removesuffix('_z')}_sd_log__"
        return where[sd] + n if name.endswith("_z") and sd in where else -1

    log_unit = np.full(sum(map(len, population)), np.nan)
    for p in table:
        if p.prior.family == "half_normal":
            at = where[f"{p.name}_log__"]
            log_unit[at : at + int(np.prod([sizes[dim] for dim in p.dims]))] = np.log(p.prior.sd)
    width_by = np.full(log_unit.size, -1)
    for effect, mean in MEANS.items():
        if (effect, 0) in effects["unit"] and mean in where:
            width_by[where[mean]] = scale_of(effect, 0)
    share, shares = np.empty(0, int), np.empty(0)
    for p in table:
        if p.prior.family == "dirichlet":
            shares = np.array(p.prior.concentration)
            share = where[f"{p.name}_simplex__"] + np.arange(shares.size - 1)
    integrated = not {"level_z", "level_effect"} & latent.keys()
    linked = integrated and f"{CONCORDANCE}_logodds__" in where and ("rate_z", 0) in effects["clinician"]
    link = [where[f"{CONCORDANCE}_logodds__"], effects["clinician"].index(("rate_z", 0))] if linked else [-1, -1]
    concentration = 0.0
    if linked:
        width_by[link[0]] = scale_of("rate_z", 0)
        concentration = sum(dict(next(p.prior for p in table if p.name == CONCORDANCE).arguments).values())
    sds = {who: np.array([scale_of(*effect) for effect in found], int) for who, found in effects.items()}
    return Structure(
        np.concatenate(population), blocks["unit"], blocks["clinician"], np.asarray(unit_of, int), sds["unit"], sds["clinician"],
        log_unit, width_by, share, _sticks(shares), np.array(link), concentration,
    )


def _sticks(concentration):
    """Of each share of what the ones before it left: mean and standard deviation of its log odds, its beta prior's concentrations."""
    low = concentration[:-1]
    high = np.cumsum(concentration[::-1])[::-1][1:]
    return np.stack([digamma(low) - digamma(high), np.sqrt(polygamma(1, low) + polygamma(1, high)), low, high])
