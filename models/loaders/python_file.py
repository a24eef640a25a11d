"""``file.py:factory``: a model from a user's Python file.

The factory returns a callable ``model(x, sigma) -> d`` that estimates E[x0 | x = x0 + sigma z]. The model has the
attributes

* ``event``: shape of one sample; ``sigma_min`` < ``sigma_max``: range of noise levels that it accepts;
* optionally ``dtype``: dtype of the state, by default ``torch.float32``; ``passes``: network evaluations in one call,
  such as 2 with built-in guidance, by default 1;
* optionally ``bind(ids, seed)``: returns the callable for the samples ``ids``, if each sample draws a label or prompt;
* optionally ``sample(n, seed)``: ``(n, *event)`` samples of the data, and ``moments()``: exact mean ``(d,)`` and
  covariance ``(d, d)`` of the flattened data. The model's samples are compared with these;
* optionally ``network_dtype``: dtype to which ``x`` and a tensor of levels are cast, by default the
  dtype of the model's parameters, if any are found;
* optionally ``kind``: ``"map"`` for a few-step map, such as a consistency model, which returns the end of the ODE path
  through x and not E[x0 | x];
* optionally ``limits``: two numbers, the range of the data's values. Samples are clamped to it before their features
  are taken (``--extractor inception:WEIGHTS`` needs it);
* optionally ``decode(x)``: images ``(batch, *image)`` of clean samples ``(batch, *event)``, for a model of latents.
  Features and ``limits`` then refer to images; ``sample`` and ``moments`` still refer to latents;
* optionally ``mode_of(x)``: ``(batch,)`` int64, the mode of each clean sample; ``to(device)``: the same model on
  another device.

``x`` is ``(batch, *event)``, ``sigma`` a float or ``(batch,)``, and the result has the shape of ``x``. Row k of the
result may depend on row k of the inputs only. All these functions are called without gradients, unless inside
``torch.enable_grad()``. So an ``nn.Module`` can be returned as it is; call its ``eval()`` in the factory. A factory may
also return a :class:`~samplerbench.models.Denoiser`, such as one of :mod:`samplerbench.models.adapters`.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

import numpy as np
import torch
from torch import Tensor

from ..denoiser import Denoiser, Kind, Pair, Wrapper
from ..networks import check_call, check_shape, check_tensor, copy_to_device, parameter_dtype
from ..reference import (
    MOST_OUTSIDE,
    FloatArray,
    Identity,
    Moments,
    Reference,
    Statistics,
    split_held_out,
)
from . import loader
from .source_file import LoadedValue, call_function, identity_of_options, with_default_dtype

Call = Callable[[Tensor, float | Tensor], Tensor]
Method = TypeVar("Method", bound=Callable[..., Any])
LARGEST_DECODED = 4096
"""Most values of a decoded image for a reference; a larger covariance takes gigabytes."""
REFERENCE_SAMPLES = 50_000
REFERENCE_SEED, HELD_OUT_SEED = 2_000_000, 2_000_001
_REQUIRED = {
    "event": "the shape of one sample, such as (1, 28, 28)",
    "sigma_min": "the smallest noise level",
    "sigma_max": "the largest noise level",
}


@dataclass(eq=False)
class FileDecoder:
    """Decoder (:class:`~samplerbench.models.decoding.Decoder`) around a user's ``decode``."""

    identity = ""  # the model's own identity contains the hash of the file
    batch = 64

    decode: Callable[[Tensor], Tensor]
    event: tuple[int, ...]
    limits: tuple[float, float] | None
    device: torch.device | str = "cpu"
    default_dtype: torch.dtype | None = None

    def __call__(self, latents: Tensor) -> Tensor:
        """Return the images that the user's ``decode`` gives, in the dtype of the latents."""
        with with_default_dtype(self.default_dtype):
            images = self.decode(latents)
        return images.to(latents.dtype) if isinstance(images, Tensor) else images

    def to(self, device: torch.device | str) -> FileDecoder:
        """Return a copy with its networks on ``device``."""
        return replace(self, decode=copy_to_device(self.decode, device), device=device)


