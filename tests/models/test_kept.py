"""Kernels kept on disk: found again, never stale, made again where damaged, and never in the way."""

import importlib.util

import numba
import numpy as np
import pytest

from equipoise.models.likelihood import filter as kalman
from equipoise.models.likelihood import kept, smoother


@pytest.fixture
def kernel(monkeypatch, tmp_path):
    """Makes a kernel from the text of its result, as a new process would meet it; files are kept in ``kernel.folder``."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    file = tmp_path / "source.py"

    def make(result="x + 1"):
        file.write_text(f"def run(x):\n    return {result}\n")
        spec = importlib.util.spec_from_file_location("source", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return kept.njit(nogil=True)(module.run)

    make.folder = tmp_path / "cache"
    return make


def hits(dispatcher) -> int:
    return sum(dispatcher.stats.cache_hits.values())


def files(kernel):
    return [path for path in kernel.folder.rglob("*") if path.is_file()]


def test_a_kernel_is_compiled_once_for_all_processes(kernel):
    first, second = kernel(), kernel()
    assert first(2.0) == second(2.0) == 3.0
    assert (hits(first), hits(second)) == (0, 1)


def test_a_kernel_of_another_source_is_compiled_anew(kernel, monkeypatch):
    assert kernel("x + 1")(2.0) == 3.0
    changed = kernel("x + 2")
    assert changed(2.0) == 4.0 and hits(changed) == 0
    monkeypatch.setattr(kept, "KERNEL_VERSION", kept.KERNEL_VERSION + 1)  # as any other file of the folder makes it
    newer = kernel("x + 2")
    assert newer(2.0) == 4.0 and hits(newer) == 0


@pytest.mark.parametrize("which", ["*.nbi", "*.nbc"])
@pytest.mark.parametrize("content", [b"", b"\x80no such thing"])
def test_a_damaged_file_is_made_again(kernel, which, content):
    kernel()(2.0)
    (damaged,) = kernel.folder.rglob(which)
    damaged.write_bytes(content)
    assert kernel()(2.0) == 3.0
    again = kernel()
    assert again(2.0) == 3.0 and hits(again) == 1


def test_without_a_folder_to_write_to_a_kernel_runs_all_the_same(kernel):
    kernel.folder.write_text("a file in the way")
    assert kernel()(2.0) == 3.0


def test_a_full_disk_is_no_matter(kernel, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    dispatcher = kernel()
    monkeypatch.setattr(dispatcher._cache._cache_file, "save", full)
    assert dispatcher(2.0) == 3.0
    assert not files(kernel)


def test_the_kernels_are_kept():
    for module in (kalman, smoother):
        own = [f for f in vars(module).values() if isinstance(f, numba.core.registry.CPUDispatcher)]
        assert own and all(isinstance(f._cache, kept._Cache) for f in own)
    assert np.isclose(kalman.approach(0.3), 1 - np.exp(-0.3))
