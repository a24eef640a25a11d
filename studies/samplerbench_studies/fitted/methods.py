"""Methods of the study: each finds a solver for a model and a number of evaluations, and counts its cost.

All are found on the same latents, which are not those of any score. Where a method leaves a choice
open, the geometric mean of the distances to the converged samples of these latents decides, which is
close to what verdicts are about:

* A schedule ends with an evaluation at sigma_min, or goes to 0 from the level before. Both are
  tried.
* Fits minimise this mean by least squares (:mod:`samplerbench.benchmarks.tuning`), whatever the
  loss of the paper is, so that they differ only in the numbers that are free.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from time import perf_counter
from typing import Any, NamedTuple

import torch

from samplerbench.benchmarks import make_schedule
from samplerbench.benchmarks.advice import SCHEDULES, resolve_levels
from samplerbench.benchmarks.planning import Pilot, Schedule
from samplerbench.benchmarks.tuning import (
    TRAIN_IDS,
    FreeKind,
    FreeParameters,
    Runs,
    TuningProblem,
    fit,
    power_mean,
    project_grid,
    tuning_problem,
)
from samplerbench.models import Denoiser
from samplerbench.samplers import Grid, Sampler, karras, make

EQUATIONS = 2 / 3
"""Share of the latents that numbers are fitted to; the others choose the size of each step."""
FEW, SHORTLIST = 32, 8
"""Latents on which all untuned configurations are tried, and number of the best tried on all latents."""
WHOLE, OLDER = 12, 4
"""With more than ``WHOLE`` steps, only ``OLDER`` weights of earlier steps are free in each step."""
AS_FINE_AS = 30
"""Steps of the sampler whose error the converged endpoints resolve."""
FLOW, FLOW_LEVELS = 1000.0, ("uniform_time(process='flow')", "flow_shift(shift=3.0)")
"""Least sigma_max of a flow, whose time begins at an infinite level, and further schedules for it."""
SOLVER = "dpmpp_2m"
"""Sampler on the searched levels, and the start of the fits."""
UNTUNED = (
    "ipndm",
    "ipndm_3",
    "dpmpp_2m",
    "dpmpp_3m",
    "dpm_solver_2m",
    "dpm_solver_3m",
    "unipc_2",
    "unipc_3",
    "deis_tab_3",
    "vab_3",
    "vab_4",
    "reab_1",
    "reab_2",
    "warped_ab_3",
)
"""Samplers that are tried on all schedules that are formulas, for the best untuned configuration."""


class Cost(NamedTuple):
    """Evaluations of the model, without those of converged samples, and seconds of wall time."""

    evaluations: int
    seconds: float


class Found(NamedTuple):
    """Linear sampler with one evaluation a step that a method found, its levels, and the cost."""

    sampler: Sampler
    grid: Grid
    cost: Cost


@dataclass(eq=False)
class Subject:
    """Model with ``latents`` to find solvers on, numbered by ``seed``; results are kept.

    ``power`` is that of the mean of distances that is minimised; 0 is the geometric mean.
    """

    model: Denoiser
    seed: int
    latents: int
    power: int = 0
    _schedules: dict[str, tuple[Schedule, Cost]] = field(default_factory=dict)
    _found: dict[tuple[str, int], Found] = field(default_factory=dict)

    @cached_property
    def train(self) -> TuningProblem:
        """Problem of all latents, with converged endpoints."""
        return self._problem(self.latents)

    @cached_property
    def few(self) -> TuningProblem:
        """Problem of the first :data:`FEW` latents."""
        return self._problem(min(FEW, self.latents))

    @cached_property
    def pilot(self) -> Pilot:
        """Search for rules of ``auto``, without a cache."""
        return Pilot(self.model, None, "cpu", self.seed)

    @cached_property
    def seconds_of_probe(self) -> float:
        """Wall time of the probe of :attr:`pilot`."""
        started = perf_counter()
        _ = self.pilot.probe
        return perf_counter() - started

    @property
    def is_flow(self) -> bool:
        """True for a model whose process is a flow."""
        return self.model.sigma_max >= FLOW

    @property
    def formulas(self) -> tuple[str, ...]:
        """Schedules that are formulas, with those for flows if the model is one."""
        return (*SCHEDULES, *(FLOW_LEVELS if self.is_flow else ()))

    def find(self, name: str, n: int) -> Found:
        """Return what a method of :data:`METHODS` finds for ``n`` evaluations."""
        if (name, n) not in self._found:
            self._found[name, n] = METHODS[name](self, n)
        return self._found[name, n]

    def schedule(self, spec: str) -> tuple[Schedule, Cost]:
        """Return a schedule, searched on the model if it needs that, and the cost of the search."""
        if spec not in self._schedules:
            started = perf_counter()
            schedule = make_schedule(spec).for_model(self.model)
            spent = getattr(schedule.searched, "evaluations", 0)
            self._schedules[spec] = schedule, Cost(spent, perf_counter() - started)
        return self._schedules[spec]

    def spent(self) -> Cost:
        """Return the evaluations on the latents so far, and the present time."""
        return Cost(self.train.meter.rows + self.few.meter.rows, perf_counter())

    def grids(self, spec: str, n: int) -> list[Grid]:
        """Return grids of ``n`` steps with and without an evaluation at sigma_min, where it has them."""
        grids = []
        for steps in (n, n + 1):
            try:
                grid = self.schedule(spec)[0](steps, self.model.sigma_min, self.model.sigma_max)
            except ValueError:  # a list of levels of another length, or too few fine levels
                continue
            grids.append(grid if steps == n else Grid((*grid.sigma[:-2], 0.0)))
        return grids

    def _problem(self, count: int) -> TuningProblem:
        problem = tuning_problem(self.model, TRAIN_IDS, count, self.seed)
        grid = karras(AS_FINE_AS, self.model.sigma_min, self.model.sigma_max)
        problem.converge_endpoints((make(SOLVER), grid))
        problem.meter.rows = 0
        return problem


def best_of(
    subject: Subject, samplers: Sequence[str], schedules: Sequence[str], n: int, search: Cost
) -> Found:
    """Return the sampler and grid with the least mean distance; the cost includes ``search``."""
    before, power = subject.spent(), subject.power
    tried = [(make(s), grid) for k in schedules for grid in subject.grids(k, n) for s in samplers]
    for problem, count in ((subject.few, SHORTLIST), (subject.train, 1)):
        if len(tried) > count:
            errors = {run: power_mean(problem.distances(*run), power) for run in tried}
            tried = sorted(errors, key=errors.__getitem__)[:count]
    return Found(*tried[0], cost_since(before, subject, search))


def cost_since(before: Cost, subject: Subject, earlier: Cost) -> Cost:
    """Return the cost since ``before`` (:meth:`Subject.spent`), and ``earlier`` cost."""
    now = subject.spent()
    evaluations = earlier.evaluations + now.evaluations - before.evaluations
    return Cost(evaluations, earlier.seconds + now.seconds - before.seconds)


NOTHING = Cost(0, 0.0)


def formulas(*samplers: str) -> Method:
    """Return the method that takes the best of samplers on the schedules that are formulas."""
    return lambda subject, n: best_of(subject, samplers, subject.formulas, n, NOTHING)


def on_levels(spec: str, sampler: str = SOLVER) -> Method:
    """Return the method that runs a sampler on a schedule.

    {seed}, {n} and {process} in ``spec`` are filled in.
    """

    def found(subject: Subject, n: int) -> Found:
        process = "flow" if subject.is_flow else "vp_linear"
        own = spec.format(seed=subject.seed, n=n, process=process)
        return best_of(subject, [sampler], [own], n, subject.schedule(own)[1])

    return found


def auto(subject: Subject, n: int) -> Found:
    """Return ``auto`` with the rule for the model, as a table."""
    probe, started = subject.seconds_of_probe, perf_counter()
    grid = karras(n, subject.model.sigma_min, subject.model.sigma_max)
    fitted: Any = subject.pilot.fitted(make("auto"), grid)
    cost = Cost(fitted.found.evaluations, probe + perf_counter() - started)
    return Found(*resolve_levels(fitted, grid), cost)


def fitted(first: str, free: FreeKind, *, levels: bool = False, sums: bool = False) -> Method:
    """Return the method that fits numbers by least squares, from what another method found.

    Args:
        first: name of that method.
        free: "levels", "coefficients", "both", or "ratios" of dynamic compensation.
        levels: whether the levels that the network is given are free.
        sums: whether the sum of each row of coefficients is free.
    """

    def found(subject: Subject, n: int) -> Found:
        start, train = subject.find(first, n), subject.train
        before, model = subject.spent(), train.model
        grid = start.grid
        if free in ("levels", "both"):
            grid = project_grid(grid, model.sigma_min, model.sigma_max)
        parameters = FreeParameters(
            start.sampler,
            grid,
            model.sigma_min,
            model.sigma_max,
            free,
            None if n <= WHOLE else OLDER,
            free_sums=sums,
            network_levels=levels,
        )
        x = torch.cat([states for _, states in train.batches])
        runs = Runs(model, train.ids, train.seed, x, train.endpoints, len(x))
        equations = round(EQUATIONS * len(x))
        result = fit(parameters, runs.differences_from_ends, equations, subject.power)
        return Found(result.sampler, result.grid, cost_since(before, subject, start.cost))

    return found


Method = Callable[[Subject, int], Found]
"""Function (subject, evaluations) that finds a solver."""

METHODS: dict[str, Method] = {
    "log-snr": on_levels("uniform_lambda"),
    "ipndm": on_levels("karras", "ipndm"),
    "untuned": formulas(*UNTUNED),
    "untuned-grid": formulas(SOLVER),
    "dmn": on_levels("dmn(process='{process}')"),
    "hso": on_levels("hso(process='{process}')"),
    "optimal_kl": on_levels("optimal_kl"),
    "gits": on_levels("gits(seed={seed})"),
    "gits-ipndm": on_levels("gits(seed={seed})", "ipndm"),
    "oss": on_levels("oss(solver='dpmpp_2m',steps={n},seed={seed})"),
    "oss-euler": on_levels("oss(steps={n},seed={seed})", "euler"),
    "auto": auto,
    "ld3": fitted("untuned-grid", "levels"),
    "ld3-network": fitted("ld3", "levels", levels=True),
    "unipc": on_levels("uniform_lambda", "unipc_2"),
    "dc-solver": fitted("unipc", "ratios"),
    "bns": fitted("untuned-grid", "both"),
    "bns-network": fitted("bns", "both", levels=True),
    "dyweight": fitted("bns", "both", levels=True, sums=True),
    "auto-coefficients": fitted("auto", "coefficients"),
    "advise": fitted("auto", "both"),
    "advise-network": fitted("advise", "both", levels=True),
}
"""Methods by name, in the order of the table."""

TAUGHT = {
    *("untuned", "untuned-grid", "ld3", "ld3-network", "dc-solver", "bns", "bns-network"),
    *("dyweight", "auto-coefficients", "advise", "advise-network"),
}
"""Methods that need converged samples. Others use them only to choose how their schedule ends."""
UNSEEDED = {"log-snr", "ipndm", "dmn", "hso", "optimal_kl", "unipc"}
"""Methods that find the same levels with each seed."""


def methods_of(seed: int, names: Sequence[str] = ()) -> list[str]:
    """Return the names of the methods to run with a seed; ``names`` limits them."""
    return [
        name
        for name in METHODS
        if (not names or name in names) and (seed == 0 or name not in UNSEEDED)
    ]
