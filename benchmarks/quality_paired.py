"""Columns that compare a cell's samples one by one with what their latents, or their Brownian paths, lead to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from numpy.typing import NDArray

from ..models import Denoiser
from ..results.record import Record
from .doubling import Endpoints
from .metrics.endpoint import EndpointError, endpoint_error, flip_fraction
from .quality import kept
from .sampling import Arrays


def endpoint_columns(model: Denoiser, truth: Endpoints, shards: Sequence[Arrays], device: str) -> tuple[Record, Arrays]:
    """The four ``rmse`` columns, over how many samples, how well the reference itself is resolved, and each sample's ``distance``."""
    x, error = _distances(truth, shards)
    record: Record = {"rmse": error.rmse, "rmse_se": error.rmse_se, "rmse_median": error.rmse_median}
    record |= {"rmse_samples": len(x), "rmse_resolution": truth.resolution}
    if truth.modes is not None:
        modes = model.mode_of(torch.from_numpy(x).to(device))
        assert modes is not None
        record["flip_fraction"] = flip_fraction(modes.cpu().numpy(), truth.modes[: len(x)])
    return record, {"distance": error.per_sample}


def strong_columns(truth: Endpoints, shards: Sequence[Arrays]) -> tuple[Record, Arrays]:
    """The distance to the pathwise limits, how far off the limits themselves may be, and each sample's distance, ``strong``."""
    _, error = _distances(truth, shards)
    record: Record = {"strong_error": error.rmse, "strong_error_se": error.rmse_se, "strong_resolution": truth.resolution}
    return record, {"strong": error.per_sample}


def _distances(truth: Endpoints, shards: Sequence[Arrays]) -> tuple[NDArray, EndpointError]:
    """The samples that have a truth, and how far they are from it."""
    x = kept(shards)[: len(truth.x)]
    return x, endpoint_error(x, truth.x[: len(x)])
