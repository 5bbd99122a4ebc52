import ast
import builtins
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from equipoise.datasets import UserError
from equipoise.models.formulas import FUNCTIONS, check_formula, design_columns

FRAME = pd.DataFrame(
    {
        "sleep": np.random.default_rng(0).uniform(4, 9, 40),
        "workload": np.random.default_rng(1).normal(size=40),
        "role": np.tile(["nurse", "doctor", "aide", "doctor"], 10),
        "hours slept": np.random.default_rng(2).normal(size=40),
    }
)
COLUMNS = list(FRAME)
SLEEP, WORKLOAD = FRAME["sleep"].to_numpy(), FRAME["workload"].to_numpy()
# products are made of centred columns
S, W = SLEEP - SLEEP.mean(), WORKLOAD - WORKLOAD.mean()


def columns(formula):
    return design_columns(formula, FRAME, COLUMNS)


# --- what can be written --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "formula, expected",
    [
        ("sleep + workload", {"sleep": SLEEP, "workload": WORKLOAD}),
        ("sleep*workload", {"sleep": S, "workload": W, "sleep:workload": S * W}),
        ("sleep:workload", {"sleep:workload": S * W}),
        ("log(sleep):workload", {"log(sleep):workload": np.log(SLEEP) * W}),
        ("log(sleep) + sleep:workload", {"log(sleep)": np.log(SLEEP), "sleep:workload": SLEEP * W}),
        ("sleep + workload - workload", {"sleep": SLEEP}),
        ("(sleep + workload)", {"sleep": SLEEP, "workload": WORKLOAD}),
        ("log(sleep)", {"log(sleep)": np.log(SLEEP)}),
        ("exp(workload)", {"exp(workload)": np.exp(WORKLOAD)}),
        ("center(sleep)", {"center(sleep)": SLEEP - SLEEP.mean()}),
        ("scale(sleep)", {"scale(sleep)": (SLEEP - SLEEP.mean()) / SLEEP.std(ddof=1)}),
        ("C(role)", {"C(role)[T.doctor]": FRAME["role"] == "doctor", "C(role)[T.nurse]": FRAME["role"] == "nurse"}),
        ("role", {"role[T.doctor]": FRAME["role"] == "doctor", "role[T.nurse]": FRAME["role"] == "nurse"}),
        ("`hours slept`", {"hours slept": FRAME["hours slept"]}),
        ("1 + sleep", {"sleep": SLEEP}),
        ("  sleep\n", {"sleep": SLEEP}),
        ("1", {}),
        ("", {}),
    ],
)
def test_formulas_give_the_columns_they_name(formula, expected):
    matrix = columns(formula)
    assert list(matrix) == list(expected)
    assert len(matrix) == len(FRAME)
    for name, values in expected.items():
        np.testing.assert_allclose(matrix[name], np.asarray(values, float), err_msg=name)


def test_polynomials_are_orthogonal_and_span_the_powers():
    basis = columns("poly(sleep, 2)").to_numpy()
    np.testing.assert_allclose(basis.T @ np.column_stack([basis, np.ones(40)]), np.eye(2, 3), atol=1e-12)
    with_one = np.column_stack([np.ones(40), basis])
    left_over = SLEEP**2 - with_one @ np.linalg.lstsq(with_one, SLEEP**2)[0]
    np.testing.assert_allclose(left_over, 0, atol=1e-9)


def test_splines_have_the_degrees_of_freedom_asked_for():
    basis = columns("bs(sleep, df=4)").to_numpy()
    assert basis.shape == (40, 4)
    assert np.linalg.matrix_rank(np.column_stack([np.ones(40), basis])) == 5
    # a cubic lies in the span of a cubic spline
    full = np.column_stack([np.ones(40), basis])
    cubic = (SLEEP - 6) ** 3
    np.testing.assert_allclose(full @ np.linalg.lstsq(full, cubic)[0], cubic, atol=1e-8)


# --- what cannot ----------------------------------------------------------------------------------------------------

