"""The two data sets that shipped models are trained on, as tensors in [-1, 1]. Needed for training, never at run time."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

FASHION_DIR = Path(os.environ.get("SAMPLERBENCH_FASHION", "/usr/share/datasets/fashion-mnist"))


def fashion_mnist(split: Literal["train", "test"]) -> tuple[Tensor, Tensor]:
    """Fashion-MNIST (Zalando, MIT licence) from the IDX files of Debian's package ``dataset-fashion-mnist``.

    Args:
        split: "train" (60 000 images) or "test" (10 000).

    Returns:
        Images ``(n, 1, 28, 28)`` float32 in [-1, 1] and labels ``(n,)`` int64 in [0, 9].

    Raises:
        FileNotFoundError: the files are not in ``$SAMPLERBENCH_FASHION`` (default /usr/share/datasets/fashion-mnist).
    """
    prefix = "train" if split == "train" else "t10k"
    images = _idx(FASHION_DIR / f"{prefix}-images-idx3-ubyte.gz", header=16).reshape(-1, 1, 28, 28)
    labels = _idx(FASHION_DIR / f"{prefix}-labels-idx1-ubyte.gz", header=8)
    return torch.from_numpy(images.astype(np.float32) / 127.5 - 1), torch.from_numpy(labels.astype(np.int64))


def _idx(path: Path, *, header: int) -> np.ndarray:
    if not path.is_file():
        message = f"{path} not found; install Debian's dataset-fashion-mnist, or set SAMPLERBENCH_FASHION to the folder of its files"
        raise FileNotFoundError(message)
    return np.frombuffer(gzip.decompress(path.read_bytes()), dtype=np.uint8, offset=header)


def digits() -> tuple[Tensor, Tensor]:
    """The 1 797 handwritten digits of scikit-learn (UCI ML repository, CC BY 4.0), which need scikit-learn installed.

    Returns:
        Images ``(1797, 1, 8, 8)`` float32 in [-1, 1] (17 grey levels) and labels ``(1797,)`` int64 in [0, 9].
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = torch.from_numpy(np.asarray(bunch.images, dtype=np.float32)) / 8 - 1
    return images[:, None], torch.from_numpy(np.asarray(bunch.target, dtype=np.int64))
