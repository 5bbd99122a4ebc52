"""The adjoint of the scalar filter: the reference for `side_by_side`, which is what the model uses.

The reverse-mode derivative of `filter.forward`, written by hand step by step; the derivatives in ``e``'s integral reduce to
posterior expectations of ``e``, which is Fisher's identity.
"""

import math

import numpy as np
from numba import njit

from .filter import (
    _LOAD,
    _LOAD_UP,
    _MEAN,
    _MEAN_UP,
    _PRECISION,
    _SHARE,
    _VAR,
    _VAR_UP,
    approach,
    forward,
    integrate_level,
    longest_run,
    start_level,
)


@njit(nogil=True)
def log_likelihood_and_gradients(
    step_offset, step_prelude, step_gap, step_epoch, step_survey, epoch_base,
    survey_score, survey_repeats, survey_indicator, start_anchor,
    level, rate, variance, level_mean, level_var, start_shift, start_var, intercept, loading, error_var,
):  # fmt: skip
    """Log-likelihood of each clinician and its gradients, in one pass forward and one back.

    Parameters are those of `log_likelihood`. Every epoch belongs to one clinician, so gradients by epoch need no
    clinician axis; the measurement parameters are shared, so theirs do.

    Returns
    -------
    tuple of float arrays
        log density (clinicians); its derivatives by level, rate, variance (epochs), by level_mean, level_var,
        start_shift, start_var (clinicians), by intercept, loading, error_var (clinicians x indicators).
    """
    count = step_offset.size - 1
    log_density = np.empty(count)
    d_level = np.zeros(level.size)
    d_rate = np.zeros(level.size)
    d_variance = np.zeros(level.size)
    d_level_mean = np.empty(count)
    d_level_var = np.empty(count)
    d_shift = np.empty(count)
    d_start_var = np.empty(count)
    d_intercept = np.zeros((count, intercept.size))
    d_loading = np.zeros((count, intercept.size))
    d_error = np.zeros((count, intercept.size))
    work = np.empty((longest_run(step_offset, step_prelude), 8))

    for i in range(count):
        begin = step_offset[i]
        first = begin + step_prelude[i]
        last = step_offset[i + 1]
        base = epoch_base[i]
        x_start = start_level(begin, first, base, step_gap, step_epoch, level, rate)
        anchored = x_start * start_anchor[i]
        log_det, n, s_vv, s_vl, s_ll = forward(
            first, last, anchored + start_shift[i], anchored, start_var[i], step_gap, step_epoch, step_survey,
            survey_score, survey_repeats, survey_indicator, level, rate, variance, intercept, loading, error_var, work,
        )  # fmt: skip
        mu = level_mean[i]
        s2 = level_var[i]
        log_density[i], e_mean, e_var = integrate_level(log_det, n, s_vv, s_vl, s_ll, mu, s2)
        d = 1.0 + s2 * s_ll
        q = (s_vl - mu * s_ll) / d
        d_level_mean[i] = q
        d_level_var[i] = 0.5 * (q * q - s_ll / d)
        e_square = e_mean * e_mean + e_var  # E[e^2 | scores]

        # adjoints of the updated mean, loading and variance
        b_mean = 0.0
        b_load = 0.0
        b_var = 0.0
        for t in range(last - 1, first - 1, -1):
            w = work[t - first]
            k = step_epoch[t]
            precision = w[_PRECISION]
            if precision > 0.0:
                r = step_survey[t]
                j = survey_indicator[r]
                lam = loading[j]
                error = error_var[j] / survey_repeats[r]
                mean = w[_MEAN]
                load = w[_LOAD]
                var = w[_VAR]
                v = survey_score[r] - intercept[j] - lam * mean
                obs_load = lam * load
                gain = lam * var * precision
                b_gain = b_mean * v - b_load * obs_load
                b_v = b_mean * gain - (v - e_mean * obs_load) * precision
                b_obs_load = -b_load * gain + (e_mean * v - e_square * obs_load) * precision
                square = v * v - 2.0 * e_mean * v * obs_load + e_square * obs_load * obs_load
                b_total = (
                    0.5 * (square * precision - 1.0) - gain * b_gain - var * error * precision * b_var
                ) * precision
                d_intercept[i, j] -= b_v
                d_loading[i, j] += (
                    -mean * b_v + load * b_obs_load + var * precision * b_gain + 2.0 * lam * var * b_total
                )
                d_error[i, j] += (b_total + var * precision * b_var) / survey_repeats[r]
                b_var = b_var * error * precision + b_gain * lam * precision + lam * lam * b_total
                b_mean -= lam * b_v
                b_load += lam * b_obs_load
            g = w[_SHARE]
            keep = 1.0 - g
            if t > first:
                before = work[t - first - 1]
                mean = before[_MEAN_UP]
                load = before[_LOAD_UP]
                var = before[_VAR_UP]
            else:
                mean = anchored + start_shift[i]
                load = anchored
                var = start_var[i]
            b_share = b_mean * (level[k] - mean) + b_load * (level[k] - load) + 2.0 * b_var * keep * (variance[k] - var)
            d_level[k] += g * (b_mean + b_load)
            d_variance[k] += g * (2.0 - g) * b_var
            d_rate[k] += b_share * step_gap[t] * keep
            b_mean *= keep
            b_load *= keep
            b_var *= keep * keep
        d_shift[i] = b_mean
        d_start_var[i] = b_var

        b_start = (b_mean + b_load) * start_anchor[i]
        # the prelude backwards: its states are recomputed by undoing nothing, only the shares matter and the state
        # before each step, which is rebuilt from the start (preludes have a handful of steps)
        for t in range(first - 1, begin - 1, -1):
            k = step_epoch[t]
            x = start_level(begin, t, base, step_gap, step_epoch, level, rate)
            g = approach(rate[k] * step_gap[t])
            d_level[k] += g * b_start
            d_rate[k] += b_start * (level[k] - x) * step_gap[t] * (1.0 - g)
            b_start *= 1.0 - g
        d_level[base] += b_start
    return (
        log_density, d_level, d_rate, d_variance, d_level_mean, d_level_var, d_shift, d_start_var,
        d_intercept, d_loading, d_error,
    )  # fmt: skip


