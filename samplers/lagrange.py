"""Polynomial interpolation of a method's history, the part that all multistep methods share."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def monomial_weights(nodes: Sequence[float], moments: Sequence[float]) -> list[float]:
    """Weights w_j with sum_j w_j f(t_j) = L[p], where p interpolates f at the nodes and L[t^k / k!] = moments[k].

    Args:
        nodes: distinct t_j.
        moments: what the linear functional L (an integral over the step) gives for t^k / k!, k = 0 … len(nodes) - 1.

    Returns:
        One weight per node; exact for polynomials of degree < len(nodes).
    """
    powers = np.array([[t**k / math.factorial(k) for t in nodes] for k in range(len(nodes))])
    return [float(w) for w in np.linalg.solve(powers, np.array(moments[: len(nodes)]))]
