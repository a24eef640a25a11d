"""``show --errors`` and ``show --to-floor``: the errors apart, and the evaluations until the floor, readable at 80 columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .console import print_rows, say

if TYPE_CHECKING:
    from ...results.table.result_table import ResultTable


def print_headline(table: ResultTable) -> None:
    """Print how many evaluations each curve takes until ``fd_conv`` reaches the floor, a block for each model and estimator."""
    from ...results.comparison.headline import headline
    from ...results.text import short
    from ...results.values import rows_of

    for _, lines in headline(table).groupby(["model", "estimator"], sort=False):
        first = lines.iloc[0]
        say(f"{first['model']}: evaluations until fd_conv is within {short(first['tolerance'])}, the floor of {first['samples']} samples")
        rows = [{**row, "name": row["curve"], "shown": f"{row['shown']}{'†' if row['flag'] else ''}"} for row in rows_of(lines)]
        print_rows(rows, {"name": "sampler", "shown": "NFE to floor [95 %]", "verdict": "verdict"})
        say("Verdicts are against the first, over all pairs of samplers." + (" † interval flagged.\n" if any(lines["flag"]) else "\n"))


def print_errors(
    table: ResultTable, starts: Mapping[str, Mapping[str, float]], paths: Mapping[str, Mapping[str, Any]] | None = None
) -> None:
    """Print each error of each row in a column of its own, how the paths bend, and from where on the model's own error rules a ranking.

    Args:
        table: results.
        starts: ``start_errors`` of ``run.json``.
        paths: ``path_curvature`` of ``run.json``; an older one has none.
    """
    from ...results.table.error_decomposition import dominated_from, error_decomposition
    from ...results.terminal.path_curvature import curvature_lines
    from ...results.values import rows_of

    whole = dominated_from(table)
    for _, lines in error_decomposition(table, starts).groupby(["model", "estimator"], sort=False, dropna=False):
        rows = rows_of(lines)
        model, estimator = rows[0]["model"], rows[0]["estimator"]
        say(f"{model}{_model_error(rows[0])}")
        for line in curvature_lines((paths or {}).get(str(model))):
            say(line)
        print_rows([_cells(row) for row in rows], {
            "curve": "sampler", "nfe": "NFE", "start": "start", "rmse": "rmse", "median": "median", "flips": "flips", "order": "order",
            "end": "end", "fd_conv": "fd_conv",
        })  # fmt: skip
        mine = whole.loc[(whole["model"] == model) & (whole["estimator"] == estimator) & (whole["curve"] == "")]
        say(_ruled(mine, measured=any(row["fid_proxy_converged"] is not None for row in rows)) + "\n")
    say("start: what the start leaves, for Gaussian data; end: bound of what a grid to sigma_min leaves; order from the budget")
    say("before, ± 1.96 standard errors; × after fd_conv: a ranking by fid_proxy is dominated by the model's error there.")


def _model_error(row: dict[str, Any]) -> str:
    from ...results.intervals import with_bounds

    if row["fid_proxy_converged"] is None:
        return ""
    return f": the model's own error, fid_proxy of converged samples, is {with_bounds(row, 'fid_proxy_converged')}"


def _ruled(whole: Any, *, measured: bool) -> str:
    """From where on the model's error rules; nothing where it was not measured, as without a reference or in an older table."""
    from ...results.text import short

    if not len(whole):
        return "The converged samples are too few to say where the model's error dominates." if measured else ""
    at = whole["dominated_from"].iloc[0]
    where = "at none of these budgets" if at != at else f"from {short(at)} evaluations on"
    return f"The model's error dominates the lead in a ranking by fid_proxy {where}."


def _cells(row: dict[str, Any]) -> dict[str, str]:
    """What is printed of a row of :func:`~samplerbench.results.table.error_decomposition.error_decomposition`."""
    from ...results.text import short

    def shown(name: str, digits: int = 2) -> str:
        return "" if row[name] is None else short(row[name], digits)

    order = "" if row["order"] is None else f"{row['order']:.1f}±{(row['order_high'] - row['order']):.1f}"
    return {
        "curve": row["curve"], "nfe": shown("nfe", 3), "start": shown("start_error"), "rmse": shown("rmse"), "median": shown("rmse_median"),
        "flips": shown("flip_fraction"), "order": order, "end": shown("end_bound"),
        "fd_conv": shown("fd_conv") + ("×" if row["dominated"] is True else ""),
    }  # fmt: skip
