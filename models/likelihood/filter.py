"""Scalar Kalman filter with the clinician's level integrated out.

Capacity follows an Ornstein-Uhlenbeck process whose level in epoch k is ``level[k] * (1 + e)``, with one deviation
``e ~ Normal(level_mean, level_var)`` for each clinician. Given ``e`` the filter is the ordinary one (Durbin & Koopman
2012, chapter 4); since the mean is linear in ``e``, one more column, the loading of ``e``, is carried beside the mean
and ``e`` is integrated exactly at the end (de Jong 1991, the augmented filter). The transition over a gap ``dt`` is
exact: with ``g = 1 - exp(-rate dt)``,

    mean <- (1 - g) mean + g level,   variance <- (1 - g)^2 variance + g (2 - g) omega^2 .

Gradients are in `side_by_side`, and in `gradients` in the plain form that they are tested against.
"""

import math

import numpy as np

from .kept import njit

LOG_2PI = math.log(2.0 * math.pi)

# columns of the workspace: predicted and updated state of each step, and what the way back needs again
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
    square = s_vv - 2.0 * mu * s_vl + mu * mu * s_ll - s2 * q * q / d
    if square < 0.0:  # only by rounding, at absurd levels, where what it is off by would pass for a high density
        square = 0.0
    return -0.5 * (n * LOG_2PI + log_det + square + math.log(d)), mu + s2 * q / d, s2 / d


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
