"""``file.py:factory``: a user's model.

The factory returns a callable ``model(x, sigma) -> d`` that estimates E[x0 | x = x0 + sigma z],
with the attributes

* ``event``: shape of one sample; ``sigma_min`` < ``sigma_max``: the noise levels that it knows;
* optionally ``dtype``: of the state, ``torch.float32`` if absent; ``passes``: evaluations hidden in
  one call, such as 2 for guidance inside;
* optionally ``bind(ids, seed)``: the callable for these samples, if a label or prompt is drawn per
  sample;
* optionally ``sample(n, seed)``: ``(n, *event)`` samples of the truth, and ``moments()``: its exact
  mean ``(d,)`` and covariance ``(d, d)`` over flattened samples, to compare the model's samples with;
* optionally ``network_dtype``: dtype of its network, to which ``x`` and a tensor of levels are cast; by
  default its parameters', if they are found;
* optionally ``kind``: ``"map"`` for a few-step map, such as a consistency model, which gives the
  end of the path through x and no E[x0 | x];
* optionally ``limits``: two numbers, the range of the values of the data, which samples are clamped
  to before their features are taken (``--extractor inception:WEIGHTS`` needs it);
* optionally ``decode(x)``: images ``(batch, *image)`` of clean samples ``(batch, *event)``, for a
  model of latents. Features are then features of images, and ``limits`` their range; ``sample`` and
  ``moments`` stay about latents;
* optionally ``mode_of(x)``: ``(batch,)`` int64, the mode of each clean sample; ``to(device)``: the
  same model on another device.

``x`` is ``(batch, *event)``; ``sigma`` is a float or ``(batch,)``; the result is like ``x``. Row k
may depend on row k only. All of it is called without gradients, so that an ``nn.Module`` can be
returned as it is; call its ``eval()`` in the factory. A factory may also return a
:class:`~samplerbench.models.Denoiser`, such as one of :mod:`samplerbench.models.adapters`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from ..denoiser import Denoiser, Kind, Wrapper
from ..networks import check_call, check_tensor, copy_to_device, parameter_dtype
from ..reference import MOST_OUTSIDE, FloatArray, Identity, Moments, Reference, Statistics
from . import loader
from .source_file import LoadedValue, options_text, source_function

Call = Callable[[Tensor, float | Tensor], Tensor]
LARGEST_DECODED = 4096
"""Most values of an image for a default reference: more have a covariance of gigabytes."""
REFERENCE_SAMPLES = 50_000
REFERENCE_SEED, HELD_OUT_SEED = 2_000_000, 2_000_001
_WHAT = {
    "event": "the shape of one sample, such as (1, 28, 28)",
    "sigma_min": "the smallest noise level",
    "sigma_max": "the largest noise level",
}


@dataclass(eq=False)
class FileDecoder:
    """Decoder (:class:`~samplerbench.models.denoiser.Decoder`) from a user's ``decode``."""

    identity = ""  # the model's has the hash of its file
    batch = 64

    decode: Callable[[Tensor], Tensor]
    event: tuple[int, ...]
    limits: tuple[float, float] | None
    device: torch.device | str = "cpu"

    def __call__(self, latents: Tensor) -> Tensor:
        """Return the user's images, in the dtype of the latents."""
        images = self.decode(latents)
        return images.to(latents.dtype) if isinstance(images, Tensor) else images

    def to(self, device: torch.device | str) -> FileDecoder:
        """Return a copy with its networks on ``device``."""
        return replace(self, decode=copy_to_device(self.decode, device), device=device)


