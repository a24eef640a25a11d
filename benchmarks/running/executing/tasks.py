"""What a run does with the code of samplers and models: a shard of a cell, the way of a few
samples, the pace of a network.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from .... import samplers
from ....models.reference import Extractor
from ....samplers import Sampler
from ....samplers.families.tabulated import Table, Tabulated
from ...sampling.failure import Failure
from ...sampling.fingerprint import Fingerprint, sampler_fingerprint
from ...sampling.out_of_memory import out_of_memory
from ...sampling.shard import Arrays, sample_shard
from ...sampling.trajectories import Seen, watched
from ...suites.cell import Cell
from .executor import Tell, what_was_raised
from .pace import evaluations_per_second
from .world import WorkerContext

OPENED = "opened"
"""Array of a shard's result, which is no part of the shard: the files that were opened for it."""


class SentSampler(NamedTuple):
    """A sampler as another process is sent it: by name and options, for its class may be known by
    name only.

    Attributes:
        spec: its name and options.
        origin: where its class comes from (:func:`samplerbench.samplers.origin`).
        found: its fields that were found for a model.
        table: the coefficients in place of its own, or None.
    """

    spec: dict[str, Any]
    origin: str
    found: dict[str, Any]
    table: Table | None = None

    @classmethod
    def of(cls, sampler: Sampler) -> SentSampler:
        """A sampler, to be sent.

        Raises:
            PicklingError: only this process knows its class, which was made in a notebook or a
                script.
        """
        if isinstance(sampler, Tabulated):
            return cls.of(sampler.stands_for)._replace(table=sampler.table)
        name, origin = sampler.name, samplers.origin(sampler.name)
        if (
            not origin
            and ":" not in name
            and not type(sampler).__module__.startswith(f"{samplers.__name__}.")
        ):
            raise pickle.PicklingError(f"sampler {name} was defined in this process only")
        spec = {"name": name, **samplers.non_default(sampler)}
        return cls(spec, origin, samplers.found_for_model(sampler))

    def here(self) -> Sampler:
        """The sampler in this process.

        Raises:
            ValueError: it is not here, or not the same.
        """
        sampler = samplers.make(self.spec)
        if samplers.origin(sampler.name) != self.origin:
            raise ValueError(
                f"the file of sampler {sampler.name} changed while the run "
                "was going on; run the same command again"
            )
        sampler = replace(sampler, **self.found) if self.found else sampler
        return sampler if self.table is None else Tabulated(stands_for=sampler, table=self.table)


@dataclass(frozen=True)
class OfCell:
    """A task about one cell.

    Attributes:
        cell: whose samples; its identities pin the model and the extractor.
    """

    cell: Cell

    def prepare(self, world: WorkerContext) -> None:
        """Load the model.

        Raises:
            ValueError: it cannot be loaded, or it is another one than the run planned with.
        """
        with world.recording(self.cell.model):
            model, extractor = world.subject(self.cell.model)
        here = (model.identity, extractor.identity if extractor else "")
        if here != self.cell.identity:
            raise ValueError(
                f"the files of model {self.cell.model} changed while the run "
                "was going on; run the same command again"
            )

    def __reduce__(self) -> tuple[Callable[..., OfCell], tuple[Any, ...]]:
        """Pickled with the sampler by its name, and without what its schedule was searched with."""
        cell, *others = vars(self).values()
        bare = replace(cell, sampler=None, schedule=cell.schedule.bare())
        return _received, (type(self), bare, SentSampler.of(cell.sampler), *others)


def _received(kind: type[OfCell], cell: Cell, sampler: SentSampler, *others: Any) -> OfCell:
    return kind(replace(cell, sampler=sampler.here()), *others)


class Scored(NamedTuple):
    """What features are made with: the extractor, and the range that values are clamped to
    first, or None.
    """

    extractor: Extractor
    clamp: tuple[float, float] | None


@dataclass(frozen=True)
class Shard(OfCell):
    """Samples ``start`` … ``stop - 1`` of a cell, as :func:`.sample_shard` reduces them.

    Attributes:
        start, stop: sample numbers.
        keep: samples below this number are kept as pictures.
        endpoints: samples below this number are kept whole.
        clamp: the data's range before features are taken, or None.
    """

    start: int
    stop: int
    keep: int
    endpoints: int
    clamp: tuple[float, float] | None

    def __call__(self, world: WorkerContext, tell: Tell) -> Arrays:
        """The arrays of the shard.

        Raises:
            Failure: as :func:`.sample_shard`; where memory ran out, half the batch is worth a try.
        """
        model, extractor = world.subject(self.cell.model)
        scored = None if extractor is None else Scored(extractor, self.clamp)
        try:
            foreign = bool(samplers.origin(self.cell.sampler.name))
            with world.recording(self.cell.model, foreign=foreign):
                arrays = sample_shard(
                    model,
                    scored,
                    self.cell,
                    self.start,
                    self.stop,
                    self.cell.device,
                    self.keep,
                    self.endpoints,
                    tell,
                )
            if opened := world.opened(self.cell.model):
                arrays[OPENED] = np.array(json.dumps(opened))
            return arrays
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            reason = what_was_raised(error)
        # out here, where the exception is gone and what its frames held is free
        raise Failure("failed", reason, shrink=2)


@dataclass(frozen=True)
class Look(OfCell):
    """What a cell's sampler does on the cell's grid, without the model.

    Attributes:
        event: shape of the model's samples.
    """

    event: tuple[int, ...]

    def prepare(self, world: WorkerContext) -> None:
        """Nothing is needed."""

    def __call__(self, world: WorkerContext, tell: Tell) -> Fingerprint:  # noqa: ARG002
        """Return its fingerprint."""
        # a helper that is imported here is not opened again where samples are drawn
        foreign = bool(samplers.origin(self.cell.sampler.name))
        with world.recording(self.cell.model, foreign=foreign):
            return sampler_fingerprint(self.cell, self.event)


@dataclass(frozen=True)
class Way(OfCell):
    """The way of the first samples of a cell, for a picture.

    Attributes:
        count: how many samples.
    """

    count: int

    def __call__(self, world: WorkerContext, tell: Tell) -> Seen:  # noqa: ARG002
        """What the sampler asked and was told, and the end."""
        return watched(world.subject(self.cell.model).model, self.cell, self.count)


@dataclass(frozen=True)
class Pace(OfCell):
    """Evaluations per second of a cell's model at its batch size.

    Attributes:
        seconds: how long to measure, about.
    """

    seconds: float

    def __call__(self, world: WorkerContext, tell: Tell) -> float:  # noqa: ARG002
        """The rate."""
        return evaluations_per_second(
            world.subject(self.cell.model).model,
            self.cell.batch_size,
            self.cell.device,
            seconds=self.seconds,
        )
