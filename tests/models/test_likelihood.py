import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.models.likelihood import filter as kalman
from equipoise.models.likelihood import smoother
from equipoise.models.likelihood.gradients import log_likelihood_and_gradients, log_scale_gradients
from equipoise.models.likelihood.packing import pack
from equipoise.models.op import PARAMETERS, capacity_log_likelihood

sys.path.insert(0, str(Path(__file__).parent))
from textbook import (
    dense_log_likelihood,
    joint_moments,
    leave_one_out_density,
    random_problem,
)

NATURAL = (
    "level", "rate", "variance", "level_mean", "level_var", "start_shift", "start_var", "intercept", "loading", "error_var",
)  # fmt: skip

problems = st.builds(
    lambda seed, clinicians, indicators, missing, rate: random_problem(
        np.random.default_rng(seed), clinicians, indicators, missing, rate
    ),
    seed=st.integers(0, 2**32 - 1),
    clinicians=st.integers(1, 4),
    indicators=st.integers(1, 3),
    missing=st.sampled_from([0.0, 0.3, 1.0]),
    rate=st.sampled_from([(0.02, 2.0), (1e-9, 1e-6), (50.0, 5000.0)]),
)


@given(problems)
@settings(max_examples=300, deadline=None)
def test_log_likelihood_is_that_of_the_dense_normal(problem):
    data, arguments, _ = problem
    value, _, _ = kalman.log_likelihood(*data, *arguments)
    np.testing.assert_allclose(value, dense_log_likelihood(arguments, data), rtol=1e-9, atol=1e-9)


def derivative(f, x, j, least=0.1):
    """Richardson-extrapolated central difference (error of order h^8); ``least`` bounds the step from below."""
    scale = max(abs(x[j]), least)
    table = []
    for n in range(4):
        h = scale * 2e-2 / 2**n
        up, down = x.copy(), x.copy()
        up[j] += h
        down[j] -= h
        table.append((f(up) - f(down)) / (2 * h))
    for order in range(1, 4):
        table = [(4**order * b - a) / (4**order - 1) for a, b in pairwise(table)]
    return table[0]


@given(problems)
@settings(max_examples=40, deadline=None)
def test_gradients_agree_with_a_high_order_difference(problem):
    data, arguments, owner = problem
    weights = np.linspace(-1, 2, data[0].size - 1)  # cotangents that differ, one of them negative
    gradients = log_likelihood_and_gradients(*data, *arguments)[1:]
    for p, name in enumerate(NATURAL):
        x = np.maximum(arguments[p], 0.5) if name in ("start_var", "level_var") else arguments[p]
        moved = [*arguments]
        moved[p] = x
        ours = log_likelihood_and_gradients(*data, *moved)[1 + p]
        if ours.ndim == 2:
            ours = weights @ ours
        else:
            ours = ours * (weights[owner] if ours.size == owner.size and p < 3 else weights)

        def total(values, p=p, moved=moved):
            changed = [*moved]
            changed[p] = values
            return kalman.log_likelihood(*data, *changed)[0] @ weights

        theirs = np.array([derivative(total, x, j, 1e-3 if name == "rate" else 0.1) for j in range(x.size)])
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6 * max(1.0, np.abs(theirs).max()), err_msg=name)
    assert len(gradients) == len(NATURAL)


@pytest.mark.parametrize("x", [0.0, 1e-300, 1e-12, 1e-3, 0.049999, 0.05, 0.7, 40.0, 1e6])
def test_approach_is_accurate_for_small_and_large_steps(x):
    assert kalman.approach(x) == pytest.approx(-np.expm1(-x), rel=1e-14, abs=0)


def test_no_answers_and_single_surveys():
    data, arguments, _ = random_problem(np.random.default_rng(1), clinicians=4, missing=1.0)
    value, mean, var = kalman.log_likelihood(*data, *arguments)
    np.testing.assert_array_equal(value, 0.0)
    np.testing.assert_allclose(mean, arguments[3])
    np.testing.assert_allclose(var, arguments[4])


@given(problems)
@settings(max_examples=100, deadline=None)
def test_leave_one_out_agrees_with_conditioning(problem):
    data, arguments, _ = problem
    mean, var, density = smoother.leave_one_out(*data, *arguments)
    seen = []
    for i in range(data[0].size - 1):
        for row, m, v, d in leave_one_out_density(i, arguments, data):
            np.testing.assert_allclose([mean[row], var[row], density[row]], [m, v, d], rtol=1e-8, atol=1e-8)
            seen.append(row)
    missing = np.setdiff1d(np.arange(data[6].size), seen)
    assert np.isnan(density[missing]).all()


