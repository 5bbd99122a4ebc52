"""Whether the conclusions hold under other assumptions: the sensitivity panel as a check."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from ..convergence import REFIT_RHAT, RHAT_LIMIT
from .check import Check, not_done
from .drawing import FIRST, few_ticks, grid_colour, muted, rows, shortened

TITLE = "Do the conclusions hold under other assumptions?"
NONE = "no programme"
SHOWN = 2 * (RHAT_LIMIT - 1) + 1  # R-hat of a number that is shown (a refit has half the draws); REFIT_RHAT for any other
DIVERGENT = 0.01  # share of its draws
NO_EFFECT = {"ratio_alpha": 1.0, "ratio_beta": 1.0}
MOVED = 1.0  # posterior standard deviations of the fit by which C* may move without a word
DOUBTS = ("sceptical",)  # assumptions that shrink effects whatever the data say, and so decide only where a conclusion turns
UNLIKELY = 0.25  # probability as fitted of a direction that another assumption must not make known
NOISE = 2.0  # Monte Carlo errors by which a probability must pass its limit
MOST_PANELS = 5
KINDS = {
    "turns": "A conclusion turns", "weakens": "A conclusion weakens", "moves": "The population moves",
    "appears": "A direction that is not known as fitted is known",
}  # fmt: skip


def check(fit, prob: float, evidence: dict | None) -> Check:
    """The estimands under each other assumption; see `refits.sensitivity`.

    A conclusion is a direction that is known at the interval's probability. It turns where the other direction is the more
    probable one under another assumption, or where a direction is known that had less than one chance in four as fitted; it weakens
    where it is not known any more, by more than Monte Carlo error; where a direction becomes known, it is told. C* moves where its
    median shifts by more than one posterior standard deviation; where there is no programme, so does the half-life.

    Passes where nothing turns, weakens or moves under assumptions that could be made (the others show the size of a known mistake;
    sceptical priors shrink by intent, and decide only where a conclusion turns) and whose refit converged: R-hat at most 1.02 of what
    is shown and 1.05 of anything, at most 1 % of draws divergent.
    """
    if evidence is None:
        return not_done("sensitivity", TITLE, "Not done: `equipoise sensitivity` fits the model under other assumptions.")
    base, *others = evidence["variants"]
    made = [v for v in others if "rows" in v]
    bad = [v for v in made if not converged(v)]
    judged = [v for v in made if v not in bad]
    shifted = [_shifted(base, entry) for entry in evidence["dropout"] if "delta" in entry]
    found = {kind: {} for kind in KINDS}
    for variant in [*judged, *shifted]:
        for kind, what in judge(base, variant, evidence["prob"]):
            found[kind].setdefault(variant["words"], []).append(what)
    believed = {v["words"] for v in [*others, *shifted] if v["believed"]}
    passed = not any(decides(base, v, evidence["prob"]) for v in [*judged, *shifted])
    table = _table([*evidence["variants"], *shifted])

    said = [f"Fitted anew under {len(made)} other assumption{'' if len(made) == 1 else 's'}."]
    for kind, label in KINDS.items():
        for words, what in found[kind].items():
            mark = "" if words in believed else " (a known mistake, shown for its size)"
            said.append(f"{label} with {words}{mark}: {', '.join(what[:4])}{' and more' if len(what) > 4 else ''}.")
    if judged and not found["turns"] and not found["weakens"]:
        known = any(_side(r, evidence["prob"]) for r in base["rows"])
        said.append("No direction that is known changes." if known else "No direction of an effect is known as fitted.")
    said += _largest(base, judged)
    said += [_who(fit, v) for v in made if "clinicians" in v]
    said += [f"Not done, {v['words']}: {v['why_not'].rstrip('.')}." for v in others if "why_not" in v]
    if bad:
        said.append(f"Not converged, and not judged: {', '.join(v['words'] for v in bad)}.")
    said += [_dropped(entry) for entry in evidence["dropout"]]
    caption = (
        "One line for each assumption: median and interval; pale where the refit did not converge. Band: the interval as fitted; dashed: "
        "no effect. Panels are as wide as assumptions that could be made ask for; what runs off them is in the table. Refits have fewer "
        "draws than the fit."
    )
    height = 1.0 + 0.22 * table["assumption"].nunique()
    return Check("sensitivity", TITLE, passed if judged else None, " ".join(said), table,
                 lambda figure: _draw(figure, table, believed, {v["words"] for v in bad}), caption=caption, height=height)  # fmt: skip


def converged(variant: dict) -> bool:
    """Whether a refit can be judged."""
    shown = [row["rhat"] for row in variant["rows"] if row["rhat"] is not None]
    worst = variant["rhat"]
    return (
        worst is not None and worst <= REFIT_RHAT and max(shown, default=1.0) <= SHOWN
        and variant["divergences"] <= DIVERGENT * variant["draws"]
    )  # fmt: skip


def decides(base: dict, variant: dict, prob: float) -> bool:
    """Whether another assumption changes a conclusion in a way that counts: see `check`."""
    kinds = {kind for kind, _ in judge(base, variant, prob)} - {"appears"}
    if variant["name"] in DOUBTS:
        kinds &= {"turns"}
    return bool(variant["believed"] and kinds)


def judge(base: dict, variant: dict, prob: float) -> list[tuple[str, str]]:
    """What another assumption does to the conclusions of the fit: pairs of a kind in `KINDS`, and what."""
    reference = {_key(row): row for row in base["rows"]}
    programmes = any(row["option"] for row in base["rows"])
    out = []
    for row in variant["rows"]:
        old = reference.get(_key(row))
        if old is None or not old["sd"]:
            continue
        if not row["option"] and row["estimand"] in (("capacity",) if programmes else ("capacity", "half_life")):
            shift = (row["median"] - old["median"]) / old["sd"]
            if abs(shift) > MOVED:
                out.append(("moves", f"{'C*' if row['estimand'] == 'capacity' else 'half-life'} by {shift:+.1f} SD"))
            continue
        if old["p_positive"] is None or row["p_positive"] is None:
            continue
        before, now = _side(old, prob), _side(row, prob)
        what = f"{row['estimand'].replace('_', ' ')} of {row['option']}{'' if row['against'] == NONE else f' against {row["against"]}'}"
        if (before and _same(row, before) < 0.5) or (now and _same(old, now) < UNLIKELY):
            out.append(("turns", what))
        elif before and not now and _same(row, before) < _edge(prob) - NOISE * np.hypot(_noise(row), _noise(old)):
            out.append(("weakens", what))
        elif now and not before and _same(old, now) < _edge(prob) - NOISE * np.hypot(_noise(row), _noise(old)):
            out.append(("appears", what))
    return out


def _same(row: dict, side: int) -> float:
    """Probability of a direction."""
    return row["p_positive"] if side > 0 else 1 - row["p_positive"]


def _edge(prob: float) -> float:
    return 1 - (1 - prob) / 2


def _side(row: dict, prob: float) -> int:
    """1 or -1 where the direction of an effect is known, 0 where it is not."""
    p = row["p_positive"]
    return 0 if p is None else int(p > _edge(prob)) - int(1 - p > _edge(prob))


def _noise(row: dict) -> float:
    """Monte Carlo error of the probability of a direction."""
    size = (row["sd"] / row["mcse_mean"]) ** 2 if row["mcse_mean"] else math.inf
    return math.sqrt(row["p_positive"] * (1 - row["p_positive"]) / size)


def _shifted(base: dict, entry: dict) -> dict:
    """The change of C* with those who left lower by delta, as if it were a refit's."""
    words = f"{entry['delta']:+g} points for those who left while exposed to {entry['option']}"
    old = next((r for r in base["rows"] if _key(r) == (entry["option"], NONE, "capacity_change")), None)
    rows = []
    if old is not None:
        moved = {q: entry[f"{q}_delta"] for q in ("median", "low", "high")}
        rows = [old | moved | {"mean": old["mean"] + moved["median"] - old["median"], "p_positive": entry["p_positive_delta"]}]
    return {"name": "delta", "words": words, "believed": True, "rows": rows, "rhat": None, "divergences": None}


