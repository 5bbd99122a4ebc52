"""How all figures look, and how they become SVG for the page and for files."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from xml.etree import ElementTree

import matplotlib as mpl
from cycler import cycler
from matplotlib.figure import Figure

from ..format import without_controls

WIDTH = 7.2  # inches: the width of a printed page's text
PAGE_SCALE = 1.2  # a screen is read from further away

# name -> colour on white and on dark paper. In files the first is used as it is; in the page every colour becomes a CSS
# variable, so that one drawing serves both. Chosen for contrast with the paper and between colour-blind readers.
COLOURS = {
    "ink": ("#1d232c", "#e6e9ef"),
    "muted": ("#5a6574", "#a8b2c1"),
    "grid": ("#dde2e8", "#363e4a"),
    "paper": ("#ffffff", "#171b21"),
    "blue": ("#1f6aa5", "#6fb4ec"),
    "orange": ("#b85a00", "#f0a35a"),
    "green": ("#23784c", "#66c796"),
    "purple": ("#7a49a5", "#c29be9"),
    "teal": ("#0b7a84", "#5ecdd6"),
    "brown": ("#7d5a3c", "#cda987"),
    "truth": ("#c01f5d", "#ff85b5"),
}
INK, MUTED, GRID, PAPER, BLUE, TRUTH = (COLOURS[n][0] for n in ("ink", "muted", "grid", "paper", "blue", "truth"))
SERIES = tuple(COLOURS[n][0] for n in ("orange", "green", "purple", "teal", "brown", "blue"))
_VARIABLE = {light: f"var(--{name})" for name, (light, _) in COLOURS.items()}

_SETTINGS = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # ships with Matplotlib: the same metrics, so the same layout, everywhere
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.unicode_minus": True,
    "axes.xmargin": 0.02,
    "axes.prop_cycle": cycler(color=[BLUE, *SERIES[:-1]]),  # what the checks' figures call C0, C1, ...
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "savefig.edgecolor": "none",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "text.color": INK,
    "text.parse_math": False,  # a name with two dollar signs is a name, not a formula
    "text.usetex": False,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.4,
    "lines.solid_capstyle": "butt",
    "path.simplify": False,
    "svg.fonttype": "none",
    "svg.image_inline": True,
}


@dataclass(frozen=True)
class Drawn:
    """A figure with the words that belong to it.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
    alt : str
        What it shows, for those who cannot see it.
    caption : str
        How to read it.
    """

    figure: Figure
    alt: str
    caption: str


@contextmanager
def styled(name: str) -> Iterator[None]:
    """Matplotlib's defaults plus ours, whatever the session has set, and put back afterwards.

    ``name`` salts the ids of the drawing, so that two drawings on one page never share one.
    """
    with mpl.rc_context(), warnings.catch_warnings():
        # letters that Matplotlib's font lacks are drawn by the reader's fonts, since text stays text
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        # setting the backend would switch the session's
        defaults = {key: value for key, value in mpl.rcParamsDefault.items() if not key.startswith("backend")}
        mpl.rcParams.update(defaults | _SETTINGS | {"svg.hashsalt": f"equipoise-{name}"})
        yield


def new_figure(width: float = WIDTH, height: float = 3.0) -> Figure:
    """A figure outside pyplot: no window, no state, gone with its last reference."""
    return Figure(figsize=(width, height), layout="constrained")


def marked(figure: Figure, mark: str) -> None:
    """Words below a figure that stay with it wherever it is copied to."""
    figure.supxlabel(mark, x=0.99, ha="right", fontsize=7.5, color=MUTED)


def to_svg(figure: Figure) -> str:
    """The figure as an SVG document: text as text, the same bytes for the same figure."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    figure.clear()
    # whoever drew it: no name may break the document, or turn the direction of what stands around it
    return without_controls(buffer.getvalue())


_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_HEX = re.compile(r"#[0-9a-f]{6}")
_LONG = re.compile(r"-?\d+\.\d{3,}")
_FONT = re.compile(r"font: (\d[^;]*?px) [^;]*")


def for_file(svg: str, alt: str) -> str:
    """An SVG file that stands alone, in the colours for white paper, with its description inside."""
    root = _tidied(svg, "", {})
    title = ElementTree.Element(f"{{{_SVG}}}title")
    title.text = without_controls(alt)
    root.insert(0, title)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def for_page(svg: str, name: str, alt: str) -> str:
    """The drawing as an element of the page: colours by CSS variables, ids of its own, named for screen readers."""
    root = _tidied(svg, f"{name}-", _VARIABLE)
    width, height = (float(root.get(side).removesuffix("pt")) for side in ("width", "height"))
    root.attrib.pop("version", None)
    root.set("width", f"{width * PAGE_SCALE:.0f}pt")
    root.set("height", f"{height * PAGE_SCALE:.0f}pt")
    root.set("role", "img")
    root.set("aria-label", alt)
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)


def _tidied(svg: str, prefix: str, colours: dict[str, str]) -> ElementTree.Element:
    """Attributes rewritten in the parsed tree, so that a user's text can look like anything and stays as it is."""
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    root = ElementTree.fromstring(svg)
    for metadata in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(metadata)
    for element in root.iter():
        for key, value in element.attrib.items():
            if key == "id":
                value = prefix + value
            elif key == f"{{{_XLINK}}}href" and value.startswith("#"):
                value = f"#{prefix}{value[1:]}"
            elif key == "clip-path":
                value = value.replace("url(#", f"url(#{prefix}")
            elif key == "d":
                value = _LONG.sub(lambda n: f"{float(n[0]):.2f}", value)
            elif key == "style":
                if colours:
                    value = _HEX.sub(lambda c: colours.get(c[0], c[0]), value)
                value = _FONT.sub(r"font: \1 system-ui, 'DejaVu Sans', sans-serif", value)
            element.set(key, value)
    if colours:  # shapes without a stated fill are black by the format's default
        root.set("style", "fill: var(--ink)")
    return root
