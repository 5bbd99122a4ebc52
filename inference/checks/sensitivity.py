"""Whether the conclusions hold under other assumptions: the sensitivity panel as a check."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .check import Check, not_done
from .drawing import FIRST, few_ticks, grid_colour, muted, rows, shortened

TITLE = "Do the conclusions hold under other assumptions?"
NONE = "no programme"
UNCONVERGED = 1.05
NO_EFFECT = {"ratio_alpha": 1.0, "ratio_beta": 1.0}
MOVED = 1.0  # posterior standard deviations of the fit by which C* may move without a word
MOST_PANELS = 6


def check(fit, prob: float, evidence: dict | None) -> Check:
    """The estimands under each other assumption; see `refits.sensitivity`.

    A conclusion is a direction that is known at the interval's probability. It turns where the other direction is more probable
    under another assumption, and weakens where it is not known any more. Passes where, under assumptions that could be made and
    whose refit converged, no conclusion turns or weakens, and C* stays within one posterior standard deviation.
    """
    if evidence is None:
        return not_done("sensitivity", TITLE, "Not done: `equipoise sensitivity` fits the model under other assumptions.")
    base, *others = evidence["variants"]
    made = [v for v in others if "rows" in v]
    bad = [v for v in made if v["rhat"] > UNCONVERGED]
    edge = 1 - (1 - evidence["prob"]) / 2
    reference = {_key(r): r for r in base["rows"]}
    turned, weakened, moved = {}, {}, {}
    for variant in made:
        for row in variant["rows"]:
            old = reference.get(_key(row))
            if old is None or variant in bad or not old["sd"]:
                continue
            shift = (row["mean"] - old["mean"]) / old["sd"]
            if row["estimand"] == "capacity" and abs(shift) > MOVED:
                moved.setdefault(variant["name"], []).append(f"{shift:+.1f} SD")
            if row["against"] != NONE or old["p_positive"] is None or row["p_positive"] is None:
                continue
            p, now = old["p_positive"], row["p_positive"]
            if max(p, 1 - p) <= edge:
                continue
            what = f"{row['estimand'].replace('_', ' ')} of {row['option']}"
            if (now > 0.5) != (p > 0.5):
                turned.setdefault(variant["name"], []).append(what)
            elif max(now, 1 - now) <= edge:
                weakened.setdefault(variant["name"], []).append(what)
    words = {v["name"]: v["words"] for v in evidence["variants"]}
    believed = {v["name"] for v in evidence["variants"] if v["believed"]}
    said = [f"Fitted anew under {len(made)} other assumptions."]
    for found, label in ((turned, "A conclusion turns"), (weakened, "A conclusion weakens"), (moved, "C* moves")):
        for name, what in found.items():
            mark = "" if name in believed else " (a known mistake, shown for its size)"
            said.append(f"{label} with {words[name]}{mark}: {', '.join(what[:4])}{' and more' if len(what) > 4 else ''}.")
    if not turned and not weakened:
        known = any(r["against"] == NONE and max(r["p_positive"] or 0.5, 1 - (r["p_positive"] or 0.5)) > edge for r in base["rows"])
        said.append("No direction that is known changes." if known else "No direction of an effect is known, here or elsewhere.")
    for v in others:
        if "why_not" in v:
            said.append(f"Not done, {v['words']}: {v['why_not'].rstrip('.')}.")
    if bad:
        said.append(f"Not converged, and not judged: {', '.join(v['words'] for v in bad)}.")
    said += [_dropped(entry) for entry in evidence["dropout"]]
    passed = not any(name in believed for found in (turned, weakened, moved) for name in found)
    table = _table(evidence["variants"], evidence["dropout"])
    panels = _panels(table)
    shown = table[table["estimand"].isin(["capacity_change", "capacity", "ratio_alpha", "ratio_beta", "half_life"])]

    def draw(figure):
        axes = np.atleast_1d(figure.subplots(1, len(panels), sharey=True))
        variants = list(dict.fromkeys(table["assumption"]))
        for part, (title, estimand, option) in zip(axes, panels, strict=True):
            mine = shown[(shown["estimand"] == estimand) & (shown["option"] == option)].set_index("assumption").reindex(variants)
            first = mine.iloc[0]
            part.axvspan(first["low"], first["high"], color=grid_colour(), alpha=0.5, linewidth=0, zorder=0)
            at = np.arange(len(variants))
            part.hlines(at, mine["low"], mine["high"], color=FIRST, linewidth=1.8)
            part.plot(mine["median"], at, linestyle="none", marker="o", markersize=4, color=FIRST)
            if option:
                part.axvline(NO_EFFECT.get(estimand, 0.0), color=muted(), linewidth=0.9, linestyle=(0, (3, 3)))
            part.set_title(title, fontsize=7.5, fontweight="normal")
            few_ticks(part.xaxis, 4)
            rows(part, [shortened(v, 44) for v in variants], 7)

    height = 1.0 + 0.22 * table["assumption"].nunique()
    caption = (
        "One line for each assumption: median and interval. Band: the interval as fitted; dashed: no effect. Refits have fewer draws "
        "than the fit."
    )
    return Check("sensitivity", TITLE, passed, " ".join(said), table, draw, caption=caption, height=height)


def _key(row: dict) -> tuple:
    return row["option"], row["against"], row["estimand"]


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


def _table(variants: list[dict], dropped: list[dict]) -> pd.DataFrame:
    out = []
    base = {_key(r): r for r in variants[0]["rows"]}
    for v in variants:
        for r in v.get("rows", ()):
            old = base.get(_key(r))
            shift = (r["mean"] - old["mean"]) / old["sd"] if old and old["sd"] else np.nan
            out.append({
                "assumption": v["words"], "option": r["option"], "against": r["against"], "estimand": r["estimand"],
                "median": r["median"], "low": r["low"], "high": r["high"], "mcse_mean": r["mcse_mean"], "p_positive": r["p_positive"],
                "shift (SD as fitted)": shift, "rhat of the refit": v["rhat"], "divergent": v["divergences"],
            })  # fmt: skip
    for d in dropped:
        if "delta" in d:
            out.append({
                "assumption": f"those who left while exposed {d['delta']:+g} points", "option": d["option"], "against": NONE,
                "estimand": "capacity_change", "median": d["median_delta"], "low": d["low_delta"], "high": d["high_delta"],
            })  # fmt: skip
    return pd.DataFrame(out)


def _panels(table: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Title, estimand and option of each panel: the change of C* by each programme, its levers, or the population."""
    found = []
    for option in dict.fromkeys(table.loc[table["against"] == NONE, "option"]):
        found.append((f"C*, change: {shortened(option, 22)}", "capacity_change", option))
    if len(found) == 1:
        found += [(f"{word}, ratio", f"ratio_{lever}", found[0][2]) for word, lever in (("α", "alpha"), ("β", "beta"))]
    found = found[: MOST_PANELS - 2]
    return [*found, ("C* (0\N{EN DASH}100)", "capacity", ""), ("half-life", "half_life", "")]
