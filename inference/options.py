"""Options, comparisons and populations of estimands, checked before anything is computed or sampled."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..datasets.errors import UserError, is_number, known_interventions, list_some, nearest

NONE = "no programme"
ALL = "all clinicians"
TARGET = "target population"
MOST_LEVELS = 30
MOST_COMBINED = 3

Option = tuple[str, ...]


def check_prob(prob) -> None:
    """Raise `UserError` unless the probability of the intervals lies between 0 and 1."""
    if not 0 < prob < 1:
        raise UserError(f"prob must lie between 0 and 1 (such as 0.89); got {prob!r}.")


def check_points(points) -> None:
    """Raise `UserError` unless points are those of capacity or of the score."""
    if points not in ("capacity", "score"):
        raise UserError(f"points must be 'capacity' (0-100) or 'score'; got {points!r}.{nearest(str(points), ('capacity', 'score'))}")


def title(option: Option) -> str:
    """An option in words."""
    return " + ".join(option) or NONE


def read_option(given, interventions: Sequence[str]) -> Option:
    """An option from a name, names joined by ``+``, a list of names, or "none".

    Raises
    ------
    UserError
        For a programme that the study does not have.
    """
    if isinstance(given, str):
        if given in interventions:
            parts = [given]
        elif given.strip().casefold() in ("none", NONE):
            parts = []
        else:
            parts = [part.strip() for part in given.split("+")]
    elif isinstance(given, Sequence):
        parts = list(given)
    else:
        raise UserError(f"an option is a programme, several joined by +, or \"none\"; got {given!r}.")
    known_interventions(parts, interventions)
    return tuple(name for name in interventions if name in parts)


def read_comparisons(given, interventions: Sequence[str]) -> list[tuple[Option, Option]]:
    """Pairs of options: those given, or each programme and their combinations against none, and each pair.

    Raises
    ------
    UserError
        For unknown programmes, a comparison of an option with itself, or anything that is no pair.
    """
    if given is None:
        single = [(name,) for name in interventions]
        found = [(option, ()) for option in single]
        found += [(a, b) for a, b in itertools.combinations(single, 2)]
        if 1 < len(interventions) <= MOST_COMBINED:
            sizes = range(2, len(interventions) + 1)
            found += [(c, ()) for n in sizes for c in itertools.combinations(interventions, n)]
        return found
    found = []
    listed = isinstance(given, Sequence) and not isinstance(given, str)
    for pair in given if listed else [given]:
        if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
            raise UserError(f"a comparison is a pair of options, such as [\"mindfulness\", \"none\"]; got {pair!r}.")
        a, b = (read_option(side, interventions) for side in pair)
        if a == b:
            raise UserError(f"a comparison of {title(a)} with itself says nothing; got {list(pair)!r}.")
        found.append((a, b))
    if not found:
        raise UserError("comparisons is empty; leave it out for all of them.")
    return found


def study_columns(study) -> dict[str, np.ndarray]:
    """What clinicians can be grouped by: the unit, and covariates that are constant within each clinician."""
    code = study.occasions["clinician"].to_numpy()
    first = np.flatnonzero(np.append(True, code[1:] != code[:-1]))
    constant = [name for name in study.covariates if name not in study.varying]
    return {"unit": study.clinicians["unit"].to_numpy().astype(str)} | {
        name: study.occasions[name].to_numpy()[first] for name in constant if name != "unit"
    }


@dataclass(frozen=True)
class Population:
    """Who estimands are averaged over.

    Attributes
    ----------
    groups : tuple of str
        The first is everyone.
    matrix : scipy.sparse.csc_array (clinicians x groups)
        Weights; each column sums to 1. Sparse, since thousands of units make thousands of groups.
    sizes : tuple of int, clinicians in each group
    """

    groups: tuple[str, ...]
    matrix: object
    sizes: tuple[int, ...]

    @property
    def weights(self) -> np.ndarray:
        """The weights as a plain array (clinicians x groups)."""
        return self.matrix.toarray()


def sparse(column: np.ndarray):
    """One column of weights, most of them 0 where there are many groups."""
    from scipy.sparse import csc_array

    return csc_array(column[:, None])


def joined(columns):
    """Columns side by side."""
    from scipy.sparse import hstack

    return hstack(columns, format="csc")


def read_population(columns: Mapping[str, np.ndarray], by=(), target: Mapping | None = None, varying=()) -> Population:
    """Groups and weights.

    Parameters
    ----------
    columns : mapping of str to array (clinicians)
        As from `study_columns`.
    by : str or sequence of str
        Columns whose levels are reported as groups of their own.
    target : mapping, optional
        ``{"column": "role", "shares": {"nurse": 0.7, "physician": 0.3}}``: everyone is weighted so that the levels have
        these shares.
    varying : sequence of str
        Columns that exist but change within clinicians, for the message.

    Raises
    ------
    UserError
        For columns or levels that do not exist, too many levels, or shares that are no shares.
    """
    count = len(columns["unit"])
    everyone = np.full(count, 1.0 / count)
    names, weights = [ALL], [everyone]
    if target is not None:
        names, weights = [TARGET], [_target(columns, target, varying)]
    sizes, parts = [int((weights[0] > 0).sum())], [sparse(weights[0])]
    for column in [by] if isinstance(by, str) else list(by or ()):
        values = _column(columns, column, varying, "by")
        levels = sorted(set(values.tolist()))
        if len(levels) > MOST_LEVELS and column != "unit":
            raise UserError(
                f"by: {column!r} has {len(levels)} different values; make a column of at most {MOST_LEVELS} groups from it."
            )
        for level in levels:
            mine = values == level
            share = np.where(mine, weights[0], 0.0)
            if share.sum() == 0:
                continue
            names.append(str(level) if column == "unit" else f"{column}: {_plain(level)}")
            parts.append(sparse(share / share.sum()))
            sizes.append(int((share > 0).sum()))
    return Population(tuple(names), joined(parts), tuple(sizes))


def _plain(level) -> str:
    short = f"{level:g}" if isinstance(level, float) else str(level)
    return short if not isinstance(level, float) or float(short) == level else repr(float(level))


def _column(columns, name, varying, what) -> np.ndarray:
    if name in columns:
        return np.asarray(columns[name])
    if name in varying:
        raise UserError(f"{what}: {name!r} changes within clinicians, so it makes no groups of them.")
    known = ", ".join(columns) + " (the unit by that word, whatever its column is called)"
    raise UserError(f"{what}: there is no column {name!r}.{nearest(str(name), columns)} Clinicians can be grouped by: {known}.")


def _target(columns, target, varying) -> np.ndarray:
    if not isinstance(target, Mapping) or set(target) != {"column", "shares"} or not isinstance(target["shares"], Mapping):
        raise UserError('target is a table such as { column = "role", shares = { nurse = 0.7, physician = 0.3 } }.')
    values = _column(columns, target["column"], varying, "target")
    words = np.array([_plain(v) for v in values.tolist()])
    weights = np.zeros(values.size)
    for level, share in target["shares"].items():
        if not (is_number(share) and share >= 0):
            raise UserError(f"target: the share of {level!r} must be a number of at least 0; got {share!r}.")
        mine = words == _plain(level)
        if not mine.any():
            known = sorted(set(words))
            raise UserError(
                f"target: no clinician has {target['column']} = {level!r}.{nearest(str(level), known)} "
                f"There are: {list_some(known, 12)}."
            )
        weights[mine] = share / mine.sum()
    if not weights.sum() > 0:
        raise UserError("target: the shares must not all be 0.")
    return weights / weights.sum()
