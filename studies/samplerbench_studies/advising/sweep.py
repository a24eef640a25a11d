"""Exhaustive sweep over configurations on fresh latents, for the smallest error of any.

At the two smallest budgets all configurations are tried, on a few latents first. At a larger
budget, configurations that were hopeless at both budgets before are skipped. Before each stage with
more latents, those far behind the best by both criteria are dropped. So a configuration that is far
behind on few latents and the best on all is missed. The winner is chosen and measured on the same
latents, so its error is slightly too small.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from samplerbench.benchmarks import Cell, Suite
from samplerbench.benchmarks.planning import plan
from samplerbench.benchmarks.sampling import Failure, engine_of, latents
from samplerbench.benchmarks.scoring import Doubling, solve, solve_by_doubling
from samplerbench.benchmarks.suites import format_spec, parse_spec
from samplerbench.models import Denoiser, make_model
from samplerbench.results.run_directory import read_npz, write_npz

from .criteria import CRITERIA, Distances

FRESH = 2**29
"""First sample id. Runs use ids from 0, searches from 2**30, converged samples from 2**31."""


class Stage(NamedTuple):
    """Stage of a sweep: the number of latents, and the configurations admitted to it.

    Attributes:
        latents: number of latents.
        within: largest ratio of an admitted configuration's error to the smallest, by the better
            criterion on the latents of the stage before.
        most: largest number of admitted configurations.
    """

    latents: int
    within: float
    most: int


STAGES = (
    Stage(4, math.inf, 10_000),
    Stage(16, 4.0, 200),
    Stage(64, 2.0, 60),
    Stage(256, 1.4, 24),
)
HOPELESS = 8.0
"""Ratio to the best error, at both budgets before, above which larger budgets skip a
configuration.
"""
CONVERGED = Doubling(64, 1024, negligible=0.002, gain=4)
"""Convergence criterion of endpoints, relative to the errors of :data:`PROBES`.

