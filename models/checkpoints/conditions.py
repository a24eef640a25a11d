"""Conditions computed beforehand for a network: rows of a file of embeddings, such as of prompts.

By default, sample number i takes row i modulo the number of rows. The hash of the file is part of
the model's identity.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .opening import CheckpointError, open_checkpoint

NEGATIVE = "negative_"
"""Prefix of the tensors for "no condition", named as in pipelines of diffusers."""


@dataclass(frozen=True, eq=False)
class Conditions:
    """Embeddings of n conditions.

    Attributes:
        path: path of the file.
        tables: embeddings by name, such as ``prompt_embeds``, each ``(n, …)`` in float32, or
            ``(n + 1, …)`` if a last row stands for "no condition".
        count: number n of conditions.
        null: True if the tables have a row for "no condition".
    """

    path: Path
    tables: Mapping[str, Tensor]
    count: int
    null: bool

    def described(self) -> dict[str, Any]:
        """Return ``file``, ``sha256``, ``rows`` (n), ``null`` and row ``shapes``, as for JSON."""
        with self.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        shapes = {name: list(table.shape[1:]) for name, table in self.tables.items()}
        return {
            "file": str(self.path),
            "sha256": digest,
            "rows": self.count,
            "null": self.null,
            "shapes": shapes,
        }


def read_conditions(path: Path, needs: Sequence[str]) -> Conditions:
    """Read a safetensors file of embeddings, in which each tensor has a row for each condition.

    A tensor ``negative_NAME`` stands for "no condition"; it has one row, or equal rows. ``needs`` are the names of the
    tensors that the network takes; if empty, all of the file's are taken.

    Raises:
        CheckpointError: the file cannot be read, a tensor is missing or unknown, or rows do not fit.
    """
    opened = open_checkpoint(path.expanduser())
    if opened.container != "safetensors":
        raise CheckpointError(
            f"embeddings {path}: it is no safetensors file; save the tensors "
            f"{', '.join(needs) or 'prompt_embeds …'} with safetensors.torch.save_file"
        )
    stored: Mapping[str, Tensor] = opened.value
    needs = needs or [name for name in stored if not name.startswith(NEGATIVE)]
    if not needs:
        raise CheckpointError(
            f"embeddings {path}: it has no tensor of a condition, as prompt_embeds"
        )
    missing = [name for name in needs if name not in stored]
    accepted = {*needs, *(NEGATIVE + name for name in needs)}
    unknown = sorted(set(stored) - accepted)
    if missing or unknown:
        wrong = f"lacks {', '.join(missing)}" if missing else f"has {', '.join(unknown)}"
        raise CheckpointError(
            f"embeddings {path}: it {wrong}; the network takes {', '.join(needs)}, and the same with "
            f"{NEGATIVE} before them for no condition"
        )
    rows = {name: len(stored[name]) if stored[name].ndim > 1 else 0 for name in needs}
    count = rows[needs[0]]
    if not count or set(rows.values()) != {count}:
        shapes = ", ".join(f"{name} {tuple(stored[name].shape)}" for name in needs)
        raise CheckpointError(
            f"embeddings {path}: every tensor must have a row for each condition, as many as the "
            f"others; there are {shapes}"
        )
    negative = {name: _null_row(path, name, stored) for name in needs if NEGATIVE + name in stored}
    if negative and len(negative) < len(needs):
        lacks = ", ".join(NEGATIVE + name for name in needs if name not in negative)
        raise CheckpointError(f"embeddings {path}: it lacks {lacks}; give all of them, or none")
    tables = {
        name: torch.cat([stored[name], negative[name]] if negative else [stored[name]]).float()
        for name in needs
    }
    if bad := [name for name, table in tables.items() if not table.isfinite().all()]:
        raise CheckpointError(f"embeddings {path}: {bad[0]} is not finite; compute it again")
    return Conditions(path.expanduser(), tables, count, bool(negative))


def read_tables(embeddings: Mapping[str, Any], checkpoint: Path) -> Mapping[str, Tensor]:
    """Return the tables of a specification's ``embeddings``; empty if the network takes none.

    Raises:
        CheckpointError: no file is given, it cannot be read, or it has changed since the specification was made.
    """
    if not embeddings:
        return {}
    needs = embeddings["needs"]
    if "file" not in embeddings:
        raise CheckpointError(
            f"{checkpoint}: its network takes embeddings ({', '.join(needs) or 'of prompts'}); compute them once with "
            "the pipeline's encode_prompt, save them as safetensors, and give the file, as in "
            "'PATH?embeddings=prompts.safetensors' (docs/how-to/checkpoints.md)"
        )
    conditions = read_conditions(Path(embeddings["file"]), needs)
    if conditions.described()["sha256"] != embeddings["sha256"]:
        raise CheckpointError(
            f"embeddings {conditions.path} changed while they were read; try again"
        )
    return conditions.tables


def _null_row(path: Path, name: str, stored: Mapping[str, Tensor]) -> Tensor:
    """Return the row for "no condition", ``(1, …)``. Raises a CheckpointError unless one fits."""
    table, rows = stored[NEGATIVE + name], stored[name]
    if table.shape[1:] != rows.shape[1:] or not len(table):
        raise CheckpointError(
            f"embeddings {path}: a row of {NEGATIVE}{name} is {tuple(table.shape[1:])} and one of "
            f"{name} {tuple(rows.shape[1:])}; pad the shorter as the pipeline does"
        )
    if not torch.equal(table, table[:1].expand_as(table)):
        raise CheckpointError(
            f"embeddings {path}: the rows of {NEGATIVE}{name} differ, and there is one condition that "
            "is none; keep one row"
        )
    return table[:1].to(rows.dtype)


class Lookup(nn.Module):
    """Tables of embeddings ``(rows, …)`` that move with a network and are looked up by row number."""

    def __init__(self, tables: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.names = tuple(tables)
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)

    def forward(self, rows: Tensor) -> dict[str, Tensor]:
        """Return each table's rows, by table name, at the int64 numbers ``rows`` ``(batch,)``."""
        return {name: self.get_buffer(name)[rows] for name in self.names}
