"""The filter and its adjoint for several clinicians side by side.

The recursions are those of `filter`, which is the reference that the tests hold this against, in a form that needs less on
the way back: with e integrated, every expectation over e given the scores is the value at e's posterior mean plus e's
posterior variance times a product of slopes, and the derivative by a state's variance is half the square of the derivative
r by its mean, less n, which does not depend on the scores (de Jong 1989, JASA 84; Durbin & Koopman 2012, section 4.5):

    u = v/F - K r,   r <- Z u + r,   n <- Z^2/F + (1 - K Z)^2 n .

Logarithms of innovation variances are taken of their product, whose exponent is kept apart as an integer.
"""

import math

import numpy as np
from numba import njit

from .elementary import approach, exp, log, log_of_product, split
from .lanes import WIDTH, as_words, broadcast, gather, load, muladd, rounded, scatter_add, select, store
from .packing import ANSWERS, EPOCH, INDICATOR, MOVES, SHARE

LOG_2PI = math.log(2.0 * math.pi)
# columns of the workspace, by row: share of the way; mean, variance and loading before the step and as predicted at its
# end; one over the innovation's variance
_SHARE, _MEAN_BEFORE, _VAR_BEFORE, _MEAN, _VAR, _PRECISION, _LOAD_BEFORE, _LOAD = (n * WIDTH for n in range(8))
# ... and by slot: level, rate, variance
_LEVEL, _RATE, _VARIANCE = (n * WIDTH for n in range(3))
_SLOT = 3 * WIDTH


