"""Numerical functions that several methods share: on floats for plans, on tensors for steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor

_NODES, _WEIGHTS = (values.tolist() for values in np.polynomial.legendre.leggauss(12))
PANEL = 1.0
"""Longest panel of 12 nodes: exact to rounding for f analytic within a distance 1.5 of it."""
_SUM_TOLERANCE = 1e-13
_SMALLEST_PARTIAL_SUM = 0.25


def phi(k: int, h: float) -> float:
    """Return phi_k(h) = int_0^1 e^{(1-s) h} s^{k-1} / (k-1)! ds for k > 0, and phi_0(h) = e^h.

    See Hochbruck & Ostermann 2010. The recurrence phi_{k+1} = (phi_k - 1/k!) / h loses all digits
    as h -> 0. The Taylor series sum_j h^j / (j+k)! replaces it for |h| < 1.
    """
    if k == 0:
        return math.exp(h)
    if abs(h) < 1:
        return math.fsum([h**j / math.factorial(j + k) for j in range(20)])
    value = math.expm1(h) / h
    for j in range(1, k):
        value = (value - 1 / math.factorial(j)) / h
    return value


def monomial_weights(nodes: Sequence[float], moments: Sequence[float]) -> list[float]:
    """Return weights w_j with sum_j w_j f(t_j) = L[f] for polynomials f of degree < len(nodes).

    Args:
        nodes: distinct t_j.
        moments: values L[t^k / k!] of a linear functional L, such as an integral over the step, for
            k = 0 … len(nodes) - 1.

    Returns:
        One weight per node.
    """
    powers = np.array([[t**k / math.factorial(k) for t in nodes] for k in range(len(nodes))])
    return np.linalg.solve(powers, np.array(moments[: len(nodes)])).tolist()


def integrate_panels(f: Callable[[float], float], lo: float, hi: float) -> float:
    """Return the integral of ``f`` from ``lo`` to ``hi``, by 12 Gauss nodes per :data:`PANEL`."""
    panels = max(1, math.ceil(abs(hi - lo) / PANEL))
    half = (hi - lo) / panels / 2
    middles = (lo + half * (2 * k + 1) for k in range(panels))
    return half * math.fsum(
        w * f(middle + half * t)
        for middle in middles
        for t, w in zip(_NODES, _WEIGHTS, strict=True)
    )


def blend(
    x: Tensor, a: float, b: Sequence[float], terms: Sequence[Tensor], out: Tensor | None
) -> Tensor:
    """Return a x + sum_j b_j terms_j, a new tensor if ``out`` is None, else in ``out``.

    ``b`` is not empty; terms beyond its length are not read. With a = 0, x is not read.
    """
    if a == 0:
        y, done = torch.mul(terms[0], b[0], out=out), 1
    elif sums := _partial_sums(a, b):
        y, done = x, len(b)
        for before, after, term in zip(sums, sums[1:], terms, strict=False):
            y = out = torch.lerp(term, y, before / after, out=out)
    else:
        scaled = x if a == 1 else torch.mul(x, a, out=out)
        y, done = torch.add(scaled, terms[0], alpha=b[0], out=out), 1
    for weight, term in zip(b[done:], terms[done:], strict=False):
        y = y.add_(term, alpha=weight)
    return y


def _partial_sums(a: float, b: Sequence[float]) -> tuple[float, ...]:
    """Return partial sums S_j = a + b_0 + … + b_{j-1}, if :func:`blend` may interpolate, else ().

    With y_{-1} = x, the chain y_j = terms_j + (S_j / S_{j+1}) (y_{j-1} - terms_j) has S_{j+1} y_j =
    a x + b_0 terms_0 + … + b_j terms_j. The last y_j is the weighted sum if all weights sum to 1.
    With a partial sum near 0 or below, digits would cancel: the result is ().
    """
    sums = tuple(accumulate(b, initial=a))
    return (
        sums if abs(sums[-1] - 1) < _SUM_TOLERANCE and min(sums[1:]) > _SMALLEST_PARTIAL_SUM else ()
    )


def weighted_sum(weights: Sequence[float], terms: Sequence[Any]) -> Any:
    """Return the weighted sum of terms; those with weight 0 are left out, and one must remain.

    Fused operations are avoided, since their rounding may depend on the position in the tensor.
    """
    first, *others = (k * w for w, k in zip(weights, terms, strict=True) if w)
    return sum(others, first)


def level_tensor(levels: list[float], x: Tensor) -> Tensor:
    """Return ``levels`` as a tensor ``(rows,)`` on the device of ``x``: float64, on mps float32."""
    dtype = torch.float32 if x.device.type == "mps" else torch.float64
    return torch.tensor(levels, dtype=dtype, device=x.device)


def as_column(values: list[float] | Tensor, x: Tensor) -> Tensor:
    """Return ``values``, one per row, as ``(rows, 1, …)`` with the dtype and device of ``x``."""
    return torch.as_tensor(values, dtype=x.dtype, device=x.device).reshape(-1, *[1] * (x.ndim - 1))


def row_rms(v: Tensor) -> list[float]:
    """Return the root mean square of each row of ``v`` ``(rows, *event)``, as floats."""
    n, totals = v.shape[1:].numel(), row_sums_of_squares(v).tolist()
    return [math.sqrt(total / n) for total in totals]


def row_sums_of_squares(v: Tensor) -> Tensor:
    """Return the sum of squares of each row of ``v`` ``(rows, *event)``: ``(rows,)`` float64.

    The row is folded in halves, elementwise. A library's reduction may add in an order that depends
    on the number of rows. The last bit of a sample's error would then depend on its batch.
    """
    squares = v.flatten(1).double().square()
    while (width := squares.shape[1]) > 1:
        half = width // 2
        folded = squares[:, :half] + squares[:, half : 2 * half]
        squares = torch.cat([folded, squares[:, 2 * half :]], 1) if width % 2 else folded
    return squares.squeeze(1)
