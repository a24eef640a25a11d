"""Triton kernel that reads a GPU's counters of cycles and nanoseconds, if Triton is installed."""
# pyright: reportPossiblyUnboundVariable=false, reportIndexIssue=false

from __future__ import annotations

import torch

try:
    import triton  # pyright: ignore[reportMissingImports]
    import triton.language as tl  # pyright: ignore[reportMissingImports]
except ImportError:  # torch's builds for CPUs lack Triton
    triton = None

BLOCKS = 4  # blocks to start per multiprocessor, so that at least one runs on multiprocessor 0

if triton is not None:

    @triton.jit
    def _stamp(out):
        sm = tl.inline_asm_elementwise(
            "mov.u32 $0, %smid;", "=r", [], dtype=tl.int32, is_pure=False, pack=1
        )
        cycles = tl.inline_asm_elementwise(
            "mov.u64 $0, %clock64;", "=l", [], dtype=tl.int64, is_pure=False, pack=1
        )
        nanoseconds = tl.inline_asm_elementwise(
            "mov.u64 $0, %globaltimer;", "=l", [], dtype=tl.int64, is_pure=False, pack=1
        )
        tl.store(out, cycles, mask=sm == 0)
        tl.store(out + 1, nanoseconds, mask=sm == 0)


def read_counters(out: torch.Tensor) -> None:
    """Enqueue a kernel that writes two counters of the current GPU into ``out``, int64 ``(2,)``.

    The two are cycles of multiprocessor 0 (PTX %clock64) and the GPU's nanoseconds (%globaltimer).
    Raises a RuntimeError without Triton.
    """
    if triton is None:
        raise RuntimeError("there is no Triton here")
    count = torch.cuda.get_device_properties(out.device).multi_processor_count
    _stamp[(BLOCKS * count,)](out)  # pyright: ignore
