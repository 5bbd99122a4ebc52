"""Missing covariates and exposures, filled by the rule the user names."""

import numpy as np
import pandas as pd

from .errors import UserError
from .table import Table

RULES = ("error", "carry", "person_mean")


def fill_missing(
    values: np.ndarray,
    clinician: np.ndarray,
    time: np.ndarray,
    *,
    rule: str,
    limit: float | None,
    table: Table,
    column: str,
    exposure: bool = False,
) -> np.ndarray:
    """Fill the gaps of one column.

    Parameters
    ----------
    values : array (n,)
        Floats (NaN: missing), or objects (None: missing); sorted by clinician and time.
    clinician, time : arrays (n,)
        Codes and times of the rows.
    rule : {"error", "carry", "person_mean"}
        Refuse; carry the clinician's last value forward; or take the mean of the clinician's values.
    limit
        With "carry": the longest time a value is carried.
    table, column
        Where the values stand, for messages.
    exposure
        Whether the column says who had an intervention when; there is no such thing as a mean of that.

    Raises
    ------
    UserError
        If values are missing under "error", are still missing after the rule, or cannot be averaged.
    """
    missing = pd.isna(values)
    if not missing.any():
        return values
    what = "an intervention" if exposure else "a covariate"
    if rule == "error":
        rules = "'carry'" if exposure or values.dtype == object else "'carry' or 'person_mean'"
        table.fail(f"{what} is missing", column, missing, f"Fill the cells in, or set missing_covariates to {rules}.")
    if rule == "person_mean" and exposure:
        table.fail(
            f"{what} is missing", column, missing, "It cannot be replaced by a mean: fill the cells in, or use 'carry'."
        )
    if rule == "person_mean" and values.dtype == object:
        table.fail(f"{what} is missing", column, missing, "A category has no mean: fill the cells in, or use 'carry'.")
    if rule == "carry":
        filled = _carry(values, missing, clinician, time, limit)
        reason = (
            "there is no earlier value to carry forward" if limit is None else f"none stands within {limit:g} before it"
        )
    else:
        filled = _person_mean(values, missing, clinician)
        reason = "the clinician has no value to take a mean of"
    still = pd.isna(filled)
    if still.any():
        table.fail(f"{what} is missing, and {reason}", column, still, "Fill the cells in, or remove the rows.")
    return filled


def check_limit(limit: float | None, rule: str) -> None:
    """Refuse a limit that is no positive number, or that has nothing to limit."""
    if limit is None:
        return
    if rule != "carry":
        raise UserError("`carry_limit` only means something with missing_covariates 'carry'.")
    if isinstance(limit, bool) or not isinstance(limit, int | float | np.number) or not limit > 0:
        raise UserError(f"`carry_limit` must be a time above 0, in the study's time unit, not {limit!r}.")


def _carry(values, missing, clinician, time, limit):
    position = np.arange(len(values))
    last = np.maximum.accumulate(np.where(missing, -1, position))
    usable = (last >= 0) & (clinician[last] == clinician)
    if limit is not None:
        usable &= time - time[last] <= limit
    filled = values.copy()
    take = missing & usable
    filled[take] = values[last[take]]
    return filled


def _person_mean(values, missing, clinician):
    there = ~missing
    n = clinician[-1] + 1
    count = np.bincount(clinician[there], minlength=n)
    total = np.bincount(clinician[there], weights=values[there], minlength=n)
    mean = np.full(n, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return np.where(missing, mean[clinician], values)
