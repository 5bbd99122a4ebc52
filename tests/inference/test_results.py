"""Saved draws: whatever has become of the file, it is the fit or one clear message, and nothing on standard error."""

import json
import random
import runpy
import signal
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from scipy.io import netcdf_file

from equipoise import CapacityModel, datasets, load, simulate
from equipoise.datasets import UserError
from equipoise.inference.results import SCHEMA

MODEL = CapacityModel(replenishment="sleep")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A fit, its study and the bytes of its file."""
    prior_fit = runpy.run_path(str(Path(__file__).parents[1] / "reports" / "conftest.py"))["prior_fit"]
    planned = datasets.design_study(clinicians=5, surveys=4, units=2, gap=2, covariates=("sleep",), seed=2)
    study = simulate(MODEL, planned, {"level": 55.0, "half_life": 4.0}, seed=3).study
    fit = prior_fit(MODEL, study, draws=10)
    return fit, study, fit.save(tmp_path_factory.mktemp("saved") / "posterior.nc").read_bytes()


def refused(path, capfd, **given) -> str:
    with warnings.catch_warnings(), pytest.raises(UserError) as error:
        warnings.simplefilter("error")
        load(path, **given)
    assert "\n" not in str(error.value) and str(path) in str(error.value)
    said = capfd.readouterr()
    assert said.err == said.out == ""
    return str(error.value)


def test_files_cut_off_anywhere(saved, tmp_path, capfd):
    whole = saved[2]
    rng = random.Random(1)
    path = tmp_path / "posterior.nc"
    for length in [0, 1, 7, 8, 100, len(whole) - 1, *(rng.randrange(len(whole)) for _ in range(40))]:
        path.write_bytes(whole[:length])
        assert "cannot be read as results" in refused(path, capfd)


def test_files_with_other_bytes_in_them(saved, tmp_path, capfd):
    """What is damaged is refused, or loads: a flipped number among the draws only the digest of a results folder can tell."""
    _, study, whole = saved
    rng, read = random.Random(2), 0
    path = tmp_path / "posterior.nc"
    for _ in range(60):
        content = bytearray(whole)
        for _ in range(rng.choice([1, 4, 40])):
            content[rng.choice([rng.randrange(len(content)), rng.randrange(3000)])] = rng.randrange(256)
        path.write_bytes(bytes(content))
        try:
            load(path, study=study, model=MODEL)
            read += 1
        except UserError as error:
            assert "\n" not in str(error)
    assert read < 40 and "Traceback" not in capfd.readouterr().err


NO_FILES = [b"", b"\x00" * 500, b"CDF\x01", b"\x89HDF\r\n\x1a\n" + b"\x07" * 900, b"id,week\n1,2\n", b"PK\x03\x04"]


@pytest.mark.parametrize("content", NO_FILES)
def test_files_that_are_none(content, tmp_path, capfd):
    (tmp_path / "x.nc").write_bytes(content)
    refused(tmp_path / "x.nc", capfd)


def test_foreign_files(tmp_path, capfd):
    path = tmp_path / "x.nc"
    xr.Dataset({"a": ("x", np.arange(3))}).to_netcdf(path, engine="h5netcdf")
    assert "not one written by equipoise" in refused(path, capfd)
    with netcdf_file(path, "w") as file:
        file.equipoise = "{}"
    assert "cannot be read" in refused(path, capfd)
    with pytest.raises(UserError, match="there is no file"):
        load(tmp_path)


@pytest.mark.parametrize("stated", ["{broken", "[]", "3", "null", '"x"', "", "{}", 5, np.arange(2), "[" * 5000, f'{{"schema": {SCHEMA}}}'])
def test_files_that_say_nonsense_of_themselves(saved, tmp_path, capfd, stated):
    path = tmp_path / "x.nc"
    path.write_bytes(saved[2])
    with h5py.File(path, "r+") as file:
        file.attrs["equipoise"] = stated
    refused(path, capfd)
    with h5py.File(path, "w") as file:  # HDF5 that is no netCDF
        file.attrs["equipoise"] = stated
        file["posterior"] = 3
    refused(path, capfd)


@pytest.mark.parametrize("change", [{"schema": 99}, {"schema": None}, {"model": None}, {"study": []}, {"warnings": "x"}, {"complete": 1}])
def test_files_of_another_schema_or_without_what_they_need(saved, tmp_path, capfd, change):
    path = tmp_path / "x.nc"
    path.write_bytes(saved[2])
    with h5py.File(path, "r+") as file:
        file.attrs["equipoise"] = json.dumps(saved[0].facts | change)
    told = refused(path, capfd)
    assert "has schema" in told if "schema" in change else f"without {next(iter(change))}" in told


@pytest.mark.parametrize("group", ["posterior", "sample_stats", "constant_data", "diagnostics"])
def test_files_without_a_group(saved, tmp_path, capfd, group):
    path = tmp_path / "x.nc"
    path.write_bytes(saved[2])
    with h5py.File(path, "r+") as file:
        del file[group]
    assert f"without the group {group}" in refused(path, capfd)


def test_a_full_disk_is_one_message_and_leaves_what_was_there(saved, tmp_path):
    """A real one: this process may write no file longer than a third of the draws."""
    resource = pytest.importorskip("resource")
    fit, _, whole = saved
    path = tmp_path / "posterior.nc"
    path.write_bytes(b"before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then writing fails, as on a full disk
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) // 3, limits[1]))
        with pytest.raises(UserError, match=r"cannot write .*posterior\.nc: File too large"):
            fit.save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("posterior.nc", b"before")]