It is strict, since the best of a sweep may be several times better than the probes.
"""
PROBES = ("warped_ab_3", "reab_3", "unipc_3")
"""Samplers whose error determines how exact the endpoints have to be."""
BATCH = 256
Progress = Callable[[str], None]


class Configuration(NamedTuple):
    """A sampler and a schedule, as the command line writes them."""

    sampler: str
    schedule: str

    @property
    def label(self) -> str:
        """Name of the configuration, as people read it."""
        return f"{self.sampler} on {self.schedule}"


@dataclass
class Sweep:
    """Errors of configurations of one model, each measured once and stored.

    Attributes:
        out: folder of the measurements.
        model_spec: spec of the model, as for ``--model``.
        stages: stages in order of their numbers of latents.
        seed: seed of the latents.
        progress: callback with a description of the current work.
        planned: known cells by configuration and budget. Others are planned one by one, which is
            slower.
    """

    out: Path
    model_spec: str
    stages: Sequence[Stage] = STAGES
    seed: int = 0
    progress: Progress = print
    planned: dict[tuple[Configuration, int], Cell] = field(default_factory=dict, repr=False)
    _known: dict[tuple[Configuration, int], Distances] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        self._check_about()
        for line in (
            self._log.read_text(encoding="utf-8").splitlines() if self._log.is_file() else []
        ):
            try:
                sampler, schedule, budget, values = json.loads(line)
            except ValueError:  # a kill cut it short
                continue
            self._add(Configuration(sampler, schedule), budget, values)

    @property
    def count(self) -> int:
        """Number of latents of the last stage, on which errors are compared."""
        return self.stages[-1].latents

    def __call__(self, candidates: Sequence[Configuration], budget: int, what: str = "all") -> None:
        """Measure candidates stage by stage, and the survivors of the last stage on all latents.

        Args:
            candidates: configurations to compare.
            budget: evaluations per sample.
            what: description of the candidates for ``progress``.
        """
        left = list(candidates)
        for before, stage in zip((None, *self.stages), self.stages, strict=False):
            if before is not None:
                behind = self._behind(left, budget, before.latents)
                left = sorted(left, key=behind.__getitem__)[: stage.most]
                left = [one for one in left if behind[one] <= stage.within]
            self.progress(
                f"{self.model_spec}, {budget} evaluations, {what}: {len(left)} configurations "
                f"on {stage.latents} latents"
            )
            for one in left:
                self.distances(one, budget, stage.latents)

    def best(self, candidates: Sequence[Configuration], budget: int) -> dict[str, Configuration]:
        """Return the best candidate on all latents by criterion; empty if none runs."""
        whole = [
            one
            for one in candidates
            if len(known := self._known.get((one, budget), ())) >= self.count
            and np.isfinite(known).all()
        ]
        return {
            name: min(whole, key=lambda one, name=name: self.error(one, budget, name))
            for name in CRITERIA
            if whole
        }

    def hopeful(
        self, candidates: Sequence[Configuration], before: Sequence[int]
    ) -> list[Configuration]:
        """Return the candidates that were not hopeless at both of two budgets.

        Args:
            candidates: configurations, of which some were measured at the budgets ``before``.
            before: two budgets; with fewer, all candidates are returned.
        """
        if len(before) < 2:
            return list(candidates)
        first, hopeless = self.stages[0].latents, []
        for budget in before:
            tried = [one for one in candidates if (one, budget) in self._known]
            behind = self._behind(tried, budget, first)
            hopeless.append({one for one in candidates if behind.get(one, math.inf) > HOPELESS})
        return [one for one in candidates if one not in hopeless[0] & hopeless[1]]

    def error(
        self, one: Configuration, budget: int, criterion: str, count: int | None = None
    ) -> float:
        """Return a configuration's error by ``criterion`` on the first ``count`` latents or all.

        It is infinite if the configuration cannot run.
        """
        return float(CRITERIA[criterion](self.distances(one, budget, count or self.count)))

    def _behind(
        self, some: Sequence[Configuration], budget: int, count: int
    ) -> dict[Configuration, float]:
        """Return each configuration's ratio to the smallest error, the lower one of both criteria.

        It is infinite for a configuration that does not run.
        """
        behind = dict.fromkeys(some, math.inf)
        for name in CRITERIA:
            errors = {one: self.error(one, budget, name, count) for one in some}
            least = min(errors.values(), default=0.0)
            for one, error in errors.items():
                ratio = 1.0 if error == least < math.inf else error / least if least else math.inf
                behind[one] = min(behind[one], ratio)
        return behind

    def distances(self, one: Configuration, budget: int, count: int) -> Distances:
        """Return the distances to the endpoints, root mean squares over dimensions, ``(count,)``."""
        known = self._known.get((one, budget), np.empty(0))
        if len(known) < count:
            found = self._measured(one, budget, len(known), count)
            self._add(one, budget, found)
            with self._log.open("a", encoding="utf-8") as log:
                log.write(json.dumps([*one, budget, [float(f"{x:.6g}") for x in found]]) + "\n")
        return self._known[one, budget][:count]

    def cell(self, one: Configuration, budget: int) -> Cell:
        """Return the cell that ``run`` would plan for a configuration at a budget."""
        if (one, budget) in self.planned:
            return self.planned[one, budget]
        suite = Suite(
            name="sweep",
            models=({"name": self.model_spec},),  # type: ignore[arg-type]
            samplers=(one.sampler,),
            schedules=(one.schedule,),
            nfe=(budget,),
            batch_size=BATCH,
            seed=self.seed,
        )
        return plan(suite, {self._name: self.model}, {self._name: None})[0]

    @cached_property
    def model(self) -> Denoiser:
        """Model of the sweep, on the CPU."""
        given = parse_spec(self.model_spec)
        return make_model(given.pop("name"), **given)

    @cached_property
    def endpoints(self) -> NDArray[np.float32]:
        """Converged endpoints of the latents, ``(count, *event)``."""
        return self._converged["x"]

    @property
    def resolution(self) -> float:
        """Root mean square error that the endpoints may have."""
        return float(self._converged["resolution"])

    @cached_property
    def _converged(self) -> Mapping[str, NDArray]:
        path = self.out / f"endpoints-{self.count}.npz"
        stored = read_npz(path)
        if stored is None:
            stored = self._solved()
            write_npz(path, stored)
        return stored

    @torch.no_grad()
    def _solved(self) -> dict[str, NDArray]:
        """Return the endpoints by closed form, or by doubling the steps until they do not change."""
        ids = torch.arange(FRESH, FRESH + self.count)
        x = latents(self.model, ids, self.seed, self.model.dtype)[0]
        exact = self.model.endpoint(x, self.model.bind(ids, self.seed).labels)
        if exact is not None:
            return {"x": exact.numpy(), "resolution": np.zeros(()), "steps": np.zeros(())}

        def solved(steps: int) -> NDArray:
            self.progress(f"{self.model_spec}: endpoints of {len(ids)} latents on {steps} steps")
            return solve(self.model, ids, self.seed, self.model.dtype, steps, BATCH).numpy()

        cells = [self.cell(Configuration(name, "karras"), 20) for name in PROBES]
        probes = [self._samples(cell, ids) for cell in cells]
        found = solve_by_doubling(solved, [x.numpy() for x in probes], CONVERGED, CONVERGED.first)
        return {
            "x": found.x,
            "resolution": np.asarray(found.resolution),
            "steps": np.asarray(found.steps),
        }

    @torch.no_grad()
    def _measured(self, one: Configuration, budget: int, start: int, stop: int) -> list[float]:
        try:
            cell = self.cell(one, budget)
            if cell.skip:
                return [math.inf] * (self.count - start)
            x = self._samples(cell, torch.arange(FRESH + start, FRESH + stop))
        except (Failure, ArithmeticError, IndexError, RuntimeError, ValueError) as error:
            self.progress(f"{one.label} at {budget} evaluations: {error}")
            return [math.inf] * (self.count - start)
        off = x.double().numpy() - self.endpoints[start:stop]
        distance = np.sqrt(np.square(off.reshape(len(off), -1)).mean(1))
        return np.nan_to_num(distance, nan=math.inf, posinf=math.inf).tolist()

    def _samples(self, cell: Cell, ids: torch.Tensor) -> torch.Tensor:
        engine = engine_of(self.model, cell)
        return torch.cat([engine.sample(engine.bind(part), part).x for part in ids.split(BATCH)])

    def _add(self, one: Configuration, budget: int, values: Sequence[float]) -> None:
        known = self._known.get((one, budget), np.empty(0))
        self._known[one, budget] = np.concatenate([known, np.asarray(values, dtype=np.float64)])

    def _check_about(self) -> None:
        """Check that the folder belongs to this model and seed.

        Raises:
            ValueError: it belongs to others.
        """
        about = {"model": self._name, "identity": self.model.identity, "seed": self.seed}
        path = self.out / "sweep.json"
        if path.is_file() and (found := json.loads(path.read_text(encoding="utf-8"))) != about:
            raise ValueError(
                f"{self.out} holds a sweep of {found}, and not of {about}; give another folder"
            )
        path.write_text(json.dumps(about), encoding="utf-8")

    @property
    def _name(self) -> str:
        return format_spec(parse_spec(self.model_spec))

    @property
    def _log(self) -> Path:
        return self.out / "distances.jsonl"
