"""Guidance around a Denoiser: classifier-free, and by a worse model."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .denoiser import Denoiser, Pair, Wrapper
from .guidance_formulas import GuidanceFormula, LinearGuidance, RescaledGuidance
from .label_draws import labels_for
from .reference import Reference


class AlteringWrapper(Wrapper):
    """Base class of wrappers that change the denoised image.

    Exact endpoints and stored converged samples of the inner model no longer hold, and are hidden.

    Args:
        inner: the model to wrap.
        change: the change in a word, such as ``guidance=2``, for the name and the identity.
    """

    def __init__(self, inner: Denoiser, change: str) -> None:
        super().__init__(inner)
        self.name = f"{inner.name}({change})"
        self.identity = f"{inner.identity}({change})"

    endpoint = Denoiser.endpoint  # None: the exact end of the changed path is unknown

    def reference(self) -> Reference | None:
        """Return the inner model's reference without its converged samples; None if it has none."""
        reference = self.inner.reference()
        return None if reference is None else reference.without_converged()


Interval = tuple[float, float]
"""Range (low, high] of the noise levels at which a model is guided."""


class _Guided(AlteringWrapper):
    """Base class of guidance; subclasses define :meth:`denoise_both`."""

    channels: int | None
    interval: Interval | None
    formula: GuidanceFormula

    def denoise(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Tensor:
        """Return the guided image; outside the interval, the inner model's image."""
        return self.denoise_both(x, sigma, labels)[0]

    def _set_options(
        self,
        inner: Denoiser,
        scale: float | GuidanceFormula,
        channels: int | None,
        interval: Interval | None,
    ) -> str:
        """Set the options of guidance, and return their text, ``guidance=2,0.2<sigma<=5``.

        Raises a ValueError if the options do not fit the model ``inner``.
        """
        most = inner.event[0]
        if channels is not None and not 0 < channels <= most:
            raise ValueError(
                f"model {inner.name} has {most} channels, so {channels} of them cannot be "
                f"guided; give 1 to {most}"
            )
        if interval is not None and not 0 <= interval[0] < interval[1]:
            raise ValueError(
                "guidance needs an interval of levels (low, high) with 0 <= low < high, got "
                f"{interval}"
            )
        self.formula = scale if isinstance(scale, GuidanceFormula) else LinearGuidance(scale=scale)
        self.channels, self.interval = channels, interval
        if (
            isinstance(self.formula, RescaledGuidance)
            and math.prod(inner.event[1:]) * (channels or most) < 2
        ):
            raise ValueError(
                f"model {inner.name} is guided in 1 element of a sample, which has no standard "
                "deviation; leave out guidance_rescale"
            )
        words = self.formula.text
        if channels is not None:
            words += f",channels={channels}"
        return (
            words if interval is None else f"{words},{interval[0]:.15g}<sigma<={interval[1]:.15g}"
        )

    def _is_guided(self, sigma: float) -> bool:
        return self.interval is None or self.interval[0] < sigma <= self.interval[1]

    def _guided_rows(self, sigma: float | Tensor, x: Tensor) -> Tensor | slice | None:
        """Return the guided rows, as a slice or int64 indices; None for no row."""
        if self.interval is None:
            return slice(None)
        if not isinstance(sigma, Tensor):
            return slice(None) if self._is_guided(sigma) else None
        inside = ((sigma > self.interval[0]) & (sigma <= self.interval[1])).expand(len(x))
        rows = inside.nonzero()[:, 0]
        return rows if len(rows) else None

    def _guide(
        self, label: Tensor, free: Tensor, x: Tensor, sigma: float | Tensor, rows: Tensor | slice
    ) -> Pair:
        """Return guided images of all rows, and images to guide away from.

        ``label`` are the denoised images of all rows, ``free`` those to guide away from, of the
        guided ``rows`` only. In other rows and channels, both results equal ``label``.
        """
        level = sigma[rows] if isinstance(sigma, Tensor) else sigma
        free = free[:, : self.channels]
        guided = self.formula(
            label[rows][:, : self.channels], free, x[rows][:, : self.channels], level
        )
        return self._insert(label, guided, rows), self._insert(label, free, rows)

    def _insert(self, whole: Tensor, part: Tensor, rows: Tensor | slice) -> Tensor:
        """Return ``whole`` with ``part`` in place of the guided channels of ``rows``."""
        if self.channels is None and isinstance(rows, slice):
            return part
        out = whole.clone()
        out[rows, : self.channels] = part
        return out


class ClassifierFree(_Guided):
    """Model under classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598, eq. 6).

        d = d_free + scale (d_label - d_free)

    d_label is the inner model's estimate given the label, d_free its estimate without one. The
    paper's w is scale - 1. One inner call on twice the rows gives both: two evaluations per sample,
    at a sequential depth of one. Outside ``interval``, d is d_label, which takes one evaluation
    (Kynkäänniemi et al. 2024, arXiv:2404.07724, section 3).

    Args:
        inner: a model with classes or other conditions, and a null label.
        scale: guidance scale, or a formula of :mod:`.guidance_formulas` that contains one.
        channels: number of guided channels, from the first on; None for all. The other channels are
            from d_label (DiT's own code guides three of four).
        interval: levels (low, high] with guidance, 0 <= low < high; None for all.

    Raises:
        ValueError: the model has no classes or conditions, or no null label; or ``channels`` or
            ``interval`` is invalid.
    """

    def __init__(
        self,
        inner: Denoiser,
        scale: float | GuidanceFormula,
        *,
        channels: int | None = None,
        interval: Interval | None = None,
    ) -> None:
        if not (inner.classes or inner.conditions):
            raise ValueError(f"model {inner.name} has no classes, so it cannot be guided")
        if not inner.null_label:
            raise ValueError(
                f"model {inner.name} has no embeddings of the negative prompt to guide from; give "
                "negative_prompt_embeds in the same file"
                if inner.conditions
                else f"model {inner.name} was not trained without labels, so there is nothing to guide from"
            )
        super().__init__(inner, self._set_options(inner, scale, channels, interval))
        self.passes = 2 * inner.passes
        self.infinite = inner.infinite and self.formula.allows_infinite_level

    def draw_labels(self, ids: Tensor, seed: int) -> Tensor | None:
        """Return the inner model's labels, or uniformly drawn labels if it draws none."""
        labels = self.inner.draw_labels(ids, seed)
        uniform = [1.0] * (self.classes or self.conditions)
        return labels_for(ids, seed, uniform) if labels is None else labels

    def passes_at(self, sigma: float) -> int:
        """Return the inner model's passes at level ``sigma``, doubled inside the interval."""
        return self.inner.passes_at(sigma) * (2 if self._is_guided(sigma) else 1)

    def denoise_both(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Pair:
        """Return the guided estimate and d_free; outside the interval, d_label twice."""
        null_label = self.classes or self.conditions
        null_labels = torch.full((len(x),), null_label, dtype=torch.int64, device=x.device)
        guided_labels = null_labels if labels is None else labels
        rows = self._guided_rows(sigma, x)
        if rows is None:
            d = self.inner.denoise(x, sigma, guided_labels)
            return d, d
        levels = torch.cat([sigma, sigma[rows]]) if isinstance(sigma, Tensor) else sigma
        both = self.inner.denoise(
            torch.cat([x, x[rows]]), levels, torch.cat([guided_labels, null_labels[rows]])
        )
        label, free = both[: len(x)], both[len(x) :]
        return self._guide(label, free, x, sigma, rows)


class Autoguided(_Guided):
    """Model guided by a worse version of itself (Karras et al. 2024, arXiv:2406.02507, eq. 3).

        d = d_guide + scale (d_model - d_guide)

    Both models get the same labels, but a guide without classes and conditions gets None. They are
    evaluated one after the other; outside ``interval``, only the inner model is evaluated.

    Args:
        inner: the model that is guided, of the estimate d_model.
        guide: the worse model, of the same ``event`` and ``kind``, of the same or no classes and
            conditions, that knows all guided levels.
        scale: guidance scale, or a formula that contains one; 1 is the inner model itself.
        channels, interval: as in :class:`ClassifierFree`.

    Raises:
        ValueError: the guide does not fit, or ``channels`` or ``interval`` is invalid.
    """

    def __init__(
        self,
        inner: Denoiser,
        guide: Denoiser,
        scale: float | GuidanceFormula,
        *,
        channels: int | None = None,
        interval: Interval | None = None,
    ) -> None:
        for attribute in ("event", "kind", "classes", "conditions"):
            own, other = getattr(inner, attribute), getattr(guide, attribute)
            if own != other and not (attribute != "event" and other == 0):
                raise ValueError(
                    f"model {inner.name} has {attribute} {own}, and its guide {guide.name} {other}; take a guide "
                    "of the same kind that was trained on the same data"
                )
        top = inner.sigma_max if interval is None else min(inner.sigma_max, interval[1])
        if top > 1.001 * guide.sigma_max:
            raise ValueError(
                f"the guide {guide.name} knows levels up to {guide.sigma_max:.15g}, and would be called at {top:g}; "
                f"give guidance_interval=[0,{guide.sigma_max:.15g}]"
            )
        words = self._set_options(inner, scale, channels, interval)
        super().__init__(inner, f"{words},guide={guide.name}")
        self.identity = f"{inner.identity}({words},guide={guide.identity})"
        self.guide = guide
        both = guide.infinite or not self._is_guided(math.inf)
        self.infinite = both and inner.infinite and self.formula.allows_infinite_level
        self.passes = inner.passes + guide.passes
        if guide.read is not None:
            self.read = (self.read or guide.read) | guide.read.paths

    def passes_at(self, sigma: float) -> int:
        """Return the passes of both models; outside the interval, of the inner model only."""
        more = self.guide.passes_at(sigma) if self._is_guided(sigma) else 0
        return self.inner.passes_at(sigma) + more

    def denoise_both(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Pair:
        """Return the guided estimate and d_guide; outside the interval, d_model twice."""
        d = self.inner.denoise(x, sigma, labels)
        rows = self._guided_rows(sigma, x)
        if rows is None:
            return d, d
        takes_labels = self.guide.classes or self.guide.conditions
        worse = self.guide.denoise(
            x[rows],
            sigma[rows] if isinstance(sigma, Tensor) else sigma,
            None if labels is None or not takes_labels else labels[rows],
        )
        return self._guide(d, worse, x, sigma, rows)

    def instrumented(self, wrap: Callable[[Denoiser], Denoiser]) -> Denoiser:
        """Return a copy in which ``wrap`` replaces the innermost models of inner and guide."""
        return self._around(self.inner.instrumented(wrap), self.guide.instrumented(wrap))

    def to(self, device: torch.device | str) -> Denoiser:
        """Return a copy with ``inner`` and ``guide`` on ``device``."""
        return self._around(self.inner.to(device), self.guide.to(device))

    def _around(self, inner: Denoiser, guide: Denoiser) -> Denoiser:
        twin = self.rewrapped(inner)
        twin.guide = guide
        return twin
