"""Numbers behind the checks: replicated against observed scores, and posteriors against priors."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..models.priors import MEANINGS

PRIOR_DRAWS = 20_000


def as_answered(material, scores: np.ndarray, indicator: int) -> np.ndarray:
    """Scores (0-100) as a questionnaire would have recorded them: rounded to its step and cut to its range."""
    score = list(material.scores.values())[indicator]
    low, high = score["range"]
    if score["step"]:
        step = 100 * score["step"] / (high - low)
        scores = np.round(scores / step) * step
    return np.clip(scores, 0.0, 100.0)


def predictive_checks(material) -> tuple[pd.DataFrame, dict[int, np.ndarray]]:
    """Summary statistics of the observed scores and of the replicates.

    Returns
    -------
    table : DataFrame
        One row for each score and statistic: score, statistic, observed, median, low, high (replicates), p_above (share
        of replicates above the observed value, equal ones counted half).
    replicates : dict of int to array
        Row of the table -> the statistic in each replicate.
    """
    if not hasattr(material, "_predictive"):
        material._predictive = _predictive_checks(material)
    return material._predictive


def _predictive_checks(material):
    rows, replicates = [], {}
    surveys = material.surveys
    tail = (1 - material.prob) / 2
    for indicator, name in enumerate(material.scores):
        mine = ((surveys["indicator"] == indicator) & surveys["score"].notna()).to_numpy()
        if not mine.any():
            continue
        observed = surveys["score"].to_numpy()[mine][None]
        replicated = as_answered(material, material.replicated[:, mine].astype(float), indicator)
        clinician = surveys["clinician"].to_numpy()[mine]
        seen, repeated = _statistics(observed, clinician), _statistics(replicated, clinician)
        for statistic, values in repeated.items():
            value = float(seen[statistic][0])
            usable = values[np.isfinite(values)]
            low, middle, high = np.quantile(usable, [tail, 0.5, 1 - tail]) if usable.size else [np.nan] * 3
            equal = np.isclose(usable, value, rtol=0, atol=1e-9)
            above = float(((usable > value) & ~equal).mean() + 0.5 * equal.mean()) if usable.size else np.nan
            replicates[len(rows)] = values
            rows.append(
                {"score": name, "statistic": statistic, "observed": value, "median": middle, "low": low, "high": high,
                 "p_above": above if np.isfinite(value) else np.nan}
            )  # fmt: skip
    columns = ["score", "statistic", "observed", "median", "low", "high", "p_above"]
    return pd.DataFrame(rows, columns=columns), replicates


def _statistics(scores: np.ndarray, clinician: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics of each row of scores (sets x answers); answers are ordered by clinician and time."""
    count = np.bincount(clinician).astype(float)
    total = np.apply_along_axis(lambda s: np.bincount(clinician, s), 1, scores)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / count
    deviation = scores - mean[:, clinician]
    squares = np.apply_along_axis(lambda s: np.bincount(clinician, s), 1, deviation**2)
    degrees = np.maximum(count - 1, 0).sum()
    follows = clinician[1:] == clinician[:-1]
    products = (deviation[:, 1:] * deviation[:, :-1])[:, follows].sum(axis=1)
    spread = squares.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        within = np.sqrt(spread / degrees) if degrees else np.full(len(scores), np.nan)
        between = mean[:, count > 0].std(axis=1, ddof=1) if (count > 0).sum() > 1 else np.full(len(scores), np.nan)
        lag = products / spread if follows.any() else np.full(len(scores), np.nan)
    return {
        "mean": scores.mean(axis=1),
        "SD between clinicians' means": between,
        "SD within clinicians": within,
        "lag-1 autocorrelation within": np.where(spread > 1e-9, lag, np.nan),
        "share at the low end": (scores <= 1e-9).mean(axis=1),
        "share at the high end": (scores >= 100 - 1e-9).mean(axis=1),
    }


def learnt(material) -> pd.DataFrame:
    """Prior against posterior of every parameter with a prior of its own.

    Returns
    -------
    DataFrame
        quantity, meaning, prior_median, prior_low, prior_high, median, low, high, learnt (1 - posterior variance over
        prior variance, on the log scale for positive parameters; near 0: the data said little), and the intervals on
        the prior's standardised scale (``_z``).
    """
    if not hasattr(material, "_learnt"):
        material._learnt = _learnt(material)
    return material._learnt


def _learnt(material) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    tail = (1 - material.prob) / 2
    quantiles = [tail, 0.5, 1 - tail]
    rows = []
    for name, meaning in MEANINGS.items():
        prior = material.priors.get(name)
        if prior is None or name not in material.posterior or prior.support == "shares":
            continue
        positive = prior.support == "positive"
        scale = np.log if positive else np.asarray
        before = prior.draw(rng, (PRIOR_DRAWS,))
        centre, spread = scale(before).mean(), scale(before).std()
        values = material.posterior[name]
        dim = next((d for d in values.dims if d not in ("chain", "draw")), None)
        labels = [None] if dim is None else values[dim].to_numpy()
        for label in labels:
            after = material.samples(name) if label is None else material.samples(name, **{dim: label})
            row = {"quantity": name if label is None else f"{name}[{label}]", "meaning": meaning}
            row |= dict(zip(("prior_low", "prior_median", "prior_high"), np.quantile(before, quantiles), strict=True))
            row |= dict(zip(("low", "median", "high"), np.quantile(after, quantiles), strict=True))
            row["learnt"] = 1 - (scale(after).std() / spread) ** 2
            for key in ("prior_low", "prior_high", "low", "median", "high"):
                row[f"{key}_z"] = (scale(row[key]) - centre) / spread
            rows.append(row)
    return pd.DataFrame(rows)
