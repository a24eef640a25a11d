"""Nodes for ComfyUI: a sampler with its options, and the noise levels.

Facts from the source (Comfy-Org/ComfyUI: ``comfy/k_diffusion/sampling.py`` at 02159d8, ``comfy/k_diffusion/sa_solver.py``
at 773ef1b, ``comfy_extras/nodes_custom_sampler.py`` at 4be318a, ``comfy/samplers.py`` at 311c014,
``comfy/model_sampling.py`` at 2fd2083, ``comfy/extra_samplers/uni_pc.py`` at 0748e38):

* ``KSamplerSelect`` takes a name and no options. Some samplers have a node of their own with options.
* ``ManualSigmas`` takes every number that it finds in a text, but does not know exponents. It reads 1e-05 as the
  two numbers 1 and -05, so numbers are written without exponents.
* Levels fall and end at 0. For models that predict noise or v they are sigma of x0 + sigma z, as in k-diffusion.
  For flows they are t of (1 - t) x0 + t z, in [0, 1] (``CONST``).
* For models of noise or v, the first state is sqrt(1 + sigma²) z at the model's highest level (``max_denoise``).
  At a lower first level, it is sigma z.
* On a flow some samplers step in log((1 - t) / t), which is our lam. The other samplers put the model's own x and t
  into the formulas for sigma. Of their formulas, Euler's equals ours, and ``lms`` is Adams-Bashforth in t.
* Samplers that step in log-SNR replace a first level t = 1, whose log-SNR is infinite.
* ``lms`` and ``ipndm`` return the clean image in the step to 0. In early 2025 they took this step like any other.
* ``uni_pc`` steps to 0.001 in place of 0, and fails with one step.
* ``sa_solver`` lowers the orders of its last steps if the levels end at 0. It lowers the corrector's order by one
  more than the authors do.
* ``dpmpp_sde`` draws a Brownian path in the model's own level, which is t on a flow.
"""

from __future__ import annotations

import math
import re
import textwrap
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ....models.denoiser import Denoiser, innermost_model
from ....models.process import RectifiedFlow
from ....samplers.base import Sampler, non_default
from ....samplers.grid import Grid
from ....samplers.registry import make
from ....samplers.spec import label_of
from .code_text import OWN_DRAWS, WIDTH
from .equivalents import name_and_options

TITLE, SOLVERS = "ComfyUI", ("euler", "dpmpp_2m")


class Node(NamedTuple):
    """Node of ComfyUI that stands for a sampler: its name, and texts of the inputs to set."""

    name: str
    inputs: dict[str, str]


_ER_SDE = {
    "sde_5": "ER-SDE, eta = 1.0",
    "sde_2": "Reverse-time SDE, eta = 0.5",
    "sde": "Reverse-time SDE, eta = 1.0",
    "sde_3": "Reverse-time SDE, eta = 1.5",
    "ode": "ODE",
}
_WIDEST = 1e9
"""Value of ``tau_start`` in the tables where ``tau`` holds at every level."""
_LAST = {1: (), 2: (1, 1), 3: (2, 1, 1), 4: (3, 2, 1, 1)}
"""Orders of the last steps of ``sa_solver`` to 0, by the order of its predictor."""
_SDE_2M, _SEEDS_2 = "SamplerDPMPP_2M_SDE: solver_type =", "SamplerSEEDS2: solver_type ="
_ER = "SamplerER_SDE: solver_type ="
_SA = "SamplerSASolver: eta = {tau}, sde_start_percent = 0.0, sde_end_percent = 1.0"