HOSTILE = """
__import__('os').system('touch owned')
I(__import__('os').system('touch owned'))
{__import__('os').system('touch owned')}
`__import__('os').system('touch owned')`
log(__import__('os').system('touch owned'))
Q("__import__('os').system('touch owned')")
open('owned', 'w')
{open('owned', 'w')}
[open('owned', 'w')]
(open('owned', 'w'))
I(open('owned', 'w'))
log(open('owned', 'w'))
log(*[open('owned', 'w')])
log(**{'a': open('owned', 'w')})
log(sleep, base=open('owned', 'w'))
scale(sleep, center=open('owned', 'w'))
C(role, contr.treatment(open('owned', 'w')))
C(role, Treatment(reference=open('owned', 'w')))
eval("open('owned', 'w')")
exec("open('owned', 'w')")
compile("1", "a", "eval")
sleep; open('owned', 'w')
(lambda: open('owned', 'w'))()
log((lambda: open('owned', 'w'))())
f"{open('owned', 'w')}"
log(f"{open('owned', 'w')}")
(x := open('owned', 'w'))
log((x := open('owned', 'w')))
log([open('owned', 'w') for _ in sleep])
log(open('owned', 'w') if 1 else sleep)
log(sleep or open('owned', 'w'))
log(sleep)[open('owned', 'w')]
log(sleep)(open('owned', 'w'))
open('owned', 'w') ~ sleep
sleep.__class__
sleep.__class__.__base__.__subclasses__()
log(sleep.__class__)
log(sleep.values.tofile('owned'))
sleep.to_csv('owned')
sleep.mean()
np.save('owned', sleep)
np.log(sleep)
pd.read_csv('owned')
getattr(sleep, 'to_csv')('owned')
globals()
vars()
breakpoint()
input()
exit()
open(sleep)
__import__(role)
print(sleep)
get_ipython()
lambda x: x
log(lambda: 1)
log(x for x in sleep)
(yield)
log((yield sleep))
log(await sleep)
I(sleep)
I(sleep**2)
Q('sleep')
hashed(role)
lag(sleep)
te(sleep, workload)
sleep**9999999
sleep^9999999
(sleep + workload)**2
log(9**9**9)
log(10**100)
poly(sleep, 100000)
poly(sleep, 1e9)
bs(sleep, df=1000000000)
log('sleep')
log(b'sleep')
log(1j)
log(...)
log(None)
poly(sleep, 2, raw=True)
scale(sleep, _state=sleep)
poly(sleep, 2, _context=1)
exp(workload, sleep)
exp(workload, out=sleep)
exp(workload, where=0)
log(sleep, dtype=role)
log(sleep, signature=1)
center(sleep, 1)
scale(sleep, 1, 1)
C(role, sleep)
C(role, contrasts=sleep)
bs(sleep, knots=workload)
bs(sleep, df=workload)
poly(sleep, degree=workload)
log(1)
poly(1, 2)
{I(sleep)}
{sleep.mean()}
{__import__('os').system('touch owned')} + sleep
log({sleep})
`sleep`.to_csv('owned')
`__builtins__`
__builtins__
__loader__
formulaic
np
patsy
contr
ℐ(sleep)
open ('owned', 'w')
𝗼𝗽𝗲𝗻('owned', 'w')
log(ｏpen('owned', 'w'))
log(sleep, **{'out': sleep})
log(*sleep)
basis_spline(sleep)
cubic_spline(sleep)
encode_contrasts(role)
offset(sleep)
""".strip().splitlines()

MALFORMED = """
sleep +
+
sleep + + workload
((sleep)
sleep)
log(sleep
{sleep
`sleep
sleep workload
log sleep
log()
log
log(log)
sleep ~ workload
~ sleep
~
.
sleep + .
sleep:
:sleep
2 * sleep
sleep + 2
"sleep"
sleep # comment
sleep == 2
sleep < workload
sleep @ workload
sleep % 2
sleep %in% workload
sleep | workload
sleep and workload
not sleep
sleep if workload else role
sleep[0]
$sleep
sleep?
sleep\\
__builtins__
0x10
log(role)
""".strip().splitlines()

DEEP = [
    "sleep" + ".a" * 5000 + "()",
    "log(sleep" + "()" * 5000 + ")",
    "log(" * 5000 + "sleep" + ")" * 5000,
    "log(" + "-" * 5000 + "sleep)",
    "log(\x00)",
    "sleep\nimport os",
    "(" * 3000 + "sleep" + ")" * 3000,
    " + ".join(["sleep"] * 5000),
    "*".join(f"log({'log(' * i}sleep{')' * i})" for i in range(20)),  # a million terms
    "*".join(f"poly(sleep, {90 + i})" for i in range(6)),  # a million million columns
    "poly(sleep, 99) : poly(workload, 99)",
]


@pytest.fixture(scope="module")
def executed():
    """Code that Python ran from text, as its own audit sees it, while the list is armed."""
    seen, armed = [], []

    def audit(event, arguments):
        if armed and (
            event in ("os.system", "subprocess.Popen")
            or (event == "exec" and not arguments[0].co_filename.endswith(".py"))
        ):
            seen.append((event, arguments))

    columns("log(sleep)")  # what formulaic imports when first used is no concern of these tests
    sys.addaudithook(audit)
    yield seen, armed
    armed.clear()


def test_the_audit_sees_code_that_runs(executed):
    seen, armed = executed
    armed.append(True)
    try:
        eval("1 + 1")
    finally:
        armed.clear()
    assert seen
    seen.clear()