def file_decoder(
    name: str, model: Any, event: tuple[int, ...], limits: tuple[float, float] | None
) -> FileDecoder | None:
    """Return the decoder of a user's model, with the image size from one latent of zeros; None without
    ``decode``.

    Raises:
        ValueError: it fails, or does not give one image.
    """
    if not hasattr(model, "decode"):
        return None
    try:
        with torch.no_grad():
            image = model.decode(torch.zeros(1, *event))
    except Exception as error:
        raise ValueError(
            f"{name}: decode fails on a latent of zeros {(1, *event)} "
            f"({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        ) from error
    if not isinstance(image, Tensor) or image.ndim < 2 or len(image) != 1:
        description = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
        raise ValueError(
            f"{name}: decode gave {description} for one latent; it must return a tensor (batch, *image)"
        )
    return FileDecoder(model.decode, tuple(image.shape[1:]), limits)


@loader("python_file", usage="file.py:factory")
def load(spec: str, **params: Any) -> Denoiser:
    """Load the model that the factory ``path/to/file.py:factory`` returns.

    Its identity has the hash of every file it is made of.

    Raises:
        ValueError: no such file or factory, or the file raises when it is imported, or the factory
            when it is called.
    """
    source = source_function(spec, "model")
    loaded = source.call(**params)
    return as_denoiser(
        loaded, source.called, f"{source.called}-{loaded.digest}{options_text(params)}"
    )


def as_denoiser(loaded: LoadedValue, name: str, identity: str) -> Denoiser:
    """Wrap the result of a user's factory or an installed loader as a Denoiser that records its files.

    Raises:
        ValueError: the result is no model.
    """
    kind = ForeignDenoiser if isinstance(loaded.value, Denoiser) else FileModel
    model = kind(loaded.value, name, identity)
    model.read = loaded.read
    return model


class ForeignDenoiser(Wrapper):
    """Denoiser of foreign code, under the name of its spec, with the hashes of its files in its identity."""

    def __init__(self, inner: Denoiser, name: str, identity: str) -> None:
        super().__init__(inner)
        self.name, self.identity = name, f"{identity}-{inner.identity}"
        self.limits = _stated_limits(name, inner)

    @torch.no_grad()
    def denoise(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Tensor:
        """Return the inner model's result, detached from its parameters."""
        return super().denoise(x, sigma, labels).detach()

    mode_of = torch.no_grad()(Wrapper.mode_of)


class FileModel(Denoiser):
    """Denoiser around the result of a user's factory.

    It has no classes (``classes`` is 0) even where it has ``bind``: the labels are then rows of
    (id, seed), which no mode equals.

    Raises:
        ValueError: it is not callable with x and sigma, or lacks or has a wrong attribute.
    """

    def __init__(self, model: Any, name: str, identity: str) -> None:
        for attribute, what in _WHAT.items():
            if not hasattr(model, attribute):
                raise ValueError(f"{name}: the model has no attribute {attribute}, {what}")
        is_shape = isinstance(model.event, tuple | list)
        if not is_shape or not all(isinstance(side, int) and side > 0 for side in model.event):
            raise ValueError(
                f"{name}: event is {model.event!r}; it must be a tuple of "
                "positive integers, such as (1, 28, 28)"
            )
        if not 0 < model.sigma_min < model.sigma_max:
            raise ValueError(
                f"{name}: sigma_min {model.sigma_min} and sigma_max {model.sigma_max} must satisfy "
                "0 < sigma_min < sigma_max"
            )
        self.dtype = getattr(model, "dtype", torch.float32)
        if not isinstance(self.dtype, torch.dtype):
            raise ValueError(f"{name}: dtype is {self.dtype!r}; it must be a torch dtype")
        self.name, self.identity, self.event = name, identity, tuple(model.event)
        self.sigma_min, self.sigma_max = float(model.sigma_min), float(model.sigma_max)
        self.passes = getattr(model, "passes", 1)
        if not isinstance(self.passes, int) or self.passes < 1:
            raise ValueError(
                f"{name}: passes is {self.passes!r}; it must be a whole "
                "number of evaluations, at least 1"
            )
        self.decoder = file_decoder(name, model, self.event, _stated_limits(name, model))
        self.limits = None if self.decoder else _stated_limits(name, model)
        self.kind = getattr(model, "kind", "denoiser")
        if self.kind not in get_args(Kind):
            raise ValueError(
                f"{name}: kind is {self.kind!r}; it must be one of {', '.join(get_args(Kind))}"
            )
        self._model: Any = model
        self.network_dtype = getattr(model, "network_dtype", None) or parameter_dtype(model)
        self._latest: tuple[Tensor, Call] | None = None
        if not callable(model):
            raise ValueError(
                f"{name} returned {type(model).__name__}, which is not "
                "callable; it must return a model(x, sigma) -> d"
            )
        check_call(f"{name}: the model", model, ("x", "sigma"))

    def draw_labels(self, ids: Tensor, seed: int) -> Tensor | None:
        """Return ``(batch, 2)`` rows of (id, seed) in place of labels, for a model with ``bind``; else None."""
        if not hasattr(self._model, "bind"):
            return None
        return torch.stack([ids, torch.full_like(ids, seed)], dim=1)

    @torch.no_grad()
    def denoise(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Tensor:
        """See :meth:`Denoiser.denoise`; the result is detached from the user's parameters.

        Raises:
            ValueError: the user's callable returns no tensor like ``x``.
        """
        cast_x, level = x, sigma
        if self.network_dtype is not None:
            cast_x = x.to(self.network_dtype)
            level = sigma.to(self.network_dtype) if isinstance(sigma, Tensor) else sigma
        d = self._bound(labels)(cast_x, level)
        check_tensor(f"{self.name}: the model", d)
        if d.shape != x.shape:
            raise ValueError(
                f"{self.name}: the model returned {tuple(d.shape)} for a batch "
                f"{tuple(x.shape)}; it must return a tensor of that shape"
            )
        return d.clone() if d is x else d.detach().to(x.dtype)

    def _bound(self, labels: Tensor | None) -> Call:
        if labels is None or not len(labels) or not hasattr(self._model, "bind"):
            return self._model
        # The labels of a batch stay one object from step to step, so this binds once a batch.
        if self._latest is None or self._latest[0] is not labels:
            self._latest = labels, self._model.bind(labels[:, 0], int(labels[0, 1]))
        return self._latest[1]

    def to(self, device: torch.device | str) -> Denoiser:
        """Return a copy of this model on ``device``, by the ``to`` of a copy of the user's.

        Raises:
            ValueError: the user's model has no ``to``.
        """
        if hasattr(self._model, "to"):
            twin = copy.copy(self)
            twin._model, twin._latest = copy_to_device(self._model, device), None
            if self.decoder is not None:
                twin.decoder = FileDecoder(
                    twin._model.decode, self.decoder.event, self.decoder.limits, device
                )
            return twin
        return copy.copy(self) if torch.device(device).type == "cpu" else super().to(device)

    def reference(self) -> Reference | None:
        """Return exact moments if the model has them, else the moments of 50 000 of its samples.

        Return None if it has neither. A model of latents decodes its samples first; None for images
        larger than :data:`LARGEST_DECODED`.
        """
        return self._reference

    @property
    def _has_exact_moments(self) -> bool:
        """True if the moments of the scored data are known."""
        return self.decoder is None and hasattr(self._model, "moments")

    @cached_property
    def _reference(self) -> Reference | None:
        if not self._has_exact_moments and not hasattr(self._model, "sample"):
            return None
        if self.decoder is not None and math.prod(self.decoded_event) > LARGEST_DECODED:
            return None
        return Reference(
            Identity(self.decoded_event),
            None if self._has_exact_moments else REFERENCE_SAMPLES,
            self.identity,
            self._statistics,
            self.decoded_limits,
        )

    def _statistics(self) -> Statistics:
        extractor = Identity(self.decoded_event)
        if self._has_exact_moments:
            mean, cov = map(_float_array, self._model.moments())
        else:
            features = extractor(self._scored(REFERENCE_SAMPLES, REFERENCE_SEED))
            mean = features.mean(axis=0)
            cov = np.cov(features, rowvar=False).reshape(extractor.dim, extractor.dim)
        if mean.shape != (extractor.dim,) or cov.shape != (extractor.dim, extractor.dim):
            raise ValueError(
                f"{self.name}: moments() gave shapes {mean.shape} and {cov.shape}; for "
                f"event {self.event} they must be (d,) and (d, d)"
            )

        def held_out(n: int) -> FloatArray:
            if not hasattr(self._model, "sample"):
                return np.empty((0, extractor.dim))
            return extractor(self._scored(n, HELD_OUT_SEED))

        return Statistics(mean, cov, held_out)

    def data(self, n: int, seed: int) -> Tensor | None:
        """Return samples by the model's ``sample``, if it has one."""
        return self._samples(n, seed) if hasattr(self._model, "sample") else None

    def moments(self) -> Moments | None:
        """Return the model's ``moments``, else the moments of its samples; of latents, only the former."""
        if self.decoder is None or not hasattr(self._model, "moments"):
            return super().moments()
        mean, cov = map(_float_array, self._model.moments())
        return mean, cov

    def _scored(self, n: int, seed: int) -> Tensor:
        """Return samples of the truth as scored: decoded, and clamped like other samples."""
        images = self.decode(self._samples(n, seed))
        limits = self.decoder.limits if self.decoder else None
        return images if limits is None else images.clamp(*limits)

    def _samples(self, n: int, seed: int) -> Tensor:
        samples = torch.as_tensor(self._model.sample(n, seed)).detach().cpu()
        if samples.shape != (n, *self.event):
            raise ValueError(
                f"{self.name}: sample({n}, seed) has shape "
                f"{tuple(samples.shape)}, not {(n, *self.event)}"
            )
        clamped = samples if self.limits is None else samples.clamp(*self.limits)
        outside = float((clamped != samples).double().mean())
        if outside > MOST_OUTSIDE:
            raise ValueError(
                f"{self.name}: {outside:.1%} of the values of sample({n}, seed) are "
                f"outside limits {self.limits}; correct one of them"
            )
        return samples

    @torch.no_grad()
    def mode_of(self, x: Tensor) -> Tensor | None:
        """Return the model's own modes, if it has them."""
        return self._model.mode_of(x) if hasattr(self._model, "mode_of") else None


def _stated_limits(name: str, model: Any) -> tuple[float, float] | None:
    """Return the range that a user's model states, or None."""
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


def _float_array(moment: Any) -> FloatArray:
    plain = moment.detach().cpu() if isinstance(moment, Tensor) else moment
    return np.asarray(plain, dtype=np.float64)
