"""Checks that a sampler keeps no state, modifies no argument, and treats samples independently."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, is_dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...samplers import (
    Denoise,
    Grid,
    GridSampler,
    Sampler,
    Source,
    StepNoise,
    integrate,
    karras,
    uniform_lambda,
)
from ..sampling.shard import unseeded_draws
from .check import Check, checks_or_failure
from .problems import Rational, RecordingDenoiser, draw_samples, is_identical, noise_and_latents

GRID = karras(5, 0.02, 10.0)
OTHER = uniform_lambda(7, 0.05, 20.0)
BATCH_GRID = karras(6, 0.02, 10.0)
BATCH = torch.tensor([3, 11, 0, 7, 5, 2, 8])  # shuffled, with gaps


def check_purity(sampler: Sampler) -> list[Check]:
    """Check that runs repeat and modify no argument, and that sampler and plan are plain values."""
    promises: dict[str, Callable[[Any], tuple[bool, str]]] = {
        "repeatable": _is_repeatable,
        "arguments untouched": _keeps_arguments,
        "value object": _is_value,
    }
    if isinstance(sampler, GridSampler):
        promises["plan"] = _has_pure_plan

    def check(name: str) -> Iterator[Check]:
        yield Check(name, *promises[name](sampler))

    return [one for name in promises for one in checks_or_failure(name, partial(check, name))]


def _is_repeatable(sampler: Sampler) -> tuple[bool, str]:
    """Return True and a note if runs repeat, else False and the fault."""
    before = _attributes_in_words(sampler)
    ids, others, denoise = torch.arange(3), torch.arange(10, 13), Rational()
    with unseeded_draws() as draws:
        first = draw_samples(sampler, denoise, GRID, ids, 4)
        draw_samples(sampler, denoise, OTHER, others, 4)
        again = draw_samples(sampler, denoise, GRID, ids, 4)
    if draws.sentence:
        return False, draws.sentence
    after = _attributes_in_words(sampler)
    if changed := sorted(key for key in before | after if before.get(key) != after.get(key)):
        rule = "only the history entry may carry values from step to step"
        return False, f"a run changes self.{changed[0]}; {rule}"
    if not is_identical(first, again):
        where = "after a run on other samples and another grid"
        return False, f"the same call gives another result {where}"
    return True, "a run in between changes nothing; global random generators untouched"


def _attributes_in_words(sampler: Sampler) -> dict[str, str]:
    return {key: repr(value) for key, value in vars(sampler).items()}


def _keeps_arguments(sampler: Sampler) -> tuple[bool, str]:
    """Return True and a note if runs modify no argument and no entry, else False and the fault."""
    noise, latents = noise_and_latents(sampler, torch.arange(3), (4,))
    recorder, x = RecordingDenoiser(Rational()), latents * GRID.sigma[0]
    before = x.clone()
    sampler.sample(recorder, x, GRID, noise)
    changes = {
        "the latents": not is_identical(x, before),
        "denoised images": not all(is_identical(*pair) for pair in recorder.outputs),
    }
    if isinstance(sampler, GridSampler):
        watched = HistoryWatcher(inner=sampler)
        integrate(watched, Rational(), before, GRID, noise)
        changes["history entries of earlier steps"] = not all(
            is_identical(leaf, copied)
            for pair in watched.entries
            for leaf, copied in zip(*map(_leaves_of, pair), strict=True)
            if isinstance(leaf, Tensor)
        )
    if names := [name for name, bad in changes.items() if bad]:
        return False, f"modifies {' and '.join(names)}"
    return True, "latents, denoised images, history entries"


def _is_value(sampler: Any) -> tuple[bool, str]:
    """Return True and a note for a frozen dataclass that pickles, else False and the fault."""
    kind = type(sampler)
    params = getattr(kind, "__dataclass_params__", None)
    if not params or not params.frozen:
        return False, "not a frozen dataclass"
    if "__dataclass_params__" not in vars(kind):
        return False, (
            f"class {kind.__name__} inherits from a frozen dataclass and is none itself, so that it "
            "may write to self; decorate it too: @dataclass(frozen=True, kw_only=True)"
        )
    hash(sampler)
    equal = pickle.loads(pickle.dumps(sampler)) == sampler
    return equal, "frozen, hashable, pickled and back" if equal else "another object after pickling"


def _has_pure_plan(sampler: GridSampler) -> tuple[bool, str]:
    """Return True and a note if a plan repeats and has only scalars, else False and the fault."""
    plan = sampler.plan(GRID)
    numbers = (float, int, bool, str, type(None))
    odd = {type(leaf).__name__ for leaf in _leaves_of(plan) if type(leaf) not in numbers}
    if odd:
        return False, f"rows hold {', '.join(sorted(odd))}; only Python scalars belong there"
    if list(plan) != list(sampler.plan(GRID)):  # tensors would raise
        return False, "plan() of the same grid is another plan the second time"
    return True, "pure; Python scalars only"


def _leaves_of(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    elif is_dataclass(value) and not isinstance(value, type):
        value = list(vars(value).values())
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from _leaves_of(item)
    else:
        yield value


@dataclass(frozen=True, kw_only=True)
class HistoryWatcher(GridSampler):
    """Grid sampler that runs ``inner``; ``entries`` pairs history entries with immediate copies."""

    name = "history_watcher"
    source: ClassVar[Source] = Source("", "", "")
    inner: GridSampler
    entries: list[tuple[Any, Any]] = field(default_factory=list, compare=False)

    @property
    def history(self) -> int:  # type: ignore[override]
        """Number of history entries that a step of the inner sampler reads."""
        return self.inner.history

    def plan(self, grid: Grid) -> Any:
        """Return the plan of the inner sampler."""
        return self.inner.plan(grid)

    def step(
        self, x: Tensor, row: Any, past: tuple[Any, ...], denoise: Denoise, noise: StepNoise
    ) -> tuple[Tensor, Any]:
        """Take the inner step; store its history entry and a copy if later steps read entries."""
        x, entry = self.inner.step(x, row, past, denoise, noise)
        if self.history:
            self.entries.append((entry, copy.deepcopy(entry)))
        return x, entry


def check_batch(sampler: Sampler) -> list[Check]:
    """Check that samples are bit-identical alone and in a batch, unless ``batch_coupled``."""
    together, *each = (
        draw_samples(sampler, Rational(), BATCH_GRID, ids, 5) for ids in (BATCH, *BATCH.split(1))
    )
    alone = torch.cat(each)
    equal, moved = is_identical(together, alone), float((together - alone).abs().max())
    differs = f"a sample alone differs by {moved:.1e}"
    detail = "bit-identical alone and in a batch of 7" if equal else differs
    coupled = sampler.batch_coupled
    if coupled:
        detail += " (declared batch_coupled)"
    data = {"moved": moved}
    return [Check("batch independence", equal or coupled, detail, data, asserted=not coupled)]
