"""Samplers from their authors' repositories: dpm-solver, UniPC, diff-sampler, EDM."""

from __future__ import annotations

import contextlib
import inspect
import io
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .base import Peer, PeerBatch, as_image_batch, define_peer
from .locate import SOURCES, clone_file, load_functions, load_script, name_and_hash_of_file


@contextlib.contextmanager
def _silent_with_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Set torch's default dtype to ``dtype``, and discard printed text, inside this context."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        torch.set_default_dtype(default)


class VarianceExploding:
    """Noise schedule alpha = 1, sigma = t, with the methods that DPM-Solver and UniPC call."""

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
    """Authors' DPM-Solver or UniPC on our levels; N steps have multistep orders up to N."""

    def run(self, batch: PeerBatch, x: Tensor, levels: Tensor) -> Tensor:
        steps, options, levels = len(levels) - 1, self.options, levels.to(x.dtype)
        order = options.pop("order")
        if self.target == "multistep":
            order = min(order, steps)
        ends = (batch.grid.positive[0], batch.grid.positive[-1])
        module = load_script(clone_file(self.name))
        cls = module.UniPC if self.name.startswith("UniPC") else module.DPM_Solver
        built = {key: options.pop(key) for key in ("algorithm_type", "variant") if key in options}

        def eps(y: Tensor, t: Tensor) -> Tensor:
            return batch.eps(y.reshape(x.shape), t).reshape(y.shape)

        with _silent_with_dtype(x.dtype):
            solver = cls(eps, VarianceExploding(), **built)
            inner = solver.get_time_steps

            def grid_levels(skip_type: str, t_T: float, t_0: float, N: int, device: Any) -> Tensor:
                if levels.numel() == N + 1 and (t_T, t_0) == ends:
                    return levels
                return inner(skip_type, t_T, t_0, N, device)

            solver.get_time_steps = grid_levels
            count = steps * order if self.target == "singlestep_fixed" else steps
            options |= {"t_start": ends[0], "t_end": ends[1], "skip_type": "logSNR"}
            options |= {"steps": count, "order": order, "method": self.target}
            y = solver.sample(as_image_batch(x), **options)
            return y.reshape(x.shape)


_DPM_SOLVER = {"algorithm_type": "dpmsolver++", "order": 2, "solver_type": "dpmsolver"}
_OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "dpm-solver": {
        "multistep": {**_DPM_SOLVER, "lower_order_final": True},
        "singlestep_fixed": _DPM_SOLVER,
    },
    "UniPC": {
        "multistep": {
            "algorithm_type": "data_prediction",
            "order": 3,
            "variant": "bh1",
            "lower_order_final": True,
        }
    },
}
_DIFF_SAMPLER = {"max_order", "predict_x0", "lower_order_final", "variant", "afs"}
_EDM_OPTIONS = {"S_churn", "S_min", "S_max", "S_noise"}


def names(library: str) -> list[str]:
    """Return the names of a repository's methods.

    Raises:
        ValueError: there is no clone of the repository.
    """
    file = clone_file(library)
    if library in _OPTIONS:
        return sorted(_OPTIONS[library])
    if library == "edm":
        return ["edm_sampler"]
    return sorted(
        key
        for key in vars(load_script(file, "solver_utils"))
        if key.endswith("_sampler") and not key.startswith("amed")
    )


def make_class(name: str) -> type[Peer]:
    """Return the :class:`Peer` subclass ``LIBRARY:METHOD``, with its options as fields."""
    library, _, target = name.partition(":")
    file = clone_file(name)
    declared: dict[str, Any] = {"source": SOURCES[library], "origin": name_and_hash_of_file(file)}
    if library in _OPTIONS:
        return define_peer(DPMSolverOrUniPC, name, _OPTIONS[library][target], **declared)
    base, option_names = (EDM, _EDM_OPTIONS) if library == "edm" else (DiffSampler, _DIFF_SAMPLER)
    takes = inspect.signature(_load_function(name)).parameters
    options = {
        key: float(p.default) if library == "edm" else p.default
        for key, p in takes.items()
        if key in option_names
    }
    if target == "deis_sampler":
        options["deis_mode"] = "tab"
    return define_peer(base, name, options, **declared)


def _load_function(name: str) -> Any:
    """Return the function of a peer of diff-sampler or of EDM, whose script is not run."""
    library, _, target = name.partition(":")
    if library == "edm":
        return load_functions(clone_file(name), torch=torch, np=np)[target]
    return getattr(load_script(clone_file(name), "solver_utils"), target)


class _DenoiserAsNetwork(SimpleNamespace):
    """Our denoiser in the form of the network that EDM's and diff-sampler's functions call."""

    batch: PeerBatch
    shape: torch.Size

    def __call__(self, x: Tensor, t: Tensor, *_: Any, **__: Any) -> Tensor:
        return self.batch.denoised(x.reshape(self.shape), t).reshape(x.shape)


@dataclass(frozen=True, kw_only=True)
class DiffSampler(Peer):
    """Sampler of diff-sampler on the levels of our grid."""

    def run(self, batch: PeerBatch, x: Tensor, levels: Tensor) -> Tensor:
        options, module = self.options, load_script(clone_file(self.name), "solver_utils")
        if "deis_mode" in options:
            options["coeff_list"] = module.get_deis_coeff_list(
                levels, options["max_order"], deis_mode=options.pop("deis_mode")
            )
        net, latents = _DenoiserAsNetwork(batch=batch, shape=x.shape), as_image_batch(x / levels[0])
        y = getattr(module, self.target)(
            net, latents, num_steps=len(levels), t_steps=levels, **options
        )
        return y.reshape(x.shape)


@dataclass(frozen=True, kw_only=True)
class EDM(Peer):
    """EDM's sampler (Alg. 2), in float64, on the levels of our grid, which has to end at 0."""

    steps_to_zero = True

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        return bool(getattr(self, "S_churn", 0))

    def run(self, batch: PeerBatch, x: Tensor, levels: Tensor) -> Tensor:
        """Return the states after EDM's function, whose hook ``round_sigma`` returns our levels."""
        if not batch.grid.to_zero:
            raise ValueError(f"{self.name} always steps to 0; use end = zero")
        levels = levels[:-1]
        net = _DenoiserAsNetwork(
            batch=batch,
            shape=x.shape,
            sigma_min=0.0,
            sigma_max=float("inf"),
            round_sigma=lambda s: levels if s.ndim else s,
        )
        draw = batch.step_noise_function()
        return _load_function(self.name)(
            net,
            x.double() / levels[0],
            randn_like=lambda y: draw().to(y),
            num_steps=len(levels),
            sigma_min=batch.grid.positive[-1],
            sigma_max=batch.grid.positive[0],
            **self.options,
        )
