import numpy as np
import pytest

from equipoise import CapacityModel, datasets


@pytest.fixture(scope="module")
def many():
    study = datasets.design_study(clinicians=5000, surveys=2, units=1)
    scores = np.full(len(study.surveys), 50.0)
    return study, scores


@pytest.mark.parametrize("cut, told", [(5, False), (20, True)])
def test_scores_at_an_end_of_the_scale_are_named_where_clinicians_are_many(many, cut, told):
    study, scores = many
    scores = scores.copy()
    scores[:cut] = np.arange(cut) % 2 * 100.0
    found = CapacityModel().cautions(study.with_scores(scores))
    assert any("wellbeing: 0.2% of the answers are the lowest or highest" in text for text in found) == told


def test_a_smaller_study_is_not_told_of_a_few_of_them():
    study = datasets.design_study(clinicians=60, surveys=2, units=1)
    scores = np.where(np.arange(len(study.surveys)) < 5, 0.0, 50.0)
    assert not any("normal errors" in text for text in CapacityModel().cautions(study.with_scores(scores)))
