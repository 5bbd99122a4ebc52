"""Write the bundled study: simulated from the model with a fixed seed, its truth beside it.

    python reports/papers/example/simulate.py

writes ``survey.csv``, ``spells.csv`` and the four ``*_truth.csv`` into ``datasets/example/``.
"""

from pathlib import Path

import numpy as np
import pandas as pd

import equipoise as eq

SEED = 20260401
WEEKS = 36
UNITS = 12
FOLDER = Path(__file__).parents[3] / "datasets" / "example"
SCORE = eq.Score(range=(10, 50), better="higher", step=1)
MODEL = eq.CapacityModel(replenishment="sleep", depletion="workload")
PARAMETERS = {
    "level": 38.0,
    "half_life": 1.6,
    "total_sd": 10.0,
    "variance_shares": [0.42, 0.46, 0.12],
    "level_rate_concordance": 0.5,
    "rate_sd": 0.25,
    "spread_sd": 0.3,
    "unit_level_sd": 0.06,
    "unit_rate_sd": 0.06,
    "start_shift": -3.0,
    "start_sd_ratio": 1.0,
    # In the order of the names: debriefing lowers beta (by 34 %, alpha by 13 %), mindfulness raises alpha (by 52 %, beta
    # by 15 %). Levers are told from how fast capacity moves: it takes many surveys, about a half-life apart.
    "level_change": [0.28, 0.28],
    "speed_up": [-0.28, 0.28],
    "spread_change": [0.0, 0.0],
    "effect_unit_sd": [0.03, 0.03],
    "selection": [0.0, 0.0],
    # sleep (mean, deviation) on alpha; workload (mean, deviation) on beta, where more of it lowers C*
    "covariate_level": [0.05, 0.06, -0.05, -0.06],
    "period_effect": [0.02, 0.03, 0.0, -0.01, -0.02, -0.02],
}


def survey_design(rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Who is surveyed when, with covariates, and when each unit begins each programme."""
    rows = []
    sizes = rng.integers(7, 12, UNITS)
    number = 0
    for u, size in enumerate(sizes):
        for _ in range(size):
            number += 1
            usual_sleep, usual_work = rng.normal(6.8, 0.5), rng.normal(46, 5)
            for k in range(WEEKS + 1):
                week = k + rng.integers(-2, 3) / 7  # a day or two early or late
                if k and rng.random() < 0.02:
                    continue  # not even sent out
                rows.append(
                    {
                        "clinician": f"C{number:03d}",
                        "unit": f"Ward {u + 1}",
                        "week": round(max(week, 0.0), 2),
                        "sleep": round(rng.normal(usual_sleep, 0.6), 1),
                        "workload": round(rng.normal(usual_work, 6)),
                    }
                )
    frame = pd.DataFrame(rows)
    frame["satisfaction"] = np.where(rng.random(len(frame)) < 0.09, np.nan, 30.0)
    starts = np.linspace(6, 30, UNITS).round(1)
    spells = pd.DataFrame(
        [
            {"unit": f"Ward {u + 1}", "intervention": name, "start": start, "end": ""}
            for name in ("debriefing", "mindfulness")
            for u, start in enumerate(rng.permutation(starts))
        ]
    )
    return frame, spells


def bundled_study(seed: int = SEED):
    """The simulation (study and truth) and its spells; other seeds give other studies of the same design."""
    rng = np.random.default_rng(seed)
    frame, spells = survey_design(rng)
    study = eq.Study.from_table(
        frame,
        clinician="clinician",
        unit="unit",
        time="week",
        time_unit="week",
        scores={"satisfaction": SCORE},
        spells=spells,
        covariates=["sleep", "workload"],
        holds="before",
    )
    return eq.simulate(MODEL, study, PARAMETERS, seed=rng), spells


def write(folder: Path = FOLDER) -> None:
    new, spells = bundled_study()
    study = new.study
    table = study.occasions.drop(columns="row")
    table.insert(1, "unit", study.clinicians["unit"].to_numpy()[table["clinician"]])
    table["clinician"] = study.clinicians["clinician"].to_numpy()[table["clinician"]]
    table = table.rename(columns={"time": "week"})
    table["workload"] = table["workload"].astype(int)
    table.insert(3, "satisfaction", study.surveys["points"].round().astype("Int64").to_numpy())
    folder.mkdir(exist_ok=True)
    table.to_csv(folder / "survey.csv", index=False, lineterminator="\n")
    spells.to_csv(folder / "spells.csv", index=False, lineterminator="\n")
    for name in ("clinicians", "units", "effects"):
        getattr(new, name).round(6).to_csv(folder / f"{name}_truth.csv", index=False, lineterminator="\n")
    shares = PARAMETERS["variance_shares"]
    sd = {n: PARAMETERS["total_sd"] * s**0.5 for n, s in zip(("trait", "process", "error"), shares, strict=True)}
    beta = np.log(2) / PARAMETERS["half_life"]
    population = {
        "alpha": PARAMETERS["level"] * beta,
        "beta": beta,
        "capacity": PARAMETERS["level"],
        "half_life": PARAMETERS["half_life"],
        "capacity_mean": new.clinicians["capacity"].mean(),
        "trait_sd": sd["trait"],
        "process_sd": sd["process"],
        "error_sd_total": float(np.hypot(sd["error"], SCORE.step_capacity / 12**0.5)),
        "level_rate_correlation": 2 * PARAMETERS["level_rate_concordance"] - 1,
        **{n: PARAMETERS[n] for n in ("rate_sd", "spread_sd", "unit_level_sd", "unit_rate_sd", "start_shift")},
    }
    rows = pd.DataFrame({"quantity": list(population), "value": [round(float(v), 6) for v in population.values()]})
    rows.to_csv(folder / "population_truth.csv", index=False, lineterminator="\n")
    print(f"{study}; {study.n_missing / len(study.surveys):.1%} missing, {new.clipped:.1%} at the end of the range")


if __name__ == "__main__":
    write()
