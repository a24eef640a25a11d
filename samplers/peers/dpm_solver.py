"""The DPM-Solver and UniPC of their authors' repositories, whose files share one interface."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .base import Peer
from .call import Call, image
from .locate import clone_file, load_script


@contextlib.contextmanager
def _quietly(dtype: torch.dtype) -> Iterator[None]:
    """A context with the default dtype ``dtype``, which these files assume, and nothing printed."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        torch.set_default_dtype(default)


class VarianceExploding:
    """The noise schedule alpha = 1, sigma = t as these files ask for it."""

    # ruff: noqa: D102 - the methods' names are their definitions

    T, total_N = 1.0, 1000  # noqa: N815 - the names that they read

    def marginal_log_mean_coeff(self, t: Tensor) -> Tensor:
        return torch.zeros_like(t)

    def marginal_alpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def marginal_std(self, t: Tensor) -> Tensor:
        return t

    def marginal_lambda(self, t: Tensor) -> Tensor:
        return -torch.log(t)

    def inverse_lambda(self, lam: Tensor) -> Tensor:
        return torch.exp(-lam)


@dataclass(frozen=True, kw_only=True)
class DPMSolverOrUniPC(Peer):
    """The authors' DPM-Solver or UniPC on the levels of our grid.

    On fewer steps than its order, the order is their number.
    """

    def integrate(self, call: Call, x: Tensor) -> Tensor:
        """Over the positive levels; the step to 0 is x <- d, as their denoise_to_zero."""
        steps = len(call.positive) - 1
        if steps < 1:
            return call.jump(x)
        options = self.options
        order = (
            min(options.pop("order"), steps) if self.target == "multistep" else options.pop("order")
        )
        module = load_script(clone_file(self.name))
        cls = module.UniPC if self.name.startswith("UniPC") else module.DPM_Solver
        built = {key: options.pop(key) for key in ("algorithm_type", "variant") if key in options}
        with _quietly(x.dtype):
            solver = cls(
                lambda y, t: call.eps(y.reshape(x.shape), t).reshape(y.shape),
                VarianceExploding(),
                **built,
            )
            inner, ends, levels = (
                solver.get_time_steps,
                (call.positive[0], call.positive[-1]),
                call.levels(x, call.positive).to(x.dtype),
            )

            def ours(skip_type: str, t_T: float, t_0: float, N: int, device: Any) -> Tensor:
                return (
                    levels
                    if levels.numel() == N + 1 and (t_T, t_0) == ends
                    else inner(skip_type, t_T, t_0, N, device)
                )

            solver.get_time_steps = ours
            count = steps * order if self.target == "singlestep_fixed" else steps
            arguments = {
                "t_start": ends[0],
                "t_end": ends[1],
                "skip_type": "logSNR",
                "method": self.target,
                **options,
            }
            return call.jump(
                solver.sample(image(x), steps=count, order=order, **arguments).reshape(x.shape)
            )
