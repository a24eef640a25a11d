"""Runs of a cell's batches: with counted evaluations for quality, bare calls for timing."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from .batch import SampledBatch, first_states_and_noise, noise_of, sample_batch, solve_cell
from .counting import Meter, ObservedDenoiser
from .execution import is_captured, model_for_execution
from .failure import Failure

if TYPE_CHECKING:
    from ...models.denoiser import Bound, Denoiser
    from ...samplers import Denoise, Noise
    from ...samplers.cuda_graphs import Recording
    from ...samplers.types import Pair
    from ..suites.cell import Cell

ROOM = 2**30  # bytes of states that are stored on a CPU, and the most on a GPU


class Engine:
    """Runner of a cell's batches, which counts network evaluations.

    A replayed CUDA graph runs no Python, so nothing can be counted. So the first batch of a cell
    that replays a graph runs eagerly, counted and checked. The counts apply to all batches.
    """

    def __init__(self, model: Denoiser, cell: Cell) -> None:
        self._plain = model_for_execution(model, cell.execution)
        self._cell, self._meter = cell, Meter()
        self._metered = self._meter.attach(self._plain)
        self._captured: tuple[SampledBatch, Recording] | None = None

    def bind(self, ids: Tensor) -> Bound:
        """Return the denoiser of a batch, whose evaluations are counted."""
        return self._metered.bind(ids, self._cell.seed)

    def sample(self, bound: Bound, ids: Tensor) -> SampledBatch:
        """Return samples ``ids`` and counts; raise a Failure if a check or the recording fails."""
        if not is_captured(self._cell.execution):
            return sample_batch(self._metered, self._meter, bound, self._cell, ids)
        if self._captured is None:
            counted = sample_batch(self._metered, self._meter, bound, self._cell, ids)
            self._captured = counted, _record_run(self._plain, self._cell, bound, ids)
        counted, run = self._captured
        x, _ = first_states_and_noise(self._plain, self._cell, ids)
        return counted._replace(x=run(x, *_inputs_of_batch(bound, ids)))


def engine_of(model: Denoiser, cell: Cell) -> Engine:
    """Return an engine for a cell; with CUDA graphs, the last one if model and cell are equal."""
    return _recording_engine(model, cell) if is_captured(cell.execution) else Engine(model, cell)


@lru_cache(maxsize=1)
def _recording_engine(model: Denoiser, cell: Cell) -> Engine:
    return Engine(model, cell)


class RecordedCalls:
    """Calls of the model in a run, with copies of their states, to be repeated without the sampler.

    The cost of an evaluation can depend on the noise level and the rows. On a GPU the values matter
    too: they change the power drawn, and so the clock rate. So a run's network is timed on the
    run's own states. When the states outgrow ``room`` bytes, every second stored call is dropped,
    and the stored ones stay evenly spread.
    """

    def __init__(self, room: float) -> None:
        self.stored: list[partial[Tensor]] = []
        self.count = 0
        self._room, self._stride = room, 1

    def add(self, denoise: Denoise, x: Tensor, sigma: float | Tensor, _images: Pair) -> None:
        """Count one more call, and store every n-th, where n doubles when ``room`` is exceeded."""
        if self.count % self._stride == 0:
            levels = sigma.clone() if isinstance(sigma, Tensor) else sigma
            self.stored.append(partial(denoise, x.clone(), levels))
            while len(self.stored) > 1 and self.bytes > self._room:
                self.stored, self._stride = self.stored[::2], 2 * self._stride
        self.count += 1

    @property
    def bytes(self) -> int:
        """Bytes of the stored states."""
        return sum(call.args[0].nbytes for call in self.stored)

    @property
    def time_factor(self) -> float:
        """Ratio of all calls to stored ones, which scales :meth:`repeat`'s time."""
        return self.count / len(self.stored)

    def repeat(self) -> Tensor:
        """Repeat the stored calls, at least one, and return the result of the last."""
        *others, last = self.stored
        for call in others:
            call()
        return last()


def bytes_for_states_on(device: torch.device) -> float:
    """Return the number of bytes of states that may be stored on a device."""
    if device.type != "cuda":
        return ROOM
    free, _ = torch.cuda.mem_get_info(device)
    return min(ROOM, free / 4)


class WorkToTime(NamedTuple):
    """Functions to be timed: ``sample`` runs the sampler, ``network`` repeats its model calls."""

    sample: Callable[[], object]
    network: Callable[[], object]
    calls: RecordedCalls  # calls of the model in one run of the sampler, which network repeats
    first_ms: float  # milliseconds of the first run, with compilation and other one-time work
    decode: Callable[[], object] | None = None  # decodes the samples, eager; None without a decoder


def prepare_timed_work(model: Denoiser, cell: Cell, ids: Tensor, *, room: float) -> WorkToTime:
    """Return the functions to be timed, on one batch of a cell.

    The sampler runs once; in a mode with CUDA graphs it is warmed up and recorded first. One more
    run stores the sampler's calls of the model for ``network``. Their states take up to ``room``
    bytes, but one call is always stored.
    """
    model = model_for_execution(model, cell.execution)
    bound = model.bind(ids, cell.seed)
    x, noise = first_states_and_noise(model, cell, ids)
    calls, started = RecordedCalls(room), time.perf_counter()
    if is_captured(cell.execution):
        run = _record_run(model, cell, bound, ids)
        sample = partial(run, x, *_inputs_of_batch(bound, ids))
        from ...samplers.cuda_graphs import TensorLevelDenoiser

        denoise = TensorLevelDenoiser(bound)
    else:
        sample, denoise = partial(solve_cell, cell, bound, x, noise), bound
    samples = sample()
    wait_for_device(x.device)
    first_ms = 1e3 * (time.perf_counter() - started)
    solve_cell(cell, ObservedDenoiser(denoise, calls.add), x, noise)
    network = calls.repeat
    if is_captured(cell.execution):
        from ...samplers.cuda_graphs import CudaGraph, Recording

        network = Recording(lambda _: calls.repeat(), (x,), CudaGraph(x.device)).replay
    decode = None if model.decoder is None else partial(model.decode, samples)
    return WorkToTime(sample, network, calls, first_ms, decode)


def wait_for_device(device: torch.device) -> None:
    """Wait until a device has finished its queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _record_run(model: Denoiser, cell: Cell, bound: Bound, ids: Tensor) -> Recording:
    """Return a recording of a cell's run on a batch like ``ids``, or raise a Failure."""
    from ...samplers.cuda_graphs import CudaGraph, capture

    def setting(ids: Tensor, *labels: Tensor) -> tuple[Denoise, Noise]:
        return model.bind(ids, cell.seed, *labels), noise_of(cell, ids, model.event)

    assert cell.grid is not None
    x, _ = first_states_and_noise(model, cell, ids)
    try:
        inputs = (x, *_inputs_of_batch(bound, ids))
        return capture(cell.sampler, cell.grid, setting, inputs, CudaGraph(x.device))
    except ValueError as error:
        raise Failure("skipped", str(error)) from error


def _inputs_of_batch(bound: Bound, ids: Tensor) -> tuple[Tensor, ...]:
    """Return the inputs of a batch besides the latents: sample numbers, and labels if any."""
    return (ids,) if bound.labels is None else (ids, bound.labels)
