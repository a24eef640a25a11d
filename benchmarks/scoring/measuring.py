"""Measurement of a cell's samples by metrics; valid stored numbers are reused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...results.record import Record
from ...results.run_directory.reading import log
from ..metrics.metric import Metric, origin
from ..sampling.shard import Arrays
from ..suites.cell import Cell
from .context import CellContext
from .versions import METRICS, asked_metrics, checked, kept_numbers, versions_of


def measure(
    cell: Cell,
    context: CellContext,
    requested: Mapping[str, str],
    stored_versions: Mapping[str, str],
    done: Mapping[str, Any],
    arrays: Arrays,
) -> tuple[Record, Arrays]:
    """Return the quality columns of a cell and their influence values.

    Args:
        cell: of the samples.
        context: the samples and their references.
        requested: versions of the suite's metrics, by name.
        stored_versions: versions of the metrics with stored numbers.
        done: stored numbers.
        arrays: their influence values.
    """
    all_metrics = asked_metrics(None)
    present, versions = versions_of(all_metrics), {}
    record: Record = {METRICS: versions}
    influences: Arrays = {}
    for metric in all_metrics:
        columns: Record | None = {}
        values: Arrays = {}
        if stored_versions.get(metric.name) == present[metric.name]:
            columns, values = kept_numbers(metric, done, arrays)
        elif metric.name not in requested:
            continue
        elif metric.needs <= context.met:
            columns, values = _run_metric(metric, cell, context, record)
        if columns is None:
            continue  # it failed; the next run tries it again
        versions[metric.name] = present[metric.name]
        record |= columns
        influences |= values
    return record, influences


def _run_metric(
    metric: Metric, cell: Cell, context: CellContext, record: Record
) -> tuple[Record | None, Arrays]:
    """Return the results of one metric.

    A plugin fails alone: its result is None, and the reason goes into the row.
    """
    if not origin(metric):
        measured = metric(context)
        return dict(measured.columns), dict(measured.influence)
    try:
        return checked(metric, metric(context))
    except (Exception, SystemExit) as error:
        words = f"metric {metric.name}: {type(error).__name__}: {' '.join(str(error).split())}"
        log.warning("%s of %s on %s has no value: %s.", metric.name, cell.label, cell.model, words)
        record["reason"] = "; ".join(filter(None, (str(record.get("reason") or ""), words)))
        return None, {}
