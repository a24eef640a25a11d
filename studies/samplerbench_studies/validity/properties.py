"""Properties of models that may be related to how well they predict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from samplerbench.models import Denoiser, make_model
from samplerbench.samplers import SampleNoise, karras, make

from .choosing import TriedPredictor
from .measuring import OWN_ERROR, Measured
from .table import Row

SEARCH_IDS = 2**30
"""First sample id, which no run scores."""

_DRAWN, _STEPS = 512, 20
"""Numbers of samples and steps to estimate a covariance of the data that the model does not
know.
"""


@dataclass(frozen=True)
class Properties:
    """Properties of a model: dimension, spectrum and own error.

    Attributes:
        dimension: number of elements of a sample.
        effective: effective dimension of the data's covariance, (sum l)² / sum l² of the
            eigenvalues l.
        slope: exponent a of a power law l_k ~ k^-a, fitted to the logarithms of the eigenvalues that
            hold 99 % of the variance.
        own_error: distance of the model's converged samples to its data, relative to the total
            variance of the features; 0 for exact models.
    """

    dimension: int
    effective: float
    slope: float
    own_error: float


def properties_of(model: str, measured: Measured) -> Properties:
    """Return a model's properties; its own error is a column of ``measured``, 0 without it."""
    made = make_model(model)
    cov = covariance_of_data(made)
    values = np.linalg.eigvalsh(cov)[::-1].clip(min=0)
    kept = values[: 1 + int(np.searchsorted(np.cumsum(values), 0.99 * values.sum()))]
    places = np.log(np.arange(1, len(kept) + 1))
    slope = -np.polyfit(places, np.log(kept), 1)[0] if len(kept) > 1 else 0.0
    reference = made.reference()
    own = [known[OWN_ERROR] for known in measured.values() if OWN_ERROR in known]
    spread = 1.0 if reference is None else float(np.trace(reference.cov))
    return Properties(
        dimension=int(np.prod(made.event)),
        effective=float(values.sum() ** 2 / (values @ values)),
        slope=float(slope),
        own_error=max(own[0], 0.0) / spread if own else 0.0,
    )


@torch.no_grad()
def covariance_of_data(model: Denoiser) -> NDArray[np.float64]:
    """Return the covariance ``(d, d)`` of the data, or of samples if the data's is unknown."""
    moments = model.moments()
    if moments is not None:
        mean, cov = moments
        return cov + np.cov(mean, rowvar=False, bias=True) if mean.ndim == 2 else cov
    ids = torch.arange(SEARCH_IDS, SEARCH_IDS + _DRAWN)
    x = model.sigma_max * SampleNoise(0, ids, model.event, model.dtype).initial()
    grid = karras(_STEPS, model.sigma_min, model.sigma_max)
    drawn = make("dpmpp_2m").sample(model.bind(ids, 0), x, grid)
    return np.cov(drawn.flatten(1).double().numpy(), rowvar=False)


def property_rows(measured: Mapping[str, Measured], tried: list[TriedPredictor]) -> list[Row]:
    """Return a row for each model: its properties, and each column's correlation on CIFAR-10."""
    rows = []
    for model, known in measured.items():
        scores = {
            f"{one.question} {one.predictor.column}": one.spearman
            for one in tried
            if one.predictor.models == (model,)
        }
        rows.append({"model": model, **asdict(properties_of(model, known)), **scores})
    return rows
