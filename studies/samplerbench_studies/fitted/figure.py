"""Figures of the study: errors with the bound below them, and from how many samples on a fit pays.

python -m samplerbench_studies.fitted.figure --csv scores.csv --bound bound.csv --out docs/figures
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from samplerbench.results.figures import Sheet, save

from .scoring import V3
from .table import Row, geometric_means, of_use, read_scores, short_name

Floats = NDArray[np.float64]


class Line(NamedTuple):
    """Look of a method: its name in the legend, colour, marker, dash, and width."""

    name: str
    colour: str
    marker: str = "o"
    dash: str = "-"
    width: float = 1.0


LINES = {
    "log-snr": Line("DPM-Solver++(2M), log-SNR", "#8f8978", "s"),
    "untuned": Line("best untuned", "#2c2d32", "s", width=1.6),
    "gits": Line("GITS", "#b07c10", "^", ":"),
    "dmn": Line("DMN", "#b07c10", "v"),
    "hso": Line("HSO", "#b07c10", "x", "-."),
    "oss": Line("OSS", "#b07c10", "<", "--"),
    V3: Line("DPM-Solver-v3", "#a44a8c", "d"),
    "ld3-network": Line("LD3", "#2a6fb5", "^", ":"),
    "bns": Line("BNS, S4S", "#2a6fb5", "o"),
    "dyweight": Line("DyWeight", "#2a6fb5", "v", "--"),
    "transferred": Line("NeuralSolver", "#7aa6d8", "P", "-."),
    "auto": Line("auto", "#137a4b", "D", width=1.8),
    "advise": Line("advise (auto, fitted)", "#137a4b", "o", "--", 1.4),
}
"""Methods in the figures, in the order of the legend."""
BOUND = Line("table fitted to the measured noise", "#c0392b", ".", ":", 1.2)
STYLE: Any = {
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "svg.hashsalt": "samplerbench",
}
ACROSS = 3
TARGET = 8
"""Evaluations of the best untuned configuration whose error is the target of the second figure."""


def draw_errors(scores: Sequence[Row], bound: Sequence[Row] = ()) -> Sheet:
    """Return the figure of typical errors by evaluations, one panel a model."""
    models = list(dict.fromkeys(row["model"] for row in scores))
    figure, panels = _sheet(len(models))
    for axes, model in zip(panels, models, strict=True):
        for method, line in LINES.items():
            means = geometric_means(_rows_of(scores, model, method), "typical_error")
            if means:
                _plot(axes, list(means), list(means.values()), line)
        own = (row for row in of_use(bound) if row["model"] == model)
        lowest = geometric_means(own, "oracle")
        if lowest:
            _plot(axes, list(lowest), list(lowest.values()), BOUND)
        _finish(axes, model, (4, 6, 10, 15))
    _label(panels, "evaluations", "typical error")
    _legend(figure, panels)
    return figure


def _rows_of(scores: Sequence[Row], model: str, method: str) -> list[Row]:
    return [row for row in scores if (row["model"], row["method"]) == (model, method)]


def draw_costs(scores: Sequence[Row]) -> Sheet:
    """Return the figure of evaluations a sample, n + search / M, that reach a target, by samples M."""
    models = list(dict.fromkeys(row["model"] for row in scores))
    figure, panels = _sheet(len(models))
    samples = np.geomspace(1e2, 1e6, 81)
    for axes, model in zip(panels, models, strict=True):
        best = geometric_means(_rows_of(scores, model, "untuned"), "typical_error")
        for method, line in LINES.items():
            rows = _rows_of(scores, model, method)
            errors, search = (geometric_means(rows, name) for name in ("typical_error", "total"))
            total = evaluations_to_target(errors, search, best.get(TARGET), samples)
            looks: dict[str, Any] = {"color": line.colour, "ls": line.dash, "lw": line.width}
            axes.plot(samples, total, label=line.name, **looks)
        axes.set(xscale="log", yscale="log", ylim=(3, 60))
        _finish(axes, model, (10**2, 10**4, 10**6), (4, 6, 10, 20, 40))
    _label(panels, "samples made", "evaluations a sample")
    _legend(figure, panels)
    return figure


def evaluations_to_target(
    errors: Mapping[int, float], search: Mapping[int, float], target: float | None, samples: Floats
) -> Floats:
    """Return the least n + search / M with an error of at most ``target``, for each M in ``samples``.

    Errors and costs between measured budgets are interpolated in logarithms. NaN where no measured
    budget reaches the target.

    Args:
        errors: errors > 0, by number of evaluations.
        search: evaluations that finding the solver took, likewise; empty for none.
        target: error to reach, or None.
        samples: numbers of samples M, ``(m,)``.
    """
    if target is None or len(errors) < 2:
        return np.full(len(samples), np.nan)
    n, budgets = np.geomspace(min(errors), max(errors), 200), list(errors)
    good = _interpolate(n, budgets, list(errors.values())) <= target
    if not good.any():
        return np.full(len(samples), np.nan)
    spent = _interpolate(n, budgets, [search[b] for b in budgets]) if search else np.zeros(len(n))
    return (n[good, None] + spent[good, None] / samples).min(0)


def _interpolate(n: Floats, budgets: list[int], values: list[float]) -> Floats:
    return np.exp(np.interp(np.log(n), np.log(budgets), np.log(values)))


def _sheet(panels: int) -> tuple[Sheet, list[Axes]]:
    down = -(-panels // ACROSS)
    figure = Sheet(figsize=(7.2, 1.9 * down + 0.75), layout="constrained")
    grid = figure.subplots(down, ACROSS, squeeze=False).ravel().tolist()
    for unused in grid[panels:]:
        unused.remove()
    return figure, grid[:panels]


def _plot(axes: Axes, x: list[int], y: list[float], line: Line) -> None:
    looks: dict[str, Any] = {"color": line.colour, "ls": line.dash, "lw": line.width}
    axes.plot(x, y, marker=line.marker, ms=2.8, label=line.name, **looks)


def _finish(axes: Axes, model: str, x: Sequence[int] = (), y: Sequence[int] = ()) -> None:
    axes.set_title(short_name(model))
    axes.set(xscale="log", yscale="log")
    for axis, ticks in ((axes.xaxis, x), (axes.yaxis, y)):
        axis.set_major_locator(FixedLocator(list(ticks)) if ticks else LogLocator(numticks=6))
        axis.set_major_formatter(FuncFormatter(_power_or_number))
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
    axes.grid(visible=True, lw=0.4, color="#e4e0d6")


def _power_or_number(value: float, _place: int | None = None) -> str:
    exponent = round(math.log10(value))
    power = math.isclose(value, 10.0**exponent) and not -2 <= exponent <= 1
    return f"10{str(exponent).translate(_RAISED)}" if power else f"{value:g}"


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def _label(panels: Sequence[Axes], x: str, y: str) -> None:
    """Label the panels of the first column and of the last row."""
    for place, axes in enumerate(panels):
        if place % ACROSS == 0:
            axes.set_ylabel(y)
        if place + ACROSS >= len(panels):
            axes.set_xlabel(x)


def _legend(figure: Sheet, panels: Sequence[Axes]) -> None:
    """Draw one legend for all panels, in the order of :data:`LINES`."""
    named = {
        label: handle
        for axes in panels
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    names = [line.name for line in (*LINES.values(), BOUND) if line.name in named]
    handles = [named[name] for name in names]
    figure.legend(handles, names, loc="outside lower center", ncols=5, frameon=False, fontsize=6.5)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--bound", type=Path)
    parser.add_argument("--out", type=Path, default=Path())
    args = parser.parse_args()
    scores, bound = read_scores(args.csv), read_scores(args.bound) if args.bound else []
    with rc_context(STYLE):
        save(draw_errors(scores, bound), args.out / "fitted-errors.png")
        save(draw_costs(scores), args.out / "fitted-costs.png")


if __name__ == "__main__":
    main()
