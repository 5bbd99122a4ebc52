"""Delay: the effect begins, and ends, later than the spell."""

from .shape import Shape

DELAY = Shape(
    name="delay",
    meaning="begins and ends to act after a delay",
    formula="a -> a + delay, b -> b + delay",
    parameters={"delay": "time between a spell's start and the beginning of its effect"},
    spell=lambda start, end, dose, p, math: (start + p["delay"], end + p["delay"], dose),
    moves=True,
)
