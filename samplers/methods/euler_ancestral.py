"""Euler's method with ancestral noise, as k-diffusion has it."""

from __future__ import annotations

from dataclasses import dataclass

from ..families.ancestral_stages import AncestralStages
from ..registry import register
from ..types import Source
from .euler import EulerChurn


@register
@dataclass(frozen=True, kw_only=True)
class EulerAncestral(AncestralStages):
    """x <- r x + (1 - r) d + s_noise up z with r = down / cur: see :class:`.AncestralStages`.

    In these coordinates it is DDIM with the same eta, which stops at eta = 1 and has no s_noise.
    """

    name = "euler_ancestral"
    same_as = "ddpm"
    source = Source("song2021ddim", "eq. (12) and (16); k-diffusion, sample_euler_ancestral", "https://arxiv.org/abs/2010.02502v4")
    solver = EulerChurn(churn=0.0)
