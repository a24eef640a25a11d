"""Recording of a whole run of a fixed-grid sampler as a CUDA graph.

The host then launches once in place of thousands of times. A recording repeats the same kernels on
the same memory. Only what is copied into that memory may differ between replays: the latents and
the batch's context, such as sample numbers and labels. All else is fixed: the grid, the sampler's
options, the seed, the model's weights, the shapes. No Python runs in a replay, so a replay counts
no evaluations and checks nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial

import torch
from torch import Tensor

from .base import Sampler
from .grid import Grid
from .types import Denoise, Noise, Pair, denoise_both

WARM_UPS = 3
"""Unchecked runs before a capture, in which libraries make handles and choose kernels.

One checked run follows.
"""


class CudaGraph:
    """Backend that records one call of a function as a graph on a CUDA device, and replays it.

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
        """Run ``work`` a few times on a side stream, to prepare :meth:`capture`.

        Raises:
            ValueError: ``work`` synchronises with the device.
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
        """Record a call of ``work`` in the shared memory pool; return the tensor that replays fill.

        Raises:
            ValueError: ``work`` does something that a graph cannot record.
        """
        # If ending a capture fails, torch.cuda.graph stays on its stream; the outer context goes back.
        with (
            torch.cuda.device(self._device),
            torch.cuda.stream(torch.cuda.current_stream()),
            _explain_errors("recording failed"),
            torch.cuda.graph(self._graph, pool=_pool_owner(self._device).pool()),
        ):
            return work()

    def replay(self) -> None:
        """Launch the recorded work on the current stream, without waiting for its end."""
        self._graph.replay()


@cache
def _pool_owner(device: torch.device) -> torch.cuda.CUDAGraph:
    """Return a small graph that keeps alive the memory pool of all graphs on ``device``.

    Sharing a pool saves memory. It is safe, since a replay's inputs and output are copied on one
    stream, before another replay can overwrite them. A pool is lost with its last graph and cannot
    be used again, so this graph is never freed.
    """
    keeper = torch.cuda.CUDAGraph()
    with torch.cuda.graph(keeper):
        torch.zeros(1, device=device)
    return keeper


@contextmanager
def _forbid_waiting() -> Iterator[None]:
    """Make operations that synchronise with the device raise RuntimeError inside this context."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


@contextmanager
def _explain_errors(reason: str) -> Iterator[None]:
    """Turn a RuntimeError inside this context into a ValueError whose message has ``reason``."""
    try:
        yield
    except RuntimeError as error:
        first = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"this run cannot become a CUDA graph: {reason} ({first}); run it eagerly"
        ) from error


class Recording:
    """Recorded function of tensors, for arguments with the shapes of ``inputs``.

    Args:
        function: function to record, which returns one tensor. A replay reads tensors in the
            function's closure again; the recording fixes all other values.
        inputs: example arguments, whose shapes and dtypes later arguments must have.
        backend: records the call and replays it; any object with the methods of :class:`CudaGraph`.

    Raises:
        ValueError: the backend cannot record the function.
    """

    @torch.no_grad()
    def __init__(
        self, function: Callable[..., Tensor], inputs: Sequence[Tensor], backend: CudaGraph
    ) -> None:
        self._inputs = tuple(tensor.clone() for tensor in inputs)
        # keeps alive all memory that a replay reads
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
        """Replay on the inputs of the last call; nothing is copied or returned."""
        self._backend.replay()


def capture(
    sampler: Sampler,
    grid: Grid,
    bind_batch: Callable[..., tuple[Denoise, Noise]],
    inputs: Sequence[Tensor],
    backend: CudaGraph | None = None,
) -> Recording:
    """Return ``sampler.sample`` on one grid, recorded as a function of latents and batch context.

    Args:
        sampler: sampler with a known number of evaluations that does not synchronise with the
            device.
        grid: noise levels.
        bind_batch: function from a batch's context to its denoiser and noise. It is called while
            recording. Denoiser and noise must compute on the device, and read the tensors that
            they get, not copies of them.
        inputs: the latents ``(batch, *event)``, then the context: all other tensors that differ
            between batches, such as sample numbers and labels.
        backend: records and replays; None is a :class:`CudaGraph` on the device of the latents.

    Raises:
        ValueError: the sampler, the denoiser or the device does not allow a recording.
    """
    if reason := why_not_capturable(sampler, grid):
        raise ValueError(reason)

    def run(x: Tensor, *context: Tensor) -> Tensor:
        denoise, noise = bind_batch(*context)
        return sampler.sample(TensorLevelDenoiser(denoise), x, grid, noise)

    return Recording(run, inputs, CudaGraph(inputs[0].device) if backend is None else backend)


class TensorLevelDenoiser:
    """Bound denoiser that passes noise levels on as tensors on the device.

    A model may copy a float by ``torch.as_tensor``, which waits for the device. Filling a tensor
    with the float does not wait.
    """

    def __init__(self, denoise: Denoise) -> None:
        self._denoise = denoise

    def __call__(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Return the denoised image of ``x`` ``(batch, *event)`` at ``sigma``."""
        return self._denoise(x, as_level_tensor(sigma, x))

    def both(self, x: Tensor, sigma: float | Tensor) -> Pair:
        """Return the guided and the unguided image, as :func:`.denoise_both` does."""
        return denoise_both(self._denoise, x, as_level_tensor(sigma, x))

    def take(self, rows: Tensor) -> TensorLevelDenoiser:
        """Return the denoiser of the samples ``rows``: int64 batch indices, which may repeat."""
        return TensorLevelDenoiser(self._denoise.take(rows))


def as_level_tensor(sigma: float | Tensor, x: Tensor) -> Tensor:
    """Return a float level as float64 ``(batch,)`` on the device of ``x``; a tensor unchanged."""
    if isinstance(sigma, Tensor):
        return sigma
    return torch.full((len(x),), sigma, dtype=torch.float64, device=x.device)


def why_not_capturable(sampler: Sampler, grid: Grid) -> str:
    """Return the reason why a sampler cannot be recorded on a grid; "" if none is known yet."""
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
