"""Cell: one row of the table, and the name of the folder with its results."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from ... import samplers
from ...results.record import Record
from ...samplers import Grid, Sampler
from .spec import canonical, label_of
from .start import Start
from .suite import ExecutionName, NoiseName

SAMPLING_VERSION = 4
"""Version of the noise and of the content of shards, which pin neither a sampler nor a model."""

_ANSWERS = ("suite", "samples", "batch_size", "origin")
"""Columns excluded from the cell's key: suite name, sample count, batch size, origin."""


class GridMaker(Protocol):
    """Schedule of a cell's grid."""

    @property
    def label(self) -> str:
        """Name as on the command line."""
        ...

    def facts(self, n: int) -> Record:
        """Return the table's columns about its grid of ``n`` steps."""
        ...

    def bare(self) -> GridMaker:
        """Return the schedule without its search results."""
        ...


@dataclass(frozen=True)
class Cell:
    """One future row of the table: a model, a sampler on a grid, and a number of samples.

    Attributes:
        model: the model's spec.
        sampler: the configured sampler.
        schedule: source of the grid.
        start: makes the first state from a latent.
        end: "zero" or "sigma_min".
        noise: "white" or "brownian"; None for a deterministic sampler.
        grid: the noise levels; None if the budget buys no step, with the reason in ``skip``.
        steps: intervals; None for an adaptive sampler.
        budget: allowed evaluations per sample; None for a suite with steps.
        samples, seed, batch_size, dtype: as in the suite.
        sigma_min, sigma_max: the model's range.
        identity: identities of the model and of the extractor.
        device: "cpu" or "cuda".
        skip: why there is nothing to run; "" if there is.
        execution: how runs reach the device.
        space: the feature space as the suite names it.
        infinite: whether a first step from an infinite level comes before the grid, which has one
            step less than ``steps``.
    """

    model: str
    sampler: Sampler
    schedule: GridMaker
    start: Start
    end: str
    noise: NoiseName | None
    grid: Grid | None
    steps: int | None
    budget: int | None
    samples: int
    seed: int
    batch_size: int
    dtype: str
    sigma_min: float
    sigma_max: float
    identity: tuple[str, str]
    device: str
    skip: str = ""
    execution: ExecutionName = "eager"
    space: str = "card"
    infinite: bool = False

    @property
    def params(self) -> dict[str, Any]:
        """The sampler's non-default fields."""
        return samplers.non_default(self.sampler)

    @property
    def label(self) -> str:
        """Sampler as on the command line."""
        return label_of(self.sampler)

    @cached_property
    def facts(self) -> Record:
        """Further columns on the schedule of the grid (:meth:`GridMaker.facts`) and on the fitted
        sampler.
        """
        facts = dict(getattr(self.sampler, "facts", {}))
        if self.steps is None or self.grid is None:
            return facts
        return facts | dict(self.schedule.facts(self.steps))

    def record(self, suite: str) -> Record:
        """Return the identity columns of the row."""
        return {
            "suite": suite,
            "model": self.model,
            "sampler": self.sampler.name,
            "params": canonical(self.params),
            "origin": samplers.origin(self.sampler.name) or None,
            "schedule": "own" if self.sampler.own_grid else self.schedule.label,
            "start": self.start.name,
            "sigma_start": None if self.start.skip else self.start.sigma,
            "end": self.end,
            "noise": self.noise,
            "sigma_max": self.sigma_max,
            "sigma_min": self.sigma_min,
            "steps": self.steps,
            "budget": self.budget,
            "samples": self.samples,
            "seed": self.seed,
            "dtype": self.dtype,
            "device": self.device,
            "batch_size": self.batch_size,
            "execution": self.execution,
        }

    @property
    def _implied(self) -> list[str]:
        """Columns that say nothing about the samples, because the others or the default do."""
        unless = {
            "sigma_start": self.start.name == "gaussian",
            "noise": self.noise == "brownian",
            "execution": self.execution != "eager",
        }
        return [column for column, says_something in unless.items() if not says_something]

    @cached_property
    def key(self) -> str:
        """Name of the cell's folder: readable, with a hash of all that defines the cell.

        The number of samples is excluded: a larger one extends the cell. So is the batch size,
        unless the sampler couples a batch. :mod:`..identity.admission` pins the code and files: the
        same configuration has one folder under any code.
        """
        identity = {
            k: v for k, v in self.record("").items() if k not in (*_ANSWERS, *self._implied)
        }
        identity |= {"version": SAMPLING_VERSION} | (
            {} if self.space == "card" else {"space": self.space}
        )
        if tuned := self.facts.get("tuning_digest"):
            identity["levels"] = tuned
        if self.sampler.batch_coupled:
            identity["batch_size"] = self.batch_size
        digest = hashlib.sha256(canonical(identity).encode()).hexdigest()[:10]
        size = (
            f"nfe{self.budget}"
            if self.budget is not None
            else f"n{self.steps}"
            if self.steps is not None
            else "adaptive"
        )
        return file_name(f"{self.model}.{self.sampler.name}.{size}", digest)


def file_name(text: str, digest: str) -> str:
    """Return a readable and safe file name: the safe part of ``text``, and a digest."""
    readable = re.sub(r"[^A-Za-z0-9._+-]+", "-", text).strip("-._+")[-80:].lstrip("-._+")
    return f"{readable or 'x'}-{digest}"
