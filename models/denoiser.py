"""Denoiser: the interface of all models, bound to a batch of samples before it is called.

Everything is in canonical coordinates: x = x0 + sigma z with z ~ N(0, I), and ``denoise(x, sigma)``
estimates E[x0 | x].
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .loaders.user_files import FilesRead
    from .reference import Moments, Reference


class OwnSampling(NamedTuple):
    """Steps of a checkpoint's own scheduler, in terms of samplers and levels here.

    Attributes:
        sampler: the equivalent one on these levels.
        levels: falling; the last may be 0.
        start: standard deviation of the noise that it begins with at the first level.
        end: factor of its result, if it ends in coordinates of its own.
        clip: bound that the denoised image is clamped to, but not the noise that the step goes on
            with; None for no clamping.
        told: the scheduler and the spacing of its levels, for tables.
        differs: sentences on its remaining differences.
        times: pairs of a level and the network's native time there, if it is not the level's own.
    """

    sampler: str
    levels: tuple[float, ...]
    start: float
    end: float = 1.0
    clip: float | None = None
    told: str = ""
    differs: tuple[str, ...] = ()
    times: tuple[tuple[float, float], ...] = ()


class Decoder(Protocol):
    """Decoder from latents to images.

    Attributes:
        event: shape of one image, such as ``(3, 256, 256)``.
        limits: range of the values of images, which are clamped to it before their features are
            taken; None for no range.
        identity: fingerprint of its images, if the model's own does not cover it.
        batch: latents that it takes at a time: an image is many times as large as a latent.
        device: of the latents.
    """

    event: tuple[int, ...]
    limits: tuple[float, float] | None
    identity: str
    batch: int
    device: torch.device | str

    def __call__(self, latents: Tensor) -> Tensor:
        """Return images ``(n, *event)``, not clamped, of latents ``(n, …)``, n <= ``batch``."""
        ...

    def to(self, device: torch.device | str) -> Decoder:
        """Return a copy on ``device``; this one does not change."""
        ...


@torch.no_grad()
def decode_in_batches(decoder: Decoder, latents: Tensor) -> Tensor:
    """Decode any number of latents on any device (:meth:`Denoiser.decode`)."""
    images = [
        _decode_batch(decoder, part.to(decoder.device)).to(latents.device)
        for part in latents.split(decoder.batch)
    ]
    return torch.cat(images) if images else latents.new_empty((0, *decoder.event))


def _decode_batch(decoder: Decoder, latents: Tensor) -> Tensor:
    images, shape = decoder(latents), (len(latents), *decoder.event)
    if not isinstance(images, Tensor) or tuple(images.shape) != shape:
        description = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(
            f"the decoder gave {description} for latents {tuple(latents.shape)}; it must give a tensor "
            f"of the shape {shape}"
        )
    return images.detach()


_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_MIX1 = 0xBF58476D1CE4E5B9 - 2**64
_MIX2 = 0x94D049BB133111EB - 2**64


Kind = Literal["denoiser", "map"]
"""Kind of a model's output: E[x0 | x], or the end of the path through x."""


