"""Fingerprint of a feature extractor: its features of fixed noise, and the hashes of its files."""

from __future__ import annotations

import torch

from ....models.loaders.user_files import reading
from ....models.reference import Extractor, Identity
from ....results.run_directory.fingerprint import Fact, Fingerprint
from ....samplers import SampleNoise
from .model import MANY_ROWS, files_of, without_folders
from .numbers import of_rows

PROBES, SEED = 4, 0
LOUDER = 8.0
"""Range of the second noise where the data have no range."""


def extractor_fingerprint(
    extractor: Extractor,
    event: tuple[int, ...],
    limits: tuple[float, float] | None,
    device: str = "cpu",
) -> Fingerprint:
    """Return the fingerprint of an extractor: its features of :data:`PROBES` samples of noise.

    A user's extractor is also tried on :data:`MANY_ROWS` louder samples.

    Args:
        extractor: maps samples ``(n, *event)`` to features ``(n, dim)``.
        event: shape of one sample.
        limits: range of the data, which the noise is clamped to; None if there is none.
        device: where the samples live.

    Raises:
        Exception: raised by the extractor.
    """
    exact: dict[str, Fact] = {
        "identity": without_folders(extractor.identity),
        "dim": extractor.dim,
        "event": str(tuple(event)),
        "limits": str(limits),
    }
    if isinstance(extractor, Identity):
        return Fingerprint("extractor", exact["identity"], exact, {})  # pyright: ignore[reportArgumentType] - a text
    read = getattr(extractor, "read", None)
    with reading() as recorder, torch.no_grad():
        features = extractor(probes(event, limits).to(device))
        values = {"features of fixed noise": of_rows(features, torch.float32, device)}
        if read is not None:
            many = extractor(probes(event, limits, MANY_ROWS, LOUDER).to(device))
            values["features of many samples"] = of_rows(many[None], torch.float32, device)
    exact = files_of(read, recorder.paths) | exact
    return Fingerprint("extractor", without_folders(extractor.identity), exact, values)


def probes(
    event: tuple[int, ...],
    limits: tuple[float, float] | None,
    count: int = PROBES,
    louder: float = 1.0,
) -> torch.Tensor:
    """Return ``(count, *event)`` float32 noise: rows of white noise, then rows of its running
    means, which are smoother.

    It stays within the range of the data; where there is none, within ``louder`` times [-1, 1].
    """
    low, high = limits or (-louder, louder)
    noise = SampleNoise(SEED, torch.arange(count), event, torch.float64).initial()
    flat = noise.flatten(1)
    smooth = flat.cumsum(1) / torch.arange(1, flat.shape[1] + 1).sqrt()
    mixed = torch.cat([flat[: count // 2], smooth[count // 2 :]]).reshape(noise.shape)
    return ((low + high) / 2 + (high - low) / 4 * mixed).clamp(low, high).to(torch.float32)
