"""Over a Dask cluster: the same draws and estimands as here, through the loss of a worker, and one message for what is wrong."""

import importlib
import os
import socket
import sys
import textwrap
import threading
import warnings
from contextlib import suppress

import numpy as np
import pytest
import xarray as xr

from equipoise import CapacityModel, UserError, datasets, fit, load, on_cluster, simulate
from equipoise.inference import chains, cluster, estimands, fitting, over_workers, sampling, store, workers
from equipoise.inference.laplace.laplace import laplace
from equipoise.inference.laplace.on_workers import EffectsOnWorkers
from equipoise.inference.refits.jobs import run_jobs
from equipoise.inference.refits.ledger import Ledger
from equipoise.models.design import build_design

distributed = pytest.importorskip("distributed")
QUIET = {"dashboard_address": ":0", "threads_per_worker": 1, "silence_logs": 50}
JOBS = {f"job {n}": n for n in range(8)}
# what the workers do, in a module that their processes find
MODULE = """
    import os, signal
    from pathlib import Path

    def prepare(given):
        return given

    def work(given, job):
        return {"square": given["base"] + job**2, "pid": os.getpid()}

    def loses_a_worker(given, job):
        first = Path(given["lost"], f"{job}")
        if job in given["deadly"] and not first.exists():
            first.write_text(f"{os.getpid()}")
            os.kill(os.getpid(), signal.SIGKILL)
        return work(given, job)

    def dies_or_works(given, job):
        return always_loses(given, job) if job == "dies" else work(given, job)

    def always_loses(given, job):
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def at_work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workers")
    (folder / "cluster_at_work.py").write_text(textwrap.dedent(MODULE))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield importlib.import_module("cluster_at_work")
    sys.modules.pop("cluster_at_work")


# --- the same numbers


@pytest.fixture(scope="module")
def threads():
    """A cluster whose workers are threads of this process: what is compiled here is compiled there."""
    with distributed.Client(processes=False, n_workers=1, **QUIET | {"threads_per_worker": 2}) as client:
        yield client


@pytest.fixture(scope="module")
def study():
    planned = datasets.design_study(clinicians=12, surveys=5, units=3, seed=2, interventions={"course": "stepped"})
    return simulate(CapacityModel(), planned, {"half_life": 3.0}, seed=1).study


HOW = {"draws": 24, "tune": 60, "chains": 3, "seed": 5, "progress": False}


@pytest.fixture(scope="module")
def fits(study, threads):
    with pytest.warns(UserWarning), pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "BLOCK", 12 * 10)  # blocks of 10 draws
        return fit(CapacityModel(), study, **HOW), fit(CapacityModel(), study, scheduler=threads, **HOW)


def test_draws_and_what_is_derived_are_those_of_this_machine_to_the_last_bit(fits):
    here, there = (found.tree for found in fits)
    assert set(here.children) == set(there.children)
    for group in here.children:
        xr.testing.assert_equal(here[group].to_dataset(), there[group].to_dataset())
    half_life = there["posterior"]["half_life"].to_numpy()
    assert half_life.shape == (3, 24) and len(np.unique(half_life[:, 0])) == 3  # and no chain is another's


def test_a_fit_is_saved_where_a_client_of_ones_own_is_there(fits, threads, tmp_path):
    """xarray would take that client's locks, which know no file in memory."""
    assert distributed.default_client() is threads
    again = load(fits[1].save(tmp_path / "posterior.nc"))
    xr.testing.assert_equal(again.tree["posterior"]["half_life"], fits[0].tree["posterior"]["half_life"])


def test_estimands_by_blocks_over_workers_are_the_same(fits, threads, monkeypatch):
    asked = {"horizon": 6.0, "threshold": 50.0, "by": "unit"}
    monkeypatch.setattr(estimands, "BLOCK", 12 * 5)
    sent = []
    share_out = over_workers.share_out
    monkeypatch.setattr(over_workers, "share_out", lambda client, work, *rest: sent.append(work) or share_out(client, work, *rest))
    expected = fits[0].estimands(**asked)
    assert not sent
    with on_cluster(threads):
        found = fits[0].estimands(**asked)
    assert sent == [estimands._of_block]
    assert found.equals(expected)


@pytest.fixture(scope="module")
def found(study):
    """Laplace's approximation, and with it the compiled model."""
    model = CapacityModel()
    return laplace(sampling.compile_model(model.build(study)), model, study, build_design(model, study)[0])


