"""Lines for diffusers: a scheduler on given levels, in place of a pipeline's own.

Few schedulers of diffusers take a list of levels. These schedulers round the levels, or give the
network times that the network does not know (docs/how-to/lines-to-paste.md). So the lines define a
subclass that sets other levels and times after the scheduler has set its own. Any pipeline can run
the subclass, even a pipeline without an argument for levels.

States are inputs of the network, because some pipelines do not scale the state for the network.
"""

from __future__ import annotations

import math
import re
from textwrap import indent

from ....models.denoiser import Denoiser
from ....samplers import Grid, Sampler
from .code_text import OWN_DRAWS, call_code, list_code, literal, step_code
from .diffusers_schedulers import (
    PipelineUnits,
    Scheduler,
    is_multistep_sde,
    own_scheduler,
    pipeline_units_of,
)
from .equivalents import StepTable, tabulate_steps, why_no_table
from .tables import Folder, NumberRow, describe_origin, json_text, read_template, rescale_rows

TITLE, SOLVERS = "diffusers", ()
NOT_SCALED = ("DDPMPipeline", "DDIMPipeline", "DiTPipeline")
"""Pipelines that begin with noise of scale 1 at any ``init_noise_sigma``. Flow pipelines do too."""
CLOSE = 1e-5
"""Largest difference between two scales of initial noise that does not matter."""
_NUMBERS = "no scheduler of diffusers takes these steps, so they are written out as numbers"
# pipelines test whether set_timesteps has these arguments
_SET_TIMESTEPS = (
    "def set_timesteps("
    "self, num_inference_steps=None, device=None, timesteps=None, sigmas=None, mu=None):"
)
_STEP = "def step(self, model_output, timestep, sample, generator=None, return_dict=True):"
_RETURN = "    return SchedulerOutput(prev_sample=x) if return_dict else (x,)"


def missing(sampler: Sampler, model: Denoiser) -> str:
    """Return why no scheduler can take a sampler's steps on a model; "" if one can."""
    if getattr(sampler, "of_checkpoint", False):
        return ""
    try:
        coords = pipeline_units_of(model)
    except ValueError as error:
        return str(error)
    if sampler.stochastic:
        if coords.kind != "edm" and is_multistep_sde(sampler):
            return ""
        return f"diffusers has no scheduler that draws noise as {sampler.name} does"
    reason = why_no_table(sampler)
    return reason and f"no scheduler of diffusers is {sampler.name}: {reason}"


def lines(sampler: Sampler, grid: Grid, model: Denoiser, spec: str) -> tuple[str, str]:  # noqa: ARG001
    """Return the lines and a remark; raise ValueError if diffusers cannot take these steps."""
    if getattr(sampler, "of_checkpoint", False):
        return _pipeline_code(sampler.scheduler, len(grid)), ""  # type: ignore[attr-defined]
    coords = pipeline_units_of(model)
    start = grid.sigma[0] * coords.scale(grid.sigma[0])
    if scheduler := own_scheduler(sampler, grid, coords.kind):
        return _own_code(scheduler, grid, coords, start), _remark(sampler, coords, start)
    if sampler.stochastic:
        raise ValueError(
            f"diffusers has no {sampler.name} with these orders of the last steps on {len(grid)} steps; "
            "leave out the option last"
        )
    _, rows, start = _table(sampler, grid, coords)
    return _table_code(rows, coords, start), _remark(sampler, coords, start, _NUMBERS)


