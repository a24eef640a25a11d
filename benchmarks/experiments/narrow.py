"""Figures on narrow screens: panels that stand beside each other are shown one below the other, without being drawn twice."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.transforms import Bbox

POINTS = 72
"""Units of an SVG drawing in an inch."""
EDGE = 3
"""Units that a part is wider than its panel, on each side."""


def parts(canvas: Canvas, whole: str) -> str:
    """One ``<svg>`` for each panel, a window on the drawing ``whole``; nothing for single panels and for grids of pictures.

    Args:
        canvas: as it was drawn.
        whole: id of the drawing's outermost group.
    """
    axes = canvas.axes
    rows = {round(one.get_position().y0, 3) for one in axes}
    if len(axes) < 2 or len(rows) > 1:
        return ""
    return "".join(_part(canvas, one, whole) for one in axes)


def _part(canvas: Canvas, axes: Axes, whole: str) -> str:
    scale, height = POINTS / canvas.dpi, canvas.bbox.height * POINTS / canvas.dpi
    box = axes.get_tightbbox(FigureCanvasAgg(canvas).get_renderer())
    left, right = _ends(box or axes.bbox, scale)
    width = right - left
    return (
        f'<svg class="part" viewBox="{left:.1f} 0 {width:.1f} {height:.1f}" style="--w: {width / scale:.0f}px"><use href="#{whole}"/></svg>'
    )


def _ends(box: Bbox, scale: float) -> tuple[float, float]:
    return box.x0 * scale - EDGE, box.x1 * scale + EDGE
