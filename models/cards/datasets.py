"""Data sets of the shipped models in [-1, 1]: Fashion-MNIST, scikit-learn's digits, and emoji."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from .noto_emoji import emoji

__all__ = ["PROVENANCE", "digits", "emoji", "fashion_mnist"]

PROVENANCE: dict[str, dict[str, object]] = {
    "fashion_mnist": {
        "name": "fashion-mnist",
        "source": "Zalando Research, Fashion-MNIST (arXiv:1708.07747), Debian package "
        "dataset-fashion-mnist",
        "licence": "MIT",
        "preprocessing": "grey levels 0 to 255 divided by 127.5, minus 1",
        "range": [-1.0, 1.0],
    },
    "digits": {
        "name": "digits",
        "source": "E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, "
        "UCI; as in scikit-learn's load_digits",
        "licence": "CC-BY-4.0",
        "preprocessing": "grey levels 0 to 16 divided by 8, minus 1",
        "range": [-1.0, 1.0],
    },
    "emoji": {
        "name": "emoji",
        "source": "Google, Noto Color Emoji 2.051 (Debian package fonts-noto-color-emoji), in the "
        "groups of Unicode's list 15.1 (Debian package unicode-data)",
        "licence": "OFL-1.1",
        "preprocessing": "on white, mean of 4 x 4 pixels, times 2, minus 1; each image and its "
        "mirror image",
        "range": [-1.0, 1.0],
    },
}
"""``data`` entries of cards by data set; samples are clamped to ``range`` for scoring."""

FASHION_DIR = Path(os.environ.get("SAMPLERBENCH_FASHION", "/usr/share/datasets/fashion-mnist"))


def fashion_mnist(split: Literal["train", "test"]) -> tuple[Tensor, Tensor]:
    """Return images and labels of Fashion-MNIST (Zalando, MIT), as Debian packages it.

    Images are ``(n, 1, 28, 28)`` float32 in [-1, 1]; labels are ``(n,)`` int64 in [0, 9].

    Raises:
        FileNotFoundError: the files are not in :data:`FASHION_DIR`.
    """
    prefix = "train" if split == "train" else "t10k"
    grey = _read_idx(FASHION_DIR / f"{prefix}-images-idx3-ubyte.gz", header=16)
    images = grey.reshape(-1, 1, 28, 28).astype(np.float32) / 127.5 - 1
    labels = _read_idx(FASHION_DIR / f"{prefix}-labels-idx1-ubyte.gz", header=8).astype(np.int64)
    return torch.from_numpy(images), torch.from_numpy(labels)


def _read_idx(path: Path, *, header: int) -> np.ndarray:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} not found; install Debian's dataset-fashion-mnist, or set "
            "SAMPLERBENCH_FASHION to the folder of its files"
        )
    return np.frombuffer(gzip.decompress(path.read_bytes()), dtype=np.uint8, offset=header)


def digits(split: Literal["all", "train", "test"] = "all") -> tuple[Tensor, Tensor]:
    """Return images and labels of the 1 797 digits of scikit-learn (UCI ML repository, CC BY 4.0).

    Images are ``(n, 1, 8, 8)`` float32 in [-1, 1]; labels are ``(n,)`` int64 in [0, 9]. ``test`` is
    the last two of every nine images in order, so that each writer is in both parts.
    """
    from sklearn import datasets

    pixels, labels = datasets.load_digits(return_X_y=True)
    images = torch.from_numpy(np.asarray(pixels, dtype=np.float32).reshape(-1, 1, 8, 8)) / 8 - 1
    targets = torch.from_numpy(np.asarray(labels, dtype=np.int64))
    test = torch.arange(len(images)) % 9 >= 7
    chosen = {"all": torch.ones_like(test), "train": ~test, "test": test}[split]
    return images[chosen], targets[chosen]
