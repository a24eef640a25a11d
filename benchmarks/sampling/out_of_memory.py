"""Memory errors: their detection, and samples in batches that shrink until they fit."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_SAYS = ("out of memory", "can't allocate memory", "alloc_failed", "std::bad_alloc")
"""Phrases in RuntimeErrors of torch's allocators and the libraries below: CUDA, the CPU, cuBLAS and
cuDNN, C++.
"""


def out_of_memory(error: BaseException) -> bool:
    """Return True if memory ran out: on a GPU, in Python, or in torch on the CPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = " ".join(str(error).lower().split())
    return isinstance(error, RuntimeError) and any(words in text for words in _SAYS)


def in_batches(ids: Tensor, size: int, draw: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the results of ``draw`` for ``ids``, batch by batch.

    After an out-of-memory error, the rest is drawn in batches of half the size, down to one.

    Args:
        ids: sample numbers ``(n,)``, n >= 1.
        size: of a batch, at most.
        draw: gives a row for each of some ids, which depends on no other.

    Raises:
        MemoryError, RuntimeError: one sample does not fit.
    """
    parts: list[Tensor] = []
    done = 0
    while done < len(ids):
        part = ids[done : done + size]
        try:
            parts.append(draw(part))
            done += len(part)
        except (MemoryError, RuntimeError) as error:
            if len(part) == 1 or not out_of_memory(error):
                raise
            size = len(part) // 2
    return torch.cat(parts)