@pytest.mark.parametrize("formula", HOSTILE + DEEP, ids=lambda f: f[:40])
def test_hostile_formulas_are_refused_and_run_no_code(formula, executed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen, armed = executed
    armed.append(True)
    try:
        with pytest.raises(UserError) as refusal:
            columns(formula)
    finally:
        armed.clear()
    # names of keywords that the transforms keep to themselves are refused only when Python compiles the call
    ran = [arguments for event, arguments in seen if event != "exec" or "_" not in formula.partition(",")[2]]
    seen.clear()
    assert not ran
    assert not list(tmp_path.iterdir())
    assert str(refusal.value).startswith("formula ")


@pytest.mark.parametrize("formula", MALFORMED)
def test_malformed_formulas_are_refused_in_one_line(formula):
    with pytest.raises(UserError) as refusal:
        columns(formula)
    assert "\n" not in str(refusal.value).replace(formula, "")


def test_a_formula_sees_none_of_python_s_names():
    secret = FRAME["sleep"]  # noqa: F841  (a variable of the caller, which formulaic would find by itself)
    with pytest.raises(UserError, match="'secret' is not a covariate"):
        columns("secret")


@pytest.mark.parametrize(
    "formula, hint",
    [("sleeep", "mean 'sleep'"), ("log(worklaod)", "mean 'workload'"), ("logg(sleep)", "mean 'log'")],
)
def test_misspelt_names_are_set_right(formula, hint):
    with pytest.raises(UserError, match=hint):
        columns(formula)


def test_a_study_without_covariates_says_how_to_name_them():
    with pytest.raises(UserError, match="list them in `covariates`"):
        check_formula("sleep", [])


def test_values_that_are_not_finite_are_told():
    frame = pd.DataFrame({"sleep": [0.0, 1.0, 2.0]})
    with pytest.raises(UserError, match="log of zero"):
        design_columns("log(sleep)", frame, ["sleep"])


@pytest.mark.parametrize("formula", ["0 + sleep", "sleep - 1", "0 + C(role)", "sleep + 0"])
def test_the_intercept_cannot_be_taken_away(formula):
    """Without it all categories would get a column, and their sum could not be told from the level."""
    with pytest.raises(UserError, match="intercept"):
        columns(formula)


def test_a_column_called_as_a_transform_does_not_stand_in_for_it():
    frame = FRAME.assign(log=1.5, np=2.0)
    matrix = design_columns("log(sleep) + np", frame, [*COLUMNS, "log", "np"])
    np.testing.assert_allclose(matrix["log(sleep)"], np.log(SLEEP))
    assert list(matrix) == ["log(sleep)", "np"]


def test_formulaic_evaluates_names_of_columns_and_transforms_only(monkeypatch):
    """It does call `eval`, but on code in which no other name stands, and with nothing of the caller's in reach."""
    secret = object()
    real, seen = builtins.eval, []

    def watched(code, *spaces):
        names = code.co_names if hasattr(code, "co_names") else [n.id for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Name)]
        seen.append((set(names), spaces))
        return real(code, *spaces)

    monkeypatch.setattr(builtins, "eval", watched)
    columns("log(sleep) + poly(workload, 2):role + bs(sleep, df=4) + scale(workload) + center(sleep) + exp(workload) + C(role)")
    assert seen
    for names, spaces in seen:
        own = {name for name in names if name.startswith("__FORMULAIC_")} | {"get", "get_required_variables"}
        assert names <= {*FUNCTIONS, *COLUMNS, *own}, names
        for space in spaces:
            assert not any(value is secret or value is sys.modules["os"] for value in dict(space).values())


ALPHABET = st.sampled_from(
    ["sleep", "workload", "role", "`hours slept`", "log", "exp", "C", "poly", "bs", "scale", "center", "(", ")", "+", "-", "*", ":",
     "/", ",", " ", "1", "0", "2", "df=4", "**", "^", "~", "|", "{", "}", "[", "]", ".", "`", "'", '"', "\\", "#", ";", ":=", "=",
     "lambda", "open",
     "__import__", "eval", "exec", "os", "system", "__class__", "I", "Q", "f'",
     "\n", "\0", "\u202e", "if", "for", "in", "not", "@", "%", "$"]
)  # fmt: skip
WELL_FORMED = st.recursive(
    st.sampled_from(["sleep", "workload", "role", "`hours slept`", "log(sleep)", "exp(workload)", "poly(sleep, 2)", "bs(workload, df=4)",
                     "C(role)", "scale(sleep)", "1"]),
    lambda inner: st.tuples(inner, st.sampled_from([" + ", " - ", "*", ":", "/"]), inner).map(lambda p: f"({p[0]}{p[1]}{p[2]})"),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(formula=st.one_of(st.lists(ALPHABET, max_size=14).map("".join), st.text(max_size=30), WELL_FORMED))
def test_any_text_is_a_finite_design_or_a_clear_error(formula, executed):
    seen, armed = executed
    before = FRAME.copy()
    armed.append(True)
    try:
        matrix = columns(formula)
    except UserError as error:
        assert str(error).startswith("formula ")
        ran = [e for e, _ in seen if e != "exec"]
    else:
        assert len(matrix) == len(FRAME) and np.isfinite(matrix.to_numpy()).all()
        ran = [e for e, _ in seen if e != "exec"]  # vetted text is evaluated, as the test before this one shows
    finally:
        armed.clear()
        seen.clear()
    assert not ran
    pd.testing.assert_frame_equal(FRAME, before)
