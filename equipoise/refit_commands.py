"""Commands that refit an analysis many times, or make it again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import File, Output, Scheduler, Workers, command, refit, say
from .datasets.errors import UserError


@command("equipoise crossvalidate analysis.toml")
def crossvalidate(
    file: File,
    folds: Annotated[int, typer.Option("--folds", min=2, help="Groups of clinicians, and of units, left out in turn.")] = 10,
    draws: Annotated[int, typer.Option("--draws", min=100, help="Draws, and draws of warm-up, of each of two chains.")] = 500,
    workers: Workers = None,
    scheduler: Scheduler = None,
    output: Output = None,
) -> None:
    """Fit without some clinicians, units and the future, and see how well these are predicted; goes into the report."""
    asked = {"folds": folds, "draws": draws, "tune": draws}

    def find(analysis, fit, ledger):
        from .inference.refits.cross_validation import cross_validate

        return cross_validate(
            fit.model, fit.study, **asked, seed=analysis.sampling["seed"], prob=analysis.spec.report.interval,
            ledger=ledger, workers=workers or analysis.spec.compute.workers, progress="Cross-validation",
        )  # fmt: skip

    def settings(analysis):
        return asked | {"interval": analysis.spec.report.interval}

    refit(file, "cross_validation", find, settings, output, scheduler=scheduler, workers=workers)


@command("equipoise sensitivity analysis.toml")
def sensitivity(
    file: File,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="NAME", help="One assumption, such as start_free; can be repeated. Earlier ones stay."),
    ] = None,
    draws: Annotated[
        int | None, typer.Option("--draws", min=100, help="Draws, and draws of warm-up, of each chain. Default: half of those of the fit.")
    ] = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    output: Output = None,
) -> None:
    """Fit the model under other assumptions (starts, spreads, priors, readings): do the conclusions hold?"""

    def find(analysis, fit, ledger):
        from .inference.refits.sensitivity import sensitivity as panel

        return panel(
            fit, other=analysis.other_reading, only=only, draws=draws, tune=draws, prob=analysis.spec.report.interval,
            estimands=analysis.estimands, delta=analysis.spec.sensitivity.delta, ledger=ledger,
            workers=workers or analysis.spec.compute.workers, progress="Sensitivity",
        )  # fmt: skip

    if only:
        from .inference.refits.variants import check_names

        check_names(only)

    def settings(analysis):
        return {"draws": draws, "interval": analysis.spec.report.interval, "estimands": analysis.estimands}

    refit(file, "sensitivity", find, settings, output, keep=True, scheduler=scheduler, workers=workers)


@command("equipoise calibrate analysis.toml")
def calibrate(
    file: File,
    replicates: Annotated[int, typer.Option("--replicates", min=20, help="Simulated studies; more can be added later.")] = 100,
    workers: Workers = None,
    scheduler: Scheduler = None,
    output: Output = None,
) -> None:
    """Fit studies simulated on this design, with parameters from the priors: do intervals hold the truth as they say?"""

    def find(analysis, fit, ledger):
        from .inference.refits.calibration import calibrate as simulate_and_fit

        return simulate_and_fit(
            fit.model, fit.study, replicates=replicates, seed=analysis.sampling["seed"],
            ledger=ledger, workers=workers or analysis.spec.compute.workers, progress="Calibration",
        )  # fmt: skip

    refit(file, "calibration", find, {}, output, keep=True, scheduler=scheduler, workers=workers)


@command("equipoise reproduce results/analysis")
def reproduce(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="A results folder.", show_default=False)],
    analysis: Annotated[
        Path | None, typer.Option("--analysis", metavar="FILE", help="Where the analysis file lies, if not where it lay.")
    ] = None,
    table: Annotated[Path | None, typer.Option("--table", metavar="FILE", help="Write all numbers compared to a CSV file.")] = None,
) -> None:
    """Make results again from what they carry, and say which numbers differ beyond Monte Carlo error."""
    from .reproduce import reproduce as again

    if table is not None and (table.is_dir() or not table.resolve().parent.is_dir()):
        raise UserError(f"--table {table}: name a file in a folder that is there.")
    found = again(results, analysis=analysis, note=say)
    if table is not None:
        found.write(table)
    if found.identical:
        typer.echo(f"Identical: all draws are the same to the last bit, and so are all {len(found.table)} numbers.")
        return
    largest = found.table["z"].abs().max()
    typer.echo(
        f"The draws differ. Of {len(found.table)} numbers, {len(found.beyond)} differ beyond Monte Carlo error (largest ratio "
        f"{largest:.1f})."
    )
    if len(found.beyond):
        columns = {"quantity": "quantity", "what": "what", "one": "then", "other": "now", "mcse": "Monte Carlo error", "z": "ratio"}
        worst = found.beyond.reindex(found.beyond["z"].abs().sort_values(ascending=False).index)[list(columns)].rename(columns=columns)
        typer.echo(worst.head(20).to_string(index=False, float_format=lambda v: f"{v:.4g}"))
        raise typer.Exit(1)
