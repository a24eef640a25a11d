"""Write the card of ``digits-cloud``: ``python -m samplerbench_studies.training.make_digits_cloud``.

Needs scikit-learn, which has the digits.
"""

from __future__ import annotations

from pathlib import Path

import torch

from samplerbench.models import Card
from samplerbench.models.cards import CARDS, PROVENANCE, WEIGHTS, digits

from .cards import write_card, write_tensors

LEVELS = 16


def make_digits_cloud(root: Path = CARDS) -> Card:
    """Store the digits as grey levels 0 to 16 in uint8, with their labels; return the card."""
    images, labels = digits()
    folder = root / "digits-cloud"
    folder.mkdir(parents=True, exist_ok=True)
    pixels = ((images + 1) * (LEVELS / 2)).round().to(torch.uint8)
    write_tensors(folder / WEIGHTS, {"pixels": pixels, "labels": labels.to(torch.uint8)})
    return write_card(
        Card(
            name="digits-cloud",
            title="the 1 797 digits of scikit-learn as a distribution: the exact "
            "denoiser of a model that memorised them",
            licence="CC-BY-4.0",
            event=tuple(images.shape[1:]),
            data=PROVENANCE["digits"]
            | {"levels": LEVELS, "class_counts": labels.bincount().tolist()},
            architecture={"class": "PointCloud", "points": len(images)},
            training={"script": "python -m samplerbench_studies.training.make_digits_cloud"},
            sigma_min=0.002,
            sigma_max=80.0,
            folder=folder,
        )
    )


if __name__ == "__main__":
    print(make_digits_cloud().identity)
