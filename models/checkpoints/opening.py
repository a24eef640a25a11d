"""Opening of checkpoint files and folders; errors are single sentences that name the remedy."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import pickle
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from .pickles import PickleModule, RestrictedUnpickler, UnsafePickleError

AGAIN = "download it again"
SUFFIXES = (".pkl", ".pt", ".pth", ".ckpt", ".safetensors", ".onnx", ".pt2", ".bin")
PARTIAL = (".part", ".crdownload", ".aria2", ".incomplete", ".tmp", ".download")

_INNER = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
"""Kind of a message in an ONNX file (onnx.proto3), by the outer kind and the field number."""
_VARINT, _BYTES = 0, 2
_FIXED_SIZES = {1: 8, 5: 4}
_KEY, _VALUE = 1, 2
Container = Literal["pickle", "torch", "safetensors", "folder", "onnx", "exported"]
LARGEST_JSON = 16 << 20
INDEX = ".safetensors.index.json"


class CheckpointError(ValueError):
    """Error of an unreadable checkpoint: one sentence that names the remedy."""


def damaged_error(path: Path, problem: Any) -> CheckpointError:
    """Return the error of an incomplete or damaged file."""
    remedy = f"compare its size with the source's, and {AGAIN}"
    return CheckpointError(f"{path} is cut short or damaged ({problem}); {remedy}")


def error_in_words(error: Exception, length: int = 120) -> str:
    """Return an error's type, and its message in one line of at most ``length`` letters."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:length]}"


def first_bytes(path: Path) -> bytes:
    """Return the first bytes of a file, at most 4096.

    Raises a CheckpointError for an empty file, unfinished download, pointer of Git LFS, or folder.
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
    """Return the sorted weight files that an index names; all are in the folder of the index.

    Raises a CheckpointError if ``index`` is no index, or a file is elsewhere, missing or incomplete.
    """
    first_bytes(index)
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        files = [index.with_name(name) for name in sorted(names)]  # with_name refuses folders
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CheckpointError(f"{index} is no index of weights in its folder; {AGAIN}") from None
    for file in files:
        if not file.is_file():
            raise CheckpointError(f"{file} is missing, a part of the weights; download it too")
        first_bytes(file)
    return files


def external_files(path: Path) -> tuple[Path, ...]:
    """Return the other files, sorted, in which an ONNX file stores weights; () if there are none.

    Raises a ValueError if ``path`` cannot be parsed, or weights are missing or outside its folder.
    """
    # memory-mapped, since the file can be large
    with path.open("rb") as file:
        content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    try:
        names = set(_external_locations("model", content))
    except (IndexError, KeyError, RecursionError, UnicodeDecodeError):
        raise ValueError("it is cut short or no ONNX file") from None
    for name in names:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ValueError(f"it keeps weights outside its folder ({name})")
        if not (path.parent / name).is_file():
            raise ValueError(f"it keeps its weights in {name}, which is not in its folder")
    return tuple(path.parent / name for name in sorted(names))


def _external_locations(kind: str, message: memoryview) -> Iterator[str]:
    if kind == "entry":
        entry = {number: bytes(content) for number, content in _message_fields(message)}
        if entry.get(_KEY) == b"location":
            yield entry[_VALUE].decode()
        return
    for number, content in _message_fields(message):
        if inner := _INNER[kind].get(number):
            yield from _external_locations(inner, content)


def _message_fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and content of each length-delimited protobuf field; skip other fields."""
    place = 0
    while place < len(message):
        tag, place = _read_varint(message, place)
        number, wire = tag >> 3, tag & 7
        if wire == _BYTES:
            size, place = _read_varint(message, place)
            if place + size > len(message):
                raise IndexError
            yield number, message[place : place + size]
            place += size
        elif wire == _VARINT:
            _, place = _read_varint(message, place)
        elif wire in _FIXED_SIZES:
            place += _FIXED_SIZES[wire]
        else:
            raise IndexError


def _read_varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
        if shift > 63:
            raise IndexError


