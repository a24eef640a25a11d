"""Nothing is kept, nothing is modified, nothing is drawn from elsewhere."""

from __future__ import annotations

import copy
import pickle
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, is_dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ...samplers import Denoise, Grid, GridSampler, Source, StepNoise, integrate, karras, uniform_lambda
from .check import Check
from .problems import Rational
from .recorder import Recorder
from .runs import noise_for

GRID = karras(5, 0.02, 10.0)
OTHER = uniform_lambda(7, 0.05, 20.0)


def check_purity(sampler: Any) -> list[Check]:
    """One check per promise: no state between calls, arguments left alone, no global generator, a pure plan, a value object."""
    checks = [_repeatable(sampler), _untouched(sampler), _value(sampler)]
    return [*checks, _plan(sampler)] if isinstance(sampler, GridSampler) else checks


def _sample(sampler: Any, grid: Grid, first: int = 0) -> Tensor:
    noise, latents = noise_for(sampler, torch.arange(first, first + 3), (4,))
    return sampler.sample(Rational(), latents * grid.sigma[0], grid, noise)


def _repeatable(sampler: Any) -> Check:
    before = _generators()
    first = _sample(sampler, GRID)
    _sample(sampler, OTHER, first=10)
    again = _sample(sampler, GRID)
    if not torch.equal(first, again):
        return Check("repeatable", False, "the same call gives another result after a run on other samples and another grid")
    if _generators() != before:
        return Check("repeatable", False, "draws from a global random generator; use the noise that it is handed")
    return Check("repeatable", True, "a run in between changes nothing; global random generators untouched")


def _generators() -> bytes:
    """The states of the global generators of torch, numpy and Python."""
    states = torch.get_rng_state().tolist(), np.random.get_state(), random.getstate()  # noqa: NPY002 - it is what must stay still
    return pickle.dumps(states)


def _untouched(sampler: Any) -> Check:
    noise, latents = noise_for(sampler, torch.arange(3), (4,))
    recorder, x = Recorder(Rational(), keep=True), latents * GRID.sigma[0]
    before = x.clone()
    sampler.sample(recorder, x, GRID, noise)
    found = {"the latents": not torch.equal(x, before), "denoised images": recorder.log.tampered > 0}
    if isinstance(sampler, GridSampler):
        watched = WatchMemos(inner=sampler)
        integrate(watched, Rational(), before, GRID, noise)
        found["memos of earlier steps"] = not all(_same(memo, kept) for memo, kept in watched.seen)
    names = [name for name, bad in found.items() if bad]
    return Check("arguments untouched", not names, f"modifies {' and '.join(names)}" if names else "latents, denoised images, memos")


def _value(sampler: Any) -> Check:
    frozen = is_dataclass(sampler) and type(sampler).__dataclass_params__.frozen  # type: ignore[attr-defined]
    if not frozen:
        return Check("value object", False, "not a frozen dataclass")
    hash(sampler)
    same = pickle.loads(pickle.dumps(sampler)) == sampler
    return Check("value object", same, "frozen, hashable, pickled and back" if same else "another object after pickling")


def _plan(sampler: GridSampler) -> Check:
    plan = sampler.plan(GRID)
    if list(plan) != list(sampler.plan(GRID)):
        return Check("plan", False, "plan() of the same grid is another plan the second time")
    odd = {type(leaf).__name__ for leaf in _leaves(plan) if type(leaf) not in (float, int, bool, str, type(None))}
    return Check(
        "plan", not odd, f"rows hold {', '.join(sorted(odd))}; only Python numbers belong there" if odd else "pure; Python floats only"
    )


def _leaves(value: Any) -> Iterator[Any]:
    """What nested tuples, lists, dicts and dataclasses consist of."""
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, dict):
        yield from _leaves(list(value.values()))
    elif is_dataclass(value) and not isinstance(value, type):
        yield from _leaves(list(vars(value).values()))
    else:
        yield value


def _same(a: Any, b: Any) -> bool:
    """Whether two memos hold equal tensors."""
    pairs = zip(_leaves(a), _leaves(b), strict=True)
    return all(torch.equal(u, v) for u, v in pairs if isinstance(u, Tensor))


@dataclass(frozen=True, kw_only=True)
class WatchMemos(GridSampler):
    """Keeps each memo of a grid sampler with a copy.

    Attributes:
        inner: the sampler.
        seen: the pairs (memo, copy made when it was returned).
    """

    name = "watch_memos"
    source: ClassVar[Source] = Source("", "", "")
    inner: GridSampler
    seen: list[tuple[Any, Any]] = field(default_factory=list, compare=False)

    @property
    def history(self) -> int:  # type: ignore[override]
        """The inner sampler's."""
        return self.inner.history

    def plan(self, grid: Grid) -> Any:
        """The inner plan."""
        return self.inner.plan(grid)

    def step(self, x: Tensor, row: Any, past: tuple[Any, ...], denoise: Denoise, noise: StepNoise) -> tuple[Tensor, Any]:
        """The inner step."""
        x, memo = self.inner.step(x, row, past, denoise, noise)
        if self.history:
            self.seen.append((memo, copy.deepcopy(memo)))
        return x, memo
