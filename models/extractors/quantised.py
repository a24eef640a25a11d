"""Extractors of samples that are quantised to 8-bit images first, as saved for an evaluator.

Published scripts differ. EDM's, diffusers' and MAR's round to the nearest grey level. ADM's and
score_sde's, and EDM2's after its decoder, truncate, which darkens images by half a grey
level on average. The data to compare with are 8-bit images already, and are not quantised again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from ..reference import Extractor, FloatArray, Reference
from . import Samples, extractor
from .rgb import RgbNetwork, known_limits

Quantisation = Literal["round", "truncate"]
LEVELS = 255


def to_grey_levels(x: Tensor, limits: tuple[float, float], how: Quantisation) -> Tensor:
    """Return ``x`` scaled from ``limits`` to 0 … 255, clamped, rounded or truncated to uint8."""
    low, high = limits
    values = x.to(torch.promote_types(x.dtype, torch.float32))
    levels = ((values - low) * (LEVELS / (high - low))).clamp(0, LEVELS)
    return (levels.round() if how == "round" else levels).to(torch.uint8)


class QuantisedExtractor:
    """Extractor of samples that are quantised to 8 bits first, rounded or truncated."""

    def __init__(self, inner: Extractor, how: Quantisation, limits: tuple[float, float]) -> None:
        self.inner, self._limits = inner, limits
        self.how: Quantisation = how
        self.dim, self.read = inner.dim, getattr(inner, "read", None)
        words = {"round": "rounded", "truncate": "truncated"}
        self.identity = f"{inner.identity}-after-uint8-{words[how]}"

    def __call__(self, x: Tensor) -> FloatArray:
        """Return features ``(n, dim)`` of samples ``(n, *event)``."""
        low, high = self._limits
        levels = to_grey_levels(x, self._limits, self.how).to(x.dtype)
        return self.inner(levels * ((high - low) / LEVELS) + low)

    def reference(self, plain: Reference) -> Reference:
        """Return a copy of ``plain`` with this extractor, and no features of converged samples."""
        identity = f"{plain.identity}-samples-{self.how}"
        return replace(plain.without_converged(), extractor=self, identity=identity)


def load_quantised(how: Quantisation, spec: str, samples: Samples) -> Extractor | Reference:
    """Return the extractor or reference of ``spec``, for samples that are quantised first.

    Raises a ValueError if ``spec`` also quantises, or if the range is unknown.
    """
    from . import make_extractor

    if spec.partition(":")[0] in ("round", "truncate"):
        raise ValueError(f"{how}:{spec} quantises twice; write one of the two")
    limits, inner = known_limits(how, samples), make_extractor(spec, samples)
    if isinstance(inner, Reference):
        return QuantisedExtractor(inner.extractor, how, limits).reference(inner)
    if isinstance(inner, RgbNetwork) and how == "round":
        return inner  # it rounds to grey levels by itself
    return QuantisedExtractor(inner, how, limits)


@extractor("round", usage="round:EXTRACTOR")
def load_rounded(rest: str, samples: Samples) -> Extractor | Reference:
    """Load extractor ``rest`` for samples that are rounded to grey levels, as by EDM's scripts."""
    return load_quantised("round", rest, samples)


@extractor("truncate", usage="truncate:EXTRACTOR")
def load_truncated(rest: str, samples: Samples) -> Extractor | Reference:
    """Load extractor ``rest`` for samples truncated to grey levels, as by ADM's scripts."""
    return load_quantised("truncate", rest, samples)
