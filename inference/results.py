"""The result of a fit: one ``xarray.DataTree``, its tables, and how it is saved and loaded."""

from __future__ import annotations

import io
import json
import os
import shutil
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from ..datasets.errors import UserError
from ..models.capacity import CapacityModel
from ..models.priors import Prior, priors_in_force
from . import tables
from .cluster import locks_of_this_process
from .convergence import SAMPLE, measures, weighted
from .decisions import decisions
from .estimands import estimands
from .forecast import forecast
from .lever import ZEROS, lever
from .panel import panel_tree
from .psis import psis
from .store import load_large, save_large

SCHEMA = 2
DOUBT = "DO NOT TRUST"  # how a quick look begins what it says of itself where its weights are bad


class Fit:
    """Posterior draws of a model on a study.

    Made by `equipoise.fit` or `equipoise.load`.

    Attributes
    ----------
    tree : xarray.DataTree
        Groups posterior, sample_stats, observed_data, constant_data, log_likelihood (clinicians),
        log_likelihood_survey, log_prior, posterior_predictive, latent_capacity, contrasts, diagnostics; every ArviZ function takes it.
    study : Study or None
        None where results were loaded without it.
    whole : Fit
        The fit that this is a part of (see `panel`), or itself.
    members : int array or None
        Of a part, the codes of its clinicians in the whole.
    """

    def __init__(self, tree: xr.DataTree, study=None):
        self.tree = tree
        self._study = study
        self.whole, self.members = self, None
        self.facts: dict = json.loads(tree.attrs["equipoise"])

    @property
    def study(self):
        if self._study is None:
            raise UserError("these results were loaded without their study: give it, as in load(path, study).")
        return self._study

    @cached_property
    def model(self) -> CapacityModel:
        return CapacityModel.from_dict(self.facts["model"])

    @cached_property
    def priors(self) -> dict[str, Prior]:
        """The priors in force by parameter; results of earlier versions need their study for it."""
        stored = self.facts.get("priors")
        if stored is None:
            return priors_in_force(self.model, self.study)
        return {name: Prior.from_dict(prior) for name, prior in stored.items()}

    @cached_property
    def panel(self) -> Fit:
        """The fit, cut to the clinicians whose paths and replicated answers were kept; of most studies the fit itself."""
        cut = panel_tree(self.tree)
        if cut is None:
            return self
        tree, members = cut
        others = np.setdiff1d(np.arange(self.tree["posterior"].sizes["clinician"]), members)
        part = Fit(tree, None if self._study is None else self._study.without(others))
        part.whole, part.members = self, members
        return part

    @property
    def complete(self) -> bool:
        return self.facts["complete"]

    @property
    def warnings(self) -> list[str]:
        """What stands at the head of every output: failed convergence, an interrupted run."""
        return self.facts["warnings"]

    @cached_property
    def diagnostics(self) -> pd.DataFrame:
        """R-hat, bulk and tail effective sample size of every parameter and derived quantity."""
        return self.tree["diagnostics"].to_dataset().to_dataframe().reset_index()

    @cached_property
    def survey_weights(self) -> tuple:
        """Log weights of leaving out each answer, their Pareto k and the relative efficiency; see `psis.psis`."""
        return psis(self.tree["log_likelihood_survey"]["scores"].transpose(*SAMPLE, "survey").to_numpy())

    @property
    def approximate(self) -> bool:
        """Whether the draws are those of a quick look (`equipoise.fit` with ``method="laplace"``)."""
        return self.facts["sampling"].get("method") == "laplace"

    @property
    def doubtful(self) -> bool:
        """Whether something is wrong with the draws themselves; that a quick look is one is nothing wrong."""
        return any(text.startswith(DOUBT) for text in self.warnings) if self.approximate else bool(self.warnings)

    @property
    def weighting_loss(self) -> float:
        """By how much Monte Carlo errors exceed those of as many draws without weights."""
        if not self.approximate:
            return 1.0
        return max(1.0, self.tree["posterior"].sizes["draw"] / self.facts["sampling"]["effective"]) ** 0.5

    def measures(self, draws: np.ndarray) -> pd.DataFrame:
        """`convergence.measures` of quantities worked out from every draw (chains, draws, quantities)."""
        found = measures(draws)
        return weighted(found, self.facts["sampling"]["effective"]) if self.approximate else found

    @property
    def divergences(self) -> int:
        return int(self.tree["sample_stats"]["diverging"].sum())

    def population(self, prob: float = 0.89) -> pd.DataFrame:
        """Population parameters, covariate effects and the layers of spread; see `tables.population`."""
        return tables.population(self, prob)

    def units(self, prob: float = 0.89) -> pd.DataFrame:
        """alpha, beta, C* and half-life of every unit; see `tables.units`."""
        return tables.units(self, prob)

    def clinicians(self, prob: float = 0.89) -> pd.DataFrame:
        """alpha, beta, C* and half-life of every clinician; see `tables.clinicians`."""
        return tables.clinicians(self, prob)

    def interventions(self, prob: float = 0.89) -> pd.DataFrame:
        """Effects of every intervention on alpha, beta and C*; see `tables.interventions`."""
        return tables.interventions(self, prob)

    def lever(self, prob: float = 0.89, zeros=ZEROS) -> pd.DataFrame:
        """Whether each intervention works mostly by replenishment or by slowing depletion; see `lever.lever`."""
        return lever(self, prob, zeros)

    def decisions(self, worthwhile: float, **options) -> pd.DataFrame:
        """Programmes against each other and against none, given the smallest worthwhile change; see `decisions.decisions`."""
        return decisions(self, worthwhile, **options)

    def estimands(self, **asked) -> pd.DataFrame:
        """What programmes are worth, standardised over clinicians; see `estimands.estimands`."""
        return estimands(self, **asked)

    def forecast(self, *, start, horizon: float, **options) -> pd.DataFrame:
        """Expected paths with and without each programme, or under a plan; see `forecast.forecast`."""
        return forecast(self, start=start, horizon=horizon, **options)

    def checks(self, prob: float = 0.89, only=None, evidence=None) -> dict:
        """Checks of the fit by name, each a `checks.Check`; see `checks.assess`."""
        from .checks import assess

        return assess(self, prob, evidence, only)

    def save(self, path) -> Path:
        """Write to netCDF: aside first, then moved into place, so that no half-written file is ever left.

        Draws of single clinicians, where there are many, go to a Zarr folder beside it (``posterior.zarr`` of ``posterior.nc``).
        Returns the path. `equipoise.load` reads both back.
        """
        path = Path(path)
        aside, folder = path.with_name(f".{path.name}.{os.getpid()}.part"), folder_of(path)
        aside_folder = folder.with_name(f".{folder.name}.{os.getpid()}.part")
        try:
            small = save_large(self.tree, aside_folder)
            # In memory first: HDF5 that writes to a full disk brings the whole process down.
            content = io.BytesIO()
            with locks_of_this_process():
                small.to_netcdf(content, engine="h5netcdf")
            content.seek(0)
            with aside.open("wb") as file:
                shutil.copyfileobj(content, file, 1 << 20)
            if folder.is_dir():
                shutil.rmtree(folder)
            if aside_folder.is_dir():
                os.replace(aside_folder, folder)
            os.replace(aside, path)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror or error}") from error
        finally:
            aside.unlink(missing_ok=True)
            shutil.rmtree(aside_folder, ignore_errors=True)
        return path

    def __repr__(self):
        sampling = self.facts["sampling"]
        sizes = self.tree["posterior"].sizes
        state = ", a quick look" if self.approximate else "" if self.complete else ", incomplete"
        head = "".join(f"\n  ! {text}" for text in self.warnings)
        return (
            f"<Fit: {sizes['clinician']} clinicians, {sizes['unit']} units, "
            f"{sizes['chain']} x {sizes['draw']} draws{state}, seed {sampling['seed']}>{head}"
        )


