"""Drawing of a figure by the name of its kind, and export of all figures of a run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from ..quantities import find
from ..table.curves import comparable_parts
from ..table.reading import read_table
from ..table.typed_table import TypedTable
from ..text import name_hint
from .axes import plottable_metrics
from .ecdf import default_metric, ecdf, profile
from .ranking import ranking, rows_at_budget, timing
from .samples import samples
from .series import series_of
from .typography import METADATA, Sheet, Width, save
from .work_precision import front, work_precision

Kind = Literal["work-precision", "pareto", "ecdf", "profile"]
OVER_MODELS: dict[str, Any] = {"ecdf": ecdf, "profile": profile}
"""Functions that draw all models of a table together, by kind of figure."""
DRAWN: dict[str, Any] = {"work-precision": work_precision, "pareto": front, **OVER_MODELS}

FORMATS = tuple(METADATA)
KINDS = ("work-precision", "pareto", "ranking", "timing", "samples", "ecdf", "profile")
COSTS = ("nfe", "ms_per_sample")
DEFAULT_METRICS = ("fid_proxy", "fd_conv", "typical_error", "psnr_conv")
TIMED = ["ms_per_sample", "model_ms_per_sample", "slot"]


def write_figures(
    source: Path | str,
    out: Path | str,
    *,
    formats: Sequence[str] = ("svg", "png", "pdf"),
    kinds: Sequence[str] = KINDS,
    metrics: Sequence[str] = (),
    models: Sequence[str] = (),
    samplers: Sequence[str] = (),
    width: Width = "single",
) -> list[Path]:
    """Write the figures of a run, each of one model, as ``MODEL-KIND-METRIC-COST.FORMAT``.

    Kinds "ranking", "timing" and "samples" are named ``MODEL-KIND.FORMAT``. Kinds "ecdf" and
    "profile" show all models together, as ``KIND-METRIC.FORMAT``. Of equal names, the second ends
    with "-2".

    Args:
        source: run directory or table.
        out: folder, created if it does not exist.
        formats: some of :data:`FORMATS`.
        kinds: some of :data:`KINDS`. Kinds without data in the run are left out. "ecdf" and
            "profile" cannot draw a metric that is better when higher: they leave it out if all
            kinds are given; otherwise it is an error.
        metrics: columns to draw; empty for all of :data:`DEFAULT_METRICS` that have values, and in
            kinds "ecdf" and "profile" for :func:`.ecdf.default_metric`.
        models: models to draw; empty for all.
        samplers: samplers to draw; empty for all.
        width: "single" or "double": one or two columns of a page.

    Returns:
        Paths of the files, in the order of writing.

    Raises:
        ValueError: a format, kind, metric, model or sampler is unknown, a metric does not suit a
            kind, there is nothing to draw, or ``out`` is a link out of the run directory.
    """
    _check_no_link_out_of_run(Path(source), Path(out))
    table = read_table(source)
    _check_known("format", formats, FORMATS)
    _check_known("figure", kinds, KINDS)
    _check_metrics(metrics, table)
    if metrics and not {*kinds} & {*DRAWN}:
        raise ValueError(f"--metric does not suit {', '.join(kinds)}; it is for {', '.join(DRAWN)}")
    for column, names in (("model", models), ("sampler", samplers)):
        table = table.where(**{column: list(names)}) if names else table
    measured = [name for name in DEFAULT_METRICS if len(table.frame.dropna(subset=[name]))]
    drawn_metrics = metrics or measured or ["rmse"]  # older tables may have only this one
    some = {*kinds} < {*KINDS}
    targeted = [m for m in metrics or [default_metric(table)] if some or find(m).lower]
    figures = [
        drawn
        for kind in KINDS
        if kind in kinds
        for drawn in _figures_of_kind(
            kind, source, table, targeted if kind in OVER_MODELS else drawn_metrics, width
        )
    ]
    if not figures:
        raise ValueError(
            f"{source} has nothing to draw of {', '.join(kinds)}; choose other figures or metrics"
        )
    # names of two models can have one slug
    names = [name for name, _ in figures]
    places = [names[:place].count(name) for place, name in enumerate(names)]
    return [
        save(figure, Path(out) / f"{name}{f'-{place + 1}' if place else ''}.{form}")
        for (name, figure), place in zip(figures, places, strict=True)
        for form in formats
    ]


def slug_of(words: str) -> str:
    """Return words as a file name of at most 60 letters, digits and hyphens, or else "model"."""
    return re.sub(r"[^A-Za-z0-9]+", "-", words).strip("-")[:60] or "model"


def _figures_of_kind(
    kind: str, source: Path | str, table: TypedTable, metrics: Sequence[str], width: Width
) -> Iterator[tuple[str, Sheet]]:
    frame = table.ok.frame
    if kind in OVER_MODELS:
        for metric in metrics:
            if len(frame.loc[(frame[metric] > 0) & (frame["nfe"] > 0)]):
                yield f"{kind}-{metric}", OVER_MODELS[kind](table, metric, width=width)
        return
    if kind == "samples":
        if (Path(source) / "parts").is_dir():
            for title, figure in samples(source, frame, width=width):
                yield f"{slug_of(title)}-samples", figure
        return
    for title, rows in comparable_parts(frame):
        part = TypedTable(rows.drop(columns=["curve", "slot"]))
        name = f"{slug_of(title)}-{kind}"
        if kind == "timing" and len(rows.dropna(subset=TIMED)):
            yield name, timing(part, width=width)
        elif kind == "ranking" and rows_at_budget(
            part, None, "fid_proxy", "typical_error", fewest=2
        ):
            yield name, ranking(part, width=width)
        elif kind in DRAWN:
            for metric, cost in product(metrics, COSTS):
                if series_of(rows, metric, cost):
                    yield f"{name}-{metric}-{cost}", DRAWN[kind](part, metric, cost, width=width)


def _check_known(thing: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"there is no {thing} {name!r}; {name_hint(name, known)}")


def _check_metrics(names: Sequence[str], table: TypedTable) -> None:
    """Raise a ValueError, which proposes metrics, for a name that is no column of numbers."""
    frame = table.frame
    for name in names:
        if name not in frame or not pd.api.types.is_numeric_dtype(frame[name]):
            known = plottable_metrics(frame)
            remedy = name_hint(name, known) if known else "none has values here"
            why = "is no column of numbers" if name in frame else "is no column of the table"
            raise ValueError(f"there is no metric {name!r}: it {why}; {remedy}")


def _check_no_link_out_of_run(source: Path, out: Path) -> None:
    seems_inside = out.absolute().is_relative_to(source.absolute())
    if seems_inside and not out.resolve().is_relative_to(source.resolve()):
        raise ValueError(
            f"{out} is a link that leads out of the run directory, to {out.resolve()}; "
            "remove it or choose a folder with --out"
        )


def draw(
    table: TypedTable,
    metric: str,
    cost: str,
    *,
    kind: Kind = "work-precision",
    width: Width = "single",
) -> Sheet:
    """Draw quality against cost, as the figure ``kind`` of :data:`DRAWN`.

    Raises a ValueError if ``kind`` is unknown, or no row has both ``metric`` and ``cost``.
    """
    if kind not in DRAWN:
        raise ValueError(f"there is no figure {kind!r}; choose from {', '.join(DRAWN)}")
    return DRAWN[kind](table, metric, cost, width=width)
