"""The filter and its adjoint for the clinicians of a block, side by side.

The recursions are those of `filter`, against which the tests hold this, in a form that needs less on the way back. The
derivative by a state's mean, r, and n, which does not depend on the scores, follow from the innovation v, its variance F and
the gain K (de Jong 1989, JASA 84; Durbin & Koopman 2012, section 4.5),

    u = v/F - K r,   r <- lambda u + r,   n <- lambda^2/F + (1 - K lambda)^2 n ,

and the derivative by a state's variance is (r^2 - n)/2. With e integrated r is linear in e, so that every expectation over e
given the scores is the value at e's posterior mean, plus e's posterior variance times the product of two slopes (r_load, ...).
Logarithms of innovation variances are taken of their product, whose exponent is kept apart as an integer.

Three tuples go through: ``packed``, the arrays of `packing.pack`; ``given``, the parameters of `side_by_side`; ``out``, its
results. ``integrated`` is a constant of the caller's, so that the compiler leaves out what it does not need.
"""

import numpy as np

from .elementary import approach, exp, log_of_product, split
from .lanes import WIDTH, as_words, broadcast, gather, inlined, load, muladd, prefetch, rounded, select, store
from .packing import ANSWERS, EPOCH, INDICATOR, MOVES, SHARE, SINGLE

# data are asked for so many rows before they are read: a block's are too few for the processor to see what comes next
# (a million rows: 4.1 ns a row in place of 5.3)
AHEAD = 40
# columns of the workspace, by row: share of the way to the level; mean, variance and loading before the step and as
# predicted at its end (the prelude keeps its x in the first); one over the innovation's variance
COLUMNS = 8 * WIDTH
W_SHARE, W_MEAN_BEFORE, W_VAR_BEFORE, W_LOAD_BEFORE, W_MEAN, W_VAR, W_LOAD, W_PRECISION = (n * WIDTH for n in range(8))
# ... and by slot of epochs: level, rate and variance, and on the way back the derivatives by their logs
SLOT = 3 * WIDTH
S_LEVEL, S_RATE, S_VARIANCE = (n * WIDTH for n in range(3))


@inlined
def epoch(slots, slot):
    """Level, rate and variance of every lane's epoch."""
    return load(slots, slot + S_LEVEL), load(slots, slot + S_RATE), load(slots, slot + S_VARIANCE)


@inlined
def measurement(given, slot_indicator, question):
    """Intercept, loading and error variance of every lane's indicator."""
    _, _, _, _, _, _, _, intercept, loading, error_var = given
    return (
        gather(intercept, slot_indicator, question, 1, 0),
        gather(loading, slot_indicator, question, 1, 0),
        gather(error_var, slot_indicator, question, 1, 0),
    )


@inlined
def exponentials(b, packed, given, slots, work, by_effect):
    """Level, rate and variance of every slot of epochs, and every row's share of the way: all exponentials of a block.

    ``by_effect`` is filled with the effects of every lane.
    """
    blocks, flags, gap, score, _, slot_epoch, slot_columns, _, lane_clinician, _, _ = packed
    clinician, shift, effects = given[0], given[1], given[2]
    lane = b * WIDTH
    columns = np.int64(effects.shape[1]) // 3
    own = 3 * columns if effects.shape[0] > 1 else 0
    for c in range(3 * columns):
        store(by_effect, c * WIDTH, gather(effects, lane_clinician, lane, own, c))
    log_level = gather(clinician, lane_clinician, lane, 3, 0)
    log_rate = gather(clinician, lane_clinician, lane, 3, 1)
    log_sd = gather(clinician, lane_clinician, lane, 3, 2)
    begin = np.int64(blocks[b, 2])
    for s in range(begin, np.int64(blocks[b + 1, 2])):
        slot = (s - begin) * SLOT
        by_level = log_level
        by_rate = log_rate
        by_sd = log_sd
        if shift.shape[0] > 0:
            by_level = by_level + gather(shift, slot_epoch, s * WIDTH, 3, 0)
            by_rate = by_rate + gather(shift, slot_epoch, s * WIDTH, 3, 1)
            by_sd = by_sd + gather(shift, slot_epoch, s * WIDTH, 3, 2)
        for c in range(columns):
            x = load(slot_columns, (s * columns + c) * WIDTH)
            by_level = muladd(x, load(by_effect, 3 * c * WIDTH), by_level)
            by_rate = muladd(x, load(by_effect, (3 * c + 1) * WIDTH), by_rate)
            by_sd = muladd(x, load(by_effect, (3 * c + 2) * WIDTH), by_sd)
        store(slots, slot + S_LEVEL, exp(by_level))
        store(slots, slot + S_RATE, exp(by_rate))
        store(slots, slot + S_VARIANCE, exp(2.0 * by_sd))
    slot = 0
    rate = load(slots, S_RATE)
    g = broadcast(0.0)
    begin = np.int64(blocks[b, 0])
    for t in range(begin, np.int64(blocks[b + 1, 0])):
        flag = flags[t]
        prefetch(gap, (t + AHEAD) * WIDTH)
        prefetch(score, (t + AHEAD) * WIDTH)
        if flag & EPOCH:
            slot += SLOT
            rate = load(slots, slot + S_RATE)
        if flag & SHARE:
            g = approach(rate * load(gap, t * WIDTH))
        if flag & MOVES:
            store(work, (t - begin) * COLUMNS + W_SHARE, g)


