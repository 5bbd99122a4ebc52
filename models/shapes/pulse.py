"""Pulse: exposure while the spell runs, and none before or after. The default."""

from .shape import Shape

PULSE = Shape(
    name="pulse",
    meaning="acts while it runs, at once in full, and no longer",
    formula="dose while a <= t < b",
)