@njit(nogil=True)
def _aligned(size):
    """Workspace that begins at the start of a cache line, where vectors are read at once."""
    work = np.empty(size + 8)
    return work[(64 - work.ctypes.data % 64) % 64 // 8 :]


@njit(nogil=True, forceinline=True)
def _add_by_indicator(buffer, lane_clinician, lane, slot_indicator, at, out1, value1, out2, value2, out3, value3):
    """Add each lane's numbers in the row of its clinician and the column of its indicator."""
    store(buffer, 0, value1)
    for l in range(WIDTH):
        out1[lane_clinician[lane + l], slot_indicator[at + l]] += buffer[l]
    store(buffer, 0, value2)
    for l in range(WIDTH):
        out2[lane_clinician[lane + l], slot_indicator[at + l]] += buffer[l]
    store(buffer, 0, value3)
    for l in range(WIDTH):
        out3[lane_clinician[lane + l], slot_indicator[at + l]] += buffer[l]


def make_blocks(integrated):
    """The kernel with the level integrated or, without its column, for e = 0."""
    columns = (8 if integrated else 6) * WIDTH

    @njit(nogil=True)
    def run(
        begin, end, blocks, flags, gap, score, weight, slot_epoch, slot_indicator, lane_clinician, lane_anchor, lane_answers,
        clinician, shift, level_mean, level_var, start_shift, start_var, intercept, loading, error_var,
        log_density, d_clinician, d_shift, d_level_mean, d_level_var, d_start_shift, d_start_var, d_intercept, d_loading, d_error,
    ):  # fmt: skip
        """Blocks ``begin`` to ``end``: adds their clinicians' values and derivatives to the outputs."""
        longest = 1
        most = 1
        for b in range(begin, end):
            longest = max(longest, np.int64(blocks[b + 1, 0] - blocks[b, 0]))
            most = max(most, np.int64(blocks[b + 1, 2] - blocks[b, 2]))
        work = _aligned(longest * columns)
        slots = _aligned(most * _SLOT)
        buffer = np.empty(WIDTH)
        zero = broadcast(0.0)
        one = broadcast(1.0)

        for b in range(begin, end):
            lane = b * WIDTH
            row_begin = np.int64(blocks[b, 0])
            first = np.int64(blocks[b, 1])
            row_end = np.int64(blocks[b + 1, 0])
            slot_begin = np.int64(blocks[b, 2])
            question = np.int64(blocks[b, 3]) * WIDTH

            # exponentials: every epoch's level, rate and variance, and every row's share of the way
            log_level = gather(clinician, lane_clinician, lane, 3, 0)
            log_rate = gather(clinician, lane_clinician, lane, 3, 1)
            log_sd = gather(clinician, lane_clinician, lane, 3, 2)
            for s in range(slot_begin, np.int64(blocks[b + 1, 2])):
                at = (s - slot_begin) * _SLOT
                store(slots, at + _LEVEL, exp(log_level + gather(shift, slot_epoch, s * WIDTH, 3, 0)))
                store(slots, at + _RATE, exp(log_rate + gather(shift, slot_epoch, s * WIDTH, 3, 1)))
                store(slots, at + _VARIANCE, exp(2.0 * (log_sd + gather(shift, slot_epoch, s * WIDTH, 3, 2))))
            slot = 0
            rate = load(slots, _RATE)
            g = zero
            for t in range(row_begin, row_end):
                flag = flags[t]
                if flag & EPOCH:
                    slot += _SLOT
                    rate = load(slots, slot + _RATE)
                if flag & SHARE:
                    g = approach(rate * load(gap, t * WIDTH))
                if flag & MOVES:
                    store(work, (t - row_begin) * columns + _SHARE, g)

            # forward: the prelude moves the expected start; then the filter
            slot = 0
            level = load(slots, _LEVEL)
            variance = load(slots, _VARIANCE)
            x = level
            for t in range(row_begin, first):
                flag = flags[t]
                w = (t - row_begin) * columns
                if flag & EPOCH:
                    slot += _SLOT
                    level = load(slots, slot + _LEVEL)
                    variance = load(slots, slot + _VARIANCE)
                if flag & MOVES:
                    store(work, w + _MEAN, x)
                    x = muladd(load(work, w + _SHARE), level - x, x)
            anchor = load(lane_anchor, lane)
            ld = x * anchor
            mean = ld + gather(start_shift, lane_clinician, lane, 1, 0)
            var = gather(start_var, lane_clinician, lane, 1, 0)
            icpt = gather(intercept, slot_indicator, question, 1, 0)
            lam = gather(loading, slot_indicator, question, 1, 0)
            err = gather(error_var, slot_indicator, question, 1, 0)
            product = one
            exponent = as_words(zero)
            s_vv = zero
            s_vl = zero
            s_ll = zero
            for t in range(first, row_end):
                flag = flags[t]
                w = (t - row_begin) * columns
                if flag & EPOCH:
                    slot += _SLOT
                    level = load(slots, slot + _LEVEL)
                    variance = load(slots, slot + _VARIANCE)
                if flag & MOVES:
                    store(work, w + _MEAN_BEFORE, mean)
                    store(work, w + _VAR_BEFORE, var)
                    g = load(work, w + _SHARE)
                    keep = 1.0 - g
                    to_level = g * level
                    mean = muladd(keep, mean, to_level)
                    var = muladd(keep * keep, var, g * (2.0 - g) * variance)
                    if integrated:
                        store(work, w + _LOAD_BEFORE, ld)
                        ld = muladd(keep, ld, to_level)
                if flag & ANSWERS:
                    if flag & INDICATOR:
                        question += WIDTH
                        icpt = gather(intercept, slot_indicator, question, 1, 0)
                        lam = gather(loading, slot_indicator, question, 1, 0)
                        err = gather(error_var, slot_indicator, question, 1, 0)
                    each = load(weight, t * WIDTH)
                    seen = each > 0.0
                    error = err * each
                    lam_var = lam * var
                    total = select(seen, muladd(lam, lam_var, error), one)
                    inverse = 1.0 / total
                    precision = select(seen, inverse, zero)
                    v = muladd(zero - lam, mean, load(score, t * WIDTH) - icpt)
                    gain = lam_var * precision
                    store(work, w + _MEAN, mean)
                    store(work, w + _VAR, var)
                    store(work, w + _PRECISION, precision)
                    mean = muladd(gain, v, mean)
                    var = var * select(seen, error * inverse, one)
                    weighted = v * precision
                    s_vv = muladd(v, weighted, s_vv)
                    if integrated:
                        store(work, w + _LOAD, ld)
                        obs_load = lam * ld
                        ld = muladd(zero - gain, obs_load, ld)
                        s_vl = muladd(weighted, obs_load, s_vl)
                        s_ll = muladd(obs_load * obs_load, precision, s_ll)
                    more, product = split(product * total)
                    exponent = exponent + (more - 1023)
            log_det = log_of_product(rounded(exponent), product)

            # the level's deviation e: posterior mean and variance
            n_answers = load(lane_answers, lane)
            density = muladd(n_answers, broadcast(LOG_2PI), log_det + s_vv)
            if integrated:
                mu = gather(level_mean, lane_clinician, lane, 1, 0)
                s2 = gather(level_var, lane_clinician, lane, 1, 0)
                d = muladd(s2, s_ll, one)
                q = s_vl - mu * s_ll
                share = q / d
                density = density - 2.0 * mu * s_vl + mu * mu * s_ll + log(d) - s2 * q * share
                e = muladd(s2, share, mu)
                e_var = s2 / d
                scatter_add(d_level_mean, lane_clinician, lane, 1, 0, share)
                scatter_add(d_level_var, lane_clinician, lane, 1, 0, 0.5 * (share * share - s_ll / d))
                scale = 1.0 + e
            else:
                e = zero
                e_var = zero
                scale = one
            scatter_add(log_density, lane_clinician, lane, 1, 0, -0.5 * density)

            # backward
            r = zero
            r_l = zero
            n = zero
            d_level = zero
            d_rate = zero
            d_variance = zero
            sum_level = zero
            sum_rate = zero
            sum_variance = zero
            sum_icpt = zero
            sum_lam = zero
            sum_err = zero
            rate = load(slots, slot + _RATE)
            for t in range(row_end - 1, first - 1, -1):
                flag = flags[t]
                w = (t - row_begin) * columns
                if flag & ANSWERS:
                    precision = load(work, w + _PRECISION)
                    mean = load(work, w + _MEAN)
                    var = load(work, w + _VAR)
                    each = load(weight, t * WIDTH)
                    error = err * each
                    if integrated:
                        ld = load(work, w + _LOAD)
                        mean = muladd(e, ld, mean)
                    v = muladd(zero - lam, mean, load(score, t * WIDTH) - icpt)
                    by_state = var * precision
                    gain = lam * by_state
                    rest = select(precision > 0.0, error * precision, one)
                    gain_n = gain * n
                    u = muladd(zero - gain, r, v * precision)
                    square = u * u
                    r = muladd(lam, u, r)
                    by_lam = u * muladd(var, r, mean) - by_state * (lam - error * gain_n)
                    if integrated:
                        u_l = muladd(zero - gain, r_l, lam * ld * precision)
                        r_l = muladd(lam, u_l, r_l)
                        e_u_l = e_var * u_l
                        square = muladd(e_u_l, u_l, square)
                        by_lam = by_lam - e_u_l * muladd(zero - var, r_l, ld)
                    sum_icpt = sum_icpt + u
                    sum_lam = sum_lam + by_lam
                    sum_err = muladd(each, square - muladd(gain, gain_n, precision), sum_err)
                    n = muladd(rest * rest, n, lam * lam * precision)
                    if flag & INDICATOR:
                        _add_by_indicator(
                            buffer, lane_clinician, lane, slot_indicator, question,
                            d_intercept, sum_icpt, d_loading, sum_lam, d_error, 0.5 * sum_err,
                        )  # fmt: skip
                        sum_icpt = zero
                        sum_lam = zero
                        sum_err = zero
                        question -= WIDTH
                        icpt = gather(intercept, slot_indicator, question, 1, 0)
                        lam = gather(loading, slot_indicator, question, 1, 0)
                        err = gather(error_var, slot_indicator, question, 1, 0)
                if flag & MOVES:
                    g = load(work, w + _SHARE)
                    keep = 1.0 - g
                    by_var = muladd(r, r, zero - n)
                    e_level = scale * level
                    mean = load(work, w + _MEAN_BEFORE)
                    by_level = r * scale
                    if integrated:
                        ld = load(work, w + _LOAD_BEFORE)
                        mean = muladd(e, ld, mean)
                        e_r_l = e_var * r_l
                        by_var = muladd(e_r_l, r_l, by_var)
                        by_level = by_level - e_r_l
                        by_share = r * (e_level - mean) - e_r_l * (level - ld)
                    else:
                        by_share = r * (e_level - mean)
                    by_share = muladd(by_var * keep, variance - load(work, w + _VAR_BEFORE), by_share)
                    d_level = muladd(g, by_level, d_level)
                    d_variance = muladd(g * (2.0 - g), by_var, d_variance)
                    d_rate = muladd(by_share * keep, load(gap, t * WIDTH), d_rate)
                    r = r * keep
                    r_l = r_l * keep
                    n = n * keep * keep
                if flag & EPOCH:
                    d_level = d_level * level
                    d_rate = d_rate * rate
                    d_variance = d_variance * variance
                    at = slot_begin * WIDTH + slot // 3
                    scatter_add(d_shift, slot_epoch, at, 3, 0, d_level)
                    scatter_add(d_shift, slot_epoch, at, 3, 1, d_rate)
                    scatter_add(d_shift, slot_epoch, at, 3, 2, d_variance)
                    sum_level = sum_level + d_level
                    sum_rate = sum_rate + d_rate
                    sum_variance = sum_variance + d_variance
                    d_level = zero
                    d_rate = zero
                    d_variance = zero
                    slot -= _SLOT
                    level = load(slots, slot + _LEVEL)
                    rate = load(slots, slot + _RATE)
                    variance = load(slots, slot + _VARIANCE)
            _add_by_indicator(
                buffer, lane_clinician, lane, slot_indicator, question,
                d_intercept, sum_icpt, d_loading, sum_lam, d_error, 0.5 * sum_err,
            )  # fmt: skip
            by_var = muladd(r, r, zero - n)
            by_start = r * scale
            if integrated:
                by_var = muladd(e_var * r_l, r_l, by_var)
                by_start = by_start - e_var * r_l
            by_start = by_start * anchor
            scatter_add(d_start_shift, lane_clinician, lane, 1, 0, r)
            scatter_add(d_start_var, lane_clinician, lane, 1, 0, 0.5 * by_var)
            for t in range(first - 1, row_begin - 1, -1):
                flag = flags[t]
                if flag & MOVES:
                    w = (t - row_begin) * columns
                    g = load(work, w + _SHARE)
                    keep = 1.0 - g
                    d_level = muladd(g, by_start, d_level)
                    d_rate = muladd(by_start * (level - load(work, w + _MEAN)), load(gap, t * WIDTH) * keep, d_rate)
                    by_start = by_start * keep
                if flag & EPOCH:
                    d_level = d_level * level
                    d_rate = d_rate * rate
                    d_variance = d_variance * variance
                    at = slot_begin * WIDTH + slot // 3
                    scatter_add(d_shift, slot_epoch, at, 3, 0, d_level)
                    scatter_add(d_shift, slot_epoch, at, 3, 1, d_rate)
                    scatter_add(d_shift, slot_epoch, at, 3, 2, d_variance)
                    sum_level = sum_level + d_level
                    sum_rate = sum_rate + d_rate
                    sum_variance = sum_variance + d_variance
                    d_level = zero
                    d_rate = zero
                    d_variance = zero
                    slot -= _SLOT
                    level = load(slots, slot + _LEVEL)
                    rate = load(slots, slot + _RATE)
                    variance = load(slots, slot + _VARIANCE)
            d_level = (d_level + by_start) * level
            d_rate = d_rate * rate
            d_variance = d_variance * variance
            at = slot_begin * WIDTH
            scatter_add(d_shift, slot_epoch, at, 3, 0, d_level)
            scatter_add(d_shift, slot_epoch, at, 3, 1, d_rate)
            scatter_add(d_shift, slot_epoch, at, 3, 2, d_variance)
            scatter_add(d_clinician, lane_clinician, lane, 3, 0, sum_level + d_level)
            scatter_add(d_clinician, lane_clinician, lane, 3, 1, sum_rate + d_rate)
            scatter_add(d_clinician, lane_clinician, lane, 3, 2, sum_variance + d_variance)

    return run
