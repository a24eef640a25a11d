"""Figures as SVG: matplotlib without a display, colours of the page's theme, unique ids."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text

from samplerbench.results.figures import inline_svg

from ..measuring.row import Figure
from .narrow import parts

WIDTH, DPI = 760, 100
"""Width of a figure in CSS pixels, and CSS pixels per inch."""
GAP = 0.08
"""Inches of space on each side of a panel."""

INK, SOFT, RULE = "#16191d", "#565e68", "#dfe3e7"
BLUE, ORANGE, GREEN, PURPLE, YELLOW, RED = (
    "#0072b2",
    "#d55e00",
    "#0a795c",
    "#8b3eca",
    "#b07c10",
    "#c83126",
)
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, YELLOW, RED)
"""Colours in the order in which a figure uses them.

Colour-blind readers can distinguish them, and symbols and names repeat the distinction.
"""

THEME = {
    INK: ("ink", "#e8eaed"), SOFT: ("soft", "#a3acb6"), RULE: ("line", "#30353c"),
    BLUE: ("blue", "#56b4e9"), ORANGE: ("orange", "#ff8a4c"), GREEN: ("green", "#4dcb8e"),
    PURPLE: ("purple", "#b69cff"), YELLOW: ("yellow", "#f0c03f"), RED: ("red", "#ff6f61"),
}  # fmt: skip
"""Colour on a light page: the CSS variable that replaces it, and its value on a dark page."""

RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "path",
    "svg.hashsalt": "samplerbench",
    "axes.prop_cycle": cycler(color=list(COLOURS)),
}

P = ParamSpec("P")
R = TypeVar("R")


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function to draw with this module's typography.

    The caller's settings of matplotlib are neither used nor changed.
    """

    @wraps(draw)
    def under(*args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.rc_context(matplotlib.rcParamsDefault), matplotlib.rc_context(RC):  # pyright: ignore[reportArgumentType]
            return draw(*args, **kwargs)

    return under


@styled
def panels(
    across: int = 1, height: float = 320, down: int = 1, width: float = WIDTH, **options: Any
) -> tuple[Canvas, list[Axes]]:
    """Return a canvas and its axes, row by row.

    Args:
        across: number of axes in a row.
        height: height of the canvas in CSS pixels.
        down: number of rows of axes.
        width: width of the canvas, below the page's for a single chart, so that a phone need not
            shrink it.
        options: options of ``Figure.subplots``, such as ``width_ratios``.
    """
    canvas = Canvas(
        figsize=(width / DPI, height / DPI), dpi=DPI, layout=ConstrainedLayoutEngine(w_pad=GAP)
    )
    FigureCanvasAgg(canvas)
    return canvas, canvas.subplots(down, across, squeeze=False, **options).ravel().tolist()


def figure(
    canvas: Canvas, alt: str, caption: str, png: Path | None = None, *, cut: float | None = None
) -> Figure:
    """Return the drawing as an element of a page, followed by its parts for narrow screens.

    Args:
        canvas: canvas of :func:`panels`, drawn on under :func:`styled`.
        alt: description of the drawing for those who cannot see it.
        caption: caption as HTML.
        png: path to write the drawing to as well, on white, at twice the size.
        cut: as in :func:`.narrow.parts`, for grids of pictures.
    """
    if png:
        _save(
            canvas, png, format="png", dpi=2 * DPI, facecolor="white", metadata={"Software": None}
        )
    buffer = io.BytesIO()
    _save(canvas, buffer, format="svg", metadata={"Date": None})
    whole = inline_svg(
        buffer.getvalue().decode(), {colour: name for colour, (name, _) in THEME.items()}
    )
    outermost = re.search(r'<g id="([^"]+)"', whole)
    written = " ".join(text.get_text() for text in canvas.findobj(Text) if isinstance(text, Text))
    return Figure(
        _sized(whole, canvas) + (parts(canvas, outermost[1], cut) if outermost else ""),
        alt,
        caption,
        written,
    )


def _sized(whole: str, canvas: Canvas) -> str:
    return whole.replace(
        "<svg", f'<svg class="whole" style="--w: {canvas.get_figwidth() * DPI:.0f}px"', 1
    )


@styled
def _save(canvas: Canvas, place: Path | io.BytesIO, **options: Any) -> None:
    canvas.savefig(place, **options)


def css() -> str:
    """Return the theme's CSS variables, light and dark, except those of every page."""
    own = {
        name: (colour, dark)
        for colour, (name, dark) in THEME.items()
        if colour not in (INK, SOFT, RULE)
    }
    return " ".join(
        f"--{name}: light-dark({colour}, {dark});" for name, (colour, dark) in own.items()
    )
