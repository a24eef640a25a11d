"""What a sampler is: a frozen dataclass with a plan (what depends on the grid) and a step (what depends on the sample)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import Field, dataclass, fields
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from .grid import Grid, as_grid
from .noise import NoNoise
from .numerics import blend
from .types import Denoise, Noise, RowByRow, Source, StepNoise

Levels = Grid | Sequence[float] | Tensor
"""Where a grid is wanted: one, or its falling levels."""

AnyDenoise = Denoise | Callable[[Tensor, Any], Tensor]
"""Where a denoiser is wanted: one, or a function of (x, sigma) that treats every row alike."""


@runtime_checkable
class Sampler(Protocol):
    """Anything that turns latents into samples: fixed grid, adaptive, parallel in time, another library's. It is a frozen dataclass.

    Class attributes:
        name: registry name; it pins one variant and one order.
        source: where the formulas come from.
        order: global order of convergence from exact history on a smooth denoiser; None if the notion does not apply.
        stochastic: whether it draws noise after the initial latent.
        adaptive: ignores the steps of the grid and is controlled by a tolerance.
        batch_coupled: a sample depends on the others of its batch (error control over the whole batch).
        same_as: registry name of the sampler that it equals in its default configuration, or "".
        translates: data moved by a constant give samples moved by it; False for methods that assume data of mean zero.
        own_grid: uses the ends and the number of steps of the grid, and levels of its own between.
        strong_order: order of pathwise convergence under Brownian noise; None if none is claimed.
    """

    name: ClassVar[str]
    source: ClassVar[Source]
    order: ClassVar[int | None]
    stochastic: ClassVar[bool]
    adaptive: ClassVar[bool]
    batch_coupled: ClassVar[bool]
    same_as: ClassVar[str]
    translates: ClassVar[bool]
    own_grid: ClassVar[bool]
    strong_order: ClassVar[float | None]
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def sample(self, denoise: AnyDenoise, x: Tensor, grid: Levels, noise: Noise | None = None) -> Tensor:
        """Integrate states ``x`` ``(batch, *event)`` from the first level of the grid to the last; ``x`` itself is not modified."""
        ...

    def nfe(self, grid: Grid) -> int | None:
        """Exact number of evaluations per sample on this grid; None if only counting can tell."""
        ...


class Declared:
    """What all samplers share: the defaults of their declarations, and :meth:`sample`, which makes easy calls into what a method is handed.

    Inherit it where no base class with a plan fits, and write :meth:`solve`.
    """

    name: ClassVar[str]
    order: ClassVar[int | None] = None
    stochastic: ClassVar[bool] = False
    adaptive: ClassVar[bool] = False
    batch_coupled: ClassVar[bool] = False
    same_as: ClassVar[str] = ""
    translates: ClassVar[bool] = True
    own_grid: ClassVar[bool] = False
    strong_order: ClassVar[float | None] = None

    def sample(self, denoise: AnyDenoise, x: Tensor, grid: Levels, noise: Noise | None = None) -> Tensor:
        """Integrate from the first level of the grid to the last, without gradients: steps write over their own tensors.

        Args:
            denoise: the bound denoiser; a plain function of (x, sigma) will do where a row's answer does not depend on which sample it is.
            x: ``(batch, *event)`` states at the first level, ``x0 + sigma z``; not modified.
            grid: noise levels that fall strictly; only the last may be 0.
            noise: what a stochastic sampler draws from; a deterministic one needs none.

        Raises:
            ValueError: levels that are no grid, or a sampler that draws noise and was not given any.
        """
        source = NoNoise(self) if noise is None or isinstance(noise, NoNoise) else noise
        with torch.no_grad():
            return self.solve(denoise if hasattr(denoise, "take") else RowByRow(denoise), x, as_grid(grid), source)  # type: ignore[arg-type]

    def solve(self, denoise: Denoise, x: Tensor, grid: Grid, noise: Noise) -> Tensor:
        """The method: states at ``grid.sigma[-1]`` from states ``x`` at ``grid.sigma[0]``, which it must not modify."""
        raise NotImplementedError(f"sampler {self.name} has no method 'solve'; write it (docs/adding-a-sampler.md has the contract)")


@dataclass(frozen=True, kw_only=True)
class GridSampler(Declared, ABC):
    """A sampler that takes one step per interval of a fixed grid. Subclasses are frozen dataclasses: nothing is kept between calls.

    Class attributes beside those of :class:`Sampler`:
        history: how many memos of earlier steps a step may read.
    """

    name: ClassVar[str]
    source: ClassVar[Source]
    history: ClassVar[int] = 0

    @abstractmethod
    def plan(self, grid: Grid) -> Sequence[Any]:
        """One row of coefficients per step: Python floats, computed once, a pure function of the grid."""

    @abstractmethod
    def step(self, x: Tensor, row: Any, past: tuple[Any, ...], denoise: Denoise, noise: StepNoise) -> tuple[Tensor, Any]:
        """One step.

        Args:
            x: ``(batch, *event)``, owned by the step: it may be overwritten and returned.
            row: this step's row of the plan.
            past: memos of earlier steps, newest first; shorter than ``history`` at the start. Never to be modified.
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


