"""Large studies: what is kept on disk and by blocks is what small studies have in memory."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from equipoise import CapacityModel, datasets, fit, load, simulate
from equipoise.datasets import UserError
from equipoise.inference import convergence, derive, estimands, fitting, store, tables


def _fits():
    spec = importlib.util.spec_from_file_location("fits", Path(__file__).parents[1] / "reports" / "conftest.py")
    fits = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fits)
    return fits


MODEL = CapacityModel(varying="clinician")


@pytest.fixture(scope="module")
def study():
    planned = datasets.design_study(
        clinicians=60, surveys=5, units=6, jitter=0.2, missing=0.1, interventions={"coaching": "stepped", "rota": "alternating"}, seed=2
    )
    return simulate(MODEL, planned, {"level": 55.0, "half_life": 3.0}, seed=3).study


def made(study, **limits):
    """A fit from prior draws, under other limits."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in limits.items():
            module, _, constant = name.partition("__")
            patch.setattr({"store": store, "derive": derive, "convergence": convergence}[module], constant, value)
        fit = _fits().prior_fit(MODEL, study, draws=60, chains=2, known={"total_sd": 12.0, "level": 55.0})
    return type(fit)(fit.tree, study)


@pytest.fixture(scope="module")
def small(study):
    return made(study)


@pytest.fixture(scope="module")
def large(study):
    """On disk in blocks of 7 draws, with threads and with a panel."""
    return made(study, store__MOST_NUMBERS=100, store__BLOCK=7 * 60, store__PIECE=23, derive__THREADED_FROM=1,
                derive__MOST_PATH_POINTS=500, derive__MOST_LOO_NUMBERS=40_000)  # fmt: skip


def test_blocks_threads_and_the_disk_change_no_number(small, large):
    for group in ("posterior", "individual", "contrasts", "log_likelihood"):
        ours, theirs = large.tree[group].to_dataset(), small.tree[group].to_dataset()
        assert set(ours) == set(theirs)
        for name in theirs:
            xr.testing.assert_equal(ours[name], theirs[name])
    lazy = large.tree["posterior"]["capacity"].variable._data
    assert not isinstance(lazy, np.ndarray)
    np.testing.assert_array_equal(
        large.tree["posterior"]["alpha"][1, 5:9, [3, 1]], small.tree["posterior"]["alpha"].to_numpy()[1, 5:9][:, [3, 1]]
    )


def test_saved_beside_the_rest_and_read_back_in_pieces(small, large, tmp_path, study, monkeypatch):
    monkeypatch.setattr(store, "MOST_NUMBERS", 100)
    large.save(tmp_path / "posterior.nc")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["posterior.nc", "posterior.zarr"]
    again = load(tmp_path / "posterior.nc", study)
    for name in ("alpha", "beta", "rate_z", "level"):
        xr.testing.assert_equal(again.tree["posterior"][name], small.tree["posterior"][name])
    xr.testing.assert_equal(again.tree["individual"]["state_last"], small.tree["individual"]["state_last"])
    # others read it without us
    zarr = xr.open_zarr(tmp_path / "posterior.zarr", group="posterior", consolidated=False, chunks=None)
    np.testing.assert_array_equal(zarr["capacity"], small.tree["posterior"]["capacity"])
    (tmp_path / "posterior.zarr").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"posterior\.zarr that belongs beside it"):
        load(tmp_path / "posterior.nc", study)


