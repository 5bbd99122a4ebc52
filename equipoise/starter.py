"""First drafts of an analysis file: from a data file by guessing, and the demo's."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from .datasets.errors import UserError

NAME = "analysis.toml"
TODO = "TODO"

DEMO = """\
# The demo: a simulated study of two programmes, rolled out unit by unit. Change what you like and run it again with
#   equipoise run analysis.toml
schema = 1

[study]
dataset = "example"                    # bundled, with its truth; a study of your own has `data = "survey.csv"` and
                                       # its columns here: `equipoise init survey.csv` writes such a file

[model]
replenishment = "sleep"                # covariates of log alpha (an R-style formula)
depletion = "workload"                 # covariates of log beta
interventions = "both"                 # let the data tell which lever each programme moves

[sampling]
draws = 1000
tune = 500
chains = 4
seed = 1

[estimands]
horizon = 26.0                         # how far ahead, in weeks: only the reader can say
threshold = 35.0                       # C* under which a clinician counts as at risk, on 0-100

[decisions]
worthwhile = 5.0                       # smallest worthwhile change of C*, on 0-100: only who decides can know it

[forecast]                             # paths with and without each programme, from where the clinicians were then
start = 12.0
horizon = 26.0

[report]
title = "The Equipoise demo: two programmes in twelve units"
"""

_CHOICES = {
    "time_unit": "day, week, month or year: the unit of the time column, and of alpha and beta",
    "holds": (
        '"before" if the values in a row describe the interval that ends at it (answers look back), "after" if the one'
        " that starts there; the choice can change an effect"
    ),
    "missing_covariates": (
        '"error", "carry" (the last value forward; carry_limit sets how far) or "person_mean" (not for interventions)'
    ),
    "repeated": '"error", "mean", "first" or "last": what to do with several rows of one clinician and time',
    "better": '"higher" if more points are the better state, "lower" if they are the worse one; no data can tell',
    "range": "lowest and highest possible score, such as [0, 10]",
    "column": "the column that holds the score",
    "time": "the column with the time of each survey",
    "clinician": "the column with the clinician's id",
}


def write_demo(folder: str | Path) -> tuple[Path, bool]:
    """Put the demo's analysis file into a folder, unless there is one; says whether it was written."""
    file = Path(folder) / NAME
    if file.exists():
        return file, False
    file.parent.mkdir(parents=True, exist_ok=True)
    _write_new(file, DEMO)
    return file, True


def write_analysis(data: str | Path, folder: str | Path | None = None) -> tuple[Path, list[str]]:
    """Write a commented ``analysis.toml`` for a data file.

    Parameters
    ----------
    data : path
        The survey file.
    folder : path, optional
        Where to write; beside the data by default.

    Returns
    -------
    file : Path
    questions : list of str
        What only the user can know, left as TODO in the file.

    Raises
    ------
    UserError
        If there is an ``analysis.toml`` already, or the data cannot be read.
    """
    from .datasets import guess_analysis

    data = Path(data)
    file = (data.parent if folder is None else Path(folder)) / NAME
    guess = guess_analysis(data)
    if file.exists():
        raise UserError(f"{file} exists already and is left as it is; rename it, or name another folder with --output.")
    draft = _Draft()
    draft.write(guess, _relative(data, file.parent))
    file.parent.mkdir(parents=True, exist_ok=True)
    _write_new(file, "\n".join(draft.lines) + "\n")
    return file, draft.questions


