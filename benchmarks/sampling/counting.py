"""Counters of network evaluations, at the innermost network, below every wrapper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ...models.denoiser import Denoiser, Wrapper
from ...models.exact.base import ExactModel
from ...samplers import Denoise
from ...samplers.types import Pair, denoise_both


@dataclass
class Meter:
    """Counts of one batch: ``rows``, network passes times samples; ``calls``, sequential calls.

    ``tell``, if any, receives the rows of each call, for progress.
    """

    rows: int = 0
    calls: int = 0
    tell: Callable[[int], object] | None = None

    def add(self, rows: int) -> None:
        """Count one more call, on ``rows`` rows."""
        self.rows += rows
        self.calls += 1
        if self.tell is not None:
            self.tell(rows)

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


class ObservedDenoiser:
    """Bound denoiser that passes itself, x, sigma and both images of each call to ``observe``."""

    def __init__(
        self, denoise: Denoise, observe: Callable[[Denoise, Tensor, float | Tensor, Pair], None]
    ) -> None:
        self._denoise, self._observe = denoise, observe

    def __call__(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Return the image that the denoiser returns."""
        return self.both(x, sigma)[0]

    def both(self, x: Tensor, sigma: float | Tensor) -> Pair:
        """See :func:`.denoise_both`."""
        images = denoise_both(self._denoise, x, sigma)
        self._observe(self._denoise, x, sigma, images)
        return images

    def take(self, rows: Tensor) -> ObservedDenoiser:
        """Return the denoiser of a subset or of repeats of the rows, with the same observer."""
        return ObservedDenoiser(self._denoise.take(rows), self._observe)
