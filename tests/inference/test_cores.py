"""Who uses the cores."""

from threadpoolctl import threadpool_info, threadpool_limits

from equipoise.inference.cores import one_blas_thread


def blas_threads():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_linear_algebra_keeps_to_one_thread_and_has_the_others_back():
    with threadpool_limits(2, "blas"):
        assert one_blas_thread(blas_threads)() == {1}
        assert blas_threads() == {2}
