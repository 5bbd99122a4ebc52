"""Results that grow by a row at a time, so that a run can be stopped and go on."""

from pathlib import Path

import pandas as pd

RESULTS = Path(__file__).parents[1] / "results"


def done(file) -> int:
    return len(pd.read_csv(file)) if file.exists() else 0


def append(file, row: dict) -> None:
    file.parent.mkdir(exist_ok=True)
    pd.DataFrame([row]).to_csv(file, mode="a", header=not file.exists(), index=False)
