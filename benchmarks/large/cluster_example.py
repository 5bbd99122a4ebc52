"""A simulated study of any size, with an analysis file for the laptop and one for the cluster that differ in one key.

    python -P benchmarks/large/cluster_example.py FOLDER --clinicians 1000 --run          # writes, and runs both
    python -P benchmarks/large/cluster_example.py FOLDER --clinicians 50000 --draws 500   # writes; then
    equipoise run FOLDER/cluster.toml

``--scheduler tcp://host:8786`` in place of "local" names a cluster of your own. With ``--run`` the two runs' draws are compared.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from make_study import ANALYSIS, make

SAMPLING = """[sampling]
draws = {draws}
tune = {draws}
chains = {chains}
seed = 1
compare_spreads = false

[estimands]
horizon = 26.0
threshold = 40.0
"""
COMPUTE = """
[compute]
scheduler = "{scheduler}"
"""


def write(folder: Path, clinicians: int, draws: int, chains: int, scheduler: str) -> tuple[Path, Path]:
    """Write the study, laptop.toml and cluster.toml."""
    make(folder, clinicians)
    head, _, rest = ANALYSIS.partition("[sampling]")
    report = rest[rest.index("[report]") :]
    laptop = head.format(data="surveys.parquet") + SAMPLING.format(draws=draws, chains=chains) + "\n" + report
    files = folder / "laptop.toml", folder / "cluster.toml"
    for file, text in zip(files, (laptop, laptop + COMPUTE.format(scheduler=scheduler)), strict=True):
        file.write_text(text, encoding="utf-8")
    return files


def run(file: Path) -> float:
    """Seconds of `equipoise run`."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-P", "-m", "equipoise", "run", str(file), "--fresh"], check=True)
    return time.perf_counter() - started


def compare(files) -> str:
    """Whether two runs have the same draws."""
    from equipoise import load
    from equipoise.inference.refits.agreement import identical

    one, other = (load(file.parent / "results" / file.stem / "posterior.nc") for file in files)
    return "the same draws to the last bit" if identical(one, other) else "DIFFERENT draws"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clinicians", type=int, default=1_000)
    parser.add_argument("--draws", type=int, default=100, help="and draws of warm-up, of each chain")
    parser.add_argument("--chains", type=int, default=2)
    parser.add_argument("--scheduler", default="local")
    parser.add_argument("--run", action="store_true", help="run both, and compare their draws")
    asked = parser.parse_args()
    files = write(asked.folder, asked.clinicians, asked.draws, asked.chains, asked.scheduler)
    if not asked.run:
        print(*files, sep="\n")
        return
    seconds = [run(file) for file in files]
    for file, took in zip(files, seconds, strict=True):
        print(f"{file.name}: {took:.0f} s")
    print(f"laptop and cluster: {compare(files)}")


if __name__ == "__main__":
    main()
