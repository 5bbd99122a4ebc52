"""Exponential and logarithm of all lanes at once, without branches, to a unit or two in the last place.

By range reduction to a power of two and a polynomial, as in every mathematical library (Muller 2016, Elementary Functions,
chapters 5 and 11); written out because numba from PyPI has no vectorised ones.
"""

import math

from .lanes import as_floats, as_words, broadcast, inlined, muladd, rounded, select

# 2^52 + 2^51: added to a number it leaves its nearest integer in the last bits
_ROUNDING = 6755399441055744.0
_LOG2_E = 1.0 / math.log(2.0)
# log 2 in two parts, the first with so few bits that its product with an exponent is exact
_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
_EXPONENT_ONE = 1023 << 52
_MANTISSA = (1 << 52) - 1
_SQRT2 = math.sqrt(2.0)
_INVERSE_FACTORIAL = tuple(1.0 / math.factorial(n) for n in range(14))


@inlined
def _reduce(x):
    """2^k (as bits of the exponent) and exp(r) - 1 where x = k log 2 + r with the smallest r."""
    shifted = muladd(x, broadcast(_LOG2_E), broadcast(_ROUNDING))
    k = shifted - _ROUNDING
    r = muladd(k, broadcast(-_LN2_LOW), muladd(k, broadcast(-_LN2_HIGH), x))
    f = _INVERSE_FACTORIAL
    # two chains, even and odd powers, so that they run side by side
    s = r * r
    even = muladd(s, broadcast(f[12]), broadcast(f[10]))
    odd = muladd(s, broadcast(f[13]), broadcast(f[11]))
    even = muladd(s, even, broadcast(f[8]))
    odd = muladd(s, odd, broadcast(f[9]))
    even = muladd(s, even, broadcast(f[6]))
    odd = muladd(s, odd, broadcast(f[7]))
    even = muladd(s, even, broadcast(f[4]))
    odd = muladd(s, odd, broadcast(f[5]))
    even = muladd(s, even, broadcast(f[2]))
    odd = muladd(s, odd, broadcast(f[3]))
    return as_words(shifted) << 52, muladd(s, muladd(r, odd, even), r)


@inlined
def exp(x):
    """e^x; 0 below -708 (where float64 loses its precision) and infinite above 709."""
    inside = select(x < -708.0, broadcast(-708.0), select(x > 709.0, broadcast(709.0), x))
    power, more = _reduce(inside)
    # added to the exponent's bits, since 2^k alone need not be a float64; the difference is 0, or NaN where x is
    value = as_floats(as_words(more + 1.0) + power) + (inside - inside)
    return select(x > 709.0, broadcast(math.inf), select(x < -708.0, broadcast(0.0), value))


@inlined
def approach(x):
    """1 - exp(-x) for x >= 0, accurate for small x too: `filter.approach` of all lanes."""
    y = select(x > 700.0, broadcast(-700.0), 0.0 - x)
    power, more = _reduce(y)
    scale = as_floats(power + _EXPONENT_ONE)
    return muladd(broadcast(0.0) - scale, more, 1.0 - scale)


@inlined
def log_of_product(exponents, mantissa):
    """Natural logarithm of mantissa 2^exponents, for mantissas from 1 to 2 (`exponents` are whole numbers)."""
    high = mantissa > _SQRT2
    m = select(high, 0.5 * mantissa, mantissa)
    k = select(high, exponents + 1.0, exponents)
    # log m = 2 artanh z with z = (m - 1)/(m + 1), at most 0.172: the series' next term is below 1e-18
    z = (m - 1.0) / (m + 1.0)
    s = z * z
    p = broadcast(1.0 / 21.0)
    for n in (19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0):
        p = muladd(p, s, broadcast(1.0 / n))
    small = muladd(2.0 * z * s, p, 2.0 * z)
    return muladd(k, broadcast(_LN2_HIGH), muladd(k, broadcast(_LN2_LOW), small))


@inlined
def split(x):
    """Biased exponent (words) and mantissa from 1 to 2 of positive numbers."""
    bits = as_words(x)
    return bits >> 52, as_floats((bits & _MANTISSA) | _EXPONENT_ONE)


@inlined
def log(x):
    """Natural logarithm of positive normal numbers; NaN of what is not finite."""
    exponent, mantissa = split(x)
    return log_of_product(rounded(exponent) - 1023.0, mantissa) + (x - x)