def test_results_of_a_small_study_replace_the_folder_of_a_large_one(small, large, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(store, "MOST_NUMBERS", 100)
        large.save(tmp_path / "posterior.nc")
    small.save(tmp_path / "posterior.nc")
    assert [p.name for p in tmp_path.iterdir()] == ["posterior.nc"]


def test_no_room_on_the_disk_is_said_before_anything_is_written(study, monkeypatch):
    monkeypatch.setattr(store.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    with pytest.raises(UserError, match="GB are free"):
        made(study, store__MOST_NUMBERS=100)


def test_room_for_the_draws_is_asked_for_before_any_is_made(study, monkeypatch):
    monkeypatch.setattr(store, "MOST_NUMBERS", 100)
    monkeypatch.setattr(store.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    monkeypatch.setattr(fitting, "compile_model", lambda *_: pytest.fail("compiled"))
    with pytest.raises(UserError, match=r"GB are free.*TMPDIR"):
        fit(MODEL, study, draws=10, tune=10, chains=2, progress=False)


def test_what_results_take_on_the_disk_is_known_before(large, study, tmp_path, monkeypatch):
    assert derive.bytes_of_results(MODEL, study, 2, 20) == 0
    monkeypatch.setattr(store, "MOST_NUMBERS", 100)
    posterior = large.tree["posterior"]
    expected = derive.bytes_of_results(MODEL, study, posterior.sizes["chain"], posterior.sizes["draw"])
    large.save(tmp_path / "posterior.nc")
    written = sum(file.stat().st_size for file in (tmp_path / "posterior.zarr").rglob("*"))
    assert 0.6 * written < expected <= written  # the limit being so low, also paths are there


def test_tables_and_estimands_by_blocks(small, large, monkeypatch):
    expected = {name: getattr(small, name)() for name in ("clinicians", "units", "population", "interventions")}
    asked = {"horizon": 6.0, "threshold": 50.0, "by": ["unit"]}
    worth = small.estimands(**asked)
    monkeypatch.setattr(tables, "BLOCK", 120 * 11)
    monkeypatch.setattr(tables, "block_of_draws", lambda clinicians: 7)
    monkeypatch.setattr(estimands, "BLOCK", 60 * 7)
    for name, table in expected.items():
        pd.testing.assert_frame_equal(getattr(large, name)(), table, rtol=1e-9)
    pd.testing.assert_frame_equal(large.estimands(**asked), worth, rtol=1e-9)
    # the average of C* over a unit, worked out here
    capacity = small.tree["posterior"]["capacity"].to_numpy()
    mine = small.tree["constant_data"]["clinician_unit"].to_numpy() == 2
    unit = expected["units"].query("quantity == 'capacity_mean'").iloc[2]
    assert unit["mean"] == pytest.approx(capacity[..., mine].mean())


def test_the_panel_is_the_whole_cut_to_its_clinicians(small, large):
    assert small.panel is small
    panel, members = large.panel, large.panel.members
    assert 1 < len(members) < 60
    names = large.tree["posterior"]["clinician"].to_numpy()[members]
    np.testing.assert_array_equal(panel.tree["posterior"]["clinician"], names)
    constant, whole = panel.tree["constant_data"].to_dataset(), large.tree["constant_data"].to_dataset()
    rows = np.flatnonzero(np.isin(whole["survey_clinician"], members))
    np.testing.assert_array_equal(members[constant["survey_clinician"]], whole["survey_clinician"][rows])
    np.testing.assert_array_equal(panel.tree["observed_data"]["scores"], large.tree["observed_data"]["scores"][rows])
    np.testing.assert_array_equal(large.tree["posterior_predictive"]["survey"], rows)
    # what was kept of the answers left out is what everybody's would be
    kept = large.tree["log_likelihood_survey"]["scores"]
    every = small.tree["log_likelihood_survey"]["scores"].sel(draw=kept["draw"], survey=kept["survey"])
    np.testing.assert_allclose(kept, every, rtol=1e-8)
    found = large.checks(only=["predictive", "loo", "loo_pit", "dropout", "prior_predictive", "power_scaling"])
    assert found["predictive"].sentence.startswith(f"On {len(members)} of 60 clinicians, drawn at random: ")
    assert found["loo_pit"].passed is not None


def test_of_very_many_members_some_are_judged(study):
    fit = made(study, convergence__MOST_MEMBERS=20, convergence__JUDGED=7)
    counts = fit.diagnostics["variable"].value_counts()
    assert counts["alpha"] == 7 and counts["half_life"] == 1


SCRIPT = """
import resource, sys, threading
import numpy as np
sys.path.insert(0, sys.argv[1])
import stages
def held():  # bytes of its own; pages of files, which the system drops where memory is short, are not among them
    _, resident, shared, *_ = map(int, open("/proc/self/statm").read().split())
    return (resident - shared) * resource.getpagesize()
from equipoise import CapacityModel, datasets, simulate
from equipoise.inference import derive
planned = datasets.design_study(clinicians=4000, surveys=4, units=200, interventions={"coaching": "stepped"})
model = CapacityModel(secular="none")
study = simulate(model, planned, {"half_life": 3.0}, seed=1).study
posterior = stages.raw_draws(model, study, 20)["posterior"].to_dataset()
draws = derive.Draws.of(posterior, model, study)
derive.derive(draws, np.random.default_rng(0))
most = 0
done = threading.Event()
def watch():
    global most
    while not done.wait(0.005):
        most = max(most, held())
watching = threading.Thread(target=watch)
watching.start()
for count in (1500, 4500):
    repeated = {name: np.broadcast_to(v[:, :1], (1, count, *v.shape[2:])) for name, v in draws.values.items()}
    many = derive.Draws(model, study, draws.design, repeated, 1, count, None, draws.surveys)
    derive.derive(many, np.random.default_rng(0))
    print(most // 1000)
done.set()
watching.join()
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="a process's own memory is read from /proc")
def test_memory_does_not_grow_with_the_draws(root):
    """8 quantities of 4,000 clinicians are 384 MB for 1,500 draws and 1,152 MB for 4,500; a few blocks of 16 MB each may be in memory."""
    command = [sys.executable, "-P", "-c", SCRIPT, str(root / "benchmarks" / "large")]
    few, many = map(int, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-2:])
    assert many - few < 100_000  # kB
