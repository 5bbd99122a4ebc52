"""The study design as a picture: for each programme, who is exposed from when to when (CONSORT's diagram of sequences)."""

from __future__ import annotations

import numpy as np

from ..format import count, short
from .axes import intervention_colour, time_axis
from .style import GRID, INK, WIDTH, Drawn, new_figure


def draw(material) -> Drawn | None:
    designs = [d for d in material.designs if d["sequences"]]
    if not designs:
        return None
    heights = [len(d["sequences"]) for d in designs]
    figure = new_figure(WIDTH, 0.5 + sum(0.55 + 0.2 * h for h in heights))
    panels = np.atleast_1d(figure.subplots(len(designs), 1, height_ratios=[h + 1.6 for h in heights]))
    left_out, relative = sum(d["left_out"] for d in designs), any(d["since_first_survey"] for d in designs)
    first, last = material.description["first"], material.description["last"]
    for axes, design in zip(panels, designs, strict=True):
        colour = intervention_colour(material.interventions.index(design["intervention"]))
        names = []
        # where dates differ by recruitment alone, times count from each clinician's first survey: as if all began together
        shift = first if design["since_first_survey"] else 0.0
        for row, sequence in enumerate(design["sequences"]):
            axes.barh(row, _width(material, first, last), left=material.time.place(first), height=0.72, color=GRID, alpha=0.6)
            for start, end in sequence["spells"]:
                begin, stop = start + shift, last if end is None else end + shift
                axes.barh(row, _width(material, begin, stop), left=material.time.place(begin), height=0.72, color=colour, alpha=0.75)
            units = f", {count(sequence['units'], 'unit')}" if sequence["units"] and len(material.unit_names) > 1 else ""
            names.append(f"{count(sequence['clinicians'], 'clinician')}{units}")
        axes.set_yticks(range(len(names)), names, fontsize=7.5)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_title(f"{short(design['intervention'], 40)}: {design['title']}", color=INK)
        time_axis(axes, material, label=axes is panels[-1])
    return Drawn(
        figure,
        "Sequences of each programme: " + "; ".join(f"{short(d['intervention'], 40)}, {d['title']}" for d in designs) + ".",
        "One bar for each group of clinicians with the same exposure; coloured while exposed."
        + (f" {count(left_out, 'clinician')} with rarer patterns left out." if left_out else "")
        + (" Times since the first survey, as if all had begun together." if relative else ""),
    )


def _width(material, start, end) -> float:
    return float(material.time.place(end) - material.time.place(start))
