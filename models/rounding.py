"""Models whose network computes in low precision: by casting it, or by a formula on exact models.

Users run networks in bfloat16, float16 or with float8 weights. States, and the sums of a sampler, stay in the
precision of the run. Endpoints and data come from the model in full precision. So all distances contain the error of
the network's arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from .denoiser import Denoiser, Pair, Wrapper, forwarded, level_per_row
from .process import EDM, Process, RectifiedFlow, VPLinear

ROUNDING = ("network_dtype", "network_level_dtype", "network_predicts")
"""Names of the options of low precision, which every model takes."""

FLOAT8 = "float8_e4m3fn"
DTYPES = ("float32", "bfloat16", "float16", FLOAT8)
"""Precisions of a network. Float8 is a precision of weights; such a network computes in bfloat16."""

PREDICTED = ("edm", "noise", "velocity")
"""Outputs of a network by formula: EDM's F, the noise of a VP process, or the velocity of a flow."""


def add_rounding(
    model: Denoiser,
    network_dtype: Any = None,
    network_level_dtype: Any = None,
    network_predicts: Any = None,
) -> Denoiser:
    """Return ``model`` with its network in low precision; unchanged if ``network_dtype`` is None.

    Args:
        model: any model; the network inside guidance and other wrappers changes.
        network_dtype: one of :data:`DTYPES`.
        network_level_dtype: dtype of the level, or native time, that the network gets; None for
            ``network_dtype`` (bfloat16 for float8).
        network_predicts: one of :data:`PREDICTED`, for a model without a network; None for "edm".

    Raises:
        ValueError: an option is invalid, or does not apply to the model.
    """
    if network_dtype is None:
        if network_level_dtype is not None or network_predicts is not None:
            raise ValueError(
                "network_level_dtype and network_predicts go with a network_dtype, such as "
                "network_dtype=bfloat16"
            )
        return model
    _check_choice("network_dtype", network_dtype, DTYPES)
    computing = "bfloat16" if network_dtype == FLOAT8 else network_dtype
    level = computing if network_level_dtype is None else network_level_dtype
    _check_choice("network_level_dtype", level, DTYPES[:3])
    if network_predicts is not None:
        _check_choice("network_predicts", network_predicts, PREDICTED)
    given = zip(ROUNDING, (network_dtype, network_level_dtype, network_predicts), strict=True)
    what = ",".join(f"{name}={value}" for name, value in given if value is not None)
    precision = Precision(network_dtype, getattr(torch, computing), getattr(torch, level))
    return LowPrecision(model, partial(_rounded, precision, network_predicts), what)


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} is {', '.join(choices[:-1])} or {choices[-1]}, not {value!r}")


class Precision(NamedTuple):
    """Dtypes of a network: of its weights (a name), its arithmetic, and the level that it gets."""

    weights: str
    computing: torch.dtype
    level: torch.dtype


class LowPrecision(Wrapper):
    """Model whose network computes in low precision.

    Args:
        precise: the model in full precision, which gives endpoints, moments and reference.
        change: function from the innermost model to its copy in low precision.
        what: the change in words, for the name and the identity.
    """

    def __init__(
        self, precise: Denoiser, change: Callable[[Denoiser], Denoiser], what: str
    ) -> None:
        super().__init__(precise.instrumented(change))
        self.precise = precise
        self.name, self.identity = f"{precise.name}({what})", f"{precise.identity}({what})"

    denoise_both = forwarded(Denoiser.denoise_both)
    reference = forwarded(Denoiser.reference, "precise")
    moments = forwarded(Denoiser.moments, "precise")
    endpoint = forwarded(Denoiser.endpoint, "precise")

    def to(self, device: torch.device | str) -> Self:
        """Return a copy on ``device``, together with the model in full precision."""
        twin = self.rewrapped(self.inner.to(device))
        twin.precise = self.precise.to(device)
        return twin


def in_full_precision(model: Denoiser) -> Denoiser:
    """Return the full-precision model of one in low precision, also in wrappers; else ``model``."""
    if isinstance(model, LowPrecision):
        return model.precise
    if not isinstance(model, Wrapper) or (inner := in_full_precision(model.inner)) is model.inner:
        return model
    twin = model.rewrapped(inner)
    twin.identity = f"{model.identity} in full precision"
    return twin


