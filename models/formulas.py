"""R-style formulas that can hold columns, numbers, operators and a few named transforms, and nothing else.

formulaic evaluates Python code inside formulas; an analysis file must never run code. Every token is therefore
checked before formulaic sees the formula, and formulaic is given no variables but the study's columns.
"""

from __future__ import annotations

import ast

import numpy as np
import pandas as pd

from ..datasets.errors import UserError, nearest

FUNCTIONS = ("log", "exp", "C", "center", "scale", "poly", "bs")
_NODES = (ast.Expression, ast.Call, ast.Name, ast.Load, ast.Constant, ast.keyword)
_OPERATORS = {"+", "-", "*", ":", "/"}
_PRODUCTS = {"*", ":", "/"}
_LARGEST_NUMBER = 100  # degrees and counts only: a spline with a million knots is not a formula anybody wants


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
        if isinstance(node, ast.Name) and id(node) not in called:
            _check_column(node.id, columns, where)
        if isinstance(node, ast.Constant) and not (
            isinstance(node.value, (int, float))
            and not isinstance(node.value, bool)
            and abs(node.value) <= _LARGEST_NUMBER
        ):
            raise UserError(f"{where}: {node.value!r} in {text!r} is not a number of at most {_LARGEST_NUMBER}.")


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
            matrix = parsed.get_model_matrix(frame[list(columns)], context={}, na_action="raise")
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


def _centred_for_products(formula: str, frame: pd.DataFrame) -> pd.DataFrame:
    from formulaic.parser.algos.tokenize import tokenize

    tokens = list(tokenize(formula))
    if not any(t.kind.value == "operator" and t.token in _PRODUCTS for t in tokens):
        return frame
    bare = {t.token for t in tokens if t.kind.value == "name"}
    calls = [ast.parse(t.token, mode="eval") for t in tokens if t.kind.value == "python"]
    inside = {node.id for call in calls for node in ast.walk(call) if isinstance(node, ast.Name)}
    out = frame.copy()
    for name in bare - inside:
        if pd.api.types.is_numeric_dtype(out[name]) and not set(out[name].unique()) <= {0, 1}:
            out[name] = out[name] - out[name].mean()
    return out
