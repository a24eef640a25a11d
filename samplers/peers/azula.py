"""azula's samplers with the schedule alpha = 1, sigma = t, so that states and times are ours."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from ..types import Source
from .base import Peer, PeerBatch, define_peer
from .locate import import_installed, version_of_package

LIBRARY = "azula"
_CANNOT_REACH_ZERO = {"HeunSampler", "zEABSampler", "xEABSampler", "REABSampler"}
"""Samplers that cannot step to 0, since they would evaluate the denoiser there or take log(0)."""
_NOT_OFFERED = {"self", "denoiser", "kwargs"}


@dataclass(frozen=True, kw_only=True)
class Azula(Peer):
    """Sampler of azula on the levels of our grid."""

    source = Source(
        "rozet2025azula",
        "sample.py",
        "https://github.com/probabilists/azula",
        deviations=(
            "samplers that cannot step to 0 stop at the last positive level, and the "
            "step to 0 is x <- d",
        ),
    )

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        return self.target in ("DDPMSampler", "PCSampler") or bool(getattr(self, "eta", 0))

    def run(self, batch: PeerBatch, x: Tensor, levels: Tensor) -> Tensor:
        cls = getattr(import_installed(self.name, "azula.sample"), self.target)
        on_grid = type(cls.__name__, (cls,), {"timesteps": property(lambda _: levels)})
        with batch.replace_torch_noise():
            return on_grid(_AzulaDenoiser(batch), silent=True, **self.options)(x)


class _AzulaDenoiser:
    """Our denoiser with the schedule alpha = 1, sigma = t, as azula's samplers read them."""

    def __init__(self, batch: PeerBatch) -> None:
        self._batch = batch

    def schedule(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones_like(t), t

    def __call__(self, x: Tensor, t: Tensor, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(mean=self._batch.denoised(x, t))


def names() -> list[str]:
    """Return the names of the samplers that azula exports, without the base class."""
    exported = import_installed(LIBRARY, "azula.sample").__all__
    return sorted(name for name in exported if name != "Sampler")


def make_class(name: str) -> type[Peer]:
    """Return the :class:`Peer` subclass ``azula:SAMPLER``, with its options as fields."""
    module, target = import_installed(name, "azula.sample"), name.partition(":")[2]
    takes = inspect.signature(getattr(module, target).__init__).parameters
    options = {key: p.default for key, p in takes.items() if key not in _NOT_OFFERED}
    origin, reaches_zero = version_of_package(LIBRARY), target not in _CANNOT_REACH_ZERO
    return define_peer(Azula, name, options, origin=origin, steps_to_zero=reaches_zero)
