"""Checks of purity (no state, no changed arguments, no global random numbers) and of independence
of the batch.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, is_dataclass
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
from ..sampling.chance import unseeded_draws
from .check import Check, guarded
from .problems import Rational, Recorder, noise_for, same

GRID = karras(5, 0.02, 10.0)
OTHER = uniform_lambda(7, 0.05, 20.0)
BATCH_GRID = karras(6, 0.02, 10.0)
BATCH = torch.tensor([3, 11, 0, 7, 5, 2, 8])  # shuffled, with gaps


def check_purity(sampler: Sampler) -> list[Check]:
    """Check state between calls, arguments, global generators, the plan, and the value object."""
    promises: dict[str, Callable[[Any], Check]] = {
        "repeatable": _repeatable,
        "arguments untouched": _check_arguments,
        "value object": _value,
    }
    if isinstance(sampler, GridSampler):
        promises["plan"] = _plan
    return [
        check
        for name, promise in promises.items()
        for check in guarded(name, lambda promise=promise: [promise(sampler)])
    ]


def _sample(sampler: Sampler, grid: Grid, first: int = 0) -> Tensor:
    noise, latents = noise_for(sampler, torch.arange(first, first + 3), (4,))
    return sampler.sample(Rational(), latents * grid.sigma[0], grid, noise)


def _repeatable(sampler: Sampler) -> Check:
    before = _attributes(sampler)
    with unseeded_draws() as draws:
        first = _sample(sampler, GRID)
        _sample(sampler, OTHER, first=10)
        again = _sample(sampler, GRID)
    if draws.sentence:
        return Check("repeatable", False, draws.sentence)
    if changed := sorted(
        key
        for key in before | _attributes(sampler)
        if before.get(key) != _attributes(sampler).get(key)
    ):
        return Check(
            "repeatable",
            False,
            f"a run changes self.{changed[0]}; what is remembered "
            "from step to step is the memo's, and no more",
        )
    if not same(first, again):
        return Check(
            "repeatable",
            False,
            "the same call gives another result after a run on other samples and another grid",
        )
    return Check(
        "repeatable", True, "a run in between changes nothing; global random generators untouched"
    )


def _attributes(sampler: Sampler) -> dict[str, str]:
    """Return an object's attributes as text."""
    return {key: repr(value) for key, value in vars(sampler).items()}


def _check_arguments(sampler: Sampler) -> Check:
    noise, latents = noise_for(sampler, torch.arange(3), (4,))
    recorder, x = Recorder(Rational(), keep=True), latents * GRID.sigma[0]
    before = x.clone()
    sampler.sample(recorder, x, GRID, noise)
    changes = {"the latents": not same(x, before), "denoised images": recorder.log.tampered > 0}
    if isinstance(sampler, GridSampler):
        watched = WatchMemos(inner=sampler)
        integrate(watched, Rational(), before, GRID, noise)
        changes["memos of earlier steps"] = not all(
            _is_unchanged(memo, copied) for memo, copied in watched.seen
        )
    names = [name for name, bad in changes.items() if bad]
    return Check(
        "arguments untouched",
        not names,
        f"modifies {' and '.join(names)}" if names else "latents, denoised images, memos",
    )


def _value(sampler: Any) -> Check:
    if (
        not getattr(type(sampler), "__dataclass_params__", None)
        or not type(sampler).__dataclass_params__.frozen
    ):
        return Check("value object", False, "not a frozen dataclass")
    if "__dataclass_params__" not in vars(type(sampler)):
        return Check(
            "value object",
            False,
            f"class {type(sampler).__name__} inherits from a frozen dataclass and is none "
            "itself, so that it may write to self; "
            "decorate it too: @dataclass(frozen=True, kw_only=True)",
        )
    hash(sampler)
    equal = pickle.loads(pickle.dumps(sampler)) == sampler
    return Check(
        "value object",
        equal,
        "frozen, hashable, pickled and back" if equal else "another object after pickling",
    )


def _plan(sampler: GridSampler) -> Check:
    plan = sampler.plan(GRID)
    if list(plan) != list(sampler.plan(GRID)):
        return Check("plan", False, "plan() of the same grid is another plan the second time")
    odd = {
        type(leaf).__name__
        for leaf in _leaves(plan)
        if type(leaf) not in (float, int, bool, str, type(None))
    }
    return Check(
        "plan",
        not odd,
        f"rows hold {', '.join(sorted(odd))}; only Python numbers belong there"
        if odd
        else "pure; Python floats only",
    )


def _leaves(value: Any) -> Iterator[Any]:
    """Yield the leaves of nested tuples, lists, dicts and dataclasses."""
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, dict):
        yield from _leaves(list(value.values()))
    elif is_dataclass(value) and not isinstance(value, type):
        yield from _leaves(list(vars(value).values()))
    else:
        yield value


def _is_unchanged(memo: Any, copied: Any) -> bool:
    """Return True if two history entries hold equal tensors."""
    pairs = zip(_leaves(memo), _leaves(copied), strict=True)
    return all(same(u, v) for u, v in pairs if isinstance(u, Tensor))


@dataclass(frozen=True, kw_only=True)
class WatchMemos(GridSampler):
    """Grid sampler that keeps each history entry of another, with the copy made when it was
    returned.
    """

    name = "watch_memos"
    source: ClassVar[Source] = Source("", "", "")
    inner: GridSampler
    seen: list[tuple[Any, Any]] = field(default_factory=list, compare=False)

    @property
    def history(self) -> int:  # type: ignore[override]
        """History of the inner sampler."""
        return self.inner.history

    def plan(self, grid: Grid) -> Any:
        """Return the inner plan."""
        return self.inner.plan(grid)

    def step(
        self, x: Tensor, row: Any, past: tuple[Any, ...], denoise: Denoise, noise: StepNoise
    ) -> tuple[Tensor, Any]:
        """Take the inner step, and copy its history entry."""
        x, memo = self.inner.step(x, row, past, denoise, noise)
        if self.history:
            self.seen.append((memo, copy.deepcopy(memo)))
        return x, memo


def check_batch(sampler: Sampler) -> list[Check]:
    """Check that each of seven samples alone has the bits that it has in the batch."""
    together = _samples(sampler, BATCH)
    alone = torch.cat([_samples(sampler, number) for number in BATCH.split(1)])
    equal, moved = same(together, alone), float((together - alone).abs().max())
    detail = (
        "bit-identical alone and in a batch of 7"
        if equal
        else f"a sample alone differs by {moved:.1e}"
    )
    if sampler.batch_coupled:
        return [
            Check(
                "batch independence",
                True,
                f"{detail} (declared batch_coupled)",
                {"moved": moved},
                asserted=False,
            )
        ]
    return [Check("batch independence", equal, detail, {"moved": moved})]


def _samples(sampler: Sampler, ids: Tensor) -> Tensor:
    noise, latents = noise_for(sampler, ids, (5,))
    return sampler.sample(Rational(), latents * BATCH_GRID.sigma[0], BATCH_GRID, noise)
