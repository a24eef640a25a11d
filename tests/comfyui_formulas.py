"""ComfyUI's samplers as formulas, written out from its source, in its own state x and level.

The level is sigma of x0 + sigma z for a table, and t of (1 - t) x0 + t z for a flow. Sources: Comfy-Org/ComfyUI,
comfy/k_diffusion/sampling.py at 02159d8, sa_solver.py at 773ef1b, comfy_extras/nodes_custom_sampler.py at 4be318a.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import comfyui_by_levels
import numpy as np
import torch
from torch import Tensor

from samplerbench.benchmarks.advice.exports.comfyui import Node
from samplerbench.samplers import Grid, Noise
from samplerbench.samplers.peers.base import PeerBatch

APPROXIMATE = ("deis", "uni_pc", "uni_pc_bh2")
"""Samplers whose own sums or levels differ from ours, as a remark of the export says."""


class Run:
    """A batch on a grid: model, noise and levels in ComfyUI's coordinates."""

    def __init__(self, denoise: Any, grid: Grid, noise: Noise, *, flow: bool) -> None:
        self.flow = flow
        self.batch = PeerBatch(denoise, grid, noise, torch.float64)
        self.levels = [s / (1 + s) if flow else s for s in grid.sigma]
        self.x = self.levels[0] * noise.initial()

    def sigma(self, t: float) -> float:
        return t / (1 - t) if self.flow else t

    def alpha(self, t: float) -> float:
        return 1 - t if self.flow else 1.0

    def lam(self, t: float) -> float:
        return -math.log(self.sigma(t))

    def level(self, lam: float) -> float:
        return 1 / (1 + math.exp(lam)) if self.flow else math.exp(-lam)

    def image(self, x: Tensor, t: float) -> Tensor:
        return self.batch.denoised(x / self.alpha(t), self.sigma(t))

    def draw(self, s: float, t: float) -> Tensor:
        return self.batch.draw(self.sigma(s), self.sigma(t))

    def solve(self, step: Callable[..., Tensor]) -> Tensor:
        """The last state, divided by alpha; a step to 0 is x <- d. ``step`` gets levels and images, newest first."""
        x, past = self.x, []
        for s, t in pairwise(self.levels):
            past.insert(0, (s, self.image(x, s)))
            x = past[0][1] if t == 0 else step(x, s, t, past)
        return x / self.alpha(self.levels[-1])

    # the parts of the exponential samplers

    def part(self, x: Tensor, s: float, t: float, eta: float) -> tuple[Tensor, float, float]:
        """The decayed state, alpha_t W with W = 1 - e^{-h_eta}, and alpha_t phi with phi = 1 - W / h_eta."""
        h = self.lam(t) - self.lam(s)
        whole = -math.expm1(-h * (1 + eta))
        phi = 1 - whole / (h * (1 + eta))
        return t / s * math.exp(-h * eta) * x, self.alpha(t) * whole, self.alpha(t) * phi

    def noise(self, s: float, t: float, eta: float) -> Any:
        h = self.lam(t) - self.lam(s)
        return self.draw(s, t) * t * math.sqrt(-math.expm1(-2 * h * eta)) if eta else 0.0


def euler(run: Run) -> Tensor:
    return run.solve(lambda x, s, t, past: x + (t - s) * (x - past[0][1]) / s)


def second_order(run: Run, kind: str) -> Tensor:
    def step(x: Tensor, s: float, t: float, past: list) -> Tensor:
        slope = (x - past[0][1]) / s
        m = t if kind == "heun" else math.sqrt(s * t)
        y = x + (m - s) * slope
        other = (y - run.image(y, m)) / m
        return x + (t - s) * ((slope + other) / 2 if kind == "heun" else other)

    return run.solve(step)


def ancestral(run: Run, kind: str, eta: float = 1.0, s_noise: float = 1.0) -> Tensor:
    def step(x: Tensor, s: float, t: float, past: list) -> Tensor:
        if run.flow:
            down = t * (1 + (t / s - 1) * eta)
            share = (1 - t) / (1 - down)
            up = math.sqrt(t**2 - (down * share) ** 2)
        else:
            (down, up), share = comfyui_by_levels.down_and_up(s, t, eta), 1.0
        by_log_snr = run.level((run.lam(s) + run.lam(down)) / 2)
        d, m = past[0][1], by_log_snr if kind == "dpmpp_2s" else math.sqrt(s * down)
        if kind == "euler":
            y = x + (down - s) * (x - d) / s
        elif kind == "dpm_2":
            y = x + (m - s) * (x - d) / s
            y = x + (down - s) * (y - run.image(y, m)) / m
        else:
            y = m / s * x + (1 - m / s) * d
            y = down / s * x + (1 - down / s) * run.image(y, m)
        return share * y + run.draw(s, t) * s_noise * up

    return run.solve(step)


