"""Compute a card's statistics of its data: ``python -m samplerbench_studies.training.reference
fashion [--moments | --axes | --converged N]``.

Without an option: moments of the reference set in the card's features, and features of held-out
data, into ``reference.safetensors``. ``--moments``: means of the classes of the training images,
and the covariance about them, in pixels, into ``moments.safetensors``. ``--axes``: principal axes
of the reference features, into ``axes.safetensors`` of the extractor's card. ``--converged``:
features of N converged samples of the model, for ``fd_conv``, into ``converged.safetensors``.
Features are stored in float16, their moments in float64, those in pixels in float32. The hashes in
the card are updated.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor

from samplerbench.benchmarks.scoring import converged_samples
from samplerbench.models import Card, CardError, load_card, make_model
from samplerbench.models.cards import (
    AXES,
    CONVERGED,
    MOMENTS,
    REFERENCE,
    clamped_features,
    datasets,
    extractor_of,
)

from ..arrays import FloatArray
from .cards import write_card, write_tensors

EXACT_SAMPLES = 60_000
EXACT_SEED = 2_000_000
"""Seed of the exact samples of a reference set, far from the seeds that runs and tests use."""


_LOAD: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "fashion-mnist": datasets.fashion_mnist,
    "digits": datasets.digits,
    "emoji": datasets.emoji,
}


def pack_moments(samples: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Return moments of n samples for storage: ``means`` ``(k, d)`` and ``lower`` ``(d (d + 1) /
    2,)``.

    Args:
        samples: ``(n, *event)``, n > k.
        labels: ``(n,)`` int64 in 0 … k - 1, each of which occurs.
    """
    flat = samples.flatten(1).double()
    means = torch.stack([flat[labels == k].mean(0) for k in range(int(labels.max()) + 1)])
    rest = flat - means[labels]
    cov = rest.T @ rest / (len(flat) - len(means))
    return {"means": means.float(), "lower": cov[tuple(torch.tril_indices(*cov.shape))].float()}


def principal_axes(cov: FloatArray) -> Tensor:
    """Return projections ``(d, d)`` float32 that whiten a covariance, as columns, widest first.

    The largest entry of each column is positive.

    Raises:
        ValueError: the covariance is singular.
    """
    variances, vectors = np.linalg.eigh(cov)
    if variances[0] <= 1e-9 * variances[-1]:
        raise ValueError(
            "the features vary in fewer directions than they are: no axes "
            "can be in units of their standard deviation"
        )
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], axis=0)
    return torch.from_numpy(
        (vectors * np.sign(largest) / np.sqrt(variances))[:, ::-1].astype(np.float32)
    )


class Samples(Protocol):
    """Interface of a model that draws exact samples."""

    def sample(self, n: int, seed: int) -> Tensor:
        """Return ``n`` samples ``(n, *event)``."""
        ...


def data_sets(card: Card) -> tuple[Tensor, Tensor | None, str]:
    """Return a card's reference set, held-out set, and the name of the reference set.

    The held-out set is None if the model draws its own.
    """
    if card.name == "fashion-mppca":
        model = cast(Samples, make_model(card.name))
        return model.sample(EXACT_SAMPLES, EXACT_SEED), None, f"exact-{EXACT_SAMPLES}"
    images = _LOAD[str(card.data["name"])]
    return images("train")[0], images("test")[0], "train"


def build_reference(card: Card) -> Card:
    """Write ``reference.safetensors`` and the card, and return the card."""
    reference_set, held_out_set, called = data_sets(card)
    features = clamped_features(card, reference_set)
    tensors = {
        "mean": torch.from_numpy(features.mean(axis=0)),
        "cov": torch.from_numpy(np.cov(features, rowvar=False)),
    }
    if held_out_set is not None:
        tensors["held_out"] = torch.from_numpy(clamped_features(card, held_out_set)).half()
    write_tensors(card.folder / REFERENCE, tensors)
    entry = {"extractor": extractor_of(card).identity, "set": called, "n": len(features)}
    return write_card(replace(card, reference=entry))


def add_moments(card: Card) -> Card:
    """Write ``moments.safetensors`` and the card, and return the card."""
    images, labels = _LOAD[str(card.data["name"])]("train")
    write_tensors(card.folder / MOMENTS, pack_moments(images, labels))
    script = f"python -m samplerbench_studies.training.reference {card.name} --moments"
    return write_card(replace(card, moments={"set": "train", "n": len(images), "script": script}))


def add_axes(card: Card) -> Card:
    """Write ``axes.safetensors`` of the extractor's card, from the reference of ``card``.

    Returns the extractor's card.
    """
    if not card.extractor or not card.reference:
        raise CardError(
            f"{card.name}: axes are made for a card with an extractor and a "
            "reference, such as fashion"
        )
    owner = load_card(card.extractor, card.folder.parent)
    write_tensors(
        owner.folder / AXES, {"axes": principal_axes(card.tensors(REFERENCE)["cov"].numpy())}
    )
    return write_card(owner)


def add_converged(card: Card, samples: Tensor) -> Card:
    """Write ``converged.safetensors`` from samples ``(n, *event)`` and the card.

    Returns the card.
    """
    if tuple(samples.shape[1:]) != card.event:
        raise CardError(
            f"{card.name}: converged samples have shape "
            f"{tuple(samples.shape)}, not (n, {', '.join(map(str, card.event))})"
        )
    features: FloatArray = clamped_features(card, samples)
    write_tensors(card.folder / CONVERGED, {"features": torch.from_numpy(features).half()})
    return write_card(card)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="card")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--moments",
        action="store_true",
        help="means and covariance of the training images in pixels",
    )
    what.add_argument(
        "--axes", action="store_true", help="principal axes of the reference features"
    )
    what.add_argument(
        "--converged",
        type=int,
        metavar="N",
        help="N converged samples of the model, 5000 in the cards that ship",
    )
    args = parser.parse_args()
    card = load_card(args.name)
    if args.converged:
        model = make_model(card.name)
        card = add_converged(
            card, converged_samples(model, args.converged, 0, model.dtype, 100, "cpu")
        )
    else:
        card = (
            add_axes(card)
            if args.axes
            else add_moments(card)
            if args.moments
            else build_reference(card)
        )
    print(
        f"wrote {card.folder}: "
        + ", ".join(f"{name} {entry.bytes} bytes" for name, entry in card.files.items())
    )


if __name__ == "__main__":
    main()
