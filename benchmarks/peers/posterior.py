"""The posterior that every system samples, in NumPy alone: coordinates, log density, and the quantities compared.

This file is read by the project's environment and by the peers'. It is the reference: plain, and slow.

The model is the project's default one (``CapacityModel()``) on a study without interventions and covariates. With
clinician i in unit u, surveys at times t, z standard normal,

    log C*_i    = log level + unit_level_sd z_u            mean of the clinician's level, which is C*_i (1 + e_i)
    log beta_i  = log(ln 2 / half_life) + unit_rate_sd z'_u + rate_sd z_i
    log omega_i = log process_sd + spread_sd z''_i
    e_i         ~ Normal(k rho z_i, k sqrt(1 - rho^2)),    k = trait_sd / level, rho = 2 concordance - 1
    C_i(t_1)    ~ Normal(C*_i (1 + e_i) + start_shift, omega_i start_sd_ratio)
    C_i         Ornstein-Uhlenbeck about C*_i (1 + e_i), rate beta_i, stationary standard deviation omega_i
    y           ~ Normal(C_i(t), sqrt(error_sd^2 + floor))
    (trait_sd, process_sd, error_sd) = total_sd sqrt(shares)

Two sets of coordinates hold the same distribution:

- "ours": those of the project's builder. e_i is integrated out; log level, log half_life, log total_sd, two numbers
  whose softmax with minus their sum are the shares, logit concordance, logs of the standard deviations.
- "customary": what one writes by hand. Population log alpha and log beta, the logs of the three standard deviations,
  and e_i = k (rho z_i + sqrt(1 - rho^2) z'''_i) with z''' sampled like all the others.
"""

import json
from dataclasses import dataclass

import numpy as np

COORDINATES = ("customary", "ours")
LN2 = float(np.log(2.0))
SHARED = (
    "level_rate_concordance", "rate_sd", "spread_sd", "unit_level_sd", "unit_rate_sd", "start_shift", "start_sd_ratio",
)  # fmt: skip
LOGS = ("level", "half_life", "total_sd", "rate_sd", "spread_sd", "unit_level_sd", "unit_rate_sd", "start_sd_ratio")
POPULATION = (
    "level", "half_life", "alpha_population", "total_sd", "trait_sd", "process_sd", "error_sd", "level_rate_correlation",
    "rate_sd", "spread_sd", "unit_level_sd", "unit_rate_sd", "start_shift", "start_sd_ratio",
)  # fmt: skip
LEVERS = ("alpha", "beta", "capacity")


@dataclass(frozen=True)
class PlainStudy:
    """A study as arrays: every clinician has the same number of surveys, all answered.

    ``gap`` (surveys x clinicians): time since the survey before, 0 at the first; ``score`` of the same shape, 0-100;
    ``unit`` (clinicians): index; ``floor``: variance of rounding; ``priors``: family and arguments by parameter.
    """

    gap: np.ndarray
    score: np.ndarray
    unit: np.ndarray
    floor: float
    priors: dict

    @property
    def clinicians(self) -> int:
        return self.unit.size

    @property
    def units(self) -> int:
        return int(self.unit.max()) + 1

    @property
    def rows(self) -> int:
        return self.score.size

    def save(self, path):
        priors = json.dumps(self.priors)
        np.savez(path, gap=self.gap, score=self.score, unit=self.unit, floor=self.floor, priors=priors)

    @classmethod
    def load(cls, path):
        with np.load(path) as file:
            priors = json.loads(str(file["priors"]))
            return cls(file["gap"], file["score"], file["unit"], float(file["floor"]), priors)

    def normal(self, name):
        """Mean and standard deviation of the (log of the) parameter ``name``."""
        prior = self.priors[name]
        if prior["family"] == "lognormal":
            return float(np.log(prior["median"])), float(np.log(prior["factor"]))
        return prior["mean"], prior["sd"]


def blocks(coordinates: str, study: PlainStudy) -> list[tuple[str, int]]:
    """Names and sizes of the parameters, in the order of the flat vector."""
    n, units = study.clinicians, study.units
    if coordinates == "ours":
        own = [("level", 1), ("half_life", 1), ("total_sd", 1), ("variance_shares", 2)]
        effects = [("rate_z", n), ("spread_z", n)]
    else:
        own = [("log_alpha", 1), ("log_beta", 1), ("log_sd", 3)]
        effects = [("rate_z", n), ("spread_z", n), ("level_z", n)]
    return own + [(name, 1) for name in SHARED] + effects + [("unit_level_z", units), ("unit_rate_z", units)]


