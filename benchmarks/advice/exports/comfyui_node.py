"""Table for the node SamplerTable of ComfyUI, which runs any linear sampler on its own levels.

A sampler of ComfyUI calls ``model(x, sigma)``, which gives the clean image. States are x0 + sigma z, or
(1 - t) x0 + t z on a flow, whose levels are t. Facts from its source (Comfy-Org/ComfyUI: ``comfy/samplers.py`` at
311c014, ``comfy/model_sampling.py`` at 2fd2083, ``comfy_extras/nodes_custom_sampler.py`` at 4be318a):

* A shift of a flow decides on levels only. The network's time is t itself, or 1000 t, so a table has no need of it.
* ``KSAMPLER.max_denoise`` is True at the model's highest level. Noise is then sqrt(1 + sigma²) z. The node's subclass
  says False, so that noise is sigma z as here.
* A guider has its scale in ``cfg``, which is 1 for one without guidance.
"""

from __future__ import annotations

import re
from typing import Any

from ....models.denoiser import Denoiser, innermost_model
from ....models.process import RectifiedFlow
from ....samplers import Grid, Sampler
from ....samplers.spec import label_of
from . import comfyui
from .equivalents import tabulate_steps, why_no_table
from .literals import OWN_DRAWS
from .tables import Folder, describe_origin, file_stem, json_text, rows_in, template

TITLE, LANGUAGE, SOLVERS = "ComfyUI (SamplerTable)", "json", comfyui.SOLVERS
_KINDS = {"eps": "EPS", "v": "V_PREDICTION", "x0": "X0", "edm": "EDM"}
"""Classes of ``comfy.model_sampling`` by prediction."""


def missing(sampler: Sampler, model: Denoiser) -> str:
    """Return why the node cannot take a sampler's steps on a model; "" if it can."""
    process = getattr(innermost_model(model), "process", None)
    if isinstance(process, RectifiedFlow) and process.noise_scale != 1:
        return f"the noise of {model.name} has scale {process.noise_scale:g}, and the node's is 1"
    reason = why_no_table(sampler)
    return reason and f"{label_of(sampler)} is no table of numbers: {reason}"


def written_out(sampler: Sampler, grid: Grid, model: Denoiser) -> bool:  # noqa: ARG001
    """Return True if ``KSamplerSelect`` has no equal sampler."""
    return not comfyui.ksampler_name(sampler, model)


def named_solver(code: str) -> str:
    """Return the name in ``KSamplerSelect`` of a table's equal; "" if there is none."""
    found = re.search(r'^"ksampler": "(\w+)"', code, re.MULTILINE)
    return found[1] if found else ""


def lines(sampler: Sampler, grid: Grid, model: Denoiser, spec: str) -> tuple[str, str]:  # noqa: ARG001
    """Return the table as JSON, and a remark; raise ValueError if the sampler is no table on this grid."""
    network: Any = innermost_model(model)
    flow = isinstance(getattr(network, "process", None), RectifiedFlow)
    kind = "CONST" if flow else _KINDS.get(getattr(network, "prediction", ""), "")
    if kind == "EDM" and network.factor < 0:
        kind = "V_PREDICTION"
    levels = sampler.levels(grid).sigma if hasattr(sampler, "levels") else grid.sigma  # type: ignore[attr-defined]

    def scale(sigma: float) -> float:
        return 1 / (1 + sigma) if flow else 1.0

    def level(sigma: float) -> float:
        return sigma / (1 + sigma) if flow else sigma

    steps = tabulate_steps(sampler, grid)
    first = scale(steps.rows[0].sigma)
    content = describe_origin(sampler, model) | {
        "ksampler": comfyui.ksampler_name(sampler, model),
        "flow": flow,
        "kind": kind,
        "sigma_max": level(model.sigma_max),
        "levels": [level(sigma) for sigma in levels],
        "start": steps.start * first / scale(grid.sigma[0]),
        "noise": [first * weight for weight in steps.c],
        "rows": rows_in(steps, scale, level, scale(grid.sigma[-1])),
    }
    remarks = [
        f"save these lines as {_file_name(sampler, grid, model)} beside the node, which "
        "samplerbench export --to comfyui-node --out FOLDER writes"
    ]
    if sampler.stochastic:
        remarks.append(OWN_DRAWS)
    if not grid.to_zero:
        remarks.append("the levels do not end at 0, so noise of the last one is left in the image")
    return json_text(content), "; ".join(remarks)


def folder(sampler: Sampler, grid: Grid, model: Denoiser, path: str) -> Folder:  # noqa: ARG001
    """Return the node's package with this table; raise ValueError if the steps are no table of numbers."""
    text, remark = lines(sampler, grid, model, "")
    name = _file_name(sampler, grid, model)
    code = [
        f"SamplerTable: table = {name}",
        "SamplerCustomAdvanced (or SamplerCustom): takes its sampler and its sigmas",
    ]
    files = {"__init__.py": template("sampler_table.py"), name: text + "\n"}
    return Folder(files, "\n".join(code), remark.partition("; ")[2])


def _file_name(sampler: Sampler, grid: Grid, model: Denoiser) -> str:
    return file_stem(label_of(sampler), len(grid), model.name) + ".json"
