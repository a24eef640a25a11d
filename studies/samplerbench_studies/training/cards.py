"""Writing of model cards and of the files that they name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from torch import Tensor

from samplerbench.models import Card, load_card


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file with default permissions.

    ``safetensors.save_file`` would make it readable for its owner only.
    """
    path.write_bytes(
        safetensors.torch.save({name: tensor.contiguous() for name, tensor in tensors.items()})
    )


def write_card(card: Card) -> Card:
    """Write ``card.toml`` with hash and size of every safetensors file in the card's folder.

    Returns:
        The written card.
    """
    files = {}
    for path in sorted(card.folder.glob("*.safetensors")):
        content = path.read_bytes()
        files[path.name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    fields = {
        **vars(card),
        "files": files,
        "folder": None,
    }
    given = {key: value for key, value in fields.items() if value}
    (card.folder / "card.toml").write_text(_toml(given), encoding="utf-8")
    return load_card(card.name, card.folder.parent)


def _toml(table: Mapping[str, object], prefix: str = "") -> str:
    """Return TOML of scalars, lists and nested tables, which the standard library cannot write."""
    lines, tables = [], []
    for key, value in table.items():
        quoted = key if key.replace("_", "").isalnum() else json.dumps(key)
        if isinstance(value, Mapping):
            header = f"{prefix}{quoted}"
            scalars = any(not isinstance(item, Mapping) for item in value.values())
            tables.append((f"\n[{header}]\n" if scalars else "") + _toml(value, f"{header}."))
        else:
            lines.append(f"{quoted} = {json.dumps(value, ensure_ascii=False)}\n")
    return "".join([*lines, *tables])