def split(theta: np.ndarray, coordinates: str, study: PlainStudy) -> dict[str, np.ndarray]:
    """Flat vectors (last axis) cut into blocks; single numbers lose the axis."""
    parts, at = {}, 0
    for name, size in blocks(coordinates, study):
        parts[name] = theta[..., at] if size == 1 and not name.endswith("_z") else theta[..., at : at + size]
        at += size
    if at != theta.shape[-1]:
        raise ValueError(f"{theta.shape[-1]} numbers where {coordinates} coordinates have {at}")
    return parts


def join(parts: dict, coordinates: str, study: PlainStudy) -> np.ndarray:
    """The opposite of `split`."""
    pieces = []
    for name, size in blocks(coordinates, study):
        value = np.asarray(parts[name], float)
        pieces.append(value[..., None] if size == 1 and not name.endswith("_z") else value)
    return np.concatenate(pieces, axis=-1)


def natural(theta: np.ndarray, coordinates: str, study: PlainStudy) -> dict[str, np.ndarray]:
    """Parameters on their own scales, by the project's names (and ``level_z`` in customary coordinates)."""
    p = split(theta, coordinates, study)
    if coordinates == "ours":
        x = p["variance_shares"]
        x = np.concatenate([x, -x.sum(axis=-1, keepdims=True)], axis=-1)
        shares = np.exp(x - x.max(axis=-1, keepdims=True))
        p["variance_shares"] = shares / shares.sum(axis=-1, keepdims=True)
    else:
        p["level"] = p.pop("log_alpha") - p["log_beta"]
        p["half_life"] = np.log(LN2) - p.pop("log_beta")
        variances = np.exp(2 * p.pop("log_sd"))
        total = variances.sum(axis=-1)
        p["total_sd"], p["variance_shares"] = 0.5 * np.log(total), variances / total[..., None]
    for name in LOGS:
        p[name] = np.exp(p[name])
    p["level_rate_concordance"] = 1 / (1 + np.exp(-p["level_rate_concordance"]))
    sds = p["total_sd"][..., None] * np.sqrt(p["variance_shares"])
    p["trait_sd"], p["process_sd"], p["error_sd"] = np.moveaxis(sds, -1, 0)
    p["level_rate_correlation"] = 2 * p["level_rate_concordance"] - 1
    p["alpha_population"] = p["level"] * LN2 / p["half_life"]
    return p


def levers_of(p: dict, study: PlainStudy):
    """C* at e = 0, beta and omega of every clinician, the mean and the standard deviation of e (draws x clinicians)."""
    one = {name: np.asarray(p[name])[..., None] for name in (*POPULATION, *SHARED)}
    capacity = one["level"] * np.exp(one["unit_level_sd"] * p["unit_level_z"][..., study.unit])
    rate = one["unit_rate_sd"] * p["unit_rate_z"][..., study.unit] + one["rate_sd"] * p["rate_z"]
    rate = LN2 / one["half_life"] * np.exp(rate)
    omega = one["process_sd"] * np.exp(one["spread_sd"] * p["spread_z"])
    trait, rho = one["trait_sd"] / one["level"], one["level_rate_correlation"]
    return capacity, rate, omega, trait * rho * p["rate_z"], trait * np.sqrt(1 - rho**2) + 0 * rate


def innovations(p: dict, study: PlainStudy, capacity, rate, omega):
    """Sums over each clinician's surveys: of log innovation variances, and of the products, weighted by precision, of
    the innovations of the scores and of the constant 1 (whose multiple by C* is what e adds to every score)."""
    error = (p["error_sd"] ** 2 + study.floor)[..., None]
    mean, ones = np.asarray(p["start_shift"])[..., None] + 0 * rate, 0 * rate  # of C - C*, without and with e
    variance = (omega * np.asarray(p["start_sd_ratio"])[..., None]) ** 2
    log_det, vv, vl, ll = np.zeros((4, *rate.shape))
    for gap, score in zip(study.gap, study.score, strict=True):
        keep = np.exp(-rate * gap)
        mean, ones = keep * mean, keep * ones
        variance = keep**2 * variance - np.expm1(-2 * rate * gap) * omega**2
        total = variance + error
        v, one = score - capacity - mean, 1 - ones
        gain = variance / total
        mean, ones, variance = mean + gain * v, ones + gain * one, variance * error / total
        log_det, vv, vl, ll = log_det + np.log(total), vv + v * v / total, vl + v * one / total, ll + one * one / total
    return log_det, vv, vl * capacity, ll * capacity**2


