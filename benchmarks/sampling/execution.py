"""Execution modes: "eager", "compile" (torch.compile), "cuda-graph" and "compile+cuda-graph".

A sampler computes the same in each mode, so one table compares the modes row by row.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...models.denoiser import Denoiser, Pair, Wrapper, wrapped_models

if TYPE_CHECKING:
    from ...samplers import Grid, Sampler
    from ..suites.suite import ExecutionName


def is_compiled(execution: ExecutionName) -> bool:
    """Return True if an execution mode compiles the network."""
    return "compile" in execution.split("+")


def is_captured(execution: ExecutionName) -> bool:
    """Return True if an execution mode records whole runs as CUDA graphs and replays them."""
    return "cuda-graph" in execution.split("+")


def check_executions(executions: Sequence[ExecutionName], device: str) -> None:
    """Check that ``device`` can run these modes; for "compile", compile a trivial program.

    Raises:
        ValueError: a mode needs CUDA and the device is another, or the compiler does not work.
    """
    if any(map(is_captured, executions)) and not device.startswith("cuda"):
        raise ValueError(
            "execution cuda-graph (--cuda-graph) needs --device cuda and a GPU, and this "
            f"run is on {device}; leave it out here"
        )
    if any(map(is_compiled, executions)) and (fault := _compiler_error(device)):
        raise ValueError(
            "execution compile (--compile) needs a compiler that torch can "
            f"use, and here it says: {fault}; leave it out here"
        )


def why_not_executable(
    execution: ExecutionName, sampler: Sampler, model: Denoiser, grid: Grid
) -> str:
    """Return the reason why a sampler on a model cannot run in an execution mode; "" if it can."""
    if execution == "eager":
        return ""
    if is_captured(execution) and not all(layer.capturable for layer in wrapped_models(model)):
        return f"model {model.name} says that it cannot be captured (capturable = False)"
    if getattr(getattr(sampler, "found", None), "times", ()):
        return (
            f"execution {execution} turns levels into tensors, which lose the times at which "
            f"{sampler.name} calls the network here; run it eagerly"
        )
    if has_cost_by_level(model, grid):
        return (
            f"execution {execution} needs evaluations of one cost, and model {model.name} is guided at "
            "some levels only"
        )
    if sampler.nfe(grid) is None:
        return (
            f"execution {execution} needs batches of one shape, and sampler "
            f"{sampler.name} chooses the samples that it evaluates"
        )
    if not is_captured(execution):
        return ""
    from ...samplers.cuda_graphs import why_not_capturable

    return why_not_capturable(sampler, grid)


def has_cost_by_level(model: Denoiser, grid: Grid, *, infinite: bool = False) -> bool:
    """Return True if a level of the grid, or inf if ``infinite``, needs fewer than ``passes``."""
    levels = (math.inf, *grid.sigma) if infinite else grid.sigma
    return any(model.passes_at(sigma) != model.passes for sigma in levels)


def model_for_execution(model: Denoiser, execution: ExecutionName) -> Denoiser:
    """Return the model, compiled if the mode asks for it; later cells share the compiled model."""
    return _compile_model(model) if is_compiled(execution) else model


class Compiled(Wrapper):
    """Compiled network; the first evaluation of each shape compiles it."""

    def __init__(self, inner: Denoiser) -> None:
        from ...samplers.cuda_graphs import as_level_tensor

        super().__init__(inner)
        self._program, self._level = torch.compile(inner.denoise, dynamic=False), as_level_tensor
        own = type(inner).denoise_both is not Denoiser.denoise_both
        self._both = torch.compile(inner.denoise_both, dynamic=False) if own else None

    def denoise(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Tensor:
        """Denoise with the compiled program."""
        # levels are tensors, because torch would compile another program for each float
        return self._program(x, self._level(sigma, x), labels)

    def denoise_both(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Pair:
        """Return both images of a network with guidance of its own, by a compiled program."""
        if self._both is None:
            return super().denoise_both(x, sigma, labels)
        return self._both(x, self._level(sigma, x), labels)

    def rewrapped(self, inner: Denoiser) -> Compiled:
        """Return a wrapper that compiles ``inner``."""
        return Compiled(inner)

    def instrumented(self, wrap: Any) -> Denoiser:
        """Return ``wrap(self)``, so that a call of the compiled model is counted as a whole."""
        return wrap(self)


@lru_cache(maxsize=1)
def _compile_model(model: Denoiser) -> Denoiser:
    # torch limits the number of programs, also of earlier models, and silently runs others eagerly
    torch.compiler.reset()
    return model.instrumented(Compiled)


@cache
def _compiler_error(device: str) -> str:
    """Return the first line of the error from compiling a trivial program; "" if it works."""
    try:
        with warnings.catch_warnings(action="ignore"):
            torch.compile(lambda x: x + 1)(torch.ones(2, device=device))
    except Exception as error:
        lines = (str(error).strip() or type(error).__name__).splitlines()
        return lines[0].strip().rstrip(".")
    return ""
