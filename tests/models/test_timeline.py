import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from equipoise import CapacityModel
from equipoise.datasets import Score, Study
from equipoise.models.design import build_design
from equipoise.models.timeline import lay_out

sys.path.insert(0, str(Path(__file__).parent))
from plain_layout import reference

MODELS = {
    "plain": {},
    "covariates": {"replenishment": "sleep + shift", "depletion": "load"},
    "raw covariates": {"replenishment": "sleep", "split_covariates": False},
    "periods": {"secular": "periods", "periods": 4},
    "line": {"secular": "linear", "replenishment": "sleep"},
    "step": {"exposures": {"coaching": "step"}},
    "shapes": {
        "exposures": {"coaching": ["delay", "saturating"], "rota": {"shape": "fade", "fixed": {"fade": 2.0}}},
        "replenishment": "load", "secular": "periods", "periods": 3,
    },
    "fixed delay": {"exposures": {"coaching": {"shape": ["delay", "ramp"], "fixed": {"delay": 1.5, "onset": 2.0}}}},
}  # fmt: skip


def random_study(seed, holds) -> Study:
    """Clinicians of 1 to 7 surveys, some at whole weeks; spells begun before the first survey, at surveys, after the last."""
    rng = np.random.default_rng(seed)
    rows, spells = [], []
    for i in range(9):
        n = rng.integers(1, 8) if i else 4
        times = rng.choice(np.arange(24) / 2, n, replace=False) + (0 if i % 2 else rng.uniform(0, 0.4))
        rows += [(f"c{i}", f"ward {i % 3}", t, *rng.integers(2, 9, 2), rng.integers(0, 3)) for t in sorted(times)]
        for name in ("coaching", "rota"):
            cuts = np.sort(np.concatenate([rng.uniform(-4, 14, 4), rng.choice(times, 1)]))
            cuts[0] = times.min() if rng.random() < 0.3 else cuts[0]
            for a, b in ((0, 1), (2, 3)):
                if rng.random() < 0.6 and cuts[a] < cuts[b]:
                    end = cuts[b] if rng.random() < 0.7 or a == 0 else np.nan
                    spells.append((f"c{i}", name, cuts[a], end, rng.choice([1.0, 0.5])))
    frame = pd.DataFrame(rows, columns=["id", "ward", "week", "score", "other", "load"])
    frame["sleep"] = frame["load"] % 2 + 0.25 * frame["other"]
    frame["shift"] = frame["id"].map(lambda name: "night" if name in ("c1", "c4") else "day")
    answered = rng.random(len(frame)) < 0.9
    answered[:4] = True
    frame["score"] = frame["score"].where(answered)
    columns = ["clinician", "intervention", "start", "end", "dose"]
    spells = pd.DataFrame(spells, columns=columns).drop_duplicates(["clinician", "intervention", "start"])
    spells = spells.sort_values(["clinician", "intervention", "start"], ignore_index=True)
    following = spells.groupby(["clinician", "intervention"])["start"].shift(-1)
    spells["end"] = np.fmin(spells["end"].to_numpy(), following.to_numpy())
    return Study.from_table(
        frame, clinician="id", unit="ward", time="week", time_unit="week", holds=holds, spells=spells,
        covariates=["sleep", "load", "shift"],
        scores={name: Score(range=(0, 10), better="higher", step=1) for name in ("score", "other")},
    )  # fmt: skip


def assert_same(ours, theirs):
    for field in fields(theirs):
        mine, yours = getattr(ours, field.name), getattr(theirs, field.name)
        np.testing.assert_array_equal(mine, yours, err_msg=field.name)
        assert np.asarray(mine).dtype == np.asarray(yours).dtype, field.name


@pytest.mark.parametrize("options", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("holds", ["before", "after"])
@pytest.mark.parametrize("seed", range(4))
def test_all_clinicians_at_once_are_laid_out_as_one_by_one(options, holds, seed):
    study, model = random_study(seed, holds), CapacityModel(**options)
    rng = np.random.default_rng(seed)
    times = study.occasions.groupby("clinician")["time"]
    # further points: before the first survey, at surveys, between them, after the last, and none
    extra = [
        np.unique(np.concatenate([rng.uniform(-5, 15, rng.integers(0, 6)), rng.choice(mine, rng.integers(0, 2))]))
        for _, mine in times
    ]
    layout, owner, columns, cells, further = reference(model, study, extra)
    design, timeline, epoch = build_design(model, study)
    assert_same(design.layout, layout)
    assert_same(lay_out(timeline, epoch, extra), further)
    np.testing.assert_array_equal(design.epoch_clinician, owner)
    np.testing.assert_array_equal(design.epoch_columns, columns)
    assert len(design.cells) == len(cells)
    for ours, theirs in zip(design.cells, cells, strict=True):
        assert_same(ours, theirs)
