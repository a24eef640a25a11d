"""Lines for diffusers: a scheduler on given levels, in place of a pipeline's own.

Few of the library's schedulers take a list of levels. They round it, or give the network times that it does
not know (docs/lines-to-paste.md). So the lines make a subclass that sets levels and times after
the library has set its own: any pipeline then runs it, those too that have no argument for levels.

States are in the coordinates of the process, which every pipeline understands: some do not scale what the
network sees.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ....models import Denoiser
from ....samplers import Grid, Sampler
from .diffusers_schedulers import (
    Coordinates,
    Scheduler,
    coordinates_of,
    draws_like_ours,
    orders_of,
    own_scheduler,
    unknown,
)
from .equivalents import Row, configured, steps_of, untabled
from .literals import called, indented, listed, wrapped

ARGUMENTS = "self, num_inference_steps=None, device=None, timesteps=None, sigmas=None, mu=None"
"""Arguments of every ``set_timesteps``: pipelines check which of them exist."""
_TWICE = {"heun": "HeunDiscreteScheduler", "dpm_2": "KDPM2DiscreteScheduler"}
_ALSO = {"dpm_solver_2": "dpm_2"}
_LMS = ("lms", "zab_1", "zab_2", "zab_3", "zab_4")


class Scaled(NamedTuple):
    """A scheduler on levels.

    Attributes:
        name: its class.
        sigmas: its list of levels.
        evaluated: levels at which the network is called.
        between: KDPM2's second list; empty for the others.
        orders: of LMS's steps; empty for the others.
        steps: its ``num_inference_steps``.
    """

    name: str
    sigmas: tuple[float, ...]
    evaluated: tuple[float, ...]
    between: tuple[float, ...] = ()
    orders: tuple[int, ...] = ()
    steps: int = 0


def scaled_scheduler(sampler: Sampler, grid: Grid, of: Coordinates) -> Scaled | None:
    """Return the scheduler that takes a sampler's steps on a grid; None where none does."""
    canonical = configured(sampler)
    if canonical is None or canonical.options or of.kind != "table":
        return None
    name, levels = _ALSO.get(canonical.name, canonical.name), grid.sigma
    if name in _LMS and not {"analytic_first", "startup"} & set(canonical.ends):
        orders = tuple(orders_of(sampler, grid))
        return Scaled("LMSDiscreteScheduler", levels, levels[:-1], (), orders, len(grid))
    if name not in _TWICE or not grid.to_zero or of.model.prediction == "x0":
        return None
    twice = tuple(level for level in levels[1:-1] for _ in range(2))
    if name == "heun":
        evaluated = (levels[0], *twice)
        return Scaled(_TWICE[name], (*evaluated, 0.0), evaluated, (), (), len(grid))
    middles = [math.sqrt(cur * nxt) for cur, nxt in grid.intervals()]
    pairs = tuple(level for pair in zip(levels, middles, strict=False) for level in pair)
    between = (levels[0], *(level for level in middles for _ in range(2)), 0.0)
    sigmas = (levels[0], *twice, 0.0, 0.0, 0.0)
    return Scaled(_TWICE[name], sigmas, pairs[:-1], between, (), len(grid))


def scaled_lines(scheduler: Scaled, of: Coordinates, start: float) -> list[str]:
    """Return imports, lists and the class; ``start`` is the standard deviation of its noise."""
    lists: dict[str, tuple[Any, ...]] = {
        "SIGMAS": scheduler.sigmas,
        "BETWEEN": scheduler.between,
        "ORDERS": scheduler.orders,
        "TIMESTEPS": tuple(of.time(level) for level in scheduler.evaluated),
    }
    order = "order=ORDERS[self.step_index], " if scheduler.orders else ""
    return [
        "import torch",
        f"from diffusers import {scheduler.name}",
        "from diffusers.schedulers.scheduling_utils import SchedulerOutput",
        "",
        *(listed(name, values) for name, values in lists.items() if values),
        "",
        "",
        f"class OnLevels({scheduler.name}):",
        '    """The scheduler on the levels above, with states in the network\'s units."""',
        "",
        f"    init_noise_sigma = {start!r}",
        "",
        f"    def set_timesteps({ARGUMENTS}):",
        f"        super().set_timesteps({scheduler.steps}, device=device)",
        "        self.sigmas = torch.tensor(SIGMAS)",
        *(["        self.sigmas_interpol = torch.tensor(BETWEEN)"] if scheduler.between else []),
        "        self.timesteps = torch.tensor(TIMESTEPS, device=device)  # what the network is told",
        "        self.set_begin_index(0)",
        "",
        "    def scale_model_input(self, sample, timestep=None):",
        "        return sample",
        "",
        "    def step(self, model_output, timestep, sample, generator=None, return_dict=True):",
        "        x = sample.float()  # not in half precision",
        "        x = x / super().scale_model_input(torch.ones_like(x), timestep)",
        f"        x = super().step(model_output.float(), timestep, x, {order}return_dict=False)[0]",
        "        if self.step_index < len(TIMESTEPS):",
        "            x = super().scale_model_input(x, timestep)",
        "        x = x.to(sample.dtype)",
        "        return SchedulerOutput(prev_sample=x) if return_dict else (x,)",
    ]


