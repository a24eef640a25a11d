"""Error against evaluations: what is used now, the recommendation and the best that was tried, as an SVG
for wide screens and one for narrow ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from matplotlib.axes import Axes

from ....results.figures.axes import logarithmic, name_at_the_right
from ....results.figures.series import Point, Series, line, markers
from ....results.figures.sheet import (
    INK,
    RULE,
    SOFT,
    WIDTHS,
    Width,
    encoded,
    inline_svg,
    sheet,
    styled,
)
from ....results.palette import Style
from ..answer import Advice, Budget, Choice
from ..table import audience, title
from ..wording import same

HEIGHTS: dict[Width, float] = {"single": 2.6, "double": 3.3}
"""Inches, by how many columns of a page the drawing is wide."""
SCALE = 125
"""CSS pixels of an inch, at most."""
NOW, OURS, KNOWN = (
    Style("", "#b04a00", "#ff8a4c", "square", "dash"),
    Style("", "#00598f", "#78bdf2", "circle", "solid"),
    Style("", "#00664a", "#4fd0a0", "diamond", "dot"),
)
"""Styles of the default, the recommendation, and the best that was tried."""
COLOURS = {
    INK: "ink",
    SOFT: "soft",
    RULE: "line",
    "#ffffff": "paper",
    **{one.colour: name for one, name in ((NOW, "now"), (OURS, "ours"), (KNOWN, "known"))},
}
"""Colours of the drawing and the variables of the page that replace them."""


def css() -> str:
    """Return the CSS variables of the curves, for a light page and a dark one."""
    return " ".join(
        f"--{COLOURS[style.colour]}: light-dark({style.colour}, {style.dark});"
        for style in (NOW, OURS, KNOWN)
    )


def curves(advice: Advice) -> list[Series]:
    """Return the curves that have points: errors that are positive, by evaluations that are made.

    The best that was tried is one only where it is not the recommendation at every budget.
    """
    library = audience(advice.budgets, advice.library)
    mine = [
        (answer, best.choice) for answer in advice.budgets if (best := answer.best.get(library))
    ]
    best_tried = [
        (answer, best.choice) for answer in advice.budgets if (best := answer.best.get("python"))
    ]
    differs = any(
        not same(choice, best.choice)
        for budget, choice in best_tried
        if (best := budget.best.get(library))
    )
    named = [
        ("now", NOW, [(answer, answer.default) for answer in advice.budgets]),
        (f"for {title(library)}" if differs else "recommended", OURS, mine),
        *([("best tried", KNOWN, best_tried)] if differs else []),
    ]
    series = [Series(name, style, _points(some)) for name, style, some in named]
    return [curve for curve in series if curve.points]


def _points(some: Iterable[tuple[Budget, Choice]]) -> tuple[Point, ...]:
    return tuple(
        Point(choice.nfe or budget.nfe, error.value, error.low, error.high)
        for budget, choice in some
        if (error := choice.error) and math.isfinite(error.value) and error.value > 0
    )


def plots(advice: Advice) -> tuple[str, str] | None:
    """Return the drawings for wide and for narrow screens, as elements of a page; None where no curve has
    two points, which a table says better.
    """
    series = curves(advice)
    if max((len(curve.points) for curve in series), default=0) < 2:
        return None
    return _drawn(series, "double"), _drawn(series, "single")


@styled
def _drawn(series: Sequence[Series], width: Width) -> str:
    figure, (axes,) = sheet(width, HEIGHTS[width])
    figure.patch.set_alpha(0)
    axes.patch.set_alpha(0)
    points = [point for curve in series for point in curve.points]
    ends = [end for point in points for end in (point.low, point.high) if end and end > 0]
    logarithmic(axes, [point.x for point in points], [*(point.y for point in points), *ends])
    for place, curve in enumerate(series):
        _curve(axes, curve, place)
    axes.set(xlabel="Network evaluations per sample", ylabel="Error (geometric mean)")
    figure.draw_without_rendering()  # the layout, which says how far apart names must be
    name_at_the_right(axes, series)
    svg = inline_svg(encoded(figure, "svg").decode(), COLOURS)
    return svg.replace("<svg", f'<svg style="--w: {WIDTHS[width] * SCALE:.0f}px"', 1)


def _curve(axes: Axes, curve: Series, place: int) -> None:
    """Draw a curve with its intervals; later ones lie below earlier ones."""
    above = 3 - place / 10
    axes.plot(
        [point.x for point in curve.points],
        [point.y for point in curve.points],
        **line(curve.style),
        **markers(curve.style),
        zorder=above,
    )
    low = axes.get_ylim()[0]
    for x, _, bottom, top, _ in curve.points:
        if bottom is not None and top is not None and top > 0:
            axes.plot(
                [x, x],
                [max(bottom, low), top],
                color=curve.style.colour,
                lw=1.6,
                alpha=0.5,
                zorder=above,
            )


def words(advice: Advice) -> str:
    """Describe the drawing for readers who do not see it; the table has the numbers."""
    series = curves(advice)
    parts = [
        f"{curve.name} from {curve.points[0].y:.3g} with {curve.points[0].x:g} evaluations to "
        f"{curve.points[-1].y:.3g} with {curve.points[-1].x:g}"
        for curve in series
    ]
    return f"Error against evaluations, both logarithmic: {'; '.join(parts)}."
