"""Standard deviations on a scale without a long tail.

A standard deviation that may be close to zero has a long tail on the log scale, which samplers take many steps to walk. On
the scale r of normal quantiles, sd = scale q(r) with q(r) the half-normal's quantile at the normal's probability of r, it has
none: under a half-normal prior r is standard normal.
"""

import math

from ...models.likelihood.kept import njit

_ROOT2 = math.sqrt(2.0)


@njit(nogil=True, error_model="numpy")
def _quantile_of_upper(p):
    """x with upper normal tail probability p, 0 < p <= 0.5 (a rational start, Abramowitz & Stegun 26.2.23, then Newton on the log)."""
    t = math.sqrt(-2.0 * math.log(p))
    x = t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308)))
    for _ in range(4):
        tail = 0.5 * math.erfc(x / _ROOT2)
        density = 0.3989422804014327 * math.exp(-0.5 * x * x)
        # Halley's step for log(tail) = log(p): the hazard density/tail is its slope
        hazard = density / tail
        step = (math.log(tail) - math.log(p)) / hazard
        x += step / (1.0 + 0.5 * step * (hazard - x))
    return x


@njit(nogil=True, error_model="numpy")
def log_half_normal(r):
    """Log of q(r), its derivative h, and the log of h with its derivative, by r."""
    if r < -3.0:
        # q is small: Phi(r) = erf(q / sqrt 2), solved by Newton from its first term
        probability = 0.5 * math.erfc(-r / _ROOT2)
        q = probability * 1.2533141373155001
        for _ in range(3):
            q -= (math.erf(q / _ROOT2) - probability) / (0.7978845608028654 * math.exp(-0.5 * q * q))
    else:
        q = _quantile_of_upper(0.25 * math.erfc(r / _ROOT2))
    slope = 0.5 * math.exp(0.5 * (q * q - r * r))
    log_h = 0.5 * (q * q - r * r) - math.log(2.0 * q)
    return math.log(q), slope / q, log_h, -r + q * slope - slope / q


@njit(nogil=True, error_model="numpy")
def half_normal_position(log_q):
    """The r at which log q(r) is ``log_q``, for q below 30."""
    q = math.exp(log_q)
    r = math.log(q) if q > 1 else -math.sqrt(-2.0 * math.log(0.5 * q + 1e-300))
    if q > 1:
        r = q - 0.5
    for _ in range(60):
        value, h, _, _ = log_half_normal(r)
        step = (value - log_q) / h
        r -= max(-1.0, min(1.0, step))
        if abs(step) < 1e-12:
            break
    return r
