"""Nodes for ComfyUI: the sampler's name, and the noise levels.

Facts from its source (comfyanonymous/ComfyUI: ``comfy/k_diffusion/sampling.py`` at 02159d8,
``comfy_extras/nodes_custom_sampler.py`` at 065c1df; ``comfy/samplers.py``, ``comfy/model_sampling.py`` and
``comfy/extra_samplers/uni_pc.py`` of February 2025):

* ``KSamplerSelect`` takes a name of ``SAMPLER_NAMES`` and no options. So samplers are exported with defaults only.
* ``ManualSigmas`` takes every number that it finds in a text, but does not know exponents. It reads 1e-05 as the
  two numbers 1 and -05, so numbers are written without exponents.
* Levels fall and end at 0. For models that predict noise or v they are sigma of x0 + sigma z, as in k-diffusion.
  For flows they are t of (1 - t) x0 + t z, in [0, 1] (``CONST``).
* Models of noise or v begin with sqrt(1 + sigma²) z at the model's highest level (``max_denoise``), and with
  sigma z at a lower one.
* ``lms`` and ``ipndm`` take the step to 0 as x <- d. Versions of early 2025 took it like any other.
* ``uni_pc`` steps to 0.001 in place of 0, and fails with one step.
* ComfyUI's samplers are forks of k-diffusion's that step in the model's own x and sigma. On a flow most are
  methods in t. Of those, Euler's equals ours, and ``lms`` equals ``vab_4``.
"""

from __future__ import annotations

import math
import textwrap
from itertools import pairwise

import numpy as np

from ....models.denoiser import Denoiser, innermost_model
from ....models.process import RectifiedFlow
from ....samplers import Grid, Sampler, karras, uniform_lambda
from ....samplers.spec import format_spec, label_of
from .equivalents import name_and_options
from .literals import WIDTH

TITLE, LANGUAGE, SOLVERS = "ComfyUI", "text", ("euler", "dpmpp_2m")
NAMES: dict[str, str] = {
    "euler": "euler",
    "ddpm": "ddpm",
    "heun": "heun",
    "dpm_2": "dpm_2",
    "dpm_2_ancestral": "dpm_2_ancestral",
    "dpmpp_2s_ancestral": "dpmpp_2s_ancestral",
    "dpmpp_sde": "dpmpp_sde",
    "dpmpp_2m": "dpmpp_2m",
    "dpmpp_2m_sde": "dpmpp_2m_sde",
    "dpmpp_2m_sde(solver_type='heun')": "dpmpp_2m_sde_heun",
    "dpmpp_3m_sde_published": "dpmpp_3m_sde",
    "zab_4": "lms",
    "ipndm": "ipndm",
    "deis_tab_3": "deis",
    "unipc_3_published": "uni_pc_bh2",
    "unipc_3_published(variant='bh1')": "uni_pc",
    "xeab_2": "res_multistep",
}
"""Names in ``KSamplerSelect`` of the samplers that equal ours, by our specs."""
OF_FLOWS = {"euler": "euler", "vab_4": "lms"}
"""Names in ``KSamplerSelect`` of the samplers that equal ours on a flow."""
DIGITS = 9
"""Significant digits of a level: enough for float32, in which the node keeps levels."""


def ksampler_name(sampler: Sampler, model: Denoiser) -> str:
    """Return the name in ``KSamplerSelect`` of an equal sampler; "" if there is none."""
    canonical = name_and_options(sampler)
    if canonical is None or canonical.ends:
        return ""
    names = OF_FLOWS if _is_flow(model) else NAMES
    return names.get(format_spec({"name": canonical.name, **canonical.options}), "")


def _is_flow(model: Denoiser) -> bool:
    process = getattr(innermost_model(model), "process", None)
    return isinstance(process, RectifiedFlow) and process.noise_scale == 1


def missing(sampler: Sampler, model: Denoiser) -> str:
    """Return why ComfyUI cannot take a sampler's steps; "" if it can."""
    if ksampler_name(sampler, model):
        return ""
    if _is_flow(model):
        return f"on a flow no sampler of ComfyUI is {label_of(sampler)}: they step in t there"
    return f"no sampler of ComfyUI is {label_of(sampler)}"


def lines(sampler: Sampler, grid: Grid, model: Denoiser, spec: str) -> tuple[str, str]:  # noqa: ARG001
    """Return the nodes and a remark; raise ValueError if ComfyUI cannot run the sampler on this grid."""
    if sampler.name.startswith("unipc") and len(grid) == 1:
        raise ValueError("ComfyUI's uni_pc has no order for one step; take more")
    flow = _is_flow(model)
    first = f"KSamplerSelect: sampler_name = {ksampler_name(sampler, model)}"
    named = "" if flow else _scheduler_of(grid, model)
    if named:
        second = f"BasicScheduler: scheduler = {named}, steps = {len(grid)}, denoise = 1.00"
    else:
        levels = [s / (1 + s) if flow else s for s in grid.sigma]
        second = "ManualSigmas: the text of the next lines\n" + sigmas_text(levels)
    last = "SamplerCustomAdvanced (or SamplerCustom): takes both, as sampler and sigmas"
    return "\n".join([first, second, last]), _remark_on_nodes(sampler, grid, model)


def _remark_on_nodes(sampler: Sampler, grid: Grid, model: Denoiser) -> str:
    own = "the draws are its own, so images differ one by one, and not as a whole"
    remarks = [own] if sampler.stochastic else []
    if sampler.name == "deis_tab_3":
        remarks.append("its coefficients are sums in float32, off by about 1e-4")
    more = math.hypot(1, 1 / grid.sigma[0]) - 1
    highest = grid.sigma[0] > model.sigma_max * (1 - 1e-5)
    if highest and not _is_flow(model) and more > 1e-4:
        remarks.append(
            f"it begins with noise that is {more:.2%} stronger, sqrt(1 + sigma²) in place of sigma, as "
            "always at the model's highest level"
        )
    if sampler.name.startswith("unipc") and grid.to_zero:
        remarks.append("it steps to 0.001 in place of 0")
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


def _scheduler_of(grid: Grid, model: Denoiser) -> str:
    """Return the name of the ComfyUI scheduler that gives these levels for the model; "" if there is none."""
    if not grid.to_zero or len(grid) < 2:
        return ""
    ends = (model.sigma_min, model.sigma_max)
    for name, schedule in (("karras", karras), ("exponential", uniform_lambda)):
        levels = schedule(len(grid), *ends, to_zero=True).sigma
        if all(math.isclose(a, b, rel_tol=1e-6) for a, b in zip(levels, grid.sigma, strict=True)):
            return name
    return ""
