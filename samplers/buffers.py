"""Buffers that the steps of a run reuse.

When a block of a few hundred kilobytes is freed, the C library may give it back to the system. The
system then provides a new block page by page, which can take longer than the arithmetic. So a run
keeps the memory of its former tensors, and steps write their results there.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
from torch import Tensor

SMALL = 1 << 17
"""Bytes below which a new tensor is faster, since the C library keeps freed blocks for reuse."""
_DTYPES = (torch.float32, torch.float64, torch.float16)
"""Dtypes that NumPy has too."""
_Array = np.ndarray[Any, Any]
_Memory = defaultdict[object, list[_Array]]

_run: ContextVar[_Memory | None] = ContextVar("run", default=None)
"""Buffers of the run by shape, layout and dtype; None outside of :func:`reuse_buffers`."""


@contextmanager
def reuse_buffers() -> Iterator[None]:
    """Let :func:`take_buffer` reuse memory inside this context; a nested context has its own."""
    before = _run.set(defaultdict(list))
    try:
        yield
    finally:
        _run.reset(before)


def take_buffer(like: Tensor) -> Tensor | None:
    """Return an unused tensor of the shape, layout and dtype of ``like``, for an argument ``out``.

    Memory is reused once no tensor, views included, refers to it. So tensors that a step or a
    denoiser keeps are never overwritten, and the caller hands nothing back.

    Returns:
        An uninitialised tensor. Or None, which makes ``out`` allocate: outside of
        :func:`reuse_buffers`, below :data:`SMALL` bytes, off the CPU, for dtypes that NumPy lacks
        and for subclasses of Tensor.
    """
    memory = _run.get()
    if memory is None or type(like) is not Tensor or not like.is_cpu or like.nbytes < SMALL:
        return None
    arrays = memory[like.shape, like.stride(), like.dtype]
    for i in range(len(arrays)):
        if _count_references(arrays, i) == _ALONE:
            return torch.from_numpy(arrays[i])
    if like.dtype not in _DTYPES:
        return None
    arrays.append(torch.empty_like(like).numpy())
    return torch.from_numpy(arrays[-1])


def _count_references(arrays: list[_Array], i: int) -> int:
    """Return the number of references to array ``i``; the list and this call hold two of them."""
    return sys.getrefcount(arrays[i])


_ALONE = _count_references([np.empty(0)], 0)
