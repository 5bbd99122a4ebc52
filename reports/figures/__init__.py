"""Figures of the report: one file each, with one line here.

A figure's module has ``draw(material) -> Drawn or None``; None where the study or the model has nothing to show in it.
"""

from importlib import import_module

# name of the figure and of its file -> module, in the order of the report
FIGURES = {
    "sequences": "sequences",
    "design": "design",
    "layers": "layers",
    "covariates": "covariates",
    "units": "units",
    "clinicians": "clinicians",
    "trajectories": "trajectories",
    "interventions": "interventions",
    "levers": "levers",
    "worth": "worth",
    "paths": "paths",
}


def draw(name: str, material):
    """Draw a figure by its name: a `style.Drawn`, or None where there is nothing to draw."""
    return import_module(f".{FIGURES[name]}", __name__).draw(material)
