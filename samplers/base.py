"""The interface of a sampler, and the base class of those that do not step along a fixed grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import Field, fields
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from .grid import Grid, as_grid
from .noise import NoNoise, noise_like
from .types import Denoise, Noise, RowByRow, Source

Levels = Grid | Sequence[float] | Tensor
"""Grid, or its falling levels."""

AnyNoise = Noise | int | torch.Generator | None
"""Source of noise, a seed, or a generator; None for a sampler that draws none."""

OnStep = Callable[[int, float, Tensor], None]
"""Called after each step with its number, the level reached, and a copy of the states."""

AnyDenoise = Denoise | Callable[[Tensor, Any], Tensor]
"""Denoiser, or a function of (x, sigma) that treats every row alike."""


@runtime_checkable
class Sampler(Protocol):
    """The interface: all that the harness reads from a sampler, which is a frozen dataclass.

    A fixed-grid method, an adaptive one, one that is parallel in time, and another library's own
    code are all samplers. The declarations have the defaults below; :class:`.GridSampler`,
    :class:`Declared` and the classes on them take these from here.

    Class attributes (or properties, where an option decides):
        name: registry name; it pins one variant and one order.
        source: where the formulas come from.
        order: global order of convergence from exact history on a smooth denoiser; None if the
            notion does not apply.
        stochastic: whether it draws noise after the initial latent.
        adaptive: ignores the steps of the grid and is controlled by a tolerance.
        batch_coupled: a sample depends on the others of its batch (error control over the whole
            batch).
        same_as: registry name of the sampler that it equals in its default configuration, or "".
        translates: data moved by a constant give samples moved by it; False for methods that assume
            data of mean zero.
        own_grid: uses the ends and the number of steps of the grid, and levels of its own between.
        strong_order: order of pathwise convergence under Brownian noise; None if none is claimed.
        for_maps: whether what it calls is a few-step map to the end of the path, not E[x0 | x].

    Some samplers have more, which the harness looks for: ``plan(grid)`` and ``history`` (those on a
    fixed grid, see :class:`.GridSampler`), ``profile(grid)`` (the order of each step), and
    ``levels(grid)`` (the grid that is used, where ``own_grid``). One with ``needs_look = True`` has
    a field that is found by a probe of the model (:mod:`.auto`), and ``fitted``, which fills it in.
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

    def sample(
        self, denoise: AnyDenoise, x: Tensor, grid: Levels, noise: AnyNoise = None
    ) -> Tensor:
        """Integrate states ``x`` ``(batch, *event)`` over the grid, without gradients.

        ``x`` itself is not modified.

        Args:
            denoise: the bound denoiser; a plain function of (x, sigma) will do where a row's answer
                does not depend on which sample it is.
            x: ``(batch, *event)`` states at the first level, ``x0 + sigma z``.
            grid: noise levels that fall strictly; only the last may be 0.
            noise: what a stochastic sampler draws from: a seed, a generator or a source; a
                deterministic one needs none.

        Returns:
            ``(batch, *event)`` states at the last level.

        Raises:
            ValueError: levels that are no grid, or a sampler that draws noise and was not given
                any.
        """
        ...

    def nfe(self, grid: Grid) -> int | None:
        """Return the evaluations per sample on this grid; None if only a run can count them."""
        ...


def bind_inputs(
    sampler: object, denoise: AnyDenoise, x: Tensor, grid: Levels, noise: AnyNoise
) -> tuple[Denoise, Grid, Noise]:
    """Return a denoiser that has ``take``, a grid and a source of noise.

    They are made of what the user passed to ``sample``: a plain function, levels, a seed.
    """
    if isinstance(noise, int | torch.Generator):
        noise = noise_like(x, noise)
    source = NoNoise(sampler) if noise is None or isinstance(noise, NoNoise) else noise
    bound: Any = denoise if hasattr(denoise, "take") else RowByRow(denoise)
    return bound, as_grid(grid), source


class Declared(Sampler):
    """Base class of samplers that are no :class:`.GridSampler`: write :meth:`solve` and ``nfe``."""

    def sample(
        self, denoise: AnyDenoise, x: Tensor, grid: Levels, noise: AnyNoise = None
    ) -> Tensor:
        """Integrate over the grid, without gradients: see :meth:`Sampler.sample`."""
        bound, levels, source = bind_inputs(self, denoise, x, grid, noise)
        with torch.no_grad():  # steps write over their own tensors
            return self.solve(bound, x, levels, source)

    def solve(self, denoise: Denoise, x: Tensor, grid: Grid, noise: Noise) -> Tensor:
        """Return states at ``grid.sigma[-1]`` from ``x`` at ``grid.sigma[0]``, not modified."""
        raise NotImplementedError(
            f"sampler {self.name} has no method 'solve'; write it "
            "(docs/adding-a-sampler.md has the contract)"
        )


FOUND = {"found": True}
"""Metadata of a field that a harness finds for a model: no option, and no part of a label."""


def non_default(sampler: object) -> dict[str, Any]:
    """Return the options of a sampler that differ from their defaults, for labels and keys."""
    return {f.name: v for f, v in _non_default_fields(sampler) if not f.metadata.get("found")}


def found_for_model(sampler: object) -> dict[str, Any]:
    """Return the fields that were found for a model (:data:`FOUND`)."""
    return {f.name: v for f, v in _non_default_fields(sampler) if f.metadata.get("found")}


def _non_default_fields(sampler: object) -> list[tuple[Field[Any], Any]]:
    sampler = getattr(sampler, "stands_for", sampler)
    pairs = ((f, getattr(sampler, f.name)) for f in fields(sampler))  # type: ignore[arg-type]
    return [(f, value) for f, value in pairs if value != f.default]
