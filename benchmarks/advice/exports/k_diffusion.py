"""Lines for k-diffusion, in our coordinates: x = x0 + sigma z, clean image model(x, sigma)."""

from __future__ import annotations

import re
from textwrap import indent
from typing import Any

from ....models.denoiser import Denoiser
from ....samplers import Grid, Sampler
from ....samplers.peers.pairs import NEAR, PAIRS
from ....samplers.spec import parse_spec
from .code_text import OWN_DRAWS, call_code, list_code, model_wrapper_code, step_code
from .equivalents import Configured, StepTable, name_and_options, tabulate_steps, why_no_table

TITLE, SOLVERS = "k-diffusion", ("euler", "heun", "dpmpp_2m")
FUNCTIONS: dict[str, str] = {
    parse_spec(pair.ours)["name"]: parse_spec(pair.theirs)["name"].partition(":")[2]
    for pair in PAIRS
    if pair.theirs.startswith("k-diffusion:") and pair.within < NEAR
} | {"dpmpp_2s": "sample_dpmpp_2s_ancestral"}
"""Functions of k-diffusion that equal our samplers, by our names."""
OPTIONS = ("churn", "s_min", "s_max", "s_noise", "eta", "r", "solver_type")
RENAMED = {"churn": "s_churn", "s_min": "s_tmin", "s_max": "s_tmax"}
"""Names in k-diffusion of options that it names differently, by our names."""
FEWEST = {"sample_dpmpp_2m_sde": 2, "sample_dpmpp_3m_sde": 2}
"""Smallest number of steps of functions that fail with fewer."""
_LAST_STEP = "takes its last step, to 0, like any other"


def missing(sampler: Sampler, model: Denoiser) -> str:  # noqa: ARG001
    """Return why k-diffusion cannot take a sampler's steps; "" if it can."""
    if find_function_call(sampler) is not None:
        return ""
    if sampler.stochastic:
        return f"k-diffusion has no function that draws noise as {sampler.name} does"
    reason = why_no_table(sampler)
    return reason and f"no function of k-diffusion is {sampler.name}: {reason}"


def find_function_call(sampler: Sampler) -> tuple[str, dict[str, Any]] | None:
    """Return name and keywords of k-diffusion's function that equals a sampler; None for none.

    On some grids, the function differs (:func:`_why_not_on_grid`).
    """
    canonical = name_and_options(sampler)
    if canonical is None:
        return None
    order = _LMS.get(canonical.name)
    if order is not None and not canonical.options and set(canonical.ends) <= {"through_zero"}:
        return "sample_lms", {"order": order}
    if canonical.ends:
        return None
    if canonical == Configured("xeab_2", {}, {}):
        return "sample_dpmpp_2m_sde", {"eta": 0.0, "solver_type": "heun"}
    if canonical.name == "dpmpp_2s":
        return None if canonical.options else (FUNCTIONS[canonical.name], {"eta": 0.0})
    ours = "euler_ancestral" if canonical.name == "ddpm" else canonical.name
    if ours not in FUNCTIONS or set(canonical.options) - set(OPTIONS):
        return None
    given = [key for key in OPTIONS if sampler.name == ours and hasattr(sampler, key)]
    return FUNCTIONS[ours], {RENAMED.get(key, key): getattr(sampler, key) for key in given}


_LMS = {f"zab_{k}": k for k in (1, 2, 3, 4)} | {"lms": 4}


def lines(sampler: Sampler, grid: Grid, model: Denoiser, spec: str) -> tuple[str, str]:
    """Return the lines and a remark; raise ValueError if neither function nor numbers fit."""
    remark = "no function of k-diffusion takes these steps, so they are written out as numbers"
    if call := find_function_call(sampler):
        function = call[0]
        why = _why_not_on_grid(function, sampler, grid)
        if not why:
            return _call_code(*call, grid, model, spec), OWN_DRAWS if sampler.stochastic else ""
        if sampler.stochastic:
            raise ValueError(f"k-diffusion's {function} {why}; take more steps")
        remark = f"{function} {why}, so the steps are written out as numbers"
        if why == _LAST_STEP:
            remark += f"; {sampler.name}(through_zero=True) takes that step too, as a call"
    return _loop_code(tabulate_steps(sampler, grid), grid, model, spec), remark


def named_solver(code: str) -> str:
    """Return the solver that the lines ``code`` call; "" if they write the steps as numbers."""
    found = re.search(r"sampling\.sample_(\w+)", code)
    return found[1] if found else ""


def is_written_as_numbers(sampler: Sampler, grid: Grid, model: Denoiser) -> bool:  # noqa: ARG001
    """Return True if no k-diffusion function takes these steps, so lines have them as numbers."""
    call = find_function_call(sampler)
    return call is None or bool(_why_not_on_grid(call[0], sampler, grid))


def _why_not_on_grid(function: str, sampler: Any, grid: Grid) -> str:
    """Return how a function differs from the sampler on this grid; "" if they are equal."""
    if len(grid) < FEWEST.get(function, 1):
        return "fails on one step"
    if function == "sample_lms" and grid.to_zero and not getattr(sampler, "through_zero", False):
        return _LAST_STEP
    return ""


def _call_code(
    function: str, arguments: dict[str, Any], grid: Grid, model: Denoiser, spec: str
) -> str:
    positional = ("model", "sigmas[0] * noise", "sigmas")
    code = [
        "import torch",
        "from k_diffusion import sampling",
        "",
        *model_wrapper_code(model, spec),
        list_code("levels", grid.sigma),
        "sigmas = torch.tensor(levels, device=noise.device)",
        call_code(f"samples = sampling.{function}", arguments, *positional),
    ]
    return "\n".join(code)


def _loop_code(steps: StepTable, grid: Grid, model: Denoiser, spec: str) -> str:
    rows = "\n".join(step_code(row.b, repr(row.sigma), repr(row.a)) for row in steps.rows)
    top = grid.sigma[0]
    skipped = f"# a first step, from level {top:g} to the first row's, needs no evaluation"
    code = [
        "import torch",
        "",
        *model_wrapper_code(model, spec),
        "# level of the evaluation; the next state, as weights of the state and of clean images, newest first",
        "ROWS = [",
        indent(rows, "    "),
        "]",
        "",
        "",
        "@torch.no_grad()",
        "def sample_rows(model, x):",
        "    seen = []",
        "    for sigma, a, weights in ROWS:",
        "        seen.insert(0, model(x, x.new_full([len(x)], sigma)))",
        "        x = a * x + sum(w * d for w, d in zip(weights, seen))",
        "    return x",
        "",
        "",
        *([skipped] if steps.start != 1 else []),
        f"samples = sample_rows(model, {steps.start * top!r} * noise)",
    ]
    return "\n".join(code)
