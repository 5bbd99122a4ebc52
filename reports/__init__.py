"""What is shown: tables, figures, prose and the HTML page."""

from importlib import import_module

_MODULES = {
    "write_outputs": "page",
    "write_report": "page",
}
__all__ = sorted(_MODULES)


def __getattr__(name: str):
    if name in _MODULES:
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
