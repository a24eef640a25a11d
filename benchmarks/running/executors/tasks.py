"""Tasks about one cell: its shards, trajectories, throughput and the sampler's fingerprint."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .... import samplers
from ....samplers.families.tabulated import Table, Tabulated
from ...identity.sampler import sampler_fingerprint
from ...sampling.failure import Failure, error_in_words, is_out_of_memory
from ...sampling.shard import Arrays, FeatureExtraction, sample_shard
from ...sampling.trajectories import Trajectories, record_trajectories
from .shard_limits import ENOUGH, evaluations_per_second

if TYPE_CHECKING:
    from ....results.run_directory.behaviour_fingerprint import Fingerprint
    from ....samplers import Sampler
    from ...suites.cell import Cell
    from .executor import Tell
    from .worker_context import WorkerContext

OPENED = "opened"
"""Key in a task's result for hashes of files it opened, as JSON; not stored in the shard."""


def is_user_sampler(sampler: Sampler) -> bool:
    """Return True for a sampler that is neither built in nor another library's."""
    is_built_in = type(sampler).__module__.startswith(f"{samplers.__name__}.")
    return not is_built_in and ":" not in sampler.name


class PicklableSampler(NamedTuple):
    """Picklable description of a sampler, from which another process makes the sampler again.

    ``spec`` has its name and options. ``origin`` is the file or package of a plugin, else "".
    ``fitted_fields`` were fitted to a model. ``table`` has tuned coefficients, or is None.
    """

    spec: dict[str, Any]
    origin: str
    fitted_fields: dict[str, Any]
    table: Table | None = None

    @classmethod
    def of(cls, sampler: Sampler) -> PicklableSampler:
        """Describe a sampler; raises a PicklingError if only this process knows its class."""
        if isinstance(sampler, Tabulated):
            return cls.of(sampler.stands_for)._replace(table=sampler.table)
        name, origin = sampler.name, samplers.origin(sampler.name)
        if not origin and is_user_sampler(sampler):
            raise pickle.PicklingError(f"sampler {name} was defined in this process only")
        spec = {"name": name, **samplers.non_default(sampler)}
        return cls(spec, origin, samplers.found_for_model(sampler))

    def restore_sampler(self) -> Sampler:
        """Make the described sampler in this process; raises a ValueError if its file changed."""
        sampler = samplers.make(self.spec)
        if samplers.origin(sampler.name) != self.origin:
            raise ValueError(
                f"the file of sampler {sampler.name} changed while the run "
                "was going on; run the same command again"
            )
        sampler = replace(sampler, **self.fitted_fields) if self.fitted_fields else sampler
        return sampler if self.table is None else Tabulated(stands_for=sampler, table=self.table)


@dataclass(frozen=True)
class CellTask:
    """Base class of tasks about one cell; it refuses a model or extractor that has changed."""

    cell: Cell

    def prepare(self, context: WorkerContext) -> None:
        """Load model and extractor; raises a ValueError if their files changed since the plan."""
        with context.recording_files_of(self.cell.model):
            model, extractor = context.load(self.cell.model)
        identity = (model.identity, extractor.identity if extractor else "")
        if identity != self.cell.identity:
            raise ValueError(
                f"the files of model {self.cell.model} changed while the run "
                "was going on; run the same command again"
            )

    def __reduce__(self) -> tuple[Callable[..., CellTask], tuple[Any, ...]]:
        """Pickle the sampler as a PicklableSampler, and the schedule without results of its search."""
        cell, *others = vars(self).values()
        bare = replace(cell, sampler=None, schedule=cell.schedule.without_search_results())
        return _unpickle_task, (type(self), bare, PicklableSampler.of(cell.sampler), *others)


def _unpickle_task(
    kind: type[CellTask], cell: Cell, sampler: PicklableSampler, *others: Any
) -> CellTask:
    return kind(replace(cell, sampler=sampler.restore_sampler()), *others)


@dataclass(frozen=True)
class ShardTask(CellTask):
    """Task that draws samples ``start`` … ``stop - 1`` of a cell (:func:`.sample_shard`)."""

    start: int
    stop: int
    keep: int
    endpoints: int
    clamp: tuple[float, float] | None

    def __call__(self, context: WorkerContext, tell: Tell) -> Arrays:
        """Return the shard's arrays; a Failure for lack of memory proposes half the batch size."""
        cell, (model, extractor) = self.cell, context.load(self.cell.model)
        scored = None if extractor is None else FeatureExtraction(extractor, self.clamp)
        numbers = self.start, self.stop, cell.device, self.keep, self.endpoints
        try:
            foreign = bool(samplers.origin(cell.sampler.name))
            with context.recording_files_of(cell.model, foreign=foreign):
                arrays = sample_shard(model, scored, cell, *numbers, tell)
            if opened := context.opened_file_hashes(cell.model):
                arrays[OPENED] = np.array(json.dumps(opened))
            return arrays
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            reason = error_in_words(error)
        # outside the handler, where the exception and its frames are freed
        raise Failure("failed", reason, shrink=2)


@dataclass(frozen=True)
class FingerprintTask(CellTask):
    """Task that fingerprints a cell's sampler on its grid, for samples of shape ``event``."""

    event: tuple[int, ...]

    def prepare(self, context: WorkerContext) -> None:
        """Load nothing, since the fingerprint does not depend on the model."""

    def __call__(self, context: WorkerContext, tell: Tell) -> Fingerprint:  # noqa: ARG002
        """Return the sampler's fingerprint, and record the files that the sampler opens."""
        # a module imported now is not opened again when samples are drawn
        foreign = bool(samplers.origin(self.cell.sampler.name))
        with context.recording_files_of(self.cell.model, foreign=foreign):
            return sampler_fingerprint(self.cell, self.event)


@dataclass(frozen=True)
class TrajectoryTask(CellTask):
    """Task that records the trajectories of the first ``count`` samples of a cell."""

    count: int

    def __call__(self, context: WorkerContext, tell: Tell) -> Trajectories:  # noqa: ARG002
        """Return evaluations and final samples, as :func:`.record_trajectories` does."""
        return record_trajectories(context.load(self.cell.model).model, self.cell, self.count)


class ThroughputTask(CellTask):
    """Task that measures a model's evaluations per second, for 0.1 s at most."""

    def __call__(self, context: WorkerContext, tell: Tell) -> float:  # noqa: ARG002
        """Return the evaluations per second at the cell's batch size."""
        model, cell = context.load(self.cell.model).model, self.cell
        return evaluations_per_second(
            model, cell.batch_size, cell.device, seconds=0.1, enough=ENOUGH
        )