def ddpm(run: Run) -> Tensor:
    def step(x: Tensor, s: float, t: float, past: list) -> Tensor:
        now, nxt = 1 / (1 + s**2), 1 / (1 + t**2)
        alpha = now / nxt
        eps = (x - past[0][1]) / s
        mean = (x * math.sqrt(now) - (1 - alpha) / math.sqrt(1 - now) * eps) / math.sqrt(alpha)
        spread = math.sqrt((1 - alpha) * (1 - nxt) / (1 - now))
        return (mean + spread * run.draw(s, t)) / math.sqrt(nxt)

    return run.solve(step)


def lms(run: Run, order: int = 4) -> Tensor:
    slopes: list[Tensor] = []

    def step(x: Tensor, s: float, t: float, past: list) -> Tensor:
        slopes.insert(0, (x - past[0][1]) / s)
        nodes = [level - s for level, _ in past[:order]]
        powers = [(t - s) ** (k + 1) / (k + 1) for k in range(len(nodes))]
        weights = np.linalg.solve(np.vander(nodes, increasing=True).T, powers)
        return x + sum(float(w) * slope for w, slope in zip(weights, slopes, strict=False))

    return run.solve(step)


def ipndm(run: Run) -> Tensor:
    table = (
        (1.0,),
        (3 / 2, -1 / 2),
        (23 / 12, -16 / 12, 5 / 12),
        (55 / 24, -59 / 24, 37 / 24, -9 / 24),
    )
    slopes: list[Tensor] = []

    def step(x: Tensor, s: float, t: float, past: list) -> Tensor:
        slopes.insert(0, (x - past[0][1]) / s)
        weights = table[min(len(slopes), 4) - 1]
        return x + (t - s) * sum(w * slope for w, slope in zip(weights, slopes, strict=False))

    return run.solve(step)


def dpmpp_2m(run: Run) -> Tensor:
    def step(x: Tensor, s: float, t: float, past: list) -> Tensor:
        h, d = math.log(s / t), past[0][1]
        if len(past) > 1:
            half = h / (2 * math.log(past[1][0] / s))
            d = (1 + half) * d - half * past[1][1]
        return t / s * x - math.expm1(-h) * d

    return run.solve(step)


def dpmpp_2m_sde(run: Run, solver_type: str = "midpoint", eta: float = 1.0) -> Tensor:
    def step(x: Tensor, s: float, t: float, past: list) -> Tensor:
        y, whole, phi = run.part(x, s, t, eta)
        y = y + whole * past[0][1]
        if len(past) > 1:
            r = (run.lam(s) - run.lam(past[1][0])) / (run.lam(t) - run.lam(s))
            y = y + (phi if solver_type == "heun" else whole / 2) / r * (past[0][1] - past[1][1])
        return y + run.noise(s, t, eta)

    return run.solve(step)


def dpmpp_3m_sde(run: Run, eta: float = 1.0) -> Tensor:
    def step(x: Tensor, s: float, t: float, past: list) -> Tensor:
        h = run.lam(t) - run.lam(s)
        y, whole, phi = run.part(x, s, t, eta)
        y = y + whole * past[0][1]
        lams = [run.lam(level) for level, _ in past]
        r = [(a - b) / h for a, b in pairwise(lams)]
        slopes = [(a[1] - b[1]) / q for (a, b), q in zip(pairwise(past), r, strict=True)]
        if len(past) == 2:
            y = y + phi * slopes[0]
        elif len(past) > 2:
            bend = (slopes[0] - slopes[1]) / (r[0] + r[1])
            phi_3 = phi / (h * (1 + eta)) - run.alpha(t) / 2
            y = y + phi * (slopes[0] + bend * r[0]) - phi_3 * bend
        return y + run.noise(s, t, eta)

    return run.solve(step)


def dpmpp_sde(run: Run, eta: float = 1.0, r: float = 0.5) -> Tensor:
    """Of a table, on which its Brownian path is in sigma, as ours."""

    def to(x: Tensor, d: Tensor, s: float, t: float) -> Tensor:
        up = min(t, eta * math.sqrt(t**2 * (s**2 - t**2) / s**2))
        down = math.sqrt(t**2 - up**2)
        return down / s * x + (1 - down / s) * d + run.draw(s, t) * up

    def step(x: Tensor, s: float, t: float, past: list) -> Tensor:
        m, d = run.level(run.lam(s) + r * (run.lam(t) - run.lam(s))), past[0][1]
        other = run.image(to(x, d, s, m), m)
        return to(x, (1 - 1 / (2 * r)) * d + other / (2 * r), s, t)

    return run.solve(step)


