"""What the tests of the models share: a short way to a study whose every number stands in the test."""

from collections.abc import Mapping

import pandas as pd
import pytest

from equipoise.datasets import Score, Study


@pytest.fixture(scope="session")
def make_study():
    """Build a study from times by clinician, spells (clinician, intervention, start, end[, dose]) and covariates."""

    def make_study(
        times: Mapping[str, list[float]], spells=(), covariates: Mapping[str, Mapping[str, list]] | None = None,
        units: Mapping[str, str] | None = None, scores=None, values=None, **keywords,
    ) -> Study:  # fmt: skip
        rows = [(who, t) for who, when in times.items() for t in when]
        frame = pd.DataFrame(rows, columns=["id", "week"])
        scores = scores or {"wellbeing": Score(range=(0, 100), better="higher", step=1)}
        for n, name in enumerate(scores):
            frame[name] = [50 + (7 * r + 3 * n) % 20 for r in range(len(frame))] if values is None else values[name]
        for name, by_clinician in (covariates or {}).items():
            frame[name] = [value for who in times for value in by_clinician[who]]
        if units is not None:
            frame["ward"] = frame["id"].map(units)
        table = pd.DataFrame(
            [(*s, 1.0)[:5] for s in spells], columns=["clinician", "intervention", "start", "end", "dose"]
        )
        return Study.from_table(
            frame, clinician="id", unit="ward" if units is not None else None, time="week", time_unit="week",
            scores=scores, covariates=list(covariates or {}), spells=table if len(table) else None, **keywords,
        )  # fmt: skip

    return make_study
