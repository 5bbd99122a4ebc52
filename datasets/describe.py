"""What a study consists of, in numbers, before any model."""

import numpy as np

from .study import Study

_QUARTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
_LABELS = ("min", "q25", "median", "q75", "max")


def describe(study: Study) -> dict:
    """Count what a study holds.

    Parameters
    ----------
    study

    Returns
    -------
    dict
        Plain numbers, strings and dicts, ready for JSON:

        - ``clinicians``, ``units``, ``occasions``; ``answered``, ``missing`` (rows of `Study.surveys`) and
          ``missing_share``;
        - ``clinicians_per_unit``, ``surveys_per_clinician`` (occasions with an answer), ``gap`` (between a clinician's
          successive occasions) and ``follow_up`` (first to last, all clinicians): dicts of min, q25, median, q75, max,
          in the study's time unit, NaN where there is nothing to count;
        - ``once``: clinicians with one answered occasion or none;
        - ``time_unit``, ``first``, ``last``: the time axis, and ``origin`` (ISO text or None);
        - ``scores``: for each, ``answered``, ``mean``, ``sd``, ``floor`` and ``ceiling`` (shares of answers at the
          low and the high end of its range), ``ties`` (share of a clinician's successive answers that are equal),
          ``levels`` (distinct answers), ``step`` and ``step_source``, ``off_step`` (share of single answers that do not
          lie on a step), ``averaged`` (answers that are means of several);
        - ``interventions``: for each, ``source``, ``clinicians`` (exposed at some time while followed), ``units``
          (with such a clinician), ``spells``, ``share_of_time`` (of the followed time of all clinicians, weighted by
          dose) and ``dosed`` (whether any dose is below 1).
    """
    occasions, surveys = study.occasions, study.surveys
    code, time = occasions["clinician"].to_numpy(), occasions["time"].to_numpy()
    gaps = np.diff(time)[code[1:] == code[:-1]]
    first, last = study.follow_up
    answered_occasions = np.unique(surveys["occasion"].to_numpy()[surveys["points"].notna().to_numpy()])
    per_clinician = np.bincount(code[answered_occasions], minlength=study.n_clinicians)
    return {
        "clinicians": study.n_clinicians,
        "units": study.n_units,
        "occasions": len(occasions),
        "answered": study.n_surveys,
        "missing": study.n_missing,
        "missing_share": study.n_missing / len(surveys),
        "clinicians_per_unit": _quantiles(np.bincount(study.unit_code)),
        "surveys_per_clinician": _quantiles(per_clinician),
        "once": int(np.sum(per_clinician <= 1)),
        "gap": _quantiles(gaps),
        "follow_up": _quantiles(last - first),
        "time_unit": study.time_unit,
        "first": float(time.min()),
        "last": float(time.max()),
        "origin": None if study.origin is None else study.origin.isoformat(),
        "scores": {name: _score(study, k, name) for k, name in enumerate(study.scores)},
        "interventions": {name: _exposure(study, k, name) for k, name in enumerate(study.interventions)},
    }


def _quantiles(values: np.ndarray) -> dict[str, float]:
    if not len(values):
        return dict.fromkeys(_LABELS, float("nan"))
    return dict(zip(_LABELS, np.quantile(values, _QUARTILES).tolist(), strict=True))


def _score(study: Study, indicator: int, name: str) -> dict:
    score = study.scores[name]
    rows = study.surveys[(study.surveys["indicator"] == indicator) & study.surveys["points"].notna()]
    points = rows["points"].to_numpy()
    code = study.occasions["clinician"].to_numpy()[rows["occasion"].to_numpy()]
    change = np.diff(points)[code[1:] == code[:-1]]
    low, high = score.range
    steps = (points - low) / (score.step or 1.0)
    off_step = np.abs(steps - np.round(steps)) > 1e-3

    def share(true):
        return float(np.mean(true)) if len(true) else float("nan")

    return {
        "answered": len(points),
        "mean": float(np.mean(points)) if len(points) else float("nan"),
        "sd": float(np.std(points, ddof=1)) if len(points) > 1 else float("nan"),
        "floor": share(points == low),
        "ceiling": share(points == high),
        "ties": share(change == 0),
        "levels": len(np.unique(points)),
        "step": score.step,
        "step_source": study.step_source[name],
        "off_step": 0.0 if score.step is None else share(off_step[rows["repeats"].to_numpy() == 1]),
        "averaged": int((rows["repeats"] > 1).sum()),
    }


def _exposure(study: Study, intervention: int, name: str) -> dict:
    spells = study.spells[study.spells["intervention"] == intervention]
    first, last = study.follow_up
    code = spells["clinician"].to_numpy()
    start = np.maximum(spells["start"].to_numpy(), first[code])
    end = np.minimum(spells["end"].to_numpy(), last[code])
    length = np.clip(end - start, 0, None)
    exposed = np.unique(spells["clinician"].to_numpy()[length > 0])
    followed = float((last - first).sum())
    return {
        "source": study.exposure_source[name],
        "clinicians": len(exposed),
        "units": len(np.unique(study.unit_code[exposed])),
        "spells": len(spells),
        "share_of_time": float(length @ spells["dose"].to_numpy()) / followed if followed else float("nan"),
        "dosed": bool((spells["dose"] < 1).any()),
    }