@inlined
def forward(b, integrated, packed, given, slots, work):
    """Filter a block; fills ``work``.

    Returns
    -------
    log_det, s_vv, s_vl, s_ll
        As in `filter.forward`.
    slot, question
        Where the last epoch and the last indicator are.
    """
    blocks, flags, _, score, weight, _, _, slot_indicator, lane_clinician, lane_anchor, _ = packed
    start_shift, start_var = given[5], given[6]
    lane = b * WIDTH
    begin = np.int64(blocks[b, 0])
    first = np.int64(blocks[b, 1])
    zero = broadcast(0.0)
    one = broadcast(1.0)

    slot = 0
    level, _, variance = epoch(slots, slot)
    x = level
    for t in range(begin, first):
        flag = flags[t]
        w = (t - begin) * COLUMNS
        if flag & EPOCH:
            slot += SLOT
            level, _, variance = epoch(slots, slot)
        if flag & MOVES:
            store(work, w + W_MEAN_BEFORE, x)
            x = muladd(load(work, w + W_SHARE), level - x, x)

    load_e = x * load(lane_anchor, lane)
    mean = load_e + gather(start_shift, lane_clinician, lane, 1, 0)
    var = gather(start_var, lane_clinician, lane, 1, 0)
    question = np.int64(blocks[b, 3]) * WIDTH
    icpt, lam, err = measurement(given, slot_indicator, question)
    product = one
    exponent = as_words(zero)
    s_vv = zero
    s_vl = zero
    s_ll = zero
    for t in range(first, np.int64(blocks[b + 1, 0])):
        flag = flags[t]
        w = (t - begin) * COLUMNS
        if flag & EPOCH:
            slot += SLOT
            level, _, variance = epoch(slots, slot)
        if flag & MOVES:
            store(work, w + W_MEAN_BEFORE, mean)
            store(work, w + W_VAR_BEFORE, var)
            g = load(work, w + W_SHARE)
            keep = 1.0 - g
            mean = muladd(keep, mean, g * level)
            var = muladd(keep * keep, var, g * (2.0 - g) * variance)
            if integrated:
                store(work, w + W_LOAD_BEFORE, load_e)
                load_e = muladd(keep, load_e, g * level)
        if flag & ANSWERS:
            if flag & INDICATOR:
                question += WIDTH
                icpt, lam, err = measurement(given, slot_indicator, question)
            share = one if flag & SINGLE else load(weight, t * WIDTH)
            seen = share > 0.0
            error = err * share
            lam_var = lam * var
            total = select(seen, muladd(lam, lam_var, error), one)
            inverse = 1.0 / total
            precision = select(seen, inverse, zero)
            v = muladd(zero - lam, mean, load(score, t * WIDTH) - icpt)
            gain = lam_var * precision
            store(work, w + W_MEAN, mean)
            store(work, w + W_VAR, var)
            store(work, w + W_PRECISION, precision)
            mean = muladd(gain, v, mean)
            var = var * select(seen, error * inverse, one)
            weighted = v * precision
            # a variance that is not finite must show: its logarithm below would not (the difference is 0, or else NaN)
            s_vv = muladd(v, weighted, s_vv) + (total - total)
            if integrated:
                store(work, w + W_LOAD, load_e)
                obs_load = lam * load_e
                load_e = muladd(zero - gain, obs_load, load_e)
                s_vl = muladd(weighted, obs_load, s_vl)
                s_ll = muladd(obs_load * obs_load, precision, s_ll)
            more, product = split(product * total)
            exponent = exponent + (more - 1023)
    return log_of_product(rounded(exponent), product), s_vv, s_vl, s_ll, slot, question
