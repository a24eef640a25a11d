"""Interface of all models: :class:`Denoiser`, which is bound to a batch before samplers call it.

Coordinates are canonical: x = x0 + sigma z with z ~ N(0, I); ``denoise(x, sigma)`` is E[x0 | x].
"""

from __future__ import annotations

import copy
import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self

import torch
from torch import Tensor

from .decoding import Decoder, decode_in_batches

if TYPE_CHECKING:
    from .loaders.user_files import FilesRead
    from .process import Process
    from .reference import Moments, Reference


class OwnSampling(NamedTuple):
    """Steps of a checkpoint's own scheduler, as a sampler and levels of this package.

    Attributes:
        sampler: spec of the equivalent sampler on ``levels``.
        levels: falling noise levels; the last may be 0.
        start: standard deviation of the initial noise: s, sqrt(1 + s²) or 1 + s at first level s.
        end: number that the last state is multiplied by to get the scheduler's result.
        clip: c of the range [-c, c] to which denoised images are clamped; None for no clamping.
        description: the scheduler and the spacing of its levels in words, for tables.
        times: pairs (level, native time), for levels at which the scheduler calls the network at
            another native time than the model's process gives.
    """

    sampler: str
    levels: tuple[float, ...]
    start: float
    end: float = 1.0
    clip: float | None = None
    description: str = ""
    times: tuple[tuple[float, float], ...] = ()


Kind = Literal["denoiser", "map"]
"""Output of a model: ``denoiser`` for E[x0 | x], ``map`` for the end of the ODE path through x."""


HALF = (torch.bfloat16, torch.float16)
"""Dtypes of 16 bits."""


Pair = tuple[Tensor, Tensor]
"""Guided image and the image that it is guided away from."""


