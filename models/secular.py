"""Secular time: what calendar time does to everyone's level, whatever the programmes do.

Calendar time is cut into equal periods over which the effect is constant. With ``periods`` each has an effect of its own
(Hussey & Hughes 2007); a line or a natural cubic spline is followed in `STEPS` steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

KINDS = ("none", "linear", "spline", "periods")
STEPS = 16
KNOTS = 4
MOST_PERIODS = 6


@dataclass(frozen=True)
class Secular:
    """The effect of calendar time on log C*, as columns.

    Attributes
    ----------
    kind : str, in `KINDS`
    edges : float array
        Boundaries of the calendar periods; empty where there is no effect.
    basis : float array (periods x columns)
        Value of each column in each period. A line and a spline are centred over the study, free periods by the model.
    parameter, dim : str
        The parameter that the columns multiply, and its dimension ("" for a single number).
    labels : list
        Coordinates of the dimension.
    """

    kind: str
    edges: np.ndarray
    basis: np.ndarray
    parameter: str = ""
    dim: str = ""
    labels: tuple = ()

    @property
    def n_columns(self) -> int:
        return self.basis.shape[1]


def secular_time(study, kind: str, periods: int) -> Secular:
    """Secular time of a study; ``periods`` is the number of free periods, used by that kind only."""
    time = study.occasions["time"].to_numpy(float)
    first, last = time.min(), time.max()
    count = {"none": 0, "periods": periods}.get(kind, STEPS)
    if count < 2 or not last > first:
        return Secular("none", np.empty(0), np.zeros((0, 0)))
    edges = np.linspace(first, last, count + 1)
    if kind == "periods":
        return Secular(kind, edges, np.eye(count), "period_effect", "period", tuple(range(1, count + 1)))
    middle = (edges[:-1] + edges[1:]) / 2
    if kind == "linear":
        column = (middle - middle.mean()) / (last - first)
        return Secular(kind, edges, column[:, None], "drift")
    from scipy.interpolate import CubicSpline

    knots = np.linspace(first, last, KNOTS)
    values = CubicSpline(knots, np.eye(KNOTS), bc_type="natural")(middle)
    return Secular(kind, edges, values - values.mean(axis=0), "knot_effect", "knot", tuple(round(k, 6) for k in knots))


def secular_effect(p, secular: Secular, math):
    """Coefficients of the columns; those of free periods are centred, so that C* is that of an average period."""
    given = p[secular.parameter]
    if secular.kind == "periods":
        return given - given.mean()
    return given if secular.dim else math.stack([given])
