"""Export of noise levels and samplers to other libraries: ``samplerbench.export``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..samplers import Grid
from .arguments import make_sampler, model_spec
from .planning.model_loading import load_model


def export(
    sigmas: Sequence[float] | str | None = None,
    to: str = "k-diffusion",
    *,
    schedule: str | None = None,
    steps: int | None = None,
    model: Any = None,
    sampler: Any = None,
    out: Path | str | None = None,
) -> dict[str, Any]:
    """Return noise levels, or a sampler with noise levels, in the form that another library takes.

    Args:
        sigmas: noise levels in falling order, or a text such as "karras(rho=7):10:0.002:80" (its
            schedule, steps, least and largest level); None for a schedule on a model's range.
        to: "diffusers" or "k-diffusion"; with a sampler "comfyui", "comfyui-node" and "python" too.
        schedule: schedule on the range of ``model``; None for the model's own levels, or karras if it has none.
        steps: number of steps of the schedule.
        model: a spec or an object.
        sampler: sampler to export together with the levels; needs ``model``.
        out: folder for a table of coefficients and the code that runs it: a scheduler for "diffusers", a node
            for "comfyui-node". Other files in the folder are kept.

    Returns:
        A dictionary with ``library``. With a sampler it has ``code`` (the lines to paste), ``remark`` (what the
        library does differently) and, with ``out``, ``files`` (the paths written). Without a sampler it has
        ``sigmas``, ``call`` (the code that takes the levels) and ``notes``.

    Raises:
        ValueError: arguments do not go together, or the library cannot take the levels or the sampler.

    >>> export([80.0, 1.0, 0.0])["call"]
    'sampling.sample_dpmpp_2m(model, x, torch.tensor(sigmas))'
    """
    from ..samplers.peers import export_sigmas
    from .advice.exports import export as export_lines
    from .advice.exports import export_folder
    from .planning.fitting import Pilot
    from .planning.schedules import levels_of_schedule, read_levels

    by_model = steps is not None and model is not None
    alone = sampler is None or model is None  # a list of levels needs a model only for a sampler
    if by_model == (sigmas is not None) or ((steps is None) != (model is None) and alone):
        raise ValueError("give a list of levels, or both --steps and --model (with --schedule)")
    if schedule is not None and steps is None:
        raise ValueError(f"--schedule {schedule} needs --steps; the levels are given already")
    if sampler is not None and model is None:
        raise ValueError(f"--sampler {sampler} needs the model that it samples; give --model")
    subject = None if model is None else load_model(model_spec(model)).model
    solver = None if sampler is None else make_sampler(sampler)
    if out is not None and solver is None:
        raise ValueError("--out writes a table of a sampler; give --sampler and --model")
    if steps is not None and subject is not None:
        levels, solver = levels_of_schedule(schedule, steps, subject, solver)
    else:
        levels = read_levels(sigmas) if isinstance(sigmas, str) else tuple(map(float, sigmas))  # type: ignore[arg-type]
    if solver is None or subject is None:
        return export_sigmas(to, levels)
    if getattr(solver, "needs_look", False):
        solver = Pilot(subject, None, "cpu").fitted(solver, Grid(levels))
    if out is None:
        return asdict(export_lines(to, solver, Grid(levels), subject, model_spec(model)))
    return export_folder(to, solver, Grid(levels), subject, str(out)).write(to, Path(out))
