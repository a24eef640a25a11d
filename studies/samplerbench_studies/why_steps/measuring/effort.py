"""How much a row measures, and on what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from samplerbench.models import Denoiser, make_model

FAST_SHARE, FAST_LEAST = 8, 64


@dataclass(frozen=True)
class Effort:
    """How much to measure, and on what.

    Attributes:
        name: ``fast`` or ``full``.
        out: folder where measurements are kept, so that an interrupted run goes on where it was;
            None keeps nothing.
        models: models that stand in for the built-in ones, by the name that they replace.

    Raises:
        ValueError: another name.
    """

    name: Literal["fast", "full"] = "full"
    out: Path | None = None
    models: Mapping[str, Denoiser] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in ("fast", "full"):
            raise ValueError(f"the effort is 'fast' or 'full', not {self.name!r}")

    @property
    def fast(self) -> bool:
        """Whether it is the small one."""
        return self.name == "fast"

    def samples(self, full: int, least: int = FAST_LEAST) -> int:
        """``full`` samples, or an eighth of them but not fewer than ``least`` (and never more
        than ``full``).
        """
        return min(full, max(least, full // FAST_SHARE)) if self.fast else full

    def model(self, name: str, **params: Any) -> Denoiser:
        """The model of that name, or what stands in for it."""
        return self.models[name] if name in self.models else make_model(name, **params)