def file_decoder(
    name: str, model: Any, event: tuple[int, ...], limits: tuple[float, float] | None
) -> FileDecoder | None:
    """Return the decoder of a user's model; None if the model has no ``decode``.

    The size of images is found by decoding one latent of zeros. Raises a ValueError if ``decode``
    fails, or does not return one image.
    """
    if not hasattr(model, "decode"):
        return None
    try:
        with torch.no_grad():
            image = model.decode(torch.zeros(1, *event))
    except Exception as error:
        from ..checkpoints.opening import error_in_words

        raise ValueError(
            f"{name}: decode fails on a latent of zeros {(1, *event)} ({error_in_words(error, 200)})"
        ) from error
    if not isinstance(image, Tensor) or image.ndim < 2 or len(image) != 1:
        description = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
        raise ValueError(
            f"{name}: decode gave {description} for one latent; it must return a tensor (batch, *image)"
        )
    return FileDecoder(model.decode, tuple(image.shape[1:]), limits)


@loader("python_file", usage="file.py:factory")
def load(spec: str, **params: Any) -> Denoiser:
    """Load the model that the factory ``path/to/file.py:factory`` returns for ``params``.

    The model's identity contains a hash of the files that the model was made of.

    Raises:
        ValueError: there is no such file or factory, the file fails to import, the factory raises, or its result is not
            a valid model.
    """
    loaded, name = call_function(spec, "model", **params), Path(spec).name
    return as_denoiser(loaded, name, f"{name}-{loaded.read.digest}{identity_of_options(params)}")


def as_denoiser(loaded: LoadedValue, name: str, identity: str) -> Denoiser:
    """Return a Denoiser around ``loaded``, the result of a factory or loader, with its files.

    Raises a ValueError if the result is not a valid model.
    """
    kind = ForeignDenoiser if isinstance(loaded.value, Denoiser) else FileModel
    with with_default_dtype(loaded.default_dtype):
        model = kind(loaded.value, name, identity)
    model.read, model.default_dtype = loaded.read, loaded.default_dtype
    if isinstance(model.decoder, FileDecoder):
        model.decoder.default_dtype = loaded.default_dtype
    return model


def _users_call(method: Method) -> Method:
    """Run a method without gradients, in the default dtype of the model's file; an exit is an error."""

    @torch.no_grad()
    @functools.wraps(method)
    def call(self: Any, *args: Any, **named: Any) -> Any:
        with with_default_dtype(self.default_dtype):
            try:
                return method(self, *args, **named)
            except SystemExit as error:
                raise RuntimeError(f"it called sys.exit({error.code!r})") from error

    return cast(Method, call)


