"""From parameters to the levers of every clinician and epoch: C*, beta, omega, and the start.

Written once for NumPy and PyTensor alike (``math`` is the module), so that the model that is sampled, the simulator
and the results cannot differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

import numpy as np

from .moderation import deviations
from .secular import secular_effect
from .timeline import combined

LN2 = float(np.log(2.0))
ONE_THREAD = 30_000  # multiplications that BLAS does in one thread
LAYERS = ("trait", "process", "error")


def split_change(change, speed, on_alpha: np.ndarray, on_beta: np.ndarray):
    """Effects on log alpha and log beta from the change of log C* and the common speed-up.

    Where an effect has one lever only, the change of log C* is all there is: theta_alpha = change, or
    theta_beta = -change. ``speed`` holds one entry for each effect that has both levers.
    """
    both = on_alpha & on_beta
    place = np.eye(both.size)[:, both]
    middle = np.where(both, 0.0, np.where(on_alpha, 0.5, -0.5)) * change + place @ speed
    return middle + change / 2, middle - change / 2


def levers(p: Mapping, design, model, math) -> SimpleNamespace:
    """Arguments of the likelihood and the quantities reported beside them.

    Parameters
    ----------
    p : mapping
        Parameter name -> value (NumPy array or PyTensor variable), as listed by `parameters.parameter_table`.
    design : Design
    model : CapacityModel
    math : module
        ``numpy`` or ``pytensor.tensor``.

    Returns
    -------
    namespace
        ``clinician`` (clinicians x 3: log C* at e = 0, log beta, log omega), ``shift`` (epochs x 3, added to it; for PyTensor
        only what exposures with a shape add, and no rows without one: the likelihood adds the rest, by ``slopes``, (1 or
        clinicians) x (columns x 3)), ``rest`` (the likelihood's other parameters), ``effects`` (terms, interventions and secular time x 3),
        ``added`` (by intervention that has a shape or whose effect varies, what it adds to ``shift``) and ``deviations``
        (by intervention whose effect varies, what clinicians' changes of log C* and log beta add to the average one),
        with NumPy ``arguments`` (the ten parameters of
        `likelihood.filter.log_likelihood`, in its order), ``theta_alpha``, ``theta_beta``, ``theta_omega``
        (interventions), ``gamma_alpha``, ``gamma_beta`` (terms), ``moderation_alpha``, ``moderation_beta`` (columns of
        `Moderation`), ``trait_sd``, ``omega``, ``error_sd`` (0-100),
        ``capacity_unit``, ``beta_unit`` (units), ``beta``, ``omega_clinician`` (clinicians, in the base epoch),
        ``correlation``.
    """
    out = SimpleNamespace()
    unit = design.unit_code
    place = {layer: j for j, layer in enumerate(design.layers)}
    out.trait_sd, out.omega, out.error_sd = (
        p["total_sd"] * (math.sqrt(p["variance_shares"][place[layer]]) if layer in place else 0.0) for layer in LAYERS
    )
    out.correlation = 2 * p["level_rate_concordance"] - 1 if "trait" in place else 0.0
    trait = out.trait_sd / p["level"]  # SD of e

    terms = design.terms
    out.gamma_alpha, out.gamma_beta = _effects(p, "covariate_level", "covariate_speed", terms)
    out.theta_alpha, out.theta_beta = _effects(p, "level_change", "speed_up", design)
    out.moderation_alpha, out.moderation_beta = _effects(p, "moderation_level", "moderation_speed", design.moderation)
    out.deviations = deviations(p, design, out.moderation_alpha, out.moderation_beta)
    out.theta_omega = p.get("spread_change", np.zeros(len(design.interventions)))

    # units and clinicians
    several = design.n_units > 1
    unit_level = p["unit_level_sd"] * p["unit_level_z"] if several else np.zeros(1)
    unit_rate = p["unit_rate_sd"] * p["unit_rate_z"] if several else np.zeros(1)
    z = p["rate_z"]
    level_dev = np.zeros(design.n_clinicians)
    if model.level == "sampled":
        level_dev = p["level_effect"] if "level_effect" in p else trait * p["level_z"]
        z = out.correlation * level_dev / trait + math.sqrt(1 - out.correlation**2) * z
    rate_dev = p["rate_sd"] * z
    log_level = math.log(p["level"]) + unit_level[unit] + level_dev
    if design.selected:
        log_level = log_level + product(design.mean_exposure, p["selection"], math)
    log_rate = math.log(LN2 / p["half_life"]) + unit_rate[unit] + rate_dev

    log_spread = math.log(out.omega) + math.zeros(design.n_clinicians)
    if model.spread == "free":
        log_spread = log_spread + p["spread_sd"] * p["spread_z"]
    elif model.spread == "shared_sigma":  # omega^2 = sigma^2 / (2 beta), sigma the same for all
        log_spread = log_spread - 0.5 * (log_rate - math.log(LN2 / p["half_life"]))
    out.clinician = math.stack([log_level, log_rate, log_spread], axis=1)

    # epochs: what covariates, interventions and calendar periods add to the clinician's logs
    effects = []
    if terms.names:
        none = np.zeros(len(terms.names))
        effects.append([out.gamma_alpha - out.gamma_beta, out.gamma_beta, none])
    if design.interventions:
        effects.append([out.theta_alpha - out.theta_beta, out.theta_beta, out.theta_omega])
    if design.secular.n_columns:
        drift = secular_effect(p, design.secular, math)
        none = np.zeros(design.secular.n_columns)
        effects.append([drift, none if model.secular_lever == "replenishment" else -drift, none])
    out.effects, out.added, out.varying, shift = None, {}, {}, None
    base = out.clinician
    if effects:
        columns = [math.concatenate([e[c] for e in effects]) for c in range(3)]
        sigma = -0.5 if model.spread == "shared_sigma" else 0.0
        if model.spread != "free":
            columns[2] = sigma * columns[1]
        out.effects = effects = math.stack(columns, axis=1)
        base = base + product(design.epoch_columns[design.epoch_base], effects, math)  # interventions are off there
        shaped = {cells.intervention: cells for cells in design.cells}
        owner = design.epoch_clinician
        for k in range(len(design.interventions)):
            effect = effects[len(terms.names) + k]
            if k in out.deviations:
                more_level, more_rate = out.deviations[k]
                more = math.stack([more_level, more_rate, sigma * more_rate], axis=1)
                if k not in shaped:
                    out.varying[k] = more
            if k in shaped:
                # what acts on the level late in a cell tells more at its end; decay goes by the plain average of the rate
                level = exposure(p, design, shaped[k], LN2 / p["half_life"], math)
                plain = exposure(p, design, shaped[k], 0.0, math)
                effect = effect + more[owner] if k in out.deviations else effect[None]
                out.added[k] = math.stack([level * effect[:, 0], plain * effect[:, 1], plain * effect[:, 2]], axis=1)
                shift = out.added[k] if shift is None else shift + out.added[k]
    base = math.exp(base)
    if math is np:
        out.shift = _shift(out, design, shift)
    else:
        out.shift = math.zeros((0, 3)) if shift is None else shift
        out.slopes = _slopes(out, design, math)
    out.beta, out.omega_clinician = base[:, 1], base[:, 2]
    ones = np.ones(design.n_clinicians)
    if model.start == "displaced":
        start_shift, start_var = p["start_shift"] * ones, out.omega_clinician**2 * p["start_sd_ratio"] ** 2
    elif model.start == "stationary":
        start_shift, start_var = 0.0 * ones, out.omega_clinician**2
    else:
        start_shift, start_var = p["start_mean"] * ones, p["start_sd"] ** 2 * ones

    if model.level == "sampled":
        level_mean, level_var = 0.0 * ones, 0.0 * ones
    else:
        level_mean = trait * out.correlation * z
        level_var = trait**2 * (1 - out.correlation**2) * ones

    intercept, loading, error = np.zeros(1), np.ones(1), out.error_sd**2 + design.error_floor[:1]
    if len(design.indicators) > 1:
        intercept = math.concatenate([intercept, p["intercept"]])
        loading = math.concatenate([loading, p["loading"]])
        error = math.concatenate([error, p["error_sd"] ** 2 + design.error_floor[1:]])

    # a unit's median clinician: clinician effects 0, covariates and exposure history at its clinicians' mean
    log_level_unit = math.log(p["level"]) + unit_level
    log_rate_unit = math.log(LN2 / p["half_life"]) + unit_rate
    if terms.names:
        log_level_unit = log_level_unit + design.unit_terms @ (out.gamma_alpha - out.gamma_beta)
        log_rate_unit = log_rate_unit + design.unit_terms @ out.gamma_beta
    if design.selected:
        log_level_unit = log_level_unit + design.unit_exposure @ p["selection"]
    out.capacity_unit = math.exp(log_level_unit)
    out.beta_unit = math.exp(log_rate_unit)
    out.rest = (level_mean, level_var, start_shift, start_var, intercept, loading, error)
    if math is np:
        logs = out.clinician[design.epoch_clinician] + out.shift
        out.arguments = (np.exp(logs[:, 0]), np.exp(logs[:, 1]), np.exp(2 * logs[:, 2]), *out.rest)
    return out


def _shift(out, design, shift) -> np.ndarray:
    """All that epochs add to their clinician's logs."""
    if out.effects is None:
        return np.zeros((design.n_epochs, 3))
    total = product(design.epoch_columns, out.effects, np)
    for k, more in out.varying.items():
        column = len(design.terms.names) + k
        dose, more = design.epoch_columns[:, [column]], more[design.epoch_clinician]
        out.added[k] = dose * (out.effects[column] + more)
        total = total + dose * more
    return total if shift is None else total + shift


def _slopes(out, design, math):
    """Effects of the epochs' columns, in a row: of every clinician where they vary, else one for all."""
    if out.effects is None:
        return math.zeros((1, 0))
    slopes = out.effects.reshape((1, -1))
    if out.varying:
        first = 3 * (len(design.terms.names) + np.array(list(out.varying))[:, None])
        count = len(design.terms.names) + len(design.interventions) + design.secular.n_columns
        place = np.eye(3 * count)[(first + np.arange(3)).reshape(-1)]
        slopes = slopes + math.dot(math.concatenate(list(out.varying.values()), axis=1), place)
    return slopes


def product(columns, effects, math):
    """``columns @ effects``, for NumPy in blocks too small for BLAS to share them out: on a busy machine its threads wait for each
    other a hundred times longer than such a product takes."""
    if math is not np or len(columns) * effects.size <= ONE_THREAD:
        return columns @ effects
    out = np.empty((len(columns), *effects.shape[1:]))
    step = max(1, ONE_THREAD // effects.size)
    for begin in range(0, len(columns), step):
        np.matmul(columns[begin : begin + step], effects, out=out[begin : begin + step])
    return out


def added_by(k: int, lever, design):
    """What intervention k adds to the logs of each epoch (epochs x 3), given its `levers`."""
    column = len(design.terms.names) + k
    return lever.added.get(k, design.epoch_columns[:, [column]] * lever.effects[column])


def exposure(p, design, cells, rate, math):
    """Average exposure of each epoch to an intervention whose exposure has a shape; weights as in `Course.mean`."""
    course, label = design.courses[cells.intervention], design.interventions[cells.intervention]
    place = design.estimated_shapes()
    given = {name: p[name][place[name].index(label)] for name in course.estimated}
    by_spell = course.mean(cells.low, cells.high, cells.start, cells.end, cells.dose, rate, given, math)
    return math.concatenate([combined(by_spell, math), np.zeros(1)])[cells.row]


def _effects(p, change_name, speed_name, where):
    count = where.on_alpha.size
    if not count:
        return np.zeros(0), np.zeros(0)
    both = int((where.on_alpha & where.on_beta).sum())
    return split_change(p[change_name], p[speed_name] if both else np.zeros(0), where.on_alpha, where.on_beta)