def folder(sampler: Sampler, grid: Grid, model: Denoiser, path: str) -> Folder:
    """Return a scheduler's files, with the steps as a table, and lines that load it from ``path``.

    Raises a ValueError if the steps are no table, or diffusers has no scheduler for such a model.
    """
    coords = pipeline_units_of(model)
    steps, rows, start = _table(sampler, grid, coords)
    process, prediction, place = coords.model.process, coords.prediction_type, literal(path)
    of_model = {
        "prediction_type": prediction,
        "sigma_data": getattr(process, "sigma_data", None),
        "times": coords.kind == "table",
        "half": coords.model.half,
    }
    config = {
        "_class_name": "TableScheduler",
        "made_for": describe_origin(sampler, model) | of_model,
        "prediction_type": prediction,
        "num_train_timesteps": len(getattr(process, "levels", range(1000))),
        "init_noise_sigma": start,
        "levels": [*(row.sigma for row in steps.rows), grid.sigma[-1]],
        "rows": rows,
    }
    code = (
        f"import sys\n\nsys.path.append({place})\nfrom table_scheduler import TableScheduler\n\n"
        f"pipe.scheduler = TableScheduler.from_pretrained({place}).check(pipe.scheduler)\n"
        f"# then as always: images = pipe(..., num_inference_steps={len(rows)}).images"
    )
    name = "table_scheduler.py"
    files = {"scheduler_config.json": json_text(config) + "\n", name: read_template(name)}
    return Folder(files, code, _remark(sampler, coords, start))


def _table(
    sampler: Sampler, grid: Grid, coords: PipelineUnits
) -> tuple[StepTable, list[NumberRow], float]:
    """Return steps, their rows for a pipeline's states, and the scale of its initial noise."""
    steps = tabulate_steps(sampler, grid, coords.denoising_weights)
    before = len(steps.c)  # draws before the first evaluation are part of the initial noise
    if any(weight for row in steps.rows for weight in row.c[:before]):
        raise ValueError(
            f"{sampler.name} uses its first draw of noise again, which a pipeline hides"
        )
    scaled = rescale_rows(steps, coords.scale, coords.time, 1.0)
    rows = [(time, a, b, c[before:]) for time, a, b, c in scaled]
    start = math.hypot(steps.start * grid.sigma[0], *steps.c) * coords.scale(steps.rows[0].sigma)
    return steps, rows, start


def named_solver(code: str) -> str:
    """Return the scheduler that the lines ``code`` run; "" for none, or for steps as numbers."""
    found = re.search(r"from diffusers import (\w+)", code)
    return found[1] if found and "class Table(" not in code else ""


def is_written_as_numbers(sampler: Sampler, grid: Grid, model: Denoiser) -> bool:
    """Return True if no scheduler of diffusers takes these steps, so lines have them as numbers."""
    if getattr(sampler, "of_checkpoint", False):
        return False
    return own_scheduler(sampler, grid, pipeline_units_of(model).kind) is None


def _remark(sampler: Sampler, coords: PipelineUnits, start: float, first: str = "") -> str:
    remarks = [first] if first else []
    spec = getattr(coords.model, "spec", None)
    if getattr(spec, "family", "") != "diffusers":
        remarks.append(
            "the model is no pipeline of diffusers, so pipe has to be one of the same network"
        )
    if code := coords.network_call_code:
        level = ", where sigma is the level at timestep" if "sigma" in code else ""
        remarks.append(
            f"wrap your net(x, t), so that the network of pipe returns {code} for (x, timestep){level}"
        )
    if sampler.stochastic:
        remarks.append(OWN_DRAWS)
    pipeline = spec.preset.get("pipeline") if spec else None
    if abs(start - 1) > CLOSE and (coords.kind == "flow" or pipeline in NOT_SCALED):
        remarks.append(
            f"the pipeline begins with standard normal noise, and this sampler with {start:.6g} times that: "
            "scale the latents where it takes them"
        )
    return "; ".join(remarks)


def _pipeline_code(scheduler: str, steps: int) -> str:
    code = (
        f"from diffusers import {scheduler}\n\n"
        f"pipe.scheduler = {scheduler}.from_config(pipe.scheduler.config)\n"
        if scheduler
        else "# the scheduler that came with the pipeline, as it is\n"
    )
    return f"{code}images = pipe(num_inference_steps={steps}).images"