class Denoiser(ABC):
    """Score model. Subclasses set the attributes and write :meth:`denoise`.

    Attributes:
        name: its name in tables.
        event: shape of one sample, such as ``(1, 28, 28)``.
        sigma_min, sigma_max: the noise levels that it knows; a run starts at ``sigma_max``.
        infinite: True if it knows the level of pure noise: ``denoise(z, inf)`` is the limit of E[x0 | x]
            as x = x0 + sigma z grows, for z ``(batch, *event)`` of standard deviation 1. ``sigma_max``
            is finite all the same.
        classes: number of classes; 0 for a model without class labels. If it is positive, labels are
            class numbers that :meth:`mode_of` can be compared with; else they are any input of the
            model about a sample.
        conditions: number of other conditions, such as prompts, of a model without classes: a label
            is then the number of one.
        null_label: True if the label ``classes``, or ``conditions``, is "no label" to it, which
            guidance needs.
        class_weights: frequency of each class in the data, in proportion; None if unknown.
        limits: range of the values of the data, to which samples are clamped before their features
            are taken; None for no range.
        decoder: of a model whose samples are latents. Features, and all measures in them, then come
            from images (:meth:`decode`); the solution of the ODE is compared in latents. None if the
            samples themselves are scored.
        passes: network evaluations of one call for a sample (2 under classifier-free guidance), the
            most if they depend on the level (:meth:`passes_at`).
        dtype: default dtype of a run's state (float64 for exact models).
        capturable: True if an evaluation can be recorded in a CUDA graph: it never waits for the
            device, and its shapes depend on no value.
        kind: ``denoiser``, or ``map`` for a few-step map such as a consistency model, whose
            :meth:`denoise` gives the end of the probability flow through x in place of E[x0 | x].
            Only samplers that are made for maps run on it, and it has no reference solution.
        map_end: level at which a map ends, at most ``sigma_min``; None for ``sigma_min`` itself.
        identity: fingerprint of its numbers: name and version or hash. Results with different
            identities do not mix.
        read: the user's files that it is made of; None for a model that comes with this package, or
            that was made in Python.
    """

    name: str
    event: tuple[int, ...]
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    infinite: bool = False
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
        """Estimate E[x0 | x = x0 + sigma z].

        Args:
            x: ``(batch, *event)``, any floating dtype; never modified.
            sigma: noise level > 0, one for all rows or a tensor ``(batch,)``.
            labels: ``(batch,)`` int64 in [0, classes]; the value ``classes`` means "no label" for
                its row, and None means it for all.

        Returns:
            A new tensor of ``x``'s shape, dtype and device.
        """

    def bind(self, ids: Tensor, seed: int, labels: Tensor | None = None) -> Bound:
        """Return the ``samplers.Denoise`` of one batch: row k is sample ``ids[k]``.

        Args:
            ids: ``(batch,)`` int64 sample numbers.
            seed: root seed; with the id it decides all draws per sample (such as a label).
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
        """Range of the values of the data as scored, like ``limits``."""
        return self.limits if self.decoder is None else self.decoder.limits

    def decode(self, x: Tensor) -> Tensor:
        """Return samples as scored: decoded images ``(n, *decoded_event)``, or ``x`` itself."""
        return x if self.decoder is None else decode_in_batches(self.decoder, x)

    def draw_labels(self, ids: Tensor, seed: int) -> Tensor | None:  # noqa: ARG002
        """Return labels of unconditional sampling, one row a sample.

        None (the default) for a model that has an unconditional score of its own.

        They are ``(batch,)`` class numbers where ``classes`` > 0, else any tensor ``(batch, …)`` of
        what the model needs to know.
        """
        return None

    def instrumented(self, wrap: Callable[[Denoiser], Denoiser]) -> Denoiser:
        """Return a model whose innermost network is ``wrap(network)``, to count its evaluations."""
        return wrap(self)

    def to(self, device: torch.device | str) -> Denoiser:
        """Return a copy of this model with its tensors on ``device``; this one does not change.

        The copy is another object even on the same ``device``, and may share constants.

        Raises:
            ValueError: it cannot move, as a model that does not override this.
        """
        raise ValueError(
            f"model {self.name} cannot move to {device}: it has no "
            "to(device); add one, or use --device cpu"
        )

    def reference(self) -> Reference | None:
        """Return the reference of its samples (features, moments, held-out data), or None without one."""
        return None

    def data(self, n: int, seed: int) -> Tensor | None:  # noqa: ARG002
        """Return ``n`` samples ``(n, *event)`` of the data by ``seed``; None without a source."""
        return None

    def moments(self) -> Moments | None:
        """Return mean ``(d,)`` and covariance ``(d, d)`` of flattened data, float64; None if unknown.

        If :meth:`draw_labels` draws classes, they may be means ``(classes, d)`` and the covariance
        about them. A run may begin from them (``benchmarks.suites.cell.make_start``), so a rough shape of the data
        is enough. By default they come from the reference, if its features are the samples themselves.
        """
        reference = self.reference() if self.decoder is None else None
        return None if reference is None else reference.moments

    def endpoint(self, x: Tensor, labels: Tensor | None = None) -> Tensor | None:  # noqa: ARG002
        """Return the exact end of the flow from states at ``sigma_max``; None if unknown."""
        return None

    def passes_at(self, sigma: float) -> int:  # noqa: ARG002
        """Return the number of network evaluations per sample in one call at this level."""
        return self.passes

    def own_sampling(self, steps: int, scheduler: str = "") -> OwnSampling | None:  # noqa: ARG002
        """Return the steps of the scheduler that came with the model, in ``steps`` steps; None without one.

        Args:
            steps: of the scheduler.
            scheduler: class of its library that takes its place, with its settings; "" for itself.

        Raises:
            ValueError: no sampler here takes such steps.
        """
        return None

    def native_levels(self, steps: int) -> tuple[float, ...] | None:  # noqa: ARG002
        """Return levels > 0 of ``steps`` evaluations that came with the model, falling; None without."""
        return None

    def mode_of(self, x: Tensor) -> Tensor | None:  # noqa: ARG002
        """Return the mode or class of each clean sample, ``(batch,)`` int64; None for a model without modes."""
        return None


@dataclass(frozen=True)
class Bound:
    """Denoiser with the labels of one batch, as samplers call it."""

    model: Denoiser
    labels: Tensor | None

    def __call__(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Denoise ``x`` ``(batch, *event)`` at level ``sigma`` (a float, or ``(batch,)``)."""
        return self.model.denoise(x, sigma, self.labels)

    def take(self, rows: Tensor) -> Bound:
        """Return the denoiser of a subset or repeats of the batch, by int64 indices ``rows``."""
        return replace(self, labels=None if self.labels is None else self.labels[rows])


