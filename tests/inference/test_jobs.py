"""Jobs side by side: the same results here, over processes and over Dask; a run that was stopped goes on."""

import importlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from equipoise import UserError
from equipoise.inference import cluster as clusters
from equipoise.inference import workers
from equipoise.inference.refits.jobs import run_jobs
from equipoise.inference.refits.ledger import Ledger

JOBS = {f"job {n}": n for n in range(6)}
SUMS = {f"job {n}": 100 + n for n in range(6)}
# what the workers do, in a module that spawned processes find
MODULE = """
    import os, signal, time

    def prepare(given):
        return {"base": given, "asked": []}

    def work(context, job):
        context["asked"].append(job)
        return {"sum": context["base"] + job, "pid": os.getpid(), "before": len(context["asked"])}

    def fails(context, job):
        if job == 3:
            raise ValueError("job 3 is bad")
        time.sleep(0.05 * (job > 3))
        return work(context, job)

    def slow(context, job):
        time.sleep(0.02 if job < 2 else 60)
        return work(context, job)

    def dies(context, job):
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workers")
    (folder / "jobs_at_work.py").write_text(textwrap.dedent(MODULE))
    return folder


@pytest.fixture(scope="module")
def at_work(folder):
    """The module, here and (spawned processes get their parent's path) in those that are started."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield importlib.import_module("jobs_at_work")
    sys.modules.pop("jobs_at_work")


def _sums(found):
    return {name: result["sum"] for name, result in found.items()}


def test_here_one_context_does_all_jobs(at_work):
    found = run_jobs(at_work.prepare, 100, at_work.work, JOBS, workers=1)
    assert _sums(found) == SUMS and list(found) == list(JOBS)
    assert {r["pid"] for r in found.values()} == {os.getpid()}
    assert [r["before"] for r in found.values()] == [1, 2, 3, 4, 5, 6]


def test_one_call_does_not_work_with_what_another_prepared(at_work):
    assert _sums(run_jobs(at_work.prepare, 0, at_work.work, JOBS, workers=1)) == dict(zip(JOBS, range(6), strict=True))
    assert _sums(run_jobs(at_work.prepare, 100, at_work.work, JOBS, workers=1)) == SUMS


def test_processes_give_the_same_each_preparing_once(at_work):
    found = run_jobs(at_work.prepare, 100, at_work.work, JOBS, workers=2)
    assert _sums(found) == SUMS and list(found) == list(JOBS)
    by_process = {}
    for result in found.values():
        by_process.setdefault(result["pid"], []).append(result["before"])
    assert os.getpid() not in by_process and 1 <= len(by_process) <= 2
    assert all(sorted(counts) == list(range(1, len(counts) + 1)) for counts in by_process.values())


def test_what_is_done_is_kept_where_a_failure_overtakes_it(at_work, tmp_path, monkeypatch):
    # what was done before it is waited for comes in any order; here the failure is told first
    import concurrent.futures

    def failures_first(futures):
        wait(futures)
        return sorted(futures, key=lambda future: future.exception() is None)

    wait = concurrent.futures.wait
    monkeypatch.setattr(concurrent.futures, "as_completed", failures_first)
    path = tmp_path / "l.jsonl"
    with pytest.raises(ValueError, match="job 3 is bad"):
        run_jobs(at_work.prepare, 100, at_work.fails, JOBS, workers=2, ledger=Ledger(path, "k"))
    assert _sums(Ledger(path, "k").results) == {name: sum for name, sum in SUMS.items() if name != "job 3"}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failing_job_raises_and_what_was_done_is_kept(at_work, tmp_path, workers):
    path = tmp_path / "l.jsonl"
    with pytest.raises(ValueError, match="job 3 is bad"):
        run_jobs(at_work.prepare, 100, at_work.fails, JOBS, workers=workers, ledger=Ledger(path, "k"))
    kept = Ledger(path, "k").results
    # the process that fails has done all it took before; the other may still be at one of the first three
    assert len(kept.keys() & {"job 0", "job 1", "job 2"}) >= (3 if workers == 1 else 2) and "job 3" not in kept
    found = run_jobs(at_work.prepare, 100, at_work.work, JOBS, workers=workers, ledger=Ledger(path, "k"))
    assert _sums(found) == SUMS
    assert all(found[name] == kept[name] for name in kept)  # not done again


def test_a_worker_that_is_killed_is_one_clear_message(at_work):
    with pytest.raises(UserError, match="ended from outside"):
        run_jobs(at_work.prepare, 100, at_work.dies, JOBS, workers=2)


def test_workers_end_when_results_cannot_be_written(at_work):
    class Full(Ledger):
        def add(self, job, result):
            raise OSError(28, "No space left on device")

    started = time.monotonic()
    with pytest.raises(OSError, match="No space left"):
        run_jobs(at_work.prepare, 100, at_work.slow, JOBS, workers=2, ledger=Full())
    from multiprocessing import active_children

    while active_children() and time.monotonic() - started < 20:
        time.sleep(0.05)
    assert not active_children()


def test_a_ledger_goes_on_after_a_line_that_was_cut_off(at_work, tmp_path):
    path = tmp_path / "deep" / "l.jsonl"
    ledger = Ledger(path, "k")
    ledger.add("job 0", {"sum": -1})
    ledger.add("job 1", {"sum": -2})
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])  # killed in mid-line
    found = run_jobs(at_work.prepare, 100, at_work.work, JOBS, workers=1, ledger=Ledger(path, "k"))
    assert _sums(found) == SUMS | {"job 0": -1}
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0] == {"key": "k"} and [line["job"] for line in lines[1:]] == list(JOBS)
    assert [p.name for p in path.parent.iterdir()] == ["l.jsonl"]


