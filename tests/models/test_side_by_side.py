"""Several clinicians side by side give the numbers of the scalar filter, which gives those of the dense normal distribution."""

import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from numba import njit
from numba.core.errors import TypingError

from equipoise.models.likelihood import elementary, gradients, lanes, packing
from equipoise.models.likelihood.packing import pack
from equipoise.models.likelihood.side_by_side import LEAST_ROWS, VERSIONS, threads_are_safe

sys.path.insert(0, str(Path(__file__).parent))
from textbook import random_problem

NAMES = (
    "log_density", "clinician", "shift", "level_mean", "level_var", "start_shift", "start_var", "intercept", "loading", "error_var",
)  # fmt: skip
LEVEL = (3, 4)  # derivatives by the distribution of e
RATES = {"ordinary": (0.02, 2.0), "still": (1e-9, 1e-6), "saturated": (50.0, 5000.0), "all": (1e-9, 5000.0)}


def on_log_scale(arguments, owner, rng):
    """Parameters of the sampler's scale: logs by clinician, shifts by epoch, the rest as they are."""
    logs = np.log(np.column_stack([arguments[0], arguments[1], np.sqrt(arguments[2])]))
    clinician = rng.normal(size=(arguments[3].size, 3))
    return (clinician, logs - clinician[owner], *arguments[3:])


def a_study(seed, clinicians, rate=(0.02, 2.0), missing=0.3, steps=None, epochs=None):
    """Ragged arrays with everything that may happen; with ``steps`` long ones, answered or not, with many epochs."""
    rng = np.random.default_rng(seed)
    if steps is None:
        data, arguments, owner = random_problem(rng, clinicians, int(rng.integers(1, 4)), missing, rate)
    else:
        data, arguments, owner = long_study(rng, clinicians, steps, epochs)
    return data, owner, on_log_scale(arguments, owner, rng)


def long_study(rng, clinicians, steps, epochs):
    """Every clinician with about as many steps, two indicators, repeats, each epoch visited again and again."""
    length = steps + rng.integers(0, 3, clinicians)
    total, count = int(length.sum()), clinicians * epochs
    who = np.repeat(np.arange(clinicians), length)
    prelude = rng.integers(0, 4, clinicians)
    place = np.arange(total) - np.repeat(np.cumsum(length) - length, length)
    answered = (rng.random(total) < 0.9) & (place >= prelude[who])
    survey = np.where(answered, np.cumsum(answered) - 1, -1)
    rows = int(answered.sum())
    gap = np.where(rng.random(total) < 0.3, 0.0, rng.gamma(2, 0.5, total))
    data = (
        np.append(0, np.cumsum(length)), prelude, gap, who * epochs + rng.integers(0, epochs, total), survey,
        np.arange(clinicians) * epochs, rng.normal(50, 20, rows), rng.integers(1, 4, rows).astype(float), rng.integers(0, 2, rows),
        rng.integers(0, 2, clinicians).astype(float),
    )  # fmt: skip
    arguments = (
        rng.uniform(20, 80, count), np.exp(rng.normal(-1, 0.5, count)), rng.uniform(1, 300, count),
        rng.normal(0, 0.2, clinicians), rng.uniform(0, 0.2, clinicians), rng.normal(0, 5, clinicians),
        rng.uniform(0, 300, clinicians), np.array([0.0, 4.0]), np.array([1.0, 0.8]), np.array([30.0, 50.0]),
    )  # fmt: skip
    data = tuple(a if a.dtype == float else a.astype(np.int32) for a in data)
    return data, arguments, np.repeat(np.arange(clinicians), epochs).astype(np.int32)


NO_EFFECTS = np.zeros((1, 0))


def packed_numbers(data, parameters, integrated=True, threads=0, effects=NO_EFFECTS, columns=None):
    """Results by name, without those by ``effects`` where there are none; 0 threads: the version for one."""
    given = (*parameters[:2], effects, *(parameters[2:] if integrated else parameters[4:]))
    results = VERSIONS[integrated, threads > 0](threads, tuple(pack(*data, columns).values()), given)
    names = [n for k, n in enumerate(NAMES) if integrated or k not in LEVEL]
    found = dict(zip([*names[:3], "effects", *names[3:]], results, strict=True))
    if not effects.size:
        assert found.pop("effects").shape == (data[0].size - 1, 0)
    return found


