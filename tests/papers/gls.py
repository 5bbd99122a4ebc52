"""Generalised least squares of the ASIP study, from the raw files, with nothing of the project.

Stress of person i: level + displacement dying out from the first day + response to each exercise's days, with
covariance trait + Ornstein-Uhlenbeck + error; the four variance parameters by maximum likelihood.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize

FILES = {"mindfulness_breathing": "ASIP_data_Nof1_MB.csv", "box_breathing": "ASIP_data_Nof1_BB.csv"}


def people(folder: Path):
    """(days, stress, answers averaged, exposed, exercise) of each person; a row's exposure holds since the last row."""
    for k, name in enumerate(FILES.values()):
        frame = pd.read_csv(folder / name)
        columns = {"day": "current_day_of_study", "stress": "survey1_question1_response", "on": "intervention_period"}
        for _, rows in frame.groupby("manuscript_ID"):
            days = rows[list(columns.values())].set_axis(list(columns), axis=1).groupby("day")
            mean = days.mean().dropna(subset="stress")
            size = days.size()[mean.index].to_numpy()
            yield mean.index.to_numpy(float), mean["stress"].to_numpy(), size, mean["on"].to_numpy(), k


def response(days, on, beta):
    """Share of the full effect reached on each day, by the definition dg/dt = beta (d(t) - g)."""
    g = on[0] * (1 - np.exp(-beta))  # the first row describes one median gap, a day
    path = [g]
    for gap, d in zip(np.diff(days), on[1:], strict=True):
        g = d + (g - d) * np.exp(-beta * gap)
        path.append(g)
    return np.array(path)


def person(parts, beta, process, trait, error):
    """Design matrix and covariance of one person (stress points)."""
    days, stress, repeats, on, k = parts
    g = response(days, on, beta)
    # what the person's exposure was on average over the follow-up: selection into exposure
    mean_exposure = (np.diff(days) @ on[1:]) / np.ptp(days) if np.ptp(days) > 0 else on[0]
    x = np.zeros((days.size, 6))
    x[:, 0] = 1
    x[:, 1] = np.exp(-beta * (days - days[0]))
    x[:, 2 + k] = g
    x[:, 4 + k] = mean_exposure
    cov = trait + process * np.exp(-beta * np.abs(np.subtract.outer(days, days))) + np.diag((error + 1 / 12) / repeats)
    return x, stress, cov


def least_squares(data, parameters):
    """Coefficients, their covariance, and minus twice the profiled log-likelihood; ``parameters`` by person."""
    information, score, quadratic, logdet = np.zeros((6, 6)), np.zeros(6), 0.0, 0.0
    for parts, own in zip(data, parameters, strict=True):
        x, y, cov = person(parts, *own)
        chol = np.linalg.cholesky(cov)
        wx, wy = np.linalg.solve(chol, x), np.linalg.solve(chol, y)
        information += wx.T @ wx
        score += wx.T @ wy
        quadratic += wy @ wy
        logdet += 2 * np.log(np.diag(chol)).sum()
    coefficients = np.linalg.solve(information, score)
    return coefficients, np.linalg.inv(information), logdet + quadratic - score @ coefficients


def _difference(data, parameters):
    coefficients, cov, _ = least_squares(data, parameters)
    found = {}
    for k, name in enumerate(FILES):
        mine = [(p, own) for p, own in zip(data, parameters, strict=True) if p[4] == k and p[3].any()]
        g = np.concatenate([response(p[0], p[3], own[0]) for p, own in mine])
        on = np.concatenate([p[3] for p, _ in mine]) > 0
        share = g[on].mean() - g[~on].mean()
        found[name] = (share * coefficients[2 + k], share * np.sqrt(cov[2 + k, 2 + k]))
    return found


def exposed_difference(folder: Path, own: dict, trait: float, error: float):
    """Stress on exercise days less other days over the days answered, and its standard error.

    ``own`` gives each person's (beta, omega^2), ``trait`` and ``error`` the other variances, all in stress points.
    """
    names = list(person_names(folder))
    return _difference(list(people(folder)), [(*own[name], trait, error) for name in names])


def common_difference(folder: Path):
    """The same with one beta, omega, trait and error for all, by maximum likelihood."""
    data = list(people(folder))
    best = minimize(
        lambda p: least_squares(data, [np.exp(p)] * len(data))[2], np.log([1.0, 3.0, 1.2, 0.5]), method="Nelder-Mead",
        options={"maxiter": 400, "xatol": 1e-2, "fatol": 1e-2},
    )  # fmt: skip
    return _difference(data, [np.exp(best.x)] * len(data))


def person_names(folder: Path):
    for file in FILES.values():
        yield from sorted(pd.read_csv(folder / file)["manuscript_ID"].unique())