def test_a_ledger_of_something_else_begins_anew(tmp_path):
    path = tmp_path / "l.jsonl"
    Ledger(path, "k").add("a", {"x": 1})
    assert Ledger(path, "k").results == {"a": {"x": 1}}
    other = Ledger(path, "other")
    assert other.results == {}
    assert Ledger(path, "k").results == {"a": {"x": 1}}  # nothing is lost before there is something new
    other.add("b", {"y": 2})
    assert Ledger(path, "k").results == {} and Ledger(path, "other").results == {"b": {"y": 2}}
    path.write_text("not of ours\n")
    assert Ledger(path, "k").results == {}
    path.write_bytes(b"\xff\xfe")
    assert Ledger(path, "k").results == {}
    Ledger(path, "k").discard()
    assert not path.exists()


SCRIPT = """
    import sys
    from equipoise.inference.refits.jobs import run_jobs
    from equipoise.inference.refits.ledger import Ledger
    import jobs_at_work

    if __name__ == "__main__":
        try:
            run_jobs(jobs_at_work.prepare, 100, jobs_at_work.slow, {f"job {n}": n for n in range(6)},
                     workers=int(sys.argv[2]), scheduler=sys.argv[3] or None, ledger=Ledger(sys.argv[1], "k"))
        except KeyboardInterrupt:
            sys.exit(130)
"""


