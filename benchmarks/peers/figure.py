"""Effective draws per CPU second of every run, as one dot plot.

    python benchmarks/peers/figure.py [OUT.svg]

One dot a seed, one panel a study; the axis is logarithmic and common to all. A hollow dot is a run that failed (a divergence,
R-hat above 1.01, or stopped at its time limit). Default: ``benchmarks/results/peers.svg``.
"""

import sys

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
from run import RESULTS, RUNS
from studies import SIZES
from tables import failed, groups, sampling_rows

from equipoise.inference.refits.ledger import Ledger

NAMES = {"equipoise": "Equipoise", "stan": "Stan", "numpyro": "numpyro", "pymc": "PyMC scan, nutpie"}
COLOURS = {"ours": "#0b6e4f", "customary": "#b5541c"}


def draw(rows):
    sizes = [size for size in SIZES if any(row["size"] == size for row in rows)]
    lines = [run for run in RUNS if any((row["system"], row["coordinates"]) == run for row in rows)]
    plt.rcParams.update({"font.size": 9, "svg.fonttype": "path", "svg.hashsalt": "peers"})
    figure, panels = plt.subplots(
        1, len(sizes), figsize=(2.2 + 2.4 * len(sizes), 0.9 + 0.3 * len(lines)), sharex=True, sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for panel, size in zip(panels[0], sizes, strict=True):
        for place, (system, coordinates) in enumerate(lines):
            for row in groups(rows, "size", "system", "coordinates").get((size, system, coordinates), []):
                colour = COLOURS[coordinates]
                face = "none" if failed(row) else colour
                panel.plot(max(row["speed"], 1e-3), place, "o", ms=5, mec=colour, mfc=face, alpha=0.85, mew=1.2)
        clinicians, surveys, units = SIZES[size]
        panel.set_title(f"{clinicians:,} x {surveys}, {units} units", fontsize=9, loc="left")
        panel.set_xscale("log")
        panel.grid(axis="x", which="major", color="#dddddd", lw=0.8)
        panel.grid(axis="y", color="#eeeeee", lw=0.8)
        panel.set_axisbelow(True)
        panel.spines[["top", "right", "left"]].set_visible(False)
        panel.tick_params(axis="y", length=0)
    panels[0][0].set_yticks(range(len(lines)), [f"{NAMES[s]} ({c})" if s != "equipoise" else NAMES[s] for s, c in lines])
    panels[0][0].set_ylim(len(lines) - 0.5, -0.5)
    figure.supxlabel("least bulk effective draws per CPU second of sampling (hollow: failed)", fontsize=9)
    return figure


if __name__ == "__main__":
    stored = sampling_rows(Ledger(RESULTS / "peers.jsonl", "peers 1").results)
    out = sys.argv[1] if len(sys.argv) > 1 else RESULTS / "peers.svg"
    draw(stored).savefig(out, metadata={"Date": None} if str(out).endswith("svg") else None)
    print(out)
