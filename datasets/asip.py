"""ASIP: daily stress of physicians in residency, in two N-of-1 trials of breathing exercises."""

import hashlib
import os
from pathlib import Path

import pandas as pd

from .errors import UserError
from .score import Score
from .study import Study

COMMIT = "cc76d630f1f75c68e07bae943d126993273a6026"
URL = f"https://raw.githubusercontent.com/HIAlab/ASIP/{COMMIT}/data/"
# Exercise, file and SHA-256 of its bytes.
FILES = {
    "mindfulness_breathing": (
        "ASIP_data_Nof1_MB.csv",
        "96a5fbdc0b0048e7ba38e7d063780e8c32813e24c338e60059bb2936085925f3",
    ),
    "box_breathing": (
        "ASIP_data_Nof1_BB.csv",
        "e765955f8c7c93511990ce9e1773c41dc8d721901853538f779ce05056d2c825",
    ),
}


def asip_frame(cache: str | Path | None = None) -> pd.DataFrame:
    """The answers of the ASIP study, both exercises in one table.

    Looks into the folder that the environment variable ``EQUIPOISE_DATA`` names (in it or in its ``asip`` folder), then
    into `cache`, and downloads what is in neither.

    Parameters
    ----------
    cache
        Folder for downloads; by default the user's cache folder.

    Returns
    -------
    DataFrame (1123,)
        One row per answered day of 76 physicians, columns as published, with these differences: 0/1 columns
        ``mindfulness_breathing`` and ``box_breathing`` say whether the day lies in a week with that exercise (each
        person has only one of them); ``survey1_question3_response`` (exercise done today) is 0/1; and
        ``current_day_of_study_harmonized``, which is not chronological, is left out.

    Raises
    ------
    UserError
        If there is neither a copy nor a network, or if a copy differs from the published file.

    References
    ----------
    Vetter, Kurth, Konigorski, medRxiv 10.1101/2025.04.09.25325513; trial NCT06368791. Data under the MIT licence.
    """
    parts = []
    for exercise, (file, sha256) in FILES.items():
        part = pd.read_csv(_find(file, sha256, cache))
        part = part.drop(columns="current_day_of_study_harmonized")
        done = part["survey1_question3_response"].astype(str).str.lower()
        part["survey1_question3_response"] = done.map({"true": 1, "[ja]": 1, "false": 0, "[nein]": 0})
        for column in FILES:
            part[column] = part["intervention_period"] if column == exercise else 0
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def fetch_asip(holds: str | None, *, repeated: str = "mean", cache: str | Path | None = None) -> Study:
    """The ASIP study: 76 physicians, 28 days, stress today (0-10), weeks with and without a breathing exercise.

    Parameters
    ----------
    holds : {"before", "after"}
        Whether a day's exercise describes the time up to the day's answer or the time after it; see
        `Study.from_table`. No default: the choice changes the effects a good deal.
    repeated
        What to do with the four person-days that were answered twice.
    cache
        As in `asip_frame`, which also gives the errors raised and the source.

    Returns
    -------
    Study
        Time in days of the study (``current_day_of_study``), one score ``stress``, two interventions.
    """
    return Study.from_table(
        asip_frame(cache),
        clinician="manuscript_ID",
        time="current_day_of_study",
        time_unit="day",
        scores={"stress": Score(range=(0, 10), better="lower", step=1, column="survey1_question1_response")},
        interventions={exercise: exercise for exercise in FILES},
        holds=holds,
        repeated=repeated,
    )


def _find(file: str, sha256: str, cache: str | Path | None) -> Path:
    named = os.environ.get("EQUIPOISE_DATA")
    if named:
        for path in (Path(named) / "asip" / file, Path(named) / file):
            if path.is_file():
                if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
                    raise UserError(
                        f"{path} is not the published file (its SHA-256 differs). Remove it, or put the original there."
                    )
                return path
    return _download(file, sha256, cache)


def _download(file: str, sha256: str, cache: str | Path | None) -> Path:
    import pooch

    folder = Path(pooch.os_cache("equipoise") if cache is None else cache)
    try:
        return Path(pooch.retrieve(URL + file, known_hash=f"sha256:{sha256}", fname=file, path=folder))
    except OSError as error:
        problem = f"could not be downloaded ({type(error).__name__})"
    except ValueError:  # pooch: the hash differs
        problem = "arrived altered (its SHA-256 differs)"
    raise UserError(
        f"{file} of the ASIP study {problem}. With a network, try again; without one, put a copy from {URL} into a "
        "folder and name that folder in the environment variable EQUIPOISE_DATA."
    )
