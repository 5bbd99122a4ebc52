"""The way back through a block of clinicians side by side; recursions and tuples are explained in `blocks`."""

import numpy as np

from .blocks import (
    COLUMNS,
    SLOT,
    W_LOAD,
    W_LOAD_BEFORE,
    W_MEAN,
    W_MEAN_BEFORE,
    W_PRECISION,
    W_SHARE,
    W_VAR,
    W_VAR_BEFORE,
    epoch,
    measurement,
)
from .lanes import WIDTH, broadcast, inlined, load, muladd, scatter, scatter_add, select, store
from .packing import ANSWERS, EPOCH, INDICATOR, MOVES, SINGLE


@inlined
def _to_epochs(d_shift, slot_epoch, at, by_level, by_rate, by_variance):
    """Add to the derivatives of every lane's epoch."""
    scatter_add(d_shift, slot_epoch, at, 3, 0, by_level)
    scatter_add(d_shift, slot_epoch, at, 3, 1, by_rate)
    scatter_add(d_shift, slot_epoch, at, 3, 2, by_variance)


@inlined
def _to_indicator(out, lane_clinician, lane, slot_indicator, question, value, buffer):
    """Add to ``out`` (clinicians x indicators) of every lane's clinician and indicator."""
    store(buffer, 0, value)
    for n in range(WIDTH):
        out[lane_clinician[lane + n], slot_indicator[question + n]] += buffer[n]


