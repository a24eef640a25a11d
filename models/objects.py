"""Models from the objects of a script or notebook: functions, modules, and instances of classes."""

from __future__ import annotations

import functools
import hashlib
import inspect
import io
import os
import pickle
from collections.abc import Callable, Iterable, Sequence
from types import CodeType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .adapters import NativeDenoiser, Prediction
from .denoiser import Denoiser
from .loaders.python_file import FileModel, ForeignDenoiser
from .loaders.user_files import is_users_file, module_file
from .networks import networks_in, parameter_dtype
from .process import Discrete, Process

Draw = Callable[[int, int], Tensor]
"""Function of (n, seed) that gives samples ``(n, *event)`` of the data."""


class _FunctionDenoiser:
    """Function ``denoise`` with the attributes that the harness reads from a model."""

    def __init__(self, denoise: Callable[[Tensor, Any], Tensor], **attributes: Any) -> None:
        self.denoise = denoise
        vars(self).update(attributes)

    def __call__(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        return self.denoise(x, sigma)


def from_function(
    denoise: Callable[[Tensor, Any], Tensor],
    *,
    event: Sequence[int],
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    data: Tensor | np.ndarray | Draw | None = None,
    limits: tuple[float, float] | None = None,
    dtype: torch.dtype = torch.float32,
    network_dtype: torch.dtype | None = None,
    name: str = "function",
) -> Denoiser:
    """Make a model of a function ``denoise(x, sigma)`` that estimates E[x0 | x = x0 + sigma z].

    Args:
        denoise: function of ``x`` ``(batch, *event)`` and a level, a float or ``(batch,)``. Row k
            of the result must depend on row k of ``x`` and its level only.
        event: shape of one sample.
        sigma_min: lowest noise level that ``denoise`` accepts.
        sigma_max: highest noise level.
        data: real samples ``(n, *event)``, n >= 12, of which every sixth is held out; or a function
            of (n, seed) that draws n new ones. None means no data, and no Fréchet distance to data.
        limits: range of the values of the data.
        dtype: dtype of the state.
        network_dtype: dtype to which ``x`` and a tensor of levels are cast before the call; None for that of the
            first network in the function. A function that casts for a network of 16 bits itself needs float32.
        name: name in tables.

    Raises:
        ValueError: ``event``, a noise level, ``limits``, ``dtype`` or ``data`` is invalid.

    >>> model = from_function(lambda x, sigma: x / (1 + sigma**2), event=(2,))
    >>> model.event, model.sigma_max
    ((2,), 80.0)
    """
    draw = data if data is None or callable(data) else _make_draw(torch.as_tensor(data))
    own = {
        "event": tuple(event) if isinstance(event, Iterable) else event,  # a number is refused
        "sigma_min": sigma_min,
        "sigma_max": sigma_max,
        "dtype": dtype,
        "limits": limits,
    }
    if network_dtype is not None:  # identities from before this argument lack it
        own["network_dtype"] = network_dtype
    model = _FunctionDenoiser(denoise, **own, **({"sample": draw} if draw else {}))
    made = FileModel(model, name, f"{name}-{digest_of_object(denoise, *own.values())}")
    _ = made.fixed_data  # refuses data of a wrong shape or number
    return made


def from_network(
    network: Callable[..., Tensor],
    prediction: Prediction = "eps",
    *,
    event: Sequence[int],
    process: Process | None = None,
    limits: tuple[float, float] | None = None,
    name: str = "network",
) -> Denoiser:
    """Make a model of a network that predicts noise, or another ``prediction``, at its native time.

    Args:
        network: function of the state ``x_t`` = alpha x0 + sigma z and the native time ``t``
            ``(batch,)``, float32 unless its weights are float64. A third argument, if it has one, is None. An
            ``nn.Module`` is put in evaluation mode and frozen.
        prediction: type of the output, as in :class:`~samplerbench.models.adapters.NativeDenoiser`.
        event: shape of one sample.
        process: noising process of the training; None for the 1,000 linear betas of Ho et al. 2020.
        limits: range of the values of the data.
        name: name in tables.

    Raises:
        ValueError: the prediction is unknown, or does not fit the process.
    """
    process = process or Discrete.of_betas(np.linspace(1e-4, 0.02, 1000))
    times = np.arange(float(len(process.levels))) if isinstance(process, Discrete) else None
    # 16 bits would round the time, and a function may use networks of several dtypes
    is_double = isinstance(network, nn.Module) and parameter_dtype(network) == torch.float64
    dtype = torch.float64 if is_double else torch.float32
    return NativeDenoiser(
        _accept_labels(network),
        process,
        prediction,
        name=name,
        event=tuple(event),
        identity=f"{name}-{digest_of_object(network, prediction, tuple(event), process, limits)}",
        times=times,
        network_dtype=dtype,
        limits=limits,
    )


def as_model(name: str, given: Any) -> Denoiser:
    """Make a model of a script's object.

    Args:
        name: name in tables.
        given: a Denoiser, or an object that a factory in a Python file may return
            (:mod:`samplerbench.models.loaders.python_file`).

    Raises:
        ValueError: the object lacks an attribute, or one is invalid; the message has the remedy.
    """
    if isinstance(given, Denoiser):
        return ForeignDenoiser(given, name, name)
    if isinstance(given, nn.Module) and not hasattr(given, "sigma_max"):
        raise ValueError(
            f"model {name}: a module does not say what it predicts; wrap it, such as "
            "samplerbench.from_network(module, 'eps', event=(3, 32, 32))"
        )
    if callable(given) and not hasattr(given, "event"):
        raise ValueError(
            f"model {name}: a function does not say the shape of a sample; wrap it, such as "
            "samplerbench.from_function(denoise, event=(2,), sigma_min=0.002, sigma_max=80)"
        )
    return FileModel(given, name, f"{name}-{digest_of_object(given)}")


def digest_of_object(given: Any, *settings: object) -> str:
    """Return a hash, 16 hexadecimal digits, of an object's source, values and network weights.

    Values are attributes, used globals, closures, defaults, arguments of a ``functools.partial``, and
    ``settings``. Of a user's functions among them, their values enter too; of a network's layers, their
    attributes, and the source of a user's classes. Of a value that cannot be pickled, only the type enters.
    """
    digest = hashlib.sha256(_bytes_of(settings))
    plain = inspect.isroutine(given) or inspect.isclass(given)
    digest.update(_source_of(given if plain else type(given)) or repr(type(given)).encode())
    kinds = {} if plain else dict.fromkeys(type(given).__mro__[1:])
    holder = given.__self__ if inspect.ismethod(given) else given
    values = {} if plain and holder is given else dict(getattr(holder, "__dict__", {}))
    if isinstance(holder, nn.Module):
        values = _attributes_of(holder)
    called = getattr(given, "__func__", given)
    if isinstance(given, functools.partial):
        called, positional = given.func, {f"{i}": part for i, part in enumerate(given.args)}
        values |= {"func": called, **positional, **given.keywords}
    functions = [f for f in (called, getattr(given, "denoise", None)) if inspect.isfunction(f)]
    # functools.wraps may have copied the attributes of a network
    functions += [f for f in map(inspect.unwrap, functions) if inspect.isfunction(f)]
    for function in functions:
        values |= _values_of(function)
    for name, value in sorted(values.items()):
        if not isinstance(value, ModuleType | nn.Module):
            digest.update(name.encode() + _bytes_of(value))
    for network in networks_in(given):
        for key, tensor in sorted(network.state_dict().items()):
            digest.update(key.encode() + _bytes_of_numbers(tensor))
        for name, layer in network.named_modules():
            kinds |= dict.fromkeys(type(layer).__mro__)
            if layer is not holder:
                digest.update(f"{name} {type(layer).__qualname__}".encode())
                # one by one, since a pickle of several shows which of them are one object
                for key, value in sorted(_attributes_of(layer).items()):
                    digest.update(key.encode() + _bytes_of(value))
    for kind in kinds:
        if kind.__module__ == "__main__" or is_users_file(module_file(kind.__module__) or ""):
            digest.update(_source_of(kind))
    return digest.hexdigest()[:16]


def _source_of(code: Any) -> bytes:
    """Return source text; without a text, compiled code of a function or of a class's methods."""
    try:
        return inspect.getsource(code).encode()
    except (OSError, TypeError):  # a class of a notebook, typed into a console, or no Python
        parts = vars(code).items() if inspect.isclass(code) else [("", code)]
        compiled = [
            name.encode() + _bytes_of_code(f.__code__)
            for name, f in parts
            if hasattr(f, "__code__")
        ]
        return b"".join(compiled)


def _bytes_of_code(code: CodeType) -> bytes:
    parts = [code.co_code, repr(code.co_names).encode()]
    for held in code.co_consts:
        plain = sorted(map(repr, held)) if isinstance(held, frozenset) else held
        parts.append(_bytes_of_code(held) if isinstance(held, CodeType) else repr(plain).encode())
    return b"".join(parts)


def _attributes_of(module: nn.Module) -> dict[str, Any]:
    """Return a module's own attributes, without weights, inner modules and the mode."""
    simple = bool | int | float | str | tuple | Tensor
    # an address in memory is no setting
    own = {*vars(nn.Module()), "_torchdynamo_wrapper_id"}
    return {
        key: value
        for key, value in vars(module).items()
        if key not in own and (key[0] != "_" or isinstance(value, simple))
    }


def _values_of(function: Any) -> dict[str, Any]:
    """Return the globals, variables of outer functions and defaults that a function uses."""
    used = inspect.getclosurevars(function)
    defaults = (function.__defaults__, function.__kwdefaults__)
    return {**used.globals, **used.nonlocals, "defaults": defaults}


def _bytes_of_numbers(tensor: Tensor) -> bytes:
    # NumPy has no bfloat16
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


class _Pickler(pickle.Pickler):
    def persistent_id(self, value: Any) -> bytes | None:
        # of sets too, whose order differs between processes; reducer_override never gets them
        return _bytes_of(value) if isinstance(value, set | frozenset) else None

    def reducer_override(self, value: Any) -> Any:
        # a tensor's own pickle holds an address in memory
        return (bytes, (_bytes_of(value),)) if isinstance(value, Tensor) else NotImplemented


def _bytes_of(value: Any, seen: set[Any] | None = None) -> bytes:
    seen = set() if seen is None else seen
    try:
        if isinstance(value, Tensor):
            return repr((value.dtype, value.shape)).encode() + _bytes_of_numbers(value)
        if isinstance(value, set | frozenset):  # its order differs between processes
            return b"".join(sorted(_bytes_of(part, seen) for part in value))
        if inspect.isfunction(value):
            source, file = _source_of(value), value.__code__.co_filename
            if value in seen or (os.path.isfile(file) and not is_users_file(file)):
                return source
            seen.add(value)
            held = {
                name: part
                for name, part in sorted(_values_of(value).items())
                if not isinstance(part, ModuleType | nn.Module)
                and not (name == "defaults" and part[0] is part[1] is None)
            }
            parts = (name.encode() + _bytes_of(held[name], seen) for name in held)
            return source + b"".join(parts)
        _Pickler(stream := io.BytesIO()).dump(value)
        return stream.getvalue()
    except Exception:  # a user's class may raise any
        return repr(type(value)).encode()


def _make_draw(data: Tensor) -> Draw:
    def draw(n: int, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return data[torch.randint(len(data), (n,), generator=generator)]

    draw.fixed_rows = data  # type: ignore[attr-defined]
    return draw


def _accept_labels(network: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return ``network``; if it takes no third argument, a wrapper that drops the labels."""
    plain = getattr(network, "_orig_mod", network)  # torch.compile hides the signature
    called = plain.forward if isinstance(plain, nn.Module) else plain
    try:
        inspect.signature(called).bind("x_t", "t", "labels")
    except (TypeError, ValueError):  # a traced function has no signature
        if isinstance(network, nn.Module):
            return _LabelIgnoringNetwork(network)
        # no module, since copies and casts find the networks of a function in a partial
        return functools.partial(_call_without_labels, network)
    return network


def _call_without_labels(
    network: Callable[..., Tensor], x_t: Tensor, t: Tensor, _labels: Tensor | None
) -> Tensor:
    return network(x_t, t)


class _LabelIgnoringNetwork(nn.Module):
    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, x_t: Tensor, t: Tensor, _labels: Tensor | None) -> Tensor:
        return self.network(x_t, t)
