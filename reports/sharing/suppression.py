"""Which groups of clinicians may be shown, so that no small group can be worked out from those that are.

What a report says of a group is a sum or mean over its clinicians, and whoever knows sizes can add, subtract and weight such
sums: all that can be had from the groups shown are weighted sums over clinicians whose weights lie in the linear span of the
groups' indicators. The rule: *in every such sum, scaled so that its largest weight is 1, the weights come to at least the
smallest cell*. So no sum concerns fewer clinicians than that, nor is one ruled by fewer, the rest having hardly any weight.
It holds the threshold rule (no group below the smallest cell), complements (all less a group), secondary suppression (the one
unit left out is all less the others) and differences between overlapping groupings.

Sources: Hundepool, Domingo-Ferrer, Franconi, Giessing, Schulte Nordholt, Spicer & de Wolf (2012), Statistical Disclosure
Control, Wiley, chapter 4 (threshold and dominance rules, secondary suppression, linked tables); Cox (1980), Suppression
methodology and statistical disclosure control, JASA 75:377-385 (what linear relations between cells give away).
"""

from __future__ import annotations

import numpy as np

from ...datasets.errors import UserError

LEAST = 5


def check_smallest(smallest) -> None:
    """Raise `UserError` unless the smallest cell is a whole number of at least 5."""
    if not isinstance(smallest, (int, np.integer)) or isinstance(smallest, bool) or smallest < LEAST:
        raise UserError(
            f"smallest_cell must be a whole number of at least {LEAST}; got {smallest!r}. In a group of fewer, each member who knows "
            "their own answers can work out much of what the others said."
        )


def sizes(groups: np.ndarray) -> np.ndarray:
    """Clinicians in each group (groups x clinicians): those whose weight is not 0."""
    return (np.abs(np.atleast_2d(groups)) > 1e-12).sum(axis=1)


def isolates(groups: np.ndarray, smallest: int) -> bool:
    """Whether some combination of the groups is about fewer than ``smallest`` clinicians.

    Parameters
    ----------
    groups : float array (groups x clinicians)
        1 (or a weight) for members, 0 for others.
    smallest : int
        The smallest cell.

    Returns
    -------
    bool

    Notes
    -----
    Clinicians in exactly the same groups form an atom and have the same weight x in every combination. For each atom a the least
    sum of abs(x) over clinicians, with x_a = 1 and abs(x) <= 1 elsewhere, is a linear programme. None is needed where the atom
    itself is large enough, or where the least sum of x^2, which is smaller, is: that is 1/h, with h the leverage of one of the
    atom's clinicians in a regression on the groups.

    Examples
    --------
    All 30, and two units of 12 and 15: the three left over are all less both.

    >>> unit = np.repeat([0, 1, 2], [12, 15, 3])
    >>> isolates(np.array([unit >= 0, unit == 0, unit == 1], float), 10)
    True
    >>> isolates(np.array([unit >= 0, unit == 1], float), 10)
    False
    """
    groups = np.atleast_2d(np.asarray(groups, float))
    groups = groups[sizes(groups) > 0]
    if not len(groups):
        return False
    groups = groups / np.abs(groups).max(axis=1, keepdims=True)
    atoms, count = np.unique(np.round(groups, 12), axis=1, return_counts=True)
    inside = np.abs(atoms).max(axis=0) > 0
    atoms, count = atoms[:, inside], count[inside]
    root = np.sqrt(count)
    _, values, basis = np.linalg.svd(atoms * root, full_matrices=False)
    basis = basis[values > 1e-9 * values[0]] / root
    leverage = (basis**2).sum(axis=0)
    doubtful = np.flatnonzero((count < smallest) & (leverage > (1 - 1e-9) / smallest))
    # the likeliest first, so that little is done where it is unsafe
    return any(_least(atoms, count, atom) < smallest - 1e-6 for atom in doubtful[np.argsort(-leverage[doubtful])])


def _least(groups: np.ndarray, count: np.ndarray, atom: int) -> float:
    """The least sum of abs(x) over clinicians of a combination x of groups (groups x atoms) with x = 1 at an atom, its largest."""
    from scipy.optimize import linprog
    from scipy.sparse import csr_array, eye_array, hstack

    rows, atoms = groups.shape
    # x = up - down, each from 0 to 1
    one = eye_array(atoms)
    found = linprog(
        np.concatenate([np.zeros(rows), count, count]),
        A_eq=hstack([csr_array(groups.T), -one, one]).tocsr(), b_eq=np.zeros(atoms),
        bounds=[(None, None)] * rows + [(float(n == atom), 1) for n in range(atoms)] + [(0, float(n != atom)) for n in range(atoms)],
    )  # fmt: skip
    # without a combination in which the atom has the largest weight there is nothing to fear of it
    return float(found.fun) if found.status == 0 else np.inf if found.status == 2 else 0.0


def choose(known: np.ndarray, groups: np.ndarray, smallest: int) -> np.ndarray:
    """Which of some groups may be shown beside what is shown already.

    Groups below the smallest cell go first, with those that give something away each by itself; then, smallest first, as many more
    as it takes.

    Parameters
    ----------
    known : float array (groups x clinicians)
        Shown already; safe by itself.
    groups : float array (groups x clinicians)
        Candidates, such as the units.
    smallest : int

    Returns
    -------
    bool array (groups)

    Examples
    --------
    Units of 3, 12 and 15: with the three, the twelve have to go too.

    >>> unit = np.repeat([0, 1, 2], [3, 12, 15])
    >>> choose(np.ones((1, 30)), np.array([unit == u for u in range(3)], float), 10).tolist()
    [False, False, True]
    """
    groups = np.atleast_2d(np.asarray(groups, float))
    size = sizes(groups)
    shown = size >= smallest
    if not isolates(np.concatenate([known, groups[shown]]), smallest):
        return shown
    for n in np.flatnonzero(shown):
        shown[n] = not isolates(np.concatenate([known, groups[[n]]]), smallest)
    while shown.any() and isolates(np.concatenate([known, groups[shown]]), smallest):
        shown[np.flatnonzero(shown)[np.argmin(size[shown])]] = False
    return shown


def number_is_safe(size: np.ndarray, shown: np.ndarray, smallest: int) -> bool:
    """Whether it can be told how many groups of a partition are left out.

    Where all of those are small, their number and total could say how large each is: as many clinicians as groups, or as many
    as groups below the smallest cell can hold.
    """
    left_out = size[~shown & (size > 0)]
    if not len(left_out) or left_out.max() >= smallest:
        return True
    return bool(len(left_out) < left_out.sum() < len(left_out) * (smallest - 1))
