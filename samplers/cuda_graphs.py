"""Recording a whole run of a fixed-grid sampler as a CUDA graph, so that the host launches once in
place of thousands of times.

A recording repeats the same kernels on the same memory. Only what is copied into that memory may
differ from one replay to the next: the latents and the batch's context, such as sample numbers and
labels. All else is fixed: the grid, the sampler's options, the seed, the model's weights, the
shapes. No Python runs in a replay, so nothing is counted and nothing is checked in one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Protocol

import torch
from torch import Tensor

from .base import Sampler
from .grid import Grid
from .types import Denoise, Noise

WARM_UPS = 3
"""Runs before a capture, in which libraries make their handles and choose their kernels."""


class CudaGraph:
    """Recorded piece of work on a CUDA device: a :class:`Backend`.

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

        Raises:
            ValueError: it waits for the device.
        """
        with torch.cuda.device(self._device):
            current, side = torch.cuda.current_stream(), torch.cuda.Stream()
            side.wait_stream(current)
            with torch.cuda.stream(side):
                for _ in range(WARM_UPS):
                    work()
                with _explain_errors("it waits for the device"), _forbid_waiting():
                    work()
            current.wait_stream(side)

    def capture(self, work: Callable[[], Tensor]) -> Tensor:
        """Record ``work`` into the memory pool that all graphs share; return the tensor that
        replays fill.

        Raises:
            ValueError: it does something that a graph cannot hold.
        """
        # torch.cuda.graph leaves its own stream current when ending a capture fails; the outer
        # context goes back in any case.
        with (
            torch.cuda.device(self._device),
            torch.cuda.stream(torch.cuda.current_stream()),
            _explain_errors("recording failed"),
            torch.cuda.graph(self._graph, pool=_pool_owner(self._device).pool()),
        ):
            return work()

    def replay(self) -> None:
        """Launch on the current stream; returns before the device is done."""
        self._graph.replay()


@cache
def _pool_owner(device: torch.device) -> torch.cuda.CUDAGraph:
    """Return the graph whose memory pool all others use, so that many take no more than the largest.

    Sharing is safe because a replay's inputs are copied in and its output is copied out on one
    stream, before another replay can overwrite them. A pool is given up with its last graph and
    cannot be used again; this graph stays.
    """
    keeper = torch.cuda.CUDAGraph()
    with torch.cuda.graph(keeper):
        torch.zeros(1, device=device)
    return keeper


@contextmanager
def _forbid_waiting() -> Iterator[None]:
    """Make an operation that waits for the device raise RuntimeError inside this context."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


@contextmanager
def _explain_errors(reason: str) -> Iterator[None]:
    """Turn a RuntimeError of torch into a ValueError with ``reason``."""
    try:
        yield
    except RuntimeError as error:
        first = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"this run cannot become a CUDA graph: {reason} ({first}); run it eagerly"
        ) from error


Work = Callable[[], Tensor]
Setting = Callable[..., tuple[Denoise, Noise]]


class Backend(Protocol):
    """Backend that records and replays: :class:`CudaGraph`, or a substitute in tests."""

    def warm_up(self, work: Work) -> None:
        """Run ``work`` until what happens only at first, such as lazy initialisation, is done."""
        ...

    def capture(self, work: Work) -> Tensor:
        """Record ``work``; returns the tensor that each replay fills."""
        ...

    def replay(self) -> None:
        """Do the recorded work again, on the present values of its inputs."""
        ...


class Recording:
    """A function of tensors, recorded for tensors of these shapes.

    Args:
        function: gives one tensor; it may read other tensors, whose values count when it is
            replayed, and anything else, which is fixed.
        inputs: examples of its arguments, with the shapes, dtypes and device of all to come.
        backend: what records.

    Raises:
        ValueError: see the backend.
    """

    @torch.no_grad()
    def __init__(
        self, function: Callable[..., Tensor], inputs: Sequence[Tensor], backend: Backend
    ) -> None:
        self._inputs = tuple(tensor.clone() for tensor in inputs)
        # kept, and with it all memory that a replay reads
        self._work = partial(function, *self._inputs)
        self._backend = backend
        backend.warm_up(self._work)
        self._output = backend.capture(self._work)

    @torch.no_grad()
    def __call__(self, *inputs: Tensor) -> Tensor:
        """Return the function's value: a new tensor. The arguments are not modified.

        Raises:
            ValueError: an argument is missing, or has another shape or dtype than its example.
        """
        recorded, called = _describe_tensors(self._inputs), _describe_tensors(inputs)
        if called != recorded:
            raise ValueError(
                f"recorded for tensors {recorded}, called with {called}; make "
                "a recording for each shape"
            )
        for buffer, tensor in zip(self._inputs, inputs, strict=True):
            buffer.copy_(tensor)
        self.replay()
        return self._output.clone()

    def replay(self) -> None:
        """Replay with the inputs of the last call, without a copy in or out."""
        self._backend.replay()


def capture(
    sampler: Sampler,
    grid: Grid,
    setting: Setting,
    inputs: Sequence[Tensor],
    backend: Backend | None = None,
) -> Recording:
    """Record ``sampler.sample`` on one grid and one shape of batch, as a function of latents and
    context.

    Args:
        sampler: takes a known number of evaluations and does not wait for the device.
        grid: noise levels.
        setting: the bound denoiser and the noise of a batch, from its context. It is called while
            recording: both must compute from the very tensors that they are given, on the device.
        inputs: the latents ``(batch, *event)``, then the context: what else differs between
            batches, such as sample numbers and labels.
        backend: what records; None is a CUDA graph on the device of the latents.

    Raises:
        ValueError: the sampler, the denoiser or the device does not allow it.
    """
    if reason := why_not_capturable(sampler, grid):
        raise ValueError(reason)

    def run(x: Tensor, *context: Tensor) -> Tensor:
        denoise, noise = setting(*context)
        return sampler.sample(TensorLevels(denoise), x, grid, noise)

    return Recording(run, inputs, CudaGraph(inputs[0].device) if backend is None else backend)


class TensorLevels:
    """A bound denoiser that passes noise levels on as tensors on the device.

    A model may copy a float to the device by ``torch.as_tensor``, which waits for it; a fill does
    not.
    """

    def __init__(self, denoise: Denoise) -> None:
        self._denoise = denoise

    def __call__(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Denoise ``x`` ``(batch, *event)`` at ``sigma``."""
        return self._denoise(x, as_level_tensor(sigma, x))

    def take(self, rows: Tensor) -> TensorLevels:
        """Return the denoiser for a subset or repeats of the batch."""
        return TensorLevels(self._denoise.take(rows))


def as_level_tensor(sigma: float | Tensor, x: Tensor) -> Tensor:
    """Return ``sigma`` as ``(batch,)`` on the device of ``x``, float64 if it was no tensor."""
    if isinstance(sigma, Tensor):
        return sigma
    return torch.full((len(x),), sigma, dtype=torch.float64, device=x.device)


def why_not_capturable(sampler: Sampler, grid: Grid) -> str:
    """Return the reason why no model lets a sampler be captured; "" if only trying can tell."""
    if sampler.adaptive or sampler.batch_coupled or sampler.nfe(grid) is None:
        return (
            f"sampler {sampler.name} decides from its states how many evaluations it "
            "makes, which a recording cannot; run it eagerly"
        )
    return ""


def _describe_tensors(tensors: Sequence[Tensor]) -> str:
    return ", ".join(
        f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}" for tensor in tensors
    )