NOT_SCALED = ("DDPMPipeline", "DDIMPipeline", "DiTPipeline")
"""Pipelines, in addition to a flow's, that ignore the scheduler's scale of the initial noise: it is 1."""
CLOSE = 1e-5
"""Difference between two starts below which it does not matter."""
_NUMBERS = "no scheduler of diffusers takes these steps, so they are written out as numbers"
_OWN = "the draws are the library's own, so images differ one by one, and not as a whole"


def missing(sampler: Sampler, model: Denoiser) -> str:
    """Return why no scheduler can take a sampler's steps on a model; "" if one can."""
    if getattr(sampler, "of_checkpoint", False):
        return ""
    if reason := unknown(model):
        return reason
    if sampler.stochastic:
        if coordinates_of(model).kind != "edm" and draws_like_ours(sampler):
            return ""
        return f"diffusers has no scheduler that draws noise as {sampler.name} does"
    reason = untabled(sampler)
    return reason and f"no scheduler of diffusers is {sampler.name}: {reason}"


def lines(sampler: Sampler, grid: Grid, model: Denoiser) -> tuple[str, str]:
    """Return the lines, and a remark.

    Raises:
        ValueError: :func:`missing` has a reason, or the library cannot do it on this grid.
    """
    if getattr(sampler, "of_checkpoint", False):
        return _pipeline_lines(sampler.scheduler, len(grid)), ""  # type: ignore[attr-defined]
    of = coordinates_of(model)
    scheduler = own_scheduler(sampler, grid, of.kind)
    if scheduler is not None:
        start = grid.sigma[0] * of.scale(grid.sigma[0])
        return _native(scheduler, grid, of, start), _remark(sampler, of, start)
    scaled = scaled_scheduler(sampler, grid, of)
    if scaled is not None:
        start = grid.sigma[0] * of.scale(grid.sigma[0])
        return _scaled_code(scaled, of, start), _remark(sampler, of, start)
    if sampler.stochastic:
        raise ValueError(
            f"diffusers has no {sampler.name} with these orders of the last steps on {len(grid)} steps; "
            "leave out the option last"
        )
    steps = steps_of(sampler, grid, of.denoised)
    start = steps.start * grid.sigma[0] * of.scale(steps.rows[0].sigma)
    return _table_code(steps.rows, of, start), _remark(sampler, of, start, _NUMBERS)


def written_out(sampler: Sampler, grid: Grid, model: Denoiser) -> bool:
    """Return True if no scheduler takes these steps."""
    if getattr(sampler, "of_checkpoint", False):
        return False
    of = coordinates_of(model)
    return (
        own_scheduler(sampler, grid, of.kind) is None
        and scaled_scheduler(sampler, grid, of) is None
    )


def _pipeline_lines(scheduler: str, steps: int) -> str:
    code = (
        f"from diffusers import {scheduler}\n\n"
        f"pipe.scheduler = {scheduler}.from_config(pipe.scheduler.config)\n"
        if scheduler
        else "# the scheduler that came with the pipeline, as it is\n"
    )
    return f"{code}images = pipe(num_inference_steps={steps}).images"


def _remark(sampler: Sampler, of: Coordinates, start: float, first: str = "") -> str:
    remarks = [first] if first else []
    if not of.is_pipeline:
        remarks.append(
            "the model is no pipeline of diffusers, so pipe has to be one of the same network"
        )
    if sampler.stochastic:
        remarks.append(_OWN)
    if abs(start - 1) > CLOSE and (of.kind == "flow" or of.pipeline in NOT_SCALED):
        remarks.append(
            f"the pipeline begins with standard normal noise, and this sampler with {start:.6g} times that: "
            "scale the latents where it takes them"
        )
    return "; ".join(remarks)


