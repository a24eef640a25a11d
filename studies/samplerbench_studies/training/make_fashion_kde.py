"""Write the card of ``fashion-kde``: ``python -m samplerbench_studies.training.make_fashion_kde``.

Needs the data set: see ``samplerbench.models.cards.datasets``.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from samplerbench.models import Card
from samplerbench.models.cards import CARDS, PROVENANCE, WEIGHTS, fashion_mnist

from .cards import write_card, write_tensors

LEVELS = 255
PER_CLASS = 250


def make_fashion_kde(root: Path = CARDS) -> Card:
    """Store the first 250 training images and labels of each class in uint8; return the card."""
    images, labels = fashion_mnist("train")
    chosen = first_of_each(labels, PER_CLASS)
    images, labels = images[chosen], labels[chosen]
    folder = root / "fashion-kde"
    folder.mkdir(parents=True, exist_ok=True)
    pixels = ((images + 1) * (LEVELS / 2)).round().to(torch.uint8)
    write_tensors(folder / WEIGHTS, {"pixels": pixels, "labels": labels.to(torch.uint8)})
    return write_card(
        Card(
            name="fashion-kde",
            title="kernel density estimate on images of Fashion-MNIST: from memorised "
            "points to a smooth density by the kernel's width",
            licence="MIT",
            event=tuple(images.shape[1:]),
            data=PROVENANCE["fashion_mnist"]
            | {"split": "train", "levels": LEVELS, "class_counts": labels.bincount().tolist()},
            architecture={"class": "KernelDensity", "points": len(images)},
            training={
                "script": "python -m samplerbench_studies.training.make_fashion_kde",
                "per_class": PER_CLASS,
            },
            reference={"card": "fashion"},
            sigma_min=0.002,
            sigma_max=80.0,
            folder=folder,
        )
    )


def first_of_each(labels: Tensor, count: int) -> Tensor:
    """Return the rows of each class's first ``count`` entries, ``(classes * count,)`` int64."""
    return torch.cat([(labels == k).nonzero()[:count, 0] for k in labels.unique()]).sort().values


if __name__ == "__main__":
    print(make_fashion_kde().identity)
