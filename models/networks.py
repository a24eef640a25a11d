"""Checks of a user's network, search for networks in objects and functions, copies on devices."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Iterator
from types import CellType, FunctionType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Net = TypeVar("Net", bound=nn.Module)

_DEPTH = 4
_LIBRARIES = ("builtins", "torch", "numpy")

WRAP = "wrap it so that it does (docs/how-to/adding-a-model.md, your own network)"
"""Remedy in error messages about a network with a wrong signature."""


def check_call(name: str, called: Any, arguments: tuple[str, ...]) -> None:
    """Raise a ValueError if the signature of ``called`` does not take these arguments.

    Args:
        name: name of ``called``, for messages.
        called: a function, a module or another object; it passes if it has no signature.
        arguments: names of the arguments, all of them positional.
    """
    forward = called.forward if isinstance(called, nn.Module) else called
    try:
        signature = inspect.signature(forward)
    except (TypeError, ValueError):  # builtins have none
        return
    try:
        signature.bind(*arguments)
    except TypeError:
        raise ValueError(
            f"{name} takes {signature}, and it is called with ({', '.join(arguments)}); {WRAP}"
        ) from None


def check_tensor(name: str, output: Any) -> None:
    """Raise a ValueError if ``output`` of the network ``name`` is no tensor of real numbers."""
    if not isinstance(output, Tensor):
        inner = next((f" (its .{n})" for n in ("sample", "prediction") if hasattr(output, n)), "")
        raise ValueError(
            f"{name} gave {type(output).__name__}, no tensor; return the tensor that is in it{inner}"
        )
    if output.is_complex():
        raise ValueError(
            f"{name} gave complex numbers ({output.dtype}); return the real part if that is meant"
        )


def check_shape(name: str, output: Tensor, x: Tensor) -> None:
    """Raise a ValueError if ``output`` of the network ``name`` has another shape than states ``x``."""
    if output.shape == x.shape:
        return
    remedy = "return a tensor of that shape"
    if output.ndim == x.ndim and output.shape[1] == 2 * x.shape[1]:
        remedy = (
            "return only the half that is the prediction (half=first or second of a NativeDenoiser)"
        )
    raise ValueError(f"{name} gave {tuple(output.shape)} for states {tuple(x.shape)}; {remedy}")


def networks_in(holder: Any) -> Iterator[nn.Module]:
    """Yield ``holder`` if it is an ``nn.Module``, else each module that it holds, no submodules.

    The search is four levels deep. It covers attributes; entries of lists, tuples and dictionaries;
    parts of a ``functools.partial`` and of a method; and a function's closure, positional defaults
    and used globals.
    """
    visited: set[int] = set()
    todo = [(holder, _DEPTH)]
    while todo:
        value, depth_left = todo.pop()
        if id(value) in visited or depth_left < 0:
            continue
        visited.add(id(value))
        if isinstance(value, nn.Module):
            yield value
        else:
            todo += [(part, depth_left - 1) for part in _parts_to_search(value)]


def _parts_to_search(value: Any) -> Iterator[Any]:
    if isinstance(value, functools.partial):
        yield from (value.func, *value.args, *value.keywords.values())
    elif isinstance(value, list | tuple | dict):
        yield from value.values() if isinstance(value, dict) else value
    elif hasattr(value, "__func__"):  # a method
        yield from (value.__self__, value.__func__)
    elif hasattr(value, "__code__"):
        for cell in getattr(value, "__closure__", None) or ():
            yield from _cell_content(cell)
        yield from getattr(value, "__defaults__", None) or ()
        yield from (
            value.__globals__[name] for name in value.__code__.co_names if name in value.__globals__
        )
    elif not isinstance(value, type) and type(value).__module__ not in _LIBRARIES:
        yield from getattr(value, "__dict__", {}).values()


def _cell_content(cell: Any) -> Iterator[Any]:
    """Yield the content of a closure cell; an empty cell yields nothing."""
    try:
        yield cell.cell_contents
    except ValueError:  # a variable that was never set
        return


def parameter_dtype(holder: Any) -> torch.dtype | None:
    """Return the dtype of the first floating parameter of the networks in ``holder``, or None."""
    parameters = (p for network in networks_in(holder) for p in network.parameters())
    return next((p.dtype for p in parameters if p.is_floating_point()), None)


def prepare_for_inference(network: Net) -> Net:
    """Put ``network`` in evaluation mode, channels last, without gradients; return it."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval().requires_grad_(False)


