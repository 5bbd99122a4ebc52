"""The quick look against NUTS: means and standard deviations of population parameters, and clinicians' C*.

    python benchmarks/quick_accuracy.py                                        # 40 x 20, 200 x 25 and ASIP
    python benchmarks/quick_accuracy.py 200x25 --seeds 1 2 3 4                 # quick looks of several seeds
    python benchmarks/quick_accuracy.py some/analysis.toml --nuts 1000

4,000 draws a chain by NUTS, as many in all by each quick look as --draws says. "Off by" is the
difference of means in posterior standard deviations by NUTS; its own Monte Carlo error is about one over the root of both numbers of
effective draws.
"""

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np

import equipoise as eq
from equipoise.analysis import Analysis

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "peers"))
from studies import SIZES, simulated  # noqa: E402

ASIP = HERE.parent / "reports" / "papers" / "asip" / "analysis.toml"
OF_MEMBERS = {"clinician", "unit", "survey", "occasion", "epoch"}


def given(name: str):
    """Model and study of a size, of ASIP or of an analysis file."""
    if name in SIZES:
        return simulated(name, 1)
    analysis = Analysis.read(ASIP if name == "ASIP" else name)
    study = analysis.study()
    return analysis.model(study), study


def population(fit) -> dict[str, np.ndarray]:
    """Draws of each of the population's parameters."""
    found = {}
    for name, values in fit.tree["posterior"].data_vars.items():
        if OF_MEMBERS & set(values.dims):
            continue
        flat = values.transpose("chain", "draw", ...).to_numpy().reshape(values.sizes["chain"] * values.sizes["draw"], -1)
        for k, column in enumerate(flat.T):
            if column.std() > 0:
                found[f"{name}[{k}]" if flat.shape[1] > 1 else name] = column
    return found


def least_effective(fit, names) -> float:
    table = fit.diagnostics.set_index("quantity")
    return float(table.loc[[n for n in table.index if n.split("[")[0] in names], "ess_bulk"].min())


def compared(name: str, options) -> None:
    model, study = given(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that a quick look is one
        nuts = eq.fit(model, study, draws=options.nuts, tune=1000, seed=1, progress=False)
        ours = population(nuts)
        star = nuts.tree["posterior"]["capacity"].stack(sample=("chain", "draw")).transpose("sample", "clinician").to_numpy()
        worth = least_effective(nuts, {n.split("[")[0] for n in ours}), least_effective(nuts, {"capacity"})
        print(f"\n{name}: NUTS R-hat at most {nuts.diagnostics.rhat.max():.4f}, {nuts.divergences} divergences, least bulk ESS "
              f"{worth[0]:,.0f} of the population's, {worth[1]:,.0f} of clinicians' C*\n", flush=True)  # fmt: skip
        print("| seed | proposals | effective | Pareto k | means off by, at most | median | SDs | C* off by, at most | median |")
        print("|---" * 9 + "|")
        for seed in options.seeds:
            look = eq.fit(model, study, draws=options.draws, seed=seed, method="laplace")
            how, theirs = look.facts["sampling"], population(look)
            apart = {n: abs(theirs[n].mean() - v.mean()) / v.std() for n, v in ours.items()}
            spread = {n: theirs[n].std() / v.std() for n, v in ours.items()}
            theirs = look.tree["posterior"]["capacity"].stack(sample=("chain", "draw")).transpose("sample", "clinician").to_numpy()
            moved = np.abs(theirs.mean(axis=0) - star.mean(axis=0)) / star.std(axis=0)
            worst, narrow, wide = max(apart, key=apart.get), min(spread, key=spread.get), max(spread, key=spread.get)
            print(
                f"| {seed} | {how['proposals']:,} | {how['effective']:,.0f} | {how['pareto_k']:.2f} | {apart[worst]:.3f} {worst} "
                f"| {np.median(list(apart.values())):.3f} | {spread[narrow]:.3f} {narrow} to {spread[wide]:.3f} {wide} "
                f"| {moved.max():.3f} | {np.median(moved):.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("studies", nargs="*", default=["40x20", "200x25", "ASIP"], help="sizes, ASIP, or analysis files")
    parser.add_argument("--nuts", type=int, default=4000, help="draws of each chain by NUTS")
    parser.add_argument("--draws", type=int, default=4000, help="of a quick look")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    asked = parser.parse_args()
    for study in asked.studies:
        compared(study, asked)
