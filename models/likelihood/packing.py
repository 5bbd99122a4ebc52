"""The flat arrays of a study laid out for several clinicians side by side: blocks of time x lane.

A block holds `lanes.WIDTH` clinicians, one in each lane, and as many rows as the longest of them has steps; clinicians are
sorted so that those of a block are much alike. Preludes end at the same row, so that the first surveys stand in one row.
Where a clinician has no step, the row is one without duration and answer, which changes nothing. The last block is filled
up with its last clinician without steps.
"""

from __future__ import annotations

import numpy as np

from .lanes import WIDTH

# what a row does, in any of its lanes
MOVES = 1  # time passes
SHARE = 2  # ... and not as in the last row in which it passed
EPOCH = 4  # another epoch begins
ANSWERS = 8  # there is an answer
INDICATOR = 16  # ... to another question than the last
SINGLE = 32  # ... and one in every lane, so that weights are 1 and need not be read

PACKED = (
    "blocks", "flags", "gap", "score", "weight", "slot_epoch", "slot_columns", "slot_indicator", "lane_clinician", "lane_anchor",
    "lane_answers",
)  # fmt: skip


def _filled(values, known, begin, before):
    """Unknown entries (rows x lanes) as in the last row known, from row ``begin`` of the block on, and else ``before``."""
    row = np.maximum.accumulate(np.where(known, np.arange(len(values))[:, None], -1), axis=0)
    return np.where(row >= begin[:, None], np.take_along_axis(values, np.maximum(row, 0), axis=0), before)


def _slots(values, changes, block_of, initial):
    """Values at the start of each block and wherever they change, and each block's place among them."""
    blocks = len(initial)
    row = np.flatnonzero(changes)
    order = np.lexsort((np.append(np.full(blocks, -1), row), np.append(np.arange(blocks), block_of[row])))
    first = np.append(0, np.cumsum(1 + np.bincount(block_of[row], minlength=blocks)))
    return np.concatenate([initial, values[row]])[order], first


def pack(
    step_offset, step_prelude, step_gap, step_epoch, step_survey, epoch_base,
    survey_score, survey_repeats, survey_indicator, start_anchor, epoch_columns=None,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Arrays of `filter.log_likelihood`, and the columns of each epoch (epochs x columns), laid out for `blocks`.

    Returns
    -------
    dict
        ``blocks`` : int (blocks + 1, 4), where each block's rows begin, its rows after the preludes, its slots of epochs and
        its slots of indicators; ``flags`` : int (rows), what each row does; ``gap``, ``score``, ``weight`` : float (rows x
        lanes), duration, score (0 where there is none) and one over the answers averaged in it (0 where there is none);
        ``slot_epoch``, ``slot_indicator`` : int (slots x lanes), the epoch of every lane at the block's start (the base epoch)
        and wherever that of any changes, and likewise the indicator; ``slot_columns`` : float (slots x columns x lanes), the
        columns of those epochs; ``lane_clinician``, ``lane_anchor``, ``lane_answers`` :
        (blocks x lanes), the clinician, the start's anchor and the number of answers. Two-dimensional ones are flat.
    """
    count = epoch_base.size
    length = np.diff(step_offset)
    clinician = np.repeat(np.arange(count), length)
    step = np.arange(step_gap.size)
    begin = step_offset[:-1]

    # a step of no length is in no epoch: it stays in the one before, so that there is less to load
    last = np.maximum.accumulate(np.where(step_gap > 0, step, -1))
    epoch = np.where(last >= begin[clinician], step_epoch[np.maximum(last, 0)], epoch_base[clinician])
    change = step[1:][(epoch[1:] != epoch[:-1]) & (clinician[1:] == clinician[:-1])]
    first_change, last_change = np.zeros((2, count), int)
    first_change[clinician[change][::-1]] = (change - begin[clinician[change]])[::-1]
    last_change[clinician[change]] = change - begin[clinician[change]]
    order = np.lexsort((last_change, first_change, step_prelude, length - step_prelude))

    blocks = -(-count // WIDTH)
    lanes = np.append(order, np.full(blocks * WIDTH - count, order[-1]))
    place = np.empty(count, int)
    place[order] = np.arange(count)
    by_block = lanes.reshape(blocks, WIDTH)
    prelude = step_prelude[by_block].max(axis=1)
    rows_of = prelude + np.maximum((length - step_prelude)[by_block].max(axis=1), 1)
    first_row = np.append(0, np.cumsum(rows_of))
    rows = int(first_row[-1])
    block_of = np.repeat(np.arange(blocks), rows_of)
    block, lane = np.divmod(place[clinician], WIDTH)
    row = first_row[block] + (prelude[block] - step_prelude[clinician]) + step - begin[clinician]

    gap, score, weight = np.zeros((3, rows, WIDTH))
    gap[row, lane] = step_gap
    answered = step_survey >= 0
    answered[answered] = ~np.isnan(survey_score[step_survey[answered]])
    r, where = step_survey[answered], (row[answered], lane[answered])
    score[where], weight[where] = survey_score[r], 1.0 / survey_repeats[r]

    at_start = first_row[:-1][block_of]
    base = epoch_base[by_block]
    known, in_force = np.zeros((rows, WIDTH), bool), np.zeros((rows, WIDTH), int)
    known[row, lane], in_force[row, lane] = True, epoch
    in_force = _filled(in_force, known, at_start, base[block_of])
    indicator = np.zeros((rows, WIDTH), int)
    indicator[where] = survey_indicator[r]
    indicator = _filled(indicator, weight > 0, at_start, 0)

    def differs(values, initial):
        before = np.roll(values, 1, axis=0)
        before[first_row[:-1]] = initial
        return (values != before).any(axis=1)

    moves = (gap > 0).any(axis=1)
    moving = np.flatnonzero(moves)
    other = np.ones(moving.size, bool)
    a, b = moving[1:], moving[:-1]
    other[1:] = (block_of[a] != block_of[b]) | (gap[a] != gap[b]).any(axis=1) | (in_force[a] != in_force[b]).any(axis=1)
    share = np.zeros(rows, bool)
    share[moving] = other
    new_epoch, new_indicator = differs(in_force, base), differs(indicator, 0)
    slot_epoch, first_slot = _slots(in_force, new_epoch, block_of, base)
    slot_indicator, first_question = _slots(indicator, new_indicator, block_of, np.zeros((blocks, WIDTH), int))
    flags = MOVES * moves + SHARE * share + EPOCH * new_epoch + ANSWERS * (weight > 0).any(axis=1) + INDICATOR * new_indicator
    flags += SINGLE * (weight == 1).all(axis=1)
    after = first_row + np.append(prelude, 0)
    answers = np.bincount(clinician[answered], minlength=count).astype(float)
    answers = np.append(answers[order], np.zeros(blocks * WIDTH - count))
    columns = np.zeros((0, len(slot_epoch), WIDTH)) if epoch_columns is None else epoch_columns.T[:, slot_epoch]
    packed = (
        np.column_stack([first_row, after, first_slot, first_question]), flags, gap, score, weight, slot_epoch,
        np.ascontiguousarray(columns.swapaxes(0, 1)), slot_indicator,
        lanes, start_anchor[lanes].astype(float), answers,
    )  # fmt: skip
    out = {}
    for name, values in zip(PACKED, packed, strict=True):
        values = values if name == "blocks" else values.reshape(-1)
        out[name] = values.astype(np.int32) if values.dtype.kind in "iu" else values  # PyMC holds integers so
    return out
