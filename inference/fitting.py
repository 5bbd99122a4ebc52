"""``fit``: from a description and a study to a results tree."""

from __future__ import annotations

import importlib.metadata
import json
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

from ..datasets.errors import UserError, nearest
from ..models.design import build_design
from ..models.exposure import exposed_clinicians
from ..models.priors import priors_in_force
from .approximate import approximate
from .cluster import takes_scheduler
from .convergence import ESS_LIMIT, RHAT_LIMIT, diagnose, is_narrow, needs_another_try, problems, weighted
from .cores import available_cores
from .derive import Draws, derive, latent_paths, model_coordinates, panel_of, sizes_of, survey_log_likelihood
from .options import study_columns
from .over_workers import ClusterLost
from .results import DOUBT, SCHEMA, Fit
from .sampling import Sampling, compile_model, need_memory_here, sample, scaled_by, well_scaled
from .spreads import OtherSpreads
from .store import bytes_on_disk, need_room

METHODS = ("nuts", "laplace")
TRIES = 3
VERSIONED = ("equipoise", "pymc", "pytensor", "nutpie", "numba", "arviz", "numpy", "pandas", "xarray")


@takes_scheduler
def fit(
    model, study, *, draws: int = 1000, tune: int = 1000, chains: int = 4, seed: int | None = None,
    target_accept: float = 0.8, compare_spreads: bool = False, progress: bool = True, cores: int | None = None,
    retry_above: float = RHAT_LIMIT, method: str = "nuts", scheduler=None, workers: int | None = None,
    threads: int = 1,
) -> Fit:  # fmt: skip
    """Estimate alpha, beta and C* of every clinician and unit.

    Parameters
    ----------
    model : CapacityModel
    study : Study
    draws, tune, chains : int
        Draws kept and warm-up draws of each chain, and the number of chains.
    seed : int, optional
        The same seed gives the same draws on the same kind of machine. Without one, a seed is drawn and recorded.
    target_accept : float
        Acceptance target of NUTS, between 0 and 1. If draws diverge, R-hat passes `retry_above` or less than a tenth of the draws
        is effective, a second try is made with 1 - (1 - target_accept) / 5 and trajectories of twice the length; where it is R-hat alone,
        and by little, with twice the draws, of which every second is kept. If need be a third one follows that is as much stricter again,
        with twice the warm-up, which makes six times the draws and keeps every sixth (fewer where they would fill the memory).
    compare_spreads : bool
        Fit the model again under the other assumptions on the spread (`CapacityModel.spread`), so that `Fit.lever` can
        show what the lever becomes under them. Nothing is done where no intervention has both levers.
    progress : bool
        Show a progress bar.
    cores : int, optional
        Chains run side by side; the draws do not depend on it.
    retry_above : float
        R-hat from which another try is made, where fewer draws than are published are wanted.
    method : {"nuts", "laplace"}
        "laplace" is a quick look, see `approximate.approximate`: one chain of ``draws`` independent draws from an approximation,
        with a Pareto k that says when to distrust it. ``tune``, ``chains``, ``target_accept`` and ``compare_spreads`` have no
        meaning then, and all that is made of it is marked as approximate.
    scheduler : str or dask.distributed.Client, optional
        A Dask scheduler's address (``tcp://host:8786``), or "local" for a cluster on this machine: chains are sampled, and quantities
        derived, on its workers. The draws are the same. With "local", a script calls this below ``if __name__ == "__main__":``, since
        its processes import the script. See `on_cluster`.
    workers : int, optional
        Processes of a "local" cluster; default: one for each core.
    threads : int
        That each chain of NUTS shares its clinicians out over; the draws do not depend on it. Worth it for thousands of clinicians where
        there are more cores than chains; on a machine that has other work to do it costs time. Where numba has neither OpenMP nor TBB it
        is one.

    Returns
    -------
    Fit
        With ``warnings`` where convergence failed, and ``complete`` False where Ctrl-C cut it short; of a quick look they say that
        it is one, and first of all where it cannot be trusted.

    Raises
    ------
    UserError
        Before any sampling, for settings, formulas, priors or interventions that do not fit, and for more draws than memory or the disk
        has room for.
    """
    settings = _settings(draws, tune, chains, seed, target_accept)
    _whole("threads", threads, 1)
    if method not in METHODS:
        raise UserError(f"method must be {' or '.join(map(repr, METHODS))}; got {method!r}.{nearest(str(method), METHODS)}")
    pymc_model = model.build(study, threads > 1 and method == "nuts")
    cautions = model.cautions(study)
    if progress:
        print("Compiling the model (up to a minute the first time) ...", flush=True)
    design = build_design(model, study)[0]
    if method == "laplace":
        settings = replace(settings, tune=0, chains=1)
    # a further try's beside those of the one before; a quick look's by recording and by deriving, and its proposals
    need_room(Path(tempfile.gettempdir()), 2 * bytes_on_disk(sizes_of(design, settings.chains, settings.draws)))
    compiled = compile_model(pymc_model)
    if method == "nuts":
        need_memory_here(compiled, settings)
    started = time.perf_counter()
    if method == "laplace":
        raw, quality, found = approximate(compiled, model, study, design, settings)
        result = _Derived(raw, model, study, settings)
        result.diagnostics = weighted(result.diagnostics, quality["effective"])
        how = quality | {"tries": 1, "seconds": round(time.perf_counter() - started, 2)}
        return _fit(result, result.tree(pymc_model), settings, how, True, found, cautions)
    scaled = well_scaled(compiled, model, study, design, available_cores())
    wanted = compare_spreads and "intervention_two_levers" in pymc_model.coords
    spreads = OtherSpreads(model, study, progress, cores, wanted, threads)
    beside = {"meanwhile": spreads.prepare} if spreads.left else {}
    raw, complete = sample(scaled, settings, progress, cores, (model, study), threads=threads, **beside)
    seconds = time.perf_counter() - started
    if not complete:
        spreads.stop()
    result = spreads.beside(settings, lambda: _Derived(raw, model, study, settings))
    tries, stopped = 1, ""
    # with so few draws R-hat says little, and that they are few is said already
    drawn = settings.draws * settings.chains
    enough = drawn >= ESS_LIMIT or result.divergences
    while complete and enough and tries < TRIES and needs_another_try(result.diagnostics, result.divergences, retry_above, drawn):
        narrowly = is_narrow(result.diagnostics, result.divergences, retry_above, drawn)
        harder = settings.again(tries, narrowly, compiled.n_expanded)
        if progress:
            print(
                f"{result.divergences} divergent draws, largest R-hat {result.diagnostics['rhat'].max():.3f}: another try with "
                f"acceptance target {harder.target_accept:g}{', one draw kept of every ' + str(harder.thin) if harder.thin > 1 else ''}."
            )
        started, reason = time.perf_counter(), "was interrupted"
        try:
            # in coordinates that the draws there are ask for
            rescaled = scaled_by(compiled, model, study, result.posterior) or scaled
            again, whole = sample(rescaled, harder, progress, cores, (model, study), threads=threads)
        except (KeyboardInterrupt, ClusterLost) as error:
            whole, reason = False, f"failed ({str(error).removesuffix('.')})" if isinstance(error, ClusterLost) else reason
        seconds += time.perf_counter() - started
        if not whole:
            stopped = f"Another try {reason}; these are the draws of the one before."
            break
        try:
            result = _Derived(again, model, study, harder)
        except UserError as error:  # no room on the disk
            stopped = f"Another try failed ({str(error).removesuffix('.')}); these are the draws of the one before."
            break
        settings, tries = harder, tries + 1
        spreads.restart()
    found = problems(result.diagnostics, result.divergences, result.draws.chains * result.draws.draws)
    if not complete:
        found.insert(0, "INCOMPLETE: the run was interrupted; these are the draws it had, not the draws asked for.")
    elif found and stopped:
        found.insert(0, "NOT CONVERGED: " + stopped)
    elif found and tries == TRIES:
        found.insert(0, "NOT CONVERGED after three tries, with a higher acceptance target and more draws; do not publish these numbers.")
    how = {"method": method, "tries": tries, "seconds": round(seconds, 2)}
    tree = spreads.beside(settings, lambda: result.tree(pymc_model))
    for spread, kept in spreads.finish(settings).items():
        tree[f"spread_{spread}"] = kept
    return _fit(result, tree, settings, how, complete, found, cautions)


