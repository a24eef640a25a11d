"""Measurements of row 12: pictures rebuilt from nothing, with noise and with other degradations."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .....models.analysis.estimate import estimate
from .....models.degradation import Blend
from ....metrics.estimators.frechet import FrechetEstimate, paired_difference
from ....metrics.estimators.moments import FloatArray, as_rows
from ....scoring.data import training_set
from ..statistics.alike import alike, reach_of
from ..statistics.intervals import Interval
from ..statistics.spread import variance_kept
from .effort import Effort
from .generating import DistanceToData
from .restoring import (
    Process,
    Rule,
    estimated,
    improved,
    naive,
    processes,
    rebuild,
    severities,
)

COUNTS, FAST = (1, 2, 5, 10, 30, 100), (1, 4, 16)
NOISE = "noise"
DDIM, IMPROVED, NAIVE = "estimated", "improved", "naive"
RULES: Mapping[str, Rule] = {IMPROVED: improved, NAIVE: naive, DDIM: estimated}
SHOWN = 10
"""Pictures that are kept."""
TRACE = 0.02
"""Standard deviation of the noise that is added to starts without chance in them."""


class Course(NamedTuple):
    """One degradation undone by one rule, in ever more steps from the same starts.

    Attributes:
        distances: Fréchet distance to the data at each number of steps.
        gain: that after one step less that after the most.
        behind: that after the most steps less that of noise by its best rule and the same network.
        errors: squared distance to the pictures that were degraded, over the variance of pictures.
        variance: of the outputs over that of pictures.
        alike: share of the pairs of outputs that are alike, after the most steps.
        pictures: the first outputs after the most steps, ``(n, 28, 28)``.
    """

    distances: Sequence[Interval]
    gain: Interval
    behind: Interval
    errors: Sequence[Interval]
    variance: Sequence[Interval]
    alike: Interval
    pictures: NDArray[np.float32]


class ColdResult(NamedTuple):
    """The measurements of row 12; mappings are by degradation.

    Attributes:
        counts: numbers of steps.
        courses: of each rule that is tried.
        starts: the first fully degraded pictures, ``(n, 28, 28)``.
        traces: after the most steps of the improved rule, from starts with a trace of noise: share
            of the pairs that are alike, and Fréchet distance less that without the trace.
        samples: of each course.
        alike: share of the pairs of real pictures that are alike.
        variance: of the features of the data, in all.
        flags: of the distances; in how few directions outputs vary is left out.
    """

    counts: Sequence[int]
    courses: Mapping[str, Mapping[str, Course]]
    starts: Mapping[str, NDArray[np.float32]]
    traces: Mapping[str, Sequence[Interval]]
    samples: int
    alike: float
    variance: float
    flags: Sequence[str]


def measure(effort: Effort) -> ColdResult:
    """Pictures that nobody trained on are degraded until nothing is left, and rebuilt."""
    counts, to_data = FAST if effort.fast else COUNTS, DistanceToData(effort.model("fashion"))
    bench = Bench(counts, to_data, pictures_of(effort), effort.samples(384, 144))
    known = processes()
    runs = {
        name: {rule: bench.run(process, rule) for rule in rules_for(process)}
        for name, process in known.items()
    }
    noise = min((run.distances[-1] for run in runs[NOISE].values()), key=lambda one: one.value)
    return ColdResult(
        counts,
        {
            name: {rule: bench.course(run, noise) for rule, run in found.items()}
            for name, found in runs.items()
        },
        {name: bench.start(process)[0][:SHOWN, 0].numpy() for name, process in known.items()},
        {
            name: bench.trace(process, runs[name][IMPROVED].distances[-1])
            for name, process in known.items()
            if chanceless(process)
        },
        len(bench.x0),
        bench.alike,
        to_data.variance,
        [re.sub(r"\d+ of (\d+ directions)", r"fewer than \1", flag) for flag in to_data.flags],
    )


def rules_for(process: Process) -> Sequence[str]:
    """The rules that there are for a degradation."""
    return tuple(RULES) if isinstance(process.degradation, Blend) else (IMPROVED, NAIVE)


def chanceless(process: Process) -> bool:
    """Whether a degradation draws no companion."""
    return not process.degradation.companions(1, torch.Generator().manual_seed(0)).numel()


class Run(NamedTuple):
    """Outputs ``(n, 1, 28, 28)`` at each number of steps, and their distances to the data."""

    outputs: Sequence[Tensor]
    distances: Sequence[FrechetEstimate]


class Bench:
    """What all degradations are tried on and measured with.

    Args:
        counts: numbers of steps.
        to_data: distance of samples to the data.
        real: real pictures ``(m, 1, 28, 28)``.
        n: how many of them are degraded.
    """

    def __init__(
        self, counts: Sequence[int], to_data: DistanceToData, real: Tensor, n: int
    ) -> None:
        self.counts, self.to_data = counts, to_data
        flat = as_rows(real.double().numpy())
        self.reach, self.variance = reach_of(flat), float(flat.var(0, ddof=1).sum())
        self.alike = alike(flat, self.reach, draws=1).value
        self.x0 = real[torch.randperm(len(real), generator=torch.Generator().manual_seed(0))[:n]]

    def start(self, process: Process, trace: float = 0.0) -> tuple[Tensor, Tensor]:
        """Fully degraded pictures, with noise of a standard deviation added, and companions."""
        n, one = len(self.x0), torch.ones(())
        companion = process.degradation.companions(n, torch.Generator().manual_seed(1))
        noise = torch.randn(self.x0.shape, generator=torch.Generator().manual_seed(2))
        return process.degradation(self.x0, one, companion) + trace * noise, companion

    def run(self, process: Process, rule: str) -> Run:
        """What a rule makes of them in ever more steps."""
        start = self.start(process)
        outputs = [
            rebuild(process, RULES[rule], *start, severities(steps)) for steps in self.counts
        ]
        return Run(outputs, [self.to_data(x) for x in outputs])

    def course(self, run: Run, noise: FrechetEstimate) -> Course:
        """What is known of a run; ``noise`` is how far noise's end is from the data."""
        rows, first, last = [self.rows(x) for x in run.outputs], run.distances[0], run.distances[-1]
        return Course(
            [Interval.normal(one.value, one.se) for one in run.distances],
            Interval.normal(*paired_difference(first, last)),
            Interval.normal(*paired_difference(last, noise)),
            [self.error(x) for x in rows],
            [variance_kept(x, self.variance) for x in rows],
            alike(rows[-1], self.reach),
            run.outputs[-1][:SHOWN, 0].clamp(-1, 1).numpy(),
        )

    def trace(self, process: Process, without: FrechetEstimate) -> list[Interval]:
        """See :attr:`ColdResult.traces`."""
        start = self.start(process, TRACE)
        x = rebuild(process, improved, *start, severities(self.counts[-1]))
        gap = paired_difference(self.to_data(x), without)
        return [alike(self.rows(x), self.reach), Interval.normal(*gap)]

    def rows(self, x: Tensor) -> FloatArray:
        """Pictures as vectors, in the range that pictures have."""
        return as_rows(x.clamp(-1, 1).double().numpy())

    def error(self, x: FloatArray) -> Interval:
        """Mean squared distance to the pictures that were degraded, over their variance."""
        found = estimate(np.square(x - self.rows(self.x0)).sum(1) / self.variance)
        return Interval.normal(found.value, found.error)


def pictures_of(effort: Effort) -> Tensor:
    """Real pictures that ship and that the network has not seen, ``(m, 1, 28, 28)``.

    Raises:
        ValueError: the model in their place has no pictures.
    """
    model = effort.model("fashion-kde")
    known = training_set(model)
    if known is None or model.event != (1, 28, 28):
        raise ValueError(
            f"model {model.name} has no pictures of 28 x 28 pixels that could be degraded; "
            "put nothing in the place of fashion-kde"
        )
    return torch.from_numpy(known.examples).float().reshape(-1, *model.event)
