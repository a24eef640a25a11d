"""Endpoints of a race's latents: exact where the model knows them, else by the reference solver, on as
many steps as the errors at hand need.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ...running.executors import Executor, Failure
from ...running.executors.worker_context import WorkerContext
from ...sampling.shard import CONVERGED_IDS
from ...scoring.endpoints import CONVERGED_STEPS, Doubling, solve_by_doubling
from ..asked.request import AdviceRequest
from .paired import Squares
from .store import Store
from .tasks import Solution

FIRST = 8
"""Latents that decide how many steps are needed."""
PIECE = 32
"""Latents of a task."""
SCORED = 1 << 16
"""First latent that scores are taken on: no race uses so many."""
EXACT = 1e-6
"""Distances below this share of the data's size count as exact."""
RULE = Doubling(64, 1024, negligible=0.01, gain=4)
"""Rule of doubling, as for a suite's reference solutions (:mod:`samplerbench.benchmarks.scoring.endpoints`)."""


SOLVED = 72
"""Latents that are solved regardless of the time, about: the first, the leaders', and the scores'."""
SHARE = 0.4
"""Share of the time that reference solutions may take."""


def most_steps(rate: float, seconds: float) -> int:
    """Return the finest reference solution that there is time for, one doubling of the coarsest at least.

    Args:
        rate: evaluations a second.
        seconds: that there are.
    """
    steps = 2 * RULE.first
    while steps < RULE.last and 2 * steps * SOLVED <= SHARE * seconds * rate:
        steps *= 2
    return steps


@dataclass
class Truth:
    """Converged endpoints of latents 0, 1, … of a seed, kept as they are solved.

    Attributes:
        asked: the model.
        store: where they are kept.
        executor: where they are solved.
        world: of this process.
        steps: of the reference solver; 0 where the model knows; None before anything was settled.
        resolution: how far off the endpoints may be, root mean square; 0 where they are exact.
        most: steps of the reference solver, as far as there is time for it.
    """

    asked: AdviceRequest
    store: Store
    executor: Executor
    world: WorkerContext
    steps: int | None = None
    resolution: float = 0.0
    most: int = RULE.last
    _endpoints: dict[tuple[int, int], NDArray] = field(default_factory=dict, repr=False)

    def settle(self, measured: Sequence[NDArray]) -> None:
        """Find how many steps these samples' errors need.

        Args:
            measured: what usual configurations made of the first :data:`FIRST` latents,
                ``(FIRST, *event)`` each.

        Raises:
            Failure: the model fails, or has no finite solution.
        """
        if self.steps is None and self._exact():
            self.steps = 0
        if self.steps == 0:
            return
        solution = solve_by_doubling(
            lambda steps: self.ends(0, FIRST, steps),
            measured,
            RULE._replace(last=self.most),
            max(RULE.first, (self.steps or 0) // 2),
        )
        if not np.isfinite(solution.x).all():
            raise Failure("failed", "the reference solver finds no finite endpoints")
        self.steps, self.resolution = solution.steps, solution.resolution

    def squares(self, x: NDArray, start: int) -> Squares:
        """Return squared distances per dimension of samples ``start`` and following ``(n, *event)``."""
        ends = self.ends(start, start + len(x), self.steps or 0)
        difference = (np.asarray(x, float) - ends).reshape(len(x), -1)
        with np.errstate(over="ignore", invalid="ignore"):
            means = np.square(difference).mean(1)
        # nothing smaller is resolved: a sample that hits exactly would outweigh all others in a logarithm
        scale = float(np.sqrt(np.square(self.ends(0, FIRST, self.steps or 0)).mean()))
        least = max(self.resolution, EXACT * scale) ** 2
        return np.where(np.isfinite(means), np.maximum(means, least), np.inf)

    def ends(self, start: int, stop: int, steps: int) -> NDArray:
        """Return the endpoints of latents ``start`` … ``stop - 1``, float64."""
        pieces = list(_pieces(start, stop))
        self.solve(start, stop, steps)
        whole = np.concatenate([self._endpoints[steps, first] for first, _ in pieces])
        return whole[start - pieces[0][0] : stop - pieces[0][0]]

    def solve(self, start: int, stop: int, steps: int | None = None) -> None:
        """Solve for the endpoints of these latents, unless they are known.

        Raises:
            Failure: the model fails.
        """
        steps = (self.steps or 0) if steps is None else steps
        todo = []
        for first, last in _pieces(start, stop):
            if (steps, first) in self._endpoints:
                continue
            stored = self.store.arrays(f"ends {steps} {first}")
            if stored is not None:
                self._endpoints[steps, first] = stored["x"]
            else:
                todo.append((first, last))
        if not todo:
            return  # asked while the executor runs other tasks: it has one map at a time
        tasks = [self._task(first, last, steps) for first, last in todo]
        for which, x in self.executor.map(tasks, self.world):
            if isinstance(x, Failure):
                raise x
            first = todo[which][0]
            self._endpoints[steps, first] = np.asarray(x, float)
            self.store.put_arrays(f"ends {steps} {first}", {"x": x})

    def converged_features(self, count: int, space: str) -> NDArray:
        """Return features ``(count, d)`` of converged samples whose latents no race uses.

        Raises:
            Failure: the model fails.
        """
        starts = range(CONVERGED_IDS, CONVERGED_IDS + count, PIECE)
        parts = {first: self.store.arrays(f"converged {space} {first}") for first in starts}
        todo = [first for first in starts if parts[first] is None]
        tasks = [self._task(first, first + PIECE, CONVERGED_STEPS, space) for first in todo]
        for which, features in self.executor.map(tasks, self.world):
            if isinstance(features, Failure):
                raise features
            parts[todo[which]] = {"f": features}
            self.store.put_arrays(f"converged {space} {todo[which]}", {"f": features})
        return np.concatenate([part["f"] for part in parts.values() if part is not None])[:count]

    def _exact(self) -> bool:
        """Return True if the model knows its endpoints; keep them if it does."""
        if self.store.arrays("ends 0 0") is not None:
            return True
        x = self.executor.run(self._task(0, FIRST, 0), self.world)
        if x is None:
            return False
        self._endpoints[0, 0] = np.asarray(x, float)
        self.store.put_arrays("ends 0 0", {"x": x})
        return True

    def _task(self, start: int, stop: int, steps: int, space: str = "") -> Solution:
        model_run = self.asked
        return Solution(
            model_run.spec, model_run.model.identity, model_run.device, model_run.seed, start, stop, steps,
            model_run.batch, space,
        )  # fmt: skip


def _pieces(start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of the latents that are solved together: the first :data:`FIRST` of races and of
    scores, the rest of their first pieces, and whole pieces. They are the same for every request.
    """
    bounds = sorted({0, FIRST, SCORED + FIRST, *range(PIECE, stop + PIECE, PIECE)})
    for first, last in pairwise(bounds):
        if last > start and first < stop:
            yield first, last