def copy_to_device(holder: Any, device: torch.device | str) -> Any:
    """Return a copy of ``holder`` with its networks on ``device``; ``holder`` if nothing can move.

    Weights are copied directly to ``device``. Then the copy's ``to``, if any, moves all else. If
    copying fails, the result is ``holder.to(device)``, which may change ``holder`` itself.

    Raises:
        Exception: copying fails, and ``holder`` is an ``nn.Module`` or has no ``to``.
    """
    memo = {
        id(old): _tensor_on_device(old, device)
        for network in networks_in(holder)
        for old in (*network.parameters(), *network.buffers())
    }
    try:
        twin = _deep_copy(holder, memo)
    except Exception:  # it holds a lock, a stream, ...
        if isinstance(holder, nn.Module) or not hasattr(holder, "to"):
            raise
        twin = holder
    if hasattr(twin, "to"):
        moved = twin.to(device)
        return twin if moved is None else moved  # a user's method may return nothing
    for network in networks_in(twin):
        network.to(device)  # weights of other kinds than tensors
    return twin


def _tensor_on_device(tensor: torch.Tensor, device: torch.device | str) -> torch.Tensor:
    """Return a copy of ``tensor`` on ``device``; a parameter's copy is a parameter."""
    twin = tensor.detach().to(device, copy=True)
    return nn.Parameter(twin, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else twin


def _deep_copy(value: Any, memo: dict[int, Any]) -> Any:
    """Return a deep copy (``memo``: see ``copy.deepcopy``); ``value`` without network or ``to``."""
    if isinstance(value, FunctionType) and id(value) in memo:
        return memo[id(value)]
    if not _has_movable_parts(value):
        return value
    if isinstance(value, functools.partial):
        parts = [_deep_copy(part, memo) for part in (value.func, *value.args)]
        return functools.partial(
            *parts, **{key: _deep_copy(part, memo) for key, part in value.keywords.items()}
        )
    if isinstance(value, FunctionType):
        return _copy_function(value, memo)
    twin = copy.deepcopy(value, memo)
    if not isinstance(value, nn.Module):
        for key, part in getattr(twin, "__dict__", {}).items():
            if isinstance(part, FunctionType | functools.partial):
                twin.__dict__[key] = _deep_copy(part, memo)
    return twin


def _has_movable_parts(value: Any) -> bool:
    return hasattr(value, "to") or any(True for _ in networks_in(value))


def _copy_function(function: FunctionType, memo: dict[int, Any]) -> FunctionType:
    space = function.__globals__
    used = [name for name in function.__code__.co_names if name in space]
    # a class has methods to move its instances, and is not copied
    is_changed = any(
        _has_movable_parts(space[name]) and not isinstance(space[name], type) for name in used
    )
    copied_space = dict(space) if is_changed else space
    cells = tuple(CellType() for _ in function.__closure__ or ())
    twin = FunctionType(function.__code__, copied_space, function.__name__, None, cells or None)
    # before its parts, since a function may call itself; the twin is its own copy
    memo[id(function)] = memo[id(twin)] = twin
    if is_changed:
        copied_space.update({name: _deep_copy(space[name], memo) for name in used})
    for cell, old in zip(cells, function.__closure__ or (), strict=True):
        for part in _cell_content(old):
            cell.cell_contents = _deep_copy(part, memo)
    if function.__defaults__ is not None:
        twin.__defaults__ = tuple(_deep_copy(part, memo) for part in function.__defaults__)
    twin.__kwdefaults__ = function.__kwdefaults__
    return twin
