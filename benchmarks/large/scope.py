"""Where a large study's quick look can be trusted, by surveys and half-life: its seconds, Pareto k, effective draws and verdict.

    python -P benchmarks/large/scope.py                    # 5,000 clinicians, surveys a week apart
    python -P benchmarks/large/scope.py --surveys 10 --half-lives 1 2 4 10
"""

import argparse
import sys
import time
from pathlib import Path

from equipoise.datasets import UserError
from equipoise.inference.approximate import approximate
from equipoise.inference.sampling import Sampling

sys.path.insert(0, str(Path(__file__).parent))
from make_study import compiled


def looked_at(clinicians: int, surveys: int, half_life: float) -> str:
    given = compiled(clinicians, surveys, half_life)
    started = time.perf_counter()
    try:
        _, made, said = approximate(*given, Sampling(draws=400, seed=1))
    except UserError as refused:
        return f"{time.perf_counter() - started:.0f} | | | | | refused: {str(refused).split(';')[0]} |"
    verdict = said[0].split(":")[0].lower()
    left = f"{made['left']:.2f}" if "left" in made else ""
    seconds = time.perf_counter() - started
    return f"{seconds:.0f} | {made['proposals']} | {made['pareto_k']:.2f} | {made['effective']:.0f} | {left} | {verdict} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clinicians", type=int, default=5000)
    parser.add_argument("--surveys", type=int, nargs="+", default=[4, 6, 10, 20])
    parser.add_argument("--half-lives", type=float, nargs="+", default=[1.0, 2.0, 4.0, 10.0])
    asked = parser.parse_args()
    print("| surveys | half-life, weeks | s | proposals | Pareto k | effective draws | log densities off by | verdict |")
    print("|---|---|---:|---:|---:|---:|---:|---|")
    for surveys in asked.surveys:
        for half_life in asked.half_lives:
            print(f"| {surveys} | {half_life:g} | {looked_at(asked.clinicians, surveys, half_life)}", flush=True)


if __name__ == "__main__":
    main()
