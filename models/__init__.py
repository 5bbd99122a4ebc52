"""What is believed: descriptions of models, their priors, and the PyMC model they build."""

from importlib import import_module

_MODULES = {
    "CapacityModel": "capacity",
    "Prior": "priors",
    "Simulation": "simulation",
    "prior_predictive": "simulation",
    "simulate": "simulation",
}
__all__ = sorted(_MODULES)


def __getattr__(name: str):
    if name in _MODULES:
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
