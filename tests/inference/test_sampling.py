import os
import subprocess
import sys
import warnings
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import xarray as xr

from equipoise import CapacityModel, datasets, fit, simulate
from equipoise.datasets import UserError
from equipoise.inference import sampling
from equipoise.inference.sampling import MOST_NUMBERS, Sampling, keep_whole_chains, sample, thinned
from equipoise.models.likelihood.side_by_side import LEAST_ROWS


def a_tree(lengths, draws=10):
    """Draws numbered by chain and place, NaN from where the run was interrupted."""
    x = np.add.outer(100.0 * np.arange(len(lengths)), np.arange(draws))
    x[np.arange(draws) >= np.array(lengths)[:, None]] = np.nan
    return xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset({"x": (("chain", "draw"), x), "y": (("chain", "draw", "unit"), np.stack([x, x], 2))}),
            "sample_stats": xr.Dataset({"energy": (("chain", "draw"), x)}),
        }
    )


@pytest.mark.parametrize("lengths", [[7, 7], [3, 10], [0, 4], [1, 10, 9, 8], [5, 5, 5, 1], [2, 0, 2, 10], [10, 10, 10, 9]])
def test_the_largest_rectangle_of_whole_draws_is_kept(lengths):
    kept = keep_whole_chains(a_tree(lengths), np.array(lengths))
    x = kept["posterior"]["x"].to_numpy()
    assert np.isfinite(x).all()
    assert kept["sample_stats"]["energy"].shape == x.shape
    assert kept["posterior"]["y"].shape == (*x.shape, 2)
    best = max(
        sum(chosen) * min(n for n, c in zip(lengths, chosen, strict=True) if c)
        for chosen in product([0, 1], repeat=len(lengths))
        if any(chosen)
    )
    assert x.size == best
    np.testing.assert_array_equal(x % 100, np.broadcast_to(np.arange(x.shape[1]), x.shape))  # from the first draw on


def test_an_interruption_before_the_first_draw_leaves_nothing():
    with pytest.raises(KeyboardInterrupt, match="before any chain had finished its warm-up"):
        keep_whole_chains(a_tree([0, 0]), np.array([0, 0]))


def test_of_a_thinned_run_no_divergence_is_lost():
    tree = a_tree([11, 11], 11)
    diverging = np.zeros((2, 11), bool)
    diverging[0, [3, 4]] = diverging[1, 10] = True  # the last stands for a draw that has no place any more
    tree["sample_stats"] = xr.DataTree(tree["sample_stats"].to_dataset().assign(diverging=(("chain", "draw"), diverging)))
    kept = thinned(tree, 3)
    np.testing.assert_array_equal(kept["posterior"]["x"], [[2, 5, 8], [102, 105, 108]])
    np.testing.assert_array_equal(kept["sample_stats"]["energy"], kept["posterior"]["x"])
    np.testing.assert_array_equal(kept["sample_stats"]["diverging"], [[False, True, False], [False, False, False]])
    assert thinned(tree, 1) is tree


def test_a_third_try_makes_six_times_the_draws_and_gives_as_many_as_were_asked_for(monkeypatch):
    import nutpie

    asked = {}

    def made(compiled, **settings):
        asked.update(settings)
        tree = a_tree([60, 60], 60)
        stats = tree["sample_stats"].to_dataset()
        tree["sample_stats"] = xr.DataTree(stats.assign(diverging=stats["energy"] < 0))
        return tree

    monkeypatch.setattr(nutpie, "sample", made)
    settings = Sampling(draws=10, tune=5, chains=2).again(1, False, 7).again(2, False, 7)
    tree, complete = sample(None, settings, progress=False, cores=1)
    assert complete and (asked["draws"], asked["tune"]) == (60, 10)
    assert asked["target_accept"] == settings.target_accept == pytest.approx(0.992)
    np.testing.assert_array_equal(tree["posterior"]["x"][0], np.arange(5, 60, 6))
    # a study whose draws would fill the memory has none beside those that are kept
    assert Sampling(draws=1000, chains=4).again(2, False, int(MOST_NUMBERS / 4000)).thin == 1
    assert Sampling(draws=1000, chains=4).again(2, False, int(MOST_NUMBERS / 8000)).thin == 2


def test_a_second_try_after_a_narrow_failure_makes_twice_the_draws_and_is_no_stricter():
    first = Sampling(draws=1000, chains=4)
    assert first.again(1, True, 100) == replace(first, thin=2)
    assert first.again(1, False, 100) == replace(first, target_accept=pytest.approx(0.96))
    assert first.again(1, True, int(MOST_NUMBERS / 4000)) == first.stricter()  # memory has no room for twice the draws
    # and a third is stricter whatever the second was
    third = first.again(1, False, 100).again(2, False, 100)
    assert first.again(1, True, 100).again(2, True, 100) == third == replace(first.stricter().stricter(), thin=6, tune=2000)