@dataclass(frozen=True, kw_only=True)
class Tolerant(Declared):
    """What samplers that are controlled by a tolerance share.

    Attributes:
        rtol, atol: relative and absolute tolerance, > 0.
    """

    name: ClassVar[str]
    adaptive: ClassVar[bool] = True
    rtol: float = 1e-3
    atol: float = 1e-3

    def __post_init__(self) -> None:
        if not (self.rtol > 0 and self.atol > 0):
            raise ValueError(f"{self.name}: rtol and atol must be positive, got {self.rtol} and {self.atol}")

    def nfe(self, grid: Grid) -> None:  # noqa: ARG002
        """Only counting can tell."""
        return


class LinearRow(NamedTuple):
    """A step that is linear in what it has seen: with the memo m_i = p x_i + q d_i, x <- a x + sum_j b_j m_{i-j} + c z.

    Attributes:
        sigma: level at which the denoiser is evaluated.
        a: weight of the state.
        b: weights of the memos, newest first; at most ``history + 1``.
        c: standard deviation of the fresh noise.
        p, q: the memo: (0, 1) is the denoised image, (1, -1) is x - d = sigma times the noise direction eps.
        gain: if not None, d = gain x stands in for the evaluation.
    """

    sigma: float
    a: float
    b: tuple[float, ...]
    c: float = 0.0
    p: float = 0.0
    q: float = 1.0
    gain: float | None = None


def jump(sigma: float) -> LinearRow:
    """The step to sigma = 0, the same for every method: one evaluation, x <- d."""
    return LinearRow(sigma, a=0.0, b=(1.0,))


@dataclass(frozen=True, kw_only=True)
class LinearMultistep(GridSampler):
    """A sampler that is nothing but coefficients: one evaluation a step. Subclasses write :meth:`plan` only."""

    @abstractmethod
    def plan(self, grid: Grid) -> list[LinearRow]:
        """One :class:`LinearRow` per step."""

    def step(self, x: Tensor, row: LinearRow, past: tuple[Tensor, ...], denoise: Denoise, noise: StepNoise) -> tuple[Tensor, Tensor | None]:
        """Apply the row in place: one pass over the state for each memo that it reads, where the weights allow it."""
        d = denoise(x, row.sigma) if row.gain is None else x * row.gain
        memo = memo_of(x, d, row.p, row.q)
        x = blend(x, row.a, row.b, (memo, *past), x)
        if row.c:
            x = x.add_(noise(), alpha=row.c)
        return x, memo if self.history else None


def memo_of(x: Tensor, d: Tensor, p: float, q: float) -> Tensor:
    """The memo p x + q d, without a copy where it is d itself, in one pass where p is 1."""
    if p == 0 and q == 1:
        return d
    if p == 1:
        return torch.sub(x, d, alpha=-q)
    return torch.mul(x, p).add_(d, alpha=q)


def non_default(sampler: object) -> dict[str, Any]:
    """The fields of a sampler that differ from their defaults: its configuration, for labels and identities."""
    return {f.name: getattr(sampler, f.name) for f in fields(sampler) if getattr(sampler, f.name) != f.default}  # type: ignore[arg-type]
