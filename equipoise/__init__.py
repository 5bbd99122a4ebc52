"""How fast is each clinician's capacity for compassion replenished and depleted, and what moves it?

A study is a table of survey scores, a model says what is believed about it, a fit is what was learnt:

    import equipoise as eq

    study = eq.Study.from_file("survey.csv", clinician="id", time="week", time_unit="week",
                               scores={"stress": eq.Score(range=(0, 10), better="lower")})
    fit = eq.fit(eq.CapacityModel(), study, seed=1)
    fit.clinicians()
    eq.write_report(fit, "report.html")

Names are imported when first used, so that ``import equipoise`` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for editors, which cannot see names that come only when asked for
    from . import datasets, inference, models, reports
    from .datasets import Score, Study, UserError
    from .inference import fit, load, on_cluster
    from .models import CapacityModel, Prior, prior_predictive, simulate
    from .reports import write_report

    __version__: str

__all__ = [
    "CapacityModel",
    "Prior",
    "Score",
    "Study",
    "UserError",
    "__version__",
    "datasets",
    "fit",
    "inference",
    "load",
    "models",
    "on_cluster",
    "prior_predictive",
    "reports",
    "simulate",
    "write_report",
]

_MODULES = {
    "CapacityModel": "models",
    "Prior": "models",
    "Score": "datasets",
    "Study": "datasets",
    "UserError": "datasets",
    "fit": "inference",
    "load": "inference",
    "on_cluster": "inference",
    "prior_predictive": "models",
    "simulate": "models",
    "write_report": "reports",
}
_ROOMS = ("datasets", "models", "inference", "reports")


def __getattr__(name: str):
    if name in _MODULES:
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    if name in _ROOMS:
        return import_module(f".{name}", __name__)
    if name == "__version__":
        return import_module("importlib.metadata").version("equipoise")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