def log_density(theta: np.ndarray, coordinates: str, study: PlainStudy) -> float:
    """Log posterior density in the coordinates' own volume, up to a constant."""
    q, p = split(theta, coordinates, study), natural(theta, coordinates, study)
    shares = np.log(p["variance_shares"])
    value = float(study.priors["variance_shares"]["concentration"] @ shares)  # with the softmax's volume
    a, b = study.priors["level_rate_concordance"]["a"], study.priors["level_rate_concordance"]["b"]
    value += a * np.log(p["level_rate_concordance"]) + b * np.log1p(-p["level_rate_concordance"])
    for name in ("level", "half_life", "total_sd", "start_sd_ratio", "start_shift"):
        mean, sd = study.normal(name)
        value -= 0.5 * (((p[name] if name == "start_shift" else np.log(p[name])) - mean) / sd) ** 2
    for name in ("rate_sd", "spread_sd", "unit_level_sd", "unit_rate_sd"):
        value += np.log(p[name]) - 0.5 * (p[name] / study.priors[name]["sd"]) ** 2
    value -= 0.5 * sum(float(z @ z) for name, z in q.items() if name.endswith("_z"))
    capacity, rate, omega, mean, sd = levers_of(p, study)
    if coordinates == "customary":
        capacity, sd = capacity * (1 + mean + sd * p["level_z"]), 0 * sd
        mean = 0 * mean
    log_det, vv, vl, ll = innovations(p, study, capacity, rate, omega)
    d, r = 1 + sd**2 * ll, vl - mean * ll
    return value - 0.5 * float((log_det + vv - 2 * mean * vl + mean**2 * ll + np.log(d) - sd**2 * r**2 / d).sum())


def start(coordinates: str, study: PlainStudy, rng) -> np.ndarray:
    """A starting point: the priors' centres and Uniform(-1, 1) around them, as nutpie starts PyMC's models."""
    centre = {name: np.zeros(size) for name, size in blocks(coordinates, study)}
    means = {name: study.normal(name)[0] for name in ("level", "half_life", "total_sd", "start_shift", "start_sd_ratio")}
    means |= {name: np.log(study.priors[name]["sd"]) for name in SHARED[1:5]}
    means["log_beta"] = np.log(LN2) - means["half_life"]
    means["log_alpha"] = means["level"] + means["log_beta"]
    means["log_sd"] = means["total_sd"] - 0.5 * np.log(3)
    flat = np.concatenate([value + means.get(name, 0.0) for name, value in centre.items()])
    return flat + rng.uniform(-1, 1, flat.size)


def quantities(theta: np.ndarray, coordinates: str, study: PlainStudy, rng) -> dict[str, np.ndarray]:
    """What is compared, of draws (chains x draws x coordinates): `POPULATION`, and `LEVERS` with an axis of clinicians.

    In our coordinates the clinician's level is drawn from its normal distribution given the rest.
    """
    out = {name: [] for name in (*POPULATION, *LEVERS)}
    for chain in theta:
        found = {name: [] for name in LEVERS}
        for part in np.array_split(chain, max(1, chain.shape[0] * study.clinicians // 1_000_000)):
            p = natural(part, coordinates, study)
            capacity, rate, omega, mean, sd = levers_of(p, study)
            if coordinates == "customary":
                e = mean + sd * p["level_z"]
            else:
                _, _, vl, ll = innovations(p, study, capacity, rate, omega)
                d = 1 + sd**2 * ll
                e = mean + sd**2 * (vl - mean * ll) / d + sd / np.sqrt(d) * rng.standard_normal(d.shape)
            found["capacity"].append(capacity * (1 + e))
            found["beta"].append(rate)
            found["alpha"].append(capacity * (1 + e) * rate)
        p = natural(chain, coordinates, study)
        for name in POPULATION:
            out[name].append(p[name])
        for name in LEVERS:
            out[name].append(np.concatenate(found[name]))
    return {name: np.array(values) for name, values in out.items()}


def convergence(draws: dict[str, np.ndarray]) -> dict:
    """The smallest rank-normalised bulk ESS with its quantity, and the largest R-hat (ArviZ)."""
    from arviz_stats.base import array_stats

    least, worst, slowest = np.inf, 0.0, ""
    for name, values in draws.items():
        columns = values[..., None] if values.ndim == 2 else values
        ess = array_stats.ess(columns, chain_axis=0, draw_axis=1, method="bulk")
        rhat = array_stats.rhat(columns, chain_axis=0, draw_axis=1, method="rank")
        ess = np.where(np.isfinite(ess), ess, 0.0)  # a chain that did not move
        if ess.min() < least:
            least, slowest = float(ess.min()), name if values.ndim == 2 else f"{name}[{int(ess.argmin())}]"
        worst = max(worst, float(np.where(np.isfinite(rhat), rhat, np.inf).max()))
    return {"ess": least, "slowest": slowest, "rhat": worst}


def rectangle(lengths) -> tuple[list[int], int]:
    """Of chains cut short, those and the length that keep most draws."""
    order = np.argsort(-np.asarray(lengths), kind="stable")
    kept = [(k + 1) * lengths[i] for k, i in enumerate(order)]
    count = int(np.argmax(kept)) + 1
    return sorted(int(i) for i in order[:count]), int(lengths[order[count - 1]])
