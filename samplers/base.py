"""What a sampler is: a frozen dataclass with a plan (what depends on the grid) and a step (what
depends on the sample).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import Field, dataclass, fields
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from .grid import Grid, as_grid
from .noise import NoNoise
from .types import Denoise, Noise, RowByRow, Source, StepNoise

Levels = Grid | Sequence[float] | Tensor
"""Where a grid is wanted: one, or its falling levels."""

AnyDenoise = Denoise | Callable[[Tensor, Any], Tensor]
"""Where a denoiser is wanted: one, or a function of (x, sigma) that treats every row alike."""


@runtime_checkable
class Sampler(Protocol):
    """The contract: all that the harness reads from a sampler. It is a frozen dataclass.

    A fixed-grid method, an adaptive one, one that is parallel in time, and another library's own
    code are all samplers. The declarations have the defaults below; :class:`GridSampler`,
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

    Some samplers have more, which the harness looks for: ``plan(grid)`` and ``history`` (those on a
    fixed grid, see :class:`GridSampler`), ``profile(grid)`` (the order of each step), and
    ``levels(grid)`` (the grid that is used, where ``own_grid``).
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
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def sample(
        self, denoise: AnyDenoise, x: Tensor, grid: Levels, noise: Noise | None = None
    ) -> Tensor:
        """Integrate states ``x`` ``(batch, *event)`` over the grid, without gradients.

        ``x`` itself is not modified.

        Args:
            denoise: the bound denoiser; a plain function of (x, sigma) will do where a row's answer
                does not depend on which sample it is.
            x: ``(batch, *event)`` states at the first level, ``x0 + sigma z``.
            grid: noise levels that fall strictly; only the last may be 0.
            noise: what a stochastic sampler draws from; a deterministic one needs none.

        Returns:
            ``(batch, *event)`` states at the last level.

        Raises:
            ValueError: levels that are no grid, or a sampler that draws noise and was not given
                any.
        """
        ...

    def nfe(self, grid: Grid) -> int | None:
        """Exact number of evaluations per sample on this grid; None if only counting can tell."""
        ...


class Solves(Protocol):
    """What :func:`run` makes the call for: it may rely on what it is handed."""

    def solve(self, denoise: Denoise, x: Tensor, grid: Grid, noise: Noise) -> Tensor:
        """States at ``grid.sigma[-1]`` from states ``x`` at ``grid.sigma[0]``, which it must
        not modify.
        """
        ...


def run(
    sampler: Solves, denoise: AnyDenoise, x: Tensor, grid: Levels, noise: Noise | None
) -> Tensor:
    """:meth:`Sampler.sample` of our own samplers: makes an easy call into what ``solve`` is handed.

    Steps write over their own tensors, so it runs without gradients.
    """
    source = NoNoise(sampler) if noise is None or isinstance(noise, NoNoise) else noise
    with torch.no_grad():
        bound: Any = denoise if hasattr(denoise, "take") else RowByRow(denoise)
        return sampler.solve(bound, x, as_grid(grid), source)


class Declared(Sampler):
    """A sampler that says itself how it gets from the first level to the last: write :meth:`solve`
    and ``nfe``.

    Inherit it where no base class with a plan fits.
    """

    def sample(
        self, denoise: AnyDenoise, x: Tensor, grid: Levels, noise: Noise | None = None
    ) -> Tensor:
        """Integrate over the grid, without gradients: see :meth:`Sampler.sample`."""
        return run(self, denoise, x, grid, noise)

    def solve(self, denoise: Denoise, x: Tensor, grid: Grid, noise: Noise) -> Tensor:
        """The method: states at ``grid.sigma[-1]`` from states ``x`` at ``grid.sigma[0]``,
        which it must not modify.
        """
        raise NotImplementedError(
            f"sampler {self.name} has no method 'solve'; write it "
            "(docs/adding-a-sampler.md has the contract)"
        )


@dataclass(frozen=True, kw_only=True)
class GridSampler(Sampler, ABC):
    """A sampler that takes one step per interval of a fixed grid.

    Subclasses are frozen dataclasses: nothing is kept between calls.

    Class attributes beside those of :class:`Sampler`:
        history: how many memos of earlier steps a step may read.
    """

    history: ClassVar[int] = 0

    def sample(
        self, denoise: AnyDenoise, x: Tensor, grid: Levels, noise: Noise | None = None
    ) -> Tensor:
        """Integrate over the grid, without gradients: see :meth:`Sampler.sample`."""
        return run(self, denoise, x, grid, noise)

    @abstractmethod
    def plan(self, grid: Grid) -> Sequence[Any]:
        """One row of coefficients per step: Python floats, computed once from the grid alone."""

    @abstractmethod
    def step(
        self, x: Tensor, row: Any, past: tuple[Any, ...], denoise: Denoise, noise: StepNoise
    ) -> tuple[Tensor, Any]:
        """One step.

        Args:
            x: ``(batch, *event)``, owned by the step: it may be overwritten and returned.
            row: this step's row of the plan.
            past: memos of earlier steps, newest first; shorter than ``history`` at the start. Never
                to be modified.
            denoise: the bound denoiser; what it returns must not be modified if it is remembered.
            noise: this step's noise.

        Returns:
            The next state and the memo of this step.
        """

    def nfe(self, grid: Grid) -> int:
        """Evaluations per sample, exactly."""
        return len(grid)

    def solve(self, denoise: Denoise, x: Tensor, grid: Grid, noise: Noise) -> Tensor:
        """Step after step from ``grid.sigma[0]`` to ``grid.sigma[-1]``."""
        from .loop import integrate

        return integrate(self, denoise, x, grid, noise)


def non_default(sampler: object) -> dict[str, Any]:
    """The fields of a sampler that differ from their defaults: its configuration, for labels
    and identities.
    """
    return {
        f.name: getattr(sampler, f.name)
        for f in fields(sampler)  # type: ignore[arg-type]
        if getattr(sampler, f.name) != f.default
    }
