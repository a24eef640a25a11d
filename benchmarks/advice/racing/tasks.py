"""Tasks of a race for the processes that hold the model: samples of a configuration, their features,
reference solutions, rules of ``auto``, and the time of a sample.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ....samplers import karras, make
from ....samplers.pilot import ProbeData
from ...planning.cache import default_cache
from ...planning.fitting import Pilot
from ...running.executors import Tell
from ...running.executors.shard_limits import evaluations_per_second
from ...running.executors.tasks import CellTask
from ...running.executors.worker_context import WorkerContext
from ...sampling.batch import begin, latents, solve_cell
from ...sampling.engine import finish
from ...sampling.shard import Scored, clamp, sample_shard
from ...scoring.solutions.endpoints import solve
from .features import POOLED, Pooled


@dataclass(frozen=True)
class Ends(CellTask):
    """Samples ``start`` … ``stop - 1`` of a configuration.

    Attributes:
        start, stop: sample numbers.
        space: what features are taken with: "" for none, "model" for the run's extractor of the model,
            or :data:`.features.POOLED`.
        whole: whether the samples themselves are returned.
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
        extractor = Pooled(model.decoded_event) if self.space == POOLED else own
        scored = Scored(extractor, model.decoded_limits) if self.space and extractor else None
        keep = self.stop if self.whole else 0
        samples = sample_shard(
            model, scored, self.cell, self.start, self.stop, self.cell.device, 0, keep, tell
        )
        wanted = ("endpoint", "nfe", "features")
        return {name: samples[name] for name in wanted if name in samples}


@dataclass(frozen=True)
class OfModel:
    """A task about a model.

    Attributes:
        model: its spec.
        identity: what pins its numbers.
        device: "cpu" or "cuda".
    """

    model: str
    identity: str
    device: str

    def prepare(self, world: WorkerContext) -> None:
        """Load the model.

        Raises:
            ValueError: it cannot be loaded, or its files changed since.
        """
        if world.subject(self.model).model.identity != self.identity:
            raise ValueError(
                f"the files of model {self.model} changed meanwhile; run the same command again"
            )


@dataclass(frozen=True)
class Solution(OfModel):
    """Endpoints of latents, by the reference solver, or exact where the model knows them.

    Attributes:
        seed: of the latents.
        start, stop: sample numbers.
        steps: of the solver; 0 for the model's own knowledge.
        batch: samples at a time.
        space: features in place of the samples, as in :class:`Ends`; "" for the samples.
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
        extractor = Pooled(model.decoded_event) if self.space == POOLED else own
        assert extractor is not None
        return np.asarray(extractor(clamp(model.decode(x), model.decoded_limits)[0]), float)


@dataclass(frozen=True)
class Pictured(OfModel):
    """Images of states, decoded where the model has a decoder.

    Attributes:
        x: ``(n, *event)``.
    """

    x: NDArray

    @torch.no_grad()
    def __call__(self, world: WorkerContext, tell: Tell) -> NDArray:  # noqa: ARG002
        """Return the images ``(n, *decoded_event)``."""
        model = world.subject(self.model).model
        return model.decode(torch.from_numpy(self.x).to(self.device)).cpu().numpy()


@dataclass(frozen=True)
class Paces(OfModel):
    """Evaluations per second, all passes counted, at several batch sizes.

    Attributes:
        batches: the sizes.
        seconds: how long to measure each, about.
    """

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
class Looked(OfModel):
    """Probe of the model for ``auto``, kept in the cache."""

    @torch.no_grad()
    def __call__(self, world: WorkerContext, tell: Tell) -> ProbeData:  # noqa: ARG002
        """Return the probe.

        Raises:
            ValueError: the model cannot be probed.
        """
        return Pilot(world.subject(self.model).model, default_cache(), self.device).look


@dataclass(frozen=True)
class Fit(OfModel):
    """Search for the rule of ``auto`` for a number of steps.

    Attributes:
        steps: of the grid.
    """

    steps: int

    @torch.no_grad()
    def __call__(self, world: WorkerContext, tell: Tell) -> None:  # noqa: ARG002
        """Leave the rule in the cache."""
        model = world.subject(self.model).model
        grid = karras(self.steps, model.sigma_min, model.sigma_max)
        Pilot(model, default_cache(), self.device).fitted(make("auto"), grid)


@dataclass(frozen=True)
class TimingTask(CellTask):
    """Milliseconds that a sample of a configuration takes, network, sampler and decoder.

    Attributes:
        batch: samples at a time.
        repeats: of which the median is taken.
    """

    batch: int
    repeats: int

    @torch.no_grad()
    def __call__(self, world: WorkerContext, tell: Tell) -> float:  # noqa: ARG002
        """Return the median over repeats, for one sample of the batch."""
        model, cell = world.subject(self.cell.model).model, self.cell
        ids = torch.arange(self.batch, device=cell.device)
        bound = model.bind(ids, cell.seed)
        x, noise = begin(model, cell, ids)
        times = []
        for _ in range(1 + self.repeats):  # the first warms up
            finish(x.device)
            started = time.perf_counter()
            model.decode(solve_cell(cell, bound, x, noise))
            finish(x.device)
            times.append(time.perf_counter() - started)
        return 1000 * statistics.median(times[1:]) / self.batch