def _fit(result: _Derived, tree: xr.DataTree, settings: Sampling, how: dict, complete: bool, found: list[str], cautions: list[str]) -> Fit:
    """The results tree with what is to be known of it; what was not expected of it is said aloud."""
    model, study = result.model, result.study
    for text in found:
        if how["method"] != "laplace" or text.startswith(DOUBT):
            warnings.warn(text, UserWarning, stacklevel=4)  # past `fit`, and what gives it a cluster
    tree.attrs["equipoise"] = json.dumps(
        {
            "schema": SCHEMA,
            "model": model.to_dict(),
            "equations": model.equations(study),
            "priors": {name: prior.to_dict() for name, prior in priors_in_force(model, study).items()},
            "study_fingerprint": study.fingerprint,
            "study": _study_facts(study, model),
            "sampling": vars(settings) | how,
            "complete": complete,
            "warnings": found,
            "cautions": cautions,
            "versions": {name: importlib.metadata.version(name) for name in VERSIONED},
        }
    )
    return Fit(tree, study)


def _settings(draws, tune, chains, seed, target_accept) -> Sampling:
    for name, value, least in (("draws", draws, 1), ("tune", tune, 1), ("chains", chains, 1)):
        _whole(name, value, least)
    if not 0.5 <= target_accept < 1:
        raise UserError(f"target_accept must lie between 0.5 and 1; got {target_accept!r}.")
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
    _whole("seed", seed, 0)
    return Sampling(int(draws), int(tune), int(chains), int(seed), float(target_accept))