def _rounded(precision: Precision, predicts: str | None, model: Denoiser) -> Denoiser:
    """Return a low-precision copy of a model; a :class:`RoundedExactModel` if it has no network."""
    from .checkpoints.programs import ProgramNetwork

    called = called_networks(model)
    parts = [part for network in called for part in network.modules()]
    scripted = any(isinstance(part, torch.jit.ScriptModule) for part in parts)
    if scripted or isinstance(getattr(model, "network", None), ProgramNetwork):
        raise ValueError(
            f"model {model.name} is an exported program, whose arithmetic cannot be changed; leave out "
            f"network_dtype, or export the network in {precision.weights}"
        )
    if not called:
        return RoundedExactModel(model, precision, predicts or PREDICTED[0])
    if predicts is not None:
        raise ValueError(
            f"model {model.name} has a network, whose own output is rounded; leave out network_predicts"
        )
    twin = model.to("cpu")
    networks = called_networks(twin)
    if any(network is own for network in networks for own in called):
        raise ValueError(
            f"model {model.name} cannot be copied, and network_dtype would change its own network; "
            "give it a method to(device) that returns a copy"
        )
    for network in networks:
        cast_network(network, precision)
    return twin


@torch.no_grad()
def called_networks(model: Denoiser) -> list[nn.Module]:
    """Return the networks with weights that ``model`` calls, without their preconditioning.

    One row is evaluated. A module that holds nothing but another network, such as EDM's
    preconditioning, is replaced by that network: users keep preconditioning in float32.
    """
    called: dict[int, nn.Module] = {}
    ran = set[nn.Module]()

    def note(module: nn.Module, _args: tuple[Any, ...]) -> None:
        ran.add(module)
        if not any(module is part for outer in called.values() for part in outer.modules()):
            called[id(module)] = module

    handle = register_module_forward_pre_hook(note)
    try:
        x = torch.zeros(1, *model.event, dtype=model.dtype)
        model.bind(torch.zeros(1, dtype=torch.int64), 0)(x, model.sigma_max)
    finally:
        handle.remove()
    found = (_without_preconditioning(module, ran) for module in called.values())
    return [
        network for network in found if any(p.is_floating_point() for p in network.parameters())
    ]


def _without_preconditioning(module: nn.Module, ran: set[nn.Module]) -> nn.Module:
    """Return the network in wrappers without parameters; ``ran`` are all modules that ran."""
    while True:
        children = list(module.children())
        alone = len(children) == 1 and children[0] in ran  # a ModuleList is never called
        if not alone or any(True for _ in module.parameters(recurse=False)):
            return module
        module = children[0]


def cast_network(network: nn.Module, precision: Precision) -> None:
    """Make ``network`` compute in low precision, in place; callers see float32 in tensors and
    in ``sample`` or ``prediction``.

    Weights and the inputs of every layer with weights are cast. Arguments of the network with at
    most one dimension are taken for the level, and cast to ``precision.level``. Buffers, such as
    the frequencies of an embedding, are not cast.
    """
    for layer in network.modules():
        weights = [p for p in layer.parameters(recurse=False) if p.is_floating_point()]
        for weight in weights:
            stored = weight.data.to(getattr(torch, precision.weights))
            weight.data = stored.to(precision.computing)
        if weights or layer is network:
            level = precision.level if layer is network else precision.computing
            cast_inputs = partial(_cast_inputs, precision.computing, level)
            layer.register_forward_pre_hook(cast_inputs, with_kwargs=True)
    network.register_forward_hook(_cast_output)