def seeds(
    run: Run, nodes: tuple[float, ...], eta: float = 1.0, solver_type: str = "phi_2"
) -> Tensor:
    """SEEDS-2 with one node, SEEDS-3 with two."""

    def step(x: Tensor, s: float, t: float, past: list) -> Tensor:
        h = run.lam(t) - run.lam(s)
        images, noise, before = [past[0][1]], 0.0, s
        for k, c in enumerate((*nodes, 1.0)):
            last = k == len(nodes)
            level = t if c == 1 else run.level(run.lam(s) + c * h)
            y, whole, phi = run.part(x, s, level, eta)
            share = c / nodes[k - 1] * phi if k else 0.0
            if last and solver_type == "phi_1":
                share = whole / (2 * nodes[0])
            y = y + (whole - share) * images[0] + share * images[-1]
            if eta and level != before:
                decay = math.exp(-eta * (run.lam(level) - run.lam(before)))
                fresh = math.sqrt(1 - decay**2) * run.draw(before, level)
                noise, before = noise * decay + fresh, level
            y = y + noise * level
            if not last:
                images.append(run.image(y, level))
        return y

    return run.solve(step)


SCALERS: dict[str, Callable[[Any, float], Any]] = {
    "ER-SDE": lambda v, eta: v * (np.exp(v**0.3) + 10) ** eta,
    "Reverse-time SDE": lambda v, eta: v ** (1 + eta),
    "ODE": lambda v, eta: v,
}


def er_sde(
    run: Run,
    solver_type: str = "ER-SDE",
    max_stage: int = 3,
    eta: float = 1.0,
    *,
    points: int = 200,
) -> Tensor:
    """With integrals by ``points`` terms, as it has them; 0 for Gauss-Legendre in log(sigma)."""

    def phi(v: Any) -> Any:
        return SCALERS[solver_type](v, eta)

    def integral(low: float, high: float, power: int) -> float:
        if points:
            width = (high - low) / points
            at = low + np.arange(points) * width
            return float(np.sum((at - high) ** power / phi(at)) * width)
        nodes, weights = np.polynomial.legendre.leggauss(80)
        half = math.log(high / low) / 2
        at = low * np.exp(half * (nodes + 1))
        return float(np.sum(weights * half * at * (at - high) ** power / phi(at)))

    def step(x: Tensor, s: float, t: float, past: list) -> Tensor:
        high, low, alpha = run.sigma(s), run.sigma(t), run.alpha(t)
        r = phi(low) / phi(high)
        y = alpha / run.alpha(s) * r * x + alpha * (1 - r) * past[0][1]
        stages = min(max_stage, len(past))
        sigma = [run.sigma(level) for level, _ in past[:3]]
        slopes = [
            (a[1] - b[1]) / (p - q)
            for (a, b), (p, q) in zip(pairwise(past[:3]), pairwise(sigma), strict=True)
        ]
        if stages > 1:
            y = y + alpha * (low - high + phi(low) * integral(low, high, 0)) * slopes[0]
        if stages > 2:
            bend = 2 * (slopes[0] - slopes[1]) / (sigma[0] - sigma[2])
            y = y + alpha * ((low - high) ** 2 / 2 + phi(low) * integral(low, high, 1)) * bend
        if solver_type == "ODE":
            return y
        return y + alpha * run.draw(s, t) * math.sqrt(max(low**2 - high**2 * r**2, 0.0))

    return run.solve(step)


def sa_solver(run: Run, eta: float, predictor_order: int, corrector_order: int) -> Tensor:
    """With noise in all steps."""
    levels, rate = run.levels, 1 + eta**2
    steps, to_zero = len(levels) - 1, levels[-1] == 0
    x = predicted = run.x
    images: list[tuple[float, Tensor]] = []
    noise: Any = 0.0

    def adams(s: float, t: float, nodes: list[tuple[float, Tensor]]) -> Any:
        """alpha_t rate int e^{-rate (h - v)} P(v) dv with the polynomial P through the nodes."""
        h = run.lam(t) - run.lam(s)
        moments = [-math.expm1(-rate * h)]
        for k in range(1, len(nodes)):
            moments.append(h**k - k / rate * moments[-1])
        at = [run.lam(level) - run.lam(s) for level, _ in nodes]
        weights = np.linalg.solve(np.vander(at, increasing=True).T, moments)
        return run.alpha(t) * sum(float(w) * d for w, (_, d) in zip(weights, nodes, strict=True))

    for i, (s, t) in enumerate(pairwise(levels)):
        images.insert(0, (s, run.image(predicted, s)))
        if t == 0:
            return images[0][1]
        corrector = min(corrector_order, len(images)) if i else 0
        predictor = min(predictor_order, len(images))
        if to_zero:
            predictor, corrector = min(predictor, steps - 1 - i), min(corrector, steps - i)
        if corrector:
            y = run.part(x, levels[i - 1], s, eta**2)[0]
            x = y + adams(levels[i - 1], s, images[:corrector]) + noise
        else:
            x = predicted
        noise = run.noise(s, t, eta**2)
        predicted = run.part(x, s, t, eta**2)[0] + adams(s, t, images[:predictor]) + noise
    return predicted / run.alpha(levels[-1])


