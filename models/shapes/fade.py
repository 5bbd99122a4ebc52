"""Fade: the effect decays with a half-life, after the spell has ended or from its start."""

from .shape import Shape, without_end

_MEANING = {"fade": "half-life of the effect's decay"}

FADE = Shape(
    name="fade",
    meaning="decays after its end with a half-life (fade)",
    formula="after b: what it was at b, times 2^(-(t - b)/fade)",
    parameters=_MEANING,
    after=lambda since, p, math: 2.0 ** (-since / p["fade"]),
)

FADE_FROM_START = Shape(
    name="fade_from_start",
    meaning="decays from its start with a half-life (fade), however long it runs",
    formula="b -> infinity, times 2^(-(t - a)/fade)",
    parameters=_MEANING,
    spell=without_end,
    endless=True,
    during=lambda since, p, math: 2.0 ** (-since / p["fade"]),
)
