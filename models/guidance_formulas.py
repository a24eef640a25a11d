"""Formulas of guidance: the guided image from the images with and without the label.

A formula may combine predictions p in place of images d. Then p = (x - k d) / sigma, with k = 1 for
the noise, 1 + sigma² for v and 1 + sigma for the velocity of a flow. These p are the predictions up
to a factor that depends on the level. The factor matters only to the threshold of ``apg``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from .denoiser import level_column

Prediction = Literal["x0", "eps", "v", "flow"]


@dataclass(frozen=True, kw_only=True)
class GuidanceFormula(ABC):
    """Base class of guidance formulas; subclasses define :attr:`text` and :meth:`combine`.

    Class attributes:
        name: name in options and in a model's name.

    Attributes:
        prediction: type of :meth:`combine`'s arguments: ``x0`` (images), ``eps``, ``v``, ``flow``.
    """

    name: ClassVar[str]
    prediction: Prediction = "x0"

    def __post_init__(self) -> None:
        if self.prediction not in get_args(Prediction):
            raise ValueError(
                f"{self.name}: prediction is x0, eps, v or flow, not {self.prediction!r}"
            )

    @property
    @abstractmethod
    def text(self) -> str:
        """Text of the formula in a model's name, such as ``guidance=2,apg(threshold=2.5)``."""

    @property
    def allows_infinite_level(self) -> bool:
        """True if the formula can be used at an infinite level: if ``prediction`` is x0."""
        return self.prediction == "x0"

    def __call__(self, label: Tensor, free: Tensor, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Return the guided image at states ``x``, from the images with and without the label."""
        if self.prediction == "x0":
            return self.combine(label, free)
        level = level_column(sigma, x)
        k = {"eps": 1.0, "v": 1 + level * level, "flow": 1 + level}[self.prediction]
        return (x - level * self.combine((x - k * label) / level, (x - k * free) / level)) / k

    @abstractmethod
    def combine(self, label: Tensor, free: Tensor) -> Tensor:
        """Return the guided prediction from predictions with and without label, ``(batch, …)``."""


@dataclass(frozen=True, kw_only=True)
class LinearGuidance(GuidanceFormula):
    """Classifier-free guidance: free + w (label - free), the same image for every ``prediction``.

    Attributes:
        scale: guidance scale w; 1 is the conditional model.
    """

    name = "linear"
    scale: float

    @property
    def text(self) -> str:
        """Text of the scale; in a subclass also of the name and of options other than defaults."""
        changed = [
            f"{f.name}={value}"
            for f in fields(self)
            if f.name != "scale" and (value := getattr(self, f.name)) != f.default
        ]
        words = "" if type(self) is LinearGuidance else f",{self.name}({','.join(changed)})"
        return f"guidance={self.scale:.15g}{words}"

    def combine(self, label: Tensor, free: Tensor) -> Tensor:
        """Return free + w (label - free)."""
        return torch.lerp(free, label, self.scale)


@dataclass(frozen=True, kw_only=True)
class ProjectedGuidance(LinearGuidance):
    """Adaptive projected guidance, APG (Sadat et al. 2024, arXiv:2410.02416, Alg. 1).

    Let D be label - free, shortened to at most the length ``threshold``, and P the component of D
    along label. Then d = label + (w - 1) (D - P + eta P).

    The paper's momentum beta is left out: it makes d depend on earlier evaluations, and a denoiser
    depends on x and sigma alone. Momentum replaces D by the sum of its latest values,
    weighted by powers of beta. For small steps, the sum is nearly D / (1 - beta). The scale
    1 + (w - 1) / (1 - beta) then has the effect of momentum.

    Attributes:
        eta: weight of the parallel component P; 1 without a threshold is :class:`LinearGuidance`.
        threshold: largest norm of D, over all elements of a sample; inf for no bound.
    """

    name = "apg"
    eta: float = 0.0
    threshold: float = math.inf

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.threshold > 0 and math.isfinite(self.eta)):
            raise ValueError(
                f"apg: threshold must be > 0 and eta finite, got {self.threshold} and {self.eta}"
            )

    def combine(self, label: Tensor, free: Tensor) -> Tensor:
        """Return label + (w - 1) (D - P + eta P)."""
        change, along = (label - free).flatten(1), label.flatten(1)
        length = torch.linalg.vector_norm(change, dim=1, keepdim=True)
        change = change * (self.threshold / length).clamp(max=1)
        along = torch.nn.functional.normalize(along, dim=1)
        parallel = (change * along).sum(1, keepdim=True) * along
        update = change - (1 - self.eta) * parallel
        return label + (self.scale - 1) * update.reshape(label.shape)


@dataclass(frozen=True, kw_only=True)
class ZeroStarGuidance(LinearGuidance):
    """CFG-Zero* (Fan et al. 2025, arXiv:2503.18886, section 4), in velocities of the flow.

    The free velocity is multiplied by s = <label, free> / |free|², to fit the label's velocity.
    The authors also set the velocity of the first step to 0, which gives the image x / (1 + sigma).
    For this zero-init, set ``zero_above`` just below the first level.

    Attributes:
        zero_above: level above which the velocity is 0; inf for no such level.
    """

    name = "zero_star"
    prediction: Prediction = "flow"
    zero_above: float = math.inf

    @property
    def allows_infinite_level(self) -> bool:
        """True if it can be used at an infinite level: ``prediction`` is x0, ``zero_above`` inf."""
        return super().allows_infinite_level and self.zero_above == math.inf

    def __call__(self, label: Tensor, free: Tensor, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Return the guided image, or x / (1 + sigma) at levels above ``zero_above``."""
        d, level = super().__call__(label, free, x, sigma), level_column(sigma, x)
        above = torch.as_tensor(level > self.zero_above, device=x.device)
        return torch.where(above, x / (1 + level), d)

    def combine(self, label: Tensor, free: Tensor) -> Tensor:
        """Return s free + w (label - s free)."""
        rows, others = label.flatten(1), free.flatten(1)
        tiny = torch.finfo(free.dtype).tiny  # any s does for a free velocity of 0
        fit = (rows * others).sum(1, keepdim=True)
        fit = fit / others.square().sum(1, keepdim=True).clamp_min(tiny)
        return torch.lerp((fit * others).reshape(free.shape), label, self.scale)


@dataclass(frozen=True, kw_only=True)
class RescaledGuidance(GuidanceFormula):
    """Rescaled guidance (Lin et al. 2023, arXiv:2305.08891, section 3.4) of another formula.

    The guided prediction is multiplied by 1 - share + share std(label) / std(guided), with std over
    the elements of a sample, at least two. The paper's model predicts v.

    Attributes:
        formula: the formula whose result is rescaled.
        share: phi in [0, 1]; the paper has 0.7.
    """

    name = "rescale"
    prediction: Prediction = "v"
    formula: GuidanceFormula
    share: float = 0.7

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.share <= 1:
            raise ValueError(f"rescale: share must be in [0, 1], got {self.share}")

    @property
    def text(self) -> str:
        """Text of the inner formula and the share, and of ``prediction`` if it is not v."""
        option = "" if self.prediction == "v" else f",prediction={self.prediction}"
        return f"{self.formula.text},rescale={self.share:.15g}{option}"

    @property
    def allows_infinite_level(self) -> bool:
        """True if this formula and the inner one can both be used at an infinite level."""
        return super().allows_infinite_level and self.formula.allows_infinite_level

    def __call__(self, label: Tensor, free: Tensor, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Return the guided image of the inner formula, rescaled."""
        return super().__call__(label, self.formula(label, free, x, sigma), x, sigma)

    def combine(self, label: Tensor, free: Tensor) -> Tensor:
        """Return the guided prediction, here ``free``, rescaled towards the std of ``label``."""
        own, wanted = (p.flatten(1).std(1).reshape(-1, *[1] * (p.ndim - 1)) for p in (free, label))
        # a prediction that is constant over its elements, such as 0, has no std to change
        rescaled = torch.where(own > 0, self.share * wanted / own, self.share)
        return free * (1 - self.share + rescaled)


_FORMULAS: dict[str, type[LinearGuidance]] = {
    kind.name: kind for kind in (LinearGuidance, ProjectedGuidance, ZeroStarGuidance)
}


def make_formula(scale: float, spec: Any = None, rescale: Any = None) -> GuidanceFormula:
    """Return a formula of guidance from options.

    Args:
        scale: guidance scale.
        spec: ``linear``, ``apg`` or ``zero_star``, or a table with one of them as ``name``, and its
            options; None for ``linear``.
        rescale: share of :class:`RescaledGuidance`, or a table of its options; None for no rescaling.

    Raises:
        ValueError: a name or an option is unknown, or has a wrong value.
    """
    options: dict[str, Any] = (
        dict(spec) if isinstance(spec, Mapping) else {"name": spec or "linear"}
    )
    name = options.pop("name", None)
    if not isinstance(name, str) or name not in _FORMULAS:
        raise ValueError(f"guidance_formula is {', '.join(_FORMULAS)}, not {name!r}")
    what = f"guidance_formula {name}"
    try:
        formula = _FORMULAS[name](scale=scale, **options)
        if rescale is None:
            return formula
        what = "guidance_rescale"
        shares: dict[str, Any] = (
            dict(rescale) if isinstance(rescale, Mapping) else {"share": rescale}
        )
        return RescaledGuidance(formula=formula, **shares)
    except TypeError as error:
        raise ValueError(f"{what}: an option is unknown or no number ({error})") from error