ANYWHERE: tuple[tuple[str, str], ...] = (
    ("euler", "euler"),
    ("dpmpp_2m_sde", "dpmpp_2m_sde"),
    ("dpmpp_2m_sde(solver_type='heun')", "dpmpp_2m_sde_heun"),
    ("dpmpp_2m_sde", f"{_SDE_2M} {{solver_type}}, eta = {{eta}}"),
    ("dpmpp_3m_sde_published", "dpmpp_3m_sde"),
    ("dpmpp_3m_sde_published", "SamplerDPMPP_3M_SDE: eta = {eta}"),
    ("dpmpp_2s", f"{_SEEDS_2} phi_1, eta = 0.0, r = {{r1}}"),
    ("dpmpp_sde(eta=0.0)", f"{_SEEDS_2} phi_1, eta = 0.0, r = {{r}}"),
    ("res_2s(c2=1.0)", "exp_heun_2_x0"),
    ("seeds_2(c2=1.0, weighting='phi_2')", "exp_heun_2_x0_sde"),
    ("res_2s", f"{_SEEDS_2} phi_2, eta = 0.0, r = {{c2}}"),
    ("seeds_1", f"{_ER} Reverse-time SDE, eta = {{eta}}, max_stage = 1"),
    ("seeds_2", "seeds_2"),
    ("seeds_2", f"{_SEEDS_2} {{weighting}}, eta = {{eta}}, r = {{c2}}"),
    ("seeds_3", "seeds_3"),
    ("er_sde_3_published", "er_sde"),
    *(
        (f"{name}(scale={scale!r})", f"{_ER} {kind}, max_stage = {stages}")
        for stages, name in enumerate(("er_sde_1", "er_sde_2", "er_sde_3_published"), 1)
        for scale, kind in _ER_SDE.items()
    ),
    *(
        (
            f"sa_solver(predictor={k}, corrector={points}, last={last}, tau_start={_WIDEST}, tau_end=0.0)",
            f"{_SA}, predictor_order = {k}, corrector_order = {points}",
        )
        for k, last in _LAST.items()
        for points in (0, 1, 2)
    ),
)
"""Pairs of our spec and ComfyUI's sampler that are equal for every model.

The second is a name of ``KSamplerSelect``, or a node with inputs, in which {option} is a value of ours.
"""
_SAME_NAMES = (
    *("ddpm", "euler_ancestral", "heun", "dpm_2", "dpm_2_ancestral", "dpmpp_2s_ancestral"),
    *("dpmpp_sde", "dpmpp_2m", "ipndm", "gradient_estimation", "heunpp2"),
)
OF_TABLES: tuple[tuple[str, str], ...] = (
    *((name, name) for name in _SAME_NAMES),
    ("seeds_1", "ddpm"),
    ("ddim", "euler"),
    ("ddim", "SamplerEulerAncestral: eta = {eta}"),
    ("euler_ancestral", "SamplerEulerAncestral: eta = {eta}, s_noise = {s_noise}"),
    ("dpmpp_2s_ancestral", "SamplerDPMPP_2S_Ancestral: eta = {eta}, s_noise = {s_noise}"),
    ("dpmpp_sde", "SamplerDPMPP_SDE: eta = {eta}, r = {r}"),
    ("zab_4", "lms"),
    ("zab_3", "SamplerLMS: order = 3"),
    ("zab_2", "SamplerLMS: order = 2"),
    ("ipndm_v_published", "ipndm_v"),
    ("deis_tab_3", "deis"),
    ("unipc_3_published", "uni_pc_bh2"),
    ("unipc_3_published(variant='bh1')", "uni_pc"),
    ("xeab_2", "res_multistep"),
)
"""Pairs that are equal for models of noise, v or the image."""
OF_FLOWS: tuple[tuple[str, str], ...] = (
    ("ddpm", f"{_ER} Reverse-time SDE, eta = 1.0, max_stage = 1"),
    ("dpmpp_2m", f"{_SDE_2M} midpoint, eta = 0.0"),
    ("xeab_2", f"{_SDE_2M} heun, eta = 0.0"),
    ("vab_4", "lms"),
    ("vab_3", "SamplerLMS: order = 3"),
    ("vab_2", "SamplerLMS: order = 2"),
    ("euler_ancestral(flow=True)", "euler_ancestral"),
    ("euler_ancestral(flow=True)", "SamplerEulerAncestral: eta = {eta}, s_noise = {s_noise}"),
    ("dpm_2_ancestral(flow=True)", "dpm_2_ancestral"),
    ("dpmpp_2s_ancestral(flow=True)", "dpmpp_2s_ancestral"),
    (
        "dpmpp_2s_ancestral(flow=True)",
        "SamplerDPMPP_2S_Ancestral: eta = {eta}, s_noise = {s_noise}",
    ),
    *(
        (f"flow_time(method={method!r})", theirs)
        for method, theirs in (
            *(("heun", "heun"), ("dpm_2", "dpm_2"), ("dpmpp_2m", "dpmpp_2m"), ("ipndm", "ipndm")),
            *(("ipndm_v_published", "ipndm_v"), ("gradient_estimation", "gradient_estimation")),
            *(("heunpp2", "heunpp2"), ("xeab_2", "res_multistep")),
        )
    ),
)
"""Pairs that are equal for flows."""
REMARKS = {
    "deis_tab_3": "its coefficients are sums in float32, off by up to 3e-4",
    "er_sde_2": "its integrals are sums of 200 terms, off by about 1e-3",
    "er_sde_3_published": "its integrals are sums of 200 terms, off by about 1e-3",
}
"""Differences of ComfyUI's samplers, by our names."""
HINTS = {
    "sa_solver": "its last steps have lower orders; sa_solver(corrector=2, last=[2, 1, 1], tau=0.0) is in both",
    "dpmpp_sde": "there the noises of a step are on a path in t; seeds_2 is in both",
}
"""Reasons why ComfyUI's sampler of the same name differs from ours."""
UNIPC_END = 0.001
"""Level at which ``uni_pc`` ends in place of 0."""
DIGITS = 9
"""Significant digits of a level: enough for float32, in which the node keeps levels."""


@cache
def _entries(flow: bool) -> tuple[tuple[str, dict[str, Any], set[str], str], ...]:
    """Return pairs of equal samplers: our name, fixed options, names of free ones; ComfyUI text."""
    pairs = (*(OF_FLOWS if flow else OF_TABLES), *ANYWHERE)
    return tuple(
        (ours.name, non_default(ours), set(re.findall(r"{(\w+)}", theirs)), theirs)
        for ours, theirs in ((make(spec), theirs) for spec, theirs in pairs)
    )


