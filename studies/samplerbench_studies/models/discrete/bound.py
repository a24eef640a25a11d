r"""Bound on the negative log-likelihood of binomial diffusion.

With signals 1 = a_0 > a_1 > … > a_T = 0, the bound of arXiv:1503.03585, section 2.4, is

    -log p(x_0) <= sum_t E KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)).

The term of t = 1, where q is certain, is -log p(x_0 | x_1). The term of the prior is 0, since x_T
are fair coins under both.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .binomial import bernoulli_kl, diffuse, reverse_flip
from .network import Predictor


@torch.no_grad()
def bound(
    predict: Predictor,
    x0: Tensor,
    signals: Sequence[float],
    *,
    draws: int = 32,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Return an unbiased estimate of each state's bound, ``(n,)`` in nats.

    Args:
        predict: the reverse model.
        x0: ``(n, *event)`` of 0 and 1, float32.
        signals: signals from 1 to 0, such as :func:`.binomial.signals`.
        draws: number of steps to evaluate for each state, one drawn from each of as many equal
            parts of the chain; all steps if there are fewer.
        seed: seed of the steps and the noise, which are independent between states.
    """
    steps, n = len(signals) - 1, len(x0)
    rng = np.random.default_rng((seed, 0))
    visits = min(steps, draws)
    tail = (1,) * (x0.ndim - 1)
    at = np.asarray(signals)
    total = np.zeros(n)
    for visit in range(visits):
        place = rng.random(n) if steps > draws else np.zeros(n)
        later = np.minimum(((visit + place) * steps / visits).astype(np.int64), steps - 1) + 1
        a, b = (torch.from_numpy(at[rows]) for rows in (later - 1, later))
        uniform = torch.from_numpy(rng.random(tuple(x0.shape)))
        x = diffuse(x0, b.reshape(-1, *tail), uniform)
        ends = (a.reshape(-1, *tail), b.reshape(-1, *tail))
        kl = bernoulli_kl(
            reverse_flip((x != x0).double(), *ends), reverse_flip(predict(x, b), *ends)
        )
        total += kl.flatten(1).sum(1).numpy() * (steps / visits)
    return total