@pytest.mark.parametrize("lengths, complete", [([10, 10], True), ([10, 9], False), ([10], False)])
def test_a_run_is_complete_only_with_all_draws_of_all_chains(monkeypatch, lengths, complete):
    import nutpie

    asked = {}
    monkeypatch.setattr(nutpie, "sample", lambda compiled, **settings: asked.update(settings) or a_tree(lengths))
    tree, told = sample(None, Sampling(draws=10, tune=5, chains=2, seed=3, target_accept=0.9), progress=False, cores=1)
    assert told is complete
    assert tree["posterior"].sizes["draw"] == (10 if complete or len(lengths) == 1 else 9)
    expected = {"draws": 10, "tune": 5, "chains": 2, "cores": 1, "seed": 3, "target_accept": 0.9, "progress_bar": False}
    assert {name: asked[name] for name in expected} == expected


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"draws": 0}, "draws must be a whole number of at least 1"),
        ({"draws": 10.0}, "draws must be a whole number"),
        ({"tune": -1}, "tune must be"),
        ({"chains": True}, "chains must be"),
        ({"chains": "4"}, "chains must be"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
        ({"seed": 1.5}, "seed must be"),
        ({"target_accept": 1.0}, "target_accept must lie between 0.5 and 1"),
        ({"target_accept": float("nan")}, "target_accept must lie between"),
        ({"threads": 0}, "threads must be a whole number of at least 1"),
        ({"threads": 2.0}, "threads must be"),
    ],
)
def test_settings_that_make_no_sense_are_refused_before_anything_is_built(settings, message, monkeypatch):
    monkeypatch.setattr(CapacityModel, "build", lambda *_: pytest.fail("built"))
    with pytest.raises(UserError, match=message):
        fit(CapacityModel(), datasets.design_study(clinicians=3, surveys=3), **settings)


def test_draws_that_memory_has_no_room_for_are_refused_before_any_is_made(monkeypatch):
    compiled = type("Compiled", (), {"n_expanded": 100_000})
    monkeypatch.setattr(sampling, "available_memory", lambda: 9.5e9)
    asked = Sampling(draws=1000, tune=500, chains=4)  # nutpie keeps what warm-up made
    with pytest.raises(UserError, match=r"4 chains of 1000 draws of 100000 numbers each need about 9\.6 GB.*9\.5 GB are free.*--quick"):
        sampling.need_memory_here(compiled, asked)
    sampling.need_memory_here(compiled, replace(asked, chains=3))
    with monkeypatch.context() as patch:
        patch.setattr(sampling, "client_in_use", lambda: "a client")  # whose workers send none of that
        sampling.need_memory_here(compiled, asked)
    monkeypatch.setattr(sampling, "available_memory", lambda: None)  # a system that does not tell
    sampling.need_memory_here(compiled, Sampling(draws=10**6, chains=4))


def test_threads_of_the_likelihood_change_no_draw(monkeypatch):
    design = datasets.design_study(clinicians=450, surveys=25, units=3, seed=1)
    study = simulate(CapacityModel(), design, {"half_life": 2.0}, seed=1).study
    assert len(study.surveys) > 2 * LEAST_ROWS  # work enough for two
    used = []
    inside = sampling.with_threads

    def noted(compiled, threads):
        own, _ = compiled.logp_func  # what is in the sampler's coordinates calls the machine code of the model itself
        told = own.shared_data.get("threads")
        used.append((threads, told is not None and np.uint64(told.ctypes.data).tobytes() in own.user_data.tobytes()))
        return inside(compiled, threads)

    monkeypatch.setattr(sampling, "with_threads", noted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # so few draws
        found = [fit(CapacityModel(), study, draws=10, tune=30, chains=1, seed=1, progress=False, threads=n) for n in (1, 2)]
    assert used == [(1, False), (2, True)]
    for group in ("posterior", "sample_stats"):
        xr.testing.assert_equal(found[1].tree[group].to_dataset(), found[0].tree[group].to_dataset())


def test_threads_are_used_where_draws_are_made_and_nowhere_else():
    given = np.ones(1, int)
    given.flags.writeable = False
    compiled = type("Compiled", (), {"shared_data": {"threads": given}})
    with pytest.raises(RuntimeError), sampling.with_threads(compiled, 3):
        assert given[0] == 3
        raise RuntimeError
    assert given[0] == 1


DRAWS = """
import warnings
import equipoise as eq
warnings.simplefilter("ignore")
design = eq.datasets.design_study(clinicians=8, surveys=5, units=2, interventions={"course": "stepped"})
study = eq.simulate(eq.CapacityModel(), design, {"half_life": 2.0}, seed=1).study
fit = eq.fit(eq.CapacityModel(), study, draws=20, tune=60, chains=1, seed=1, progress=False)
print("draws", fit.tree["posterior"]["half_life"].to_numpy().tobytes().hex())
"""


def test_a_machine_s_first_run_and_its_second_give_the_same_draws(tmp_path):
    """Kernels that were just compiled and kernels from the cache compute the same to the last bit."""
    environment = os.environ | {"PYTENSOR_FLAGS": f"base_compiledir={tmp_path}"}
    runs = [
        subprocess.run(
            [sys.executable, "-c", DRAWS], env=environment, capture_output=True, text=True, check=True, cwd=tmp_path
        ).stdout.split("draws")[1]
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
