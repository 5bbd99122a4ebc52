"""Exposure shapes. A new one is a file here and a line in the registry."""

from .delay import DELAY
from .fade import FADE, FADE_FROM_START
from .pulse import PULSE
from .ramp import RAMP
from .saturating import SATURATING
from .shape import FAR, Shape
from .step import STEP

SHAPES: dict[str, Shape] = {
    shape.name: shape for shape in (PULSE, STEP, RAMP, FADE, FADE_FROM_START, DELAY, SATURATING)
}



def shape_parameters() -> dict[str, str]:
    """Every parameter of every shape, with its meaning."""
    return {name: text for shape in SHAPES.values() for name, text in shape.parameters.items()}


__all__ = ["FAR", "SHAPES", "Shape", "shape_parameters"]
