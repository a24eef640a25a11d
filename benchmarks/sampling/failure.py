"""Failure of a task, with the status and reason for its row; handling of out-of-memory errors.

All imports of this module are quick.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_MEMORY_WORDS = ("out of memory", "can't allocate memory", "alloc_failed", "std::bad_alloc")
"""Phrases in out-of-memory errors of torch's allocators, cuBLAS, cuDNN and C++."""


class Failure(Exception):  # noqa: N818 - it becomes the status of a row
    """Failure of a task, with the status and the reason of its row.

    Attributes:
        status: "failed", "diverged" or "skipped". "crashed": the process ended. "timed out": it had to be ended.
            "killed": another process ended it, for reasons other than the task.
        reason: plain words, on one line.
        shrink: divisor >= 2 of the batch for another try after memory ran out; 0 for other failures.
    """

    def __init__(self, status: str, reason: str, shrink: int = 0) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.shrink = shrink

    def __reduce__(self) -> tuple[type, tuple[str, str, int]]:
        """Pickle status, reason and shrink."""
        return Failure, (self.status, self.reason, self.shrink)


LONGEST = 500  # most characters of an exception's message in the reason of a failure


def error_in_words(error: BaseException, longest: int = LONGEST) -> str:
    """Return an exception's class and message on one line, cut to ``longest`` characters."""
    text = " ".join(str(error).split())[:longest]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if an error means that memory ran out, on a GPU or on the CPU."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = " ".join(str(error).lower().split())
    return isinstance(error, RuntimeError) and any(words in text for words in _MEMORY_WORDS)


def draw_in_batches(ids: Tensor, size: int, draw: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the rows of ``draw`` for ``ids`` ``(n,)``, n >= 1, in batches of at most ``size``.

    After an out-of-memory error, the batches that follow have half the size, down to one row.
    """
    import torch

    parts: list[Tensor] = []
    done = 0
    while done < len(ids):
        part = ids[done : done + size]
        try:
            parts.append(draw(part))
            done += len(part)
        except (MemoryError, RuntimeError) as error:
            if len(part) == 1 or not is_out_of_memory(error):
                raise
            size = len(part) // 2
    return torch.cat(parts)
