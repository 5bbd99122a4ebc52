"""The bundled study: simulated from the model, with its truth beside it."""

from importlib.resources import as_file, files

import pandas as pd

from .errors import UserError
from .score import Score
from .study import Study

_TRUTH = ("clinicians", "units", "effects", "population")


def load_example() -> Study:
    """The bundled study: weekly surveys over 36 weeks, two programmes rolled out unit by unit.

    Returns
    -------
    Study
        12 units, 111 clinicians; sleep and workload as covariates; one programme that mainly raises replenishment
        (mindfulness), one that mainly lowers depletion (debriefing), as spells of the units. Simulated, so its
        `example_truth` is known.
    """
    with _file("survey.csv") as survey, _file("spells.csv") as spells:
        return Study.from_file(
            survey,
            clinician="clinician",
            unit="unit",
            time="week",
            time_unit="week",
            scores={"satisfaction": Score(range=(10, 50), better="higher", step=1)},
            spells=spells,
            covariates=["sleep", "workload"],
            holds="before",
        )


def example_truth() -> dict[str, pd.DataFrame]:
    """What the bundled study was simulated from.

    Returns
    -------
    dict of DataFrames
        ``clinicians`` and ``units``: one row each, with the true alpha, beta and capacity; ``effects``: by
        intervention; ``population``: quantity and value of what all share.
    """
    truth = {}
    for name in _TRUTH:
        with _file(f"{name}_truth.csv") as path:
            truth[name] = pd.read_csv(path, dtype={"clinician": str, "unit": str})
    return truth


def _file(name: str):
    """A context manager that gives the path of a bundled file, also from a zipped package."""
    resource = files(__package__) / "example" / name
    if not resource.is_file():
        raise UserError(f"The bundled file {name} is missing: the installation is incomplete. Install equipoise anew.")
    return as_file(resource)
