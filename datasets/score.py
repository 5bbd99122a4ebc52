"""A score: its range, which way is better, and how finely it is answered."""

from dataclasses import dataclass, replace

import numpy as np

from .errors import UserError, is_number, one_of

# Differences smaller than this share of the range are rounding in the file, and steps
# smaller than the second share are as good as continuous.
_ROUNDING = 1e-6
_FINEST = 1e-4
# Beyond these, arithmetic with the range or its steps overflows.
_NARROWEST, _WIDEST = 1e-100, 1e100


@dataclass(frozen=True)
class Score:
    """One indicator of capacity, on the scale it was answered on.

    Parameters
    ----------
    range : (float, float)
        Lowest and highest possible score (not the lowest and highest observed).
    better : {"higher", "lower"}
        Which end of the scale is the good one. There is no default: a wrong guess would turn every result around.
    step : float, optional
        Distance between neighbouring possible scores, in points; the error of rounding to it, ``step**2 / 12``, is a
        floor of the measurement error. Detected from the answers where it is not given; state it for questionnaires
        scored as means, where missing items blur the grid.
    column : str, optional
        Column that holds the score, if it differs from the score's name.

    Raises
    ------
    UserError
        If the range is not two finite numbers in ascending order, if `better` is another word, or if the range is not
        a whole number of steps.

    Notes
    -----
    Capacity is the percent of the maximum possible score, turned so that higher is better: 0 is the bad end of the
    range and 100 the good one.

    Examples
    --------
    >>> stress = Score(range=(0, 10), better="lower", step=1)
    >>> float(stress.to_capacity(3)), float(stress.to_points(70)), stress.step_capacity
    (70.0, 3.0, 10.0)
    >>> float(stress.change_to_points(5))  # five points of capacity gained: half a point of stress less
    -0.5
    """

    range: tuple[float, float]
    better: str
    step: float | None = None
    column: str | None = None

    def __post_init__(self):
        try:
            low, high = self.range
        except (TypeError, ValueError):
            raise UserError(
                f"A score's range must be its lowest and highest possible value, not {self.range!r}."
            ) from None
        if not (is_number(low) and is_number(high) and low < high and _NARROWEST <= float(high) - float(low) <= _WIDEST):
            raise UserError(
                f"A score's range must be two finite numbers, the lower one first, not {low!r} and {high!r}. "
                "Which end is the good one is said by `better`."
            )
        object.__setattr__(self, "range", (float(low), float(high)))
        one_of(self.better, ("higher", "lower"), "A score's `better`")
        if self.step is not None:
            if not (is_number(self.step) and 0 < self.step <= high - low):
                raise UserError(f"A score's step must be above 0 and at most {high - low:g}, not {self.step!r}.")
            steps = (high - low) / self.step
            if not is_number(steps) or abs(steps - round(steps)) > _ROUNDING * steps:
                raise UserError(
                    f"A score's range must be a whole number of its steps, but {low:g} to {high:g} is {steps:.4g} steps of "
                    f"{self.step:g}. For a mean of k items answered in whole points the step is 1/k; for their sum, 1."
                )
            object.__setattr__(self, "step", float(self.step))
        if self.column is not None and not isinstance(self.column, str):
            raise UserError(f"A score's column must be the name of a column, not {self.column!r}.")

    @property
    def _sign(self) -> int:
        return 1 if self.better == "higher" else -1

    @property
    def _points_per_percent(self) -> float:
        return (self.range[1] - self.range[0]) / 100

    @property
    def step_capacity(self) -> float | None:
        """The step on the 0-100 scale of capacity; None where there is none."""
        return None if self.step is None else self.step / self._points_per_percent

    def to_capacity(self, points):
        """Turn points of the score into capacity, 0-100, higher is better.

        Parameters
        ----------
        points : float or array of any shape
            Scores on their own scale; NaN stays NaN.

        Returns
        -------
        numpy.ndarray
            Of the shape of `points`.
        """
        low, high = self.range
        points = np.asarray(points, dtype=float)
        return (points - low if self.better == "higher" else high - points) / self._points_per_percent

    def to_points(self, capacity):
        """Turn capacity (0-100) into points of the score: the inverse of `to_capacity`."""
        low, high = self.range
        change = np.asarray(capacity, dtype=float) * self._points_per_percent
        return low + change if self.better == "higher" else high - change

    def change_to_points(self, delta):
        """Turn a change of capacity into a change of the score, in its own points and with its own sign."""
        return self._sign * np.asarray(delta, dtype=float) * self._points_per_percent


def resolve_step(score: Score, points: np.ndarray) -> tuple[Score, str]:
    """Settle a score's step: the stated one, else one detected in the answers.

    Parameters
    ----------
    score
        The score as the user described it.
    points : array
        All single answers, before repeated ones are averaged; NaN is ignored.

    Returns
    -------
    score, source
        The score with its step, and ``"stated"``, ``"detected"`` or ``"none"``.

    Notes
    -----
    The detected step is the greatest common divisor of the distances between all observed scores and the ends of the
    range (which are possible scores too, so that a few wide-apart answers do not pass for a coarse scale). There is
    none for constant scores, nor where the divisor is below 1/10,000 of the range.
    """
    if score.step is not None:
        return score, "stated"
    low, high = score.range
    observed = np.unique(points[~np.isnan(points)])
    if observed.size < 2:
        return score, "none"
    tolerance = _ROUNDING * (high - low)
    distances = np.unique(np.append(observed - low, high - low))
    step = high - low
    for distance in distances:
        a, b = step, distance
        while b > tolerance:
            a, b = b, a % b
            b = 0.0 if a - b <= tolerance else b  # a remainder just short of the divisor is rounding
        step = a
        if step < _FINEST * (high - low):
            return score, "none"
    # Euclid accumulates rounding; an exact number of steps in the range takes it out again.
    step = (high - low) / round((high - low) / step)
    multiples = distances / step
    if np.any(np.abs(multiples - np.round(multiples)) * step > 2 * tolerance):
        return score, "none"
    return replace(score, step=float(step)), "detected"
