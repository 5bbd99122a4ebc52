"""Checks of a fit: one file each, with one line here.

A check's module has ``check(fit, prob) -> Check``. Checks that need refits have ``check(fit, prob, evidence)``: the plain
values that a command has stored with the results, or None where it has not been run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module

from ...datasets.errors import UserError, nearest
from .check import Check, not_done

# name -> whether it takes what a command has stored; in the order of the report
CHECKS: dict[str, bool] = {
    "sampling": False,
    "predictive": False,
    "loo": False,
    "loo_pit": False,
    "cross_validation": True,
    "dropout": False,
    "prior_predictive": False,
    "learnt": False,
    "power_scaling": False,
    "sensitivity": True,
    "doubling": True,
    "calibration": True,
}
# of a quick look these are made too; the rest take longer than it does, or need the sampler
QUICK = ("sampling", "predictive", "dropout", "learnt")
LEFT_OUT = "Not done: a quick look leaves it out; sample for it."
# of large studies these are made on the clinicians whose replicated and left-out answers were kept
OF_PANEL = ("predictive", "loo", "loo_pit", "dropout", "prior_predictive")
__all__ = ["CHECKS", "Check", "assess"]


def assess(fit, prob: float = 0.89, evidence: Mapping[str, dict] | None = None, only=None) -> dict[str, Check]:
    """Make the checks of a fit.

    Parameters
    ----------
    fit : Fit
        Checks that need the study, and do not have it, say so.
    prob : float
        Probability of the intervals.
    evidence : mapping of str to dict, optional
        By the name of the check, what `calibrate`, `sensitivity`, `cross_validate` and `doubling` came to, as plain values.
    only : list of str, optional
        Names of checks; default: all, but of a quick look only `QUICK`.

    Returns
    -------
    dict of str to Check
        In the order of the report.
    """
    for name in only or ():
        if name not in CHECKS:
            raise UserError(f"there is no check {name!r}.{nearest(str(name), CHECKS)} Known: {', '.join(CHECKS)}.")
    found = {}
    for name, stored in CHECKS.items():
        if only is not None and name not in only:
            continue
        module = import_module(f".{name}", __name__)
        if only is None and fit.approximate and name not in QUICK:
            found[name] = not_done(name, module.TITLE, LEFT_OUT)
            continue
        given = ((evidence or {}).get(name),) if stored else ()
        try:
            found[name] = module.check(fit.panel if name in OF_PANEL else fit, prob, *given)
            if name in OF_PANEL and fit.panel is not fit and found[name].passed is not None:
                size, every = (f.tree["posterior"].sizes["clinician"] for f in (fit.panel, fit))
                found[name] = replace(found[name], sentence=f"On {size:,} of {every:,} clinicians, drawn at random: {found[name].sentence}")
        except UserError as error:  # such as results that were loaded without their study
            found[name] = not_done(name, module.TITLE, f"Not done: {error}")
        except (KeyError, IndexError, TypeError, ValueError) as error:
            if not stored:
                raise
            found[name] = not_done(name, module.TITLE, f"Not done: what is stored cannot be read ({error!r}); run its command again.")
    return found
