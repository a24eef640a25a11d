r"""Divergence of the exact reverse step p(x_nxt | x_cur) from the Gaussians that samplers use.

By Bayes' rule, for any exact model,

    log p(x_nxt | x_cur) = log p_nxt(x_nxt) - log p_cur(x_cur) + log N(x_cur; x_nxt, (cur² - nxt²) I).

With r = (nxt / cur)², v = nxt² (1 - r) and dgamma = 1 / nxt² - 1 / cur², its mean is m = r x_cur +
(1 - r) d and its covariance v (I + dgamma Cov[x0 | x_cur]). Ancestral sampling draws from N(m, v
I). As the divergence from a Gaussian splits at the Gaussian with the same moments,

    KL(p || N(m, v I)) = KL(p || N(m, v (I + dgamma Cov))) + 1/2 [dgamma tr Cov - log det(I + dgamma Cov)]
         total         =             shape                 +                  covariance.

Summed over the steps of a grid, the total is the path divergence of
:mod:`samplerbench_studies.analysis.path_kl`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from samplerbench.models import Estimate, estimate_mean, normal_like
from samplerbench.models.exact import ExactModel

ROWS = 16
"""Number of samples whose covariances are in memory at a time."""


class TransitionKL(NamedTuple):
    """Divergences of a reverse step, in nats, averaged over x_cur.

    Attributes:
        total: divergence from the isotropic Gaussian of ancestral sampling.
        shape: divergence from the Gaussian with the same mean and covariance; 0 for Gaussian data.
        covariance: divergence of the latter Gaussian from the isotropic one.
    """

    total: Estimate
    shape: Estimate
    covariance: Estimate


def transition_kl(
    model: ExactModel, cur: float, nxt: float, samples: int, seed: int = 0
) -> TransitionKL:
    """Return the module's divergences, by exact samples of (x_cur, x_nxt).

    Args:
        model: an exact model with a posterior covariance; ``ROWS`` d² values are held in memory.
        cur: level at the start of the step.
        nxt: level at its end, 0 < nxt < cur.
        samples: >= 2.
        seed: >= 0.

    Raises:
        ValueError: levels that are no step.
    """
    if not 0 < nxt < cur:
        raise ValueError(
            f"a reverse step goes from cur down to nxt > 0, got cur={cur} and nxt={nxt}"
        )
    x0 = model.sample(samples, seed)
    end = x0 + nxt * normal_like(x0, seed)
    start = end + math.sqrt(cur**2 - nxt**2) * normal_like(x0, seed, 1)
    noised = (start - end).flatten(1).square().sum(1) / (cur**2 - nxt**2)
    bayes = model.log_density(end, nxt) - model.log_density(start, cur)
    exact = bayes - 0.5 * (noised + model.dim * math.log(2 * math.pi * (cur**2 - nxt**2)))
    parts = [
        _matched_density_and_covariance(model, x, y, cur, nxt)
        for x, y in zip(start.split(ROWS), end.split(ROWS), strict=True)
    ]
    matched, covariance = (torch.cat(part) for part in zip(*parts, strict=True))
    shape = exact - matched
    return TransitionKL(
        *(estimate_mean(draws.numpy()) for draws in (shape + covariance, shape, covariance))
    )


def _matched_density_and_covariance(
    model: ExactModel, start: Tensor, end: Tensor, cur: float, nxt: float
) -> tuple[Tensor, Tensor]:
    """Return two ``(n,)``: log-density of ``end`` under the Gaussian of true moments, covariance
    term.
    """
    keep = (nxt / cur) ** 2
    v, gain = nxt**2 * (1 - keep), nxt**-2 - cur**-2
    mean, cov = model.posterior(start, cur)
    offset = (end.flatten(1) - keep * start.flatten(1) - (1 - keep) * mean) / math.sqrt(v)
    factor = torch.linalg.cholesky(torch.eye(model.dim, dtype=cov.dtype) + gain * cov)
    log_det = 2 * factor.diagonal(dim1=1, dim2=2).log().sum(1)
    white = torch.linalg.solve_triangular(factor, offset[:, :, None], upper=False)[:, :, 0]
    matched = -0.5 * (white.square().sum(1) + log_det + model.dim * math.log(2 * math.pi * v))
    trace = cov.diagonal(dim1=1, dim2=2).sum(1)
    return matched, 0.5 * (gain * trace - log_det)
