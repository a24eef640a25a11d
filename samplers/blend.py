"""Weighted sums of tensors in as few passes over them as the weights allow."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

SUM_TO_ONE = 1e-13
CANCELS = 0.25


def blend(x: Tensor, a: float, b: Sequence[float], terms: Sequence[Tensor], out: Tensor | None) -> Tensor:
    """The sum a x + sum_j b_j terms_j, with at least one term, into ``out`` (``x`` or another tensor) or, if None, into a new tensor.

    With a = 0, x is not read, so that a non-finite x does not spread.
    """
    if a == 0:
        y, done = torch.mul(terms[0], b[0], out=out), 1
    elif sums := _partial_sums(a, b):
        y, done = x, len(b)
        for before, after, term in zip(sums, sums[1:], terms, strict=False):
            y = out = torch.lerp(term, y, before / after, out=out)
    else:
        y, done = torch.add(x if a == 1 else torch.mul(x, a, out=out), terms[0], alpha=b[0], out=out), 1
    for weight, term in zip(b[done:], terms[done:], strict=False):
        y = y.add_(term, alpha=weight)
    return y


def _partial_sums(a: float, b: Sequence[float]) -> tuple[float, ...]:
    """S_j = a + b_0 + … + b_{j-1}, if a chain of interpolations gives the sum, each a single pass; () if not.

    y_j = terms_j + (S_j / S_{j+1}) (y_{j-1} - terms_j) with y_{-1} = x carries S_{j+1} y_j = a x + b_0 terms_0 + … + b_j terms_j along, and
    ends at the sum if all weights sum to 1. Where a partial sum comes near 0 that would cancel.
    """
    sums = tuple(accumulate(b, initial=a))
    return sums if abs(sums[-1] - 1) < SUM_TO_ONE and min(sums[1:]) > CANCELS else ()
