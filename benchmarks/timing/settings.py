"""Speed settings of torch, set for a timing pass and restored after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ...results.record import Record


@contextmanager
def backends_set(*, tf32: bool, cudnn_benchmark: bool) -> Iterator[Record]:
    """Set, for the block, TF32 for products and convolutions of float32 on a GPU, and cuDNN's
    search for algorithms.

    Yields:
        The settings, to be stored with the times.
    """
    backends = torch.backends
    before = (
        backends.cuda.matmul.allow_tf32,
        backends.cudnn.allow_tf32,
        backends.cudnn.benchmark,
    )
    backends.cuda.matmul.allow_tf32 = backends.cudnn.allow_tf32 = tf32
    backends.cudnn.benchmark = cudnn_benchmark
    try:
        yield {"tf32": tf32, "cudnn_benchmark": cudnn_benchmark}
    finally:
        backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32 = before[:2]
        backends.cudnn.benchmark = before[2]
