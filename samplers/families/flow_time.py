"""Methods applied in the time of a flow in place of sigma, as ComfyUI and diffusers do on flows.

A flow has states y = (1 - t) x0 + t z. With t = sigma / (1 + sigma) and y = x / (1 + sigma), its ODE
dy/dt = (y - d) / t has the form of dx/dsigma = (x - d) / sigma. So every method in sigma also works
in t. Euler's method takes the same steps in both; other methods do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..grid import Grid
from ..loop import GridSampler
from ..registry import make_once as _make
from ..registry import register
from ..types import Denoise, Source, StepNoise
from .linear import LinearRow
from .multistep import StartRow
from .stages import Stage, StagesRow


def time_of(sigma: float) -> float:
    """Return the time t = sigma / (1 + sigma) of a flow."""
    return sigma / (1 + sigma)


def row_in_sigma(row: Any, cur: float, nxt: float) -> Any:
    """Return the coefficients for x = (1 + sigma) y of the step that ``row`` makes on y.

    ``row`` is a LinearRow, StagesRow or StartRow without noise, on the times of a flow. ``cur`` and
    ``nxt`` are the noise levels sigma at the ends of the step.
    """
    if isinstance(row, StartRow):
        return StartRow(row_in_sigma(row.stages, cur, nxt), row.p / (1 + cur), row.q)

    def scaled(a: float, b: tuple[float, ...], to: float) -> tuple[float, tuple[float, ...]]:
        return a * (1 + to) / (1 + cur), tuple(w * (1 + to) for w in b)

    a, b = scaled(row.a, row.b, nxt)
    if isinstance(row, LinearRow):
        return LinearRow(cur, a, b, p=row.p / (1 + cur), q=row.q)
    ends = {time_of(cur): cur, time_of(nxt): nxt}
    levels = [ends[t] if t in ends else t / (1 - t) for t, _, _ in row.stages]
    stages = (
        Stage(s, *scaled(stage.a, stage.b, s)) for s, stage in zip(levels, row.stages, strict=True)
    )
    return StagesRow(tuple(stages), a, b)


@register
@dataclass(frozen=True, kw_only=True)
class FlowTime(GridSampler):
    """Method without noise in the time t = sigma / (1 + sigma) of a flow, on y = x / (1 + sigma).

    On flows, ComfyUI makes these steps in ``heun``, ``dpm_2``, ``dpmpp_2m``, ``ipndm``,
    ``res_multistep`` and other samplers without noise, but not in samplers that step in log-SNR.
    diffusers' FlowMatchHeunDiscreteScheduler makes them too. The order is the method's.

    Attributes:
        method: name, with options, of a sampler without noise and with linear steps along a grid.
    """

    name = "flow_time"
    source = Source(
        "vonplaten2022diffusers",
        "FlowMatchHeunDiscreteScheduler; ComfyUI, k_diffusion/sampling.py on models of type CONST",
        "https://github.com/huggingface/diffusers",
    )
    method: str = "heun"

    def __post_init__(self) -> None:
        inner, grid = _make(self.method), Grid((0.8, 0.4, 0.0))
        rows = inner.plan(grid) if isinstance(inner, GridSampler) and not inner.stochastic else ()
        if not rows or not all(isinstance(r, (LinearRow, StagesRow, StartRow)) for r in rows):
            raise ValueError(
                "flow_time: method must be a sampler without noise and with linear steps along a "
                f"grid, such as 'heun', got {self.method!r}"
            )
        if getattr(inner, "analytic_first", False):
            raise ValueError(
                "flow_time: method takes no analytic_first, whose image is a formula of sigma"
            )

    @property
    def order(self) -> int | None:  # type: ignore[override]
        """Order of ``method``."""
        return _make(self.method).order

    @property
    def history(self) -> int:  # type: ignore[override]
        """Number of earlier evaluations that a step of ``method`` uses."""
        return _make(self.method).history

    @property
    def translates(self) -> bool:  # type: ignore[override]
        """True if moving the data by a constant moves the samples of ``method`` by it."""
        return _make(self.method).translates

    def plan(self, grid: Grid) -> list[Any]:
        """Return the steps of ``method`` in flow time, as coefficients for x = (1 + sigma) y."""
        rows = _make(self.method).plan(Grid(tuple(map(time_of, grid.sigma))))
        steps = zip(rows, grid.intervals(), strict=True)
        return [row_in_sigma(row, *interval) for row, interval in steps]

    def nfe(self, grid: Grid) -> int:
        """Return the evaluations per sample of ``method``."""
        return _make(self.method).nfe(grid)

    def step(
        self, x: Tensor, row: Any, past: tuple[Any, ...], denoise: Denoise, noise: StepNoise
    ) -> tuple[Tensor, Any]:
        """Return the next state by a step of ``method``, and a history entry for later steps."""
        return _make(self.method).step(x, row, past, denoise, noise)
