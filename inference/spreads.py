"""The model under the other assumptions on the spread (`CapacityModel.spread`), sampled beside the work on the fit itself."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import replace

import xarray as xr

from ..models.capacity import SPREADS
from .convergence import diagnose
from .over_workers import ClusterLost
from .sampling import Sampling, compile_model, sample, well_scaled

KEPT = ("level", "theta_alpha", "theta_beta")


class OtherSpreads:
    """Refits that show what the lever becomes under them: C*, and the effects on both levers.

    The sampler's chains leave Python alone, so that compiling, deriving and sampling go on at the same time. The draws are those
    that each refit would have had alone.

    Parameters
    ----------
    model : CapacityModel
    study : Study
    progress : bool
    cores : int, optional
    wanted : bool
        Whether there are to be any.
    threads : int
        Of each chain's likelihood.

    Attributes
    ----------
    found : dict of str to Dataset
        By spread, with the largest R-hat and the number of divergences as attributes.
    """

    def __init__(self, model, study, progress: bool, cores: int | None, wanted: bool = True, threads: int = 1):
        self.model, self.study, self.progress, self.cores, self.threads = model, study, progress, cores, threads
        self.others = [spread for spread in SPREADS if spread != model.spread] if wanted else []
        self.compiled: dict[str, object] = {}
        self.restart()

    def restart(self) -> None:
        """Forget what was found, as after another try with other settings."""
        self.found: dict[str, xr.Dataset] = {}
        self.left = list(self.others)

    def stop(self) -> None:
        """Sample no more of them."""
        self.left.clear()

    def prepare(self) -> None:
        """Compile those that are not yet."""
        for spread in self.left:
            if spread not in self.compiled:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)  # cautions were given with the model itself
                    other = replace(self.model, spread=spread)
                    self.compiled[spread] = well_scaled(compile_model(other.build(self.study, self.threads > 1)), other, self.study)

    def beside[T](self, settings: Sampling, work: Callable[[], T]) -> T:
        """What ``work`` gives, done while the next of them is sampled; Ctrl-C, or a cluster that is lost, gives up the rest of
        them and not the work."""
        done: list[T] = []
        if self.left:
            self.prepare()
            spread = self.left.pop(0)
            if self.progress:
                print(f"The lever with spread = {spread!r} ...", flush=True)
            try:
                raw, complete = sample(
                    self.compiled[spread], replace(settings, thin=1), self.progress, self.cores,
                    (replace(self.model, spread=spread), self.study),
                    meanwhile=lambda: done.append(work()), threads=self.threads,
                )
            except (KeyboardInterrupt, ClusterLost) as error:
                complete = False
                if isinstance(error, ClusterLost):
                    print(f"{error} The lever is not shown with other spreads.", file=sys.stderr)
            if complete:
                self.found[spread] = _kept(raw)
            else:
                self.stop()
        return done[0] if done else work()

    def finish(self, settings: Sampling) -> dict[str, xr.Dataset]:
        """Sample what is left, and give all."""
        while self.left:
            self.beside(settings, lambda: None)
        return self.found


def _kept(raw: xr.DataTree) -> xr.Dataset:
    kept = raw["posterior"].to_dataset()[list(KEPT)]
    kept.attrs = {"rhat": float(diagnose(kept)["rhat"].max()), "divergences": int(raw["sample_stats"]["diverging"].sum())}
    return kept