class _Draft:
    """Lines of an analysis file, and the questions it leaves open."""

    def __init__(self):
        self.lines: list[str] = []
        self.questions: list[str] = []
        self.heading = ""

    def add(self, *lines: str) -> None:
        self.lines += lines

    def table(self, *path: str) -> None:
        self.heading = "[" + ".".join(_key(part) for part in path) + "]"
        self.add("", self.heading)

    def key(self, name: str, value, comment: str = "") -> None:
        """``name = value  # comment``; without a value a TODO, which `check` reports until it is filled in."""
        if value is None or value == TODO:
            self.questions.append(f"{self.heading} {name}: {_CHOICES[name]}" + (f" ({comment})" if comment else ""))
            self.add(f"# TODO {name}: {_CHOICES[name]}" + (f" ({comment})." if comment else "."))
            value, comment = TODO, ""
        line = f"{name} = {_value(value)}"
        self.add(f"{line:<38} # {_one_line(comment)}" if comment else line)

    def write(self, guess: dict, data: str) -> None:
        self.add(
            "# Written from guesses at the columns: look over every line. Paths are relative to this file.",
            "# Then: equipoise check analysis.toml, and equipoise run analysis.toml.",
            "schema = 1",
        )
        self.table("study")
        self.key("data", data)
        for name in ("clinician", "unit", "time", "time_unit"):
            found = guess[name]
            if name == "unit" and found["value"] is None:
                self.add(f"# unit = \"...\"{'':<26} # optional: ward, team or site; {_one_line(found['reason'])}")
            else:
                self.key(name, found["value"], found["reason"])
        if guess["covariates"]:
            self.key("covariates", list(guess["covariates"]), "for the formulas of [model]; remove what is none")
        for name in ("holds", "missing_covariates", "repeated"):
            if guess[name]["value"] is not None:
                self.key(name, guess[name]["value"], guess[name]["reason"])
        if guess["unused"]:
            unused = "; ".join(f"{_one_line(name)} ({_one_line(why)})" for name, why in guess["unused"].items())
            self.add(f"# Not used: {unused}.")
        self.scores(guess["scores"])
        self.interventions(guess["interventions"])
        self.rest(guess)

    def scores(self, scores: dict) -> None:
        for name, found in scores.items():
            self.table("study", "scores", name)
            low, high = (int(v) if float(v).is_integer() else v for v in found["range"])
            self.key("range", [low, high], f"a guess from the answers: the possible range counts ({found['reason']})")
            self.key("better", found["better"])
        if not scores:
            self.table("study", "scores", "score")
            for name in ("column", "range", "better"):
                self.key(name, TODO)
        self.add("# step = 1                            # distance between possible scores, if not seen in them")

    def interventions(self, interventions: dict) -> None:
        for name, found in interventions.items():
            self.table("interventions", name)
            self.key("column", name, f"{found['reason']}; remove the table if it is no intervention")
        if not interventions:
            self.add(
                "",
                "# [interventions.mindfulness]          # one table for each programme",
                '# column = "mindfulness_on"            # 0/1 or a dose in each row, or:',
                '# spells = "spells.csv"                # clinician (or unit), start, end, dose',
            )

    def rest(self, guess: dict) -> None:
        example = next(iter(guess["covariates"]), "sleep")
        self.table("model")
        self.add(
            f"# replenishment = {_value(example):<21} # covariates of log alpha, as an R-style formula",
            f"# depletion = {_value(example):<25} # covariates of log beta",
            '# design = "parallel_trial"            # if it is not what `equipoise check` recognises from the spells',
            '# randomised = true                    # if who was exposed was drawn by lot',
        )
        self.key("interventions", "both", "the levers they act on: both, replenishment or depletion")
        self.table("sampling")
        self.key("draws", 1000)
        self.key("tune", 1000)
        self.key("chains", 4)
        self.key("seed", 1, "the same seed gives the same draws")
        self.add(
            "",
            "# [decisions]                          # what to choose, in the report: needs",
            "# worthwhile = 5.0                     # the smallest worthwhile change of C*, on 0-100",
            "",
            "# [estimands]                          # what else programmes are judged by: needs",
            "# horizon = 26.0                       # how far ahead, in the time unit",
            "# threshold = 35.0                     # C* under which a clinician counts, on 0-100",
            "",
            "# [forecast]                           # paths with and without each programme",
            "# start = 12.0                         # from this time (or date) on",
            "# horizon = 26.0",
        )
        self.table("report")
        self.key("title", Path(guess["data"]).stem.replace("_", " ").strip() or "Report")


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _value(name)


def _value(value) -> str:
    """A TOML value; JSON's strings, numbers and lists are TOML's too, but for one control character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _one_line(text: str) -> str:
    """Text that cannot break out of a comment."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _relative(path: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive
        return path.resolve().as_posix()


def _write_new(file: Path, text: str) -> None:
    """Write a file that must not exist yet; nothing is left of it if that fails."""
    with file.open("x", encoding="utf-8", newline="\n") as out:
        try:
            out.write(text)
            out.flush()
        except BaseException:
            file.unlink()
            raise