def test_drawn_paths_have_the_conditional_distribution():
    rng = np.random.default_rng(5)
    data, arguments, _ = random_problem(rng, clinicians=2, missing=0.3, zero_gaps=0.1)
    deviation = np.array([0.1, -0.2])
    draws = np.array(
        [smoother.draw_paths(*data, *arguments, deviation, rng.standard_normal(data[2].size)) for _ in range(20000)]
    )
    offset, prelude, _, _, survey, _, score, repeats, indicator, _ = data
    for i in range(2):
        given_e = [*arguments]
        given_e[0] = arguments[0] * (1 + deviation[i])
        mean, _, cov = joint_moments(i, given_e, data)
        steps = np.arange(offset[i] + prelude[i], offset[i + 1])
        rows = survey[steps]
        seen = np.array([r >= 0 and not np.isnan(score[r]) for r in rows])
        r = rows[seen]
        lam = arguments[8][indicator[r]]
        observed = np.outer(lam, lam) * cov[np.ix_(seen, seen)] + np.diag(arguments[9][indicator[r]] / repeats[r])
        gain = np.linalg.solve(observed, (cov[:, seen] * lam).T).T
        expected = mean + gain @ (score[r] - arguments[7][indicator[r]] - lam * mean[seen])
        spread = cov - gain @ (cov[:, seen] * lam).T
        ours = draws[:, steps]
        error = np.sqrt(np.diag(spread) / len(draws)) + 1e-9
        assert (np.abs(ours.mean(0) - expected) < 5 * error).all()
        np.testing.assert_allclose(np.cov(ours.T, ddof=0), spread, atol=0.05 * np.diag(spread).max())


@given(problems)
@settings(max_examples=60, deadline=None)
def test_last_states_have_the_conditional_moments(problem):
    """Without noise the conditional mean of the last state, and one standard deviation beside it with noise 1."""
    data, arguments, _ = problem
    offset, prelude, _, _, survey, _, score, repeats, indicator, _ = data
    clinicians = offset.size - 1
    deviation = np.linspace(-0.2, 0.3, clinicians)
    mean, above = (smoother.last_states(*data, *arguments, deviation, np.full(clinicians, z)) for z in (0.0, 1.0))
    given_e = [arguments[0].copy(), *arguments[1:]]
    for i in range(clinicians):
        given_e[0] = arguments[0] * (1 + deviation[i])
        centre, _, cov = joint_moments(i, given_e, data)
        rows = survey[offset[i] + prelude[i] : offset[i + 1]]
        seen = np.array([r >= 0 and not np.isnan(score[r]) for r in rows], bool)
        r = rows[seen]
        lam = arguments[8][indicator[r]]
        observed = np.outer(lam, lam) * cov[np.ix_(seen, seen)] + np.diag(arguments[9][indicator[r]] / repeats[r])
        across = cov[-1, seen] * lam
        gain = np.linalg.solve(observed, across) if seen.any() else np.zeros(0)
        expected = centre[-1] + gain @ (score[r] - arguments[7][indicator[r]] - lam * centre[seen])
        variance = cov[-1, -1] - gain @ across
        np.testing.assert_allclose(mean[i], expected, rtol=1e-8, atol=1e-8)
        # the difference of two near numbers in the dense algebra limits what can be asked of small variances
        np.testing.assert_allclose((above[i] - mean[i]) ** 2, variance, rtol=1e-6, atol=1e-8 * cov[-1, -1])


