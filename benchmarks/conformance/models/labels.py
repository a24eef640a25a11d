"""Check of labels: that they mean to the network what they mean to the images.

E[x0 | x, label] has a smaller error with the label of the image than with any other. A label that has a
smaller one is found on one half of the images and confirmed on the other.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ....models import Denoiser
from ....samplers import SampleNoise
from .check import Check
from .fit import BATCH, SEED
from .judging import ALIKE, SURE
from .maps import variance_of

ALL, OTHERS = 16, 6
"""Labels that are all tried, and how many others are tried of more."""
AT = (0.5, 2.0)
"""Levels, in standard deviations of the data, where labels say what the state does not."""
LEAST, SHOWN = 4, 4
"""Images that a label is judged on, and labels that are named."""


@torch.no_grad()
def check_labels(model: Denoiser, clean: Tensor, labels: Tensor) -> Check:
    """Compare the error under the labels of the images with the error under other labels.

    Args:
        model: with classes, on the device of ``clean``.
        clean: ``(n, *event)``.
        labels: ``(n,)``, class numbers of the images.
    """
    name, count = "labels", model.classes
    others = {1, count - 1, *np.linspace(2, count - 2, OTHERS).astype(int).tolist()}
    shifts = [0, *(sorted(others) if count > ALL else range(1, count))]
    errors = np.stack([_errors(model, clean, (labels + k) % count) for k in shifts])
    classes = labels.cpu().numpy()
    swaps = []
    if best := _better(errors):
        swaps.append(f"k is its (k + {shifts[best]}) modulo {count}")
    for label in np.unique(classes):
        if best := _better(errors[:, classes == label]):
            swaps.append(f"{label} is its {(label + shifts[best]) % count}")
    if not swaps:
        rise = float(np.median(errors[1:].mean(1)) / errors[0].mean() - 1)
        return Check(
            name, True, f"with other labels than the images' the error is {100 * rise:.0f} % larger"
        )
    text = ", ".join(swaps[:SHOWN]) + (", …" if len(swaps) > SHOWN else "")
    return Check(
        name,
        False,
        f"the labels of the images are not those of the network: with others the error is smaller ({text}); "
        "put the classes in the order of its training",
    )


def _better(errors: np.ndarray) -> int:
    """Return the row of another label that is better on each half of the images; 0 if none is.

    Args:
        errors: ``(labels, n)``, of the images' own labels first.
    """
    if errors.shape[1] < LEAST:
        return 0
    best = int(errors[:, ::2].mean(1).argmin())
    gain = (errors[0] - errors[best])[1::2]
    chance = SURE * gain.std(ddof=1) / len(gain) ** 0.5
    return best if gain.mean() > max(chance, ALIKE * errors[0].mean()) else 0


def _errors(model: Denoiser, clean: Tensor, labels: Tensor) -> np.ndarray:
    """Return squared errors of each sample, the mean over two levels, each over its square."""
    std, total = variance_of(clean) ** 0.5, np.zeros(len(clean))
    for start in range(0, len(clean), BATCH):
        rows = slice(start, start + BATCH)
        x0, ids = clean[rows], torch.arange(start, start + len(clean[rows]), device=clean.device)
        z = SampleNoise(SEED, ids, model.event, clean.dtype).initial()
        for level in (float(np.clip(std * k, model.sigma_min, model.sigma_max)) for k in AT):
            off = (model.denoise(x0 + level * z, level, labels[rows]) - x0).flatten(1).double()
            total[rows] += off.square().mean(1).cpu().numpy() / level**2
    return total / len(AT)
