"""A smooth network of two numbers in every process that diffusers knows."""

from __future__ import annotations

import torch
from torch import Tensor

from samplerbench.models.adapters import NativeDenoiser, NetworkTime
from samplerbench.models.process import EDM, Discrete, RectifiedFlow

SCHEDULE = tuple(torch.logspace(-2, 1.2, 1000, dtype=torch.float64).tolist())
"""Levels of a table of times."""


def _net(x: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
    return torch.sin(x + 0.01 * t.reshape(-1, 1)) + 0.3 * x.flip(1)


def network(kind: str) -> NativeDenoiser:
    """``eps``, ``v`` and ``x0`` of a table of times, ``flow`` or ``edm``."""
    made = {
        "flow": (RectifiedFlow(t_min=1e-3), NetworkTime(scale=1000.0)),
        "edm": (EDM(t_min=0.01, t_max=20.0), NetworkTime(of="log_level", scale=0.25)),
    }
    process, time = made.get(kind, (Discrete(levels=SCHEDULE), NetworkTime()))
    return NativeDenoiser(
        _net, process, kind, name=kind, event=(2,), identity=kind, time=time,
        times=torch.arange(1000).double().numpy() if kind not in made else None,
        network_dtype=torch.float64,
    )  # fmt: skip
