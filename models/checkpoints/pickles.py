"""Pickles read as data: nothing that a file names is ever imported or called.

A pickle is a program that names functions to call. Here the names on a short list (how tensors and
arrays are made again) mean what they say, every other name becomes a :class:`Record` that remembers
its arguments and does nothing, and names of the standard library that no checkpoint needs are
refused. So files of NVIDIA's ``torch_utils.persistence``, argparse namespaces, configurations and
callbacks beside the weights can all be read, and code in them does not run.
"""

from __future__ import annotations

import collections
import io
import pickle
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

PERSISTENT = "torch_utils.persistence._reconstruct_persistent_obj"
"""How NVIDIA's networks are pickled: with the source of their class, which is not executed here."""


class UnsafePickleError(ValueError):
    """A pickle names something that no checkpoint needs, such as a function that runs commands."""


class Record:
    """What a pickle says of an object whose class is not looked up: its name, arguments and state.

    Attributes:
        qualified_name: module and name of the class or function.
        arguments: it was called with.
        state: what would have become its attributes.
    """

    qualified_name = ""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.arguments = (*arguments, *named.items())
        self.state: Any = None
        self.items: list[Any] = []

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def append(self, item: Any) -> None:
        """For lists of other classes."""
        self.items.append(item)

    def extend(self, items: Any) -> None:
        """For lists of other classes."""
        self.items.extend(items)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items.append((key, value))

    def __repr__(self) -> str:
        return f"<{self.qualified_name}>"


class PersistentObject(Record):
    """An object of NVIDIA's ``torch_utils.persistence``.

    Attributes:
        class_name: of its class.
        source: text of the module that defines the class.
        state: its attributes; of a network ``_init_kwargs``, ``_parameters``, ``_buffers`` and
            ``_modules`` among them.
    """

    qualified_name = PERSISTENT

    def __init__(self, meta: Any) -> None:
        super().__init__(meta)
        self.class_name: str = str(meta["class_name"])
        self.source: str = str(meta.get("module_src", ""))
        self.state = meta.get("state") or {}


def tensors_of(network: Record) -> dict[str, torch.Tensor]:
    """Parameters and buffers of a pickled ``nn.Module``, by their names in its state dict; of another object
    none.

    Raises:
        UnsafePickleError: it has modules in modules without end.
    """
    return dict(_tensors(network, "", iter(range(MOST_MODULES))))


def _tensors(
    network: Record, prefix: str, left: Iterator[int]
) -> Iterator[tuple[str, torch.Tensor]]:
    if next(left, None) is None:
        raise UnsafePickleError(
            "a module of the file has modules in modules without end; get its weights as safetensors"
        )
    state = network.state if isinstance(network.state, dict) else {}
    for kind in ("_parameters", "_buffers"):
        for name, tensor in (state.get(kind) or {}).items():
            if isinstance(tensor, torch.Tensor):
                yield prefix + name, tensor
    for name, inner in (state.get("_modules") or {}).items():
        if isinstance(inner, Record):
            yield from _tensors(inner, f"{prefix}{name}.", left)


def _from_bytes(content: bytes) -> Any:
    """A tensor's storage, pickled by itself.

    Raises:
        UnsafePickleError: it is something else.
    """
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise UnsafePickleError(
            "where a tensor should be, it has something that torch does not take for one; nothing "
            "of it was executed. Get the file from its author as safetensors"
        ) from None


def _bytearray(content: bytes | str = b"", encoding: str = "latin1") -> bytearray:
    """Bytes that a pickle has; of a number, ``bytearray`` would make as many."""
    if isinstance(content, str):
        return bytearray(content.encode(encoding))
    return bytearray(memoryview(content))


_MEANT: dict[str, Any] = {
    PERSISTENT: PersistentObject,
    "collections.OrderedDict": collections.OrderedDict,
    "collections.defaultdict": lambda *_: {},
    "dnnlib.util.EasyDict": dict,
    "torch.storage._load_from_bytes": _from_bytes,
    "torch.Size": torch.Size,
    "torch.device": torch.device,
    "builtins.set": set,
    "builtins.frozenset": frozenset,
    "builtins.list": list,
    "builtins.dict": dict,
    "builtins.tuple": tuple,
    "builtins.int": int,
    "builtins.float": float,
    "builtins.bool": bool,
    "builtins.str": str,
    "builtins.slice": slice,
    "builtins.complex": complex,
    "builtins.bytearray": _bytearray,
    "_codecs.encode": lambda text, *_: text.encode("latin1"),
}
"""Names that mean what they say; ``_codecs.encode`` is how old protocols write bytes."""

_TORCH = frozenset(
    (
        *("_utils._rebuild_parameter", "_utils._rebuild_parameter_with_state"),
        *("_utils._rebuild_tensor", "_utils._rebuild_tensor_v2", "_utils._rebuild_tensor_v3"),
        *("serialization._get_layout", "storage.UntypedStorage", "storage.TypedStorage"),
        *("Tensor", "nn.parameter.Parameter"),
    )
)
_NUMPY = frozenset(
    (
        *("multiarray._reconstruct", "multiarray.scalar", "numeric._frombuffer"),
        *("ndarray", "dtype"),
    )
)

