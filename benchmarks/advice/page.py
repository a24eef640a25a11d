"""Page of an answer: one HTML file that needs no other file and no network."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes

from ...results.figures.axes import set_log_scales, write_curve_names
from ...results.figures.series import Point, Series, line_keywords, marker_keywords
from ...results.figures.typography import (
    INK,
    RULE,
    SOFT,
    WIDTHS,
    Width,
    figure_bytes,
    inline_svg,
    sheet_with_panels,
    with_typography,
)
from ...results.palette import Style
from ...results.report import template_environment
from ...results.report.drawing import data_uri, side_by_side, with_alpha
from ...results.text import format_number
from .answer import Advice, Budget, Choice, Pictures, Pictures8, Recommendation
from .exports import title
from .sentences import headline_budget
from .wording import (
    TableRow,
    evaluations_in_words,
    is_same_configuration,
    number_with_noun,
    own_solver_in_words,
    shown_library,
    table_row,
    table_rows,
)

HEIGHTS: dict[Width, float] = {"single": 2.6, "double": 3.3}
"""Height of the plot in inches, by its width: a "single" or a "double" column of a page."""
SCALE = 125
"""CSS pixels for an inch of the plot, at most."""
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
"""CSS variables of the page that replace the colours of the plot, by colour."""


def curves_of(advice: Advice) -> list[Series]:
    """Return the curves of error against evaluations: default, recommendation, and best tried.

    The best tried is left out if it is always the recommendation. Curves without a positive error
    are left out.
    """
    library = shown_library(advice.budgets, advice.library)
    mine, best_tried = (
        [(budget, best.choice) for budget in advice.budgets if (best := budget.best.get(name))]
        for name in (library, "python")
    )
    differs = any(
        library in budget.best and not is_same_configuration(choice, budget.best[library].choice)
        for budget, choice in best_tried
    )
    named = [
        ("now", NOW, [(budget, budget.default) for budget in advice.budgets]),
        (f"for {title(library)}" if differs else "recommended", OURS, mine),
        *([("best tried", KNOWN, best_tried)] if differs else []),
    ]
    series = [Series(name, style, _plot_points(some)) for name, style, some in named]
    return [curve for curve in series if curve.points]


def _plot_points(some: Iterable[tuple[Budget, Choice]]) -> tuple[Point, ...]:
    return tuple(
        Point(choice.nfe or budget.nfe, error.value, error.low, error.high)
        for budget, choice in some
        if (error := choice.error) and math.isfinite(error.value) and error.value > 0
    )


@with_typography
def _draw_plot(series: Sequence[Series], width: Width) -> Markup:
    figure, (axes,) = sheet_with_panels(width, HEIGHTS[width], 1)
    figure.patch.set_alpha(0)
    axes.patch.set_alpha(0)
    points = [point for curve in series for point in curve.points]
    ends = [
        end for point in points for end in (point.low, point.high) if end and 0 < end < math.inf
    ]
    set_log_scales(axes, [point.x for point in points], [*(point.y for point in points), *ends])
    for place, curve in enumerate(series):
        _draw_curve(axes, curve, place)
    axes.set(xlabel="Network evaluations per sample", ylabel="Error (geometric mean)")
    figure.draw_without_rendering()  # fixes the layout, on which the distances between names depend
    write_curve_names(axes, series)
    svg = inline_svg(figure_bytes(figure, "svg").decode(), COLOURS)
    return Markup(svg.replace("<svg", f'<svg style="--w: {WIDTHS[width] * SCALE:.0f}px"', 1))


def _draw_curve(axes: Axes, curve: Series, place: int) -> None:
    """Draw a curve with its intervals, below all curves with a smaller ``place``."""
    above, style = 3 - place / 10, {**line_keywords(curve.style), **marker_keywords(curve.style)}
    xs, ys = [point.x for point in curve.points], [point.y for point in curve.points]
    axes.plot(xs, ys, **style, zorder=above)
    (low, high), bar = axes.get_ylim(), {"color": curve.style.colour, "lw": 1.6, "alpha": 0.5}
    for x, _, bottom, top, _ in curve.points:
        if bottom is not None and top is not None and top > 0:
            axes.plot([x, x], [max(bottom, low), min(top, high)], **bar, zorder=above)


def _describe_plot(series: Sequence[Series]) -> str:
    ends = [(curve.name, curve.points[0], curve.points[-1]) for curve in series]
    parts = [
        f"{name} from {first.y:.3g} with {first.x:g} evaluations to {last.y:.3g} with {last.x:g}"
        for name, first, last in ends
    ]
    return f"Error against evaluations, both logarithmic: {'; '.join(parts)}."


LARGEST = 192
"""Largest side of a picture on the page, in pixels. Larger pictures are averaged over squares."""
PIXELATED = 96
"""Pictures with sides below this many pixels are shown without smoothing."""
TERMS = {
    "event": "shape of a sample",
    "sigma_min": "lowest noise level",
    "sigma_max": "highest noise level",
    "passes": "evaluations per call",
    "latent": "has an autoencoder",
}
"""Terms on the page for facts about the model, by their keys in ``Advice.about``."""
LONG = 12
"""Largest number of entries of a mapping that is shown as a line for each entry."""


def render(advice: Advice, pictures: Pictures | None) -> str:
    """Return the page as HTML text. Without ``pictures`` (None) it has no gallery."""
    rows, series = table_rows(advice), curves_of(advice)
    colours = [
        f"--{COLOURS[style.colour]}: light-dark({style.colour}, {style.dark});"
        for style in (NOW, OURS, KNOWN)
    ]
    # for curves of a single point, the table is enough
    drawn = any(len(curve.points) > 1 for curve in series)
    environment = template_environment(Path(__file__).parent / "templates")
    environment.filters.update(
        unbroken=with_unbroken_numbers, number=format_number, own_solver=own_solver_in_words
    )
    return environment.get_template("advice.html").render(
        advice=advice,
        library=title(shown_library(advice.budgets, advice.library)),
        headline=advice.sentences[0] if advice.sentences else "What was measured",
        follows=advice.sentences[1:],
        rows=rows,
        timed=any(row.ms.text for row in rows),
        tied=any(row.tied for row in rows),
        nearer=any(row.nearest.text for row in rows),
        first=headline_budget(advice.budgets, advice.library).nfe,
        gallery=gallery_of(advice, pictures),
        own_solvers=any(row.own_solvers.text for row in rows),
        plots=[_draw_plot(series, "double"), _draw_plot(series, "single")] if drawn else [],
        plot_words=_describe_plot(series),
        libraries=_best_by_library(advice),
        open=advice.undecided,
        facts=_facts_of_answer(advice),
        provenance=_flat_facts(advice.provenance),
        colours=Markup(" ".join(colours)),
        resolution=format_number(advice.resolution, 2),
        most_latents=max(budget.latents for budget in advice.budgets),
        tried=sum(budget.tried for budget in advice.budgets),
    )


def with_unbroken_numbers(words: str) -> str:
    """Return the text with no-break spaces in intervals, around ×, and between numbers and %."""
    text = re.sub(r"\[[^\[\]]*\]", lambda match: match[0].replace(" ", "\u00a0"), words)
    return re.sub(r"(?<=\d) ([×%])|(?<=×) (?=\w)", lambda match: f"\u00a0{match[1] or ''}", text)


class Strip(NamedTuple):
    """Row of pictures as a data URI ``image``; it is "" without pictures, and ``alt`` says why."""

    image: str
    name: str
    label: str
    alt: str


class Gallery(NamedTuple):
    """Strips of pictures of the default and the recommendation by budget, and of converged samples.

    If ``pixels`` is true, pictures are shown without smoothing.
    """

    pairs: dict[int, tuple[Strip, Strip]]
    converged: Strip
    pixels: bool


def gallery_of(advice: Advice, pictures: Pictures | None) -> Gallery | None:
    """Return the gallery of an answer; None if ``pictures`` is None."""
    if pictures is None:
        return None
    images = pictures["converged"]
    alt = number_with_noun(len(images), "converged sample")
    label = "the same initial noise, very many steps"
    converged = Strip(_data_uri(images), "Converged", label, alt)
    library = shown_library(advice.budgets, advice.library)
    pairs = {budget.nfe: _strips_of_budget(budget, library, pictures) for budget in advice.budgets}
    return Gallery(pairs, converged, max(images.shape[1:3]) < PIXELATED)


def _strips_of_budget(budget: Budget, library: str, pictures: Pictures) -> tuple[Strip, Strip]:
    def strip(images: Pictures8 | None, name: str, choice: Choice, suffix: str = "") -> Strip:
        label = choice.label + suffix
        if images is None:
            why = f"It fails: {choice.failed}" if choice.failed else "No pictures were kept"
            return Strip("", name, label, why)
        alt = f"Samples of {choice.label} with {evaluations_in_words(budget.nfe)}"
        return Strip(_data_uri(images), name, label, alt)

    default, best = budget.default, budget.best.get(library)
    now = strip(pictures.get(f"default_{budget.nfe}"), "Now", default)
    if best is None:
        return now, Strip("", "Recommended", "", f"Nothing was found for {title(library)}")
    suffix = ", as now" if is_same_configuration(best.choice, default) else ""
    return now, strip(pictures.get(f"best_{budget.nfe}"), "Recommended", best.choice, suffix)


def _data_uri(images: Pictures8) -> str:
    """Return pictures ``(n, height, width[, 3])`` side by side, as a data URI."""
    small = shrink_pictures(images[:, None] if images.ndim == 3 else np.moveaxis(images, -1, 1))
    gap = max(1, round(max(small.shape[2:]) / 28))
    return data_uri(side_by_side(with_alpha(small), len(small), gap))


def shrink_pictures(images: Pictures8) -> Pictures8:
    """Average pictures ``(n, c, height, width)`` over squares, to sides up to :data:`LARGEST`."""
    factor = -(-max(images.shape[2:]) // LARGEST)
    count, channels, *sides = images.shape
    down, across = (side // factor for side in sides)
    squares = images[:, :, : down * factor, : across * factor].reshape(
        count, channels, down, factor, across, factor
    )
    return np.rint(squares.mean((3, 5))).astype(np.uint8)


def _facts_of_answer(advice: Advice) -> list[tuple[str, str]]:
    took, limit = map(format_number, advice.minutes)
    batches = f"per sample, in batches of {advice.timed_batch}"
    return [
        ("model", advice.model),
        *((TERMS.get(key, key), value) for key, value in _flat_facts(advice.about)),
        ("what you use now", advice.default),
        ("device", advice.device),
        ("time", f"{took} of {limit} minutes"),
        *([("times", batches)] if advice.timed_batch else []),
    ]


def _flat_facts(values: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Return the items of a nested mapping as pairs of a name and a text, without empty values."""
    pairs: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{before} {key}".strip()
        if isinstance(value, Mapping) and len(value) <= LONG:
            pairs += _flat_facts(value, name)
        elif value not in (None, "", [], ()):
            pairs.append((name, _value_in_words(value)))
    return pairs


def _value_in_words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{item} {_value_in_words(of)}" for item, of in value.items())
    if isinstance(value, list | tuple):
        sizes = all(type(item) is int for item in value)
        return (" × " if sizes else " ").join(map(_value_in_words, value))
    if isinstance(value, int):
        return f"{value:,}"
    return format_number(value, 5) if isinstance(value, float) else str(value)


def _best_by_library(
    advice: Advice,
) -> list[tuple[str, str, list[tuple[TableRow, Recommendation]]]]:
    """Return (name, title, [(row, recommendation), …]) of each library; the page's own is first."""
    first = shown_library(advice.budgets, advice.library)
    pairs: dict[str, list[tuple[TableRow, Recommendation]]] = {first: []}
    for budget in advice.budgets:
        for name, best in budget.best.items():
            pairs.setdefault(name, []).append((table_row(budget, name), best))
    return [(name, title(name), some) for name, some in pairs.items() if some]
