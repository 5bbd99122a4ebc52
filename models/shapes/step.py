"""Step: exposure from the start on, also after the spell has ended, as of a course whose effect stays."""

from .shape import FAR, Shape

STEP = Shape(
    name="step",
    meaning="acts from its start on, also after it has ended",
    formula="b -> infinity",
    spell=lambda start, end, dose, p, math: (start, 0 * end + FAR, dose),
)
