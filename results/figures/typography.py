"""Sizes, typography and files of figures. Equal figures give equal bytes."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..run_directory.files import write_bytes


def inline_svg(svg: str, variables: Mapping[str, str]) -> str:
    """Return an SVG file as an HTML element, with unique ids, and without prologue and size.

    ``variables`` maps colours in the file to names of CSS variables (without ``--``).
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", body, count=1)
    mark = "f" + hashlib.sha256(body.encode()).hexdigest()[:6]
    body = re.sub(r'\bid="', f'id="{mark}-', body)
    body = re.sub(r'(url\(#|href="#)', rf"\1{mark}-", body)
    for colour, name in variables.items():
        body = body.replace(colour, f"var(--{name})")
    return body


Width = Literal["single", "double"]
WIDTHS: dict[str, float] = {"single": 3.35, "double": 6.9}
"""Widths in inches: one column of a two-column page (85 mm), and both columns (175 mm)."""

INK, SOFT, RULE = "#1d2126", "#5f6771", "#d9dde2"
DPI = 200

RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 7,
    "axes.linewidth": 0.6,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.color": INK,
    "text.parse_math": False,  # users' names may have a dollar sign
    **{f"{axis}tick.color": SOFT for axis in "xy"},
    **{f"{axis}tick.labelsize": 6.5 for axis in "xy"},
    **{f"{axis}tick.major.width": 0.6 for axis in "xy"},
    **{f"{axis}tick.major.size": 2.5 for axis in "xy"},
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.6,
    "figure.facecolor": "white",
    "pdf.fonttype": 42,  # TrueType, which journals accept
    "svg.fonttype": "path",
    "svg.hashsalt": "samplerbench",
}
DEFAULTS: Any = {
    name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"
}
METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
    "png": {"Software": None},
}
"""Formats, with the metadata that is left out so that equal figures give equal bytes."""

with_typography = matplotlib.rc_context({**DEFAULTS, **RC})
"""Decorator of functions that draw with the fonts, colours and widths in :data:`RC`."""


class Sheet(Figure):
    """Matplotlib figure without a window, which notebooks display."""

    def _repr_png_(self) -> bytes:
        return figure_bytes(self, "png")


def sheet_with_panels(width: Width, height: float, panels: int) -> tuple[Sheet, list[Axes]]:
    """Return a figure with axes, each ``height`` inches high. Several axes give double width."""
    across = min(panels, 2)
    down = -(-panels // across)
    figure = blank_sheet("double" if panels > 1 else width, height * down)
    axes = figure.subplots(down, across, squeeze=False).ravel().tolist()
    for unused in axes[panels:]:
        unused.remove()
    return figure, axes[:panels]


def blank_sheet(width: Width, height: float) -> Sheet:
    """Return a figure without axes, one or two columns wide and ``height`` inches high."""
    figure = Sheet(figsize=(WIDTHS[width], height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


@with_typography
def figure_bytes(figure: Figure, form: str) -> bytes:
    """Return the figure as the bytes of an SVG, PNG or PDF file."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # letters that the font lacks are drawn as boxes
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(buffer, format=form, dpi=DPI, metadata=METADATA[form])
    return buffer.getvalue()


def save(figure: Figure, path: Path) -> Path:
    """Write a figure atomically, in the format of the suffix: .svg, .png or .pdf. Return ``path``.

    Raises a ValueError for another suffix.
    """
    form = path.suffix.removeprefix(".")
    if form not in METADATA:
        raise ValueError(
            f"{path.name}: figures are written as {', '.join(METADATA)}; "
            "choose one of these suffixes"
        )
    write_bytes(path, figure_bytes(figure, form))
    return path
