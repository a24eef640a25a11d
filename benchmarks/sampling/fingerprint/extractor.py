"""The fingerprint of a feature extractor: its features of fixed noise, and the hashes of the files
that it is made of.
"""

from __future__ import annotations

import torch

from ....models.loaders.reading import reading
from ....models.reference import Extractor, Identity
from ....results.run_directory.fingerprint import Fact, Fingerprint
from ....samplers import SampleNoise
from .model import files_of, without_folders
from .numbers import of_rows

PROBES, SEED = 4, 0


def extractor_fingerprint(
    extractor: Extractor,
    event: tuple[int, ...],
    limits: tuple[float, float] | None,
    device: str = "cpu",
) -> Fingerprint:
    """The fingerprint of an extractor: its features of :data:`PROBES` samples of noise, white and
    smooth.

    Args:
        extractor: maps samples ``(n, *event)`` to features ``(n, dim)``.
        event: shape of one sample.
        limits: range of the data, which the noise is clamped to; None if there is none.
        device: where the samples live.

    Raises:
        Exception: whatever the extractor raises.
    """
    exact: dict[str, Fact] = {
        "identity": without_folders(extractor.identity),
        "dim": extractor.dim,
        "event": str(tuple(event)),
        "limits": str(limits),
    }
    if isinstance(extractor, Identity):
        return Fingerprint("extractor", exact["identity"], exact, {})  # pyright: ignore[reportArgumentType] - a text
    with reading() as seen, torch.no_grad():
        features = extractor(probes(event, limits).to(device))
    exact = files_of(getattr(extractor, "read", None), seen.paths) | exact
    return Fingerprint(
        "extractor",
        without_folders(extractor.identity),
        exact,
        {"features of fixed noise": of_rows(features, torch.float32, device)},
    )


def probes(event: tuple[int, ...], limits: tuple[float, float] | None) -> torch.Tensor:
    """``(PROBES, *event)`` float32 noise within the range: rows of white noise, then rows of
    its running means, which are smoother.
    """
    low, high = limits or (-1.0, 1.0)
    noise = SampleNoise(SEED, torch.arange(PROBES), event, torch.float64).initial()
    flat = noise.flatten(1)
    smooth = flat.cumsum(1) / torch.arange(1, flat.shape[1] + 1).sqrt()
    mixed = torch.cat([flat[: PROBES // 2], smooth[PROBES // 2 :]]).reshape(noise.shape)
    return ((low + high) / 2 + (high - low) / 4 * mixed).clamp(low, high).to(torch.float32)
