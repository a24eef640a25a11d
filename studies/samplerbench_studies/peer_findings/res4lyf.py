"""Replay of RES4LYF's step without noise (eta = 0) on exact problems, with its own tableaux.

Its sampler needs ComfyUI. Here its file of tableaux is loaded from a clone, and its loop is replayed:
the anchor of every evaluation at the state before the step (``noise_anchor`` = 1, its default), the
evaluations that multistep methods read from earlier steps, and their first steps of several
evaluations. Without noise, "bongmath" leaves these states unchanged.
"""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from samplerbench.benchmarks.conformance import INTERIOR, ThreeModes, rms, slope
from samplerbench.samplers import uniform_lambda
from samplerbench.samplers.peers import find_clone

PROBLEM = ThreeModes()
STEPS = (16, 32, 64)
MEMORY = 4
"""Number of earlier evaluations that it keeps."""
NAMES = (
    *("res_2m", "res_3m", "abnorsett_4m", "deis_3m", "res_3s_strehmel_weiner", "res_3s_sunstar"),
    *("res_4s_krogstad", "res_4s_krogstad_alt", "res_4s_friedli", "res_4s_minchev", "etdrk4_4s"),
    *("etdrk4_4s_alt", "res_5s", "res_5s_hochbruck-ostermann", "res_8s", "res_16s"),
    *("pec423_2h2s", "lawson43-gen-mod_2h4s", "rk4_4s", "rk5_7s"),
)


class Phi:
    """phi_j(-c_i h) by its call (j, i); the end of the step without i, and 0 at c_i = 0."""

    def __init__(self, h: Any, c: Any, *_: object, **__: object) -> None:
        self.h, self.c = float(h), [float(value) for value in c]

    def __call__(self, j: int, i: int = 0) -> float:
        """Return phi_j(-c_i h)."""
        c = self.c[i - 1] if i else 1.0
        if not c:
            return 0.0
        return math.fsum((-self.h * c) ** k / math.factorial(j + k) for k in range(60))


@cache
def _tableaux() -> ModuleType:
    """Return RES4LYF's module of tableaux, with stand-ins for what it imports from ComfyUI."""
    clone = find_clone("RES4LYF")
    if clone is None:
        raise ValueError(
            "RES4LYF runs from a clone: git clone https://github.com/ClownsharkBatwing/RES4LYF "
            "into the folder of --peers-path"
        )
    stand_ins: dict[str, dict[str, Any]] = {
        "helper": {
            "ExtraOptions": lambda _: lambda _, default=False, **__: default,
            "get_extra_options_kv": lambda _, default, *__: default,
            "extra_options_flag": lambda *_: False,
        },
        "res4lyf": {"get_display_sampler_category": lambda: False, "RESplain": lambda *_, **__: 0},
    }
    package = ModuleType("res4lyf_clone")
    package.__path__ = [str(clone)]
    beta = ModuleType("res4lyf_clone.beta")
    beta.__path__ = [str(clone / "beta")]
    sys.modules |= {package.__name__: package, beta.__name__: beta}
    for name, values in stand_ins.items():
        module = ModuleType(f"res4lyf_clone.{name}")
        vars(module).update(values)
        sys.modules[module.__name__] = module
    module = importlib.import_module("res4lyf_clone.beta.rk_coefficients_beta")
    module.__dict__["Phi"] = Phi  # its own has 80 digits, and takes seconds a step
    return module


def integrate(
    name: str,
    denoise: Callable[[Tensor, float], Tensor],
    x: Tensor,
    levels: tuple[float, ...],
    anchor: float = 1.0,
) -> tuple[Tensor, int]:
    """Return the states at the last of ``levels`` > 0, and the number of evaluations.

    ``anchor`` = 0 is the slope at the state of each evaluation, as in the literature.
    """
    sigmas, count = torch.tensor(levels, dtype=torch.float64), 0
    past = torch.zeros(MEMORY, *x.shape, dtype=x.dtype)
    exponential, first = _tableaux().is_exponential(name), x
    for step, (cur, nxt) in enumerate(pairwise(sigmas)):
        h = -torch.log(nxt / cur) if exponential else nxt - cur
        parts = _tableaux().get_rk_methods_beta(
            name, h, 0.0, 0.5, 1.0, None, step, sigmas, cur, nxt, nxt, ""
        )
        a, b, u, v = (None if m is None else _matrix(m) for m in parts[:4])
        assert a is not None
        assert b is not None
        c, multistep, hybrid = _matrix([parts[4]])[0], parts[5], parts[6]
        places = cur * torch.exp(-h * c) if exponential else cur + h * c
        states = torch.zeros(len(a) + MEMORY + 2, *x.shape, dtype=x.dtype)
        slopes, states[0], start = torch.zeros_like(states), x, x.clone()
        scale = -cur if exponential else 1.0
        if multistep or hybrid:
            slopes[:MEMORY] = scale * (start - past) / cur
        old = slopes.clone()
        for row in range(len(a) - multistep):
            d = denoise(states[row], float(places[row]))
            count += 1
            own, anchored = (states[row] - d) / places[row], (start - d) / cur
            slopes[row] = scale * (own + anchor * (anchored - own))
            first = d if row == 0 else first
            last = row + 1 + multistep == len(a)
            weights, earlier = (b[0], v) if last else (a[row + 1], u)
            moved = torch.einsum("j,j...->...", weights, slopes[: len(weights)])
            if earlier is not None:
                extra = earlier[0] if last else earlier[row + 1]
                moved = moved + torch.einsum("j,j...->...", extra, old[: len(extra)])
            states[row + 1] = start + h * moved
        x = states[len(a) - multistep]
        # its own order: the newest evaluation stands twice, so that hybrids read it for the one before
        past = torch.stack([first, first, *past[1 : MEMORY - 1]])
    return x, count


def _matrix(rows: Any) -> Tensor:
    return torch.tensor([[float(value) for value in row] for row in rows], dtype=torch.float64)


def orders() -> Iterator[str]:
    """11. RES4LYF: half of its explicit methods have a lower order than the method of their name."""
    for name in NAMES:
        linear = not _tableaux().is_exponential(name)
        for anchor in (1.0, 0.0) if linear else (1.0,):
            errors, count = [], 0
            for n in STEPS:
                grid = uniform_lambda(n, *INTERIOR, to_zero=False)
                end, count = integrate(name, PROBLEM, PROBLEM.start.clone(), grid.sigma, anchor)
                errors.append(rms(end, PROBLEM.truth(grid.sigma[-1])))
            order = slope(STEPS, errors) if math.isfinite(errors[-1]) else math.nan
            detail = f"noise_anchor {anchor:g}, " if linear else ""
            yield f"{name}: {detail}order {order:.2f}, {count / STEPS[-1]:.1f} evaluations a step"