def find_node(sampler: Sampler, model: Denoiser) -> Node | None:
    """Return the node that takes a sampler's steps on a model; None if there is none."""
    canonical = name_and_options(sampler)
    if canonical is None:
        return None
    solver: Any = sampler
    if solver.name == "sa_solver" and (
        solver.tau == 0 or (solver.tau_start >= model.sigma_max and solver.tau_end == 0)
    ):
        sampler = replace(solver, tau_start=_WIDEST, tau_end=0.0)
    equal = (canonical.name, {**canonical.options, **canonical.ends})
    for asked, options in ((sampler.name, non_default(sampler)), equal):
        for name, fixed, free, theirs in _entries(_is_flow(model)):
            if name == asked and fixed == {k: v for k, v in options.items() if k not in free}:
                return _node(theirs.format(**vars(make(name, **options))))
    return None


def _node(text: str) -> Node:
    name, _, inputs = text.partition(": ")
    if not inputs:
        return Node("KSamplerSelect", {"sampler_name": name})
    return Node(name, dict(pair.split(" = ") for pair in inputs.split(", ")))


def _is_flow(model: Denoiser) -> bool:
    process = getattr(innermost_model(model), "process", None)
    return isinstance(process, RectifiedFlow) and process.noise_scale == 1


def missing(sampler: Sampler, model: Denoiser) -> str:
    """Return why ComfyUI cannot take a sampler's steps; "" if it can."""
    if find_node(sampler, model) is not None:
        return ""
    where = "on a flow " if _is_flow(model) else ""
    hint = HINTS.get(sampler.name, "")
    return f"{where}no sampler of ComfyUI is {label_of(sampler)}{hint and f': {hint}'}"


def lines(sampler: Sampler, grid: Grid, model: Denoiser, spec: str) -> tuple[str, str]:  # noqa: ARG001
    """Return the nodes as text, and a remark; raise ValueError if ComfyUI cannot run this grid."""
    if sampler.name.startswith("unipc"):
        if len(grid) == 1:
            raise ValueError("ComfyUI's uni_pc has no order for one step; take more")
        if grid.to_zero and grid.positive[-1] <= UNIPC_END:
            raise ValueError(f"ComfyUI's uni_pc ends at {UNIPC_END}; take levels above it")
    node, flow = find_node(sampler, model), _is_flow(model)
    assert node is not None, sampler  # `missing` refuses other samplers
    if node.name == "SamplerSASolver" and not grid.to_zero and getattr(sampler, "last", ()):
        raise ValueError(
            "ComfyUI's sa_solver keeps its orders on levels that end above 0; leave out last"
        )
    inputs = ", ".join(f"{key} = {value}" for key, value in node.inputs.items())
    first = f"{node.name}: {inputs}"
    levels = [s / (1 + s) if flow else s for s in grid.sigma]
    second = "ManualSigmas: the text of the next lines\n" + sigmas_text(levels)
    last = "SamplerCustomAdvanced (or SamplerCustom): takes both, as sampler and sigmas"
    return "\n".join([first, second, last]), _remark_on_nodes(sampler, grid, model)


def _remark_on_nodes(sampler: Sampler, grid: Grid, model: Denoiser) -> str:
    remarks = [OWN_DRAWS] if sampler.stochastic else []
    if sampler.name in REMARKS:
        remarks.append(REMARKS[sampler.name])
    more = math.hypot(1, 1 / grid.sigma[0]) - 1
    highest = grid.sigma[0] > model.sigma_max * (1 - 1e-5)
    if highest and not _is_flow(model) and more > 1e-4:
        remarks.append(
            f"it begins with noise that is {more:.2%} stronger, sqrt(1 + sigma²) in place of sigma, as "
            "always at the model's highest level"
        )
    if sampler.name.startswith("unipc") and grid.to_zero:
        kept = f"{UNIPC_END / grid.positive[-1]:.1%}"
        remarks.append(f"it steps to {UNIPC_END} in place of 0, which keeps {kept} of the state")
    if not grid.to_zero:
        remarks.append("the levels do not end at 0, so noise of the last one is left in the image")
    return "; ".join(remarks)


def sigmas_text(levels: list[float]) -> str:
    """Return levels as text for ``ManualSigmas``; raise ValueError if two are the same in float32.

    >>> sigmas_text([14.614642, 0.00001, 0.0])
    '14.614642, 0.00001, 0.0'
    """
    rounded = [float(np.float32(level)) for level in levels]
    if any(nxt >= cur for cur, nxt in pairwise(rounded)):
        raise ValueError(
            "ComfyUI keeps noise levels in float32, in which two of these are the same; take fewer steps"
        )
    words = [
        np.format_float_positional(level, precision=DIGITS, fractional=False, trim="0")
        for level in levels
    ]
    return textwrap.fill(f"{', '.join(words)},", WIDTH).removesuffix(",")
