"""Calls of a program as a network, by the roles of its inputs and its number of rows."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..mapping import one_hot
from .signature import Port, Signature

Run = Callable[[tuple[Tensor, ...]], Tensor]
"""Program: a function of its inputs in their order that returns its first output."""


def called(
    run: Run, found: Signature, classes: int, x: Tensor, t: Tensor, labels: Tensor | None
) -> Tensor:
    """Return the prediction, in the dtype of the program.

    A program with a fixed number of rows gets batches of that size, the last filled with copies of a
    row. A program with one time for all rows is called for each time.

    Args:
        run: the program.
        found: its inputs.
        classes: their number; the label ``classes`` is "no label".
        x: ``(batch, *event)``.
        t: ``(batch,)``.
        labels: ``(batch,)`` int64, or None.

    Raises:
        ValueError: the program fails on inputs of these sizes.
    """
    if not found.one_time:
        return _in_rows(run, found, classes, x, t, labels)
    order, parts = [], []
    for time in t.unique():
        (rows,) = (t == time).nonzero(as_tuple=True)
        own = None if labels is None else labels[rows]
        parts.append(_in_rows(run, found, classes, x[rows], t[rows], own))
        order.append(rows)
    return torch.cat(parts)[torch.cat(order).argsort()]


def _in_rows(
    run: Run, found: Signature, classes: int, x: Tensor, t: Tensor, labels: Tensor | None
) -> Tensor:
    size = found.batch or len(x)
    parts = []
    for start in range(0, len(x), size):
        rows = torch.arange(start, start + size, device=x.device).clamp_(max=len(x) - 1)
        own = None if labels is None else labels[rows]
        inputs = _inputs(found, classes, x[rows], t[rows], own)
        try:
            parts.append(run(inputs))
        except torch.OutOfMemoryError:  # which has a status of its own
            raise
        except Exception as error:  # of torch's operators, or onnxruntime's own kinds
            sizes = ", ".join(
                f"{p.name} {tuple(i.shape)}" for p, i in zip(found.inputs, inputs, strict=True)
            )
            what = " ".join(str(error).split())[:160]
            raise ValueError(
                f"the program fails on inputs of the sizes {sizes} ({what}); give the sizes that it "
                "was exported for"
            ) from error
    return torch.cat(parts)[: len(x)]


def _inputs(
    found: Signature, classes: int, x: Tensor, t: Tensor, labels: Tensor | None
) -> tuple[Tensor, ...]:
    times = t[:1] if found.one_time else t
    values = {found.state.name: x, found.time.name: _like(times, found.time)}
    if found.labels is not None:
        class_numbers = (
            torch.full((len(x),), classes, device=x.device) if labels is None else labels
        )
        rows = one_hot(class_numbers, classes, x) if found.one_hot else class_numbers
        values[found.labels.name] = class_numbers if rows is None else rows
    return tuple(values[port.name].to(port.dtype) for port in found.inputs)


def _like(t: Tensor, port: Port) -> Tensor:
    """Return times ``(batch,)`` with the port's dimensions, rounded if it takes whole numbers."""
    shaped = t.reshape(()) if not port.shape else t.reshape(-1, *[1] * (len(port.shape) - 1))
    return shaped if port.dtype.is_floating_point else shaped.round()
