"""The command line: ``equipoise demo | init | check | run | report | compare``."""

from __future__ import annotations

import functools
import os
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from .datasets.errors import UserError

app = typer.Typer(
    name="equipoise",
    help=(
        "How fast is each clinician's capacity for compassion replenished and depleted, and which programme moves it?"
        " From a survey file to a report: `equipoise init survey.csv`, then `equipoise run analysis.toml`."
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,  # a user's mistake is one message; anything else is a bug and keeps its traceback
)

INTERRUPTED = 130

File = Annotated[Path, typer.Argument(metavar="FILE", help="The analysis file (.toml).", show_default=False)]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        help="Folder for the results, used exactly as named. Default: results/NAME/ beside the analysis file.",
        show_default=False,
    ),
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Do everything again, even what is already done.")]
Share = Annotated[
    bool,
    typer.Option("--share", help="Write a version fit to leave the house too, to NAME.share/: no clinicians, no small groups ([share])."),
]


def _command(example: str) -> Callable:
    """Register a command whose help ends in an example and whose user mistakes end in one message."""

    def register(function: Callable) -> Callable:
        @functools.wraps(function)
        def guarded(*args, **kwargs):
            try:
                return function(*args, **kwargs)
            except UserError as error:
                _fail(str(error))
            except BrokenPipeError:
                # The reader of our output has gone (`| head`). Python would complain once more when it flushes.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise typer.Exit(1) from None
            except OSError as error:
                _fail(f"{error.filename}: {error.strerror}." if error.filename else error.strerror or str(error))
            except KeyboardInterrupt:
                _fail("Interrupted; complete results that were there are unchanged.", INTERRUPTED)

        return app.command(epilog=f"Example: `{example}`")(guarded)

    return register


def _show_version(wanted: bool) -> None:
    if wanted:
        from . import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    pass


@_command("equipoise demo")
def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the analysis file and its results.")
    ] = Path("equipoise-demo"),
    fresh: Fresh = False,
) -> None:
    """Analyse the bundled study of 12 units, and set the estimates beside the truth it was simulated from."""
    from .starter import write_demo

    file, written = write_demo(output)
    _say(f"{'Wrote' if written else 'Using'} {file}.")
    _run(file, None, fresh)


@_command("equipoise init survey.csv")
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
        typer.echo(f"  TODO: {_printable(question)}")
    typer.echo(f"Look it over{' and fill in each TODO' if open_questions else ''}, then: equipoise check {file}")


@_command("equipoise check analysis.toml")
def check(file: File) -> None:
    """Validate an analysis file and say what the study can and cannot tell, without sampling."""
    from .check import check as examine

    found = examine(file)
    typer.echo(f"{file} is valid. Nothing was sampled.")
    _list("The study", found.study)
    _list("What it can tell", found.tells)
    _list("What it cannot tell, or only by its priors", found.cautions or ["Nothing stands out."])
    typer.echo(f"\nNext: equipoise run {file}")


@_command("equipoise run analysis.toml")
def run(
    file: File,
    output: Output = None,
    fresh: Fresh = False,
    doubling: Annotated[
        bool, typer.Option("--doubling", help="Sample twice the draws from another seed too, and see that they say the same.")
    ] = False,
    share: Share = False,
) -> None:
    """Do all that an analysis file asks for: sampling, tables, figures and the report. What is done is kept."""
    if share:
        from .share import ready

        ready(file, output)  # before any sampling
    if not doubling:
        _run(file, output, fresh)
        if share:
            _share(file, output)
        return

    def find(analysis, fit, ledger):
        from .inference.refits.doubling import doubling as twice

        return twice(fit, prob=analysis.spec.report.interval, ledger=ledger)

    _refit(file, "doubling", find, {}, output, once=True, fresh=fresh)
    if share:
        _share(file, output)


@_command("equipoise report analysis.toml")
def report(file: File, output: Output = None, share: Share = False) -> None:
    """Write tables, figures and the report again from saved draws, without sampling."""
    from .run import report as write_again

    if share:
        from .share import ready

        ready(file, output)
    _tell(write_again(file, output=output, note=_say))
    if share:
        _share(file, output)


Workers = Annotated[
    int | None, typer.Option("--workers", min=1, metavar="N", help="Refits side by side. Default: one for each core.")
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler", metavar="ADDRESS", help='A Dask scheduler ("tcp://host:8786"), or "local", in place of processes here.'
    ),
]


