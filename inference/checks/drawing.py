"""What the checks' figures share; colours are those of the style in force."""

from __future__ import annotations

import numpy as np

FIRST, SECOND = "C0", "C1"


def ink() -> str:
    return _setting("text.color")


def muted() -> str:
    return _setting("axes.edgecolor")


def grid_colour() -> str:
    return _setting("grid.color")


def _setting(name: str):
    import matplotlib as mpl

    return mpl.rcParams[name]


def bars(axes, values, bins: int) -> None:
    """A histogram of replicates, also where these are the same but for rounding."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    alike = not values.size or np.ptp(values) <= 1e-9 * np.abs(values).max()
    axes.hist(values[:1] if alike else values, bins=1 if alike else bins, color=FIRST, alpha=0.45, linewidth=0)


def panels(figure, count: int, columns: int = 3) -> list:
    """Axes for so many small panels; those too many are hidden."""
    rows = -(-count // columns)
    axes = np.atleast_1d(figure.subplots(rows, min(columns, count), squeeze=False)).ravel()
    for extra in axes[count:]:
        extra.set_visible(False)
    return list(axes[:count])


def rows_axis(axes, names, size: float = 8.5) -> None:
    """Names down the y axis, the first on top."""
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_yticks(range(len(names)), names, fontsize=size)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def rows(axes, names, size: float = 8.0) -> None:
    """The same with a grid across."""
    rows_axis(axes, names, size)
    axes.grid(True, axis="x", zorder=0)
    axes.set_axisbelow(True)


def few_ticks(axis, count: int = 5) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]))


def worded(quantity, longest: int = 60) -> str:
    """A quantity in the words of a sentence: ``level_change[course]`` is "level change of course"."""
    name, _, label = str(quantity).partition("[")
    words = name.replace("half_life", "half-life").replace("_", " ")
    return shortened(f"{words} of {label.removesuffix(']')}" if label else words, longest)


def shortened(text, longest: int = 34) -> str:
    text = " ".join(str(text).split())
    return text if len(text) <= longest else f"{text[: longest - 1].rstrip()}\N{HORIZONTAL ELLIPSIS}"
