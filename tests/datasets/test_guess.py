import pandas as pd
import pytest

from equipoise.datasets import UserError, guess_analysis


@pytest.fixture
def save(tmp_path):
    def save(frame):
        path = tmp_path / "survey.csv"
        frame.to_csv(path, index=False)
        return path

    return save


def test_roles_of_a_plain_panel(save, panel):
    guess = guess_analysis(save(panel.assign(note="x", email=list("vwxyz"))))
    assert guess["data"] == "survey.csv"
    values = {role: guess[role]["value"] for role in ("clinician", "unit", "time", "time_unit", "holds")}
    assert values == {"clinician": "id", "unit": "ward", "time": "week", "time_unit": "week", "holds": "TODO"}
    assert guess["scores"]["stress"]["range"] == (0, 10)
    assert list(guess["scores"]) == ["stress"]
    assert list(guess["interventions"]) == ["on"] and list(guess["covariates"]) == ["sleep"]
    assert guess["unused"] == {"note": "it never changes", "email": "text"}
    assert guess["missing_covariates"]["value"] is None and guess["repeated"]["value"] is None


def test_the_direction_is_never_guessed(save, panel):
    assert all(score["better"] == "TODO" for score in guess_analysis(save(panel))["scores"].values())


def test_every_guess_has_its_reason(save, panel):
    guess = guess_analysis(save(panel))
    roles = ("clinician", "unit", "time", "time_unit", "holds", "missing_covariates", "repeated")
    assert all(guess[role]["reason"] for role in roles)
    for group in ("scores", "interventions", "covariates"):
        assert all(entry["reason"] for entry in guess[group].values())


def test_dates_tell_the_unit_of_time(save, panel):
    days = pd.to_timedelta(panel["week"] * 7, unit="D")
    frame = panel.drop(columns="week").assign(date=pd.Timestamp("2024-01-01") + days)
    guess = guess_analysis(save(frame))
    assert guess["time"]["value"] == "date" and guess["time_unit"]["value"] == "week"
    frame["date"] = frame["date"].dt.strftime("%d.%m.%Y")  # not read, but recognised, with what to do
    guess = guess_analysis(save(frame))
    assert guess["time"]["value"] == "date" and "YYYY-MM-DD" in guess["time"]["reason"]
    guess = guess_analysis(save(panel.rename(columns={"week": "visit"})))
    assert guess["time"]["value"] == "visit" and guess["time_unit"]["value"] == "TODO"


def test_two_waves_may_be_called_0_and_1(save):
    frame = pd.DataFrame({"id": list("aabbcc"), "wave": [0, 1] * 3, "trained": [0, 1, 0, 0, 0, 1], "stress": [3, 5, 2, 2, 7, 4]})
    guess = guess_analysis(save(frame))
    assert guess["time"]["value"] == "wave" and list(guess["interventions"]) == ["trained"] and list(guess["scores"]) == ["stress"]


@pytest.mark.parametrize("name", ["training_session", "post_period", "session", "day_shift"])
def test_zeros_and_ones_beside_a_time_are_no_waves(save, name):
    frame = pd.DataFrame({
        "id": list("aaaabbbb"), "months": [0, 3, 6, 9] * 2, name: [0, 0, 1, 1, 0, 1, 1, 1], "stress": [3, 5, 2, 2, 7, 4, 1, 6],
    })  # fmt: skip
    guess = guess_analysis(save(frame))
    assert guess["time"]["value"] == "months" and list(guess["interventions"]) == [name]
    guess = guess_analysis(save(frame.iloc[[0, 2, 4, 6]].assign(months=[0, 6, 0, 6])))
    assert guess["time"]["value"] == "months"


def test_gaps_and_repeats_are_left_to_the_user(save, panel):
    frame = pd.concat([panel, panel.iloc[[0]]]).assign(sleep=[None, 6, 6.5, 8, 5, 7])
    guess = guess_analysis(save(frame))
    assert guess["missing_covariates"]["value"] == "TODO" and "sleep" in guess["missing_covariates"]["reason"]
    assert guess["repeated"]["value"] == "TODO"


def test_files_without_ids_or_times(save, panel):
    with pytest.raises(UserError, match="clinician's id"):
        guess_analysis(save(panel[["sleep", "stress", "on"]]))
    with pytest.raises(UserError, match="time"):
        guess_analysis(save(panel[["id", "ward"]]))
    with pytest.raises(UserError, match="no rows"):
        guess_analysis(save(panel.iloc[:0]))


def test_asip(asip_data):
    guess = guess_analysis(asip_data / "ASIP_data_Nof1_MB.csv")
    assert guess["clinician"]["value"] == "manuscript_ID"
    assert (guess["time"]["value"], guess["time_unit"]["value"]) == ("current_day_of_study", "day")
    assert guess["scores"]["survey1_question1_response"]["range"] == (0, 10)
    assert "intervention_period" in guess["interventions"]
