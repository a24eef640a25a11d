"""Rows of the frontier's table, and the table as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from samplerbench.results import csv_lines, format_number, markdown_table
from samplerbench.results.run_directory import write_text

from .candidates import Candidate
from .measure import Errors

CRITERIA = ("median", "rms")
RESAMPLES = 400
EXACT = 1e-12
"""Smallest error in a ratio; smaller ones count as exact and are replaced by it."""


def winner_row(
    model: str,
    end: str,
    budget: int,
    side: str,
    criterion: str,
    candidate: Candidate,
    nfe: int,
    errors: Errors,
    best: Errors | None,
) -> dict[str, Any]:
    """Return a winner's row: its errors on the scoring half, and ratios to ``best``.

    Ratios have a paired 95 % interval. ``best`` are the errors of this library's best
    configuration or ``auto``, chosen on the other half. Without ``best``, ratios are None.
    """
    ratio, low, high = (
        error_ratio(errors, best, criterion) if best is not None else (None, None, None)
    )
    return {
        "model": model,
        "end": end,
        "budget": budget,
        "criterion": criterion,
        "side": side,
        "sampler": candidate.spec,
        "schedule": "its own" if candidate.side == "auto" else candidate.schedule.label,
        "nfe": nfe,
        "median": errors.median,
        "rms": errors.rms,
        "flip_fraction": errors.flip_fraction,
        "ratio_to_ours": ratio,
        "ratio_low": low,
        "ratio_high": high,
        "samples": len(errors.distance),
    }


def error_ratio(errors: Errors, other: Errors, criterion: str) -> tuple[float, float, float]:
    """Return the ratio errors / other by a criterion, with a paired bootstrap's 95 % interval."""
    rng = np.random.default_rng(0)
    n = len(errors.distance)

    def value(e: Errors, which: np.ndarray | slice) -> float:
        distance, kept = e.distance[which], ~e.flipped[which]
        found = (
            np.median(distance)
            if criterion == "median"
            else np.sqrt(np.mean(np.square(distance[kept])))
        )
        return max(float(found), EXACT)

    draws = [rng.integers(0, n, n) for _ in range(RESAMPLES)]
    ratios = [value(errors, which) / value(other, which) for which in draws]
    low, high = np.quantile(ratios, [0.025, 0.975])
    return value(errors, slice(None)) / value(other, slice(None)), float(low), float(high)


def summary_sentences(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the findings as sentences: peers against this library, default against all others."""
    lines = []
    for criterion in CRITERIA:
        ratios = {
            (r["model"], r["end"], r["budget"]): r["ratio_to_ours"]
            for r in rows
            if (r["criterion"], r["side"]) == (criterion, "peers")
            and r["ratio_to_ours"] is not None
        }
        if ratios:
            where = min(ratios, key=lambda key: ratios[key])
            lines.append(
                f"{criterion}: the best peer's error is {_geometric_mean(ratios.values()):.2f} times that of "
                "the best of samplerbench (geometric mean), "
                f"at least {ratios[where]:.2f} times ({_place_in_words(where)})."
            )
    for criterion in CRITERIA:
        ratios = default_over_best_ratios(rows, criterion)
        if ratios:
            where = max(ratios, key=lambda key: ratios[key])
            by_model: dict[str, list[float]] = {}
            for (model, _, _), ratio in ratios.items():
                by_model.setdefault(model, []).append(ratio)
            means = {model: _geometric_mean(values) for model, values in by_model.items()}
            worst = max(means, key=lambda model: means[model])
            lines.append(
                f"auto: {_geometric_mean(ratios.values()):.2f} times the best {criterion} error of all other "
                f"configurations (geometric mean); at most {means[worst]:.2f} times on a model "
                f"({worst}), and {ratios[where]:.2f} times in a cell ({_place_in_words(where)})."
            )
    return lines


def _place_in_words(key: tuple[str, str, int]) -> str:
    """Return model, end and budget in words."""
    model, end, budget = key
    return f"{model}, to {'0' if end == 'zero' else end}, {budget} evaluations"


def _geometric_mean(ratios: Iterable[float]) -> float:
    """Return the geometric mean."""
    return float(np.exp(np.mean(np.log(list(ratios)))))


def default_over_best_ratios(
    rows: Sequence[Mapping[str, Any]], criterion: str
) -> dict[tuple[str, str, int], float]:
    """Return the default's error over the best other's, by (model, end, budget)."""
    found: dict[tuple[str, str, int], dict[str, float]] = {}
    for row in rows:
        if row["criterion"] == criterion:
            key = (row["model"], row["end"], row["budget"])
            found.setdefault(key, {})[row["side"]] = max(row[criterion], EXACT)
    return {
        key: sides["auto"] / min(error for side, error in sides.items() if side != "auto")
        for key, sides in found.items()
        if "auto" in sides and len(sides) > 1
    }


def write_frontier(rows: Sequence[Mapping[str, Any]], folder: Path) -> Path:
    """Write all rows as ``frontier.csv``, and a summary as ``frontier.md``.

    Returns:
        The path of ``frontier.md``.
    """
    header = list(rows[0]) if rows else []
    lines = csv_lines(header, ([row[key] for key in header] for row in rows))
    write_text(folder / "frontier.csv", lines)
    parts = [*(f"- {sentence}" for sentence in summary_sentences(rows)), ""]
    for criterion in CRITERIA:
        parts += [
            f"## By {criterion} error",
            "",
            _markdown_table([row for row in rows if row["criterion"] == criterion], criterion),
        ]
    write_text(folder / "frontier.md", "\n".join(parts))
    return folder / "frontier.md"


def _markdown_table(rows: Sequence[Mapping[str, Any]], criterion: str) -> str:
    columns = (
        "model",
        "end",
        "NFE",
        "side",
        "sampler",
        "schedule",
        f"{criterion} error",
        "flipped",
        "ratio to ours (95 %)",
    )
    return markdown_table(
        columns,
        [
            (
                *(row[key] for key in ("model", "end", "budget", "side", "sampler", "schedule")),
                format_number(row[criterion]),
                f"{row['flip_fraction']:.1%}",
                f"{format_number(row['ratio_to_ours'])} [{format_number(row['ratio_low'])}, "
                f"{format_number(row['ratio_high'])}]",
            )
            for row in rows
        ],
    )
