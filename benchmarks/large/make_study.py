"""A simulated study of any size as files: surveys in Parquet (or CSV), spells, and an analysis file for both.

    python benchmarks/large/make_study.py FOLDER --clinicians 50000
    python benchmarks/large/make_study.py FOLDER --clinicians 5000 --nuts     # nuts.toml beside: 4 chains of 1,000 draws

Twenty clinicians a unit, twenty surveys each a week apart with some jitter, one answer in twenty missing; a programme that
reaches the units one after another, and one given to every other unit. The truth stands in ``truth.csv``.
"""

import argparse
import json
import warnings
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from equipoise import CapacityModel, datasets, simulate
from equipoise.inference.sampling import compile_model
from equipoise.models.design import build_design
from equipoise.models.parameters import parameter_table

TRUTH = {  # hardly a score at the ends of the scale, where the model does not hold
    "level": 55.0, "half_life": 4.0, "total_sd": 9.0, "variance_shares": [0.35, 0.35, 0.3], "rate_sd": 0.3, "spread_sd": 0.2,
    "level_rate_concordance": 0.4, "unit_level_sd": 0.06, "unit_rate_sd": 0.15, "start_shift": 1.0, "start_sd_ratio": 1.0,
    "level_change": [0.06, -0.04], "speed_up": [0.1, 0.0], "spread_change": [0.0, 0.1], "selection": [-0.05, 0.03],
    "effect_unit_sd": 0.03, "period_effect": 0.0,
}  # fmt: skip
MOST_CLIPPED = 1e-4
BLOCK = 100_000  # rows
ANALYSIS = """schema = 1

[study]
data = "{data}"
clinician = "clinician"
unit = "unit"
time = "week"
time_unit = "week"

[study.scores.wellbeing]
range = [0, 100]
better = "higher"
step = 1

[interventions.mindfulness]
spells = "spells.parquet"

[interventions.debriefing]
spells = "spells.parquet"

[sampling]
draws = 400
chains = 1
seed = 1

[report]
title = "A health service, simulated"
"""


def planned(clinicians: int, surveys: int, per_unit: int = 20, seed: int = 1):
    """The study's design, with scores to be made."""
    return datasets.design_study(
        clinicians=clinicians, surveys=surveys, units=clinicians // per_unit, jitter=0.2, missing=0.05, seed=seed,
        interventions={"mindfulness": "stepped", "debriefing": "parallel"},
    )  # fmt: skip


def compiled(clinicians: int, surveys: int, half_life: float, rounded: bool = True):
    """A study with another half-life, in memory: as `approximate` and `laplace` take it (compiled model, model, study, design)."""
    model = CapacityModel()
    study = simulate(model, planned(clinicians, surveys), TRUTH | {"half_life": half_life}, seed=1, rounded=rounded).study
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return compile_model(model.build(study)), model, study, build_design(model, study)[0]


def make(folder: Path, clinicians: int, surveys: int = 20, per_unit: int = 20, seed: int = 1, formats=("parquet",)) -> Path:
    """Write a study and its analysis file; returns the analysis file."""
    if clinicians < 3 * per_unit:
        raise SystemExit(f"{clinicians} clinicians make no three units of {per_unit}, without which not both programmes are there")
    model, plan = CapacityModel(), planned(clinicians, surveys, per_unit, seed)
    known = {parameter.name for parameter in parameter_table(model, plan, build_design(model, plan)[0])}
    made = simulate(model, plan, {name: value for name, value in TRUTH.items() if name in known}, seed=seed)  # few units have no spread
    if made.clipped > MOST_CLIPPED:
        raise SystemExit(f"{made.clipped:.2%} of the scores lie at the ends of the scale")
    study = made.study
    folder.mkdir(parents=True, exist_ok=True)
    names, units = (study.clinicians[c].to_numpy(object) for c in ("clinician", "unit"))
    schema = pa.schema([("clinician", pa.string()), ("unit", pa.string()), ("week", pa.float64()), ("wellbeing", pa.float64())])
    with_csv = pa.csv.CSVWriter(folder / "surveys.csv", schema) if "csv" in formats else None
    with pa.parquet.ParquetWriter(folder / "surveys.parquet", schema) as writer:
        for begin in range(0, len(study.occasions), BLOCK):
            rows = study.occasions.iloc[begin : begin + BLOCK]
            code = rows["clinician"].to_numpy()
            points = pd.Series(study.surveys["points"].to_numpy()[begin : begin + BLOCK])
            block = pa.table([names[code], units[code], rows["time"].to_numpy(), pa.Array.from_pandas(points)], schema=schema)
            writer.write_table(block)
            if with_csv:
                with_csv.write_table(block)
    if with_csv:
        with_csv.close()
    spells = study.spells.assign(
        clinician=names[study.spells["clinician"]],
        intervention=pd.Series(study.interventions).to_numpy()[study.spells["intervention"]],
        end=study.spells["end"].where(study.spells["end"] < float("inf")),
    )
    spells[["clinician", "intervention", "start", "end"]].to_parquet(folder / "spells.parquet", index=False)
    made.effects.to_csv(folder / "truth.csv", index=False)
    (folder / "truth.json").write_text(json.dumps(TRUTH), encoding="utf-8")
    for kind in formats:
        (folder / f"{kind}.toml").write_text(ANALYSIS.format(data=f"surveys.{kind}"), encoding="utf-8")
    return folder / f"{formats[0]}.toml"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clinicians", type=int, default=50_000)
    parser.add_argument("--csv", action="store_true", help="CSV beside Parquet")
    parser.add_argument("--nuts", action="store_true", help="also an analysis file for the sampler, with its defaults")
    asked = parser.parse_args()
    print(make(asked.folder, asked.clinicians, formats=("parquet", "csv") if asked.csv else ("parquet",)))
    if asked.nuts:
        text = ANALYSIS.format(data="surveys.parquet").replace("draws = 400\nchains = 1\n", "compare_spreads = false\n")
        (asked.folder / "nuts.toml").write_text(text, encoding="utf-8")
        print(asked.folder / "nuts.toml")