def assert_same(data, owner, parameters, integrated=True):
    """Value and every derivative equal to the scalar filter's to 1e-10 of the largest of its kind, clinician by clinician."""
    if not integrated:
        parameters = (*parameters[:2], np.zeros_like(parameters[2]), np.zeros_like(parameters[3]), *parameters[4:])
    expected = dict(zip(NAMES, gradients.log_scale_gradients(*data, owner, *parameters), strict=True))
    for name, ours in packed_numbers(data, parameters, integrated).items():
        theirs = expected[name]
        largest = np.zeros(data[0].size - 1)
        whose = owner if name == "shift" else np.arange(largest.size)
        np.maximum.at(largest, whose, np.abs(theirs.reshape(whose.size, -1)).max(axis=1))
        worst = np.abs(ours - theirs).reshape(whose.size, -1).max(axis=1)
        assert (worst <= 1e-10 * largest[whose]).all(), name


@pytest.mark.parametrize("integrated", [True, False])
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("missing", [0.0, 0.3, 1.0])
def test_numbers_are_the_scalar_filter_s(integrated, rate, missing):
    for seed in range(40):
        # from one clinician over blocks that are not full to several blocks
        assert_same(*a_study(seed, 1 + seed, RATES[rate], missing), integrated)


@pytest.mark.parametrize("integrated", [True, False])
@pytest.mark.parametrize("clinicians, steps, epochs", [(1, 400, 3), (13, 60, 40), (24, 200, 1)])
def test_long_series_and_many_epochs(clinicians, steps, epochs, integrated):
    assert_same(*a_study(clinicians, clinicians, steps=steps, epochs=epochs), integrated)


@pytest.mark.parametrize("integrated", [True, False])
@pytest.mark.parametrize("own, shifted", [(False, False), (True, False), (True, True)])
def test_effects_of_columns_are_shifts_of_epochs(own, shifted, integrated):
    """The scalar filter with the columns' shifts written out; derivatives by effects from those by shifts."""
    for seed in range(10):
        data, owner, parameters = a_study(seed, 1 + 2 * seed)
        rng = np.random.default_rng(seed)
        count = data[0].size - 1
        columns = rng.normal(size=(owner.size, 3))
        effects = 0.1 * rng.normal(size=(count if own else 1, 9))
        by_epoch = effects.reshape(-1, 3, 3)[owner if own else np.zeros_like(owner)]
        moved = np.einsum("ej,ejc->ec", columns, by_epoch)
        level = parameters[2:4] if integrated else (np.zeros(count), np.zeros(count))
        # the clinicians' logs hold what the epochs had in common, where no epoch is shifted of its own
        shift = parameters[1] if shifted else np.zeros_like(parameters[1])
        clinician = parameters[0] if shifted else np.log([50.0, 0.3, 12.0]) + 0.1 * parameters[0]
        expected = dict(
            zip(NAMES, gradients.log_scale_gradients(*data, owner, clinician, shift + moved, *level, *parameters[4:]), strict=True)
        )
        given = (clinician, shift if shifted else np.zeros((0, 3)), *level, *parameters[4:])
        found = packed_numbers(data, given, integrated, effects=effects, columns=columns)
        by_effect = np.zeros((count, 3, 3))
        np.add.at(by_effect, owner, columns[:, :, None] * expected["shift"][:, None, :])
        expected["effects"] = by_effect.reshape(count, 9)
        for name, value in found.items():
            if name == "shift" and not shifted:
                assert value.shape == (0, 3)
                continue
            theirs = expected[name]
            np.testing.assert_allclose(value, theirs, rtol=1e-9, atol=1e-10 * np.abs(theirs).max(initial=1e-9), err_msg=name)


def test_numbers_do_not_depend_on_the_neighbours():
    """A clinician alone, and among others that need more rows, slots and preludes: the same but for the order of sums."""
    data, owner, parameters = a_study(3, 21)
    offset, prelude, gap, epoch, survey, base, *rest, anchor = data
    together = packed_numbers(data, parameters)
    for i in range(21):
        steps = slice(offset[i], offset[i + 1])
        mine = np.flatnonzero(owner == i)
        alone = (
            np.array([0, offset[i + 1] - offset[i]], np.int32), prelude[[i]], gap[steps], epoch[steps] - mine[0], survey[steps],
            base[[i]] - mine[0], *rest, anchor[[i]],
        )  # fmt: skip
        given = (parameters[0][[i]], parameters[1][mine], *(p[[i]] for p in parameters[2:6]), *parameters[6:])
        for name, value in packed_numbers(alone, given).items():
            here = together[name][mine if name == "shift" else [i]]
            np.testing.assert_allclose(value, here, rtol=1e-12, atol=1e-13 * np.abs(here).max(), err_msg=name)


@pytest.mark.parametrize("integrated", [True, False])
def test_numbers_do_not_depend_on_the_number_of_threads(integrated):
    data, _, parameters = a_study(5, 203, steps=80, epochs=3)  # enough for three threads
    assert data[2].size > 3 * LEAST_ROWS
    one = packed_numbers(data, parameters, integrated)
    for threads in (1, 2, 3, 1000):
        for name, value in packed_numbers(data, parameters, integrated, threads).items():
            np.testing.assert_array_equal(value, one[name], err_msg=name)