@_command("equipoise crossvalidate analysis.toml")
def crossvalidate(
    file: File,
    folds: Annotated[int, typer.Option("--folds", min=2, help="Groups of clinicians, and of units, left out in turn.")] = 10,
    draws: Annotated[int, typer.Option("--draws", min=100, help="Draws, and draws of warm-up, of each of two chains.")] = 500,
    workers: Workers = None,
    scheduler: Scheduler = None,
    output: Output = None,
) -> None:
    """Fit without some clinicians, units and the future, and see how well these are predicted; goes into the report."""
    settings = {"folds": folds, "draws": draws, "tune": draws}

    def find(analysis, fit, ledger):
        from .inference.refits.cross_validation import cross_validate

        return cross_validate(
            fit.model, fit.study, **settings, seed=analysis.sampling["seed"], prob=analysis.spec.report.interval,
            ledger=ledger, workers=workers, scheduler=scheduler, progress="Cross-validation",
        )  # fmt: skip

    _refit(file, "cross_validation", find, settings, output)


@_command("equipoise sensitivity analysis.toml")
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
            estimands=analysis.estimands, delta=analysis.spec.sensitivity.delta, ledger=ledger, workers=workers,
            scheduler=scheduler, progress="Sensitivity",
        )  # fmt: skip

    if only:
        from .inference.refits.variants import check_names

        check_names(only)

    def settings(analysis):
        return {"draws": draws, "interval": analysis.spec.report.interval, "estimands": analysis.estimands}

    _refit(file, "sensitivity", find, settings, output, keep=True)


@_command("equipoise calibrate analysis.toml")
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
            ledger=ledger, workers=workers, scheduler=scheduler, progress="Calibration",
        )  # fmt: skip

    _refit(file, "calibration", find, {}, output, keep=True)


@_command("equipoise reproduce results/analysis")
def reproduce(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="A results folder.", show_default=False)],
    analysis: Annotated[
        Path | None, typer.Option("--analysis", metavar="FILE", help="Where the analysis file lies, if not where it lay.")
    ] = None,
    table: Annotated[Path | None, typer.Option("--table", metavar="FILE", help="Write all numbers compared to a CSV file.")] = None,
) -> None:
    """Make results again from what they carry, and say which numbers differ beyond Monte Carlo error."""
    from .reproduce import reproduce as again

    if table is not None and not table.resolve().parent.is_dir():
        raise UserError(f"there is no folder {table.parent} to write {table.name} into.")
    found = again(results, analysis=analysis, note=_say)
    if table is not None:
        found.table.to_csv(table, index=False)
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


@_command("equipoise compare a.toml b.toml")
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

    outcome = set_side_by_side(files, output=output, note=_say)
    _warn(outcome)
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


def _refit(file: Path, name: str, find: Callable, settings: dict | Callable, output: Path | None, **how) -> None:
    from .refitting import Interrupted, refit

    try:
        _tell(refit(file, name, find, output=output, settings=settings, note=_say, **how))
    except Interrupted as stop:
        _fail(str(stop), INTERRUPTED)


def _run(file: Path, output: Path | None, fresh: bool) -> None:
    from .run import run as do

    _tell(do(file, output=output, fresh=fresh, note=_say))


def _share(file: Path, output: Path | None) -> None:
    from .run import shown
    from .share import share

    outcome = share(file, output=output, note=_say)
    for path in outcome.kept:
        typer.echo(f"A file of yours had the name of a result and is now {shown(path)}.")
    typer.echo(f"Shared version: {shown(outcome.page)}")
    typer.echo(outcome.said)


def _tell(outcome) -> None:
    """Say what came of a run, its warnings first."""
    from .run import shown

    _warn(outcome)
    if outcome.done == "interrupted":
        typer.echo(
            f"Interrupted: the draws so far are in {shown(outcome.folder)}, marked as incomplete; there is no report."
            " Run the command again for complete results."
        )
        raise typer.Exit(INTERRUPTED)
    if outcome.done == "nothing":
        typer.echo("All of it is done already, for these inputs (--fresh does it again).")
    typer.echo(f"Report: {shown(outcome.page)}")
    typer.echo(f"Tables, figures and draws: {shown(outcome.folder)}")


def _warn(outcome) -> None:
    from .run import shown

    for warning in outcome.warnings:
        typer.secho(f"WARNING: {_printable(warning)}", fg=typer.colors.RED, bold=True)
    for path in outcome.kept:
        typer.echo(f"A file of yours had the name of a result and is now {shown(path)}.")


def _list(title: str, lines: list[str]) -> None:
    typer.echo(f"\n{title}")
    for line in lines:
        typer.echo(f"  - {_printable(line)}")


def _printable(text: str) -> str:
    """Text in which no name of a user's can steer the terminal: control characters as Python writes them."""
    # line breaks, isolates and the joiner of letters and emoji do no harm
    return "".join(
        ascii(c)[1:-1] if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c not in "\n\u2068\u2069\u200d" else c for c in text
    )


def _say(text: str) -> None:
    """Progress goes to standard error, so that results on standard output begin with their warnings."""
    typer.echo(_printable(text), err=True)


def _fail(message: str, code: int = 1) -> NoReturn:
    typer.secho(f"Error: {_printable(message)}", err=True, fg=typer.colors.RED)
    raise typer.Exit(code)