@pytest.mark.parametrize("seed", range(25))
def test_last_states_are_exact_where_the_dense_algebra_is(seed):
    """Mean and variance to 1e-8, the variance from the difference that each clinician's own noise makes."""
    data, arguments, _ = random_problem(np.random.default_rng(seed), clinicians=4, indicators=2, missing=0.3)
    offset, prelude, _, _, survey, _, score, repeats, indicator, _ = data
    deviation, noise = np.array([0.1, -0.3, 0.0, 0.25]), np.array([1.0, -2.0, 0.5, 3.0])
    mean, moved = (smoother.last_states(*data, *arguments, deviation, z) for z in (np.zeros(4), noise))
    for i in range(4):
        given_e = [arguments[0] * (1 + deviation[i]), *arguments[1:]]
        centre, _, cov = joint_moments(i, given_e, data)
        rows = survey[offset[i] + prelude[i] : offset[i + 1]]
        steps = [a for a, r in enumerate(rows) if r >= 0 and not np.isnan(score[r])]
        r = rows[steps]
        lam, intercept, error = (arguments[j][indicator[r]] for j in (8, 7, 9))
        design = np.zeros((len(steps), rows.size))  # from states to answers
        design[np.arange(len(steps)), steps] = lam
        precision = np.linalg.inv(cov + 1e-12 * np.eye(rows.size)) if np.linalg.cond(cov) < 1e6 else None
        observed = design @ cov @ design.T + np.diag(error / repeats[r])
        gain = cov @ design.T @ np.linalg.inv(observed)
        expected = centre + gain @ (score[r] - intercept - design @ centre)
        spread = cov - gain @ design @ cov
        if precision is not None:  # the same by adding precisions
            added = np.linalg.inv(precision + design.T @ np.diag(repeats[r] / error) @ design)
            np.testing.assert_allclose(added[-1, -1], spread[-1, -1], rtol=1e-6)
        np.testing.assert_allclose(mean[i], expected[-1], rtol=1e-8)
        np.testing.assert_allclose(((moved[i] - mean[i]) / noise[i]) ** 2, spread[-1, -1], rtol=1e-8, atol=1e-10)
        assert np.sign(moved[i] - mean[i]) in (0, np.sign(noise[i]))


def test_simulated_scores_have_the_model_s_moments():
    rng = np.random.default_rng(8)
    data, arguments, _ = random_problem(rng, clinicians=2, missing=0.0, indicators=2)
    from textbook import observed_moments

    e = arguments[3] + np.sqrt(arguments[4]) * rng.standard_normal((20000, 2))
    keep = [arguments[k] for k in (0, 1, 2, 5, 6, 7, 8, 9)]
    scores = np.array(
        [
            smoother.simulate(
                *data[:6], *data[7:], *keep, e[n], rng.standard_normal(2), rng.standard_normal(data[2].size),
                rng.standard_normal(data[6].size),
            )[1]
            for n in range(len(e))
        ]
    )  # fmt: skip
    for i in range(2):
        rows, _, centre, cov = observed_moments(i, arguments, data)
        ours = scores[:, rows]
        assert (np.abs(ours.mean(0) - centre) < 5 * np.sqrt(np.diag(cov) / len(e))).all()
        np.testing.assert_allclose(np.cov(ours.T), cov, atol=0.05 * np.diag(cov).max())


# --- the Op ---------------------------------------------------------------------------------------------------------


def on_log_scale(arguments, owner, clinicians):
    """The Op's parameters: logs by clinician, shifts by epoch, effects of two columns, the rest as they are."""
    logs = np.log(np.column_stack([arguments[0], arguments[1], np.sqrt(arguments[2])]))
    rng = np.random.default_rng(0)
    clinician = rng.normal(size=(clinicians, 3))
    effects = rng.normal(size=(1, 6))
    return [clinician, logs - clinician[owner] - columns_of(owner) @ effects.reshape(2, 3), effects, *arguments[3:]]


def columns_of(owner):
    return np.random.default_rng(1).normal(size=(owner.size, 2))


def on_natural_scale(parameters, owner):
    effects = np.broadcast_to(parameters[2], (owner.max() + 1, 6)).reshape(-1, 2, 3)[owner]
    logs = parameters[0][owner] + parameters[1] + np.einsum("ej,ejc->ec", columns_of(owner), effects)
    return [np.exp(logs[:, 0]), np.exp(logs[:, 1]), np.exp(2 * logs[:, 2]), *parameters[3:]]


def op_graph(data, owner, effects=None):
    matrices = {"clinician": (None, None), "shift": (None, None), "effects": (effects, 6)}
    inputs = [pt.tensor(name, dtype="float64", shape=matrices.get(name, (None,))) for name in PARAMETERS]
    return inputs, capacity_log_likelihood(*pack(*data, columns_of(owner)).values(), owner, *inputs)


@pytest.mark.parametrize("mode, own", [("NUMBA", False), ("NUMBA", True), ("FAST_COMPILE", False)])
def test_op_gives_value_and_gradients_for_any_cotangents(mode, own):
    data, arguments, owner = random_problem(np.random.default_rng(3), clinicians=3, indicators=2)
    parameters = on_log_scale(arguments, owner, 3)
    if own:  # effects of every clinician, in place of the same for all
        parameters[2] = parameters[2] + 0.1 * np.random.default_rng(5).normal(size=(3, 6))
    arguments = on_natural_scale(parameters, owner)
    inputs, outputs = op_graph(data, owner, None if own else 1)
    weights = np.array([0.5, -2.0, 3.0])
    cost = (outputs[0] * weights).sum() ** 2  # nonlinear: the cotangents depend on the value
    f = pytensor.function(inputs, [outputs[0], *pytensor.grad(cost, inputs)], mode=mode)
    value, *gradients = f(*parameters)
    np.testing.assert_allclose(value, kalman.log_likelihood(*data, *arguments)[0], rtol=1e-12)
    for p, name in enumerate(PARAMETERS):

        def total(values, p=p):
            changed = [*parameters]
            changed[p] = values.reshape(parameters[p].shape)
            natural = on_natural_scale(changed, owner)
            return (kalman.log_likelihood(*data, *natural)[0] @ weights) ** 2

        x = parameters[p].ravel()
        theirs = np.array([derivative(total, x, j) for j in range(x.size)])
        atol = 1e-6 * np.abs(theirs).max()
        np.testing.assert_allclose(gradients[p].ravel(), theirs, rtol=1e-6, atol=atol, err_msg=name)


