"""The likelihood's kernels under pytest-benchmark, with its statistics and comparisons between runs.

pytest --benchmark-sort=name benchmarks/test_kernels.py

pytest-benchmark is not part of the project's environment; install it beside (``pip install pytest-benchmark``). The test suite does
not collect this folder.
"""

import sys
from pathlib import Path

import pytest

pytest.importorskip("pytest_benchmark")
sys.path.insert(0, str(Path(__file__).parent))
from kernel import versions

SIZES = {"100x40": (100, 40, 2), "1000x40": (1000, 40, 2), "50000x20": (50_000, 20, 2)}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("version", ["scalar", "plain", "integrated", "plain, 2 threads", "integrated, 2 threads"])
def test_kernel(benchmark, version, size):
    clinicians, surveys, _ = SIZES[size]
    call = versions(*SIZES[size]).get(version)
    if call is None:
        pytest.skip("numba has no threads that are safe here")
    call()
    benchmark.group = size
    benchmark.extra_info["rows"] = clinicians * surveys
    benchmark(call)
