"""What follows from the filter once parameters are given: latent paths, leave-one-out densities, simulation.

All functions take the arrays of `filter.log_likelihood` (same names, same shapes) for one set of parameters.
"""

import math

import numpy as np

from .filter import (
    _LOAD,
    _MEAN,
    _MEAN_UP,
    _PRECISION,
    _SHARE,
    _VAR,
    _VAR_UP,
    LOG_2PI,
    approach,
    forward,
    integrate_level,
    longest_run,
    start_level,
)
from .kept import njit


@njit(nogil=True)
def _forward_given(
    i, step_offset, step_prelude, step_gap, step_epoch, step_survey, epoch_base,
    survey_score, survey_repeats, survey_indicator, start_anchor,
    level, rate, variance, start_shift, start_var, intercept, loading, error_var, deviation, own_level, work,
):  # fmt: skip
    """Filter clinician i given the level's deviation; fills ``work`` and returns the first step after the prelude."""
    begin = step_offset[i]
    first = begin + step_prelude[i]
    last = step_offset[i + 1]
    scale = 1.0 + deviation[i]
    own_level[epoch_base[i]] = level[epoch_base[i]] * scale
    for t in range(begin, last):
        own_level[step_epoch[t]] = level[step_epoch[t]] * scale
    start = start_level(begin, first, epoch_base[i], step_gap, step_epoch, own_level, rate) * start_anchor[i]
    forward(
        first, last, start + start_shift[i], 0.0, start_var[i], step_gap, step_epoch, step_survey,
        survey_score, survey_repeats, survey_indicator, own_level, rate, variance, intercept, loading, error_var, work,
    )  # fmt: skip
    return first


@njit(nogil=True)
def last_states(
    step_offset, step_prelude, step_gap, step_epoch, step_survey, epoch_base,
    survey_score, survey_repeats, survey_indicator, start_anchor,
    level, rate, variance, level_mean, level_var, start_shift, start_var, intercept, loading, error_var,
    deviation, normals,
):  # fmt: skip
    """One draw of latent capacity at each clinician's last survey, given the level's deviation.

    The filter's last state, which is the smoother's too: there is nothing after it. Arguments as in `draw_paths`, but for
    ``normals`` (clinicians).
    """
    states = np.empty(step_offset.size - 1)
    own_level = np.empty(level.size)
    work = np.empty((longest_run(step_offset, step_prelude), 8))
    for i in range(states.size):
        first = _forward_given(
            i, step_offset, step_prelude, step_gap, step_epoch, step_survey, epoch_base,
            survey_score, survey_repeats, survey_indicator, start_anchor,
            level, rate, variance, start_shift, start_var, intercept, loading, error_var, deviation, own_level, work,
        )  # fmt: skip
        w = work[step_offset[i + 1] - 1 - first]
        states[i] = w[_MEAN_UP] + math.sqrt(w[_VAR_UP]) * normals[i]
    return states


@njit(nogil=True)
def draw_paths(
    step_offset, step_prelude, step_gap, step_epoch, step_survey, epoch_base,
    survey_score, survey_repeats, survey_indicator, start_anchor,
    level, rate, variance, level_mean, level_var, start_shift, start_var, intercept, loading, error_var,
    deviation, normals,
):  # fmt: skip
    """One draw of latent capacity at the end of every step, given each clinician's level deviation.

    Forward filtering, backward sampling (Carter & Kohn 1994) of the scalar state. ``level_mean`` and ``level_var``
    are not used: ``deviation`` (clinicians) stands in their place.

    Parameters
    ----------
    deviation : float array (clinicians)
        The drawn e_i.
    normals : float array (steps)
        Independent standard normal numbers.

    Returns
    -------
    float array (steps)
        Capacity at the end of each step, NaN in the prelude.
    """
    path = np.full(step_gap.size, np.nan)
    own_level = np.empty(level.size)
    work = np.empty((longest_run(step_offset, step_prelude), 8))
    for i in range(step_offset.size - 1):
        first = _forward_given(
            i, step_offset, step_prelude, step_gap, step_epoch, step_survey, epoch_base,
            survey_score, survey_repeats, survey_indicator, start_anchor,
            level, rate, variance, start_shift, start_var, intercept, loading, error_var, deviation, own_level, work,
        )  # fmt: skip
        last = step_offset[i + 1]
        w = work[last - 1 - first]
        x = w[_MEAN_UP] + math.sqrt(w[_VAR_UP]) * normals[last - 1]
        path[last - 1] = x
        for t in range(last - 2, first - 1, -1):
            w = work[t - first]
            ahead = work[t + 1 - first]
            keep = 1.0 - ahead[_SHARE]
            if ahead[_VAR] > 0.0:
                share = ahead[_SHARE] * (2.0 - ahead[_SHARE]) * variance[step_epoch[t + 1]] / ahead[_VAR]
                gain = w[_VAR_UP] * keep / ahead[_VAR]
                # var - gain^2 ahead_var, written without the subtraction
                spread = math.sqrt(w[_VAR_UP] * share)
                x = w[_MEAN_UP] + gain * (x - ahead[_MEAN]) + spread * normals[t]
            else:
                x = w[_MEAN_UP]
            path[t] = x
    return path


