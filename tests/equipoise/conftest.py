"""A small analysis on disk, and a fit that costs nothing."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from equipoise import run as running

ANALYSIS = """\
schema = 1

[study]
data = "survey.csv"
clinician = "id"
unit = "ward"
time = "week"
time_unit = "week"
covariates = ["sleep"]
holds = "before"

[study.scores.stress]
range = [0, 10]
better = "lower"

[interventions.mindfulness]
column = "mindfulness_on"

[model]
replenishment = "sleep"

[sampling]
draws = 100
tune = 100
chains = 2
seed = 3

[report]
title = "Ward programme"
"""


def survey() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        (f"{i:03d}", f"ward {i % 4}", week, rng.integers(0, 11), round(rng.normal(7), 1), int(week > 5 + 3 * (i % 4)))
        for i in range(24)
        for week in range(0, 20, 2)
    ]
    return pd.DataFrame(rows, columns=["id", "ward", "week", "stress", "sleep", "mindfulness_on"])


@pytest.fixture
def analysis(tmp_path) -> Path:
    """An analysis file with its data, in a folder of its own."""
    folder = tmp_path / "study"
    folder.mkdir()
    survey().to_csv(folder / "survey.csv", index=False)
    file = folder / "analysis.toml"
    file.write_text(ANALYSIS)
    return file


class FakeFit:
    """Stands for a fit: the draws are a line of text."""

    def __init__(self, text: str, complete: bool = True, warnings: tuple[str, ...] = ()):
        self.text, self.complete, self.warnings = text, complete, list(warnings)

    def save(self, path):
        Path(path).write_text(self.text)


class Laboratory:
    """Counts what was done, and can be told to fail."""

    def __init__(self):
        self.sampled = self.rendered = 0
        self.complete, self.warnings, self.fail = True, (), None
        self.options: dict = {}

    def sample(self, model, study, **options):
        self.sampled += 1
        self.options = options
        print("chatter of the sampler")
        if self.fail == "sample":
            raise KeyboardInterrupt
        return FakeFit(f"draws {self.sampled}", self.complete, self.warnings)

    def restore(self, path, study, model):
        return FakeFit(Path(path).read_text(), True, self.warnings)

    def render(self, fit, folder, **options):
        self.rendered += 1
        self.options = options
        (folder / "report.html").write_text(f"{options['title']}: {fit.text}")
        (folder / "tables").mkdir()
        (folder / "tables" / "units.csv").write_text("unit\n")
        if self.fail == "render":
            raise RuntimeError("a figure that cannot be drawn")
        return ["report.html", "tables/units.csv"]


@pytest.fixture
def laboratory(monkeypatch) -> Laboratory:
    """Replaces the sampler and the report by fakes."""
    fake = Laboratory()
    monkeypatch.setattr(running, "sample", fake.sample)
    monkeypatch.setattr(running, "restore", fake.restore)
    monkeypatch.setattr(running, "_render", fake.render)
    monkeypatch.setattr(running, "_dropout", lambda fit, prob, delta: [])
    return fake