def _whole(name: str, value, least: int) -> None:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
        raise UserError(f"{name} must be a whole number of at least {least}; got {value!r}.")


class _Derived:
    """Draws of one try with the quantities derived from them."""

    def __init__(self, raw: xr.DataTree, model, study, settings: Sampling):
        self.model, self.study, self.seed = model, study, settings.seed
        posterior = raw["posterior"].to_dataset()
        self.posterior = posterior[[name for name in posterior.data_vars if "chain" in posterior[name].dims]]
        stats = raw["sample_stats"].to_dataset()
        # netCDF would turn the None of a draw without a message into the text "nan"
        self.stats = stats.map(lambda values: values.fillna("") if values.dtype == object else values)
        self.draws = Draws.of(self.posterior, model, study)
        rng = np.random.default_rng([self.seed, 1])
        derived, contrasts, self.individual, self.log_likelihood = derive(self.draws, rng)
        coords = model_coordinates(self.draws)
        axes = {"chain": np.arange(self.draws.chains), "draw": np.arange(self.draws.draws)}
        self.posterior = self.posterior.assign_coords(axes).assign(derived)
        self.posterior = self.posterior.assign_coords(
            {dim: np.array(values, object if isinstance(values[0], str) else None) for dim, values in coords.items()
             if dim in self.posterior.dims}
        )  # fmt: skip
        self.contrasts = xr.Dataset(contrasts, coords=axes)
        if contrasts:
            self.contrasts = self.contrasts.assign_coords(intervention=np.array(coords["intervention"], object))
        self.diagnostics = diagnose(self.posterior, self.contrasts)
        self.divergences = int(self.stats["diverging"].sum())

    def tree(self, pymc_model) -> xr.DataTree:
        study, design = self.study, self.draws.design
        panel = panel_of(study, self.seed)
        some, deviations = self.draws, self.posterior["level_deviation"]
        if panel is not None:
            some = Draws.of(self.posterior, self.model, study, panel)
            deviations = deviations.isel(clinician=panel)
        paths, replicated = latent_paths(some, deviations.to_numpy(), np.random.default_rng([self.seed, 2]))
        surveys, occasions = study.surveys, study.occasions
        at = surveys["occasion"].to_numpy()
        observed = xr.Dataset({"scores": (("survey",), design.survey_score)})
        constant = xr.Dataset(
            {
                "survey_clinician": (("survey",), occasions["clinician"].to_numpy()[at]),
                "survey_time": (("survey",), occasions["time"].to_numpy(float)[at]),
                "survey_indicator": (("survey",), design.survey_indicator),
                "survey_repeats": (("survey",), design.survey_repeats),
                "clinician_unit": (("clinician",), design.unit_code),
                "unit_name": (("unit",), np.array(study.units, object)),
                **({} if panel is None else {"panel": (("clinician",), np.isin(np.arange(study.n_clinicians), panel).astype(np.int8))}),
                "exposed": (("clinician", "intervention"), exposed_clinicians(study).astype(np.int8)),
                "spell_clinician": (("spell",), study.spells["clinician"].to_numpy(int)),
                "spell_intervention": (("spell",), study.spells["intervention"].to_numpy(int)),
                "spell_start": (("spell",), study.spells["start"].to_numpy(float)),
                "spell_end": (("spell",), study.spells["end"].to_numpy(float)),
                "spell_dose": (("spell",), study.spells["dose"].to_numpy(float)),
                "term_scale": (("term",), design.terms.scale),
                "moderation_scale": (("moderation",), design.moderation.scale),
                **{
                    # not under its own name, which may hold a slash
                    f"column_{k}": (("clinician",), values, {"name": name})
                    for k, (name, values) in enumerate(study_columns(study).items())
                    if name != "unit"
                },
            }
        )
        labels = {
            dim: self.posterior[dim].to_numpy() for dim in ("clinician", "unit", "intervention", "term", "moderation")
            if dim in self.posterior.coords
        }  # fmt: skip
        number = np.arange(design.survey_score.size)
        observed = observed.assign_coords(survey=number)
        constant = constant.assign_coords(survey=number, **labels)
        axes = {"chain": self.posterior["chain"], "draw": self.posterior["draw"]}
        clinicians = {"clinician": self.posterior["clinician"].to_numpy()}
        groups = {
            "posterior": self.posterior,
            "sample_stats": self.stats,
            "observed_data": observed,
            "constant_data": constant,
            "log_likelihood": xr.Dataset(
                {"scores": self.log_likelihood}, coords=axes | clinicians
            ),
            "log_likelihood_survey": survey_log_likelihood(some),
            "log_prior": log_prior(self.draws),
            "posterior_predictive": replicated,
            "latent_capacity": paths,
            "contrasts": self.contrasts,
            "individual": xr.Dataset(
                self.individual, coords=axes | {n: v for n, v in labels.items() if n in ("clinician", "intervention")}
            ),
            "diagnostics": xr.Dataset.from_dataframe(self.diagnostics.set_index("quantity")),
        }
        return xr.DataTree.from_dict(groups)