def on_levels(formula: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A formula of a denoiser, the first state and levels, as one of a run."""

    def of_run(run: Run, **options: Any) -> Tensor:
        return formula(run.image, run.x, run.levels, **options) / run.alpha(run.levels[-1])

    return of_run


def res_multistep(run: Run, eta: float) -> Tensor:
    levels = run.levels
    return on_levels(comfyui_by_levels.res_multistep_ancestral)(
        run, eta=eta, z=lambda i: run.draw(levels[i], levels[i + 1]) if eta else 0.0
    )


BY_NAME: dict[str, tuple[Callable[..., Tensor], dict[str, Any]]] = {
    "euler": (euler, {}),
    "heun": (second_order, {"kind": "heun"}),
    "dpm_2": (second_order, {"kind": "dpm_2"}),
    "euler_ancestral": (ancestral, {"kind": "euler"}),
    "dpm_2_ancestral": (ancestral, {"kind": "dpm_2"}),
    "dpmpp_2s_ancestral": (ancestral, {"kind": "dpmpp_2s"}),
    "ddpm": (ddpm, {}),
    "lms": (lms, {}),
    "ipndm": (ipndm, {}),
    "ipndm_v": (on_levels(comfyui_by_levels.ipndm_v), {}),
    "gradient_estimation": (on_levels(comfyui_by_levels.gradient_estimation), {}),
    "heunpp2": (on_levels(comfyui_by_levels.heunpp2), {}),
    "res_multistep_ancestral": (res_multistep, {"eta": 1.0}),
    "dpmpp_2m": (dpmpp_2m, {}),
    "res_multistep": (res_multistep, {"eta": 0.0}),
    "dpmpp_2m_sde": (dpmpp_2m_sde, {}),
    "dpmpp_2m_sde_heun": (dpmpp_2m_sde, {"solver_type": "heun"}),
    "dpmpp_3m_sde": (dpmpp_3m_sde, {}),
    "dpmpp_sde": (dpmpp_sde, {}),
    "seeds_2": (seeds, {"nodes": (0.5,), "solver_type": "phi_1"}),
    "seeds_3": (seeds, {"nodes": (1 / 3, 2 / 3)}),
    "exp_heun_2_x0": (seeds, {"nodes": (1.0,), "eta": 0.0}),
    "exp_heun_2_x0_sde": (seeds, {"nodes": (1.0,)}),
    "er_sde": (er_sde, {}),
}
OF_NODES = {
    "SamplerEulerAncestral": "euler_ancestral",
    "SamplerDPMPP_2S_Ancestral": "dpmpp_2s_ancestral",
    "SamplerDPMPP_2M_SDE": "dpmpp_2m_sde",
    "SamplerDPMPP_3M_SDE": "dpmpp_3m_sde",
    "SamplerDPMPP_SDE": "dpmpp_sde",
    "SamplerSEEDS2": "seeds_2",
    "SamplerER_SDE": "er_sde",
    "SamplerLMS": "lms",
}


def solve(node: Node, run: Run, **options: Any) -> Tensor:
    """What ComfyUI makes of a node, as a state of x0 + sigma z."""
    if node.name == "KSamplerSelect":
        function, defaults = BY_NAME[node.inputs["sampler_name"]]
        return function(run, **{**defaults, **options})
    whole = ("order", "max_stage", "predictor_order", "corrector_order")
    given = {
        key: value if key == "solver_type" else int(value) if key in whole else float(value)
        for key, value in node.inputs.items()
    }
    if node.name == "SamplerSASolver":
        assert (given.pop("sde_start_percent"), given.pop("sde_end_percent")) == (0, 1)
        return sa_solver(run, **given)
    function, defaults = BY_NAME[OF_NODES[node.name]]
    if function is seeds and "r" in given:
        given["nodes"] = (given.pop("r"),)
    return function(run, **{**defaults, **given, **options})
