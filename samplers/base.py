"""Interface of a sampler, and the base class of samplers that do not step along a fixed grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, fields
from enum import Enum
from numbers import Integral
from pathlib import PurePath
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from .grid import Grid, as_grid
from .noise import NoNoise, noise_like
from .types import Denoise, FunctionDenoiser, Noise, Source

Levels = Grid | Sequence[float] | Tensor
"""Grid, or its falling noise levels."""

AnyNoise = Noise | int | torch.Generator | None
"""Source of noise, a seed, or a generator; None for a sampler that draws no noise."""

OnStep = Callable[[int, float, Tensor], None]
"""Callback after each step: its number from 0, the level reached, and a copy of the states."""

AnyDenoise = Denoise | Callable[[Tensor, Any], Tensor]
"""Denoiser, or a function of (x, sigma) that does not depend on the sample numbers."""


@runtime_checkable
class Sampler(Protocol):
    """Interface of a sampler, which is a frozen dataclass.

    A sampler may step along a fixed grid, adapt its steps, work on many steps at once, or call
    another library's code. Subclasses of :class:`.GridSampler` and :class:`Declared` inherit the
    default values below.

    Class attributes (or properties, where an option decides):
        name: registry name; it pins one variant and one order.
        source: where the formulas come from.
        order: global order of convergence on a smooth denoiser, with exact starting values. For
            a stochastic sampler it is the weak order. None if no order is claimed.
        stochastic: True if it draws noise after the initial latent.
        adaptive: True if a tolerance decides its steps, in place of the grid.
        batch_coupled: True if a sample depends on the others of its batch, such as by error control
            over the whole batch.
        same_as: registry name of another sampler that equals this one with default options, or "". A
            subclass does not inherit it, since its steps may be others.
        translates: True if moving the data by a constant moves the samples by that constant; False
            for methods that assume data of mean zero.
        own_grid: True if it steps along a grid of its own, which ``levels(grid)`` returns.
        strong_order: order of pathwise convergence under Brownian noise; None if none is claimed.
        for_maps: True if ``denoise`` must be a few-step map, from a state to the end of its path.

    Optional attributes, which only some samplers have and the harness looks for:
        plan, history: see :class:`.GridSampler`.
        profile: ``profile(grid)`` returns the order of each step.
        facts: dict of values that go into the row of results.
        needs_look: True if the harness must probe the model (:mod:`.auto`) to set a field.
        fitted: ``fitted(value)`` returns the sampler with this field set to ``value``.
        needs_statistics: True if the value is the model's :class:`.auto.statistics.Statistics`.
        event: sample shape of the model that has these statistics; None for any shape.
    """

    name: ClassVar[str]
    source: ClassVar[Source]
    order: ClassVar[int | None] = None
    stochastic: ClassVar[bool] = False
    adaptive: ClassVar[bool] = False
    batch_coupled: ClassVar[bool] = False
    same_as: ClassVar[str] = ""
    translates: ClassVar[bool] = True
    own_grid: ClassVar[bool] = False
    strong_order: ClassVar[float | None] = None
    for_maps: ClassVar[bool] = False
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.same_as = cls.__dict__.get("same_as", "")

    def sample(
        self, denoise: AnyDenoise, x: Tensor, grid: Levels, noise: AnyNoise = None
    ) -> Tensor:
        """Return the states at the grid's last level, without gradients; ``x`` is not modified.

        Args:
            denoise: the denoiser of this batch. A plain function of (x, sigma) will do if it treats
                all samples alike.
            x: ``(batch, *event)`` states at the first level, ``x0 + sigma z``.
            grid: noise levels that fall strictly; only the last may be 0.
            noise: seed, generator or source that a stochastic sampler draws from; a deterministic
                one needs none.

        Returns:
            ``(batch, *event)`` states at the last level.

        Raises:
            ValueError: :func:`.as_grid` refuses ``grid``, or a stochastic sampler got no noise.
        """
        ...

    def nfe(self, grid: Grid) -> int | None:
        """Return the evaluations per sample on this grid; None if only a run can count them."""
        ...


def bind_inputs(
    sampler: object, denoise: AnyDenoise, x: Tensor, grid: Levels, noise: AnyNoise
) -> tuple[Denoise, Grid, Noise]:
    """Return ``denoise``, ``grid`` and ``noise`` converted to a :class:`.Denoise`, Grid and Noise.

    A seed or generator becomes white noise (:func:`.noise_like`). None becomes a noise whose draws
    raise an error that names ``sampler``. Levels that are no grid raise a ValueError.
    """
    if isinstance(noise, int | Integral | torch.Generator):
        noise = noise_like(x, noise)
    source = NoNoise(sampler) if noise is None or isinstance(noise, NoNoise) else noise
    both = getattr(denoise, "both", None)
    bound: Any = denoise if hasattr(denoise, "take") else FunctionDenoiser(denoise, both)
    return bound, as_grid(grid), source


class Declared(Sampler):
    """Base class of samplers whose method :meth:`solve` makes all steps; define it and ``nfe``."""

    def sample(
        self, denoise: AnyDenoise, x: Tensor, grid: Levels, noise: AnyNoise = None
    ) -> Tensor:
        """See :meth:`Sampler.sample`."""
        bound, levels, source = bind_inputs(self, denoise, x, grid, noise)
        with torch.no_grad():  # steps write over their own tensors
            return self.solve(bound, x, levels, source)

    def solve(self, denoise: Denoise, x: Tensor, grid: Grid, noise: Noise) -> Tensor:
        """Return the states at the last level from ``x`` at the first; ``x`` is not modified."""
        raise NotImplementedError(
            f"sampler {self.name} has no method 'solve'; write it "
            "(docs/how-to/adding-a-sampler.md has the contract)"
        )


def check_choice(sampler: Any, option: str, *choices: str) -> None:
    """Raise a ValueError if an option of ``sampler`` is none of ``choices``."""
    value = getattr(sampler, option)
    if value not in choices:
        known = " or ".join(map(repr, choices))
        raise ValueError(f"{sampler.name}: {option} must be {known}, got {value!r}")


FOUND = {"found": True}
"""Metadata of a field that the harness sets for a model: not an option, and not in labels."""


def non_default(sampler: object) -> dict[str, Any]:
    """Return a sampler's options that differ from their defaults, by name, for labels and keys.

    Values are as in specs (:func:`plain`).
    """
    pairs = _non_default_fields(sampler)
    return {f.name: plain(v) for f, v in pairs if not f.metadata.get("found")}


def found_for_model(sampler: object) -> dict[str, Any]:
    """Return, by name, the fields that the harness has set for a model, such as a fitted rule."""
    return {f.name: v for f, v in _non_default_fields(sampler) if f.metadata.get("found")}


def _non_default_fields(sampler: object) -> list[tuple[Field[Any], Any]]:
    sampler = getattr(sampler, "stands_for", sampler)
    pairs = ((f, getattr(sampler, f.name)) for f in fields(sampler))  # type: ignore[arg-type]
    return [(f, value) for f, value in pairs if value != default_of(f)]


def default_of(option: Field[Any]) -> Any:
    """Return the default of an option; MISSING for an option without one."""
    return option.default if option.default_factory is MISSING else option.default_factory()


def plain(value: Any) -> Any:
    """Return an option's value as in a spec: a path as text, an enumeration's member as its value."""
    if isinstance(value, PurePath):
        return str(value)
    return value.value if isinstance(value, Enum) else value
