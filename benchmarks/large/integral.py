"""How far the quick look's expansion is off the integral over each clinician's effects, in a large simulated study.

    python -P benchmarks/large/integral.py                    # 5,000 clinicians, 20 surveys, half-life 4 weeks
    python -P benchmarks/large/integral.py --surveys 4 --half-life 2

At points of the population's parameters (the centre, and one posterior standard deviation away from it in each direction) and given the
units' effects there, each clinician's two effects are integrated over the plane: along 16 rays, on each of which the log density is the
integral of a polynomial through 19 slopes. The sum over clinicians is compared with Laplace's method and its next terms. What counts is
by how much their difference changes over the posterior: half its range between the two ends of a direction is about how many posterior
standard deviations a mean is off; it grows at least with the root of the number of clinicians.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.polynomial import chebyshev

from equipoise.inference.cores import available_cores
from equipoise.inference.laplace.density import Density
from equipoise.inference.laplace.effects import CLOSE
from equipoise.inference.laplace.inner import integrated
from equipoise.inference.laplace.laplace import laplace
from equipoise.inference.laplace.newton import curvature_at

sys.path.insert(0, str(Path(__file__).parent))
from make_study import compiled

RAYS, DEGREE, FURTHEST, STEPS = 16, 18, 7.0, 281


class Study:
    def __init__(self, clinicians: int, surveys: int, half_life: float):
        found = laplace(*compiled(clinicians, surveys, half_life, rounded=False), available_cores())
        self.effects = found.effects()
        self.structure, self.density = found.structure, Density(self.effects.compiled)

    def at(self, point):
        """The effects' mode, factors of clinicians' precision there, the gradient, and Laplace's value."""
        s, effects = self.structure, self.effects
        y, places = np.zeros(s.size), effects._places
        y[s.population] = point
        zero = np.zeros(s.size)
        value, _ = integrated(effects._call, y, *places, s.unit_of, CLOSE, zero, np.empty(s.size), zero.copy(), False)
        (m, units), (k, count) = (p.shape for p in places)
        own = np.empty((count, k, k))
        gradient = self.density(y)[1]
        rooms = own, np.empty((count, k, m)), np.empty((units, m, m)), np.empty(s.size)
        curvature_at(effects._call, y, gradient, *places, s.unit_of, *rooms)
        return y, np.tril(own), gradient, value

    @staticmethod
    def deviations(own, direction):
        """One and the same direction of all clinicians' standardised effects, as effects (clinicians, 2)."""
        return np.linalg.solve(np.swapaxes(own, 1, 2), np.tile(direction, (len(own), 1))[..., None])[..., 0]

    def slopes(self, y, own, direction, radii):
        """Derivatives of clinicians' log densities along a ray of their standardised effects (radii, clinicians)."""
        s = self.structure
        along = self.deviations(own, direction)
        found = []
        for radius in radii:
            x = y.copy()
            x[s.clinician] += radius * along
            found.append((self.density(x)[1][s.clinician] * along).sum(axis=1))
        return np.array(found)

    def integral(self, y, own):
        """Sum of the logs of the integrals, relative to those of the normals."""
        nodes = np.cos(np.pi * (np.arange(DEGREE + 1) + 0.5) / (DEGREE + 1))
        radii = np.linspace(0, FURTHEST, STEPS)
        each = np.eye(DEGREE + 1)
        integrals = np.stack(
            [chebyshev.chebval(2 * radii / FURTHEST - 1, chebyshev.chebint(e, lbnd=-1)) for e in each], axis=1
        ) * (FURTHEST / 2) @ np.linalg.inv(chebyshev.chebvander(nodes, DEGREE))  # fmt: skip
        simpson = np.tile([2.0, 4.0], STEPS // 2 + 1)[:STEPS] * (FURTHEST / (STEPS - 1) / 3)
        simpson[[0, -1]] /= 2
        total = np.zeros(len(own))
        for angle in 2 * np.pi * np.arange(RAYS) / RAYS:
            logs = integrals @ self.slopes(y, own, np.array([np.cos(angle), np.sin(angle)]), (nodes + 1) / 2 * FURTHEST)
            total += (simpson * radii) @ np.exp(logs) / RAYS
        return np.log(total).sum()

    def expansion(self, y, own, gradient):
        """The next terms of Laplace's method as `inner.integrated` has them, of clinicians given the units."""
        s, axes = self.structure, np.eye(2)

        def moved(direction):
            x = y.copy()
            x[s.clinician] += self.deviations(own, direction)
            return np.linalg.solve(own, (self.density(x)[1] - gradient)[s.clinician][..., None])[..., 0]

        ends = [(moved(axis), moved(-axis)) for axis in axes]
        third = np.stack([there + back for there, back in ends], axis=2)  # f_acc by [i, a, c]
        fourth = np.stack([3 * (there - back) for there, back in ends], axis=2)
        for c in range(2):
            fourth[:, c, c] += 6
        both = 3 * ((moved(axes[0] + axes[1]) - moved(-axes[0] - axes[1]))[:, 0] + 2)
        crossed = (both - fourth[:, 0, 0] - 3 * fourth[:, 1, 0] - fourth[:, 0, 1]) / 3  # f_0011
        traces = np.square(third.sum(axis=2)).sum(axis=1)
        cubes = 2 * (third[:, 0, 0] ** 2 + third[:, 1, 1] ** 2) + 6 * (third[:, 0, 1] ** 2 + third[:, 1, 0] ** 2)
        return ((fourth[:, 0, 0] + fourth[:, 1, 1] + 2 * crossed + traces) / 8 + cubes / 24).sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clinicians", type=int, default=5000)
    parser.add_argument("--surveys", type=int, default=20)
    parser.add_argument("--half-life", type=float, default=4.0)
    asked = parser.parse_args()
    study = Study(asked.clinicians, asked.surveys, asked.half_life)
    p = study.structure.population.size

    def compared(point):
        y, own, gradient, value = study.at(point)
        return study.integral(y, own), study.expansion(y, own, gradient), value

    exact, terms, highest = compared(np.zeros(p))
    print(f"centre: integral {exact:.3f}, expansion {terms:.3f} log units above Laplace's method")
    print("| direction | log density lower by | integral | expansion | Laplace's method off by, SDs | expansion off by, SDs |")
    print("|---" * 6 + "|")
    worst = [0.0, 0.0]
    for axis in range(p):
        ends = [compared(sign * np.eye(p)[axis]) for sign in (1, -1)]
        off = [abs(ends[0][0] - ends[1][0]) / 2, abs(ends[0][0] - ends[0][1] - ends[1][0] + ends[1][1]) / 2]
        worst = np.maximum(worst, off)
        cells = (" and ".join(f"{end[k]:.2f}" for end in ends) for k in (0, 1))
        lower = " and ".join(f"{highest - end[2]:.1f}" for end in ends)
        print(f"| {axis + 1} | {lower} | {' | '.join(cells)} | {off[0]:.2f} | {off[1]:.3f} |", flush=True)
    print(f"\nAt most: Laplace's method {worst[0]:.2f}, with its next terms {worst[1]:.3f} posterior standard deviations.")


if __name__ == "__main__":
    main()
