"""The phi functions of exponential integrators, accurate for small steps."""

from __future__ import annotations

import math


def phi(k: int, h: float) -> float:
    """phi_k(h) = int_0^1 e^{(1-s) h} s^{k-1} / (k-1)! ds, with phi_0 = e^h: Hochbruck & Ostermann 2010.

    The recurrence phi_{k+1} = (phi_k - 1/k!) / h loses all digits as h -> 0; below |h| = 1 the Taylor series sum_j h^j / (j+k)! is
    used, which is accurate to rounding there.
    """
    if k == 0:
        return math.exp(h)
    if abs(h) < 1:
        return math.fsum(h**j / math.factorial(j + k) for j in range(20))
    value = math.expm1(h) / h
    for j in range(1, k):
        value = (value - 1 / math.factorial(j)) / h
    return value
