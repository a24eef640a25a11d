"""Effort of measurements: numbers of samples and replaced models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from samplerbench.models import Denoiser, make_model

FAST_SHARE, FAST_LEAST = 8, 64


@dataclass(frozen=True)
class Effort:
    """Effort of a measurement, with replaced models.

    Attributes:
        name: ``fast`` or ``full``.
        out: folder that stores measurements, so that an interrupted run continues; None stores
            nothing.
        models: models that replace built-in ones, by the replaced name.

    Raises:
        ValueError: the name is another.
    """

    name: Literal["fast", "full"] = "full"
    out: Path | None = None
    models: Mapping[str, Denoiser] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in ("fast", "full"):
            raise ValueError(f"the effort is 'fast' or 'full', not {self.name!r}")

    @property
    def fast(self) -> bool:
        """True for the small effort."""
        return self.name == "fast"

    def samples(self, full: int, least: int = FAST_LEAST) -> int:
        """Return the number of samples: ``full``, or for a fast run an eighth but at least
        ``least``.
        """
        return min(full, max(least, full // FAST_SHARE)) if self.fast else full

    def model(self, name: str, **params: Any) -> Denoiser:
        """Return the model called ``name``, or its replacement."""
        return self.models[name] if name in self.models else make_model(name, **params)
