"""Guidance around a Denoiser: classifier-free, by a worse model, and by a classifier."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .denoiser import Denoiser, Pair, Wrapper, level_column
from .guidance_formulas import GuidanceFormula, LinearGuidance
from .label_draws import labels_for
from .reference import Reference


class AlteringWrapper(Wrapper):
    """Base class of wrappers that change the denoised image.

    Exact endpoints and stored converged samples of the inner model no longer hold, and are hidden.

    Args:
        inner: the model to wrap.
        what: the change in a word, such as ``guidance=2``, for the name and the identity.
    """

    def __init__(self, inner: Denoiser, what: str) -> None:
        super().__init__(inner)
        self.name = f"{inner.name}({what})"
        self.identity = f"{inner.identity}({what})"

    endpoint = Denoiser.endpoint  # None: the exact end of the changed path is unknown

    def reference(self) -> Reference | None:
        """Return the inner model's reference without its converged samples; None if it has none."""
        reference = self.inner.reference()
        return None if reference is None else reference.without_converged()


Interval = tuple[float, float]
"""Range (low, high] of the noise levels at which a model is guided."""


class _Guided(AlteringWrapper):
    """Base class of guidance; subclasses define :meth:`denoise_both`."""

    channels: int | None = None
    interval: Interval | None = None
    formula: GuidanceFormula

    def denoise(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Tensor:
        """Return the guided image; outside the interval, the inner model's image."""
        return self.denoise_both(x, sigma, labels)[0]

    def _set_options(
        self,
        scale: float | GuidanceFormula,
        channels: int | None,
        interval: Interval | None,
    ) -> str:
        """Set the options of guidance, and return their text, ``guidance=2,0.2<sigma<=5``."""
        self.formula = scale if isinstance(scale, GuidanceFormula) else LinearGuidance(scale=scale)
        self.channels, self.interval = channels, interval
        words = self.formula.text
        if channels is not None:
            words += f",channels={channels}"
        return (
            words if interval is None else f"{words},{interval[0]:.15g}<sigma<={interval[1]:.15g}"
        )

    def _check_options(self) -> None:
        channels, most, levels = self.channels, self.event[0], self.interval
        if channels is not None and not 0 < channels <= most:
            raise ValueError(
                f"model {self.inner.name} has {most} channels, so {channels} of them cannot be "
                f"guided; give 1 to {most}"
            )
        if levels is not None and not 0 <= levels[0] < levels[1]:
            raise ValueError(
                f"guidance needs an interval of levels (low, high) with 0 <= low < high, got {levels}"
            )

    def _is_guided(self, sigma: float) -> bool:
        return self.interval is None or self.interval[0] < sigma <= self.interval[1]

    def _guided_rows(self, sigma: float | Tensor, x: Tensor) -> Tensor | slice | None:
        """Return the guided rows, as a slice or int64 indices; None for no row."""
        if self.interval is None or not isinstance(sigma, Tensor):
            return slice(None) if self.interval is None or self._is_guided(float(sigma)) else None
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


class _LabelGuidance(_Guided):
    """Base class of guidance that uses estimates without a label.

    Raises a ValueError for a model with neither classes nor conditions, or without a null label.
    """

    def __init__(self, inner: Denoiser, what: str) -> None:
        if not (inner.classes or inner.conditions):
            raise ValueError(f"model {inner.name} has no classes, so it cannot be guided")
        if not inner.null_label:
            raise ValueError(
                f"model {inner.name} has no embeddings of the negative prompt to guide from; give "
                "negative_prompt_embeds in the same file"
                if inner.conditions
                else f"model {inner.name} was not trained without labels, so there is nothing to guide from"
            )
        super().__init__(inner, what)

    def draw_labels(self, ids: Tensor, seed: int) -> Tensor | None:
        """Return the inner model's labels, or uniformly drawn labels if it draws none."""
        labels = self.inner.draw_labels(ids, seed)
        return labels_for(ids, seed, [1.0] * self._null_label) if labels is None else labels

    @property
    def _null_label(self) -> int:
        return self.classes or self.conditions

    def _null_labels(self, x: Tensor) -> Tensor:
        return torch.full((len(x),), self._null_label, dtype=torch.int64, device=x.device)


class ClassifierFree(_LabelGuidance):
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
        super().__init__(inner, self._set_options(scale, channels, interval))
        self._check_options()
        self.passes = 2 * inner.passes
        self.infinite = inner.infinite and self.formula.allows_infinite_level

    def passes_at(self, sigma: float) -> int:
        """Return the inner model's passes at level ``sigma``, doubled inside the interval."""
        return self.inner.passes_at(sigma) * (2 if self._is_guided(sigma) else 1)

    def denoise_both(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Pair:
        """Return the guided estimate and d_free; outside the interval, d_label twice."""
        null_labels = self._null_labels(x)
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
        words = self._set_options(scale, channels, interval)
        super().__init__(inner, f"{words},guide={guide.name}")
        self._check_options()
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


class ClassifierGuidance(_LabelGuidance):
    """Model under classifier guidance (Dhariwal & Nichol 2021, arXiv:2105.05233, section 4).

        d = d_free + scale sigma² grad_x log p(label | x, sigma)

    d_free is the estimate without a label. The equation is Tweedie's formula for the score of p(x)
    p(label | x)^scale. Evaluations of the classifier are not counted.

    Args:
        inner: a model with classes or other conditions, called with "no label" only.
        log_prob: differentiable ``log_prob(x, sigma, labels)`` = log p(label | x, sigma) by row.
        classifier: name and version or hash of the classifier, for the model's name and identity.
        scale: guidance scale; at 0, d is d_free.

    Raises:
        ValueError: the model has no classes or conditions, or no null label.
    """

    def __init__(
        self,
        inner: Denoiser,
        log_prob: Callable[[Tensor, float | Tensor, Tensor], Tensor],
        classifier: str,
        scale: float = 1.0,
    ) -> None:
        super().__init__(inner, f"{classifier}={scale:.15g}")
        self.log_prob, self.scale, self.infinite = log_prob, scale, False

    def denoise_both(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Pair:
        """Return the guided and the unconditional estimate; without a label they are equal."""
        d = self.inner.denoise(x, sigma, self._null_labels(x))
        if labels is None:
            return d, d
        gradient = self._classifier_gradient(x, sigma, labels.clamp(max=self._null_label - 1))
        guided = d + self.scale * level_column(sigma, x) ** 2 * gradient
        labelled = (labels < self._null_label).reshape(-1, *[1] * (x.ndim - 1))
        return torch.where(labelled, guided, d), d

    def _classifier_gradient(self, x: Tensor, sigma: float | Tensor, labels: Tensor) -> Tensor:
        # Autograd refuses tensors of inference mode, in which a sampler may run, but not copies.
        with torch.inference_mode(False), torch.enable_grad():
            leaf = x.detach().clone().requires_grad_()
            level = sigma.clone() if isinstance(sigma, Tensor) else sigma
            return torch.autograd.grad(self.log_prob(leaf, level, labels.clone()).sum(), leaf)[0]
