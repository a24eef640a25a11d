"""Tables for the node SamplerTable of ComfyUI.

ComfyUI's samplers call ``model(x, sigma)`` for the clean image. States are x0 + sigma z, or (1 - t) x0 + t z on a
flow, whose levels are t. Facts from Comfy-Org/ComfyUI (``samplers.py`` at 311c014, ``model_sampling.py`` at 2fd2083):

* The shift of a flow changes its levels alone. The network is given t, or 1000 t, so a table holds at any shift.
* At the highest level, the first state is sqrt(1 + sigma²) z. In the node (``max_denoise`` False) it is sigma z.
* ``cfg`` of a guider is its guidance scale, 1 for no guidance.
"""

from __future__ import annotations

import re
from typing import Any

from ....models.denoiser import Denoiser, innermost_model
from ....models.process import RectifiedFlow
from ....samplers import Grid, Sampler
from ....samplers.spec import label_of
from . import comfyui
from .code_text import OWN_DRAWS
from .equivalents import tabulate_steps, why_no_table
from .tables import Folder, describe_origin, json_text, read_template, rescale_rows

TITLE, SOLVERS = "ComfyUI (SamplerTable)", comfyui.SOLVERS
_KINDS = {"eps": "EPS", "v": "V_PREDICTION", "x0": "X0", "edm": "EDM", "flow": "CONST"}
"""Classes of ``comfy.model_sampling`` by prediction."""


def missing(sampler: Sampler, model: Denoiser) -> str:
    """Return why the node cannot take a sampler's steps on a model; "" if it can."""
    process = getattr(innermost_model(model), "process", None)
    if isinstance(process, RectifiedFlow) and process.noise_scale != 1:
        return f"the noise of {model.name} has scale {process.noise_scale:g}, and the node's is 1"
    reason = why_no_table(sampler)
    return reason and f"{label_of(sampler)} is no table of numbers: {reason}"


def is_written_as_numbers(sampler: Sampler, grid: Grid, model: Denoiser) -> bool:  # noqa: ARG001
    """Return True if ComfyUI itself has no equal sampler."""
    return comfyui.find_node(sampler, model) is None


def named_solver(code: str) -> str:
    """Return ComfyUI's name of its sampler that equals the table ``code``; "" if there is none."""
    found = re.search(r'^"equal": "(\w+)"', code, re.MULTILINE)
    return found[1] if found else ""


def lines(sampler: Sampler, grid: Grid, model: Denoiser, spec: str) -> tuple[str, str]:  # noqa: ARG001
    """Return the table as JSON, and a remark; raise ValueError if there is none on this grid."""
    network: Any = innermost_model(model)
    flow = isinstance(getattr(network, "process", None), RectifiedFlow)
    prediction = getattr(network, "prediction", "")
    reversed_edm = prediction == "edm" and network.factor < 0
    node = comfyui.find_node(sampler, model)
    levels = sampler.levels(grid).sigma if hasattr(sampler, "levels") else grid.sigma  # type: ignore[attr-defined]

    def scale(sigma: float) -> float:
        return 1 / (1 + sigma) if flow else 1.0

    def level(sigma: float) -> float:
        return sigma * scale(sigma)

    steps = tabulate_steps(sampler, grid)
    first = scale(steps.rows[0].sigma)
    content = describe_origin(sampler, model) | {
        "equal": node.inputs.get("sampler_name", node.name) if node else "",
        "flow": flow,
        "kind": "V_PREDICTION" if reversed_edm else _KINDS.get(prediction, ""),
        "sigma_max": level(model.sigma_max),
        "levels": [level(sigma) for sigma in levels],
        "start": steps.start * first / scale(grid.sigma[0]),
        "noise": [first * weight for weight in steps.c],
        "rows": rescale_rows(steps, scale, level, scale(grid.sigma[-1])),
    }
    remarks = [
        f"save these lines as {_file_name(sampler, grid, model)} beside the node, which "
        "samplerbench export --to comfyui-node --out FOLDER writes"
    ]
    highest, top = level(max(row.sigma for row in steps.rows)), level(model.sigma_max)
    if highest > 1.01 * top:
        remarks.append(
            f"it evaluates at levels up to {highest:.4g}, so the node refuses {model.name}, which ends at {top:.4g}"
        )
    if sampler.stochastic:
        remarks.append(OWN_DRAWS)
    if not grid.to_zero:
        remarks.append("the levels do not end at 0, so noise of the last one is left in the image")
    return json_text(content), "; ".join(remarks)


def folder(sampler: Sampler, grid: Grid, model: Denoiser, path: str) -> Folder:  # noqa: ARG001
    """Return the files of the node SamplerTable and its table; raise ValueError without a table."""
    text, remark = lines(sampler, grid, model, "")
    name = _file_name(sampler, grid, model)
    code = f"SamplerTable: table = {name}\nSamplerCustomAdvanced (or SamplerCustom): takes its sampler and its sigmas"
    files = {"__init__.py": read_template("sampler_table.py"), name: text + "\n"}
    return Folder(files, code, remark.partition("; ")[2])


def _file_name(sampler: Sampler, grid: Grid, model: Denoiser) -> str:
    words = f"{label_of(sampler)}-{len(grid)}-{model.name}"
    return re.sub(r"[^\w.=-]+", "-", words).strip("-") + ".json"
