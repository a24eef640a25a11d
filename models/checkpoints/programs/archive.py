"""The archive of ``torch.export.save`` (``.pt2``), read as data.

``torch.export.load`` executes the file: it unpickles constants and example inputs, evaluates the
text of its symbolic sizes and guards, and looks functions up by dotted names. Here the graph is read
as JSON and weights as bytes; all else is ignored. The layout follows torch's
``torch/_export/serde/schema.py``, version 8, which torch has written since 2.8.
"""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..opening import CheckpointError, state_dict

DTYPES = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}
"""Dtypes by their numbers in the schema."""
SCHEMA = 8
AGAIN = "export the network again, in evaluation mode, with a recent torch.export"
KEPT = ("weights", "constants")

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Archive:
    """Content of the file.

    Attributes:
        path: of the file.
        graph: nodes, inputs, outputs and the shapes of tensors.
        inputs, outputs: specifications of each input and output of the graph.
        tensors: weights, buffers and constants by their names in the network.
    """

    path: Path
    graph: Json
    inputs: list[Json]
    outputs: list[Json]
    tensors: Mapping[str, Tensor]


def read_archive(path: Path) -> Archive:
    """Read a file of ``torch.export.save``; nothing of it is executed.

    Raises:
        CheckpointError: it is of another format or version, holds pickled objects, or is damaged.
    """
    with zipfile.ZipFile(path) as file:
        names = {name.partition("/")[2]: name for name in file.namelist()}
        if "serialized_exported_program.json" in file.namelist():
            raise CheckpointError(f"{path} is of a torch before 2.8; {AGAIN}")
        programs = [n for n in names if n.startswith("models/") and n.endswith(".json")]
        if len(programs) != 1:
            raise CheckpointError(
                f"{path} holds {len(programs)} exported programs, and must hold one"
                + (
                    "; it is compiled code, which is not run: save the exported program itself"
                    if not programs
                    else ""
                )
            )
        model = programs[0].removeprefix("models/").removesuffix(".json")
        try:
            program = json.loads(file.read(names[programs[0]]))
            version = program["schema_version"]["major"]
            if version != SCHEMA:
                raise CheckpointError(
                    f"{path} is of version {version} of torch's schema, and {SCHEMA} is read; {AGAIN}"
                )
            tensors: dict[str, Tensor] = {}
            for kind in KEPT:
                single_file = names.get(f"data/{kind}/{model}.pt")
                tensors |= _saved(path, kind, file.read(single_file)) if single_file else {}
                config = names.get(f"data/{kind}/{model}_{kind}_config.json")
                entries = json.loads(file.read(config))["config"] if config else {}
                for name, entry in entries.items():
                    _refuse_objects(path, name, entry)
                    stored = file.read(names[f"data/{kind}/{entry['path_name']}"])
                    tensors[name] = _tensor(stored, entry["tensor_meta"])
            signature = program["graph_module"]["signature"]
            return Archive(
                path,
                program["graph_module"]["graph"],
                signature["input_specs"],
                signature["output_specs"],
                tensors,
            )
        except (KeyError, TypeError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
            if isinstance(error, CheckpointError):
                raise
            what = f"{type(error).__name__}: {' '.join(str(error).split())[:80]}"
            raise CheckpointError(f"{path} is damaged ({what}); {AGAIN}") from None


def _refuse_objects(path: Path, name: str, entry: Json) -> None:
    """Refuse objects that ``torch.export.load`` would unpickle."""
    if entry.get("use_pickle") or entry.get("tensor_meta") is None:
        raise CheckpointError(
            f"{path}: {name} is a pickled object, and unpickling it would execute what it says; "
            "export a network of plain tensors"
        )


def _saved(path: Path, kind: str, stored: bytes) -> dict[str, Tensor]:
    """Read tensors in one file of ``torch.save``, as in the first versions of the archive."""
    try:
        content = torch.load(io.BytesIO(stored), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        content = None
    tensors = state_dict(content)
    if content is None or len(tensors) != len(content):
        raise CheckpointError(
            f"{path}: its {kind} are pickled objects, and unpickling them would execute what they say; "
            "export a network of plain tensors"
        )
    return tensors


def _tensor(stored: bytes, meta: Json) -> Tensor:
    """Make a tensor from its bytes.

    Raises:
        ValueError: an unsupported dtype.
    """
    if meta["dtype"] not in DTYPES:
        raise ValueError(f"dtype {meta['dtype']}")
    dtype = DTYPES[meta["dtype"]]
    flat = (
        torch.frombuffer(bytearray(stored), dtype=dtype) if stored else torch.empty(0, dtype=dtype)
    )
    sizes, strides = ([size["as_int"] for size in meta[key]] for key in ("sizes", "strides"))
    return flat.as_strided(sizes, strides, meta["storage_offset"]["as_int"]).clone()
