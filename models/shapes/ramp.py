"""Ramp: the approach to full effect, with a half-time."""

from .shape import Shape

RAMP = Shape(
    name="ramp",
    meaning="approaches its full effect with a half-time (onset)",
    formula="times 1 - 2^(-(t - a)/onset)",
    parameters={"onset": "half-time of the approach to full effect"},
    during=lambda since, p, math: 1.0 - 2.0 ** (-since / p["onset"]),
)