_HARMLESS = frozenset(("argparse", "collections", "datetime", "decimal", "enum", "fractions"))
_HARMLESS |= frozenset(("pathlib", "string", "types", "typing", "uuid"))
"""Modules of the standard library whose names become records; those of the others are refused."""


def _then_weighed(load: Callable[[Any], None]) -> Callable[[Any], None]:
    def loaded(unpickler: Any) -> None:
        load(unpickler)
        unpickler._weigh()

    return loaded


def _load_bytearray(unpickler: Any) -> None:
    """As many bytes as the file has, however many it says."""
    (size,) = struct.unpack("<Q", unpickler.read(8))
    unpickler.append(bytearray(unpickler.read(size)))


MOST_MODULES = 100_000
"""Modules of a network, each as often as it is in another."""
MOST_PARTS = 1_000_000
"""Parts of a tuple, with those of the tuples in it: a kilobyte can say one of 2^100 parts, which
take for ever to hash.
"""


class RestrictedUnpickler(pickle._Unpickler):
    """An unpickler that executes nothing of the file.

    Attributes:
        inert: names that became records.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.inert: set[str] = set()
        self._sizes: dict[int, tuple[int, Any]] = {}

    def load(self) -> Any:
        """What the pickle says.

        Raises:
            UnpicklingError: it is cut short, or no pickle.
            UnsafePickleError: see :meth:`find_class`.
        """
        try:
            return super().load()
        except (IndexError, KeyError, struct.error) as error:
            raise pickle.UnpicklingError(f"no pickle from some place on: {error!r}") from error

    def _weigh(self) -> None:
        """Refuse the tuple that was just made if it has too many parts."""
        made = self.stack[-1]  # pyright: ignore[reportAttributeAccessIssue] - of the Python class
        if isinstance(made, tuple):
            known = (self._sizes.get(id(part), (1, None))[0] for part in made)
            size = 1 + sum(known)
            if size > MOST_PARTS:
                raise UnsafePickleError(
                    "it has tuples in tuples without end; get the file from its author as safetensors"
                )
            self._sizes[id(made)] = size, made  # kept, since another may get its number

    dispatch = {
        **pickle._Unpickler.dispatch,
        **{
            code[0]: _then_weighed(pickle._Unpickler.dispatch[code[0]])
            for code in (pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3)
        },
        pickle.BYTEARRAY8[0]: lambda self: _load_bytearray(self),
    }

    def find_class(self, module: str, name: str) -> Any:
        """What a name of the file stands for.

        Raises:
            UnsafePickleError: it is of the standard library, and no checkpoint needs it.
        """
        full = f"{'builtins' if module == '__builtin__' else module}.{name}"
        if full in _MEANT:
            return _MEANT[full]
        if (found := _of_a_library(module, name)) is not None:
            return found
        top = module.partition(".")[0]
        if top in ("builtins", "__builtin__") or (
            top in sys.stdlib_module_names and top not in _HARMLESS
        ):
            raise UnsafePickleError(
                f"it names {module}.{name}, which no checkpoint needs; nothing of it was executed. "
                "Get the file from its author as safetensors"
            )
        self.inert.add(full)
        return type(name.rpartition(".")[2], (Record,), {"qualified_name": full})


def _of_a_library(module: str, name: str) -> Any:
    """A function of torch or NumPy that makes a tensor or an array again, or a dtype."""
    if module == "torch" or module.startswith("torch."):
        path = f"{module}.{name}".removeprefix("torch.")
        holder: Any = torch
        if path in _TORCH or (module == "torch" and path.endswith("Storage")):
            for part in path.split("."):
                holder = getattr(holder, part)
            return holder
        value = getattr(torch, name, None) if module == "torch" else None
        return value if isinstance(value, torch.dtype | torch.layout) else None
    if module == "numpy" or module.startswith("numpy."):
        path = f"{module}.{name}".removeprefix("numpy.").removeprefix("_").removeprefix("core.")
        if path in _NUMPY:
            return _numpy(path)
        value = getattr(np, name, None)
        if isinstance(value, type) and issubclass(value, np.generic | np.dtype):
            return value
    return None


def _numpy(path: str) -> Any:
    """By its place of today, which differs between NumPy 1 and 2."""
    # NumPy 1.26 has an np._core too, once anything imports it: an empty one
    core: Any = np.core if np.__version__.startswith("1.") else np._core  # type: ignore[attr-defined]
    holder = core if "." in path else np
    for part in path.split("."):
        holder = getattr(holder, part)
    return holder


class PickleModule:
    """In place of ``pickle``, for ``torch.load``."""

    Unpickler = RestrictedUnpickler
    load = staticmethod(lambda file, **options: RestrictedUnpickler(file, **options).load())
