"""CUDA graphs as a backend of :mod:`.capture`: the rules of PyTorch's stream capture, and nothing
about samplers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor

WARM_UPS = 3
"""Runs before a capture: libraries make their handles and workspaces, and choose their kernels,
in the first ones.
"""


class CudaGraph:
    """Recorded piece of work on a CUDA device.

    Implements :class:`~samplerbench.samplers.cuda.capture.Backend`.

    Args:
        device: where the work runs.

    Raises:
        ValueError: the device is no CUDA device, or torch sees none.
    """

    def __init__(self, device: torch.device) -> None:
        if device.type != "cuda" or not torch.cuda.is_available():
            raise ValueError(
                f"a CUDA graph needs a CUDA device, and this run is on {device}; run it eagerly"
            )
        self._device, self._graph = device, torch.cuda.CUDAGraph()

    def warm_up(self, work: Callable[[], Tensor]) -> None:
        """Run ``work`` on a side stream, as the capture will.

        The last time under a guard that makes every wait for the device an error.

        Raises:
            ValueError: it waits for the device.
        """
        with torch.cuda.device(self._device):
            current, side = torch.cuda.current_stream(), torch.cuda.Stream()
            side.wait_stream(current)
            with torch.cuda.stream(side):
                for _ in range(WARM_UPS):
                    work()
                with _explained("it waits for the device"), _no_waiting():
                    work()
            current.wait_stream(side)

    def capture(self, work: Callable[[], Tensor]) -> Tensor:
        """Record ``work`` into the memory pool that all graphs of the device share.

        Returns the tensor that replays fill.

        Raises:
            ValueError: it does something that a graph cannot hold.
        """
        # torch.cuda.graph leaves its own stream current when ending a capture fails; the outer
        # context goes back in any case.
        with (
            torch.cuda.device(self._device),
            torch.cuda.stream(torch.cuda.current_stream()),
            _explained("recording failed"),
        ):
            return self._recorded(work)

    def _recorded(self, work: Callable[[], Tensor]) -> Tensor:
        with torch.cuda.graph(self._graph, pool=_keeper(self._device).pool()):
            return work()

    def replay(self) -> None:
        """Launch on the current stream; returns before the device is done."""
        self._graph.replay()


@cache
def _keeper(device: torch.device) -> torch.cuda.CUDAGraph:
    """An idle graph whose memory pool all others use, so that many graphs take no more temporary
    memory than the largest.

    Sharing is safe because a replay's inputs are copied in and its output is copied out on one
    stream, before another replay can overwrite them. A pool is given up with its last graph and
    cannot be used again; this graph stays.
    """
    keeper = torch.cuda.CUDAGraph()
    with torch.cuda.graph(keeper):
        torch.zeros(1, device=device)
    return keeper


@contextmanager
def _no_waiting() -> Iterator[None]:
    """Inside, an operation that waits for the device raises RuntimeError."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


@contextmanager
def _explained(reason: str) -> Iterator[None]:
    """A RuntimeError of torch as a sentence."""
    try:
        yield
    except RuntimeError as error:
        first = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"this run cannot become a CUDA graph: {reason} ({first}); run it eagerly"
        ) from error
