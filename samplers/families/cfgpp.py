"""``cfgpp``: CFG++ for the steps of any sampler that is linear in images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..grid import Grid
from ..loop import GridSampler
from ..registry import make_once as _make
from ..registry import register_unlisted
from ..types import Denoise, Source, StepNoise, denoise_both
from .linear import LinearRow, UnguidedRow
from .multistep import StartRow
from .noisy_stages import NoisyRow
from .stages import StagesRow

KINDS = (LinearRow, NoisyRow, StagesRow, StartRow)
TRIAL = Grid(tuple(2.0**-i for i in range(8)))


@register_unlisted
@dataclass(frozen=True, kw_only=True)
class CFGpp(GridSampler):
    """CFG++ of a sampler: its step along the unguided image f, plus the whole guidance g = d - f.

    The paper's step renoises the guided image d with the unguided noise:

        x <- d + nxt (x - f) / cur = [(nxt / cur) x + (1 - nxt / cur) f] + (d - f).

    The brackets hold Euler's step on f. Any other step on f can take its place, also with several
    evaluations, history or noise: x <- step(x, f) + g. g is from the step's first evaluation.

    With d = f + w (c - f), c the conditional image, Euler's step is usual guidance with the scale

        w / (1 - nxt / cur).

    So CFG++ is guidance whose scale depends on the level and grows with the number of steps. It has
    no limit as steps become small, and hence no order. With w in proportion to 1 - nxt / cur, every
    method converges to guidance of one scale. The order is then 1, since g is added once a step, as
    in a splitting. On a model without guidance, the steps are the sampler's own.

    Attributes:
        sampler: spec of the sampler, such as ``dpmpp_2m``.
    """

    name = "cfgpp"
    source = Source(
        "chung2025cfgpp",
        "Alg. 2, and the authors' solvers euler_cfg++ and euler_a_cfg++",
        "https://arxiv.org/abs/2406.08070v2",
        deviations=(
            "the paper has DDIM; other methods follow from the rule that g has weight 1 in every step",
            "the authors' dpm++_2m_cfg++ takes a slope from unguided to guided images: g weighs more",
            "their dpm++_2s_a_cfg++ takes g from the second evaluation",
        ),
    )
    sampler: str = "euler"

    def __post_init__(self) -> None:
        inner = _make(self.sampler)
        fits = isinstance(inner, GridSampler) and not inner.for_maps
        if not fits or not all(isinstance(row, KINDS) for row in inner.plan(TRIAL)):
            raise ValueError(
                f"cfgpp has no steps of {self.sampler}; give a method with steps along a grid, such as "
                "euler, dpmpp_2m, unipc_2 or dpmpp_2s_ancestral"
            )

    @property
    def history(self) -> int:  # type: ignore[override]
        """Number of history entries (second results of steps) that the wrapped sampler reads."""
        return _make(self.sampler).history

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        """True if the wrapped sampler draws noise."""
        return _make(self.sampler).stochastic

    @property
    def translates(self) -> bool:  # type: ignore[override]
        """True if moving the data by a constant moves the wrapped sampler's samples by it."""
        return _make(self.sampler).translates

    def nfe(self, grid: Grid) -> int:
        """Return the wrapped sampler's evaluations per sample; each gives d and f."""
        return _make(self.sampler).nfe(grid)

    def plan(self, grid: Grid) -> list[UnguidedRow]:
        """Return the wrapped sampler's plan, with each row of coefficients in an UnguidedRow."""
        return [UnguidedRow(row) for row in _make(self.sampler).plan(grid)]

    def step(
        self, x: Tensor, row: UnguidedRow, past: tuple[Any, ...], denoise: Denoise, noise: StepNoise
    ) -> tuple[Tensor, Any]:
        """Return the wrapped sampler's step on images f, plus g, and that step's history entry."""
        unguided = _Unguided(denoise)
        x, entry = _make(self.sampler).step(x, row.row, past, unguided, noise)
        return (x if unguided.guidance is None else x + unguided.guidance), entry


class _Unguided:
    """Denoiser that returns the unguided image f, and keeps g = d - f of its first evaluation."""

    def __init__(self, denoise: Denoise) -> None:
        self._denoise, self._calls = denoise, 0
        self.guidance: Tensor | None = None

    def __call__(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        guided, free = denoise_both(self._denoise, x, sigma)
        if not self._calls and guided is not free:
            self.guidance = guided - free
        self._calls += 1
        return free

    def take(self, rows: Tensor) -> _Unguided:
        return _Unguided(self._denoise.take(rows))