def folder_of(path: Path) -> Path:
    """Where the draws of single clinicians of a large study lie beside the rest."""
    return Path(path).with_suffix(".zarr")


def load(path, study=None, model: CapacityModel | None = None) -> Fit:
    """Read saved results.

    Parameters
    ----------
    path : path
        A file written by `Fit.save`.
    study : Study, optional
        If given, must be the study that was fitted.
    model : CapacityModel, optional
        If given, must be the description that was fitted.

    Raises
    ------
    UserError
        For a missing, truncated or foreign file, another study, or a changed description.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no file {path}.")
    facts = _facts(path)
    tree = _tree(path)
    if study is not None and study.fingerprint != facts["study_fingerprint"]:
        raise UserError(
            f"{path} holds results of another study (its fingerprint is {facts['study_fingerprint'][:12]}, "
            f"the given study's is {study.fingerprint[:12]}). Load it with its own study, or fit this one."
        )
    if model is not None and model.to_dict() != facts["model"]:
        changed = [name for name, value in model.to_dict().items() if facts["model"].get(name) != value]
        raise UserError(f"{path} was fitted with another model: {', '.join(changed)} differ. Fit the changed model.")
    return Fit(tree, study)


# What every version of this schema has written, whatever the model.
_FACTS = {"model": dict, "study_fingerprint": str, "study": dict, "sampling": dict, "complete": bool, "warnings": list}
_GROUPS = (
    "posterior", "sample_stats", "observed_data", "constant_data", "log_likelihood", "log_likelihood_survey",
    "posterior_predictive", "latent_capacity", "contrasts", "diagnostics",
)  # fmt: skip


def _facts(path: Path) -> dict:
    """What a file says of itself, before anything else of it is believed."""
    import h5py

    try:
        # h5py first: h5netcdf fails on a truncated file once more while it cleans up, with a traceback that nobody can catch
        with h5py.File(path, "r") as file:
            stated = file.attrs.get("equipoise")
    except Exception as error:  # a broken file can break the library in any way
        raise _unreadable(path, error) from None
    if stated is None:
        raise UserError(f"{path} is a netCDF file, but not one written by equipoise.")
    try:
        facts = json.loads(stated)
    except (TypeError, ValueError) as error:
        raise _unreadable(path, error) from None
    if not isinstance(facts, dict):
        raise _unreadable(path, "what it says of itself is no object")
    if facts.get("schema") != SCHEMA:
        raise UserError(f"{path} has schema {facts.get('schema')!r}; this version of equipoise reads schema {SCHEMA}.")
    lacking = [name for name, kind in _FACTS.items() if not isinstance(facts.get(name), kind)]
    if lacking:
        raise _unreadable(path, f"without {', '.join(lacking)}")
    return facts


def _tree(path: Path) -> xr.DataTree:
    try:
        with xr.open_datatree(path, engine="h5netcdf") as opened:
            tree = opened.load()
    except Exception as error:  # as above
        raise _unreadable(path, error) from None
    if folder_of(path).is_dir():
        try:
            for group, variables in load_large(folder_of(path)).items():
                tree[group] = tree[group].to_dataset().assign(variables)
        except Exception as error:  # as above
            raise _unreadable(folder_of(path), error) from None
    lacking = [name for name in _GROUPS if name not in tree.children]
    if not lacking and "alpha" not in tree["posterior"]:
        raise _unreadable(path, f"without the folder {folder_of(path).name} that belongs beside it")
    if lacking:
        raise _unreadable(path, f"without the group {', '.join(lacking)}")
    return tree


def _unreadable(path: Path, why) -> UserError:
    told = " ".join(str(why).split()) or type(why).__name__
    return UserError(f"{path} cannot be read as results ({told}); it may be truncated. Run the analysis again.")
