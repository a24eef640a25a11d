"""``figures``: the figures of a run, as files for papers and pages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import say

Run = Annotated[Path, typer.Argument(help="Run directory, or a folder with its table.csv.")]
Out = Annotated[Path | None, typer.Option("--out", help="Where they go (RUN/figures).")]
Formats = Annotated[str, typer.Option("--format", help="svg, png and pdf, or some of them, separated by commas.")]
Kinds = Annotated[str | None, typer.Option("--kind", help="work-precision, pareto, ranking, timing, samples: some, by commas.")]
Metrics = Annotated[list[str] | None, typer.Option("--metric", help="Column to draw (repeatable).")]
ModelNames = Annotated[list[str] | None, typer.Option("--model", help="Draw this model only (repeatable).")]
SamplerNames = Annotated[list[str] | None, typer.Option("--sampler", help="Draw this sampler only (repeatable).")]
WidthName = Annotated[str, typer.Option("--width", help="single (85 mm) or double (175 mm) column.")]


def figures(
    run: Run, out: Out = None, formats: Formats = "svg,png,pdf", kind: Kinds = None, metric: Metrics = None,
    model: ModelNames = None, sampler: SamplerNames = None, width: WidthName = "single",
) -> None:  # fmt: skip
    """Write the figures of a run: work-precision plots, Pareto fronts, rankings, times and samples."""
    from ...results.figures import KINDS, write_figures

    if width not in ("single", "double"):
        raise ValueError(f"--width {width!r}: choose single or double")
    kinds = KINDS if kind is None else _listed(kind)
    paths = write_figures(
        run, out or run / "figures", formats=_listed(formats), kinds=kinds, metrics=metric or (), models=model or (),
        samplers=sampler or (), width=width,
    )  # fmt: skip
    for path in paths:
        say(f"Figure: {path}")


def _listed(words: str) -> list[str]:
    return [word.strip() for word in words.split(",")]
