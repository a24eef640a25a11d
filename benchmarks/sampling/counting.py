"""Counters of network evaluations, at the innermost network, below every wrapper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from ...models.denoiser import Denoiser, Wrapper
from ...models.exact.base import ExactModel
from ...samplers.types import Pair, denoise_both

if TYPE_CHECKING:
    from ...samplers import Denoise


@dataclass
class Meter:
    """Counter for a batch: ``calls`` of the network, and ``rows``, its passes times samples.

    ``tell`` receives the rows of each call, for progress; None for no progress.
    """

    rows: int = 0
    calls: int = 0
    tell: Callable[[int], object] | None = None

    def add(self, rows: int) -> None:
        """Count one more call, of ``rows`` network passes times samples."""
        self.rows += rows
        self.calls += 1
        if self.tell is not None:
            self.tell(rows)

    def attach(self, model: Denoiser) -> Denoiser:
        """Return a copy of the model whose innermost network this meter counts."""
        return model.instrumented(lambda network: Metered(network, self))

    def reset(self) -> None:
        """Reset the counts to zero."""
        self.rows = self.calls = 0


class Metered(Wrapper):
    """Network whose calls ``meter`` counts; a call has ``inner.passes`` evaluations per sample."""

    def __init__(self, inner: Denoiser, meter: Meter) -> None:
        super().__init__(inner)
        self.meter = meter

    def denoise(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Tensor:
        """Count the call, then denoise."""
        self.meter.add(len(x) * self.inner.passes)
        return self.inner.denoise(x, sigma, labels)

    def denoise_both(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Pair:
        """Count one call, and return both images of a network with guidance of its own."""
        self.meter.add(len(x) * self.inner.passes)
        return self.inner.denoise_both(x, sigma, labels)

    def endpoint(self, x: Tensor, labels: Tensor | None = None) -> Tensor | None:
        """Return the inner model's endpoint, and count the evaluations of an ODE solver for it."""
        inner = self.inner
        if isinstance(inner, ExactModel):
            inner = inner.with_observer(self.meter.add)
        return inner.endpoint(x, labels)


class ObservedDenoiser:
    """Bound denoiser that calls ``observe(denoise, x, sigma, images)`` after each evaluation.

    ``images`` has the results of the evaluation: the guided and the unguided image.
    """

    def __init__(
        self, denoise: Denoise, observe: Callable[[Denoise, Tensor, float | Tensor, Pair], None]
    ) -> None:
        self._denoise, self._observe = denoise, observe

    def __call__(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Return the denoised image of ``x`` (n, *event), the guided one under guidance."""
        return self.both(x, sigma)[0]

    def both(self, x: Tensor, sigma: float | Tensor) -> Pair:
        """Return the guided and the unguided image of one evaluation (:func:`.denoise_both`)."""
        images = denoise_both(self._denoise, x, sigma)
        self._observe(self._denoise, x, sigma, images)
        return images

    def take(self, rows: Tensor) -> ObservedDenoiser:
        """Return the denoiser of these rows, which may be repeated, with the same observer."""
        return ObservedDenoiser(self._denoise.take(rows), self._observe)
