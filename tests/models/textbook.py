"""Dense algebra for one clinician: the joint normal distribution of everything, from the model's definition alone."""

import math

import numpy as np


def joint_moments(i, arguments, data):
    """Mean and covariance of the latent capacity at the end of each main step of clinician i, and loadings of e.

    Built from the stochastic differential equation's own solution, step by step, with full matrices.
    """
    offset, prelude, gap, epoch, _, base, _, _, _, anchor = data
    level, rate, variance, _, _, shift, start_var, *_ = arguments
    x = level[base[i]]
    for t in range(offset[i], offset[i] + prelude[i]):
        decay = math.exp(-rate[epoch[t]] * gap[t])
        x = decay * x + (1 - decay) * level[epoch[t]]
    steps = range(offset[i] + prelude[i], offset[i + 1])
    n = len(steps)
    mean = np.zeros(n)
    load = np.zeros(n)
    cov = np.zeros((n, n))
    m, e_load, previous = x * anchor[i] + shift[i], x * anchor[i], start_var[i]
    for a, t in enumerate(steps):
        k = epoch[t]
        decay = math.exp(-rate[k] * gap[t])
        fresh = -math.expm1(-rate[k] * gap[t])
        m = decay * m + fresh * level[k]
        e_load = decay * e_load + fresh * level[k]
        previous = decay**2 * previous - math.expm1(-2 * rate[k] * gap[t]) * variance[k]
        mean[a], load[a], cov[a, a] = m, e_load, previous
        carried = 1.0
        for b in range(a - 1, -1, -1):
            carried *= math.exp(-rate[epoch[steps[b + 1]]] * gap[steps[b + 1]])
            cov[a, b] = cov[b, a] = carried * cov[b, b]
    return mean, load, cov


def observed_moments(i, arguments, data):
    """Answered surveys of clinician i: their numbers, scores, mean and covariance with e integrated out."""
    offset, prelude, _, _, survey, _, score, repeats, indicator, _ = data
    _, _, _, level_mean, level_var, _, _, intercept, loading, error = arguments
    mean, load, cov = joint_moments(i, arguments, data)
    steps = np.arange(offset[i] + prelude[i], offset[i + 1])
    rows = survey[steps]
    seen = np.array([r >= 0 and not np.isnan(score[r]) for r in rows], bool)
    rows = rows[seen]
    lam = loading[indicator[rows]]
    mean = mean + load * level_mean[i]
    cov = cov + level_var[i] * np.outer(load, load)
    centre = intercept[indicator[rows]] + lam * mean[seen]
    spread = np.outer(lam, lam) * cov[np.ix_(seen, seen)] + np.diag(error[indicator[rows]] / repeats[rows])
    return rows, score[rows], centre, spread


def normal_log_density(x, mean, cov):
    if x.size == 0:
        return 0.0
    chol = np.linalg.cholesky(cov)
    white = np.linalg.solve(chol, x - mean)
    return -0.5 * (x.size * math.log(2 * math.pi) + white @ white) - np.log(np.diag(chol)).sum()


def dense_log_likelihood(arguments, data):
    count = data[0].size - 1
    return np.array([normal_log_density(*observed_moments(i, arguments, data)[1:]) for i in range(count)])


def leave_one_out_density(i, arguments, data):
    """(row, mean, variance, log density) of each answer given the clinician's others, by conditioning directly."""
    rows, score, centre, cov = observed_moments(i, arguments, data)
    for a, row in enumerate(rows):
        rest = np.arange(rows.size) != a
        weights = np.linalg.solve(cov[np.ix_(rest, rest)], cov[rest, a]) if rest.any() else np.zeros(0)
        mean = centre[a] + weights @ (score[rest] - centre[rest])
        var = cov[a, a] - weights @ cov[rest, a]
        yield row, mean, var, -0.5 * (math.log(2 * math.pi * var) + (score[a] - mean) ** 2 / var)


def random_problem(rng, clinicians=3, indicators=1, missing=0.2, rate=(0.02, 2.0), zero_gaps=0.2, preludes=True):
    """Ragged arrays of the likelihood's form, with everything that may happen in a study."""
    offset, prelude, gap, epoch, survey, base, epoch_owner = [0], [], [], [], [], [], []
    rows = 0
    for i in range(clinicians):
        surveys = int(rng.integers(1, 7))
        epochs = int(rng.integers(1, 4))
        first_epoch = len(epoch_owner)
        base.append(first_epoch)
        epoch_owner += [i] * (epochs + 1)
        before = int(rng.integers(0, 3)) if preludes else 0
        prelude.append(before)
        for t in range(before + surveys + int(rng.integers(0, 3))):
            gap.append(0.0 if rng.random() < zero_gaps else float(rng.gamma(2, 0.5)))
            epoch.append(first_epoch + int(rng.integers(0, epochs + 1)))
            answered = t >= before and rng.random() < 0.8
            survey.append(rows if answered else -1)
            rows += answered
        offset.append(len(gap))
    score = rng.normal(50, 20, rows)
    score[rng.random(rows) < missing] = np.nan
    integer = [np.array(x, np.int32) for x in (offset, prelude, epoch, survey, base)]
    data = (
        integer[0], integer[1], np.array(gap), *integer[2:], score, rng.integers(1, 4, rows).astype(float),
        rng.integers(0, indicators, rows).astype(np.int32), rng.integers(0, 2, clinicians).astype(float),
    )  # fmt: skip
    n = len(epoch_owner)
    arguments = (
        rng.uniform(20, 80, n), np.exp(rng.uniform(*np.log(rate), n)), rng.uniform(1, 300, n),
        rng.normal(0, 0.2, clinicians), rng.uniform(0, 0.2, clinicians), rng.normal(0, 5, clinicians),
        rng.uniform(0, 300, clinicians), np.append(0.0, rng.normal(0, 10, indicators - 1)),
        np.append(1.0, rng.uniform(0.5, 1.5, indicators - 1)), rng.uniform(1, 200, indicators),
    )  # fmt: skip
    return data, arguments, np.array(epoch_owner, np.int32)
