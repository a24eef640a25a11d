"""Checks of few-step maps: properties of a jump to the end of the path.

A map f takes a state along the probability flow to its end at sigma_min. So it leaves a state at
sigma_min where it is (the boundary condition of Song et al. 2023, arXiv:2303.01469, section 3); and
f(x0 + sigma z) has the distribution of the data at every level, where E[x0 | x] has less variance,
hardly any at high levels. Whether states of one path have one end is :mod:`.paths`'s.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ....models import Denoiser
from ....samplers import SampleNoise
from .check import Check
from .fit import LEVELS, NARROWEST, SEED, WIDEST, Fit

MOVED = 0.02
"""Standard deviations of the data by which a state may move at sigma_min, in addition to twice
sigma_min, the noise that a map to 0 takes away.
"""
LEAST, MOST = 0.5, 2.0
"""Bounds of the ratio of the outputs' variance to the data's, which a trained map keeps."""


FAR = 4.0
"""Standard deviations of the data above which a level leaves little of a sample in the state."""
TWICE = (1.4, 2.3)
"""Bounds of twice the variance of the data, as what is left and what was learned allow."""


def looks_like_a_map(of: Fit, clean: Tensor) -> bool:
    """Return True if a reading of E[x0 | x] gives samples: from high levels its output is as far from
    the clean sample as two samples are, twice the variance. The mean is never further than once.

    Args:
        of: of the model on ``clean``, at falling levels.
        clean: ``(n, *event)``.
    """
    variance = variance_of(clean)
    share = of.errors.mean(1)[of.levels > FAR * variance**0.5] / variance
    return len(share) > 1 and bool(((share > TWICE[0]) & (share < TWICE[1])).all())


@torch.no_grad()
def check_map(model: Denoiser, clean: Tensor, labels: Tensor | None) -> list[Check]:
    """Check that a model can be a few-step map.

    Args:
        model: of kind ``map``, on the device of ``clean``.
        clean: ``(n, *event)`` clean samples, in the model's dtype.
        labels: their classes ``(n,)``, or None.
    """
    ids = torch.arange(len(clean), device=clean.device)
    z = SampleNoise(SEED, ids, model.event, clean.dtype).initial()
    variance = variance_of(clean)
    std = variance**0.5
    return [
        Check(
            "Pythagoras",
            True,
            "the model is a map: it gives one of the samples that a state can become and not their "
            "mean, so the defect is not judged",
        ),
        _boundary(model, clean + model.sigma_min * z, labels, std),
        _distribution(model, clean, z, labels, variance),
    ]


def _boundary(model: Denoiser, x: Tensor, labels: Tensor | None, std: float) -> Check:
    moved = float((model.denoise(x, model.sigma_min, labels) - x).double().square().mean().sqrt())
    text = (
        f"at sigma_min = {model.sigma_min:g} a state moves by {moved:.2g} (root mean square; the data "
        f"have a standard deviation of {std:.2g})"
    )
    if moved <= 2 * model.sigma_min + MOVED * std:
        return Check("boundary", True, text)
    return Check(
        "boundary",
        False,
        f"{text}, and must stay where it is; the map's prediction, time or sigma_min is wrong",
    )


def _distribution(
    model: Denoiser, clean: Tensor, z: Tensor, labels: Tensor | None, variance: float
) -> Check:
    std = variance**0.5
    high = max(min(model.sigma_max, WIDEST * std), 2 * model.sigma_min)
    levels = np.geomspace(high, max(model.sigma_min, NARROWEST * std), LEVELS).tolist()
    share = [
        variance_of(model.denoise(clean + level * z, level, labels)) / variance for level in levels
    ]
    least, most = int(np.argmin(share)), int(np.argmax(share))
    name = "distribution"
    if share[least] < LEAST:
        return Check(
            name,
            False,
            f"at sigma {levels[least]:.3g} the outputs have {share[least]:.2g} times the variance of "
            "the data, and those of a map have all of it; if the model is a denoiser, leave out "
            "kind=map",
        )
    if not share[most] <= MOST:
        return Check(
            name,
            False,
            f"at sigma {levels[most]:.3g} the outputs have {share[most]:.2g} times the variance of "
            "the data; the map's process, prediction, sign or time is wrong",
        )
    return Check(
        name,
        True,
        f"the outputs have {share[least]:.2g} to {share[most]:.2g} times the variance of the data, "
        f"from sigma {levels[0]:.3g} down to {levels[-1]:.3g}",
    )


def variance_of(x: Tensor) -> float:
    """Return the variance of a number of a sample about its mean, averaged over all numbers."""
    return float((x - x.mean(0)).double().square().mean())
