"""The command line: ``equipoise demo | init | check | run | report | compare``, and those of `refit_commands`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import (
    File,
    Fresh,
    OfQuick,
    Output,
    Quick,
    Scheduler,
    Share,
    Workers,
    command,
    listed,
    printable,
    refit,
    say,
    tell,
    warn,
)
from .console import app as app  # what the entry point runs
from .datasets.errors import UserError


@command("equipoise demo")
def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the analysis file and its results.")
    ] = Path("equipoise-demo"),
    fresh: Fresh = False,
    quick: Quick = False,
) -> None:
    """Analyse the bundled study of 12 units, and set the estimates beside the truth it was simulated from."""
    from .starter import write_demo

    file, written = write_demo(output)
    say(f"{'Wrote' if written else 'Using'} {file}.")
    _run(file, None, fresh, quick=quick)


@command("equipoise init survey.csv")
def init(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="The survey file: .csv, .xlsx, .parquet or .sav.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder for analysis.toml. Default: that of the data."),
    ] = None,
) -> None:
    """Write a commented analysis.toml for a survey file, with best guesses at what its columns mean."""
    from .starter import write_analysis

    file, open_questions = write_analysis(data, output)
    typer.echo(f"Wrote {file}.")
    for question in open_questions:
        typer.echo(f"  TODO: {printable(question)}")
    typer.echo(f"Look it over{' and fill in each TODO' if open_questions else ''}, then: equipoise check {file}")


@command("equipoise check analysis.toml")
def check(file: File) -> None:
    """Validate an analysis file and say what the study can and cannot tell, without sampling."""
    from .check import check as examine

    found = examine(file)
    typer.echo(f"{file} is valid. Nothing was sampled.")
    listed("The study", found.study)
    listed("What it can tell", found.tells)
    listed("What it cannot tell, or only by its priors", found.cautions or ["Nothing stands out."])
    typer.echo(f"\nNext: equipoise run {file}")


@command("equipoise run analysis.toml")
def run(
    file: File,
    output: Output = None,
    fresh: Fresh = False,
    doubling: Annotated[
        bool, typer.Option("--doubling", help="Sample twice the draws from another seed too, and see that they say the same.")
    ] = False,
    quick: Quick = False,
    share: Share = False,
    scheduler: Scheduler = None,
    workers: Workers = None,
) -> None:
    """Do all that an analysis file asks for: sampling, tables, figures and the report. What is done is kept."""
    if quick and (doubling or share):
        raise UserError(
            f"--quick is a first look, and {'--doubling' if doubling else '--share'} is for the full posterior: leave out one of them."
        )
    if share:
        from .share import ready

        ready(file, output)  # before any sampling

    def find(analysis, fit, ledger):
        from .inference.refits.doubling import doubling as twice

        return twice(fit, prob=analysis.spec.report.interval, ledger=ledger)

    if doubling:
        refit(file, "doubling", find, {}, output, once=True, fresh=fresh, scheduler=scheduler, workers=workers)
    else:
        _run(file, output, fresh, quick=quick, scheduler=scheduler, workers=workers)
    if share:
        _share(file, output)


@command("equipoise report analysis.toml")
def report(file: File, output: Output = None, quick: OfQuick = False, share: Share = False) -> None:
    """Write tables, figures and the report again from saved draws, without sampling."""
    from .run import report as write_again

    if share and quick:
        raise UserError("--quick and --share do not go together: a quick look is not for sharing.")
    if share:
        from .share import ready

        ready(file, output)
    tell(write_again(file, output=output, quick=quick, note=say))
    if share:
        _share(file, output)


@command("equipoise compare a.toml b.toml")
def compare(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="Analysis files (.toml), at least two.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Folder for the comparison, used exactly as named. Default: results/compare-A-B/ beside the first file.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Set analyses side by side: how well each predicts, and what each says of the same effects. Runs what is not done."""
    from .compare import compare as set_side_by_side
    from .run import shown

    outcome = set_side_by_side(files, output=output, note=say)
    warn(outcome)
    for left_out, rows in outcome.loo.groupby("unit_left_out", sort=False):
        typer.echo(f"\nLeaving out one {left_out} at a time, {rows['n_left_out'].iloc[0]} in all (higher elpd predicts better):")
        columns = {"analysis": "analysis", "elpd": "elpd", "se": "SE", "elpd_diff": "difference", "se_diff": "its SE",
                   "weight": "weight", "n_high_k": "k > 0.7"}  # fmt: skip
        table = rows.round({"elpd": 1, "se": 1, "elpd_diff": 1, "se_diff": 1, "weight": 2})
        typer.echo(table[list(columns)].rename(columns=columns).to_string(index=False))
    if not outcome.loo.empty:
        from .reports.comparing import READING

        typer.echo(f"\n{READING}")
    for note in outcome.notes:
        typer.echo(note)
    typer.echo(f"\nComparison: {shown(outcome.page)}")
    typer.echo(f"Tables and figures: {shown(outcome.folder)}")


def _run(file: Path, output: Path | None, fresh: bool, **how) -> None:
    from .run import run as do

    tell(do(file, output=output, fresh=fresh, note=say, **how))


def _share(file: Path, output: Path | None) -> None:
    from .run import shown
    from .share import share

    outcome = share(file, output=output, note=say)
    for path in outcome.kept:
        typer.echo(f"A file of yours had the name of a result and is now {shown(path)}.")
    typer.echo(f"Shared version: {shown(outcome.page)}")
    typer.echo(outcome.said)


from . import refit_commands  # noqa: E402, F401 - registers its commands, after those above in the help