def _key(row: dict) -> tuple:
    return row["option"], row["against"], row["estimand"]


def _largest(base: dict, judged: list[dict]) -> list[str]:
    """The largest shift of an effect under an assumption that could be made."""
    reference = {_key(row): row for row in base["rows"]}
    shifts = [
        (abs(row["median"] - old["median"]) / old["sd"], row, variant["words"])
        for variant in judged if variant["believed"] for row in variant["rows"]
        if row["option"] and (old := reference.get(_key(row))) is not None and old["sd"]
    ]  # fmt: skip
    if not shifts:
        return []
    size, row, words = max(shifts, key=lambda s: s[0])
    return [f"The largest shift of an effect is {size:.1f} posterior SD ({row['estimand'].replace('_', ' ')} of {row['option']}, {words})."]


def _who(fit, variant: dict) -> str:
    names = fit.tree["posterior"]["clinician"].to_numpy().astype(str)[np.array(variant["clinicians"], int)]
    few = ", ".join(shortened(n) for n in names[:5])
    return f"Most influential: {few}{f' and {len(names) - 5} more' if len(names) > 5 else ''}."


def _dropped(entry: dict) -> str:
    if not entry["share"]:
        return f"Nobody left early while exposed to {entry['option']}, so that dropout cannot turn its effect."
    said = (
        f"{entry['left_exposed']} clinicians left early while exposed to {entry['option']}. Its effect would be none (median) if their C* "
        f"under it were {abs(entry['delta_median']):.1f} points {'lower' if entry['delta_median'] < 0 else 'higher'} than the model says"
    )
    if entry.get("delta_interval") is not None:
        end = entry["delta_interval"]
        said += f", and its direction unknown from {abs(end):.1f} points {'lower' if end < 0 else 'higher'}"
    if "delta" in entry:
        low, median, high = (entry[f"{q}_delta"] for q in ("low", "median", "high"))
        said += f"; with {entry['delta']:+g} points it is {median:.1f} ({low:.1f} to {high:.1f})"
    return said + "."


