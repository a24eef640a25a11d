"""The fingerprint of a model: its output on fixed noise at a few levels, and the hashes of the
files that it is made of.
"""

from __future__ import annotations

import math
import re

import torch

from ....models import Denoiser
from ....models.loaders.networks import parameter_dtype
from ....models.loaders.reading import FilesRead, reading
from ....results.run_directory.fingerprint import FILE, Fact, Fingerprint, Numbers
from ....samplers import SampleNoise
from .numbers import of_rows

LEVELS, ROWS, SEED = 5, 2, 0

_ABSOLUTE = re.compile(
    r"(?<![\w.])(?:~|[A-Za-z]:)?[/\\](?:[^\s\"',;()/\\]+[/\\])+(?=[^\s\"',;()/\\])"
)


@torch.no_grad()
def model_fingerprint(model: Denoiser, device: str = "cpu") -> Fingerprint:
    """The fingerprint of a model: :data:`LEVELS` evaluations of :data:`ROWS` samples, between its
    own ends.

    Args:
        model: eager, with its wrappers (guidance and its like), on ``device``. Files that it opens
            only when it is called count too.
        device: "cpu" or "cuda".

    Raises:
        Exception: whatever the model raises.
    """
    ids, precision = torch.arange(ROWS, device=device), precision_of(model)
    values: dict[str, Numbers] = {}
    with reading() as seen:
        bound = model.bind(ids, SEED)
        z = SampleNoise(SEED, ids, model.event, model.dtype).initial()
        for sigma in levels_of(model):
            values[f"output at sigma {sigma:.4g}"] = of_rows(
                bound(z * math.sqrt(1 + sigma * sigma), sigma), precision, device
            )
        if model.decoder is not None:
            values["decoded noise"] = of_rows(model.decode(z.float()), torch.float32, device)
    exact: dict[str, Fact] = {
        "identity": without_folders(model.identity),
        "event": str(tuple(model.event)),
        "sigma_min": model.sigma_min,
        "sigma_max": model.sigma_max,
        "number of classes": model.classes,
        "limits": str(model.limits),
        "evaluations a call": model.passes,
        "dtype": str(model.dtype).removeprefix("torch."),
    }
    if model.decoder is not None:
        exact["decoded event"] = str(tuple(model.decoder.event))
        exact["decoded limits"] = str(model.decoder.limits)
    return Fingerprint(
        "model", without_folders(model.name), files_of(model.read, seen.paths) | exact, values
    )


def levels_of(model: Denoiser) -> list[float]:
    """Levels from ``sigma_max`` down to ``sigma_min``, evenly spaced in their logarithm."""
    ratio = model.sigma_min / model.sigma_max
    return [
        model.sigma_max,
        *(model.sigma_max * ratio ** (i / (LEVELS - 1)) for i in range(1, LEVELS - 1)),
        model.sigma_min,
    ]


def files_of(read: FilesRead | None, later: frozenset[str] = frozenset()) -> dict[str, Fact]:
    """The hashes of a user's files as facts.

    ``later`` are those that were opened after it was made.
    """
    return (
        {}
        if read is None
        else {FILE + name: digest for name, digest in (read | later).hashes.items()}
    )


def precision_of(model: Denoiser) -> torch.dtype:
    """The coarsest dtype that a model computes in, as far as it says: that of its state, or of
    a network in it or in its wrappers.
    """
    found, inner = [model.dtype], model
    while isinstance(inner, Denoiser):
        dtypes = (
            getattr(inner, "network_dtype", None),
            *(parameter_dtype(value) for value in vars(inner).values()),
        )
        found += [dtype for dtype in dtypes if dtype is not None]
        inner = getattr(inner, "inner", None)
    return max(found, key=lambda dtype: torch.finfo(dtype).eps)


def without_folders(text: str) -> str:
    """A text without the folders of absolute paths, which differ between machines."""
    return _ABSOLUTE.sub("", text)