@pytest.mark.parametrize(
    "how", [(), (False,), (True, True), (True, False, False), (False, False, False, True)],
    ids=["all", "no draws", "brief", "no scores", "whole"],
)  # fmt: skip
def test_the_inner_steps_of_a_quick_look_are_the_same_in_the_same_order(found, study, threads, how):
    points = 0.5 * np.random.default_rng(1).standard_normal((21, found.structure.population.size))
    seeds = [[1, n] for n in range(21)]
    here = list(found.effects().at(points, seeds, *how))
    there = list(EffectsOnWorkers(found, threads, CapacityModel(), study).at(points, seeds, *how))
    assert len({value.laplace for value in here}) == 21
    for a, b in zip(here, there, strict=True):
        assert (a.laplace, a.correction) == (b.laplace, b.correction)
        np.testing.assert_array_equal(a.score, b.score)
        if how[:1] == (False,):
            assert a.draw is b.draw is None
        else:
            np.testing.assert_array_equal(a.draw, b.draw)
    assert all(value.correction != 0 for value in here) != (how == (True, True))
    assert all(value.score.any() for value in here) == (how in ((), (False,)))
    expansion = [value.correction for value in found.effects().at(points, seeds, *how[:3])]
    assert ([value.correction for value in here] == expansion) == (how[3:] != (True,))


def test_a_chain_that_is_stopped_has_the_first_draws_of_the_whole_one(fits, found):
    """As on Ctrl-C: a worker ends its chain with what it has."""
    how = {"draws": 100_000, "tune": 60, "seed": 5, "target_accept": 0.8, "max_step_size": sampling.LONGEST_STEP, "extra_doublings": 0}
    made = []
    tree = chains.sample_one(found.sampler(), how, 2, stopped=lambda: bool(made) and made[-1] > 90, tell=made.append)
    length = int(chains.length_of(tree)[0])
    assert tree["posterior"].sizes["chain"] == 1 and 24 < length < 100_000
    whole = fits[0].tree["posterior"]["half_life"].to_numpy()[2]
    if fits[0].facts["sampling"]["tries"] == 1:
        np.testing.assert_array_equal(tree["posterior"]["half_life"].to_numpy()[0, :24], whole)


def test_what_chains_there_are_is_kept(monkeypatch):
    """One chain came whole, one was cut short, and one was given up."""

    def chain(number, length):
        x = xr.Dataset({"x": (("chain", "draw"), 100.0 * number + np.arange(length)[None])})
        energy = xr.Dataset({"energy": (("chain", "draw"), np.zeros((1, length)))})
        return number, xr.DataTree.from_dict({"posterior": x, "sample_stats": energy})

    monkeypatch.setattr(sampling, "client_in_use", lambda: "a client")
    compiled = type("Compiled", (), {"logp_func": None, "n_expanded": 3})
    settings = sampling.Sampling(draws=10, tune=5, chains=3, seed=1)
    for lengths, kept in [({0: 10, 2: 8}, [0, 2]), ({1: 10}, [1]), ({0: 10, 1: 2, 2: 10}, [0, 2])]:
        monkeypatch.setattr(chains, "sample_chains", lambda *given, found=lengths: [chain(c, n) for c, n in found.items()])
        tree, complete = sampling.sample(compiled, settings, progress=False, source=(None, None))
        assert not complete and tree["posterior"]["chain"].to_numpy().tolist() == kept
        assert (tree["posterior"]["x"].to_numpy()[:, 0] == 100.0 * np.array(kept)).all()
    monkeypatch.setattr(chains, "sample_chains", lambda *given: [])
    with pytest.raises(KeyboardInterrupt):
        sampling.sample(compiled, settings, progress=False, source=(None, None))


def test_blocks_are_worked_out_here_where_the_cluster_is_lost(threads, monkeypatch, capsys):
    """Those done are kept, those sent and those not sent yet are done here, each once."""
    monkeypatch.setattr(over_workers, "share_out", lost := Lost(done=[2, 0]))
    blocks = [((n, slice(n, n + 1)), 10 * n) for n in range(7)]
    with on_cluster(threads):
        found = list(over_workers.block_by_block(lambda given, block: ("here", given + block), None, 1, iter(blocks)))
    assert len(lost.sent) == 4  # two threads
    assert sorted(name[0] for name, _ in found) == list(range(7))
    assert {name[0]: value for name, value in found} == {0: "there", 2: "there"} | {n: ("here", 1 + 10 * n) for n in (1, 3, 4, 5, 6)}
    assert "scheduler was lost. What is left of it is worked out here." in capsys.readouterr().err


class Lost:
    """Shares out, gives these of the blocks, and is lost."""

    def __init__(self, done):
        self.done = done

    def __call__(self, client, function, given, jobs, under_way):
        self.sent = [next(jobs) for _ in range(under_way)]
        for n in self.done:
            yield self.sent[n][0], "there"
        raise over_workers.ClusterLost("the scheduler was lost.")


