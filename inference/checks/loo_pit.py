"""Leave-one-out probability integral transform: are the predicted distributions of left-out answers the right ones?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from ...models.likelihood import smoother
from ...models.simulation import new_answers
from ..convergence import SAMPLE
from ..derive import Draws
from .check import Check, not_done
from .drawing import FIRST, few_ticks, muted

TITLE = "Are predictions of left-out answers as sure as they should be?"
LEVEL = 0.99
REPLICATES = 400
POINTS = np.linspace(0.02, 0.98, 49)


def check(fit, prob: float) -> Check:
    """LOO-PIT (Gelfand 1996; Vehtari, Gelman & Gabry 2017), its band from replicated studies.

    An answer's predictive distribution given the clinician's other answers is a mixture over draws of normal distributions,
    weighted by PSIS. Answers on steps are placed at random within theirs. Values of one clinician are not independent, so
    the band is not that of independent ones: each replicate is a study drawn from the model at one posterior draw, recorded as the
    questionnaire does, and judged by the same draw.
    """
    whole = fit.whole
    draws = Draws.of(whole.tree["posterior"].to_dataset(), whole.model, whole.study, fit.members)
    design = draws.design
    stored = fit.tree["log_likelihood_survey"]["scores"].transpose(*SAMPLE, "survey")
    chosen, rows = stored["draw"].to_numpy().astype(int), stored["survey"].to_numpy()
    if stored.sizes["chain"] * chosen.size < 100 or rows.size < 20:
        return not_done("loo_pit", TITLE, "There are too few draws or answers.")
    log_weights, _, _ = fit.survey_weights
    half = _half_steps(fit, design)
    rounding = (design.error_floor[design.survey_indicator] / design.survey_repeats)[rows]
    rng = np.random.default_rng(0)
    place = rng.uniform(-1, 1, rows.size) * half[rows]
    pit = np.zeros(rows.size)
    for c, n, lever in draws.some(chosen):
        mean, var, _ = smoother.leave_one_out(*draws.data(), *lever.arguments)
        pit += np.exp(log_weights[c, n]) * _below(design.survey_score[rows], place, rounding, mean[rows], var[rows])
    reach = _ecdf(pit)
    replicated = np.array([_ecdf(p) for p in _replicates(fit, draws, rows, half, rounding, rng)])
    low, high = simultaneous_band(replicated, LEVEL)
    outside = (reach < low - 1e-9) | (reach > high + 1e-9)
    table = pd.DataFrame({"pit": POINTS, "ecdf": reach + POINTS, "low": low + POINTS, "high": high + POINTS, "outside": outside})
    said = f"The predicted ranks of {rows.size} left-out answers "
    if not outside.any():
        said += f"are as even as in studies drawn from the model itself ({100 * LEVEL:.0f} % band over all ranks)."
    else:
        worst = int(np.argmax(np.where(outside, np.abs(reach), 0)))
        said += (
            f"leave the {100 * LEVEL:.0f} % band of studies drawn from the model itself, furthest at {POINTS[worst]:.2f}: "
            f"{_shape(pit)}"
        )

    def draw(figure):
        axes = figure.subplots()
        axes.fill_between(POINTS, low, high, color=muted(), alpha=0.2, linewidth=0)
        axes.axhline(0, color=muted(), linewidth=0.6)
        axes.plot(POINTS, reach, color=FIRST, linewidth=1.4)
        axes.set_xlabel("predicted probability of an answer as low as that, or lower")
        axes.set_ylabel("ECDF minus uniform")
        few_ticks(axes.yaxis, 4)

    caption = (
        "Line: the empirical distribution of the left-out answers' predicted ranks, less the uniform; band: that of studies drawn from "
        "the fitted model. An S through the middle means predictions that are too sure or too unsure; a bow, answers above or below them."
    )
    return Check("loo_pit", TITLE, not outside.any(), said, table, draw, caption=caption, height=2.6)


def _half_steps(fit, design) -> np.ndarray:
    """Half the distance between possible answers (0-100) of each survey; 0 where there is no step."""
    half = []
    for score in fit.facts["study"]["scores"].values():
        low, high = score["range"]
        half.append(50 * score["step"] / (high - low) if score["step"] else 0.0)
    return np.array(half)[design.survey_indicator] / design.survey_repeats


def _below(score, place, rounding, mean, var) -> np.ndarray:
    """Predicted probability of a score below the observed one, which lies somewhere within its step.

    The model counts rounding as error of its own, so the spread of the score before rounding is a little smaller.
    """
    from scipy.special import ndtr

    return ndtr((score + place - mean) / np.sqrt(np.maximum(var - rounding, 1e-12)))


def _replicates(fit, draws, rows, half, rounding, rng):
    """PIT values of studies drawn from the model at posterior draws, each judged by its own draw."""
    design = draws.design
    deviation = fit.tree["posterior"]["level_deviation"].transpose(*SAMPLE, "clinician").to_numpy()
    chosen = draws.thinned(REPLICATES)
    for c, n, lever in draws.some(chosen):
        score = new_answers(design, draws.study, lever.arguments, deviation[c, chosen[n]], rng)[1]
        score[np.isnan(design.survey_score)] = np.nan
        mean, var, _ = smoother.leave_one_out(*replace(design, survey_score=score).data(), *lever.arguments)
        place = rng.uniform(-1, 1, rows.size) * half[rows]
        yield _below(score[rows], place, rounding, mean[rows], var[rows])


def _ecdf(pit: np.ndarray) -> np.ndarray:
    return np.searchsorted(np.sort(pit), POINTS, side="right") / pit.size - POINTS


def simultaneous_band(paths: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Limits that hold whole paths with this probability: as far out at every point in its own standard deviations.

    Parameters
    ----------
    paths : float array (replicates, points)
    level : float
    """
    middle, spread = paths.mean(axis=0), np.maximum(paths.std(axis=0), 1e-12)
    reach = np.quantile(np.abs((paths - middle) / spread).max(axis=1), level)
    return middle - reach * spread, middle + reach * spread


def _shape(pit: np.ndarray) -> str:
    """What the distribution of ranks says, in words."""
    middle = ((pit > 0.25) & (pit < 0.75)).mean()
    tails = ((pit < 0.05) | (pit > 0.95)).mean()
    lean = pit.mean() - 0.5
    if abs(lean) > 0.03:
        return f"answers lie {'higher' if lean > 0 else 'lower'} than predicted."
    if tails > 0.1 and middle > 0.5:
        return "there are more answers far out and more close by than predicted: errors have heavier tails than the normal."
    if middle > 0.5:
        return "answers lie closer to their predictions than these say."
    return "answers lie further from their predictions than these say."
