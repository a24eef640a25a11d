"""Reduction of tensors and plans to short lists: entries at fixed places, random projections."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...results.run_directory.behaviour_fingerprint import Numbers, hash_of
from ...samplers.noise import normal

ENTRIES, PROJECTIONS = 16, 4
"""Numbers of evenly spread entries and of weighted sums that replace a longer list."""

LONG_PLAN = 4000
"""Longest plan that is stored whole; a longer one is reduced in blocks to about this size."""

_SMALL = 1e-6  # weights below this are compared by their differences, larger ones by their ratios

_PLAN, _STATE = (1e-10, 1e-11), (1e-6, 1e-8)
_SINGLE, _DEVICE, _HALF = (1e-4, 1e-4), (5e-3, 5e-3), (3e-2, 3e-2)


def reduce_plan(numbers: list[float]) -> Numbers:
    """Return a plan's coefficients, reduced if over LONG_PLAN, with tolerances to compare them."""
    if len(numbers) <= LONG_PLAN:
        return Numbers(tuple(numbers), *_PLAN)
    # on a log scale, so that levels of 80 do not hide weights of 0.01 in the sums
    ratios = np.arcsinh(np.array(numbers) / _SMALL)
    blocks = np.array_split(ratios, LONG_PLAN // (ENTRIES + PROJECTIONS))
    return Numbers(tuple(x for block in blocks for x in reduce_row(block)), *_PLAN)


def reduce_rows(rows: Tensor | NDArray[Any], dtype: torch.dtype, device: str = "cpu") -> Numbers:
    """Return rows ``(n, …)``, each reduced, with the tolerances of ``dtype`` on ``device``."""
    if isinstance(rows, Tensor):
        rows = rows.detach().to("cpu", torch.float64).numpy()
    flat = np.asarray(rows, np.float64).reshape(len(rows), -1)
    return Numbers(tuple(x for row in flat for x in reduce_row(row)), *tolerance_of(dtype, device))


def tolerance_of(dtype: torch.dtype, device: str) -> tuple[float, float]:
    """Return two tolerances for results of a dtype on a device: ``rtol`` and ``atol`` of :class:`Numbers`.

    The second is a share of the largest magnitude. They allow for rounding errors that accumulate,
    and for the errors of a GPU's tensor cores.
    """
    if dtype == torch.float64:
        return _STATE
    if dtype == torch.float32:
        return _SINGLE if torch.device(device).type == "cpu" else _DEVICE
    return _HALF


def reduce_row(row: NDArray[np.float64]) -> list[float]:
    """Return a row, or :data:`ENTRIES` numbers and :data:`PROJECTIONS` weighted sums of a long row.

    The squared weights sum to 1 on average, so no sum outgrows the row's numbers. In a row of a thousand
    numbers, a change of one number moves each sum by about 3 % of the change.
    """
    if len(row) <= ENTRIES + PROJECTIONS:
        return [float(x) for x in row]
    places = np.linspace(0, len(row) - 1, ENTRIES).round().astype(int)
    sums = [float(weights @ row) for weights in _projection_weights(len(row))]
    return [float(x) for x in row[places]] + sums


@lru_cache(maxsize=64)
def _projection_weights(count: int) -> NDArray[np.float64]:
    """Return fixed weights ``(PROJECTIONS, count)`` of sums, the same on every machine."""
    return normal(0, torch.arange(PROJECTIONS), 0, 0, count).numpy() / np.sqrt(count)


def flatten_value(value: Any) -> tuple[list[float], str]:
    """Return the floats of nested tuples, records and arrays, and a hash of everything else.

    The hash covers the places of the floats, and the counts, flags and texts between them. Objects that
    are neither numbers, texts nor containers contribute their class name only.
    """
    parts = list(_parts_of_value(value))
    return [x for _, floats in parts for x in floats], hash_of([layout for layout, _ in parts])


def _parts_of_value(value: Any) -> Iterator[tuple[str, list[float]]]:
    if isinstance(value, float | np.floating):
        yield "f", [float(value)]
    elif value is None or isinstance(value, bool | int | str | np.integer | np.bool_):
        yield repr(value.item() if isinstance(value, np.generic) else value), []
    elif isinstance(value, Tensor | np.ndarray):
        array = value.detach().cpu() if isinstance(value, Tensor) else value
        floats = np.asarray(array, np.float64).ravel().tolist()
        yield f"array {tuple(value.shape)}", floats
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from _parts_of_value([getattr(value, f.name) for f in dataclasses.fields(value)])
    elif isinstance(value, Mapping):
        yield from _parts_of_value([part for item in value.items() for part in item])
    elif isinstance(value, tuple | list):
        yield "(", []
        for part in value:
            yield from _parts_of_value(part)
        yield ")", []
    else:
        yield type(value).__name__, []