class Denoiser(ABC):
    """Base class of score models. Subclasses set the attributes and define :meth:`denoise`.

    Attributes:
        name: name in tables.
        event: shape of one sample, such as ``(1, 28, 28)``.
        sigma_min, sigma_max: range of noise levels that the model knows; a run starts at
            ``sigma_max``.
        infinite: True if ``denoise(z, inf)`` is defined, for z ``(batch, *event)`` of standard
            deviation 1. Its value is the limit of E[x0 | x] at x = sigma z as sigma grows.
            ``sigma_max`` is finite nonetheless.
        classes: number of classes. If it is positive, labels are class numbers, and results of
            :meth:`classes_of` are compared with them. If it is 0, labels are any tensor that the
            model takes, with one row for each sample.
        conditions: number of other conditions, such as prompts, of a model without classes. A label
            is then the index of a condition.
        null_label: True if the label ``classes``, or ``conditions``, means "no label", which
            guidance needs.
        class_weights: relative frequency of each class in the data; None if unknown.
        limits: range of the values of the data, to which samples are clamped before their features
            are taken; None for no range.
        decoder: decoder of a model whose samples are latents; None if the samples themselves are
            scored. Features, and all measures of features, come from decoded images. Solutions
            of the ODE are compared as latents.
        passes: largest number of network evaluations per sample in one call, such as 2 under
            classifier-free guidance; :meth:`passes_at` gives the number at a level.
        dtype: default dtype of a run's state (float64 for exact models).
        capturable: True if an evaluation can be recorded in a CUDA graph: it never waits for the
            device, and its shapes depend on no value.
        kind: ``denoiser``, or ``map`` for a few-step map such as a consistency model. A map's
            :meth:`denoise` gives the end of the probability flow through x in place of E[x0 | x].
            Only samplers for maps run on it, and it has no reference solution.
        map_end: level at which a map ends, at most ``sigma_min``; None for ``sigma_min`` itself.
        identity: fingerprint of the model's outputs: name, and version or hash. Results of
            different identities do not mix.
        read: the user's files from which the model was made; None for a model of this package or
            one made in Python.
        users_code: True for the class of a model that calls a user's or an installed package's code.
    """

    name: str
    event: tuple[int, ...]
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    infinite: bool = False
    users_code: ClassVar[bool] = False
    classes: int = 0
    conditions: int = 0
    null_label: bool = True
    class_weights: Sequence[float] | None = None
    limits: tuple[float, float] | None = None
    decoder: Decoder | None = None
    passes: int = 1
    dtype: torch.dtype = torch.float32
    capturable: bool = True
    kind: Kind = "denoiser"
    map_end: float | None = None
    identity: str
    read: FilesRead | None = None

    @abstractmethod
    def denoise(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Tensor:
        """Estimate E[x0 | x = x0 + sigma z], for standard normal z.

        Args:
            x: ``(batch, *event)``, any floating dtype; never modified.
            sigma: noise level > 0, one for all rows or a tensor ``(batch,)``.
            labels: one row a sample, such as ``(batch,)`` int64 in [0, classes]. The value
                ``classes`` means "no label" if ``null_label`` is set. None means no labels at all.

        Returns:
            A new tensor of ``x``'s shape, dtype and device.
        """

    def denoise_both(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Pair:
        """Return guided images and images to guide away from; without guidance, they are equal."""
        d = self.denoise(x, sigma, labels)
        return d, d

    def bind(self, ids: Tensor, seed: int, labels: Tensor | None = None) -> Bound:
        """Return the denoiser (``samplers.Denoise``) of a batch, whose row k is sample ``ids[k]``.

        Args:
            ids: ``(batch,)`` int64 sample numbers.
            seed: root seed. Seed and id together decide all draws of a sample, such as its label.
            labels: ``(batch,)`` labels to condition on; None lets the model decide
                (:meth:`draw_labels`).
        """
        return Bound(self, self.draw_labels(ids, seed) if labels is None else labels)

    @property
    def decoded_event(self) -> tuple[int, ...]:
        """Shape of one result of :meth:`decode`."""
        return self.event if self.decoder is None else self.decoder.event

    @property
    def decoded_limits(self) -> tuple[float, float] | None:
        """Range to which results of :meth:`decode` are clamped for scoring; None for no range."""
        return self.limits if self.decoder is None else self.decoder.limits

    def decode(self, x: Tensor) -> Tensor:
        """Return decoded images ``(n, *decoded_event)`` of samples, or ``x`` without a decoder."""
        return x if self.decoder is None else decode_in_batches(self.decoder, x)

    def draw_labels(self, ids: Tensor, seed: int) -> Tensor | None:  # noqa: ARG002
        """Return a label for each id, by id and seed alone; None if the model draws no labels.

        Labels are ``(batch,)`` numbers of classes or conditions for a model with ``classes`` or
        ``conditions``, else any tensor ``(batch, …)``.
        """
        return None

    def instrumented(self, wrap: Callable[[Denoiser], Denoiser]) -> Denoiser:
        """Return a copy whose innermost model is replaced by ``wrap(model)``, such as a counter."""
        return wrap(self)

    def to(self, device: torch.device | str) -> Denoiser:
        """Return a copy of this model with its tensors on ``device``; the model does not change.

        The copy is another object even on the same ``device``, and may share constants. Unless
        overridden, this method raises a ValueError: the model cannot move.
        """
        raise ValueError(
            f"model {self.name} cannot move to {device}: it has no "
            "to(device); add one, or use --device cpu"
        )

    def reference(self) -> Reference | None:
        """Return the reference that samples are compared with; None without one."""
        return None

    def data(self, n: int, seed: int) -> Tensor | None:  # noqa: ARG002
        """Return ``n`` data samples ``(n, *event)``, drawn by ``seed``; None without data."""
        return None

    def moments(self) -> Moments | None:
        """Return the flattened data's mean ``(d,)`` and covariance ``(d, d)``; None if unknown.

        Both are float64. If :meth:`draw_labels` draws classes, the mean may be class means
        ``(classes, d)``, with the covariance about them. Rough moments suffice for a run's start.
        By default the moments come from a reference whose features are the samples.
        """
        reference = self.reference() if self.decoder is None else None
        return None if reference is None else reference.moments

    def endpoint(self, x: Tensor, labels: Tensor | None = None) -> Tensor | None:  # noqa: ARG002
        """Return the exact end of the ODE path from states at ``sigma_max``; None if unknown."""
        return None

    def place_noise(self, z: Tensor) -> Tensor:
        """Return a run's first state divided by ``sigma_max`` for noise ``z``; by default ``z``."""
        return z

    def passes_at(self, sigma: float) -> int:  # noqa: ARG002
        """Return the number of network evaluations per sample in one call at level ``sigma``."""
        return self.passes

    def own_sampling(self, steps: int, scheduler: str = "") -> OwnSampling | None:  # noqa: ARG002
        """Return ``steps`` steps of the scheduler that came with the model; None without one.

        Args:
            steps: number of steps of the scheduler.
            scheduler: name of a scheduler class of the same library, which is used with the
                settings of the model's scheduler; "" for the model's scheduler itself.

        Raises:
            ValueError: no sampler of this package takes such steps.
        """
        return None

    def native_levels(self, steps: int) -> tuple[float, ...] | None:  # noqa: ARG002
        """Return ``steps`` falling levels > 0 by the model's own schedule; None if it has none."""
        return None

    def own_shift(self) -> float | None:
        """Return the shift s of the model's own scheduler; None if it is unknown.

        The scheduler shifts a flow time t to s t / (1 + (s - 1) t).
        """
        return None

    def mode_of(self, x: Tensor) -> Tensor | None:  # noqa: ARG002
        """Return the mode or class of each clean sample, ``(batch,)`` int64; None without modes."""
        return None

    def classes_of(self, modes: Tensor) -> Tensor:
        """Return the classes ``(batch,)`` of modes; by default, modes are classes."""
        return modes


@dataclass(frozen=True)
class Bound:
    """Denoiser with the labels of one batch, a label for each row or None, as samplers call it."""

    model: Denoiser
    labels: Tensor | None

    def __call__(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Denoise ``x`` ``(batch, *event)`` at level ``sigma`` (a float, or ``(batch,)``)."""
        return self.model.denoise(self._widened(x), sigma, self.labels).to(x.dtype)

    def both(self, x: Tensor, sigma: float | Tensor) -> Pair:
        """Return guided images and images to guide away from, in ``x``'s dtype."""
        guided, free = self.model.denoise_both(self._widened(x), sigma, self.labels)
        return guided.to(x.dtype), free.to(x.dtype)

    def _widened(self, x: Tensor) -> Tensor:
        """Return 16-bit states cast to the model's dtype, and other states unchanged."""
        return x.to(self.model.dtype) if x.dtype in HALF else x

    def take(self, rows: Tensor) -> Bound:
        """Return the denoiser of a batch with only ``rows``, int64 indices that may repeat."""
        return replace(self, labels=None if self.labels is None else self.labels[rows])


CAP = 1e4
"""Highest noise level to sample from, for a model whose highest level is infinite."""


def highest_finite_level(process: Process, sigma_max: float) -> float:
    """Return ``sigma_max``; if infinite, :data:`CAP` or a table's last finite level, the lower."""
    if math.isfinite(sigma_max):
        return sigma_max
    levels = [s for s in getattr(process, "levels", ()) if math.isfinite(s)]
    return min([CAP, *levels[-1:]])


def innermost_model(model: Denoiser) -> Denoiser:
    """Return the model inside all wrappers, such as the network below guidance."""
    while isinstance(model, Wrapper):
        model = model.inner
    return model


def wrapped_models(model: Denoiser) -> Iterator[Denoiser]:
    """Yield a model, and the models that it wraps or is guided by."""
    yield model
    for part in (getattr(model, "inner", None), getattr(model, "guide", None)):
        if isinstance(part, Denoiser):
            yield from wrapped_models(part)


def forwarded(method: Callable[..., Any], to: str = "inner") -> Any:
    """Return a method that calls the method of the same name of a wrapper's model ``to``."""

    @functools.wraps(method)
    def call(self: Wrapper, *args: Any, **options: Any) -> Any:
        return getattr(getattr(self, to), method.__name__)(*args, **options)

    return call


class Wrapper(Denoiser):
    """Denoiser that passes calls on to an inner model; subclasses override what they change.

    :meth:`denoise_both` is not passed on: it returns this wrapper's :meth:`denoise` twice. Override
    :meth:`endpoint` with :meth:`denoise`.
    Guidance and counters of evaluations are wrappers, so that no sampler knows of them.
    """

    def __init__(self, inner: Denoiser) -> None:
        self.inner = inner
        for name in set(Denoiser.__annotations__) - {"capturable", "users_code"}:
            setattr(self, name, getattr(inner, name))

    def denoise(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Tensor:
        """Return the inner model's denoised images."""
        return self.inner.denoise(x, sigma, labels)

    def rewrapped(self, inner: Denoiser) -> Self:
        """Return a copy of this wrapper around another model."""
        twin = copy.copy(self)
        twin.inner, twin.decoder = inner, inner.decoder
        return twin

    def instrumented(self, wrap: Callable[[Denoiser], Denoiser]) -> Denoiser:
        """Return a copy of this wrapper whose innermost model is replaced by ``wrap(model)``."""
        return self.rewrapped(self.inner.instrumented(wrap))

    def to(self, device: torch.device | str) -> Denoiser:
        """Return a copy of this wrapper around a copy of the inner model on ``device``."""
        return self.rewrapped(self.inner.to(device))

    passes_at = forwarded(Denoiser.passes_at)
    draw_labels = forwarded(Denoiser.draw_labels)
    reference = forwarded(Denoiser.reference)
    data = forwarded(Denoiser.data)
    moments = forwarded(Denoiser.moments)
    endpoint = forwarded(Denoiser.endpoint)
    place_noise = forwarded(Denoiser.place_noise)
    own_sampling = forwarded(Denoiser.own_sampling)
    native_levels = forwarded(Denoiser.native_levels)
    own_shift = forwarded(Denoiser.own_shift)
    mode_of = forwarded(Denoiser.mode_of)
    classes_of = forwarded(Denoiser.classes_of)


def level_per_row(sigma: float | Tensor, x: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return the level of each row of ``x``: ``(batch,)``, of dtype ``dtype``, on x's device.

    If ``sigma`` is a number, this does not wait for the device.
    """
    if isinstance(sigma, Tensor):
        return sigma.to(x.device, dtype).expand(len(x))
    return torch.full((len(x),), sigma, dtype=dtype, device=x.device)


def level_column(sigma: float | Tensor, x: Tensor) -> float | Tensor:
    """Return ``sigma`` shaped to broadcast to ``x``: a float, or ``(batch, 1, …)`` in x's dtype."""
    if isinstance(sigma, Tensor):
        return sigma.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))
    return sigma