def innermost_model(model: Denoiser) -> Denoiser:
    """Return the model inside all wrappers, such as the network below guidance."""
    while isinstance(model, Wrapper):
        model = model.inner
    return model


class Wrapper(Denoiser):
    """Denoiser around a Denoiser, which changes nothing until a subclass does.

    Guidance, thresholding and metering are wrappers, so that no sampler knows of them.
    """

    def __init__(self, inner: Denoiser) -> None:
        self.inner = inner
        for name in set(Denoiser.__annotations__) - {"capturable"}:
            setattr(self, name, getattr(inner, name))

    def denoise(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Tensor:
        """Return the inner model's denoised images."""
        return self.inner.denoise(x, sigma, labels)

    def rewrapped(self, inner: Denoiser) -> Wrapper:
        """Return the same wrapper around another model."""
        twin = copy.copy(self)
        twin.inner, twin.decoder = inner, inner.decoder
        return twin

    def instrumented(self, wrap: Callable[[Denoiser], Denoiser]) -> Denoiser:
        """Return this wrapper around the instrumented inner model."""
        return self.rewrapped(self.inner.instrumented(wrap))

    def to(self, device: torch.device | str) -> Denoiser:
        """Return the same wrapper around a copy of the inner model on ``device``."""
        return self.rewrapped(self.inner.to(device))

    def draw_labels(self, ids: Tensor, seed: int) -> Tensor | None:
        """Return the inner model's labels."""
        return self.inner.draw_labels(ids, seed)

    def reference(self) -> Reference | None:
        """Return the inner model's reference."""
        return self.inner.reference()

    def data(self, n: int, seed: int) -> Tensor | None:
        """Return samples of the inner model's data."""
        return self.inner.data(n, seed)

    def moments(self) -> Moments | None:
        """Return the inner model's moments: guidance leaves the data's rough shape as it is."""
        return self.inner.moments()

    def endpoint(self, x: Tensor, labels: Tensor | None = None) -> Tensor | None:
        """Return the inner model's endpoint; override this where :meth:`denoise` changes."""
        return self.inner.endpoint(x, labels)

    def passes_at(self, sigma: float) -> int:
        """Return the inner model's evaluations, unless this wrapper costs more."""
        return self.passes if self.passes != self.inner.passes else self.inner.passes_at(sigma)

    def own_sampling(self, steps: int, scheduler: str = "") -> OwnSampling | None:
        """Return the steps of the inner model's own scheduler."""
        inner = self.inner
        return inner.own_sampling(steps, scheduler) if scheduler else inner.own_sampling(steps)

    def native_levels(self, steps: int) -> tuple[float, ...] | None:
        """Return the inner model's native levels."""
        return self.inner.native_levels(steps)

    def mode_of(self, x: Tensor) -> Tensor | None:
        """Return the inner model's modes of ``x``."""
        return self.inner.mode_of(x)


def level_per_row(sigma: float | Tensor, x: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return one level for each row of ``x``: ``(batch,)``, of this dtype, on its device.

    Filling in a number never waits for the device.
    """
    if isinstance(sigma, Tensor):
        return sigma.to(x.device, dtype).expand(len(x))
    return torch.full((len(x),), sigma, dtype=dtype, device=x.device)


def level_column(sigma: float | Tensor, x: Tensor) -> float | Tensor:
    """Return ``sigma`` to broadcast against ``x``: a float, or ``(batch, 1, …)`` in its dtype."""
    if isinstance(sigma, Tensor):
        return sigma.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))
    return sigma


def labels_for(ids: Tensor, seed: int, weights: Sequence[float]) -> Tensor:
    """Return independent labels ``(batch,)`` int64, k in proportion to ``weights[k]`` >= 0."""
    edges = torch.tensor(weights, dtype=torch.float64, device=ids.device).cumsum(0)
    places = torch.searchsorted(edges, _uniform_by_id(ids, seed) * edges[-1], right=True)
    return places.clamp_(max=len(weights) - 1)


def _uniform_by_id(ids: Tensor, seed: int) -> Tensor:
    """Return uniforms in [0, 1) by SplitMix64 of seed and id (doi:10.1145/2660193.2660195)."""
    key = _mix_bits(torch.full_like(ids, (seed + 2**63) % 2**64 - 2**63) + _GOLDEN)
    return ((_mix_bits(key + _GOLDEN * (ids + 1)) >> 11) & (2**53 - 1)).double() * 2.0**-53


def _mix_bits(z: Tensor) -> Tensor:
    # int64 products wrap modulo 2^64 as unsigned ones do; the masks make right shifts unsigned
    z = (z ^ ((z >> 30) & (2**34 - 1))) * _MIX1
    z = (z ^ ((z >> 27) & (2**37 - 1))) * _MIX2
    return z ^ ((z >> 31) & (2**33 - 1))