@njit(nogil=True)
def leave_one_out(
    step_offset, step_prelude, step_gap, step_epoch, step_survey, epoch_base,
    survey_score, survey_repeats, survey_indicator, start_anchor,
    level, rate, variance, level_mean, level_var, start_shift, start_var, intercept, loading, error_var,
):  # fmt: skip
    """Mean, variance and log density of each answer given all other answers of its clinician.

    From the smoother's residuals (de Jong 1988, Biometrika 75): with u = inv(Sigma) (y - mu) and D the diagonal of
    inv(Sigma), answer r given the rest is Normal(y_r - u_r / D_r, 1 / D_r). The level's column enters by the
    rank-one inverse; D is formed as a ratio of leave-one-out sums, so that no precision is lost where the level is
    known almost entirely from one answer.

    Returns
    -------
    mean, var, log_density : float arrays (surveys)
        NaN where the score is missing.
    """
    n_surveys = survey_score.size
    loo = np.full((3, n_surveys), np.nan)
    longest = longest_run(step_offset, step_prelude)
    work = np.empty((longest, 8))
    for i in range(step_offset.size - 1):
        begin = step_offset[i]
        first = begin + step_prelude[i]
        last = step_offset[i + 1]
        x = start_level(begin, first, epoch_base[i], step_gap, step_epoch, level, rate) * start_anchor[i]
        log_det, n, s_vv, s_vl, s_ll = forward(
            first, last, x + start_shift[i], x, start_var[i], step_gap, step_epoch, step_survey,
            survey_score, survey_repeats, survey_indicator, level, rate, variance, intercept, loading, error_var, work,
        )  # fmt: skip
        _, e_mean, _ = integrate_level(log_det, n, s_vv, s_vl, s_ll, level_mean[i], level_var[i])
        s2 = level_var[i]
        rho_v = 0.0
        rho_l = 0.0
        info = 0.0
        for t in range(last - 1, first - 1, -1):
            w = work[t - first]
            precision = w[_PRECISION]
            if precision > 0.0:
                r = step_survey[t]
                j = survey_indicator[r]
                lam = loading[j]
                gain = lam * w[_VAR] * precision
                u_v = (survey_score[r] - intercept[j] - lam * w[_MEAN]) * precision - gain * rho_v
                u_l = lam * w[_LOAD] * precision - gain * rho_l
                diagonal = precision + gain * gain * info
                error_share = error_var[j] / survey_repeats[r] * precision  # 1 - gain lam
                rho_v += lam * u_v
                rho_l += lam * u_l
                info = lam * lam * precision + error_share * error_share * info
                others = max(s_ll - u_l * u_l / diagonal, 0.0)
                total = diagonal * (1.0 + s2 * others) / (1.0 + s2 * s_ll)
                residual = (u_v - e_mean * u_l) / total
                loo[0, r] = survey_score[r] - residual
                loo[1, r] = 1.0 / total
                loo[2, r] = -0.5 * (LOG_2PI - math.log(total) + residual * residual * total)
            keep = 1.0 - w[_SHARE]
            rho_v *= keep
            rho_l *= keep
            info *= keep * keep
    return loo[0], loo[1], loo[2]


@njit(nogil=True)
def simulate(
    step_offset, step_prelude, step_gap, step_epoch, step_survey, epoch_base,
    survey_repeats, survey_indicator, start_anchor,
    level, rate, variance, start_shift, start_var, intercept, loading, error_var,
    deviation, start_normals, step_normals, error_normals,
):  # fmt: skip
    """New latent paths and scores from the model, given each clinician's level deviation.

    Parameters
    ----------
    start_normals : float array (clinicians)
    step_normals : float array (steps)
    error_normals : float array (surveys)
        Independent standard normal numbers.

    Returns
    -------
    path : float array (steps)
        Capacity at the end of each step, NaN in the prelude.
    score : float array (surveys)
        On the 0-100 scale, neither rounded nor clipped.
    """
    path = np.full(step_gap.size, np.nan)
    score = np.full(survey_repeats.size, np.nan)
    for i in range(step_offset.size - 1):
        begin = step_offset[i]
        first = begin + step_prelude[i]
        scale = 1.0 + deviation[i]
        expected = start_level(begin, first, epoch_base[i], step_gap, step_epoch, level, rate) * scale
        x = expected * start_anchor[i] + start_shift[i] + math.sqrt(start_var[i]) * start_normals[i]
        for t in range(first, step_offset[i + 1]):
            k = step_epoch[t]
            g = approach(rate[k] * step_gap[t])
            x += g * (level[k] * scale - x) + math.sqrt(g * (2.0 - g) * variance[k]) * step_normals[t]
            path[t] = x
            r = step_survey[t]
            if r >= 0:
                j = survey_indicator[r]
                noise = math.sqrt(error_var[j] / survey_repeats[r]) * error_normals[r]
                score[r] = intercept[j] + loading[j] * x + noise
    return path, score


@njit(nogil=True)
def expected_path(
    step_offset, step_prelude, step_gap, step_epoch, epoch_base, start_anchor, level, rate, start_shift, deviation
):  # fmt: skip
    """Expected capacity at the end of every step given each clinician's level deviation (NaN in the prelude)."""
    path = np.full(step_gap.size, np.nan)
    for i in range(step_offset.size - 1):
        begin = step_offset[i]
        first = begin + step_prelude[i]
        scale = 1.0 + deviation[i]
        expected = start_level(begin, first, epoch_base[i], step_gap, step_epoch, level, rate) * scale
        x = expected * start_anchor[i] + start_shift[i]
        for t in range(first, step_offset[i + 1]):
            k = step_epoch[t]
            x += approach(rate[k] * step_gap[t]) * (level[k] * scale - x)
            path[t] = x
    return path
