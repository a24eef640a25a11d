"""What torch may do to be fast, set for a timing pass and put back after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ....results.record import Record


@contextmanager
def backends_set(*, tf32: bool, cudnn_benchmark: bool) -> Iterator[Record]:
    """Within, products and convolutions of float32 are, or are not, computed in TF32 on a GPU, and cuDNN
    does, or does not, try its algorithms before it chooses one.

    Yields:
        What is set, to be kept beside the times.
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
