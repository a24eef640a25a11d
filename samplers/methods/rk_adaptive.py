"""Embedded Runge-Kutta pairs on dx/dlam = d - x, with steps chosen for each sample."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from ..families.adaptive import AdaptiveSampler, Attempt
from ..numerics import as_column, level_tensor, weighted_sum
from ..registry import register
from ..types import Denoise, Source


class EmbeddedPair(NamedTuple):
    """Tableau of an embedded Runge-Kutta pair whose last stage begins the next step (FSAL).

    Attributes:
        c, a: the tableau from the second stage on; the last row of ``a`` gives the result.
        e: the weights of the result minus the embedded method's.
    """

    c: tuple[float, ...]
    a: tuple[tuple[float, ...], ...]
    e: tuple[float, ...]


def attempt_by_pair(
    self: Any, x: Tensor, d: Tensor, cur: list[float], nxt: list[float], denoise: Denoise
) -> Attempt:
    """Return one step on dx/dlam = d - x, by the :class:`EmbeddedPair` of the sampler ``self``.

    Stage k_j is d - x at x + h sum_i a_ji k_i, with h the step in lam; the last stage is at the
    result. The error is h sum_j e_j k_j. An element's tolerance is atol + rtol max(|x|, |x_new|).
    """
    steps = [math.log(a / b) for a, b in zip(cur, nxt, strict=True)]
    h, slopes, y = as_column(steps, x), [d - x], x
    for c, weights in zip(self.pair.c, self.pair.a, strict=True):
        at = nxt if c == 1 else [a * math.exp(-c * k) for a, k in zip(cur, steps, strict=True)]
        y = x + h * weighted_sum(weights, slopes)
        d = denoise(y, level_tensor(at, x))
        slopes.append(d - y)
    scale = torch.maximum(x.abs(), y.abs()) * self.rtol + self.atol
    return Attempt(y, h * weighted_sum(self.pair.e, slopes) / scale, d)


@register
@dataclass(frozen=True, kw_only=True)
class RK23(AdaptiveSampler):
    """Bogacki and Shampine's pair of orders 3 and 2: three new evaluations a step."""

    name = "rk23"
    error_order = 3
    source = Source(
        "bogacki1989pair", "the pair (3, 2)", "https://doi.org/10.1016/0893-9659(89)90079-7"
    )
    beta = 0.4
    attempt = attempt_by_pair
    pair: ClassVar[EmbeddedPair] = EmbeddedPair(
        c=(1 / 2, 3 / 4, 1.0),
        a=((1 / 2,), (0.0, 3 / 4), (2 / 9, 1 / 3, 4 / 9)),
        e=(2 / 9 - 7 / 24, 1 / 3 - 1 / 4, 4 / 9 - 1 / 3, -1 / 8),
    )


@register
@dataclass(frozen=True, kw_only=True)
class RK45(AdaptiveSampler):
    """Dormand and Prince's pair of orders 5 and 4: six new evaluations a step."""

    name = "rk45"
    error_order = 5
    source = Source(
        "dormand1980family", "RK5(4)7M, Table 2", "https://doi.org/10.1016/0771-050X(80)90013-3"
    )
    beta = 0.4
    attempt = attempt_by_pair
    pair: ClassVar[EmbeddedPair] = EmbeddedPair(
        c=(1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0),
        a=(
            (1 / 5,),
            (3 / 40, 9 / 40),
            (44 / 45, -56 / 15, 32 / 9),
            (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
            (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
            (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
        ),
        e=(
            35 / 384 - 5179 / 57600, 0.0, 500 / 1113 - 7571 / 16695, 125 / 192 - 393 / 640,
            -2187 / 6784 + 92097 / 339200, 11 / 84 - 187 / 2100, -1 / 40,
        ),
    )  # fmt: skip
