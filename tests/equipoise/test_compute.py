"""Where it is computed: one key of the analysis file, or an option, and no matter of what was found."""

import pytest
from typer.testing import CliRunner

from equipoise import cli, keys, run
from equipoise.analysis import Analysis
from equipoise.datasets.errors import UserError
from equipoise.inference import cluster, workers


def of_cluster(analysis, **compute):
    """A file that differs from the laptop's by its [compute]."""
    file = analysis.with_name("cluster.toml")
    lines = "\n".join(f"{key} = {value!r}" for key, value in compute.items())
    file.write_text(analysis.read_text() + f"\n[compute]\n{lines}\n")
    return file


@pytest.fixture
def connected(monkeypatch):
    """Takes note of what is connected to, which nothing here needs."""
    seen = []
    monkeypatch.setattr(cluster, "_client", lambda scheduler, workers, opened: seen.append((scheduler, workers)) or "a client")
    return seen


def test_draws_of_the_laptop_are_those_of_the_cluster(analysis, laboratory, connected):
    run.run(analysis, output=analysis.parent / "out", progress=False)
    again = run.run(of_cluster(analysis, scheduler="tcp://away:1"), output=analysis.parent / "out", progress=False)
    assert again.done == "nothing" and laboratory.sampled == 1
    assert not connected  # and where nothing is to be done, nobody need be reached
    here, there = (Analysis.read(file) for file in (analysis, analysis.with_name("cluster.toml")))
    study = here.study()
    inputs = [keys.sampling_inputs(study, a.model(study), a.sampling) for a in (here, there)]
    assert inputs[0] == inputs[1]


@pytest.mark.parametrize(
    ("key", "option", "expected"),
    [
        ({}, {}, None),
        ({"scheduler": "tcp://away:1"}, {}, ("tcp://away:1", None)),
        ({"scheduler": "tcp://away:1"}, {"scheduler": "local", "workers": 3}, ("local", 3)),
        ({"scheduler": "local", "workers": 2}, {}, ("local", 2)),
        ({"workers": 2}, {}, None),
        ({"workers": 2}, {"scheduler": "local"}, ("local", 2)),
    ],
)
def test_key_and_argument_say_where(analysis, laboratory, connected, monkeypatch, key, option, expected):
    seen = []
    monkeypatch.setattr(run, "sample", lambda *given, **how: seen.append(cluster.client_in_use()) or laboratory.sample(*given, **how))
    run.run(of_cluster(analysis, **key), progress=False, **option)
    assert seen == [None if expected is None else "a client"]
    assert connected == ([] if expected is None else [expected])
    assert not {"scheduler", "workers"} & set(laboratory.options)  # which are the arguments of the report's writer by now
    assert not cluster.is_asked()


def test_the_command_has_the_options(analysis, laboratory, connected, monkeypatch):
    monkeypatch.setattr(run, "sample", lambda *given, **how: cluster.client_in_use() and laboratory.sample(*given, **how))
    found = CliRunner().invoke(cli.app, ["run", str(analysis), "--scheduler", "tcp://away:1", "--workers", "3"])
    assert found.exit_code == 0, found.output
    assert connected == [("tcp://away:1", 3)]


def test_a_scheduler_that_cannot_be_reached_leaves_nothing_half_written(analysis, laboratory, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(workers, "WAIT_SCHEDULER", 0.2)
    monkeypatch.setattr(run, "sample", lambda *given, **how: cluster.client_in_use() and laboratory.sample(*given, **how))
    with pytest.raises(UserError, match=r"'tcp://127\.0\.0\.1:9' cannot be reached"):
        run.run(of_cluster(analysis, scheduler="tcp://127.0.0.1:9"), progress=False)
    assert laboratory.sampled == 0
    assert not [path for path in (analysis.parent / "results").rglob("*") if path.suffix != ".lock"]


def test_what_is_misspelt_is_told(analysis):
    with pytest.raises(UserError, match=r"\[compute\] shceduler: unknown key.*scheduler"):
        Analysis.read(of_cluster(analysis, shceduler="local"))
    with pytest.raises(UserError, match=r"\[compute\] workers: "):
        Analysis.read(of_cluster(analysis, workers=0))