def _class_code(
    base: str,
    name: str,
    words: str,
    constants: list[str],
    body: list[str],
    settings: dict[str, object],
    steps: int,
) -> str:
    """Return code: ``constants``, a class with docstring ``words``, its use with ``settings``."""
    output = "from diffusers.schedulers.scheduling_utils import SchedulerOutput"
    parts = [
        "import torch",
        f"from diffusers import {base}",
        *([output] if _RETURN in body else []),
        "",
        *constants,
        "",
        "",
        f"class {name}({base}):",
        f'    """{words}"""',
        "",
        indent("\n".join(body), "    "),
        "",
        "",
        call_code(f"pipe.scheduler = {name}.from_config", settings, "pipe.scheduler.config"),
        f"# then as always: images = pipe(..., num_inference_steps={steps}).images",
    ]
    return "\n".join(parts)


def _own_code(scheduler: Scheduler, grid: Grid, coords: PipelineUnits, start: float) -> str:
    """Return the code of a scheduler on a grid's levels; ``start`` scales the first noise."""
    end = coords.scale(grid.sigma[-1])
    times = list_code("TIMESTEPS", map(coords.time, grid.sigma[:-1]))
    constants = [
        list_code("SIGMAS", map(coords.level, grid.sigma)),
        f"{times}  # times for the network",
    ]
    body = [
        _SET_TIMESTEPS,
        "    super().set_timesteps(len(TIMESTEPS), device=device)",
        "    self.sigmas = torch.tensor(SIGMAS)",
        "    self.timesteps = torch.tensor(TIMESTEPS, device=device)",
        f"    self.init_noise_sigma = {start!r}",
        "    self.set_begin_index(0)",
    ]
    keyword = "generator=generator, " if scheduler.generator else ""
    output = _output_code(coords)
    step = f"    x = super().step({output}, timestep, sample, {keyword}return_dict=False)[0]"
    scaled = [
        "    if self.step_index == len(TIMESTEPS):",
        f"        x = x * {1 / end!r}  # the end, in the units of the data",
    ]
    # also without a factor: some pipelines pass a generator to any scheduler
    if end != 1 or output != "model_output" or not scheduler.generator:
        body += ["", _STEP, step, *(scaled if end != 1 else []), _RETURN]
    words = "The scheduler on the levels above, for any arguments of a pipeline."
    settings = _from_config_settings(scheduler, coords)
    return _class_code(scheduler.name, "OnLevels", words, constants, body, settings, len(grid))


def _from_config_settings(scheduler: Scheduler, coords: PipelineUnits) -> dict[str, object]:
    if scheduler.name.startswith("FlowMatch"):
        return scheduler.settings
    flow = coords.kind == "flow"
    words = {"prediction_type": coords.prediction_type, "thresholding": False}
    settings: dict[str, object] = scheduler.settings | words
    if coords.model.half:
        settings["variance_type"] = None
    settings |= {"use_karras_sigmas": False, "use_flow_sigmas": flow}
    return settings | ({"flow_shift": 1.0, "use_dynamic_shifting": False} if flow else {})


def _output_code(coords: PipelineUnits) -> str:
    """Return the code of a network's output, without the half that is a learned variance."""
    halves = {"first": "[:, : sample.shape[1]]", "second": "[:, -sample.shape[1] :]"}
    return f"model_output{halves.get(coords.model.half or '', '')}"


def _table_code(rows: list[NumberRow], coords: PipelineUnits, start: float) -> str:
    written = [step_code(b, repr(time), repr(a)) for time, a, b, _ in rows]
    constants = [
        "# time for the network; the next state, as weights of the state and of the outputs, newest first",
        "ROWS = [",
        indent("\n".join(written), "    "),
        "]",
    ]
    body = [
        _SET_TIMESTEPS,
        "    self.timesteps = torch.tensor([row[0] for row in ROWS], device=device)",
        "    self.num_inference_steps, self.outputs = len(ROWS), []",
        f"    self.init_noise_sigma = {start!r}",
        "",
        _STEP,
        "    _, a, b = ROWS[len(self.outputs)]",
        f"    self.outputs.insert(0, {_output_code(coords)}.float())",
        "    x = a * sample.float() + sum(w * out for w, out in zip(b, self.outputs))",
        "    x = x.to(sample.dtype)",
        _RETURN,
    ]
    words = "The steps above, for any arguments of a pipeline."
    return _class_code(
        "DPMSolverMultistepScheduler", "Table", words, constants, body, {}, len(rows)
    )
