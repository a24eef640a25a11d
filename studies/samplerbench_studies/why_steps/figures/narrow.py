"""Figures on narrow screens: panels that stand side by side are shown one below the other, from the
same drawing.
"""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.transforms import Bbox

POINTS = 72
"""Units of an SVG drawing in an inch."""
EDGE = 3
"""Units that a part is wider than its panel, on each side."""
Window = tuple[float, float]
"""Left and right end of a part, in units of the drawing."""


def parts(canvas: Canvas, whole: str, cut: float | None = None) -> str:
    """One ``<svg>`` for each panel, which shows its piece of the drawing ``whole``.

    Nothing for a single panel, or an uncut grid.

    Args:
        canvas: as it was drawn.
        whole: id of the drawing's outermost group.
        cut: for grids of pictures, where the second of two parts begins, as a share of the width of
            the pictures.
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
    """A grid in two, each with the labels at its side."""
    boxes = [axes.bbox for axes in canvas.axes]
    start, stop = min(box.x0 for box in boxes), max(box.x1 for box in boxes)
    middle = (start + cut * (stop - start)) * POINTS / canvas.dpi
    left, right = _ends(canvas, canvas.axes)
    return [(left, middle), (middle, right)]


def _ends(canvas: Canvas, several: list[Axes]) -> Window:
    renderer, scale = FigureCanvasAgg(canvas).get_renderer(), POINTS / canvas.dpi
    box = Bbox.union([axes.get_tightbbox(renderer) or axes.bbox for axes in several])
    return box.x0 * scale - EDGE, box.x1 * scale + EDGE
