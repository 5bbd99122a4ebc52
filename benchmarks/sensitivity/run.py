"""The sensitivity panel on simulated studies where a conclusion must turn, and on one where none must.

    python benchmarks/sensitivity/run.py sound            # or: trait, no_trait, sigma, dropout; default: all
    python benchmarks/sensitivity/run.py --report

Refits are appended to ``benchmarks/results/sensitivity_STUDY.jsonl`` one by one.
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np

import equipoise as eq
from equipoise import datasets
from equipoise.inference.checks import assess
from equipoise.inference.refits.ledger import Ledger
from equipoise.inference.refits.sensitivity import sensitivity

RESULTS = Path(__file__).parents[1] / "results"
TRUE = {"level": 55.0, "half_life": 2.0, "total_sd": 14.0, "start_shift": 0.0, "speed_up": 0.0, "spread_change": 0.0}
LOWER = -16.0  # points by which those who left are lower under the programme
SAMPLING = {"draws": 800, "tune": 800, "chains": 2, "seed": 1, "progress": False}


def design(roll_out="parallel", surveys=14):
    return datasets.design_study(clinicians=48, surveys=surveys, gap=1.0, interventions={"course": roll_out}, seed=5)


def lifted(to):
    """A programme that lifts C* from 55, in a model that holds."""
    truth = TRUE | {"variance_shares": [0.1, 0.5, 0.4], "level_change": np.log(to / 55), "selection": 0.0}
    return eq.simulate(eq.CapacityModel(), design(), truth, seed=11).study


def sound():
    """A programme that lifts C* by about 13 points: nothing must turn or weaken."""
    return eq.CapacityModel(), lifted(68), None, ["half_life_longer", "sceptical", "spread_shared_omega", "start_free"]


def trait():
    """No programme, clinicians of very different levels: without the trait a disturbance seems to last many times as long."""
    planned = datasets.design_study(clinicians=48, surveys=14, gap=1.0, seed=5)
    truth = {k: v for k, v in TRUE.items() if k not in ("speed_up", "spread_change")} | {"variance_shares": [0.7, 0.2, 0.1]}
    return eq.CapacityModel(), eq.simulate(eq.CapacityModel(), planned, truth, seed=12).study, None, ["no_trait"]


def no_trait():
    """The same study fitted without the trait: that disturbances last must fall when it is put back."""
    return eq.CapacityModel(left_out="trait"), trait()[1], None, ["all_layers"]


def sigma():
    """A programme that only steadies people, fitted with one sigma for all: that it changes beta must fall with free spreads."""
    truth = TRUE | {
        "variance_shares": [0.1, 0.7, 0.2], "level_change": 0.0, "spread_change": -1.0, "spread_sd": 0.35, "rate_sd": 0.05,
    }  # fmt: skip
    study = eq.simulate(eq.CapacityModel(), design("alternating", 24), truth, seed=13).study
    return eq.CapacityModel(spread="shared_sigma"), study, None, ["spread_free"]


def dropout():
    """One that lifts those who stay by 6 points; half of the exposed leave soon, and are 16 points lower than the model thinks."""
    study = lifted(61)
    first = study.spells.groupby("clinician")["start"].min()
    leavers = first.index.to_numpy()[::2]
    at = study.surveys["occasion"].to_numpy()
    who, time = study.occasions["clinician"].to_numpy()[at], study.occasions["time"].to_numpy(float)[at]
    begun = first.reindex(np.arange(study.n_clinicians)).to_numpy()[who]
    gone = np.isin(who, leavers) & (time > begun + 1.0)
    return eq.CapacityModel(), study.with_scores(np.where(gone, np.nan, study.surveys["capacity"])), LOWER, ["start_stationary"]


STUDIES = {f.__name__: f for f in (sound, trait, no_trait, sigma, dropout)}


def run(name, workers):
    model, study, delta, only = STUDIES[name]()
    warnings.simplefilter("ignore", UserWarning)
    fit = eq.fit(model, study, **SAMPLING)
    ledger = Ledger(RESULTS / f"sensitivity_{name}.jsonl", json.dumps([model.to_dict(), study.fingerprint, SAMPLING]))
    found = sensitivity(fit, only=only, delta=delta, ledger=ledger, workers=workers, draws=500, tune=500, progress=name)
    (RESULTS / f"sensitivity_{name}.json").write_text(json.dumps(found))
    check = assess(fit, 0.89, {"sensitivity": found}, only=["sensitivity"])["sensitivity"]
    check.figure().savefig(RESULTS / f"sensitivity_{name}.png", dpi=120)
    tell(name, found, check)


def tell(name, found, check):
    took = [v["seconds"] for v in found["variants"] if v.get("seconds")]
    print(f"\n{name}: {check.verdict}. {len(took)} refits, {sum(took):.0f} s.\n{check.sentence}")
    shown = check.table[check.table["estimand"].isin(["capacity_change", "ratio_beta", "half_life"])]
    columns = ["assumption", "estimand", "median", "low", "high", "p_positive", "rhat of the refit"]
    print(shown[columns].to_string(index=False, float_format="{:.3g}".format), flush=True)


def report():
    for name in STUDIES:
        file = RESULTS / f"sensitivity_{name}.json"
        if file.exists():
            found = json.loads(file.read_text())
            for variant in found["variants"]:
                variant.pop("clinicians", None)  # named from the fit, which is not kept
            tell(name, found, assess(None, 0.89, {"sensitivity": found}, only=["sensitivity"])["sensitivity"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("studies", nargs="*", default=list(STUDIES), metavar="STUDY", help=", ".join(STUDIES))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--report", action="store_true")
    given = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    if given.report:
        report()
    else:
        for study_name in given.studies:
            run(study_name, given.workers)