def _native(scheduler: Scheduler, grid: Grid, of: Coordinates, start: float) -> str:
    cls, end = scheduler.name, of.scale(grid.sigma[-1])
    # some pipelines hand a generator to any scheduler
    stepped = end != 1 or not scheduler.generator
    parts = [
        "import torch",
        f"from diffusers import {cls}",
        *(["from diffusers.schedulers.scheduling_utils import SchedulerOutput"] if stepped else []),
        "",
        listed("SIGMAS", map(of.level, grid.sigma)),
        listed("TIMESTEPS", _times(grid.sigma[:-1], of)) + "  # what the network is told",
        "",
        "",
        f"class OnLevels({cls}):",
        '    """The scheduler on the levels above, whatever a pipeline asks for."""',
        "",
        f"    def set_timesteps({ARGUMENTS}):",
        "        super().set_timesteps(len(TIMESTEPS), device=device)",
        "        self.sigmas = torch.tensor(SIGMAS)",
        "        self.timesteps = torch.tensor(TIMESTEPS, device=device)",
        f"        self.init_noise_sigma = {start!r}",
        "        self.set_begin_index(0)",
        *([indented(_step(scheduler.generator, 1 / end))] if stepped else []),
        "",
        "",
        called(
            "pipe.scheduler = OnLevels.from_config",
            _config(scheduler, of),
            "pipe.scheduler.config",
        ),
        _call_line(len(grid)),
    ]
    return "\n".join(parts)


def _scaled_code(scheduler: Scaled, of: Coordinates, start: float) -> str:
    settings = {"prediction_type": of.words, "use_karras_sigmas": False}
    assignment = called("pipe.scheduler = OnLevels.from_config", settings, "pipe.scheduler.config")
    return "\n".join(
        [*scaled_lines(scheduler, of, start), "", "", assignment, _call_line(scheduler.steps)]
    )


def _config(scheduler: Scheduler, of: Coordinates) -> dict[str, object]:
    """Return the settings that ``from_config`` gets in addition to the pipeline's scheduler's."""
    if scheduler.name.startswith("FlowMatch"):
        return scheduler.settings
    settings = {**scheduler.settings, "prediction_type": of.words, "thresholding": False}
    if of.model.half:
        settings["variance_type"] = None
    return (
        settings
        | {"use_karras_sigmas": False, "use_flow_sigmas": of.kind == "flow"}
        | ({"flow_shift": 1.0, "use_dynamic_shifting": False} if of.kind == "flow" else {})
    )


def _step(generator: bool, end: float) -> str:
    """Return a method ``step`` that takes a generator and ends in the units of the data."""
    keyword = "generator=generator, " if generator else ""
    lines = [
        "",
        "def step(self, model_output, timestep, sample, generator=None, return_dict=True):",
        f"    x = super().step(model_output, timestep, sample, {keyword}return_dict=False)[0]",
    ]
    if end != 1:
        lines += [
            "    if self.step_index == len(TIMESTEPS):",
            f"        x = x * {end!r}  # the end, in the units of the data",
        ]
    lines.append("    return SchedulerOutput(prev_sample=x) if return_dict else (x,)")
    return "\n".join(lines)


def _table_code(rows: tuple[Row, ...], of: Coordinates, start: float) -> str:
    """Return a scheduler whose steps are numbers, in the pipeline's coordinates."""
    ends = [of.scale(row.sigma) for row in rows] + [1.0]
    written = []
    for row, now, then in zip(rows, ends, ends[1:], strict=False):
        weights = ", ".join(repr(then * w) for w in row.b)
        comma = "," if len(row.b) == 1 else ""
        numbers = [repr(of.time(row.sigma)), repr(row.a * then / now), f"({weights}{comma})"]
        written.append(wrapped("(", numbers, "),"))
    return "\n".join(
        [
            "import torch",
            "from diffusers import DPMSolverMultistepScheduler",
            "from diffusers.schedulers.scheduling_utils import SchedulerOutput",
            "",
            "# what the network is told; the next state, as weights of the state and of the outputs, "
            "newest first",
            "ROWS = [",
            indented("\n".join(written)),
            "]",
            "",
            "",
            "class Table(DPMSolverMultistepScheduler):",
            '    """The steps above, whatever a pipeline asks for."""',
            "",
            f"    def set_timesteps({ARGUMENTS}):",
            "        self.timesteps = torch.tensor([row[0] for row in ROWS], device=device)",
            "        self.num_inference_steps, self.seen = len(ROWS), []",
            f"        self.init_noise_sigma = {start!r}",
            "",
            "    def step(self, model_output, timestep, sample, generator=None, return_dict=True):",
            "        _, a, weights = ROWS[len(self.seen)]",
            "        self.seen.insert(0, model_output.float())  # not in half precision",
            "        x = a * sample.float() + sum(w * out for w, out in zip(weights, self.seen))",
            "        x = x.to(sample.dtype)",
            "        return SchedulerOutput(prev_sample=x) if return_dict else (x,)",
            "",
            "",
            "pipe.scheduler = Table.from_config(pipe.scheduler.config)",
            _call_line(len(rows)),
        ]
    )


def _times(levels: tuple[float, ...], of: Coordinates) -> list[float]:
    """Return the times that the network gets at levels."""
    return [of.time(level) for level in levels]


def _call_line(steps: int) -> str:
    return f"# then as always: images = pipe(..., num_inference_steps={steps}).images"
