"""Measurements of row 12: pictures rebuilt after complete degradation, by noise or otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samplerbench.benchmarks.metrics import FrechetEstimate, as_rows, paired_difference
from samplerbench.benchmarks.scoring import training_set
from samplerbench.models import Denoiser, estimate_mean

from ...arrays import FloatArray
from ...models.degradation import Blend
from ..statistics.alike import alike, reach_of
from ..statistics.intervals import Interval
from ..statistics.spread import variance_kept
from .effort import Effort
from .generating import SAMPLES, DistanceToData
from .restoring import Process, Rule, estimated, improved, naive, processes, rebuild, severities

COUNTS, FAST = (1, 2, 5, 10, 30, 100), (1, 4, 16)
NOISE = "noise"
DDIM, IMPROVED, NAIVE = "estimated", "improved", "naive"
RULES: Mapping[str, Rule] = {IMPROVED: improved, NAIVE: naive, DDIM: estimated}
SHOWN = 10
"""Number of stored pictures."""
TRACE = 0.02
"""Standard deviation of the noise added to starts of degradations without randomness."""


class Course(NamedTuple):
    """Results of undoing a degradation by a rule, in rising numbers of steps from the same starts.

    Attributes:
        tried: Fréchet distance to the data at each number of steps, on pictures for choosing.
        best: index of the smallest of these. All fields below are on other pictures.
        distances: Fréchet distance to the data at each number of steps.
        gain: distance after one step less the distance at ``best``.
        behind: distance at ``best`` less noise's distance, with the same network and the rule and
            number of steps chosen for noise.
        errors: squared distance to the undegraded pictures, over the variance of pictures.
        variance: variance of the outputs over the variance of pictures.
        alike: share of pairs of outputs that are alike, at ``best``.
        pictures: first outputs at ``best``, ``(n, 28, 28)``.
    """

    tried: Sequence[float]
    best: int
    distances: Sequence[Interval]
    gain: Interval
    behind: Interval
    errors: Sequence[Interval]
    variance: Sequence[Interval]
    alike: Interval
    pictures: NDArray[np.float32]


class ColdResult(NamedTuple):
    """Measurements of row 12; mappings are by degradation.

    Attributes:
        counts: numbers of steps.
        courses: results by tried rule.
        starts: first fully degraded pictures, ``(n, 28, 28)``.
        traces: from starts with a trace of noise, by the improved rule at its best number of steps:
            share of pairs that are alike, and Fréchet distance less the distance without the trace.
        alike: share of pairs of real pictures that are alike.
        variance: total variance of the data's features.
        flags: reasons against trusting the distances' intervals.
    """

    counts: Sequence[int]
    courses: Mapping[str, Mapping[str, Course]]
    starts: Mapping[str, NDArray[np.float32]]
    traces: Mapping[str, Sequence[Interval]]
    alike: float
    variance: float
    flags: Sequence[str]


def measure(effort: Effort) -> ColdResult:
    """Measure row 12: degrade held-out pictures completely, and rebuild them."""
    counts, n = FAST if effort.fast else COUNTS, effort.samples(SAMPLES, 144)
    bench = Bench(counts, effort.model("fashion"), pictures_of(effort), n)
    known = processes()
    runs = {
        name: {rule: bench.run(process, rule) for rule in rules_for(process)}
        for name, process in known.items()
    }
    noise = min(runs[NOISE].values(), key=lambda run: min(run.tried))
    return ColdResult(
        counts,
        {
            name: {
                rule: bench.course(run, noise.distances[noise.best]) for rule, run in found.items()
            }
            for name, found in runs.items()
        },
        {name: bench.start(process)[0][:SHOWN, 0].numpy() for name, process in known.items()},
        {
            name: bench.trace(process, runs[name][IMPROVED])
            for name, process in known.items()
            if chanceless(process)
        },
        bench.alike,
        bench.to_data.variance,
        bench.to_data.flags,
    )


def rules_for(process: Process) -> Sequence[str]:
    """Return the names of the rules for a degradation."""
    return tuple(RULES) if isinstance(process.degradation, Blend) else (IMPROVED, NAIVE)


def chanceless(process: Process) -> bool:
    """Return True if a degradation draws no companion, so that it has no randomness."""
    return not process.degradation.companions(1, torch.Generator().manual_seed(0)).numel()


class Run(NamedTuple):
    """Outputs ``(n, 1, 28, 28)`` at each number of steps, with their distances to the data.

    The distances ``tried`` of other outputs are for choosing.
    """

    outputs: Sequence[Tensor]
    distances: Sequence[FrechetEstimate]
    tried: Sequence[float]

    @property
    def best(self) -> int:
        """Index of the chosen number of steps."""
        return int(np.argmin(self.tried))


class Bench:
    """Common pictures and distances for all degradations.

    Args:
        counts: numbers of steps.
        model: model whose data define the distances.
        real: real pictures ``(m, 1, 28, 28)``.
        n: number of pictures to degrade and measure; a quarter more are for choosing.
    """

    def __init__(self, counts: Sequence[int], model: Denoiser, real: Tensor, n: int) -> None:
        self.counts, self.n = counts, n
        self.to_data, self._trial = (DistanceToData(model, n) for _ in range(2))
        flat = as_rows(real.double().numpy())
        self.reach, self.variance = reach_of(flat), float(flat.var(0, ddof=1).sum())
        self.alike = alike(flat, self.reach, draws=1).value
        order = torch.randperm(len(real), generator=torch.Generator().manual_seed(0))
        self.x0 = real[order[: n + n // 4]]

    def start(self, process: Process, trace: float = 0.0) -> tuple[Tensor, Tensor]:
        """Return fully degraded pictures and companions; ``trace`` is the std of added noise."""
        n, one = len(self.x0), torch.ones(())
        companion = process.degradation.companions(n, torch.Generator().manual_seed(1))
        noise = torch.randn(self.x0.shape, generator=torch.Generator().manual_seed(2))
        return process.degradation(self.x0, one, companion) + trace * noise, companion

    def run(self, process: Process, rule: str) -> Run:
        """Return the outputs of a rule in rising numbers of steps."""
        start = self.start(process)
        outputs = [
            rebuild(process, RULES[rule], *start, severities(steps)) for steps in self.counts
        ]
        return Run(
            [x[: self.n] for x in outputs],
            [self.to_data(x[: self.n]) for x in outputs],
            [self._trial(x[self.n :]).value for x in outputs],
        )

    def course(self, run: Run, noise: FrechetEstimate) -> Course:
        """Return the results of a run; ``noise`` is the distance to the data of noise's best."""
        rows, best = [self.rows(x) for x in run.outputs], run.distances[run.best]
        return Course(
            run.tried,
            run.best,
            [Interval.normal(one.value, one.se) for one in run.distances],
            Interval.normal(*paired_difference(run.distances[0], best)),
            Interval.normal(*paired_difference(best, noise)),
            [self.error(x) for x in rows],
            [variance_kept(x, self.variance) for x in rows],
            alike(rows[run.best], self.reach),
            run.outputs[run.best][:SHOWN, 0].clamp(-1, 1).numpy(),
        )

    def trace(self, process: Process, without: Run) -> list[Interval]:
        """Return the pair of numbers in :attr:`ColdResult.traces`."""
        start, companion = (part[: self.n] for part in self.start(process, TRACE))
        levels = severities(self.counts[without.best])
        x = rebuild(process, improved, start, companion, levels)
        gap = paired_difference(self.to_data(x), without.distances[without.best])
        return [alike(self.rows(x), self.reach), Interval.normal(*gap)]

    def rows(self, x: Tensor) -> FloatArray:
        """Return pictures as vectors, clamped to their range."""
        return as_rows(x.clamp(-1, 1).double().numpy())

    def error(self, x: FloatArray) -> Interval:
        """Return the mean squared distance to the undegraded pictures, over their variance."""
        found = estimate_mean(np.square(x - self.rows(self.x0[: self.n])).sum(1) / self.variance)
        return Interval.normal(found.value, found.error)


def pictures_of(effort: Effort) -> Tensor:
    """Return shipped real pictures that the network was not trained on, ``(m, 1, 28, 28)``.

    Raises:
        ValueError: the replacing model has no pictures.
    """
    model = effort.model("fashion-kde")
    known = training_set(model)
    if known is None or model.event != (1, 28, 28):
        raise ValueError(
            f"model {model.name} has no pictures of 28 x 28 pixels that could be degraded; "
            "put nothing in the place of fashion-kde"
        )
    return torch.from_numpy(known.examples).float().reshape(-1, *model.event)