def _cast_inputs(
    dtype: torch.dtype,
    level_dtype: torch.dtype,
    _module: nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    def cast(value: Any) -> Any:
        if not isinstance(value, Tensor) or not value.is_floating_point():
            return value
        return value.to(level_dtype if value.ndim <= 1 else dtype)

    return tuple(map(cast, args)), {name: cast(value) for name, value in kwargs.items()}


def _cast_output(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> Any:
    if isinstance(output, Tensor):
        return output.float()
    for name in ("sample", "prediction"):  # outputs of diffusers and transformers
        if isinstance(found := getattr(output, name, None), Tensor):
            output[name] = found.float()
    return output


class RoundedExactModel(Wrapper):
    """Model by formula, rounded as if an ideal network computed it.

    A network reads x_t = alpha x and its native time, and gives F, from which D = a x + b F. Rounding
    is r_x of x_t, r_t of the time and r_F of the output:

        D = a x + b r_F(F(r_x(alpha x), r_t(time))).

    F(x_t, time) is the exact network F = (D(x_t / alpha', s') - a' x_t / alpha') / b', where s',
    alpha', a' and b' belong to the rounded time. So the network alone sees the rounded level. The
    arithmetic inside a network is not rounded.

    Args:
        inner: model by formula.
        precision: dtypes; float8 has no meaning without weights.
        predicts: "edm" for EDM's F of (alpha x, ln(sigma) / 4) (Karras et al. 2022,
            arXiv:2206.00364, Table 1), "noise" for a VP process with times of 0 to 1000 (Song et al.
            2021, arXiv:2011.13456), "velocity" for a rectified flow with times of 0 to 1000.

    Raises:
        ValueError: the precision is float8, or EDM's F needs the data's moments, which are unknown.
    """

    capturable = False  # levels are rounded by way of the CPU

    def __init__(self, inner: Denoiser, precision: Precision, predicts: str) -> None:
        super().__init__(inner)
        if precision.weights == FLOAT8:
            raise ValueError(
                f"model {inner.name} is a formula without weights; choose network_dtype float32, "
                "bfloat16 or float16"
            )
        self.network_dtype, self.precision, self.predicts = precision.computing, precision, predicts
        self.infinite = False
        if predicts == "edm":
            if (moments := inner.moments()) is None:
                raise ValueError(
                    f"model {inner.name} does not say its moments, which EDM's scaling needs; choose "
                    "network_predicts=noise or velocity"
                )
            cov = moments[1]
            self.process: Process = EDM(sigma_data=math.sqrt(float(cov.trace()) / len(cov)))
        else:
            self.process = VPLinear() if predicts == "noise" else RectifiedFlow()

    def denoise(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Tensor:
        """Return D with rounding; see :class:`RoundedExactModel`."""
        return self.denoise_both(x, sigma, labels)[0]

    def denoise_both(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Pair:
        """Return both images of the model, each with the rounding of a network of its own."""
        column = (-1, *[1] * (x.ndim - 1))
        level = level_per_row(sigma, x)
        rounded_level = self._rounded_level(level)
        states = x.double()
        alpha, a, b = (part.reshape(column) for part in self._weights(level))
        alpha_, a_, b_ = (part.reshape(column) for part in self._weights(rounded_level))
        seen = _round(alpha * states, self.precision.computing) / alpha_

        def rounded(exact: Tensor) -> Tensor:
            output = _round((exact - a_ * seen) / b_, self.precision.computing)
            return (a * states + b * output).to(x.dtype)

        guided, other = self.inner.denoise_both(seen, rounded_level, labels)
        return rounded(guided), rounded(other)

    def _rounded_level(self, level: Tensor) -> Tensor:
        if self.predicts == "edm":
            return torch.exp(4 * _round(level.log() / 4, self.precision.level))
        time = torch.from_numpy(self.process.t_of(level.cpu().numpy())) * _TIMES
        rounded = _round(time, self.precision.level) / _TIMES
        # a flow's time may be rounded to 1, an infinite level
        levels = torch.from_numpy(self.process.level(rounded.numpy())).clamp(max=_HIGHEST)
        return levels.to(level.device)

    def _weights(self, level: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return alpha, a and b of x_t = alpha x and D = a x + b F, each ``(n,)`` by row."""
        times = self.process.t_of(level.cpu().numpy())
        alpha = torch.from_numpy(self.process.alpha(times)).to(level.device)
        if self.predicts == "noise":
            return alpha, torch.ones_like(level), -level
        if self.predicts == "velocity":  # D = x_t - t v
            return alpha, alpha, -level * alpha
        assert isinstance(self.process, EDM)
        spread = self.process.sigma_data
        return alpha, (spread * alpha) ** 2, level * spread * alpha


_TIMES = 1000.0
"""Time input of a network at t = 1."""
_HIGHEST = 1e8
"""Level that stands for infinity."""


def _round(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.to(dtype).to(x.dtype)
