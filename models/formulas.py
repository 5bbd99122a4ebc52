"""R-style formulas that can hold columns, numbers, operators and a few named transforms, and nothing else.

formulaic evaluates Python code inside formulas; an analysis file must never run code. Every token is therefore
checked before formulaic sees the formula, and formulaic is given no variables but the study's columns.
"""

from __future__ import annotations

import ast
import math

import numpy as np
import pandas as pd

from ..datasets.errors import UserError, nearest

# Each transform with the settings it may be given, which must be numbers: the first can also stand without its name. NumPy's
# and formulaic's own functions take more, such as an array to write the result into.
FUNCTIONS = {
    "log": (),
    "exp": (),
    "C": (),
    "center": (),
    "scale": ("ddof",),
    "poly": ("degree",),
    "bs": ("df", "degree", "lower_bound", "upper_bound"),
}
_BY_POSITION = ("poly", "bs")
_NODES = (ast.Expression, ast.Call, ast.Name, ast.Load, ast.Constant, ast.keyword)
_OPERATORS = {"+", "-", "*", ":", "/"}
_PRODUCTS = {"*", ":", "/"}
_LARGEST_NUMBER = 100  # degrees and counts only: a spline with a million knots is not a formula anybody wants
# nor are these; products of many factors, or of wide ones, would fill the memory
_MOST_TOKENS, _MOST_PRODUCTS, _MOST_COLUMNS = 400, 12, 1000


def check_formula(formula: str, columns) -> None:
    """Raise `UserError` unless the formula holds only columns, numbers, operators and the named transforms."""
    from formulaic.parser.algos.tokenize import tokenize

    formula = formula.strip()
    if not formula:
        return
    where = f"formula {formula!r}"
    if "~" in formula:
        raise UserError(f"{where}: write the right-hand side only, such as 'sleep + workload'.")
    try:
        tokens = list(tokenize("1 + " + formula))
    except Exception as error:
        raise UserError(f"{where} cannot be read: {error}".splitlines()[0]) from None
    products = sum(token.kind.value == "operator" and token.token in _PRODUCTS for token in tokens)
    if len(tokens) > _MOST_TOKENS or products > _MOST_PRODUCTS:
        raise UserError(
            f"formula {formula[:60]!r}... is too long: at most {_MOST_TOKENS} names and signs, of them {_MOST_PRODUCTS} products."
        )
    for token in tokens:
        text = token.token
        match token.kind.value:
            case "name":
                _check_column(text, columns, where)
            case "value":
                if text not in ("0", "1"):
                    raise UserError(f"{where}: the number {text} can stand only inside a transform.")
            case "context":
                if text not in "()":
                    raise UserError(f"{where}: only round brackets can be used.")
            case "operator":
                if text not in _OPERATORS:
                    raise UserError(
                        f"{where}: the operator {text!r} cannot be used. Known: {' '.join(sorted(_OPERATORS))}."
                    )
            case "python":
                _check_call(text, columns, where)
            case other:
                raise UserError(f"{where}: cannot use {text!r} ({other}).")


def _check_column(name, columns, where):
    if name not in columns:
        known = (
            f"Known: {', '.join(columns)}." if columns else "The study has no covariates: list them in `covariates`."
        )
        raise UserError(f"{where}: {name!r} is not a covariate of the study.{nearest(name, columns)} {known}")


def _check_call(text, columns, where):
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise UserError(f"{where}: {text!r} cannot be read.") from None
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if not isinstance(node, _NODES):
            raise UserError(
                f"{where}: {text!r} is not allowed; only {', '.join(FUNCTIONS)} of columns and numbers are."
            )
        if isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS):
            name = ast.get_source_segment(text, node.func)  # not unparse, which recurses
            raise UserError(
                f"{where}: the function {name!r} is not known.{nearest(name, FUNCTIONS)} Known: {', '.join(FUNCTIONS)}."
            )
        if isinstance(node, ast.Call):
            _check_arguments(node, text, where)
        if isinstance(node, ast.Name) and id(node) not in called:
            _check_column(node.id, columns, where)
        if isinstance(node, ast.Constant) and not (
            isinstance(node.value, (int, float))
            and not isinstance(node.value, bool)
            and abs(node.value) <= _LARGEST_NUMBER
        ):
            raise UserError(f"{where}: {node.value!r} in {text!r} is not a number of at most {_LARGEST_NUMBER}.")


