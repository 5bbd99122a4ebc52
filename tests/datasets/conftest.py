"""What the tests of the datasets share: a small panel, a short way to build a study, and where real data may lie."""

import os
from pathlib import Path

import pandas as pd
import pytest

from equipoise.datasets import Score, Study

STRESS = Score(range=(0, 10), better="lower")


@pytest.fixture
def panel() -> pd.DataFrame:
    """Five rows of three clinicians in two wards."""
    return pd.DataFrame(
        {
            "id": ["a", "a", "a", "b", "c"],
            "ward": ["north", "north", "north", "south", "south"],
            "week": [0.0, 2.0, 4.0, 1.0, 2.0],
            "stress": [3.0, 5.0, 4.0, 8.0, 0.0],
            "sleep": [7.0, 6.0, 6.5, 8.0, 5.0],
            "on": [0, 1, 1, 0, 1],
        }
    )


@pytest.fixture
def build():
    """Build a study from a panel like the one above; keywords override."""

    def build(frame: pd.DataFrame, **keywords) -> Study:
        usual = {"clinician": "id", "unit": "ward", "time": "week", "time_unit": "week", "scores": {"stress": STRESS}}
        return Study.from_table(frame, **(usual | keywords))

    return build


@pytest.fixture
def asip_data(monkeypatch) -> Path:
    """The folder with the ASIP files, made the place where they are looked for."""
    named = os.environ.get("EQUIPOISE_DATA")
    folders = [Path(named)] if named else []
    folders.append(Path(__file__).parents[2].parent / "shared" / "data")
    for folder in folders:
        for place in (folder / "asip", folder):
            if (place / "ASIP_data_Nof1_MB.csv").is_file():
                monkeypatch.setenv("EQUIPOISE_DATA", str(folder))
                return place
    pytest.skip("no copy of the ASIP data: name its folder in the environment variable EQUIPOISE_DATA")
