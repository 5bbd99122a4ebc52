"""Scalar Kalman filter with the clinician's level integrated out, and its adjoint.

Capacity follows an Ornstein-Uhlenbeck process whose level in epoch k is ``level[k] * (1 + e)``, with one deviation
``e ~ Normal(level_mean, level_var)`` for each clinician. Given ``e`` the filter is the ordinary one (Durbin & Koopman
2012, chapter 4); since the mean is linear in ``e``, one more column, the loading of ``e``, is carried beside the mean
and ``e`` is integrated exactly at the end (de Jong 1991, the augmented filter). The transition over a gap ``dt`` is
exact: with ``g = 1 - exp(-rate dt)``,

    mean <- (1 - g) mean + g level,   variance <- (1 - g)^2 variance + g (2 - g) omega^2 .

The adjoint (reverse-mode derivative) is written by hand; the derivatives in ``e``'s integral reduce to posterior
expectations of ``e``, which is Fisher's identity.
"""

import math

import numpy as np

from .kept import njit

LOG_2PI = math.log(2.0 * math.pi)

# columns of the workspace: predicted and updated state of each step, and what the adjoint needs again
_MEAN, _LOAD, _VAR, _MEAN_UP, _LOAD_UP, _VAR_UP, _SHARE, _PRECISION = range(8)


@njit(nogil=True)
def approach(x):
    """Share of the way to the level covered in ``x = rate * gap``: 1 - exp(-x), accurate for small x too."""
    if x < 0.05:  # the series is exact to rounding here, and 1 - exp(-x) would not be
        y = 1.0 - x / 8.0
        y = 1.0 - x / 7.0 * y
        y = 1.0 - x / 6.0 * y
        y = 1.0 - x / 5.0 * y
        y = 1.0 - x / 4.0 * y
        y = 1.0 - x / 3.0 * y
        y = 1.0 - x / 2.0 * y
        return x * y
    return 1.0 - math.exp(-x)


@njit(nogil=True)
def start_level(first, last, base, step_gap, step_epoch, level, rate):
    """Expected capacity at the first survey per unit of ``1 + e``: the level with interventions off, moved by the
    prelude's steps (spells that began before the first survey)."""
    x = level[base]
    for t in range(first, last):
        k = step_epoch[t]
        x += approach(rate[k] * step_gap[t]) * (level[k] - x)
    return x


@njit(nogil=True)
def forward(
    first, last, mean, load, var, step_gap, step_epoch, step_survey,
    survey_score, survey_repeats, survey_indicator, level, rate, variance, intercept, loading, error_var, work,
):  # fmt: skip
    """Filter one clinician from the given start; fills ``work`` and returns the sums that the integral over e needs.

    Returns ``(log_det, n, s_vv, s_vl, s_ll)``: sum of log innovation variances, number of answers, and the weighted
    cross-products of innovations v and loadings l.
    """
    log_det = 0.0
    product = 1.0
    n = 0
    s_vv = 0.0
    s_vl = 0.0
    s_ll = 0.0
    for t in range(first, last):
        k = step_epoch[t]
        g = approach(rate[k] * step_gap[t])
        keep = 1.0 - g
        mean = keep * mean + g * level[k]
        load = keep * load + g * level[k]
        var = keep * keep * var + g * (2.0 - g) * variance[k]
        w = work[t - first]
        w[_MEAN] = mean
        w[_LOAD] = load
        w[_VAR] = var
        w[_SHARE] = g
        r = step_survey[t]
        precision = 0.0
        if r >= 0 and not math.isnan(survey_score[r]):
            j = survey_indicator[r]
            lam = loading[j]
            error = error_var[j] / survey_repeats[r]
            total = lam * lam * var + error
            precision = 1.0 / total
            v = survey_score[r] - intercept[j] - lam * mean
            obs_load = lam * load
            gain = lam * var * precision
            mean += gain * v
            load -= gain * obs_load
            var *= error * precision
            product *= total
            n += 1
            if product > 1e100 or product < 1e-100:  # one log for many answers
                log_det += math.log(product)
                product = 1.0
            s_vv += v * v * precision
            s_vl += v * obs_load * precision
            s_ll += obs_load * obs_load * precision
        w[_PRECISION] = precision
        w[_MEAN_UP] = mean
        w[_LOAD_UP] = load
        w[_VAR_UP] = var
    return log_det + math.log(product), n, s_vv, s_vl, s_ll


@njit(nogil=True)
def integrate_level(log_det, n, s_vv, s_vl, s_ll, mu, s2):
    """Log density after integrating e ~ Normal(mu, s2), with the posterior mean and variance of e."""
    d = 1.0 + s2 * s_ll
    q = s_vl - mu * s_ll
    log_density = -0.5 * (
        n * LOG_2PI + log_det + s_vv - 2.0 * mu * s_vl + mu * mu * s_ll + math.log(d) - s2 * q * q / d
    )
    return log_density, mu + s2 * q / d, s2 / d


@njit(nogil=True)
def longest_run(step_offset, step_prelude):
    longest = 1
    for i in range(step_offset.size - 1):
        longest = max(longest, step_offset[i + 1] - step_offset[i] - step_prelude[i])
    return longest


@njit(nogil=True)
def log_likelihood(
    step_offset, step_prelude, step_gap, step_epoch, step_survey, epoch_base,
    survey_score, survey_repeats, survey_indicator, start_anchor,
    level, rate, variance, level_mean, level_var, start_shift, start_var, intercept, loading, error_var,
):  # fmt: skip
    """Log-likelihood of each clinician and the posterior mean and variance of the level's deviation e.

    Parameters
    ----------
    step_offset : int array (clinicians + 1)
        Clinician i owns steps ``step_offset[i]`` to ``step_offset[i + 1]``, the first ``step_prelude[i]`` of them
        before the first survey.
    step_gap, step_epoch, step_survey : arrays (steps)
        Duration, epoch in force, and survey answered at the end of each step (-1: none).
    epoch_base : int array (clinicians)
        The epoch with interventions off and covariates at the clinician's mean.
    survey_score, survey_repeats, survey_indicator : arrays (surveys)
        Score (NaN: missing), number of answers averaged in it, and its indicator.
    start_anchor : float array (clinicians)
        1 where the start is set relative to the clinician's own level, 0 where it is free of it.
    level, rate, variance : float arrays (epochs)
        C* at e = 0, beta, and the stationary variance omega^2.
    level_mean, level_var : float arrays (clinicians)
        Mean and variance of e.
    start_shift, start_var : float arrays (clinicians)
        Added to the expected capacity at the first survey; variance there.
    intercept, loading, error_var : float arrays (indicators)
        Measurement: score = intercept + loading C + Normal(0, error_var / repeats).

    Returns
    -------
    log_density, mean, var : float arrays (clinicians)
    """
    count = step_offset.size - 1
    out = np.empty((3, count))
    work = np.empty((longest_run(step_offset, step_prelude), 8))
    for i in range(count):
        first = step_offset[i] + step_prelude[i]
        x = start_level(step_offset[i], first, epoch_base[i], step_gap, step_epoch, level, rate) * start_anchor[i]
        sums = forward(
            first, step_offset[i + 1], x + start_shift[i], x, start_var[i], step_gap, step_epoch, step_survey,
            survey_score, survey_repeats, survey_indicator, level, rate, variance, intercept, loading, error_var, work,
        )  # fmt: skip
        log_det, n, s_vv, s_vl, s_ll = sums
        out[0, i], out[1, i], out[2, i] = integrate_level(log_det, n, s_vv, s_vl, s_ll, level_mean[i], level_var[i])
    return out[0], out[1], out[2]


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