def test_a_further_try_that_loses_its_cluster_leaves_the_draws_of_the_one_before(study, monkeypatch):
    tried = []

    def sample(*given, **how):
        if tried:
            raise over_workers.ClusterLost("the scheduler was lost.")
        tried.append(given)
        return original(*given, **how)

    original = fitting.sample
    monkeypatch.setattr(fitting, "sample", sample)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = fit(CapacityModel(), study, draws=100, tune=60, chains=4, seed=5, progress=False, retry_above=1.0)
    assert found.warnings[0] == "NOT CONVERGED: Another try failed (the scheduler was lost); these are the draws of the one before."
    assert found.tree["posterior"].sizes["draw"] == 100 and found.complete


# --- lost workers


def _squares(found):
    return {name: result["square"] for name, result in found.items()}


def test_lost_workers_cost_time_and_not_the_run(at_work, tmp_path):
    """The only worker is lost twice, and with it what it was given and had not handed over yet."""
    given = {"base": 100, "lost": str(tmp_path), "deadly": [2, 5]}
    ledger = Ledger(tmp_path / "ledger.jsonl", "k")
    with distributed.LocalCluster(n_workers=1, **QUIET) as one:
        found = run_jobs(at_work.prepare, given, at_work.loses_a_worker, JOBS, scheduler=one.scheduler_address, ledger=ledger)
    assert _squares(found) == {f"job {n}": 100 + n**2 for n in range(8)} == _squares(Ledger(ledger.path, "k").results)
    for job in given["deadly"]:
        assert found[f"job {job}"]["pid"] not in (int((tmp_path / f"{job}").read_text()), os.getpid())


def test_a_job_that_loses_every_worker_is_one_clear_message(at_work, tmp_path):
    import dask

    ledger = Ledger(tmp_path / "ledger.jsonl", "k")
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(n_workers=1, memory_limit="1.5GB", **QUIET) as one,
    ):
        run_jobs(at_work.prepare, {"base": 0}, at_work.work, {"a": 1}, scheduler=one.scheduler_address, ledger=ledger)
        with pytest.raises(UserError, match=r"b was given up: a worker was lost.*memory runs out \(the last had 1\.5 GB\).*--memory-limit"):
            run_jobs(at_work.prepare, {"base": 0}, at_work.always_loses, {"b": 1}, scheduler=one.scheduler_address, ledger=ledger)
    assert set(Ledger(ledger.path, "k").results) == {"a"}


def test_where_one_job_is_given_up_the_others_may_be_waited_for(at_work):
    """As chains are: the worker of the first is lost, and the rest is done all the same."""
    import dask

    jobs = [("chain 0", "dies"), ("chain 1", 1), ("chain 2", 2)]
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.Client(n_workers=1, **QUIET) as client,
    ):
        found, seen = {}, over_workers.share_out(client, at_work.dies_or_works, {"base": 0}, jobs, patient=True)
        with pytest.raises(over_workers.ClusterLost, match=r"chain \d was given up: a worker was lost"):
            for name, result in seen:
                found[name] = result["square"]
    # the next in line at the lost worker may be taken for the culprit
    assert found in ({"chain 1": 1, "chain 2": 4}, {"chain 2": 4})


def test_what_is_asked_of_a_scheduler_that_is_gone_is_one_message_too():
    """Before it is known that it is gone, the client's own calls fail in many ways."""
    import distributed.client

    client = type("Client", (), {"status": "running"})()
    for error in (OSError(), RuntimeError("ConnectionPool is closed"), KeyError("workers"), distributed.client.ClosedClientError("")):
        with pytest.raises(over_workers.ClusterLost, match="was lost"), over_workers.asking(client):
            raise error
    client.status = "connecting"
    with pytest.raises(over_workers.ClusterLost), over_workers.asking(client):
        pytest.fail("asked")
    with pytest.raises(over_workers.ClusterLost):
        source = chains.Source(CapacityModel(), type("Study", (), {"fingerprint": ""}))
        chains.sample_chains(client, source, {"tune": 1, "draws": 1}, 1, 1, False)


def test_a_scheduler_that_is_lost_is_one_message(at_work):
    with distributed.LocalCluster(n_workers=1, **QUIET) as one, distributed.Client(one) as client:
        shared = over_workers.share_out(client, at_work.work, {"base": 0}, iter([("a", 1), ("b", 2)]), 1)
        assert next(shared)[0] == "a"
        one.close()
        with pytest.raises(over_workers.ClusterLost, match="connection to the Dask scheduler was lost"):
            list(shared)
        with pytest.raises(over_workers.ClusterLost, match="connection to the Dask scheduler was lost"):
            next(over_workers.share_out(client, at_work.work, {"base": 0}, [("a", 1)]))
        with on_cluster(client):  # what was begun on it goes on here
            cluster._PLACE.get().client = client
            assert list(over_workers.block_by_block(lambda given, block: given + block, None, 1, [("a", 1)])) == [("a", 2)]


