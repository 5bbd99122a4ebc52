"""Step: exposure from the start on, also after the spell has ended, as of a course whose effect stays."""

from .shape import Shape, without_end

STEP = Shape(
    name="step",
    meaning="acts from its start on, also after it has ended",
    formula="b -> infinity",
    spell=without_end,
    endless=True,
)
