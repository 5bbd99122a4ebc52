"""The way back through a block of clinicians side by side; recursions and tuples are explained in `blocks`."""

import numpy as np

from .blocks import (
    COLUMNS,
    S_LEVEL,
    S_RATE,
    S_VARIANCE,
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
def _to_slot(slots, slot, by_level, by_rate, by_variance):
    """Derivatives by the logs of level, rate and standard deviation take the place of level, rate and variance (twice half of it)."""
    store(slots, slot + S_LEVEL, by_level * load(slots, slot + S_LEVEL))
    store(slots, slot + S_RATE, by_rate * load(slots, slot + S_RATE))
    store(slots, slot + S_VARIANCE, by_variance * load(slots, slot + S_VARIANCE))


@inlined
def to_parameters(b, packed, out, slots, by_effect):
    """What the slots of a block say of the clinicians' logs, their epochs and the effects."""
    blocks, _, _, _, _, slot_epoch, slot_columns, _, lane_clinician, _, _ = packed
    _, d_clinician, d_shift, d_effects, _, _, _, _, _, _, _ = out
    lane = b * WIDTH
    columns = np.int64(d_effects.shape[1]) // 3
    zero = broadcast(0.0)
    for c in range(3 * columns):
        store(by_effect, c * WIDTH, zero)
    all_level = zero
    all_rate = zero
    all_sd = zero
    begin = np.int64(blocks[b, 2])
    for s in range(begin, np.int64(blocks[b + 1, 2])):
        by_level, by_rate, by_sd = epoch(slots, (s - begin) * SLOT)
        all_level = all_level + by_level
        all_rate = all_rate + by_rate
        all_sd = all_sd + by_sd
        if d_shift.shape[0] > 0:
            scatter_add(d_shift, slot_epoch, s * WIDTH, 3, 0, by_level)
            scatter_add(d_shift, slot_epoch, s * WIDTH, 3, 1, by_rate)
            scatter_add(d_shift, slot_epoch, s * WIDTH, 3, 2, by_sd)
        for c in range(columns):
            x = load(slot_columns, (s * columns + c) * WIDTH)
            at = 3 * c * WIDTH
            store(by_effect, at, muladd(x, by_level, load(by_effect, at)))
            store(by_effect, at + WIDTH, muladd(x, by_rate, load(by_effect, at + WIDTH)))
            store(by_effect, at + 2 * WIDTH, muladd(x, by_sd, load(by_effect, at + 2 * WIDTH)))
    scatter(d_clinician, lane_clinician, lane, 3, 0, all_level)
    scatter(d_clinician, lane_clinician, lane, 3, 1, all_rate)
    scatter(d_clinician, lane_clinician, lane, 3, 2, all_sd)
    for c in range(3 * columns):
        scatter(d_effects, lane_clinician, lane, 3 * columns, c, load(by_effect, c * WIDTH))


@inlined
def _to_indicator(out, lane_clinician, lane, slot_indicator, question, value, buffer):
    """Add to ``out`` (clinicians x indicators) of every lane's clinician and indicator."""
    store(buffer, 0, value)
    for n in range(WIDTH):
        out[lane_clinician[lane + n], slot_indicator[question + n]] += buffer[n]


@inlined
def backward(b, integrated, e, e_var, slot, question, packed, given, out, slots, work, buffer):
    """Derivatives of a block by everything but the distribution of e, from its posterior mean ``e`` and variance ``e_var``.

    Those by the logs of each slot's epoch are left in ``slots``. ``slot`` and ``question`` are what `blocks.forward` returned.
    """
    blocks, flags, gap, score, weight, _, _, slot_indicator, lane_clinician, lane_anchor, _ = packed
    _, _, _, _, _, _, d_start_shift, d_start_var, d_intercept, d_loading, d_error = out
    lane = b * WIDTH
    begin = np.int64(blocks[b, 0])
    first = np.int64(blocks[b, 1])
    zero = broadcast(0.0)
    one = broadcast(1.0)
    scale = 1.0 + e

    r = zero
    r_load = zero
    n = zero
    by_level = zero
    by_rate = zero
    by_variance = zero
    by_intercept = zero
    by_loading = zero
    by_error = zero
    level = load(slots, slot + S_LEVEL)
    variance = load(slots, slot + S_VARIANCE)
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
            _to_slot(slots, slot, by_level, by_rate, by_variance)
            by_level = zero
            by_rate = zero
            by_variance = zero
            slot -= SLOT
            level = load(slots, slot + S_LEVEL)
            variance = load(slots, slot + S_VARIANCE)
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
    _to_slot(slots, slot, by_level + r, by_rate, by_variance)