@njit(nogil=True)
def log_scale_gradients(
    step_offset, step_prelude, step_gap, step_epoch, step_survey, epoch_base,
    survey_score, survey_repeats, survey_indicator, start_anchor, epoch_clinician,
    clinician, shift, level_mean, level_var, start_shift, start_var, intercept, loading, error_var,
):  # fmt: skip
    """`log_likelihood_and_gradients` on the scale of the sampler, exponentials and their derivatives included.

    Parameters
    ----------
    clinician : float array (clinicians x 3)
        Logs of the level, the rate and the stationary standard deviation.
    shift : float array (epochs x 3)
        Added to the owner's logs in each epoch.

    Returns
    -------
    tuple of float arrays
        log density (clinicians); derivatives by clinician and shift (of their shapes); the rest as in
        `log_likelihood_and_gradients`.
    """
    count = epoch_clinician.size
    level = np.empty(count)
    rate = np.empty(count)
    variance = np.empty(count)
    for k in range(count):
        i = epoch_clinician[k]
        level[k] = math.exp(clinician[i, 0] + shift[k, 0])
        rate[k] = math.exp(clinician[i, 1] + shift[k, 1])
        variance[k] = math.exp(2.0 * (clinician[i, 2] + shift[k, 2]))
    out = log_likelihood_and_gradients(
        step_offset, step_prelude, step_gap, step_epoch, step_survey, epoch_base,
        survey_score, survey_repeats, survey_indicator, start_anchor,
        level, rate, variance, level_mean, level_var, start_shift, start_var, intercept, loading, error_var,
    )  # fmt: skip
    d_clinician = np.zeros((clinician.shape[0], 3))
    d_shift = np.empty((count, 3))
    for k in range(count):
        i = epoch_clinician[k]
        d_shift[k, 0] = out[1][k] * level[k]
        d_shift[k, 1] = out[2][k] * rate[k]
        d_shift[k, 2] = 2.0 * out[3][k] * variance[k]
        for c in range(3):
            d_clinician[i, c] += d_shift[k, c]
    return (out[0], d_clinician, d_shift, out[4], out[5], out[6], out[7], out[8], out[9], out[10])