def log_prior(draws: Draws) -> xr.Dataset:
    """Log prior density of each sampled parameter that has a prior of its own (not of standardised effects)."""
    from ..models.parameters import parameter_table

    table = parameter_table(draws.model, draws.study, draws.design)
    return xr.Dataset(
        {
            p.name: (
                ("chain", "draw", *(p.dims[:-1] if p.prior.family == "dirichlet" else p.dims)),
                p.prior.log_density(draws.values[p.name]),
            )
            for p in table
            if not p.latent
        },
        coords={"chain": np.arange(draws.chains), "draw": np.arange(draws.draws)},
    )


def _study_facts(study, model) -> dict:
    """What tables, figures and the report need to know of the study, in plain values."""
    from ..datasets.describe import describe

    secular, _ = model.resolve_secular(study, model.study_designs(study))
    return {
        "time_unit": study.time_unit,
        "origin": None if study.origin is None else study.origin.isoformat(),
        "holds": study.holds,
        "scores": {
            name: {"range": list(s.range), "better": s.better, "step": s.step, "step_source": study.step_source[name]}
            for name, s in study.scores.items()
        },
        "interventions": list(study.interventions),
        "covariates": list(study.covariates),
        "designs": [found.summary(secular) for found in model.study_designs(study).values()],
        "secular": secular,
        "description": describe(study),
    }
