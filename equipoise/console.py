"""What the commands share: the application, arguments, messages, and what becomes of a user's mistakes."""

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
Quick = Annotated[
    bool, typer.Option("--quick", help="A first look, by an approximation in place of sampling, to results/NAME.quick/; marked as such.")
]
OfQuick = Annotated[bool, typer.Option("--quick", help="Of the quick look in results/NAME.quick/.")]
Share = Annotated[
    bool,
    typer.Option("--share", help="Write a version fit to leave the house too, to NAME.share/: no clinicians, no small groups ([share])."),
]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, metavar="N", help="Processes side by side on this machine. Default: one for each core.")
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler", metavar="ADDRESS", help='Compute on a Dask cluster: its scheduler\'s address ("tcp://host:8786"), or "local".'
    ),
]


def command(example: str) -> Callable:
    """Register a command whose help ends in an example and whose user mistakes end in one message."""

    def register(function: Callable) -> Callable:
        @functools.wraps(function)
        def guarded(*args, **kwargs):
            try:
                return function(*args, **kwargs)
            except UserError as error:
                fail(str(error))
            except BrokenPipeError:
                # The reader of our output has gone (`| head`). Python would complain once more when it flushes.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise typer.Exit(1) from None
            except OSError as error:
                fail(f"{error.filename}: {error.strerror}." if error.filename else error.strerror or str(error))
            except KeyboardInterrupt:
                fail("Interrupted; complete results that were there are unchanged.", INTERRUPTED)

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


def refit(
    file: Path, name: str, find: Callable, settings: dict | Callable, output: Path | None, *,
    scheduler: str | None = None, workers: int | None = None, **how,
) -> None:  # fmt: skip
    from .analysis import Analysis
    from .refitting import Interrupted
    from .refitting import refit as do

    try:
        with Analysis.read(file).computing(scheduler, workers):
            tell(do(file, name, find, output=output, settings=settings, note=say, **how))
    except Interrupted as stop:
        fail(str(stop), INTERRUPTED)


def tell(outcome) -> None:
    """Say what came of a run, its warnings first."""
    from .run import shown

    warn(outcome)
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


def warn(outcome) -> None:
    from .run import shown

    for warning in outcome.warnings:
        typer.secho(f"WARNING: {printable(warning)}", fg=typer.colors.RED, bold=True)
    for path in outcome.kept:
        typer.echo(f"A file of yours had the name of a result and is now {shown(path)}.")


def listed(title: str, lines: list[str]) -> None:
    typer.echo(f"\n{title}")
    for line in lines:
        typer.echo(f"  - {printable(line)}")


def printable(text: str) -> str:
    """Text in which no name of a user's can steer the terminal: control characters as Python writes them."""
    # line breaks, isolates and the joiner of letters and emoji do no harm
    return "".join(
        ascii(c)[1:-1] if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c not in "\n\u2068\u2069\u200d" else c for c in text
    )


def say(text: str) -> None:
    """Progress goes to standard error, so that results on standard output begin with their warnings."""
    typer.echo(printable(text), err=True)


def fail(message: str, code: int = 1) -> NoReturn:
    typer.secho(f"Error: {printable(message)}", err=True, fg=typer.colors.RED)
    raise typer.Exit(code)
