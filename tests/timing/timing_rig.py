"""What the timing tests share: a machine whose time is a variable, samplers of known cost on
it, and one way to time them.
"""

import random
from dataclasses import InitVar, dataclass, field
from typing import Any

import torch

from samplerbench.benchmarks.planning.schedules import make_schedule
from samplerbench.benchmarks.suites.cell import Cell, make_start
from samplerbench.benchmarks.suites.suite import Timing
from samplerbench.benchmarks.timing.cells import time_cells
from samplerbench.benchmarks.timing.clock import CallTimes
from samplerbench.models.denoiser import Denoiser
from samplerbench.samplers import Source
from samplerbench.samplers.base import Declared


@dataclass
class Machine:
    """Virtual milliseconds.

    Reading the time of a call blurs and drifts it, as a real machine does.
    """

    now: float = 0.0
    blur: float = 0.0
    drift: float = 0.0
    rng: random.Random = field(default_factory=lambda: random.Random(0))

    def work(self, ms: float) -> None:
        self.now += ms

    def __call__(self, call: Any) -> CallTimes:
        begin = self.now
        call()
        ms = (
            (self.now - begin)
            * self.rng.lognormvariate(0.0, self.blur)
            * (1 + self.drift * self.now)
        )
        return CallTimes(ms, ms)


class Network(Denoiser):
    """The zero image, at ``ms`` a call."""

    name, event, identity = "rig", (2,), "rig-1"

    def __init__(self, machine: Any, ms: float) -> None:
        self.machine, self.ms = machine, ms

    def denoise(self, x: torch.Tensor, sigma: Any, labels: Any) -> torch.Tensor:
        self.machine.work(self.ms)
        return torch.zeros_like(x)


@dataclass(frozen=True, kw_only=True)
class Working(Declared):
    """Euler in the large: a call and ``ms`` of the sampler's own work a step."""

    name = "rig_working"
    source = Source("rig", "", "")
    machine: InitVar[Any]
    ms: float = 0.0

    def __post_init__(self, machine: Any) -> None:
        object.__setattr__(self, "on", machine)

    def nfe(self, grid: Any) -> int:
        return len(grid)

    def sample(self, denoise: Any, x: torch.Tensor, grid: Any, noise: Any) -> torch.Tensor:
        for cur, _ in grid.intervals():
            x = denoise(x, cur)
            self.on.work(self.ms)
        return x


def cell_of(sampler: Any, model: Denoiser, steps: int = 5, seed: int = 0) -> Cell:
    schedule = make_schedule("karras")
    return Cell(
        model="rig",
        sampler=sampler,
        schedule=schedule,
        start=make_start("noise", model, None, "cpu"),
        end="zero",
        noise=None,
        grid=schedule(steps, 0.002, 80.0, to_zero=True),
        steps=steps,
        budget=None,
        samples=2,
        seed=seed,
        batch_size=4,
        dtype="float32",
        sigma_min=0.002,
        sigma_max=80.0,
        identity=("rig-1", ""),
        device="cpu",
    )


def timed(
    model: Denoiser,
    samplers: list[Any],
    clock: Any,
    *,
    batch_size: int = 0,
    steps: int = 5,
    visits: list[str] | None = None,
    **options: Any,
) -> list[dict[str, Any]]:
    """The records of the samplers, in their order; ``visits`` gets the label of each visit."""
    # the seed tells twins apart
    cells = [cell_of(sampler, model, steps, seed) for seed, sampler in enumerate(samplers)]
    records: dict[str, dict[str, Any]] = {}
    labels = [] if visits is None else visits
    time_cells(
        model,
        cells,
        Timing(**{"seconds": 5.0, **options}),
        "cpu",
        batch_size=batch_size,
        clock=clock,
        progress=lambda share, label: labels.append(label),
        done=lambda key, record: records.update({key: record}),
    )
    return [records[cell.key] for cell in cells]
