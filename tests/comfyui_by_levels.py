"""ComfyUI's samplers as formulas of a denoiser, the first state and falling levels."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from torch import Tensor


def velocity(x: Tensor, denoise: Any, sigma: float) -> Tensor:
    return (x - denoise(x, sigma)) / sigma


def gradient_estimation(denoise: Any, x: Tensor, levels: Any, gamma: float = 2.0) -> Tensor:
    before = None
    for cur, nxt in pairwise(levels):
        v = velocity(x, denoise, cur)
        change = v if before is None or nxt == 0 else v + (gamma - 1) * (v - before)
        x, before = x + (nxt - cur) * change, v
    return x


def heunpp2(denoise: Any, x: Tensor, levels: Any) -> Tensor:
    n = len(levels) - 1
    for i in range(n):
        s1, s2 = levels[i : i + 2]
        v1 = velocity(x, denoise, s1)
        mean = v1
        if i < n - 1:
            x2 = x + (s2 - s1) * v1
            v2 = velocity(x2, denoise, s2)
            w2 = s2 / (2 * levels[0])
            mean = (1 - w2) * v1 + w2 * v2
        if i < n - 2:
            s3 = levels[i + 2]
            v3 = velocity(x2 + (s3 - s2) * v2, denoise, s3)
            w2, w3 = s2 / (3 * levels[0]), s3 / (3 * levels[0])
            mean = (1 - w2 - w3) * v1 + w2 * v2 + w3 * v3
        x = x + (s2 - s1) * mean
    return x


def ipndm_v(denoise: Any, x: Tensor, levels: Any) -> Tensor:
    past = []
    for i, (cur, nxt) in enumerate(pairwise(levels)):
        past.insert(0, velocity(x, denoise, cur))
        h = [nxt - cur, *(levels[i - j] - levels[i - j - 1] for j in range(min(i, 3)))]
        sums = np.cumsum(h)
        w = [1.0]
        if i >= 1 and nxt:
            r = h[0] / h[1]
            w = [1 + r / 2, -r / 2]
        if i >= 2 and nxt:
            r1 = h[1] / h[2]
            t1 = 0.5 - h[0] ** 2 / (6 * h[1] * (h[1] + h[2]))
            w = [w[0] + t1, w[1] - (1 + r1) * t1, r1 * t1]
        if i >= 3 and nxt:
            c = math.prod(sums[:3]) / math.prod(np.cumsum(h[1:]))
            t2 = 0.5 - h[0] / (6 * sums[1]) + (1 - h[0] / (2 * sums[1])) * h[0] / (6 * sums[2])
            t2, q = t2 * c, h[1] * (h[1] + h[2]) / (h[2] * (h[2] + h[3]))
            inner = r1 + q * (1 + h[2] / h[3])
            w = [w[0] + t2, w[1] - (1 + r1 + q) * t2, w[2] + inner * t2, -t2 * q * r1]
        x = x + h[0] * sum(a * v for a, v in zip(w, past, strict=False))
    return x


def down_and_up(cur: float, nxt: float, eta: float) -> tuple[float, float]:
    up = min(nxt, eta * math.sqrt(nxt**2 * (cur**2 - nxt**2)) / cur)
    return math.sqrt(nxt**2 - up**2), up


def res_multistep_ancestral(denoise: Any, x: Tensor, levels: Any, eta: float, z: Any) -> Tensor:
    old = old_down = None
    for i, (cur, nxt) in enumerate(pairwise(levels)):
        d = denoise(x, cur)
        down, up = down_and_up(cur, nxt, eta)
        if down == 0 or old is None:
            x = x + (down - cur) * (x - d) / cur
        else:
            h = math.log(cur / down)
            c2 = math.log(old_down / levels[i - 1]) / h
            phi1 = -math.expm1(-h) / h
            phi2 = (1 - phi1) / h
            x = down / cur * x + h * ((phi1 - phi2 / c2) * d + phi2 / c2 * old)
        x = x + up * z(i) if nxt else x
        old, old_down = d, down
    return x
