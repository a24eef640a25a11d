"""Tasks of a race for the processes that hold the model: samples of a configuration, their features,
reference solutions, rules of ``auto``, and the time of a sample.
"""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ...samplers import karras, make
from ...samplers.auto import ProbeData
from ..planning.cache import default_cache
from ..planning.fitting import Pilot
from ..running.executors import Tell
from ..running.executors.shard_limits import evaluations_per_second
from ..running.executors.tasks import CellTask, FeatureExtraction
from ..running.executors.worker_context import WorkerContext
from ..sampling.batch import first_states_and_noise, latents, solve_cell
from ..sampling.engine import wait_for_device
from ..sampling.shard import clamp, sample_shard
from ..scoring.endpoints import solve

SIDE = 32
"""Pixels a side to which images are pooled, at most."""
POOLED = "pooled pixels"


class PooledPixels:
    """Images of a shape averaged over squares until no side is longer than :data:`SIDE`, flattened; samples that are
    no images as they are.
    """

    def __init__(self, event: tuple[int, ...]) -> None:
        self.by = max(1, math.ceil(max(event[1:]) / SIDE)) if len(event) == 3 else 1
        size = [event[0], *(math.ceil(side / self.by) for side in event[1:])]
        self.dim = math.prod(size if len(event) == 3 else event)
        self.identity = f"{POOLED} by {self.by}"

    def __call__(self, x: Tensor) -> NDArray[np.float64]:
        """Return features ``(n, d)`` of samples ``(n, *event)``."""
        pooled = functional.avg_pool2d(x, self.by, ceil_mode=True) if self.by > 1 else x
        return pooled.flatten(1).to("cpu", torch.float64).numpy()


@dataclass(frozen=True)
class SamplesTask(CellTask):
    """Samples ``start`` … ``stop - 1`` of a configuration.

    Features are taken with ``space``: "" for none, "model" for the run's extractor of the model, or :data:`POOLED`.
    The samples themselves are returned if ``whole``.
    """

    start: int
    stop: int
    space: str = ""
    whole: bool = True

    def __call__(self, world: WorkerContext, tell: Tell) -> dict[str, NDArray]:
        """Return ``endpoint`` ``(n, *event)`` and ``nfe``; with a space, ``features`` ``(n, d)``.

        Raises:
            Failure: as :func:`.sample_shard`.
        """
        model, own = world.subject(self.cell.model)
        extractor = PooledPixels(model.decoded_event) if self.space == POOLED else own
        scored = (
            FeatureExtraction(extractor, model.decoded_limits) if self.space and extractor else None
        )
        keep = self.stop if self.whole else 0
        samples = sample_shard(
            model, scored, self.cell, self.start, self.stop, self.cell.device, 0, keep, tell
        )
        wanted = ("endpoint", "nfe", "features")
        return {name: samples[name] for name in wanted if name in samples}


@dataclass(frozen=True)
class ModelTask:
    """A task about a model: its spec, its identity, and the device."""

    model: str
    identity: str
    device: str

    def prepare(self, world: WorkerContext) -> None:
        """Load the model, and refuse one whose files changed since."""
        if world.subject(self.model).model.identity != self.identity:
            raise ValueError(
                f"the files of model {self.model} changed meanwhile; run the same command again"
            )


@dataclass(frozen=True)
class SolutionTask(ModelTask):
    """Endpoints of latents ``start`` … ``stop - 1`` by the reference solver on some steps, or for 0 steps exact where
    the model knows them; with a ``space`` their features, as in :class:`SamplesTask`.
    """

    seed: int
    start: int
    stop: int
    steps: int
    batch: int
    space: str = ""

    @torch.no_grad()
    def __call__(self, world: WorkerContext, tell: Tell) -> NDArray | None:  # noqa: ARG002
        """Return endpoints ``(n, *event)``, or features ``(n, d)``; None where the model knows none."""
        model, own = world.subject(self.model)
        ids = torch.arange(self.start, self.stop, device=self.device)
        if self.steps == 0:
            x0 = latents(model, ids, self.seed, model.dtype)[0]
            x = model.endpoint(x0, model.bind(ids, self.seed).labels)
        else:
            x = solve(model, ids, self.seed, model.dtype, self.steps, self.batch)
        if x is None or not self.space:
            return None if x is None else x.cpu().numpy()
        extractor = PooledPixels(model.decoded_event) if self.space == POOLED else own
        assert extractor is not None
        return np.asarray(extractor(clamp(model.decode(x), model.decoded_limits)[0]), float)


@dataclass(frozen=True)
class DecodeTask(ModelTask):
    """Images of states ``x`` ``(n, *event)``, decoded where the model has a decoder."""

    x: NDArray

    @torch.no_grad()
    def __call__(self, world: WorkerContext, tell: Tell) -> NDArray:  # noqa: ARG002
        """Return the images ``(n, *decoded_event)``."""
        model = world.subject(self.model).model
        return model.decode(torch.from_numpy(self.x).to(self.device)).cpu().numpy()


@dataclass(frozen=True)
class SpeedTask(ModelTask):
    """Evaluations per second, all passes counted, at several batch sizes, each for about some seconds."""

    batches: tuple[int, ...]
    seconds: float

    @torch.no_grad()
    def __call__(self, world: WorkerContext, tell: Tell) -> list[float]:  # noqa: ARG002
        """Return one rate a batch size."""
        model = world.subject(self.model).model
        return [
            evaluations_per_second(model, batch, self.device, seconds=self.seconds)
            for batch in self.batches
        ]


@dataclass(frozen=True)
class ProbeTask(ModelTask):
    """Probe of the model for ``auto``, kept in the cache."""

    @torch.no_grad()
    def __call__(self, world: WorkerContext, tell: Tell) -> ProbeData:  # noqa: ARG002
        """Return the probe; raise ValueError if the model cannot be probed."""
        return Pilot(world.subject(self.model).model, default_cache(), self.device).probe


@dataclass(frozen=True)
class RuleTask(ModelTask):
    """Search for the rule of ``auto`` for a number of steps."""

    steps: int

    @torch.no_grad()
    def __call__(self, world: WorkerContext, tell: Tell) -> None:  # noqa: ARG002
        """Leave the rule in the cache."""
        model = world.subject(self.model).model
        grid = karras(self.steps, model.sigma_min, model.sigma_max)
        Pilot(model, default_cache(), self.device).fitted(make("auto"), grid)


@dataclass(frozen=True)
class TimingTask(CellTask):
    """Milliseconds that a sample of a configuration takes in a batch of one, network, sampler and decoder."""

    repeats: int

    @torch.no_grad()
    def __call__(self, world: WorkerContext, tell: Tell) -> float:  # noqa: ARG002
        """Return the median over repeats."""
        model, cell = world.subject(self.cell.model).model, self.cell
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
