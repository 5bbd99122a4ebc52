"""The peers' reference posterior is the project's own: same density, same draws of the level, in both sets of coordinates."""

import sys
from importlib import import_module

import numpy as np
import pytest

from equipoise import CapacityModel, simulate
from equipoise.datasets import design_study
from equipoise.models.design import build_design
from equipoise.models.levers import levers
from equipoise.models.likelihood.filter import log_likelihood
from equipoise.models.parameters import parameter_table


@pytest.fixture(scope="module")
def peers(root):
    """`posterior.py`, and a small study as the project holds it and as plain arrays."""
    folder = str(root / "benchmarks" / "peers")
    sys.path.insert(0, folder)
    try:
        posterior, studies = import_module("posterior"), import_module("studies")
    finally:
        sys.path.remove(folder)
        for name in ("posterior", "studies"):
            sys.modules.pop(name, None)
    model = CapacityModel()
    study = simulate(model, design_study(clinicians=5, surveys=4, units=2, jitter=0.2), seed=1).study
    return posterior, model, study, studies.plain(model, study)


def named(posterior, theta, plain):
    """The builder's parameters of a point in our coordinates, and the log volume of the transforms."""
    p = posterior.natural(theta, "ours", plain)
    c = p["level_rate_concordance"]
    volume = sum(np.log(p[name]) for name in posterior.LOGS) + np.log(c * (1 - c)) + np.log(p["variance_shares"]).sum()
    return p, volume


def by_project(model, study, p):
    """Log prior plus log likelihood, and mean and variance of each clinician's e given the rest."""
    design, _, _ = build_design(model, study)
    prior = sum(np.sum(q.prior.log_density(p[q.name])) for q in parameter_table(model, study, design))
    values, mean, var = log_likelihood(*design.data(), *levers(p, design, model, np).arguments)
    return prior + values.sum(), mean, var


def test_reference_density_is_that_of_the_project(peers):
    posterior, model, study, plain = peers
    rng, differences = np.random.default_rng(1), []
    for _ in range(5):
        theta = posterior.start("ours", plain, rng)
        p, volume = named(posterior, theta, plain)
        differences.append(posterior.log_density(theta, "ours", plain) - by_project(model, study, p)[0] - volume)
    assert np.ptp(differences) < 1e-9


def test_customary_coordinates_hold_the_same_posterior(peers):
    """Their density is ours times the normal density of the level's deviations given the rest, the volume constant."""
    posterior, model, study, plain = peers
    rng, differences = np.random.default_rng(2), []
    for _ in range(5):
        theta = posterior.start("ours", plain, rng)
        parts = posterior.split(theta, "ours", plain)
        p, _ = named(posterior, theta, plain)
        _, mean, var = by_project(model, study, p)
        parts["log_beta"] = np.log(np.log(2)) - parts.pop("half_life")
        parts["log_alpha"] = parts.pop("level") + parts["log_beta"]
        parts["log_sd"] = np.log(p["total_sd"] * np.sqrt(p["variance_shares"]))
        parts["level_z"] = rng.standard_normal(5)
        spread, rho = p["trait_sd"] / p["level"], p["level_rate_correlation"]
        sd = spread * np.sqrt(1 - rho**2)
        e = spread * rho * p["rate_z"] + sd * parts["level_z"]
        given = np.sum(-0.5 * (e - mean) ** 2 / var - 0.5 * np.log(var) + np.log(sd))
        customary = posterior.join(parts, "customary", plain)
        differences.append(
            posterior.log_density(customary, "customary", plain) - posterior.log_density(theta, "ours", plain) - given
        )
        again = posterior.natural(customary, "customary", plain)
        np.testing.assert_allclose([again[n] for n in posterior.POPULATION], [p[n] for n in posterior.POPULATION])
    assert np.ptp(differences) < 1e-9


def test_level_is_drawn_from_its_posterior_given_the_rest(peers):
    posterior, model, study, plain = peers
    theta = posterior.start("ours", plain, np.random.default_rng(3))
    p, _ = named(posterior, theta, plain)
    _, mean, var = by_project(model, study, p)
    many = np.broadcast_to(theta, (1, 20_000, theta.size))
    draws = posterior.quantities(many, "ours", plain, np.random.default_rng(4))
    base = p["level"] * np.exp(p["unit_level_sd"] * p["unit_level_z"][plain.unit])
    e = draws["capacity"][0] / base - 1
    np.testing.assert_allclose((e.mean(axis=0) - mean) / np.sqrt(var / 20_000), 0, atol=4)
    np.testing.assert_allclose(e.var(axis=0) / var, 1, atol=0.05)
    np.testing.assert_allclose(draws["alpha"], draws["capacity"] * draws["beta"])


@pytest.mark.parametrize(
    ("lengths", "chains", "length"),
    [([100, 100, 100], [0, 1, 2], 100), ([100, 90, 0], [0, 1], 90), ([10, 200, 15], [1], 200)],
)
def test_chains_cut_short_are_kept_where_most_draws_are(peers, lengths, chains, length):
    assert peers[0].rectangle(lengths) == (chains, length)