def _all_ended(group, seconds=10):
    """Whether no process of a group is left soon; the last ones take a moment after the first."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(("workers", "scheduler"), [(1, ""), (2, ""), (2, "local")])
def test_ctrl_c_ends_all_and_keeps_what_is_done(folder, tmp_path, workers, scheduler):
    script, path = folder / "script.py", tmp_path / "l.jsonl"
    script.write_text(textwrap.dedent(SCRIPT))
    environment = os.environ | {"PYTHONPATH": str(folder)}
    command = [sys.executable, script, path, str(workers), scheduler]
    process = subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.PIPE, text=True)
    started = time.monotonic()
    while not (path.exists() and path.read_text().count("\n") >= 2):
        assert process.poll() is None and time.monotonic() - started < 40
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all processes of the command
    try:
        error = process.communicate(timeout=20)[1]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == 130, error
    assert not error
    assert _all_ended(process.pid)
    kept = Ledger(path, "k").results
    assert kept and set(kept) <= {"job 0", "job 1"}  # whichever was done first


@pytest.fixture(scope="module")
def cluster(at_work):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        yield cluster


def test_a_dask_cluster_by_its_address(at_work, cluster, tmp_path):
    ledger = Ledger(tmp_path / "l.jsonl", "k")
    ledger.add("job 2", {"sum": -1})
    found = run_jobs(at_work.prepare, 100, at_work.work, JOBS, scheduler=cluster.scheduler_address, ledger=ledger)
    assert _sums(found) == SUMS | {"job 2": -1} and list(found) == list(JOBS)
    pids = {result.get("pid") for result in found.values()} - {None}
    assert os.getpid() not in pids and len(pids) <= 2
    # and a second time, with something else prepared in the same workers
    assert _sums(run_jobs(at_work.prepare, 0, at_work.work, {"a": 7}, scheduler=cluster.scheduler_address)) == {"a": 7}


def test_what_is_done_on_a_cluster_is_kept_where_a_failure_overtakes_it(at_work, cluster, tmp_path, monkeypatch):
    import distributed

    class FailuresFirst(list):
        def __init__(self, loop):
            super().__init__()

        add = list.append

        def __next__(self):
            for future in self:
                future.exception()  # once it is done
            self.sort(key=lambda future: future.status == "finished")
            return self.pop(0)

    monkeypatch.setattr(distributed, "as_completed", FailuresFirst)
    path = tmp_path / "l.jsonl"
    with pytest.raises(ValueError, match="job 3 is bad"):
        run_jobs(at_work.prepare, 100, at_work.fails, JOBS, scheduler=cluster.scheduler_address, ledger=Ledger(path, "k"))
    assert _sums(Ledger(path, "k").results) == {name: sum for name, sum in SUMS.items() if name != "job 3"}


def test_a_client_of_ones_own_is_left_open(at_work, cluster):
    from distributed import Client

    with Client(cluster) as client:
        assert _sums(run_jobs(at_work.prepare, 100, at_work.work, JOBS, scheduler=client)) == SUMS
        with pytest.raises(ValueError, match="job 3 is bad"):
            run_jobs(at_work.prepare, 100, at_work.fails, JOBS, scheduler=client)
        assert client.submit(sum, [1, 2]).result() == 3


def test_a_dask_cluster_made_for_the_call(at_work):
    pytest.importorskip("distributed")
    found = run_jobs(at_work.prepare, 100, at_work.work, JOBS, workers=1, scheduler="local")
    assert _sums(found) == SUMS
    assert os.getpid() not in {result["pid"] for result in found.values()}


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense", "http://a"])
def test_a_scheduler_that_cannot_be_reached(at_work, address, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(workers, "WAIT_SCHEDULER", 0.2)
    with pytest.raises(UserError, match="cannot be reached") as raised:
        run_jobs(at_work.prepare, 100, at_work.work, JOBS, scheduler=address)
    assert repr(address) in str(raised.value)


def test_a_scheduler_without_workers(at_work, monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(clusters, "WAIT_WORKERS", 0.3)
    with distributed.LocalCluster(n_workers=0, dashboard_address=":0") as empty, pytest.raises(UserError, match="no workers"):
        run_jobs(at_work.prepare, 100, at_work.work, JOBS, scheduler=empty.scheduler_address)


def test_without_dask_it_says_what_to_install(at_work, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=r"pip install .dask\[distributed\]"):
        run_jobs(at_work.prepare, 100, at_work.work, JOBS, scheduler="local")


def test_the_bar_counts_what_was_done_before(at_work, capsys):
    ledger = Ledger()
    ledger.add("job 0", {"sum": 100})
    run_jobs(at_work.prepare, 100, at_work.work, JOBS, workers=1, ledger=ledger, progress="Refits")
    shown = capsys.readouterr()
    assert "Refits" in shown.err and "6/6" in shown.err and not shown.out
