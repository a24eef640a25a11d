"""The torch modules inside what a user hands over as a network: itself, its attributes, or what a function holds on to."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

_DEPTH = 4


def networks_in(holder: Any, depth: int = _DEPTH) -> Iterator[nn.Module]:
    """The ``nn.Module`` that ``holder`` is, or those that it holds.

    They are held as attributes, entries of lists or dictionaries, variables of a closure, defaults or globals of a function, or arguments
    of a ``functools.partial``.
    """
    seen: set[int] = set()
    todo = [(holder, depth)]
    while todo:
        value, left = todo.pop()
        if id(value) in seen or left < 0:
            continue
        seen.add(id(value))
        if isinstance(value, nn.Module):
            yield value
        else:
            todo += [(part, left - 1) for part in _held(value)]


def _held(value: Any) -> Iterator[Any]:
    if isinstance(value, functools.partial):
        yield from (value.func, *value.args, *value.keywords.values())
    elif isinstance(value, list | tuple | dict):
        yield from value.values() if isinstance(value, dict) else value
    elif hasattr(value, "__func__"):  # a method
        yield from (value.__self__, value.__func__)
    elif hasattr(value, "__code__"):
        for cell in getattr(value, "__closure__", None) or ():
            yield from _content(cell)
        yield from getattr(value, "__defaults__", None) or ()
        yield from (value.__globals__[name] for name in value.__code__.co_names if name in value.__globals__)
    elif not isinstance(value, type) and type(value).__module__ not in ("builtins", "torch", "numpy"):
        yield from getattr(value, "__dict__", {}).values()


def _content(cell: Any) -> Iterator[Any]:
    try:
        yield cell.cell_contents
    except ValueError:  # a variable that was never set
        return


def parameter_dtype(holder: Any) -> torch.dtype | None:
    """The floating dtype of the first parameter of the networks that ``holder`` is or holds; None without any."""
    parameters = (parameter for network in networks_in(holder) for parameter in network.parameters())
    return next((parameter.dtype for parameter in parameters if parameter.is_floating_point()), None)


def moved(holder: Any, device: torch.device | str) -> Any:
    """``holder`` on a device: what its own ``to`` gives where it has one; else itself, with the networks that it holds moved in place."""
    if hasattr(holder, "to"):
        return holder.to(device)
    for network in networks_in(holder):
        network.to(device)
    return holder