@pytest.mark.skipif(not threads_are_safe(), reason="numba has neither OpenMP nor TBB here")
def test_several_chains_may_use_threads_at_once():
    data, _, parameters = a_study(6, 203, steps=80, epochs=3)
    packed = tuple(pack(*data).values())
    parameters = (*parameters[:2], NO_EFFECTS, *parameters[2:])
    expected = VERSIONS[True, False](1, packed, parameters)
    VERSIONS[True, True](2, packed, parameters)  # compiled here
    wrong = []

    def chain():
        for _ in range(20):
            results = VERSIONS[True, True](2, packed, parameters)
            wrong.extend(not np.array_equal(a, b) for a, b in zip(results, expected, strict=True))

    chains = [threading.Thread(target=chain) for _ in range(3)]
    for thread in chains:
        thread.start()
    for thread in chains:
        thread.join()
    assert len(wrong) == 3 * 20 * (len(NAMES) + 1) and not any(wrong)


def test_parameters_need_not_be_contiguous():
    data, _, parameters = a_study(7, 9)
    spread = tuple(np.repeat(p, 2, axis=-1)[..., ::2] for p in parameters)
    assert not any(p.flags.c_contiguous for p in spread if p.shape[-1] > 1)
    expected = packed_numbers(data, parameters)
    for name, value in packed_numbers(data, spread).items():
        np.testing.assert_array_equal(value, expected[name])


@pytest.mark.parametrize("scale", [1e-17, 1e17])
def test_the_product_of_many_variances_neither_overflows_nor_underflows(scale):
    data, owner, parameters = a_study(8, 9, steps=300, epochs=2)
    clinician = parameters[0] + [0.0, 0.0, np.log(scale) / 2]
    moved = (clinician, *parameters[1:5], parameters[5] * scale, *parameters[6:8], parameters[8] * scale)
    assert_same(data, owner, moved)
    assert_same(data, owner, moved, integrated=False)


def test_what_is_not_finite_stays_so():
    """The sampler must see a density that cannot be computed, and only that clinician's."""
    data, _, parameters = a_study(9, 20)
    clinician = parameters[0].copy()
    clinician[4, 1] = np.nan
    value = packed_numbers(data, (clinician, *parameters[1:]))["log_density"]
    expected = packed_numbers(data, parameters)["log_density"]
    assert np.isnan(value[4])
    np.testing.assert_array_equal(np.delete(value, 4), np.delete(expected, 4))


@pytest.mark.parametrize("integrated", [True, False])
@pytest.mark.parametrize("column", [0, 1, 2])
@pytest.mark.parametrize("moved", [-800, -400, -150, 150, 200, 340, 360, 400, 720, 800])
def test_a_density_is_finite_only_where_the_scalar_filter_s_is(moved, column, integrated):
    """Warm-up goes to absurd places; a finite number there holds a chain fast."""
    for seed in range(4):
        data, owner, parameters = a_study(seed, 9, missing=0.0)
        clinician = parameters[0].copy()
        clinician[::2, column] += moved
        level = parameters[2:4] if integrated else np.zeros((2, 9))
        given = (clinician, parameters[1], *level, *parameters[4:])
        with np.errstate(all="ignore"):
            expected = gradients.log_scale_gradients(*data, owner, *given)[0]
        value = packed_numbers(data, given, integrated)["log_density"]
        finite = np.isfinite(value)
        if column == 1 and moved > 700:  # infinity times no time: not a number for the scalar filter, no change here
            expected[finite & ~np.isfinite(expected)] = value[finite & ~np.isfinite(expected)]
        assert not finite[~np.isfinite(expected)].any()
        # all but the level enter without differences of great numbers, and a level that is too great never pays
        assert (value[finite] < 200).all()
        if column:
            np.testing.assert_allclose(value[finite], expected[finite], rtol=1e-9)
        assert finite[1::2].all()  # of the others nothing is lost


# --- packing --------------------------------------------------------------------------------------------------------


def regular(clinicians, surveys, indicators=1):
    """Weekly surveys, one epoch, every indicator each week."""
    steps = surveys * indicators
    place = np.tile(np.arange(steps), clinicians)
    integer = [
        np.arange(clinicians + 1) * steps, np.zeros(clinicians), np.repeat(np.arange(clinicians), steps),
        np.arange(clinicians * steps), np.arange(clinicians), place % indicators,
    ]  # fmt: skip
    offset, prelude, epoch, survey, base, indicator = (a.astype(np.int32) for a in integer)
    gap = np.where((place % indicators == 0) & (place > 0), 1.0, 0.0)
    return offset, prelude, gap, epoch, survey, base, 1.0 * place, np.ones(place.size), indicator, np.ones(clinicians)


