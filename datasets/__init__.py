"""Studies: a validated long table of surveys, and the ways in which one comes to be."""

from importlib import import_module

_MODULES = {
    "UserError": "errors",
    "Score": "score",
    "Study": "study",
    "design_study": "planned",
    "asip_frame": "asip",
    "fetch_asip": "asip",
    "beat_the_blues_frame": "beat_the_blues",
    "load_beat_the_blues": "beat_the_blues",
    "load_example": "example",
    "example_truth": "example",
    "guess_analysis": "guess",
}
__all__ = sorted(_MODULES)


def __getattr__(name: str):
    if name in _MODULES:
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
