"""``perturbed:MODEL``: a model with a known error (:mod:`samplerbench.models.exact.perturbed`)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..denoiser import Denoiser
from . import loader

if TYPE_CHECKING:
    from ..exact.perturbed import Perturbed

EXAMPLE = "gmm-2d"


@loader("perturbed", usage="perturbed:MODEL")
def load(
    rest: str,
    model: str | None = None,
    delta: float = 0.1,
    length: float = 0.5,
    seed: int = 0,
    spread: float | None = None,
    **options: Any,
) -> Perturbed:
    """Return the model called ``rest`` or ``model``, with an error of known size added.

    Args:
        rest: name of the inner model, the text after ``perturbed:``. Without ``rest`` and ``model``, :data:`EXAMPLE`.
        model: name of the inner model as an option: ``perturbed(model="gmm-2d")``.
        delta: size of the error in standard deviations of the posterior, >= 0.
        length: correlation length of the error in standard deviations of the noisy data, > 0.
        seed: seed of the error, >= 0.
        spread: standard deviation of the data, root mean square over the dimensions; None for the inner model's own.
        **options: options of the inner model.

    Raises:
        ValueError: the inner model is named twice or unknown, an option is unknown or invalid, or the spread of the
            data is neither given nor known.
    """
    from ..exact.perturbed import Perturbed
    from ..registry import make_model

    if rest and model is not None:
        problem = f"'perturbed:{rest}' names its model"
        raise ValueError(f"{problem}; leave out model={model!r}, or write perturbed(model=…)")
    if model is not None and not isinstance(model, str):
        raise ValueError(f"perturbed: model must be a model's name, got {model!r}")
    try:
        inner = make_model(rest or model or EXAMPLE, **options)
    except ValueError as error:
        if not options:
            raise
        raise ValueError(
            f"perturbed: {error} (perturbed itself takes model, delta, length, seed and spread)"
        ) from error
    return Perturbed(
        inner, delta, _default_spread(inner) if spread is None else spread, length=length, seed=seed
    )


def _default_spread(model: Denoiser) -> float:
    from ..cards.network import NetworkDenoiser, NetworkFlow
    from ..exact.base import ExactModel

    if isinstance(model, ExactModel):
        return math.sqrt(float(np.mean(np.diag(model.moments()[1]))))
    if isinstance(model, NetworkDenoiser | NetworkFlow):
        return float(model.card.architecture["sigma_data"])
    raise ValueError(
        f"perturbed: the data of model {model.name} have no known standard "
        "deviation per dimension; give it as spread=1.0"
    )