@dataclass(frozen=True, eq=False)
class OpenedCheckpoint:
    """Opened checkpoint; no code in its files was executed.

    Attributes:
        path: path of the file or folder.
        container: ``pickle``, a bare pickle such as NVIDIA's; ``torch``, a file of ``torch.save``; ``safetensors``;
            ``folder``; ``onnx``; or ``exported``, a file of ``torch.export.save``.
        value: content of the file: tensors, plain data and records (:mod:`.pickles`); None for folders and programs.
        metadata: metadata of a safetensors file.
        weight_files: weight files that an ONNX file or an index names.
    """

    path: Path
    container: Container
    value: Any = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    weight_files: tuple[Path, ...] = ()

    @property
    def entries(self) -> Mapping[str, Any]:
        """The ``value`` if it is a mapping, else {}."""
        return self.value if isinstance(self.value, Mapping) else {}

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the file; for several files, of their names and hashes."""
        if self.weight_files:
            named = [("", self.path), *((path.name, path) for path in self.weight_files)]
        elif self.container == "folder":
            # hidden files and locks belong to a download or to Git
            files = (path for path in sorted(self.path.rglob("*")) if path.is_file())
            inside = [(path.relative_to(self.path), path) for path in files]
            named = [
                (name.as_posix(), path)
                for name, path in inside
                if not any(part.startswith(".") for part in name.parts) and path.suffix != ".lock"
            ]
        else:
            return hash_of_file(self.path)
        hashes = [(name, hash_of_file(path)) for name, path in named]
        return hashlib.sha256(json.dumps(hashes).encode()).hexdigest()

    def config(self, name: str) -> dict[str, Any]:
        """Return the JSON object in the file ``name`` of the folder.

        Raises a CheckpointError if the file is missing, incomplete, too large or no JSON object.
        """
        path = self.path / name
        if not path.exists():
            raise CheckpointError(f"{self.path}: {name} is missing; copy the whole folder")
        first_bytes(path)
        if path.stat().st_size > LARGEST_JSON:
            raise CheckpointError(f"{path} is too large for a file of settings; {AGAIN}")
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"{path} is no JSON ({error}); {AGAIN}") from None
        if not isinstance(value, dict):
            raise CheckpointError(f"{path} is no JSON object; {AGAIN}")
        return value


def open_checkpoint(path: Path) -> OpenedCheckpoint:
    """Open a checkpoint's file or folder without executing code in it.

    Raises a CheckpointError if ``path`` is missing, damaged, no checkpoint, or a pickle with code.
    """
    if os.path.isdir(path):  # Path.is_dir raises for names that are too long
        index = _index_of_folder(path)
        return _open_shards(index) if index else OpenedCheckpoint(path, "folder")
    if not os.path.isfile(path):
        raise CheckpointError(
            f"there is no file or folder {path}; give the path of the checkpoint, as in --model PATH"
        )
    head = first_bytes(path)
    if path.name.endswith(INDEX):
        return _open_shards(path)
    if head.startswith(b"PK\x03\x04"):
        return _open_zip(path)
    if path.suffix == ".onnx" or head[:2] == b"\x08\x07":
        try:
            return OpenedCheckpoint(path, "onnx", weight_files=external_files(path))
        except ValueError as error:
            raise CheckpointError(f"{path}: {error}; copy or export it again, whole") from None
    # safetensors begin with the length of a JSON header in eight bytes, then the header
    if path.suffix == ".safetensors" or (len(head) > 9 and head[8:9] == b"{"):
        return OpenedCheckpoint(path, "safetensors", *_tensors_and_metadata(path))
    if head[:1] == b"\x80" and head[1:2] <= bytes([pickle.HIGHEST_PROTOCOL]):
        return _open_pickle(path)
    raise CheckpointError(f"{path} is {_describe_other_file(head)}")


def hash_of_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _tensors_and_metadata(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return safetensors.torch.load_file(path), file.metadata() or {}
    except (SafetensorError, ValueError, MemoryError) as error:
        raise damaged_error(path, error) from None


def _index_of_folder(folder: Path) -> Path | None:
    """Return a folder's index of weight files; None without one, with several, or for diffusers."""
    indices = [path for path in folder.glob(f"*{INDEX}") if not path.name.startswith("diffusion_")]
    return indices[0] if len(indices) == 1 and not (folder / "model_index.json").is_file() else None