def test_op_passes_pytensor_s_own_check():
    data, arguments, owner = random_problem(np.random.default_rng(4), clinicians=2)
    pytensor.gradient.verify_grad(
        lambda *inputs: capacity_log_likelihood(*pack(*data, columns_of(owner)).values(), owner, *inputs)[0],
        on_log_scale(arguments, owner, 2),
        rng=np.random.default_rng(0),
        eps=1e-6,
        abs_tol=1e-3,
        rel_tol=1e-3,
    )


def test_one_node_serves_value_and_gradient():
    data, arguments, owner = random_problem(np.random.default_rng(6))
    parameters = on_log_scale(arguments, owner, 3)
    inputs, outputs = op_graph(data, owner)
    total = outputs[0].sum()
    f = pytensor.function(inputs, [total, *pytensor.grad(total, inputs)])
    nodes = [node for node in f.maker.fgraph.toposort() if type(node.op).__name__ == "CapacityLogLikelihood"]
    assert len(nodes) == 1
    assert np.isfinite(f(*parameters)[0])


def test_op_infers_shapes_without_computing():
    data, arguments, owner = random_problem(np.random.default_rng(7), indicators=2)
    parameters = on_log_scale(arguments, owner, 3)
    inputs, outputs = op_graph(data, owner)
    f = pytensor.function(inputs, [o.shape for o in outputs], on_unused_input="ignore")
    assert not any(type(n.op).__name__ == "CapacityLogLikelihood" for n in f.maker.fgraph.toposort())
    actual = [a.shape for a in log_scale_gradients(*data, owner, *parameters[:2], *parameters[3:])]
    assert [tuple(s) for s in f(*parameters)] == [*actual[:3], (3, 6), *actual[3:]]


def test_op_refuses_wrong_inputs():
    with pytest.raises(ValueError, match="expected 22 inputs"):
        capacity_log_likelihood(np.zeros(3))


PROBE = """
import sys
sys.path.insert(0, {tests!r})
import numpy as np, pytensor
from textbook import random_problem
sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in type(f).__name__ + getattr(f, "__name__", "")]
sys.path.insert(0, {copy!r})
import equipoise.models.op as op
from equipoise.models.likelihood.packing import pack
assert op.__file__.startswith({copy!r}), op.__file__
data, arguments, owner = random_problem(np.random.default_rng(2))
logs = np.log(np.column_stack([arguments[0], arguments[1], arguments[2] ** 0.5]))
packed = pack(*data).values()
f = pytensor.function([], op.capacity_log_likelihood(*packed, owner, np.zeros((3, 3)), logs, np.zeros((1, 0)), *arguments[3:])[0])
print(repr(float(f().sum())))
"""


def test_an_edited_kernel_changes_the_op_in_a_new_process(tmp_path):
    """PyTensor's disk cache must not go on serving the machine code of a kernel that was edited."""
    root = Path(__file__).parents[2]
    copy = tmp_path / "copy"
    for package, folder in {"equipoise": "equipoise", "equipoise/models": "models", "equipoise/datasets": "datasets"}.items():
        shutil.copytree(root / folder, copy / package, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "example"))
    probe = PROBE.format(tests=str(Path(__file__).parent), copy=str(copy))

    def run():
        environment = os.environ | {"PYTENSOR_FLAGS": f"base_compiledir={tmp_path / 'cache'}"}
        done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, env=environment, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return float(done.stdout)

    before, again = run(), run()
    assert before == again
    kernel = copy / "equipoise/models/likelihood/side_by_side.py"
    text = kernel.read_text()
    assert text.count("broadcast(LOG_2PI)") == 1
    kernel.write_text(text.replace("broadcast(LOG_2PI)", "broadcast(LOG_2PI + 1000.0)"))
    assert run() < before - 500
