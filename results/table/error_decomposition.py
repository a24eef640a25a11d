r"""The error decomposition: start, discretisation, end, distribution and model, each in a column of
its own.

* **start**: samples begin at sigma_max z, not at x0 + sigma_max z. Known in closed form for
  Gaussian data (``benchmarks.scoring.start_error``).
* **discretisation**: the typical distance to the converged endpoint of the same latent, the root
  mean square, the share of samples that ended elsewhere, and the order of the typical distance
  between a budget and the one before on the curve, p = log(r_1 / r_2) / log(n_2 / n_1). By the
  delta method its standard error is hypot(s_1 / r_1, s_2 / r_2) / log(n_2 / n_1), as of independent
  values: shared latents make it smaller.
* **end**: a grid that ends at sigma_min leaves its last stretch undone. dx/dsigma is the mean of
  the noise given x, whose root mean square is at most the noise's, 1 per dimension, so what is left
  is at most sigma_min (``end_bound``). It is part of ``rmse``.
* **distribution**: ``fd_conv``, to converged samples of the same model.
* **model**: ``fid_proxy_converged``, of converged samples to the data: what no sampler can take
  away.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from ..record import Record
from ..text import interval_ends
from ..values import number, rows_as_dicts, text
from .curves import comparable_parts
from .typed_table import TypedTable

COPIED = (
    "model",
    "curve",
    "slot",
    "nfe",
    "samples",
    "start",
    "end",
    "typical_error",
    "typical_error_se",
    "rmse",
    "rmse_se",
    "rmse_median",
    "rmse_flag",
    "flip_fraction",
    "fd_conv",
    "fd_conv_se",
    "fd_conv_low",
    "fd_conv_high",
    "fid_proxy",
    "fid_proxy_converged",
    "fid_proxy_converged_se",
    "fid_proxy_converged_low",
    "fid_proxy_converged_high",
    "dominated",
    "estimator",
)
DERIVED = ("order", "order_low", "order_high", "end_bound", "start_error")


def error_decomposition(
    table: TypedTable, starts: Mapping[str, Mapping[str, float]] | None = None
) -> pd.DataFrame:
    """Return one row per finished row of a table, along its curves: a column for each error.

    Args:
        table: results.
        starts: the start's error by model and name of the start, from ``run.json``.

    Returns:
        Columns of the table (:data:`COPIED`), and ``order`` with the ends ``order_low`` and
        ``order_high`` of its 95 % interval, from the budget before to this one; ``end_bound`` (0
        for grids that end at 0); ``start_error``. Errors of single samples are root mean squares
        per dimension, in the units of the data.
    """
    lines = []
    for _, rows in comparable_parts(table.frame):
        finished = rows.loc[rows["status"] == "ok"].sort_values(["curve", "nfe"], kind="stable")
        before: Record = {}
        for row in rows_as_dicts(finished):
            same = before.get("curve") == row["curve"]
            start = (starts or {}).get(text(row, "model"), {}).get(text(row, "start"))
            lines.append(
                {
                    **{name: row.get(name) for name in COPIED},
                    **_order_between(before if same else {}, row),
                    "end_bound": 0.0 if row.get("end") == "zero" else number(row, "sigma_min"),
                    "start_error": start,
                }
            )
            before = row
    return pd.DataFrame(lines, columns=[*COPIED, *DERIVED])


def dominated_from(table: TypedTable) -> pd.DataFrame:
    """Return the budget from which on the model's error dominates a ranking by distance to data.

    Returns:
        One row per model, estimator and curve with the columns ``model``, ``curve``,
        ``dominated_from`` (counted nfe from which on each row of the curve is dominated; NaN if its
        last is not) and ``estimator``. The row with an empty curve is the ranking's: the budget
        from which on the row with the smallest ``fd_conv``, the winner among solvers, is dominated.
        The model then decides which sampler leads by distance to the data.
    """
    lines = []
    for _, rows in comparable_parts(table.frame):
        finished = rows.loc[(rows["status"] == "ok") & rows["dominated"].notna()]
        if len(finished):
            best_first = finished.dropna(subset=["slot", "fd_conv"]).sort_values(
                "fd_conv", kind="stable"
            )
            groups = [("", best_first.drop_duplicates("slot"), "slot")]
            groups += [(str(curve), points, "nfe") for curve, points in finished.groupby("curve")]
            first = rows_as_dicts(finished.head(1))[0]
            lines += [
                (
                    text(first, "model"),
                    curve,
                    _cost_dominated_from(points, at),
                    text(first, "estimator"),
                )
                for curve, points, at in groups
            ]
    return pd.DataFrame(lines, columns=["model", "curve", "dominated_from", "estimator"])


def measured_order(
    nfe: tuple[float, float], error: tuple[float, float], se: tuple[float, float]
) -> tuple[float, float]:
    """Return the order between two budgets, and its standard error.

    ``nfe`` are their evaluations, the second larger, ``error`` their errors > 0 and ``se`` the
    standard errors of these.
    """
    octaves = math.log(nfe[1] / nfe[0])
    relative_se = math.hypot(se[0] / error[0], se[1] / error[1])
    return math.log(error[0] / error[1]) / octaves, relative_se / octaves


def _order_between(before: Record, row: Record) -> Record:
    """Return the measured order between two points of a curve, where both errors are resolved."""
    (n0, r0, s0), (n1, r1, s1) = (_resolved_error(point) for point in (before, row))
    if not (0 < n0 < n1 and r0 > 0 and r1 > 0):  # false for NaN too
        return {}
    value, se = measured_order((n0, n1), (r0, r1), (s0, s1))
    low, high = interval_ends(value, se)
    return {"order": value, "order_low": low, "order_high": high}


def _resolved_error(row: Record) -> tuple[float, float, float]:
    """Return evaluations, typical error and standard error; NaN where the error is unresolved."""
    n, error, se = (number(row, name) for name in ("nfe", "typical_error", "typical_error_se"))
    if n is None or error is None or se is None or error <= (number(row, "rmse_resolution") or 0.0):
        return math.nan, math.nan, math.nan
    return n, error, se


def _cost_dominated_from(points: pd.DataFrame, at: str) -> float:
    """Return the smallest cost from which on all points are dominated; NaN if the last is not."""
    cost = math.nan
    for row in reversed(rows_as_dicts(points.sort_values(at, kind="stable"))):
        if not row["dominated"]:
            break
        cost = float(number(row, at) or math.nan)
    return cost
