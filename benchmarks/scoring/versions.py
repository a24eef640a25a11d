"""Versions of metrics, which decide whether the numbers of a scored cell are still valid.

``quality.json`` stores under :data:`METRICS` the version of each metric that did not fail, even if
its needs are unmet. A metric of another version is measured again, from the cell's shards.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from ...models.loaders.source_file import hashes_of_code
from ...results.columns import Kind
from ...results.run_directory.behaviour_fingerprint import hash_of
from ...results.run_directory.files import to_jsonable
from ...results.text import name_hint
from ...results.values import Record
from ..metrics.metric import Measured, Metric, metrics, origin
from ..sampling.shard import Arrays

METRICS = "metrics"


def requested_metrics(names: Sequence[str] | None) -> list[Metric]:
    """Return the metrics that a suite names, in the order of registration.

    "default" in ``names`` stands for all default metrics; None is ["default"]. Raises a ValueError
    if a name is unknown, a plugin cannot be loaded, or a metric's file of weights is missing.
    """
    all_metrics = metrics()
    wanted = ["default"] if names is None else names
    for name in wanted:
        if name not in (*all_metrics, "default"):
            raise ValueError(f"unknown metric {name!r}; {name_hint(name, all_metrics)}")
    common = "default" in wanted
    found = [m for m in all_metrics.values() if m.name in wanted or (common and m.default)]
    for metric in found:
        if metric.weights:
            metric.weights()
    return found


def version_of(metric: Metric) -> str:
    """Return a metric's version, with a digest of a plugin's code and the name of any weights."""
    where = origin(metric)
    plugin = f" of {where}, code {_code_digest(metric)}" if where else ""
    with suppress(ValueError):  # no file: the metric cannot be measured, only kept
        plugin += f" with {metric.weights()}" if metric.weights else ""
    return f"{metric.version}{plugin}"


def _code_digest(metric: Metric) -> str:
    """Return a digest of a metric's source files, or else of its function; "unknown" if neither."""
    module = sys.modules.get(metric.measure.__module__)
    files = hashes_of_code(module, metric.measure.__module__.partition(".")[0]) if module else {}
    if files:
        return hash_of(files)
    try:
        return hash_of({"": inspect.getsource(metric.measure)})
    except (OSError, TypeError):
        return "unknown"


def stored_numbers(
    metric: Metric, done: Mapping[str, Any], arrays: Arrays
) -> tuple[Record, Arrays]:
    """Return a metric's columns in ``done``, and its influence values in ``arrays``."""
    columns = [column.name for quantity in metric.quantities for column in quantity.columns]
    names = {
        name for q in metric.quantities for name in (q.influence, q.reference_influence) if name
    }
    record = {name: done[name] for name in columns if name in done}
    return record, {name: arrays[name] for name in names & arrays.keys()}


def check_results(metric: Metric, measured: Measured) -> tuple[Record, Arrays]:
    """Return a plugin's results as a record and arrays.

    Raises a ValueError for values of another kind than their column, and for influence values that
    are not finite or not one-dimensional.
    """
    from ...results.table.typed_table import why_misfit  # imports pandas

    kinds: dict[str, Kind] = {
        column.name: column.kind for q in metric.quantities for column in q.columns
    }
    columns: Record = {name: to_jsonable(value) for name, value in measured.columns.items()}
    if wrong := next(filter(None, (why_misfit(columns[n], kinds[n], n) for n in columns)), ""):
        raise ValueError(wrong)
    arrays = {name: np.asarray(values, np.float64) for name, values in measured.influence.items()}
    for name, values in arrays.items():
        if values.ndim != 1 or not np.isfinite(values).all():
            subject = f"the influence values {name!r} have the shape {values.shape}"
            raise ValueError(f"{subject}; they must be (n,), a finite number for each sample")
    return columns, arrays
