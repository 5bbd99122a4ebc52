"""What is learnt: sampling, the results tree, estimands and contrasts."""

from importlib import import_module

_MODULES = {
    "Fit": "results",
    "fit": "fitting",
    "load": "results",
    "on_cluster": "cluster",
}
__all__ = sorted(_MODULES)


def __getattr__(name: str):
    if name in _MODULES:
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
