"""Tasks that ``advise`` gives to the processes that hold the model."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ...models.rounding import in_full_precision
from ...samplers import karras, make
from ...samplers.auto import ProbeData
from ..planning.cache import default_cache
from ..planning.fitting import Pilot
from ..running.executors import Tell
from ..running.executors.shard_limits import evaluations_per_second
from ..running.executors.tasks import CellTask, FeatureExtraction
from ..running.executors.worker_context import LoadedModel, WorkerContext
from ..sampling.batch import first_states_and_noise, latents, solve_cell
from ..sampling.engine import wait_for_device
from ..sampling.shard import clamp, sample_shard
from ..scoring.converged_endpoints import solve
from .candidates import BATCH

SIDE = 32
"""Largest side of a pooled image, in pixels."""
POOLED = "pooled pixels"


class PooledPixels:
    """Extractor that flattens samples, after pooling images to sides of at most :data:`SIDE`."""

    def __init__(self, event: tuple[int, ...]) -> None:
        self.factor = max(1, math.ceil(max(event[1:]) / SIDE)) if len(event) == 3 else 1
        size = [event[0], *(math.ceil(side / self.factor) for side in event[1:])]
        self.dim = math.prod(size if len(event) == 3 else event)
        self.identity = f"{POOLED} by {self.factor}"

    def __call__(self, x: Tensor) -> NDArray[np.float64]:
        """Return features ``(n, d)`` of samples ``(n, *event)``."""
        pooled = functional.avg_pool2d(x, self.factor, ceil_mode=True) if self.factor > 1 else x
        return pooled.flatten(1).to("cpu", torch.float64).numpy()


@dataclass(frozen=True)
class SamplingTask(CellTask):
    """Task that makes samples ``start`` … ``stop - 1`` of a configuration.

    ``space`` is "" for the samples themselves. Otherwise it names the features to return: "model"
    for features by the run's extractor of the model, or :data:`POOLED`.
    """

    start: int
    stop: int
    space: str = ""

    def __call__(self, context: WorkerContext, tell: Tell) -> NDArray:
        """Return the samples ``(n, *event)``, or their features ``(n, d)``; may raise Failure."""
        model, own = context.load(self.cell.model)
        scored, keep = None, self.stop
        if self.space:
            extractor = PooledPixels(model.decoded_event) if self.space == POOLED else own
            assert extractor is not None
            scored, keep = FeatureExtraction(extractor, model.decoded_limits), 0
        numbers = self.start, self.stop, self.cell.device, 0, keep
        samples = sample_shard(model, scored, self.cell, *numbers, tell, precise=False)
        return samples["features" if self.space else "endpoint"]


def solve_latents(
    loaded: LoadedModel, device: str, seed: int, start: int, stop: int, steps: int, space: str
) -> NDArray | None:
    """Return endpoints ``(n, *event)`` of latents ``start`` … ``stop - 1``, or features ``(n, d)``.

    ``space`` names the features (:class:`SamplingTask`). If ``steps`` is 0, the endpoints are exact, or
    the result is None if the model does not know them.
    """
    model, own = in_full_precision(loaded.model), loaded.extractor
    ids = torch.arange(start, stop, device=device)
    if steps == 0:
        x0 = latents(model, ids, seed, model.dtype)[0]
        x = model.endpoint(x0, model.bind(ids, seed).labels)
    else:
        x = solve(model, ids, seed, model.dtype, steps, BATCH)
    if x is None or not space:
        return None if x is None else x.cpu().numpy()
    extractor = PooledPixels(model.decoded_event) if space == POOLED else own
    assert extractor is not None
    return np.asarray(extractor(clamp(model.decode(x), model.decoded_limits)[0]), float)


def decode_states(loaded: LoadedModel, device: str, x: NDArray) -> NDArray:
    """Return the images ``(n, *decoded_event)`` of states ``(n, *event)``."""
    return loaded.model.decode(torch.from_numpy(x).to(device)).cpu().numpy()


def measure_speeds(loaded: LoadedModel, device: str, batches: Sequence[int]) -> list[float]:
    """Return evaluations per second at each batch size."""
    return [evaluations_per_second(loaded.model, batch, device, seconds=0.3) for batch in batches]


def probe_model(loaded: LoadedModel, device: str) -> ProbeData:
    """Return the model's probe for ``auto``, cached or new; raise ValueError if it fails."""
    return Pilot(loaded.model, default_cache(), device).probe


def search_auto_rule(loaded: LoadedModel, device: str, steps: int) -> None:
    """Search the rule of ``auto`` for a number of steps, and store it in the cache."""
    model = loaded.model
    grid = karras(steps, model.sigma_min, model.sigma_max)
    Pilot(model, default_cache(), device).fitted(make("auto"), grid)


@dataclass(frozen=True)
class TimingTask(CellTask):
    """Task that times sampling and decoding of one sample of a configuration."""

    repeats: int

    @torch.no_grad()
    def __call__(self, context: WorkerContext, tell: Tell) -> float:  # noqa: ARG002
        """Return the median time of a sample over the repeats, in milliseconds."""
        model, cell = context.load(self.cell.model).model, self.cell
        ids = torch.arange(1, device=cell.device)
        bound = model.bind(ids, cell.seed)
        x, noise = first_states_and_noise(model, cell, ids)
        times = []
        for _ in range(1 + self.repeats):  # the first warms up
            wait_for_device(x.device)
            started = time.perf_counter()
            model.decode(solve_cell(cell, bound, x, noise))
            wait_for_device(x.device)
            times.append(time.perf_counter() - started)
        return 1000 * statistics.median(times[1:])
