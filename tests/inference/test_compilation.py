"""The sampler's callbacks: the numbers of nutpie's own, from code that is kept on disk and never stale."""

import ctypes
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import nutpie
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from numba import njit
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba import cache
from pytensor.link.numba.dispatch.basic import register_funcify_default_op_cache_key

from equipoise import CapacityModel, datasets, simulate
from equipoise.inference.compilation import compile_callbacks
from equipoise.inference.sampling import compile_model
from equipoise.models import op
from equipoise.models.builder import likelihood_data
from equipoise.models.design import build_design

REALS = ctypes.POINTER(ctypes.c_double)


@pytest.fixture
def own_cache(monkeypatch, tmp_path):
    """A cache of the test's own."""
    monkeypatch.setattr(cache, "NUMBA_CACHE_PATH", tmp_path)
    return tmp_path


def a_regression():
    """Data of no, one and two dimensions, whole numbers among them."""
    rng = np.random.default_rng(1)
    with pm.Model(coords={"group": ["a", "b", "c"], "column": ["u", "v"]}) as model:
        design = pm.Data("design", rng.normal(size=(40, 2)))
        group = pm.Data("group_of", rng.integers(0, 3, 40).astype(np.int32))
        answers = pm.Data("answers", rng.normal(size=40))
        scale = pm.Data("scale", 2.0)
        slope = pm.Normal("slope", 0, scale, dims="column")
        spread = pm.HalfNormal("spread", 1)
        effect = pm.Normal("effect", 0, spread, dims="group")
        noise = pm.LogNormal("noise", 0, 0.5)
        pm.Deterministic("ratio", spread / noise)
        pm.Normal("seen", effect[group] + design @ slope, noise, observed=answers)
    return model


def density(compiled, point):
    """(return code, value, gradient) at a point, as the sampler asks for them."""
    point, gradient, value = np.array(point), np.full(point.size, 7.0), np.full(1, 7.0)
    given = [array.ctypes.data_as(REALS) for array in (point, gradient, value)]
    code = compiled.compiled_logp_func.ctypes(point.size, *given, compiled.user_data.ctypes.data)
    return code, value[0], gradient


def expanded(compiled, point):
    point, found = np.array(point), np.full(compiled.n_expanded, 7.0)
    given = [array.ctypes.data_as(REALS) for array in (point, found)]
    assert compiled.compiled_expand_func.ctypes(point.size, found.size, *given, compiled.user_data.ctypes.data) == 0
    return found


def points(compiled, count=5, scale=0.5):
    return np.random.default_rng(5).normal(0, scale, (count, compiled.n_dim))


def compile_with(compile, model):
    with pytensor.config.change_flags(numba__fastmath=False):
        return compile(model)


@pytest.fixture(scope="module")
def regression():
    model = a_regression()
    return compile_with(compile_callbacks, model), compile_with(nutpie.compile_pymc_model, model)


def test_the_numbers_are_those_of_nutpies_own_callbacks(regression):
    ours, theirs = regression
    for point in points(ours):
        code, value, gradient = density(ours, point)
        expected = density(theirs, point)
        assert (code, value) == expected[:2] and code == 0
        np.testing.assert_array_equal(gradient, expected[2])
        np.testing.assert_array_equal(expanded(ours, point), expanded(theirs, point))
    assert ours.shapes == theirs.shapes and ours.dims == theirs.dims and ours.n_dim == theirs.n_dim
    np.testing.assert_array_equal(ours.initial_point_func(3), theirs.initial_point_func(3))


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_a_point_without_a_finite_density_is_refused_as_nutpie_refuses_it(regression, bad):
    ours, theirs = regression
    for k in range(ours.n_dim):
        point = points(ours)[0]
        point[k] = bad
        assert density(ours, point)[0] == density(theirs, point)[0]
    assert density(ours, np.full(ours.n_dim, np.nan))[0] != 0
    assert density(ours, np.zeros(ours.n_dim + 1))[0] == density(theirs, np.zeros(ours.n_dim + 1))[0] == -1


def test_threads_at_once_get_the_numbers_of_one_after_another(regression):
    ours, _ = regression
    asked = np.repeat(points(ours, 20), 30, axis=0)
    alone = [density(ours, point) for point in asked]
    with ThreadPoolExecutor(4) as pool:  # ctypes lets go of the interpreter's lock
        together = list(pool.map(lambda point: density(ours, point), asked))
    for one, other in zip(alone, together, strict=True):
        assert one[:2] == other[:2]
        np.testing.assert_array_equal(one[2], other[2])