def _check_arguments(call, text, where):
    """One column (or transform of one), and then the settings of this transform."""
    settings = FUNCTIONS[call.func.id]
    if not call.args or not isinstance(call.args[0], ast.Name | ast.Call):
        raise UserError(f"{where}: {text!r} must begin with a column, as in {call.func.id}(sleep).")
    given = call.args[1:] + [keyword.value for keyword in call.keywords]
    known = all(keyword.arg in settings for keyword in call.keywords)
    if not known or len(call.args) > 1 + (call.func.id in _BY_POSITION) or not all(isinstance(v, ast.Constant) for v in given):
        allowed = f"can be given {', '.join(settings)}, as numbers" if settings else "takes a column and nothing else"
        raise UserError(f"{where}: in {text!r}, {call.func.id} {allowed}.")


def _check_size(parsed, frame, formula):
    """Refuse a formula that would make more columns than anybody can read, before it makes them."""

    def width(expression):
        if expression in frame:
            tree = ast.Name(expression)
        else:
            try:
                tree = ast.parse(expression, mode="eval")
            except SyntaxError:
                return 1
        nodes = list(ast.walk(tree))
        names = [node.id for node in nodes if isinstance(node, ast.Name) and node.id in frame]
        counts = [node.value for node in nodes if isinstance(node, ast.Constant)]
        is_wide = "C" in {node.id for node in nodes if isinstance(node, ast.Name)}
        levels = [frame[n].nunique() for n in names if is_wide or not pd.api.types.is_numeric_dtype(frame[n])]
        return max([1, *levels, *counts])

    columns = sum(math.prod(width(factor.expr) for factor in term.factors) for term in parsed)
    if columns > _MOST_COLUMNS:
        raise UserError(f"formula {formula!r} makes up to {columns:.0f} columns; at most {_MOST_COLUMNS} can be estimated.")


def design_columns(formula: str, frame: pd.DataFrame, columns) -> pd.DataFrame:
    """Columns of the design matrix without the intercept, one row for each row of ``frame``.

    Where the formula has products (``*``, ``:``, ``/``), numeric columns are centred before they are multiplied (0/1
    columns, and those that also stand inside a transform, are not): a main effect is then the effect at the average of
    the other column, and a product is not its main effects over again.

    Parameters
    ----------
    formula : str
        Right-hand side; empty for none.
    frame : DataFrame
        Holds the covariates.
    columns : sequence of str
        Names of the covariates that may be used.

    Raises
    ------
    UserError
        If the formula holds anything not allowed, or cannot be evaluated on these values.
    """
    from formulaic import Formula
    from formulaic.parser import DefaultFormulaParser

    formula = formula.strip()
    if not formula:
        return pd.DataFrame(index=frame.index)
    check_formula(formula, columns)
    frame = _centred_for_products(formula, frame)
    try:
        with np.errstate(all="ignore"):
            parsed = Formula("1 + " + formula, _parser=DefaultFormulaParser(feature_flags=set()))
            _check_size(parsed, frame, formula)
            # the columns named and no others: one that is called "log" must not stand in for the transform
            used = [name for name in columns if name in _names(formula)]
            matrix = parsed.get_model_matrix(frame[used], context={}, na_action="raise")
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"formula {formula!r} cannot be evaluated: {str(error).splitlines()[0]}") from None
    matrix = pd.DataFrame(np.asarray(matrix, float), columns=[str(c) for c in matrix.columns], index=frame.index)
    if "Intercept" not in matrix:  # the categories would all get a column, whose sum is the level itself
        raise UserError(
            f"formula {formula!r}: the intercept (the median clinician's level and rate) cannot be left out."
        )
    matrix = matrix.drop(columns="Intercept")
    bad = [name for name in matrix if not np.isfinite(matrix[name]).all()]
    if bad:
        raise UserError(
            f"formula {formula!r}: {bad[0]!r} is not finite for some rows (log of zero or a negative number?)."
        )
    return matrix


def _bare_and_inside(tokens) -> tuple[set[str], set[str]]:
    """Names of the columns that stand by themselves, and of those inside a transform."""
    bare = {t.token for t in tokens if t.kind.value == "name"}
    nodes = [node for t in tokens if t.kind.value == "python" for node in ast.walk(ast.parse(t.token, mode="eval"))]
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    return bare, {node.id for node in nodes if isinstance(node, ast.Name) and id(node) not in called}


def _names(formula: str) -> set[str]:
    from formulaic.parser.algos.tokenize import tokenize

    bare, inside = _bare_and_inside(list(tokenize(formula)))
    return bare | inside


def _centred_for_products(formula: str, frame: pd.DataFrame) -> pd.DataFrame:
    from formulaic.parser.algos.tokenize import tokenize

    tokens = list(tokenize(formula))
    if not any(t.kind.value == "operator" and t.token in _PRODUCTS for t in tokens):
        return frame
    bare, inside = _bare_and_inside(tokens)
    out = frame.copy()
    for name in bare - inside:
        if pd.api.types.is_numeric_dtype(out[name]) and not set(out[name].unique()) <= {0, 1}:
            out[name] = out[name] - out[name].mean()
    return out
