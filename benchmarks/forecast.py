"""What a suite would cost here: evaluations counted from the plan, seconds from a short measurement of each network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..models import Denoiser
from .cell import Cell
from .pace import evaluations_per_second, expected


@dataclass(frozen=True)
class Forecast:
    """One model's share of a suite: cells, evaluations (network passes times samples) and seconds of network time here."""

    model: str
    cells: int
    adaptive: int
    evaluations: float
    seconds: float


def forecast(models: Mapping[str, Denoiser], cells: Sequence[Cell], device: str) -> list[Forecast]:
    """The cost of sampling, per model; references, scoring and timing come on top."""
    out = []
    for name, model in models.items():
        own = [cell for cell in cells if cell.model == name and not cell.skip]
        evaluations = sum(expected(model, cell) * cell.samples for cell in own)
        rate = evaluations_per_second(model, own[0].batch_size, device) if own else float("inf")
        out.append(Forecast(name, len(own), sum(c.sampler.adaptive for c in own), evaluations, evaluations / rate))
    return out
