"""Figures on narrow screens, where panels of a drawing are shown one below the other."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.transforms import Bbox

POINTS = 72
"""Units of an SVG drawing in an inch."""
EDGE = 3
"""Margin of a part around its panel on each side, in units of the drawing."""
Window = tuple[float, float]
"""Left and right ends of a part, in units of the drawing."""


def parts(canvas: Canvas, whole: str, cut: float | None = None) -> str:
    """Return an ``<svg>`` for each panel, which shows its part of the drawing ``whole``.

    The result is empty for a single panel or an uncut grid.

    Args:
        canvas: canvas of the drawing.
        whole: id of the drawing's outermost group.
        cut: for grids of pictures, the start of the second of two parts, as a share of the
            pictures' width.
    """
    windows = _panels(canvas) if cut is None else _halves(canvas, cut)
    if len(windows) < 2:
        return ""
    scale, height = POINTS / canvas.dpi, canvas.bbox.height * POINTS / canvas.dpi
    widest = max(right - left for left, right in windows)
    found = []
    for left, right in windows:
        width = right - left
        # halves of a grid have one scale
        same = "" if cut is None else f"; max-width: {width / widest:.1%}"
        box, style = f"{left:.1f} 0 {width:.1f} {height:.1f}", f"--w: {width / scale:.0f}px{same}"
        found.append(
            f'<svg class="part" viewBox="{box}" style="{style}"><use href="#{whole}"/></svg>'
        )
    return "".join(found)


def _panels(canvas: Canvas) -> list[Window]:
    if len({round(axes.get_position().y0, 3) for axes in canvas.axes}) > 1:
        return []  # a window shows the whole height
    return [_ends(canvas, [axes]) for axes in canvas.axes]


def _halves(canvas: Canvas, cut: float) -> list[Window]:
    """Return the windows of both halves of a grid, each with the labels at its side."""
    boxes = [axes.bbox for axes in canvas.axes]
    start, stop = min(box.x0 for box in boxes), max(box.x1 for box in boxes)
    middle = (start + cut * (stop - start)) * POINTS / canvas.dpi
    left, right = _ends(canvas, canvas.axes)
    return [(left, middle), (middle, right)]


def _ends(canvas: Canvas, several: list[Axes]) -> Window:
    renderer, scale = FigureCanvasAgg(canvas).get_renderer(), POINTS / canvas.dpi
    box = Bbox.union([axes.get_tightbbox(renderer) or axes.bbox for axes in several])
    return box.x0 * scale - EDGE, box.x1 * scale + EDGE