def _table(variants: list[dict]) -> pd.DataFrame:
    out = []
    base = {_key(r): r for r in variants[0]["rows"]}
    for v in variants:
        for r in v.get("rows", ()):
            old = base.get(_key(r))
            shift = (r["median"] - old["median"]) / old["sd"] if old and old["sd"] else None
            out.append({
                "assumption": v["words"], "option": r["option"], "against": r["against"], "estimand": r["estimand"],
                "median": r["median"], "low": r["low"], "high": r["high"], "mcse_mean": r["mcse_mean"], "p_positive": r["p_positive"],
                "shift (SD as fitted)": shift, "rhat of the refit": v["rhat"], "divergent": v["divergences"],
            })  # fmt: skip
    table = pd.DataFrame(out)
    numbers = [name for name in table if name not in ("assumption", "option", "against", "estimand")]
    return table.astype(dict.fromkeys(numbers, float))


def _panels(table: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Title, estimand and option of each panel: the change of C* by each programme, its levers, or the population."""
    found = []
    options = dict.fromkeys(table.loc[table["against"] == NONE, "option"])
    for option in [o for o in options if " + " not in o] or options:  # combinations are in the table
        found.append((f"C*, change\n{shortened(option, 15)}", "capacity_change", option))
    if len(found) == 1:
        found += [(f"{word}, ratio", f"ratio_{lever}", found[0][2]) for word, lever in (("α", "alpha"), ("β", "beta"))]
    found = [*found[: MOST_PANELS - 2], ("C* (0\N{EN DASH}100)", "capacity", ""), ("half-life", "half_life", "")]
    there = set(zip(table["estimand"], table["option"], strict=True))
    return [panel for panel in found if panel[1:] in there]


def _draw(figure, table: pd.DataFrame, believed: set[str], bad: set[str]) -> None:
    panels = _panels(table)
    axes = np.atleast_1d(figure.subplots(1, len(panels), sharey=True))
    variants = list(dict.fromkeys(table["assumption"]))
    pale = np.array([v in bad for v in variants])
    wide = [v in believed - bad or n == 0 for n, v in enumerate(variants)]
    at = np.arange(len(variants))
    for part, (title, estimand, option) in zip(axes, panels, strict=True):
        against = NONE if option else ""
        mine = table[(table["estimand"] == estimand) & (table["option"] == option) & (table["against"] == against)]
        mine = mine.set_index("assumption").reindex(variants)
        part.axvspan(*mine[["low", "high"]].iloc[0], color=grid_colour(), alpha=0.5, linewidth=0, zorder=0)
        for some, colour in ((~pale, FIRST), (pale, muted())):
            part.hlines(at[some], mine["low"][some], mine["high"][some], color=colour, linewidth=1.8)
            part.plot(mine["median"][some], at[some], linestyle="none", marker="o", markersize=4, color=colour)
        ends = mine.loc[wide, ["low", "high"]].to_numpy()
        low, high = np.nanmin(ends), np.nanmax(ends)
        if option:
            none = NO_EFFECT.get(estimand, 0.0)
            part.axvline(none, color=muted(), linewidth=0.9, linestyle=(0, (3, 3)))
            low, high = min(low, none), max(high, none)
        margin = 0.06 * (high - low) or 1.0
        part.set_xlim(low - margin, high + margin)
        part.set_title(title, fontsize=7, fontweight="normal")
        few_ticks(part.xaxis, 3)
        part.tick_params(axis="x", labelsize=7)
        rows(part, [shortened(v, 46) for v in variants], 7)
