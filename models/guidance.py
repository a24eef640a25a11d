"""Classifier-free and classifier guidance, as a Denoiser around a Denoiser that counts every
network pass.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .denoiser import Denoiser, column, labels_for
from .wrappers import Altered


class _Guided(Altered):
    """What both kinds share: the inner model must have classes, or other conditions, and unlabelled
    samples get one.
    """

    def __init__(self, inner: Denoiser, kind: str, scale: float) -> None:
        if not (inner.classes or inner.conditions):
            raise ValueError(f"model {inner.name} has no classes, so it cannot be guided")
        if not inner.null_label:
            raise ValueError(
                f"model {inner.name} has no embeddings of the negative prompt to guide from; give "
                "negative_prompt_embeds in the same file"
                if inner.conditions
                else f"model {inner.name} was not trained without labels, so there is nothing to guide from"
            )
        super().__init__(inner, f"{kind}={scale:.15g}")
        self.scale = scale

    def draw_labels(self, ids: Tensor, seed: int) -> Tensor | None:
        """The inner model's.

        Uniform over the classes where it would go unlabelled, since guidance needs something to
        guide to.
        """
        labels = self.inner.draw_labels(ids, seed)
        return labels_for(ids, seed, [1.0] * self._none) if labels is None else labels

    @property
    def _none(self) -> int:
        """The label that means none."""
        return self.classes or self.conditions

    def _unlabelled(self, x: Tensor) -> Tensor:
        return torch.full((len(x),), self._none, dtype=torch.int64, device=x.device)


class ClassifierFree(_Guided):
    """Classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598, eq. 6).

        d = d_free + scale (d_label - d_free)

    ``scale`` 1 is the conditional model and 0 the unconditional one (the paper's w is scale - 1).
    Both passes are one inner call on twice the rows: two evaluations a sample at a sequential depth
    of one.

    Args:
        inner: a model with classes.
        scale: guidance scale.

    Raises:
        ValueError: the model has no classes, or knows no "no label".
    """

    def __init__(self, inner: Denoiser, scale: float) -> None:
        super().__init__(inner, "guidance", scale)
        self.passes = 2 * inner.passes

    def denoise(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Tensor:
        """Guided estimate; rows without a label get the unconditional one."""
        none = self._unlabelled(x)
        twice = torch.cat([sigma, sigma]) if isinstance(sigma, Tensor) else sigma
        both = self.inner.denoise(
            torch.cat([x, x]), twice, torch.cat([none if labels is None else labels, none])
        )
        label, free = both.chunk(2)
        return torch.lerp(free, label, self.scale)


class ClassifierGuidance(_Guided):
    """Classifier guidance (Dhariwal & Nichol 2021, arXiv:2105.05233, section 4) in canonical
    coordinates.

        d = d_free + scale sigma² grad_x log p(label | x, sigma)

    which is Tweedie's formula for the score of p(x) p(label | x)^scale. Evaluations of the
    classifier are not network evaluations of the score model and are not counted as such.

    Args:
        inner: a model with classes; it is called without labels.
        log_prob: differentiable ``log_prob(x, sigma, labels)`` = log p(label | x at sigma),
            ``(batch,)``; row k may depend on the arguments' row k only.
        classifier: the classifier's name, and its version or hash; part of the model's name and
            identity.
        scale: guidance scale.

    Raises:
        ValueError: the model has no classes, or knows no "no label".
    """

    def __init__(
        self,
        inner: Denoiser,
        log_prob: Callable[[Tensor, float | Tensor, Tensor], Tensor],
        classifier: str,
        scale: float = 1.0,
    ) -> None:
        super().__init__(inner, classifier, scale)
        self.log_prob = log_prob

    def denoise(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Tensor:
        """Guided estimate; rows without a label get the unconditional one."""
        d = self.inner.denoise(x, sigma, self._unlabelled(x))
        if labels is None:
            return d
        gradient = self._gradient(x, sigma, labels.clamp(max=self._none - 1))
        guided = d + self.scale * column(sigma, x) ** 2 * gradient
        labelled = (labels < self._none).reshape(-1, *[1] * (x.ndim - 1))
        return torch.where(labelled, guided, d)

    def _gradient(self, x: Tensor, sigma: float | Tensor, labels: Tensor) -> Tensor:
        # A sampler may run in inference mode: autograd takes no tensor that was made there, only a
        # copy made outside.
        with torch.inference_mode(False), torch.enable_grad():
            leaf = x.detach().clone().requires_grad_()
            level = sigma.clone() if isinstance(sigma, Tensor) else sigma
            return torch.autograd.grad(self.log_prob(leaf, level, labels.clone()).sum(), leaf)[0]
