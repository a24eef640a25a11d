"""DPM2 of k-diffusion: the midpoint rule in sigma with the midpoint in log(sigma).

With churn, and ancestral.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..families.ancestral_stages import AncestralStages
from ..families.churn import Churned
from ..families.stages import Evaluate
from ..registry import register
from ..types import Source

_URL = "https://arxiv.org/abs/2206.00927v3"


@register
@dataclass(frozen=True, kw_only=True)
class DPM2(Churned):
    """Midpoint step with mid = sqrt(cur nxt): an Euler step to mid, then x <- x + (nxt - cur)
    eps_mid from the start. DPM-Solver-2 with r1 = 1/2.

    Churn, off by default, is as in :class:`~samplerbench.samplers.families.churn.Churned`.
    """

    name = "dpm_2"
    same_as = "dpm_solver_2"
    solver_order = 2
    source = Source("lu2022dpmsolver", "Alg. 1; k-diffusion, sample_dpm_2", _URL)
    churn: float = 0.0
    s_noise: float = 1.0

    def update(self, x: Any, denoise: Evaluate, cur: float, nxt: float) -> Any:
        """Return the state after a step of the class's formula."""
        mid = math.sqrt(cur * nxt)
        x_mid = x + (mid - cur) * (x - denoise(x, cur)) / cur
        return x + (nxt - cur) * (x_mid - denoise(x_mid, mid)) / mid


@register
@dataclass(frozen=True, kw_only=True)
class DPM2Ancestral(AncestralStages):
    """A DPM2 step from cur to ``down``, then noise: see :class:`.AncestralStages`."""

    name = "dpm_2_ancestral"
    source = Source(
        "lu2022dpmsolver", "Alg. 1; k-diffusion, sample_dpm_2_ancestral", _URL,
        deviations=(
            "the paper has this method for the ODE only; the ancestral form is k-diffusion's",
            "where eta > 1 leaves nothing of the step, down = 0, the noise is added all the same",
        ),
    )  # fmt: skip
    solver = DPM2()
