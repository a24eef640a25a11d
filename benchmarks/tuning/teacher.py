"""Teacher: ends of the probability flow from the latents of a problem, on as many steps as needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter

import torch
from torch import Tensor

from ...models import Denoiser
from ..sampling.batch import latents
from ..sampling.counting import Meter
from ..scoring.endpoints import solve

BATCH = 96


@dataclass(eq=False)
class Teacher:
    """Endpoints of some latents: exact ones where the model knows them, else the reference solver's,
    which keeps every solution.

    Attributes:
        model: on the device of ``ids``.
        ids: ``(n,)`` the latents' numbers.
        seed: of the latents.
        seconds: that all endpoints took so far.
        exact: ``(n, *event)``, or None where only a solver finds them.
    """

    model: Denoiser
    ids: Tensor
    seed: int
    seconds: float = field(default=0.0, init=False)
    exact: Tensor | None = field(init=False)
    _meter: Meter = field(default_factory=Meter, init=False, repr=False)
    _solved: dict[int, Tensor] = field(default_factory=dict, init=False, repr=False)

    @torch.no_grad()
    def __post_init__(self) -> None:
        started = perf_counter()
        self.model = self._meter.attach(self.model)
        x = latents(self.model, self.ids, self.seed, self.model.dtype)[0]
        self.exact = self.model.endpoint(x, self.model.draw_labels(self.ids, self.seed))
        self.seconds += perf_counter() - started

    @property
    def evaluations(self) -> int:
        """Network evaluations of all endpoints so far, coarser solutions included; 0 for a closed form."""
        return self._meter.rows

    @property
    def rounding(self) -> float:
        """Distance of neighbouring states at sigma_max, which no number of steps resolves."""
        return torch.finfo(self.model.dtype).eps * self.model.sigma_max

    def endpoints(self, steps: int) -> Tensor:
        """Return ``(n, *event)``: the exact ones, or the reference solver's on so many steps.

        Raises:
            ValueError: they are not finite.
        """
        if self.exact is not None:
            return self.exact
        if steps not in self._solved:
            started = perf_counter()
            self._solved[steps] = self._solve(steps)
            self.seconds += perf_counter() - started
        return self._solved[steps]

    def moved(self, steps: int) -> float:
        """Return the distance of the endpoints on so many steps from the ones on half as many: RMS per
        dimension, in data units; 0 for exact ones.
        """
        return float(
            (self.endpoints(steps) - self.endpoints(steps // 2)).double().square().mean().sqrt()
        )

    @torch.no_grad()
    def _solve(self, steps: int) -> Tensor:
        x = solve(self.model, self.ids, self.seed, self.model.dtype, steps, BATCH)
        if not x.isfinite().all():
            raise ValueError(
                f"model {self.model.name} has no finite endpoints to tune "
                "for; check its sigma_min and sigma_max"
            )
        return x
