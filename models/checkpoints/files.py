"""Files of checkpoints: their error, and checks that they are complete."""

from __future__ import annotations

import json
from pathlib import Path

AGAIN = "download it again"
SUFFIXES = (".pkl", ".pt", ".pth", ".ckpt", ".safetensors", ".onnx", ".pt2", ".bin")
PARTIAL = (".part", ".crdownload", ".aria2", ".incomplete", ".tmp", ".download")


class CheckpointError(ValueError):
    """Error of an unreadable checkpoint, in one sentence with the remedy."""


def first_bytes(path: Path) -> bytes:
    """Return the first 4096 bytes of a file that looks complete.

    Raises:
        CheckpointError: it is empty, a download that did not finish, or a pointer of Git LFS.
    """
    if path.suffix in PARTIAL:
        raise CheckpointError(f"{path} is a download that did not finish; {AGAIN}")
    if path.exists() and not path.is_file():
        raise CheckpointError(f"{path} is no file; {AGAIN}")
    with path.open("rb") as file:
        head = file.read(4096)
    if not head:
        raise CheckpointError(f"{path} is empty; {AGAIN}")
    if head.startswith(b"version https://git-lfs"):
        raise CheckpointError(
            f"{path} is a pointer of Git LFS, not the file; get it with git lfs pull"
        )
    return head


def shards_of(index: Path) -> list[Path]:
    """List the files that an index of weights names, in its folder.

    Raises:
        CheckpointError: it is no index, or names a file elsewhere or an incomplete one.
    """
    first_bytes(index)
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        files = [index.with_name(name) for name in sorted(names)]  # refuses paths
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CheckpointError(
            f"{index} is no index of weights in its folder; download it again"
        ) from None
    for file in files:
        if not file.is_file():
            raise CheckpointError(f"{file} is missing, a part of the weights; download it too")
        first_bytes(file)
    return files
