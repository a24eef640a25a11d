"""Counters of network evaluations, at the innermost network, below every wrapper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from ...models.denoiser import Denoiser, Wrapper
from ...models.exact.base import ExactModel


@dataclass
class Meter:
    """Counts of one batch: ``rows``, network passes times samples; ``calls``, sequential calls."""

    rows: int = 0
    calls: int = 0

    def add(self, rows: int) -> None:
        """Count one more call, on ``rows`` rows."""
        self.rows += rows
        self.calls += 1

    def attach(self, model: Denoiser) -> Denoiser:
        """Return the model with this meter at its network."""
        return model.instrumented(lambda network: Metered(network, self))

    def reset(self) -> None:
        """Reset the counts to zero."""
        self.rows = self.calls = 0


class Metered(Wrapper):
    """Network whose evaluations ``meter`` counts; one call has ``passes`` evaluations a row."""

    def __init__(self, inner: Denoiser, meter: Meter) -> None:
        super().__init__(inner)
        self.meter = meter

    def denoise(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Tensor:
        """Count the call, then denoise."""
        self.meter.add(len(x) * self.inner.passes)
        return self.inner.denoise(x, sigma, labels)

    def endpoint(self, x: Tensor, labels: Tensor | None = None) -> Tensor | None:
        """Return the network's own endpoint or None; count evaluations of a numerical one."""
        inner = self.inner
        if isinstance(inner, ExactModel):
            inner = inner.with_observer(self.meter.add)
        return inner.endpoint(x, labels)


@dataclass
class ReportingMeter(Meter):
    """Meter that also passes the rows of each call to ``tell``, for progress."""

    tell: Callable[[int], object] = field(kw_only=True)

    def add(self, rows: int) -> None:
        """See :meth:`Meter.add`."""
        super().add(rows)
        self.tell(rows)