def test_other_data_and_more_of_it_need_no_new_code(regression):
    ours, theirs = regression
    rng = np.random.default_rng(8)
    new = {"design": rng.normal(size=(7, 2)), "group_of": [0, 0, 1, 1, 2, 2, 2], "answers": rng.normal(size=7), "scale": 0.5}
    before = density(ours, points(ours)[0])
    mine, nutpies = ours.with_data(**new), theirs.with_data(**new)
    for point in points(ours):
        assert density(mine, point)[:2] == density(nutpies, point)[:2] != before[:2]
        np.testing.assert_array_equal(density(mine, point)[2], density(nutpies, point)[2])
    assert density(ours, points(ours)[0])[:2] == before[:2]  # the model it came from has its own data still
    with pytest.raises(KeyError):
        ours.with_data(desing=new["design"])


@pytest.fixture(scope="module")
def capacity():
    design = datasets.design_study(clinicians=12, surveys=6, units=3, jitter=0.2, missing=0.1)
    return CapacityModel(), [simulate(CapacityModel(), design, {"half_life": 2.0}, seed=seed).study for seed in (1, 2)]


def test_the_capacity_model_gives_the_values_of_its_graph_also_with_other_answers(capacity):
    """Value and gradient as PyTensor computes them from Python, without any callback."""
    model, (study, other) = capacity
    first, second = (compile_model(model.build(s)) for s in (study, other))
    data = likelihood_data(build_design(model, other)[0])
    moved = first.with_data(**data)
    for point in points(first, 3, 0.1):
        for ours, graphs in ((first, first), (second, second), (moved, second)):
            code, value, gradient = density(ours, point)
            expected = graphs.logp_func(point)
            assert code == 0 and value == expected[0]
            np.testing.assert_array_equal(gradient, expected[1])
            np.testing.assert_array_equal(expanded(ours, point), graphs.expand_func(point)[0])


def test_the_kernels_version_is_part_of_what_its_code_is_kept_under(capacity, monkeypatch):
    model, (study, _) = capacity
    pymc_model = model.build(study)

    def key():
        return cache.CACHED_SRC_FUNCTIONS[pymc_model.compile_logp(mode="NUMBA").f.vm.jit_fn.py_func]

    before = key()
    assert key() == before
    monkeypatch.setattr(op, "KERNEL_VERSION", op.KERNEL_VERSION + 1)
    assert key() != before


class Multiply(Op):
    """A stand-in for an Op with a kernel: its product depends on a number that is no part of its identity."""

    __props__ = ()

    def make_node(self, x):
        return Apply(self, [pt.as_tensor_variable(x)], [pt.dscalar()])

    def perform(self, node, inputs, output_storage):
        raise NotImplementedError

    def pullback(self, inputs, outputs, cotangents):
        return [cotangents[0] * 1.0]


FACTOR, VERSION = [1.0], [1]


@register_funcify_default_op_cache_key(Multiply)
def _(op, node, **kwargs):
    factor = FACTOR[0]
    if factor is None:
        raise ValueError("there is no kernel")

    @njit
    def run(x):
        if x.item() < 0:
            raise ValueError("not below 0")
        return np.asarray(x.item() * factor)

    return run, VERSION[0]


def product(factor, version):
    FACTOR[0], VERSION[0] = factor, version
    with pm.Model() as model:
        pm.Potential("product", Multiply()(pm.Flat("x")))
    return model


def multiplied(factor, version):
    """The log density of a model with such an Op in it, and whether its code came from the disk."""
    compiled = compile_callbacks(product(factor, version))
    return density(compiled, np.array([2.0]))[1], sum(compiled.logp_func.vm.jit_fn.stats.cache_hits.values())


def test_a_density_that_raises_is_reported_not_raised(own_cache):
    model = product(1.0, 3)
    for compiled in (compile_callbacks(model), nutpie.compile_pymc_model(model)):
        assert density(compiled, np.array([-1.0]))[0] == 1
        assert density(compiled, np.array([1.0]))[0] == 0


def test_code_is_kept_between_compilations_until_the_kernels_version_changes(own_cache):
    assert multiplied(3.0, 1) == (6.0, 0)
    assert multiplied(3.0, 1) == (6.0, 1)
    assert multiplied(5.0, 2) == (10.0, 0)  # another kernel under another version
    assert multiplied(5.0, 2) == (10.0, 1)


@pytest.mark.parametrize("harm", [b"", b"\x00 not what was written", None])
def test_a_damaged_cache_is_made_again(own_cache, harm):
    assert multiplied(3.0, 1) == (6.0, 0)
    files = [*own_cache.glob("*.nbi"), *own_cache.glob("*.nbc")]
    assert files
    for file in files:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2] if harm is None else harm)
    assert multiplied(3.0, 1)[0] == 6.0
    multiplied(3.0, 1)
    assert multiplied(3.0, 1) == (6.0, 1)


def test_a_model_that_cannot_be_compiled_says_why_and_harms_no_cache(own_cache):
    multiplied(3.0, 1)
    kept = sorted(own_cache.iterdir())
    with pytest.raises(ValueError, match="there is no kernel"):
        multiplied(None, 2)
    assert kept == sorted(own_cache.iterdir())
