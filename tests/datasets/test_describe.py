import json

import numpy as np
import pandas as pd
import pytest

from equipoise.datasets.describe import describe


def test_counts(build, panel):
    panel.loc[1, "stress"] = np.nan
    facts = describe(build(panel))
    assert (facts["clinicians"], facts["units"], facts["occasions"]) == (3, 2, 5)
    assert (facts["answered"], facts["missing"], facts["missing_share"]) == (4, 1, 0.2)
    assert facts["surveys_per_clinician"]["max"] == 2 and facts["once"] == 2
    assert facts["gap"]["median"] == 2 and facts["follow_up"] == {"min": 0, "q25": 0, "median": 0, "q75": 2, "max": 4}
    assert (facts["first"], facts["last"], facts["origin"]) == (0, 4, None)
    assert facts["clinicians_per_unit"]["max"] == 2


def test_scores(build, panel):
    score = describe(build(panel.assign(stress=[10, 10, 4, 8, 0])))["scores"]["stress"]
    assert (score["floor"], score["ceiling"], score["ties"], score["levels"]) == (0.2, 0.4, 0.5, 4)
    assert (score["step"], score["step_source"]) == (2, "detected")
    assert score["mean"] == pytest.approx(6.4)


def test_exposure_is_counted_while_followed(build, panel):
    spells = pd.DataFrame(
        {"clinician": ["a", "a", "b"], "start": [-5, 3, 0], "end": [1, None, 9], "dose": [1.0, 0.5, 1.0]}
    )
    exposure = describe(build(panel, interventions={"m": spells}))["interventions"]["m"]
    # Only a is followed, for 4 weeks: one week of dose 1 and one of .5; b's follow-up has no length.
    assert exposure["share_of_time"] == pytest.approx(1.5 / 4)
    assert (exposure["clinicians"], exposure["units"], exposure["spells"]) == (1, 1, 3)
    assert (exposure["source"], exposure["dosed"]) == ("spells", True)


def test_poor_studies_are_described_too(build, panel):
    facts = describe(build(panel.assign(id=list("abcde")), interventions={"m": "on"}, holds="after"))
    assert np.isnan(facts["gap"]["median"]) and np.isnan(facts["interventions"]["m"]["share_of_time"])


def test_can_be_written_as_json(build, panel):
    dated = panel.assign(week=pd.Timestamp("2024-01-01") + pd.to_timedelta(panel["week"], unit="D"))
    facts = describe(build(dated, interventions={"m": "on"}, holds="before"))
    assert json.loads(json.dumps(facts))["origin"] == "2024-01-01T00:00:00"
