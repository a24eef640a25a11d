r"""Error decomposition: columns for errors of start, discretisation, end, distribution and model.

* **start**: samples begin at sigma_max z instead of x0 + sigma_max z. ``benchmarks.suites.cell.start_error``
  has the error in closed form for Gaussian data.
* **discretisation**: typical error and root mean square of the distances to the converged endpoints,
  share of flips, and order of convergence p. Let r_1 and r_2 be the typical errors at successive
  budgets n_1 < n_2 of a curve, and s_1 and s_2 their errors. Then p is log(r_1 / r_2) /
  log(n_2 / n_1). Its error is hypot(s_1 / r_1, s_2 / r_2) / log(n_2 / n_1), less for shared latents.
* **end**: a grid that ends at sigma_min misses the last stretch of the ODE. There |dx/dsigma| is at
  most 1 per dimension, as a root mean square. So the error of the end is at most sigma_min
  (``end_bound``). It is part of ``rmse``.
* **distribution**: ``fd_conv``, the distance to converged samples of the same model.
* **model**: ``fid_proxy_converged``, the distance of converged samples to the data, which no sampler
  can reduce.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from ..text import interval_ends
from ..values import Record, number, rows_as_dicts, text
from .curves import comparable_parts
from .typed_table import TypedTable

COPIED = (
    *("model", "curve", "slot", "nfe", "samples", "start", "end"),
    *("typical_error", "typical_error_se", "rmse", "rmse_se", "rmse_median", "rmse_flag"),
    *("flip_fraction", "fd_conv", "fd_conv_se", "fd_conv_low", "fd_conv_high"),
    *("fid_proxy", "fid_proxy_converged", "fid_proxy_converged_se"),
    *("fid_proxy_converged_low", "fid_proxy_converged_high", "dominated", "estimator"),
)
DERIVED = ("order", "order_low", "order_high", "end_bound", "start_error")


def error_decomposition(
    table: TypedTable, starts: Mapping[str, Mapping[str, float]] | None = None
) -> pd.DataFrame:
    """Return the finished rows of a table, sorted along curves, with a column for each error.

    Args:
        table: result table.
        starts: error of the start, by model and by value of ``start``, from ``run.json``.

    Returns:
        Columns :data:`COPIED` of the table and :data:`DERIVED`. ``order`` is from a row and the row
        before on its curve; its 95 % interval is ``order_low`` to ``order_high``. ``end_bound`` is
        0 for grids that end at 0. Errors of samples are per dimension, in the units of the data.
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
    """Return the budgets from which on the model's error dominates distances to the data.

    Returns:
        One row per model and estimator, with columns ``model``, ``dominated_from`` and
        ``estimator``. ``dominated_from`` is the budget from which on each budget's row with the
        smallest ``fd_conv`` is dominated, or NaN if the last one is not.
    """
    lines = []
    for _, rows in comparable_parts(table.frame):
        finished = rows.loc[(rows["status"] == "ok") & rows["dominated"].notna()]
        if len(finished):
            best_first = finished.dropna(subset=["slot", "fd_conv"]).sort_values(
                "fd_conv", kind="stable"
            )
            best = best_first.drop_duplicates("slot").sort_values("slot", ascending=False)
            budget = math.nan
            for row in rows_as_dicts(best):
                if not row["dominated"]:
                    break
                budget = float(number(row, "slot") or math.nan)
            first = rows_as_dicts(finished.head(1))[0]
            lines.append((text(first, "model"), budget, text(first, "estimator")))
    return pd.DataFrame(lines, columns=["model", "dominated_from", "estimator"])


def measured_order(
    nfe: tuple[float, float], error: tuple[float, float], se: tuple[float, float]
) -> tuple[float, float]:
    """Return the order of convergence between two budgets, and its standard error.

    ``nfe`` has the evaluations of both, the second larger. ``error`` has the errors, > 0, and ``se``
    their standard errors.
    """
    octaves = math.log(nfe[1] / nfe[0])
    relative_se = math.hypot(se[0] / error[0], se[1] / error[1])
    return math.log(error[0] / error[1]) / octaves, relative_se / octaves


def _order_between(before: Record, row: Record) -> Record:
    """Return ``order`` and its interval from two rows of a curve; {} if an error is unresolved."""
    (n0, r0, s0), (n1, r1, s1) = (_resolved_error(point) for point in (before, row))
    if not (0 < n0 < n1 and r0 > 0 and r1 > 0):  # NaN fails this too
        return {}
    value, se = measured_order((n0, n1), (r0, r1), (s0, s1))
    low, high = interval_ends(value, se)
    return {"order": value, "order_low": low, "order_high": high}


def _resolved_error(row: Record) -> tuple[float, float, float]:
    """Return (nfe, typical error, its standard error); NaN if missing or below the resolution."""
    n, error, se = (number(row, name) for name in ("nfe", "typical_error", "typical_error_se"))
    if n is None or error is None or se is None or error <= (number(row, "rmse_resolution") or 0.0):
        return math.nan, math.nan, math.nan
    return n, error, se
