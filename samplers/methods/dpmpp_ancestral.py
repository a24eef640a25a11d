"""DPM-Solver++(2S) with ancestral noise, as k-diffusion has it."""

from __future__ import annotations

from dataclasses import dataclass

from ..families.ancestral_stages import AncestralStages
from ..registry import register
from ..types import Source
from .dpmpp_singlestep import DPMpp2S


@register
@dataclass(frozen=True, kw_only=True)
class DPMpp2SAncestral(AncestralStages):
    """A DPM-Solver++(2S) step from cur to ``down``, then noise: see :class:`.AncestralStages`."""

    name = "dpmpp_2s_ancestral"
    source = Source(
        "lu2022dpmpp", "Alg. 1; k-diffusion, sample_dpmpp_2s_ancestral", "https://arxiv.org/abs/2211.01095v2",
        deviations=("the paper has this method for the ODE only; the ancestral form is k-diffusion's",),
    )  # fmt: skip
    solver = DPMpp2S()