class ForeignDenoiser(Wrapper):
    """Wrapper of a Denoiser from a user's code, with another name and a longer identity."""

    users_code = True
    default_dtype: torch.dtype | None = None

    def __init__(self, inner: Denoiser, name: str, identity: str) -> None:
        super().__init__(inner)
        self.name, self.identity = name, f"{identity}-{inner.identity}"
        self.limits = _stated_limits(name, inner)

    @_users_call
    def denoise(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Tensor:
        """Return the inner model's result, detached from its parameters."""
        return super().denoise(x, sigma, labels).detach()

    @_users_call
    def denoise_both(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Pair:
        """Return the inner model's guided image and the image to guide away from, detached."""
        guided, free = self.inner.denoise_both(x, sigma, labels)
        return guided.detach(), free.detach()

    data = _users_call(Wrapper.data)
    mode_of = _users_call(Wrapper.mode_of)


class FileModel(Denoiser):
    """Denoiser around the result of a user's factory.

    It has no classes (``classes`` is 0). If the model has ``bind``, labels are rows (id, seed), the
    arguments of ``bind``.

    Raises:
        ValueError: the model is not callable with x and sigma, or an attribute is missing or invalid.
    """

    users_code = True
    default_dtype: torch.dtype | None = None

    def __init__(self, model: Any, name: str, identity: str) -> None:
        for attribute, what in _REQUIRED.items():
            if not hasattr(model, attribute):
                raise ValueError(f"{name}: the model has no attribute {attribute}, {what}")
        is_shape = isinstance(model.event, tuple | list) and len(model.event) > 0
        if not is_shape or not all(isinstance(side, int) and side > 0 for side in model.event):
            what = "a tuple of positive integers, such as (1, 28, 28)"
            raise ValueError(f"{name}: event is {model.event!r}; it must be {what}")
        if not 0 < model.sigma_min < model.sigma_max < math.inf:
            raise ValueError(
                f"{name}: sigma_min {model.sigma_min} and sigma_max {model.sigma_max} must satisfy "
                "0 < sigma_min < sigma_max < inf"
            )
        self.dtype = getattr(model, "dtype", torch.float32)
        if not isinstance(self.dtype, torch.dtype) or not self.dtype.is_floating_point:
            raise ValueError(f"{name}: dtype is {self.dtype!r}; it must be a floating torch dtype")
        self.name, self.identity, self.event = name, identity, tuple(model.event)
        self.sigma_min, self.sigma_max = float(model.sigma_min), float(model.sigma_max)
        self.passes = getattr(model, "passes", 1)
        if not isinstance(self.passes, int) or self.passes < 1:
            what = "a whole number of evaluations, at least 1"
            raise ValueError(f"{name}: passes is {self.passes!r}; it must be {what}")
        self.decoder = file_decoder(name, model, self.event, _stated_limits(name, model))
        self.limits = None if self.decoder else _stated_limits(name, model)
        self.kind = getattr(model, "kind", "denoiser")
        if self.kind not in get_args(Kind):
            kinds = ", ".join(get_args(Kind))
            raise ValueError(f"{name}: kind is {self.kind!r}; it must be one of {kinds}")
        self._model: Any = model
        self.network_dtype = getattr(model, "network_dtype", None) or parameter_dtype(model)
        self._latest: tuple[Tensor, Call] | None = None
        if not callable(model):
            problem = f"{name} returned {type(model).__name__}, which is not callable"
            raise ValueError(f"{problem}; it must return a model(x, sigma) -> d")
        check_call(f"{name}: the model", model, ("x", "sigma"))

    def draw_labels(self, ids: Tensor, seed: int) -> Tensor | None:
        """Return int64 rows (id, seed), ``(batch, 2)``, for a model with ``bind``, else None."""
        if not hasattr(self._model, "bind"):
            return None
        return torch.stack([ids, torch.full_like(ids, seed)], dim=1)

    @_users_call
    def denoise(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Tensor:
        """Return the user's estimate of E[x0 | x] in the dtype of ``x``, without gradients.

        Raises a ValueError if the user's callable does not return a tensor of the shape of ``x``.
        """
        cast_x, level = x, sigma
        if self.network_dtype is not None:
            cast_x = x.to(self.network_dtype)
            level = sigma.to(self.network_dtype) if isinstance(sigma, Tensor) else sigma
        d = self._bind_labels(labels)(cast_x, level)
        check_tensor(f"{self.name}: the model", d)
        check_shape(f"{self.name}: the model", d, x)
        return d.clone() if d is x else d.detach().to(x.dtype)

    def _bind_labels(self, labels: Tensor | None) -> Call:
        if labels is None or not len(labels) or not hasattr(self._model, "bind"):
            return self._model
        # all steps of a batch pass the same labels object, so this binds once per batch
        latest = self._latest  # read once: another thread may bind other labels meanwhile
        if latest is None or latest[0] is not labels:
            latest = self._latest = labels, self._model.bind(labels[:, 0], int(labels[0, 1]))
        return latest[1]

    def to(self, device: torch.device | str) -> Denoiser:
        """Return a copy on ``device``; a copy of the user's model is moved by its own ``to``.

        Raises a ValueError if the user's model has no ``to``, and ``device`` is not the CPU.
        """
        is_movable = hasattr(self._model, "to")
        if not is_movable and torch.device(device).type != "cpu":
            return super().to(device)
        twin = copy.copy(self)
        twin._latest = None
        # a copy, since casts change networks in place; a model with a lock or a stream is shared
        with contextlib.nullcontext() if is_movable else contextlib.suppress(Exception):
            twin._model = copy_to_device(self._model, device)
        if isinstance(self.decoder, FileDecoder):
            twin.decoder = replace(self.decoder, decode=twin._model.decode, device=device)
        return twin

    def reference(self) -> Reference | None:
        """Return a reference with exact moments, or those of :attr:`fixed_data` or 50 000 samples.

        A model of latents needs ``sample``, whose results are decoded. Returns None for a model
        with neither ``moments`` nor ``sample``, or images of over :data:`LARGEST_DECODED` values.
        """
        return self._reference

    @property
    def _has_exact_moments(self) -> bool:
        return self.decoder is None and hasattr(self._model, "moments")

    @cached_property
    def _reference(self) -> Reference | None:
        is_too_large = self.decoder and math.prod(self.decoded_event) > LARGEST_DECODED
        if is_too_large or not (self._has_exact_moments or hasattr(self._model, "sample")):
            return None
        count = len(self.fixed_data[0]) if self.fixed_data else REFERENCE_SAMPLES
        count = None if self._has_exact_moments else count
        extractor, limits = Identity(self.decoded_event), self.decoded_limits
        return Reference(extractor, count, self.identity, self._statistics, limits)

    def _statistics(self) -> Statistics:
        extractor = Identity(self.decoded_event)
        if self._has_exact_moments:
            mean, cov = self._exact_moments()
        else:
            features = extractor(self._draw_scored_samples(REFERENCE_SAMPLES, REFERENCE_SEED))
            mean = features.mean(axis=0)
            cov = np.cov(features, rowvar=False).reshape(extractor.dim, extractor.dim)
        if mean.shape != (extractor.dim,) or cov.shape != (extractor.dim, extractor.dim):
            problem = f"{self.name}: moments() gave shapes {mean.shape} and {cov.shape}"
            raise ValueError(f"{problem}; for event {self.event} they must be (d,) and (d, d)")

        def held_out(n: int) -> FloatArray:
            if not hasattr(self._model, "sample"):
                return np.empty((0, extractor.dim))
            return extractor(self._draw_scored_samples(n, HELD_OUT_SEED))

        return Statistics(mean, cov, held_out)

    @cached_property
    def fixed_data(self) -> tuple[Tensor, Tensor] | None:
        """Data for moments and data held out, in random order; None if drawn at each call."""
        rows = getattr(getattr(self._model, "sample", None), "fixed_rows", None)
        if rows is None:
            return None
        rows = self._check_samples(rows.detach().cpu(), len(rows), "data")
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
        return split_held_out(rows[order], f"{self.name}: data")

    def data(self, n: int, seed: int) -> Tensor | None:
        """Return data samples ``(n, *event)`` by the user's ``sample``; None if there is none."""
        return self._draw_samples(n, seed) if hasattr(self._model, "sample") else None

    def moments(self) -> Moments | None:
        """Return the user's ``moments``, or else moments of samples (not of latents), or None."""
        if self.decoder is None or not hasattr(self._model, "moments"):
            return super().moments()
        return self._exact_moments()

    @_users_call
    def _exact_moments(self) -> Moments:
        plain = (m.detach().cpu() if isinstance(m, Tensor) else m for m in self._model.moments())
        mean, cov = (np.asarray(moment, dtype=np.float64) for moment in plain)
        return mean, cov

    def _draw_scored_samples(self, n: int, seed: int) -> Tensor:
        """Return ``n`` data samples, decoded and clamped; of fixed data, all those for moments."""
        if self.fixed_data:
            return self.fixed_data[1][:n] if seed == HELD_OUT_SEED else self.fixed_data[0]
        images = self.decode(self._draw_samples(n, seed))
        limits = self.decoder.limits if self.decoder else None
        return images if limits is None else images.clamp(*limits)

    @_users_call
    def _draw_samples(self, n: int, seed: int) -> Tensor:
        drawn = torch.as_tensor(self._model.sample(n, seed)).detach().cpu()
        return self._check_samples(drawn, n, f"sample({n}, seed)")

    def _check_samples(self, samples: Tensor, n: int, label: str) -> Tensor:
        if samples.shape != (n, *self.event):
            shapes = f"{tuple(samples.shape)}, not {(n, *self.event)}"
            raise ValueError(f"{self.name}: {label} has shape {shapes}")
        clamped = samples if self.limits is None else samples.clamp(*self.limits)
        outside = float((clamped != samples).double().mean())
        if outside > MOST_OUTSIDE:
            raise ValueError(
                f"{self.name}: {outside:.1%} of the values of {label} are "
                f"outside limits {self.limits}; correct one of them"
            )
        return samples

    @_users_call
    def mode_of(self, x: Tensor) -> Tensor | None:
        """Return each sample's mode ``(batch,)`` by the user's ``mode_of``; None without it."""
        return self._model.mode_of(x) if hasattr(self._model, "mode_of") else None


def _stated_limits(name: str, model: Any) -> tuple[float, float] | None:
    """Return ``limits`` of a user's model, or None; raise a ValueError if they are invalid."""
    limits = getattr(model, "limits", None)
    if limits is None:
        return None
    is_pair = isinstance(limits, tuple | list) and len(limits) == 2
    numbers = is_pair and all(isinstance(end, int | float) for end in limits)
    if not numbers or not -math.inf < limits[0] < limits[1] < math.inf:
        raise ValueError(
            f"{name}: limits is {limits!r}; it must be two numbers, the "
            "lower one first, such as (-1.0, 1.0), or None"
        )
    return float(limits[0]), float(limits[1])
