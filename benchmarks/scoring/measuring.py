"""What metrics give for the samples of a cell; those whose numbers are there are not asked again."""

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
    asked: Mapping[str, str],
    there: Mapping[str, str],
    done: Mapping[str, Any],
    arrays: Arrays,
) -> tuple[Record, Arrays]:
    """The quality columns of a cell and the influence values behind them.

    Args:
        cell: whose samples.
        context: they, and what they are compared with.
        asked: versions of the metrics that the suite asks for, by name.
        there: versions of the metrics whose numbers are there.
        done: these numbers.
        arrays: their influence values.
    """
    known = asked_metrics(None)
    present, versions = versions_of(known), {}
    record: Record = {METRICS: versions}
    influences: Arrays = {}
    for metric in known:
        columns: Record | None = {}
        values: Arrays = {}
        if there.get(metric.name) == present[metric.name]:
            columns, values = kept_numbers(metric, done, arrays)
        elif metric.name not in asked:
            continue
        elif metric.needs <= context.met:
            columns, values = _of_metric(metric, cell, context, record)
        if columns is None:
            continue  # it failed, and is asked again by the next run
        versions[metric.name] = present[metric.name]
        record |= columns
        influences |= values
    return record, influences


def _of_metric(
    metric: Metric, cell: Cell, context: CellContext, record: Record
) -> tuple[Record | None, Arrays]:
    """What one metric gives.

    One that is not built in fails alone: it gives None, and the reason is put into the row.
    """
    if not origin(metric):
        found = metric(context)
        return dict(found.columns), dict(found.influence)
    try:
        return checked(metric, metric(context))
    except (Exception, SystemExit) as error:
        words = f"metric {metric.name}: {type(error).__name__}: {' '.join(str(error).split())}"
        log.warning("%s of %s on %s has no value: %s.", metric.name, cell.label, cell.model, words)
        record["reason"] = "; ".join(filter(None, (str(record.get("reason") or ""), words)))
        return None, {}
