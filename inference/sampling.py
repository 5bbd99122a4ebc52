"""Sampling with nutpie: settings of the first try and of further ones, and what an interruption leaves."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from ..datasets.errors import UserError
from ..datasets.memory import available_memory
from .cluster import client_in_use
from .cores import available_cores, one_blas_thread

# From this acceptance target on, as in further tries, trajectories are doubled once more after they turn: the U-turn criterion
# is ruled by the many well-scaled directions and may stop too early for a slow one, such as a standard deviation near zero.
STRICT = 0.9
# Of a leapfrog step, in posterior standard deviations. Studies of few clinicians would meet the target with longer ones, which
# diverge in the narrow tails that such posteriors have; 15 steps of this length are a good trajectory. For strict targets a third.
LONGEST_STEP = 0.3
TWICE = 2  # the draws of a second try where the first failed narrowly: every second is kept
# By which the third try has more draws than are asked for and kept: it is for posteriors that are narrow, long-tailed or of two humps,
# where draws are much alike.
MORE = 6
MOST_NUMBERS = 2.5e8  # that its draws may hold in memory, those among them that are not kept


@dataclass(frozen=True)
class Sampling:
    """Settings of the sampler; see `equipoise.fit` for their meaning."""

    draws: int = 1000
    tune: int = 1000
    chains: int = 4
    seed: int = 0
    target_accept: float = 0.8
    thin: int = 1  # of so many draws made one is kept

    def again(self, tries: int, narrowly: bool, numbers: int) -> Sampling:
        """The settings of the next try after so many.

        Parameters
        ----------
        tries : int
        narrowly : bool
            Whether the last one failed so narrowly that more draws will do (`convergence.is_narrow`).
        numbers : int
            That the model records of a draw.
        """
        room = int(MOST_NUMBERS // (numbers * self.draws * self.chains))
        if tries == 1:
            return replace(self, thin=TWICE) if narrowly and room >= TWICE else self.stricter()
        strict = self if self.thin == 1 else self.stricter()  # as it would be after a second try that was stricter
        return replace(strict.stricter(), tune=2 * self.tune, thin=min(MORE, max(room, 1)))

    def stricter(self) -> Sampling:
        """With a higher acceptance target."""
        return replace(self, target_accept=1 - (1 - self.target_accept) / 5)


def compile_model(pymc_model):
    """Compile once; the result can be sampled again with another acceptance target."""
    import pytensor

    from .compilation import compile_callbacks

    # PyTensor tells of caches it cannot use on some file systems; nothing the user can act on
    # Without fastmath the order of sums is the program's: with it, code that is compiled now and code that comes from
    # the cache differ in their last bits, and so a machine's first run and its second would differ in their draws.
    with warnings.catch_warnings(), pytensor.config.change_flags(numba__fastmath=False, traceback__limit=0):
        warnings.filterwarnings("ignore", category=UserWarning, module="pytensor")
        return compile_callbacks(pymc_model)


def need_memory_here(compiled, settings: Sampling) -> None:
    """Raise `UserError` where there is not the memory for all draws, once as nutpie has them, with those of warm-up, and once as arrays."""
    made = settings.draws + (0 if client_in_use() else settings.tune)  # workers send no warm-up
    free, needed = available_memory(), 16.0 * compiled.n_expanded * made * settings.chains
    if free is not None and needed > free:
        raise UserError(
            f"{settings.chains} chains of {settings.draws} draws of {compiled.n_expanded} numbers each need about {needed / 1e9:.1f} GB of "
            f"memory, and {free / 1e9:.1f} GB are free. Ask for fewer draws or chains, use a machine with more memory, or take a quick "
            'look (`equipoise run --quick`, method = "laplace"), whose draws lie on the disk.'
        )


@one_blas_thread
def well_scaled(compiled, model, study, design=None, threads: int = 1):
    """The compiled model in coordinates in which Laplace's approximation of its posterior is a standard normal.

    Chains then start in its midst and take short trajectories. The draws are those of the model. Where no approximation is
    found it is the compiled model itself.
    """
    from ..models.design import build_design
    from .laplace.laplace import laplace

    found = laplace(compiled, model, study, build_design(model, study)[0] if design is None else design, threads)
    return compiled if found is None else found.sampler()


@one_blas_thread
def scaled_by(compiled, model, study, posterior):
    """The compiled model in coordinates in which draws of an earlier try are about standard normal.

    Where a posterior is far from its approximation, even such draws as have not converged tell more of it. The draws of the next try
    are those of the model.
    """
    from ..models.design import build_design
    from .laplace.laplace import from_draws

    return from_draws(compiled, model, study, build_design(model, study)[0], posterior)


@one_blas_thread
def sample(
    compiled, settings: Sampling, progress: bool = True, cores: int | None = None, source: tuple | None = None,
    meanwhile: Callable[[], object] | None = None, threads: int = 1,
) -> tuple[xr.DataTree, bool]:  # fmt: skip
    """Draws and sampler statistics, and whether the run is complete.

    Ctrl-C stops the chains and keeps what they have after warm-up. ``meanwhile`` is done while they run, and given up by Ctrl-C too.
    A model that was built for ``threads`` has so many for the likelihood of each chain.
    Inside `cluster.on_cluster` chains with a ``source``, the model and the study, are sampled on its workers; the draws are the same.

    Raises
    ------
    KeyboardInterrupt
        If it was pressed before any chain had finished its warm-up.
    """
    import nutpie

    strict = settings.target_accept > STRICT
    made = settings.draws * settings.thin
    how = {
        "draws": made, "tune": settings.tune, "seed": settings.seed, "target_accept": settings.target_accept,
        "max_step_size": LONGEST_STEP / 3 if strict else LONGEST_STEP, "extra_doublings": int(strict), "save_warmup": False,
    }  # fmt: skip
    client = None if source is None else client_in_use()
    if client is not None:
        return _on_workers(client, compiled, settings, source, how, progress, meanwhile, threads)
    cores = cores or min(settings.chains, available_cores())
    with with_threads(compiled, threads):
        running = nutpie.sample(
            compiled, chains=settings.chains, cores=cores, progress_bar=progress, blocking=meanwhile is None, **how
        )
        tree = running if meanwhile is None else _ended(running, meanwhile)
    lengths = np.isfinite(tree["sample_stats"]["energy"].to_numpy()).sum(axis=1)
    if lengths.size == settings.chains and (lengths == made).all():
        return thinned(tree, settings.thin), True
    return thinned(keep_whole_chains(tree, lengths), settings.thin), False


@contextmanager
def with_threads(compiled, threads: int):
    """While inside, each call of a model that was built for several threads (`CapacityModel.build`) uses as many."""
    if threads == 1:
        yield
        return
    use_threads(compiled, threads)
    try:
        yield
    finally:
        use_threads(compiled, 1)


def use_threads(compiled, threads: int) -> None:
    """So many from now on, of a model that was built for several."""
    from ..models.op import THREADS

    given = compiled.shared_data[THREADS]  # where its machine code looks
    given.flags.writeable = True
    given[:] = threads


def _ended(running, meanwhile: Callable[[], object]) -> xr.DataTree:
    """All draws of chains that run in the background, or those there are on Ctrl-C."""
    try:
        meanwhile()
        return running.wait()
    except KeyboardInterrupt:
        return running.abort()
    except BaseException:
        running.cancel()
        raise


def _on_workers(client, compiled, settings: Sampling, source, how: dict, progress: bool, meanwhile, threads: int):
    from .chains import Source, length_of, sample_chains
    from .laplace.coordinates import coordinates_of

    made_from = Source(*source, coordinates_of(compiled), threads)
    found = dict(enumerate(sample_chains(client, made_from, how, settings.chains, compiled.n_expanded, progress, meanwhile)))
    lengths = np.array([length_of(tree)[0] for _, tree in found.values()], int)
    complete = lengths.size == settings.chains and bool((lengths == how["draws"]).all())
    chains, length = largest_whole(lengths)
    groups = {}
    for group in ("posterior", "sample_stats"):
        parts = [found[k][1][group].to_dataset().isel(draw=slice(0, length)) for k in chains]
        numbered = [part.assign_coords(chain=[found[k][0]]) for k, part in zip(chains, parts, strict=True)]
        groups[group] = xr.concat(numbered, "chain", join="override", combine_attrs="override")
    return thinned(xr.DataTree.from_dict(groups), settings.thin), complete


def thinned(tree: xr.DataTree, step: int) -> xr.DataTree:
    """Every so manieth draw; it counts as divergent if one of those that it stands for was."""
    if step == 1:
        return tree
    groups = {name: tree[name].to_dataset() for name in ("posterior", "sample_stats")}
    count = groups["posterior"].sizes["draw"] // step
    diverging = groups["sample_stats"]["diverging"].transpose("chain", "draw").to_numpy()[:, : count * step]
    kept = {name: group.isel(draw=slice(step - 1, count * step, step)) for name, group in groups.items()}
    kept = {name: group.assign_coords(draw=np.arange(count)) for name, group in kept.items()}
    stats = kept["sample_stats"]
    kept["sample_stats"] = stats.assign(diverging=(("chain", "draw"), diverging.reshape(-1, count, step).any(axis=2)))
    return xr.DataTree.from_dict(kept)


def keep_whole_chains(tree: xr.DataTree, lengths: np.ndarray) -> xr.DataTree:
    """Cut an interrupted run to the rectangle of chains x draws that keeps most draws."""
    chains, length = largest_whole(lengths)
    groups = {
        name: tree[name].to_dataset().isel(chain=chains, draw=slice(0, length))
        for name in ("posterior", "sample_stats")
    }
    return xr.DataTree.from_dict(groups)


def largest_whole(lengths: np.ndarray) -> tuple[np.ndarray, int]:
    """Of chains of these lengths, the rectangle of chains x draws that keeps most draws: which chains, and how many of each."""
    order = np.argsort(-lengths, kind="stable")
    kept = [(k + 1) * lengths[order[k]] for k in range(order.size)]
    if not kept or max(kept) == 0:
        raise KeyboardInterrupt("interrupted before any chain had finished its warm-up; nothing to keep")
    count = int(np.argmax(kept)) + 1
    return np.sort(order[:count]), int(lengths[order[count - 1]])