def test_a_regular_design_needs_one_exponential_a_block():
    packed = pack(*regular(20, 6, indicators=2))
    blocks = -(-20 // lanes.WIDTH)
    flags = packed["flags"]
    assert flags.size == blocks * 12
    assert ((flags & packing.SHARE) > 0).sum() == blocks
    assert ((flags & packing.MOVES) > 0).sum() == blocks * 5  # none at the first survey, nor between indicators
    assert not (flags & packing.EPOCH).any()
    assert packed["slot_epoch"].size == blocks * lanes.WIDTH


def test_packing_loses_nothing_and_adds_nothing():
    data, _, _ = a_study(11, 30)
    offset, prelude, gap, _, survey, _, score, repeats, *_ = data
    packed = pack(*data)
    rows = packed["blocks"][:, 0]
    lane_rows = [slice(rows[b], rows[b + 1]) for b in range(len(rows) - 1)]
    shape = (-1, lanes.WIDTH)
    seen = []
    for b, here in enumerate(lane_rows):
        for lane in range(lanes.WIDTH):
            i = packed["lane_clinician"].reshape(shape)[b, lane]
            if i in seen:  # the last block is filled up
                assert not packed["weight"].reshape(shape)[here, lane].any()
                continue
            seen.append(i)
            steps = slice(offset[i], offset[i + 1])
            ours = packed["gap"].reshape(shape)[here, lane]
            np.testing.assert_array_equal(ours[ours > 0], gap[steps][gap[steps] > 0])
            r = survey[steps][survey[steps] >= 0]
            r = r[~np.isnan(score[r])]
            weight = packed["weight"].reshape(shape)[here, lane]
            np.testing.assert_array_equal(packed["score"].reshape(shape)[here, lane][weight > 0], score[r])
            np.testing.assert_array_equal(weight[weight > 0], 1 / repeats[r])
            assert packed["lane_answers"].reshape(shape)[b, lane] == r.size
            before = packed["blocks"][b, 1] - rows[b]
            assert prelude[i] <= before  # the prelude ends where that of the others does
    assert sorted(seen) == list(range(30))
    # blocks are even: no clinician with fewer steps stands among those with more
    length = (np.diff(offset) - prelude)[packed["lane_clinician"]]
    assert (np.diff(length) >= 0).all()


# --- elementary functions -------------------------------------------------------------------------------------------


def of_all(function, x):
    """Apply a function of lanes to an array."""

    @njit
    def run(x, out):
        for at in range(0, x.size, lanes.WIDTH):
            lanes.store(out, at, function(lanes.load(x, at)))

    out = np.empty(x.size)
    run(np.ascontiguousarray(x), out)
    return out


@pytest.mark.parametrize(
    "function, reference, x",
    [
        (elementary.exp, np.exp, np.linspace(-707.9, 708.9, 4000)),
        (elementary.exp, np.exp, np.linspace(-3, 3, 4000)),
        (elementary.log, np.log, np.geomspace(1e-300, 1e300, 4000)),
        (elementary.log, np.log, 1 + np.geomspace(1e-15, 1, 4000)),
        (elementary.log, np.log, 1 - np.geomspace(1e-15, 0.9, 4000)),
        (elementary.approach, lambda x: -np.expm1(-x), np.append(0, np.geomspace(1e-300, 1e6, 3999))),
        (elementary.approach, lambda x: -np.expm1(-x), np.linspace(0.2, 40, 4000)),
    ],
)
def test_elementary_functions_are_accurate(function, reference, x):
    np.testing.assert_allclose(of_all(function, x), reference(x), rtol=5e-16, atol=0)


def test_elementary_functions_at_the_edges():
    x = np.array([np.inf, -np.inf, np.nan, 0.0, 710.0, -710.0, -1e300, 1e300])
    np.testing.assert_array_equal(of_all(elementary.exp, x), [np.inf, 0, np.nan, 1, np.inf, 0, 0, np.inf])
    x = np.array([np.inf, np.nan, 0.0, 5e-324, 1e-310, 1e308, 700.0, 701.0])
    np.testing.assert_array_equal(of_all(elementary.approach, x), [1, np.nan, 0, 5e-324, 1e-310, 1, 1, 1])


def test_lanes_refuse_what_cannot_be_read_at_a_flat_position():
    with pytest.raises(TypingError, match="expected a contiguous array of float64"):
        njit(lambda x: lanes.store(x, 0, lanes.load(x, 0)))(np.zeros(16)[::2])