# --- what is wrong is said before anything is compiled

OTHER = """
    import importlib.metadata

    def other(package, version=importlib.metadata.version):
        if package == "numba":
            raise importlib.metadata.PackageNotFoundError(package)
        return "0.0.1" if package == "nutpie" else version(package)

    importlib.metadata.version = other
"""


def test_a_worker_with_other_versions_is_named_before_anything_is_compiled(tmp_path, study, monkeypatch):
    preload = tmp_path / "other_versions.py"
    preload.write_text(textwrap.dedent(OTHER))
    monkeypatch.setattr(CapacityModel, "build", lambda *_: pytest.fail("built"))
    with distributed.LocalCluster(n_workers=1, preload=str(preload), **QUIET) as one:
        address = next(iter(one.scheduler.workers))
        with pytest.raises(UserError) as raised:
            fit(CapacityModel(), study, scheduler=one.scheduler_address, **HOW)
    told = str(raised.value)
    assert f"the worker {address} has nutpie 0.0.1, and here it is {importlib.metadata.version('nutpie')}" in told
    assert "requirements.lock" in told


@pytest.mark.parametrize(
    ("function", "theirs", "message"),
    [
        ("python_version", "3.1.7", r"w1 has Python 3\.1\.7, and here it is 3\."),
        ("source_digest", "f" * 64, r"w1 has equipoise from other sources \(ffffffffffff\), and here"),
        ("version", "absent", r"w1 has equipoise absent, and here it is .*; 1 more differ"),
    ],
)
def test_what_else_must_agree(monkeypatch, function, theirs, message):
    def everywhere(client, asked, *args):
        ours = asked(*args)
        wrong = asked.__name__ == function
        return {"w1": theirs if wrong else ours, "w2": theirs if wrong and function == "version" else ours}

    monkeypatch.setattr(workers, "_everywhere", everywhere)
    with pytest.raises(UserError, match=message):
        workers.check_versions(None)


def test_a_worker_that_joins_later_with_other_versions_is_named(tmp_path, at_work):
    preload = tmp_path / "other_versions.py"
    preload.write_text(textwrap.dedent(OTHER))
    with distributed.LocalCluster(n_workers=1, preload=str(preload), **QUIET) as one, distributed.Client(one) as client:
        address = next(iter(one.scheduler.workers))
        told = rf"the worker {address}, new since the others were asked, has .*, and here it is .*requirements\.lock"
        with pytest.raises(over_workers.ClusterLost, match=told):
            list(over_workers.share_out(client, at_work.work, {"base": 0}, [("a", 1)]))


def test_a_chain_that_is_too_large_for_a_worker_is_refused():
    those = {"w1": {"memory_limit": 4_000_000_000}, "w2": {"memory_limit": 2_000_000_000}, "w3": {"memory_limit": None}}
    client = type("Client", (), {"scheduler_info": lambda self, n_workers: {"workers": those}})()
    needed = chains.bytes_of_chain(100_000, 1000, 500)
    assert needed == 8 * 100_000 * (1500 + 1500 + 1000) + chains.OF_PROCESS
    with pytest.raises(UserError, match=r"a chain needs about 3\.8 GB .* the worker w2 may have 2\.0 GB.*fewer draws"):
        workers.need_memory(client, needed, "a chain")
    workers.need_memory(client, chains.bytes_of_chain(100, 1000, 500), "a chain")


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"])
def test_what_answers_but_is_no_scheduler_is_told_soon(monkeypatch, greeting):
    """As a web server, or Dask's own dashboard, that waits for a request or sends what is no greeting."""
    monkeypatch.setattr(workers, "WAIT_SCHEDULER", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        held = []

        def answer():
            with suppress(OSError):
                while True:
                    held.append(server.accept()[0])
                    held[-1].sendall(greeting)

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(UserError, match=r"cannot be reached \(.+\)"):
            workers.check_scheduler(f"tcp://127.0.0.1:{server.getsockname()[1]}")
    for each in held:
        each.close()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "here", "tls://127.0.0.1:9"])
def test_a_fit_without_its_scheduler_begins_nothing(study, monkeypatch, address):
    monkeypatch.setattr(workers, "WAIT_SCHEDULER", 0.2)
    monkeypatch.setattr(CapacityModel, "build", lambda *_: pytest.fail("built"))
    with pytest.raises(UserError, match="cannot be reached"):
        fit(CapacityModel(), study, scheduler=address, **HOW)
    assert not cluster.is_asked()
