"""``inception:WEIGHTS``, the 2048 features of the FID: torch-fidelity's Inception-v3, with its
weights file, which the user brings.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..reference import FloatArray
from . import Samples, extractor

CHUNK = 32
"""Images at a time: 299 x 299 pixels each inside."""


@extractor("inception", usage="inception:WEIGHTS")
def load(weights: str, samples: Samples) -> Inception:
    """The 2048 features of the FID: torch-fidelity's Inception-v3, with its file of weights.

    Raises:
        ValueError: no file is named, or as :class:`Inception`.
    """
    if not weights:
        raise ValueError(
            "inception needs the file of its weights, which torch-fidelity "
            "publishes; write inception:WEIGHTS"
        )
    return Inception(Path(weights), samples.event, samples.limits)


class Inception:
    """torch-fidelity's ``inception-v3-compat``, whose features agree with those of the FID's
    original TensorFlow graph.

    It takes 8-bit RGB images: values of the data's range are scaled to 0 … 255 and *rounded*
    (truncation would darken all images by half a grey level), and grey images are repeated three
    times. It resizes to 299 x 299 by itself, as the original does.

    Args:
        weights: the file that torch-fidelity publishes
            (``weights-inception-2015-12-05-6726825d.pth``).
        event: (1, h, w) or (3, h, w).
        limits: range of the data.

    Raises:
        ValueError: torch-fidelity is not installed, the file is missing or holds other things than
            these weights, or samples are no images of a known range.
    """

    dim = 2048

    def __init__(
        self, weights: Path, event: tuple[int, ...], limits: tuple[float, float] | None
    ) -> None:
        if len(event) != 3 or event[0] not in (1, 3):
            raise ValueError(
                f"inception takes grey or RGB images, not samples {event}; use --extractor pixels"
            )
        if limits is None:
            raise ValueError(
                "inception needs the range of the images' values, which the model does "
                "not state; give a model of your own an attribute "
                "limits, such as limits = (-1.0, 1.0), or use --extractor pixels"
            )
        self._low, self._high = limits
        self._net = _network(weights)
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:16]
        self.identity = (
            f"inception-v3-compat-2048-{digest}-uint8-rounded-range[{self._low:g},{self._high:g}]"
        )

    @torch.no_grad()
    def __call__(self, x: Tensor) -> FloatArray:
        """Features ``(n, 2048)`` float64 of images ``(n, channels, h, w)`` in the data's range.

        Values outside are clamped to it.
        """
        grey = ((x.double() - self._low) / (self._high - self._low) * 255).clamp(0, 255).round()
        images = grey.to(torch.uint8).expand(-1, 3, -1, -1)
        self._net = self._net.to(x.device)
        parts = (
            [self._net(part)[0].cpu() for part in images.split(CHUNK)]
            if len(images)
            else [torch.empty(0, self.dim)]
        )
        return torch.cat(parts).double().numpy()


def _network(weights: Path) -> Any:
    """The network with its weights, which are looked at as plain tensors before torch-fidelity
    unpickles the file.
    """
    if not weights.is_file():
        raise ValueError(
            f"inception:{weights}: there is no such file; give the weights "
            "that torch-fidelity publishes"
        )
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import (  # pyright: ignore[reportMissingImports]
            FeatureExtractorInceptionV3,
        )
    except ImportError as error:
        raise ValueError(
            "inception needs torch-fidelity; pip install 'samplerbench[inception]'"
        ) from error
    try:
        torch.load(weights, map_location="cpu", weights_only=True)
        return FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights)
        )
    except Exception as error:  # a file of anything can raise anything
        what = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
        raise ValueError(
            f"{weights.name} does not hold torch-fidelity's Inception weights ({what})"
        ) from error
