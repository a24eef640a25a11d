"""Precomputed conditions of a network, such as embedded prompts, read from a file.

By default, the sample with id i takes row i modulo the number of rows. The hash of the file is
part of the model's identity.
"""

from __future__ import annotations

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
        tables: embeddings by name, such as ``prompt_embeds``, each ``(n, …)`` in float32, or
            ``(n + 1, …)`` if a last row stands for "no condition".
        description: values of JSON: ``file``, its ``sha256``, ``rows`` (n), ``shapes`` of rows by name, and ``null``,
            which is True if there is a row for "no condition".
    """

    tables: Mapping[str, Tensor]
    description: dict[str, Any]

    @property
    def count(self) -> int:
        """Number n of conditions."""
        return self.description["rows"]

    @property
    def null(self) -> bool:
        """True if the tables have a row for "no condition"."""
        return self.description["null"]


def read_conditions(path: Path, needs: Sequence[str]) -> Conditions:
    """Read a safetensors file of embeddings, in which each tensor has a row for each condition.

    ``needs`` names the tensors that the network takes; if empty, it takes all in the file. For
    "no condition", the file may add ``negative_NAME`` for each NAME, with one row or equal rows.
    Raises a CheckpointError for an unreadable file, or a missing, unknown or invalid tensor.
    """
    opened = open_checkpoint(path.expanduser())
    if opened.container != "safetensors":
        tensors = ", ".join(needs) or "prompt_embeds …"
        remedy = f"save the tensors {tensors} with safetensors.torch.save_file"
        raise _embeddings_error(path, f"it is no safetensors file; {remedy}")
    stored: Mapping[str, Tensor] = opened.value
    needs = needs or [name for name in stored if not name.startswith(NEGATIVE)]
    if not needs:
        raise _embeddings_error(path, "it has no tensor of a condition, as prompt_embeds")
    missing = [name for name in needs if name not in stored]
    accepted = {*needs, *(NEGATIVE + name for name in needs)}
    unknown = sorted(set(stored) - accepted)
    if missing or unknown:
        wrong = f"lacks {', '.join(missing)}" if missing else f"has {', '.join(unknown)}"
        takes = f"{', '.join(needs)}, and the same with {NEGATIVE} before them for no condition"
        raise _embeddings_error(path, f"it {wrong}; the network takes {takes}")
    rows = {name: len(stored[name]) if stored[name].ndim > 1 else 0 for name in needs}
    count = rows[needs[0]]
    if not count or set(rows.values()) != {count}:
        shapes = ", ".join(f"{name} {tuple(stored[name].shape)}" for name in needs)
        rule = "every tensor must have a row for each condition, as many as the others"
        raise _embeddings_error(path, f"{rule}; there are {shapes}")
    negative = {name: _null_row(path, name, stored) for name in needs if NEGATIVE + name in stored}
    if negative and len(negative) < len(needs):
        lacks = ", ".join(NEGATIVE + name for name in needs if name not in negative)
        raise _embeddings_error(path, f"it lacks {lacks}; give all of them, or none")
    tables = {
        name: torch.cat([stored[name], negative[name]] if negative else [stored[name]]).float()
        for name in needs
    }
    if bad := [name for name, table in tables.items() if not table.isfinite().all()]:
        raise _embeddings_error(path, f"{bad[0]} is not finite; compute it again")
    description = {
        "file": str(path.expanduser()),
        "sha256": opened.sha256,
        "rows": count,
        "null": bool(negative),
        "shapes": {name: list(table.shape[1:]) for name, table in tables.items()},
    }
    return Conditions(tables, description)


def read_tables(embeddings: Mapping[str, Any], checkpoint: Path) -> Mapping[str, Tensor]:
    """Read the tensors in the file of a specification's ``embeddings``; {} if the field is empty.

    Raises a CheckpointError if the field names no file, or the file is unreadable or has changed.
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
    if conditions.description["sha256"] != embeddings["sha256"]:
        raise _embeddings_error(embeddings["file"], "they changed while they were read; try again")
    return conditions.tables


def _null_row(path: Path, name: str, stored: Mapping[str, Tensor]) -> Tensor:
    """Return the row ``(1, …)`` for "no condition"; refuse unequal rows or another shape."""
    table, rows = stored[NEGATIVE + name], stored[name]
    if table.shape[1:] != rows.shape[1:] or not len(table):
        raise _embeddings_error(
            path,
            f"a row of {NEGATIVE}{name} is {tuple(table.shape[1:])} and one of {name} "
            f"{tuple(rows.shape[1:])}; pad the shorter as the pipeline does",
        )
    if not torch.equal(table, table[:1].expand_as(table)):
        problem = f"the rows of {NEGATIVE}{name} differ, and there is one condition that is none"
        raise _embeddings_error(path, f"{problem}; keep one row")
    return table[:1].to(rows.dtype)


def _embeddings_error(path: Path | str, problem: str) -> CheckpointError:
    return CheckpointError(f"embeddings {path}: {problem}")


class Lookup(nn.Module):
    """Tables of embeddings ``(rows, …)`` that move to devices with the network that uses them."""

    def __init__(self, tables: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.names = tuple(tables)
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)

    def forward(self, rows: Tensor) -> dict[str, Tensor]:
        """Return, by table name, the rows with the int64 numbers ``rows`` ``(batch,)``."""
        return {name: self.get_buffer(name)[rows] for name in self.names}
