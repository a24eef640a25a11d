r"""Binomial diffusion of pixels 0 and 1 (Sohl-Dickstein et al. 2015, arXiv:1503.03585, table
App.1).

A step of the forward process replaces each pixel by a fair coin with probability beta_t,

    q(x_t = 1 | x_{t-1}) = x_{t-1} (1 - beta_t) + beta_t / 2.

The signal is the remaining part of the first state, alpha_t = prod_{s <= t} (1 - beta_s): E[x_t |
x_0] - 1/2 = alpha_t (x_0 - 1/2), so

    q(x_t = x_0 | x_0) = (1 + alpha_t) / 2.

The schedule of that paper (section 2.4.1), beta_t = 1 / (T - t + 1), gives alpha_t = (T - t) / T:
every step erases 1/T of the first signal, and nothing is left after the last one.

Steps may be taken between any two times, of signals a (earlier, cleaner) and b < a: the coin is
then thrown with probability 1 - b / a. Bayes' rule, pixel by pixel, gives the probability that the
earlier pixel differs from the later one, x:

    flip(same)  = (1 - a) (1 - b/a) / (2 (1 + b))     if x_0 = x
    flip(other) = (1 + a) (1 - b/a) / (2 (1 - b))     if x_0 != x

where b < 1. They are small for short steps. The code uses them in place of probabilities of 1,
whose differences would lose digits.
"""

from __future__ import annotations

import torch
from torch import Tensor


def constant_fraction(steps: int) -> list[float]:
    """Return the rates beta_t = 1 / (T - t + 1), t = 1 … T, of which the last is 1.

    Args:
        steps: T >= 1.
    """
    return [1 / (steps - t + 1) for t in range(1, steps + 1)]


def signals(steps: int) -> list[float]:
    """Return the signals alpha_t = (T - t) / T, t = 0 … T, of :func:`constant_fraction`.

    Args:
        steps: T >= 1. For a divisor N of T, ``signals(N)`` are a subset of these signals.
    """
    return [(steps - t) / steps for t in range(steps + 1)]


def diffuse(x: Tensor, keep: Tensor | float, uniform: Tensor) -> Tensor:
    """Draw later states from q(later | earlier = x).

    Args:
        x: states of 0 and 1, any shape and dtype.
        keep: ratio of the later to the earlier signal, in [0, 1], broadcast against ``x``. From the
            first state, it is alpha_t.
        uniform: uniform numbers in [0, 1), the shape of ``x``.

    Returns:
        States of ``x``'s shape and dtype.
    """
    keep = torch.as_tensor(keep)
    return torch.where(uniform < (1 - keep) / 2, 1 - x, x)


def flips(earlier: Tensor | float, later: Tensor | float) -> tuple[Tensor, Tensor]:
    """Return the module's probabilities flip(same) and flip(other), float64.

    Args:
        earlier: signal a in (0, 1].
        later: signal b in [0, a).
    """
    a = torch.as_tensor(earlier, dtype=torch.float64)
    b = torch.as_tensor(later, dtype=torch.float64)
    thrown = (a - b) / a
    return (1 - a) * thrown / (2 * (1 + b)), (1 + a) * thrown / (2 * (1 - b))


def reverse_flip(other: Tensor, earlier: Tensor | float, later: Tensor | float) -> Tensor:
    """Return the probability that each pixel of the earlier state differs from the later one,
    float64.

    Given the later state, an earlier pixel depends on the first state through the same pixel only.
    The result is therefore exact if ``other`` is the exact posterior.

    Args:
        other: probability, given the later state, that the first pixel differs from the later one;
            0 or 1 if the first state is known.
        earlier: signal a, broadcast against ``other``.
        later: signal b < a, broadcast against ``other``.
    """
    if_same, if_other = flips(earlier, later)
    return if_same + other.double() * (if_other - if_same)


def bernoulli_kl(p: Tensor, q: Tensor) -> Tensor:
    """Return the elementwise KL divergence in nats of Bernoulli(p) from Bernoulli(q), float64.

    It is infinite where ``q`` excludes a value that ``p`` does not.
    """
    p, q = p.double(), q.double()
    return (
        torch.xlogy(p, p)
        - torch.xlogy(p, q)
        + torch.xlogy(1 - p, 1 - p)
        - torch.xlogy(1 - p, 1 - q)
    )