@inlined
def backward(b, integrated, e, e_var, slot, question, packed, given, out, slots, work, buffer):
    """Derivatives of a block by everything but the distribution of e, from its posterior mean ``e`` and variance ``e_var``.

    ``slot`` and ``question`` are what `blocks.forward` returned.
    """
    blocks, flags, gap, score, weight, slot_epoch, slot_indicator, lane_clinician, lane_anchor, _ = packed
    _, d_clinician, d_shift, _, _, d_start_shift, d_start_var, d_intercept, d_loading, d_error = out
    lane = b * WIDTH
    begin = np.int64(blocks[b, 0])
    first = np.int64(blocks[b, 1])
    first_slot = np.int64(blocks[b, 2]) * WIDTH
    zero = broadcast(0.0)
    one = broadcast(1.0)
    scale = 1.0 + e

    r = zero
    r_load = zero
    n = zero
    by_level = zero
    by_rate = zero
    by_variance = zero
    all_level = zero
    all_rate = zero
    all_variance = zero
    by_intercept = zero
    by_loading = zero
    by_error = zero
    level, rate, variance = epoch(slots, slot)
    icpt, lam, err = measurement(given, slot_indicator, question)
    for t in range(np.int64(blocks[b + 1, 0]) - 1, begin - 1, -1):
        flag = flags[t]
        w = (t - begin) * COLUMNS
        if t < first:  # the prelude, where r is the derivative by the start's expectation
            if flag & MOVES:
                g = load(work, w + W_SHARE)
                keep = 1.0 - g
                by_level = muladd(g, r, by_level)
                by_rate = muladd(r * (level - load(work, w + W_MEAN_BEFORE)), load(gap, t * WIDTH) * keep, by_rate)
                r = r * keep
        else:
            if flag & ANSWERS:
                precision = load(work, w + W_PRECISION)
                mean = load(work, w + W_MEAN)
                var = load(work, w + W_VAR)
                share = one if flag & SINGLE else load(weight, t * WIDTH)
                error = err * share
                if integrated:
                    load_e = load(work, w + W_LOAD)
                    mean = muladd(e, load_e, mean)
                v = muladd(zero - lam, mean, load(score, t * WIDTH) - icpt)
                by_state = var * precision
                gain = lam * by_state
                u = muladd(zero - gain, r, v * precision)
                square = u * u
                r = muladd(lam, u, r)
                # the smoothed state times u, and what its posterior variance adds
                moment = muladd(u, muladd(var, r, mean), zero - by_state * (lam - error * gain * n))
                if integrated:
                    u_load = muladd(zero - gain, r_load, lam * load_e * precision)
                    r_load = muladd(lam, u_load, r_load)
                    spread = e_var * u_load
                    square = muladd(spread, u_load, square)
                    moment = moment - spread * muladd(zero - var, r_load, load_e)
                by_intercept = by_intercept + u
                by_loading = by_loading + moment
                by_error = muladd(share, square - muladd(gain * n, gain, precision), by_error)
                rest = select(precision > 0.0, error * precision, one)
                n = muladd(rest * rest, n, lam * lam * precision)
                if flag & INDICATOR:
                    _to_indicator(d_intercept, lane_clinician, lane, slot_indicator, question, by_intercept, buffer)
                    _to_indicator(d_loading, lane_clinician, lane, slot_indicator, question, by_loading, buffer)
                    _to_indicator(d_error, lane_clinician, lane, slot_indicator, question, 0.5 * by_error, buffer)
                    by_intercept = zero
                    by_loading = zero
                    by_error = zero
                    question -= WIDTH
                    icpt, lam, err = measurement(given, slot_indicator, question)
            if flag & MOVES:
                g = load(work, w + W_SHARE)
                keep = 1.0 - g
                mean = load(work, w + W_MEAN_BEFORE)
                by_var = muladd(r, r, zero - n)  # twice
                by_mean_and_load = r * scale
                if integrated:
                    load_e = load(work, w + W_LOAD_BEFORE)
                    mean = muladd(e, load_e, mean)
                    spread = e_var * r_load
                    by_var = muladd(spread, r_load, by_var)
                    by_mean_and_load = by_mean_and_load - spread
                    by_share = r * muladd(scale, level, zero - mean) - spread * (level - load_e)
                else:
                    by_share = r * (level - mean)
                by_share = muladd(by_var * keep, variance - load(work, w + W_VAR_BEFORE), by_share)
                by_level = muladd(g, by_mean_and_load, by_level)
                by_variance = muladd(g * (2.0 - g), by_var, by_variance)
                by_rate = muladd(by_share * keep, load(gap, t * WIDTH), by_rate)
                r = r * keep
                r_load = r_load * keep
                n = n * (keep * keep)
        if flag & EPOCH:
            by_level = by_level * level
            by_rate = by_rate * rate
            by_variance = by_variance * variance
            _to_epochs(d_shift, slot_epoch, first_slot + slot // 3, by_level, by_rate, by_variance)
            all_level = all_level + by_level
            all_rate = all_rate + by_rate
            all_variance = all_variance + by_variance
            by_level = zero
            by_rate = zero
            by_variance = zero
            slot -= SLOT
            level, rate, variance = epoch(slots, slot)
        if t == first:
            by_var = muladd(r, r, zero - n)
            by_mean_and_load = r * scale
            if integrated:
                spread = e_var * r_load
                by_var = muladd(spread, r_load, by_var)
                by_mean_and_load = by_mean_and_load - spread
            scatter(d_start_shift, lane_clinician, lane, 1, 0, r)
            scatter(d_start_var, lane_clinician, lane, 1, 0, 0.5 * by_var)
            r = by_mean_and_load * load(lane_anchor, lane)
    _to_indicator(d_intercept, lane_clinician, lane, slot_indicator, question, by_intercept, buffer)
    _to_indicator(d_loading, lane_clinician, lane, slot_indicator, question, by_loading, buffer)
    _to_indicator(d_error, lane_clinician, lane, slot_indicator, question, 0.5 * by_error, buffer)
    # the base epoch, where the start comes from
    by_level = (by_level + r) * level
    by_rate = by_rate * rate
    by_variance = by_variance * variance
    _to_epochs(d_shift, slot_epoch, first_slot, by_level, by_rate, by_variance)
    scatter(d_clinician, lane_clinician, lane, 3, 0, all_level + by_level)
    scatter(d_clinician, lane_clinician, lane, 3, 1, all_rate + by_rate)
    scatter(d_clinician, lane_clinician, lane, 3, 2, all_variance + by_variance)