def _open_shards(index: Path) -> OpenedCheckpoint:
    files = shards_of(index)
    tensors: dict[str, Tensor] = {}
    metadata: dict[str, str] = {}
    for inside, file_metadata in map(_tensors_and_metadata, files):
        tensors |= inside
        metadata |= file_metadata
    return OpenedCheckpoint(index, "safetensors", tensors, metadata, tuple(files))


def _open_zip(path: Path) -> OpenedCheckpoint:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except NotImplementedError as error:  # a header asks for a feature that Python lacks
        raise CheckpointError(
            f"{path} is no zip archive that Python reads ({error}): damaged, or repacked; {AGAIN}"
        ) from None
    except zipfile.BadZipFile:
        raise damaged_error(path, "a zip archive without its end") from None
    names = [member.filename for member in members]
    inside = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inside:
        raise CheckpointError(
            f"{path} is a TorchScript program; export the network with torch.export.save, or save "
            "its state_dict()"
        )
    programs = ("archive_format", "serialized_exported_program.json")
    if any(name.startswith("models/") or name in programs for name in inside | set(names)):
        return OpenedCheckpoint(path, "exported")
    if "data.pkl" not in inside:
        problem = f"{path} is a zip archive of other things ({', '.join(sorted(names)[:3])} …)"
        raise CheckpointError(f"{problem}; unpack it, and give the checkpoint inside")
    if sum(member.file_size for member in members) > path.stat().st_size:
        problem = f"{path} is larger unpacked than it is, and torch.load would unpack it all"
        raise CheckpointError(f"{problem}; save its state_dict() as safetensors")
    # torch.save compresses nothing, so that tensors can stay in the file until they are used
    stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
    return OpenedCheckpoint(path, "torch", _unpickle(path, mapped=stored))


def _open_pickle(path: Path) -> OpenedCheckpoint:
    """Open a bare pickle, or a file of ``torch.save`` older than its zip archives."""
    with path.open("rb") as file:
        first = _read_or_refuse(path, lambda: RestrictedUnpickler(file).load())
    if isinstance(first, int):  # the magic number of the old format
        return OpenedCheckpoint(path, "torch", _unpickle(path, mapped=False))
    return OpenedCheckpoint(path, "pickle", first)


def _unpickle(path: Path, *, mapped: bool) -> Any:
    """Return the content of a ``torch.save`` file; objects of other libraries become records."""
    options: dict[str, Any] = {"weights_only": False, "pickle_module": PickleModule, "mmap": mapped}
    return _read_or_refuse(path, lambda: torch.load(path, map_location="cpu", **options))


def _read_or_refuse(path: Path, read: Callable[[], Any]) -> Any:
    """Return the result of ``read()``, without warnings; its errors become CheckpointErrors."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read()
    except UnsafePickleError as error:
        raise CheckpointError(f"{path} is a pickle with code: {error}") from None
    except (EOFError, pickle.UnpicklingError, RuntimeError, OSError) as error:
        raise damaged_error(path, error_in_words(error)) from None
    except Exception as error:  # torch and NumPy may raise anything on unexpected records
        raise CheckpointError(
            f"{path} cannot be read without executing it ({error_in_words(error)}); save the "
            "state_dict() of the network as safetensors"
        ) from None


def _describe_other_file(head: bytes) -> str:
    if head.lstrip().startswith(b"<"):
        return "a web page, such as one that asks to log in; download the file itself"
    try:
        head.decode("utf-8")
        kind = "a text file"
    except UnicodeDecodeError:
        kind = "of no known format"
    return (
        f"{kind}; a checkpoint is a .pkl, .pt, .pth, .ckpt, .safetensors, .onnx or .pt2 file, or a "
        "diffusers folder"
    )


def state_dict(value: Any) -> dict[str, Tensor]:
    """Return the tensors in a mapping, by name; {} if ``value`` is no mapping or has no tensor."""
    if not isinstance(value, Mapping):
        return {}
    return {k: v for k, v in value.items() if isinstance(k, str) and isinstance(v, Tensor)}
