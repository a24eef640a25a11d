"""Pickles read as data: of all functions that a file names, only a few known ones are called.

A pickle is a program that names functions to call. A short list of names is resolved, such as the constructors of
tensors and arrays. Names of the standard library that no checkpoint needs are refused. Any other name becomes a
:class:`ObjectStandIn` that keeps the object's state. So networks of NVIDIA's ``torch_utils.persistence``, namespaces and
configurations can be read, while their code does not run.
"""

from __future__ import annotations

import collections
import inspect
import io
import pickle
import struct
import sys
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any

import numpy as np
import torch

PERSISTENT = "torch_utils.persistence._reconstruct_persistent_obj"
"""Constructor in pickles of NVIDIA's networks; their source, in the file too, is never executed."""


class UnsafePickleError(ValueError):
    """Error of a pickle that cannot be read safely, such as one that would run commands."""


class ObjectStandIn:
    """Stand-in for an object whose class is not imported.

    Attributes:
        qualified_name: module and name of the class or function.
        state: attributes that the object would have had.
    """

    qualified_name = ""

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ARG002 - of the call
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def append(self, item: Any) -> None:
        """Ignore ``item``; pickles of a subclass of ``list`` call this."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Ignore an entry; pickles of a subclass of ``dict`` call this."""

    def __repr__(self) -> str:
        return f"<{self.qualified_name}>"


class PersistentObject(ObjectStandIn):
    """Stand-in for an object of NVIDIA's ``torch_utils.persistence``.

    Attributes:
        class_name: name of the object's class.
        source: source text of the module that defines the class.
        state: attributes; a network has ``_init_kwargs``, ``_parameters``, ``_buffers`` and ``_modules``.
    """

    qualified_name = PERSISTENT

    def __init__(self, meta: Any) -> None:
        super().__init__(meta)
        self.class_name: str = str(meta["class_name"])
        self.source: str = str(meta.get("module_src", ""))
        self.state = meta.get("state") or {}


def tensors_of(network: ObjectStandIn) -> dict[str, torch.Tensor]:
    """Return a pickled module's parameters and buffers, named as in its state dict; {} for others.

    Raises an UnsafePickleError for more than :data:`MOST_MODULES` modules.
    """
    return dict(_named_tensors(network, "", iter(range(MOST_MODULES))))


def _named_tensors(
    network: ObjectStandIn, prefix: str, module_budget: Iterator[int]
) -> Iterator[tuple[str, torch.Tensor]]:
    if next(module_budget, None) is None:
        raise UnsafePickleError(
            "a module of the file has modules in modules without end; get its weights as safetensors"
        )
    state = network.state if isinstance(network.state, dict) else {}
    for kind in ("_parameters", "_buffers"):
        for name, tensor in (state.get(kind) or {}).items():
            if isinstance(tensor, torch.Tensor):
                yield prefix + name, tensor
    for name, inner in (state.get("_modules") or {}).items():
        if isinstance(inner, ObjectStandIn):
            yield from _named_tensors(inner, f"{prefix}{name}.", module_budget)


def _load_storage(content: bytes) -> Any:
    """Return the tensor storage that is pickled in ``content``, read without executing code."""
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise UnsafePickleError(
            "where a tensor should be, it has something that torch does not take for one; nothing "
            "of it was executed. Get the file from its author as safetensors"
        ) from None


def _make_bytearray(content: bytes | str = b"", encoding: str = "latin1") -> bytearray:
    """Return ``content`` as a bytearray; refuse a number, for which Python allocates memory."""
    if isinstance(content, str):
        return bytearray(content.encode(encoding))
    return bytearray(memoryview(content))


_PLAIN = (set, frozenset, list, dict, tuple, int, float, bool, str, slice, complex)
_RESOLVED: dict[str, Any] = {
    PERSISTENT: PersistentObject,
    "collections.OrderedDict": collections.OrderedDict,
    "collections.defaultdict": lambda *_: {},
    "dnnlib.util.EasyDict": dict,
    "torch.storage._load_from_bytes": _load_storage,
    "torch.Size": torch.Size,
    "torch.device": torch.device,
    **{f"builtins.{kind.__name__}": kind for kind in _PLAIN},
    "builtins.bytearray": _make_bytearray,
    "_codecs.encode": lambda text, *_: text.encode("latin1"),
}
"""Allowed objects by their names in a pickle; old protocols make bytes by ``_codecs.encode``."""

_TORCH = {"_utils._rebuild_parameter", "_utils._rebuild_parameter_with_state"}
_TORCH |= {"_utils._rebuild_tensor", "_utils._rebuild_tensor_v2", "_utils._rebuild_tensor_v3"}
_TORCH |= {"serialization._get_layout", "storage.UntypedStorage", "storage.TypedStorage"}
_TORCH |= {"Tensor", "nn.parameter.Parameter"}
_NUMPY = {"multiarray._reconstruct", "multiarray.scalar", "numeric._frombuffer", "ndarray", "dtype"}

_HARMLESS = {"argparse", "collections", "datetime", "decimal", "enum", "fractions"}
_HARMLESS |= {"pathlib", "string", "types", "typing", "uuid"}
"""Modules of the standard library whose names become records; other modules of it are refused."""


def _with_size_check(load_tuple: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return ``load_tuple`` that refuses a tuple of over :data:`MOST_PARTS` nested parts."""

    def load_and_check(unpickler: Any) -> None:
        load_tuple(unpickler)
        top = unpickler.stack[-1]
        size = 1 + sum(unpickler.sizes.get(id(part), (1, None))[0] for part in top)
        if size > MOST_PARTS:
            raise UnsafePickleError(
                "it has tuples in tuples without end; get the file from its author as safetensors"
            )
        unpickler.sizes[id(top)] = size, top  # the reference to the tuple keeps its id unique

    return load_and_check


def _load_bytearray(unpickler: Any) -> None:
    """Load a bytearray without allocating more bytes than the file has, even if it claims more."""
    (size,) = struct.unpack("<Q", unpickler.read(8))
    unpickler.append(bytearray(unpickler.read(size)))


def _load_build(unpickler: Any) -> None:
    """Set the state of an object of the file, but of no class or function: this process has them too."""
    if isinstance(unpickler.stack[-2], type) or inspect.isroutine(unpickler.stack[-2]):
        raise UnsafePickleError(
            "it changes a class or function, which no checkpoint needs; nothing of it was executed. "
            "Get the file from its author as safetensors"
        )
    pickle._Unpickler.dispatch[pickle.BUILD[0]](unpickler)


MOST_MODULES = 100_000
"""Most modules of a network; a shared module counts once for each parent."""
MOST_PARTS = 1_000_000
"""Most parts of a nested tuple; a kilobyte can define 2^100 parts, too many to hash."""


class RestrictedUnpickler(pickle._Unpickler):
    """Unpickler that calls known constructors of tensors and plain data, but no other function."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.sizes: dict[int, tuple[int, Any]] = {}

    def load(self) -> Any:
        """Return the content of the pickle.

        Raises an UnpicklingError or EOFError if the file is cut short or no pickle. Raises an
        UnsafePickleError for a name that :meth:`find_class` refuses, or too large nested tuples.
        """
        try:
            return super().load()
        except (IndexError, KeyError, struct.error) as error:
            raise pickle.UnpicklingError(f"no pickle from some place on: {error!r}") from error

    dispatch = {
        **pickle._Unpickler.dispatch,
        **{
            code[0]: _with_size_check(pickle._Unpickler.dispatch[code[0]])
            for code in (pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3)
        },
        pickle.BYTEARRAY8[0]: _load_bytearray,
        pickle.BUILD[0]: _load_build,
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return the allowed object for a name in the file, or a new subclass of :class:`ObjectStandIn`.

        Raises an UnsafePickleError for a part of the standard library that no checkpoint needs.
        """
        full = f"{'builtins' if module == '__builtin__' else module}.{name}"
        if full in _RESOLVED:
            return _RESOLVED[full]
        if (resolved := _library_constructor(module, name)) is not None:
            return resolved
        top = module.partition(".")[0]
        if top == "__builtin__" or (top in sys.stdlib_module_names and top not in _HARMLESS):
            raise UnsafePickleError(
                f"it names {module}.{name}, which no checkpoint needs; nothing of it was executed. "
                "Get the file from its author as safetensors"
            )
        return type(name.rpartition(".")[2], (ObjectStandIn,), {"qualified_name": full})


def _library_constructor(module: str, name: str) -> Any:
    """Return torch's or NumPy's constructor, dtype or layout of this name; None for other names."""
    if module == "torch" or module.startswith("torch."):
        path = f"{module}.{name}".removeprefix("torch.")
        if path in _TORCH or (module == "torch" and path.endswith("Storage")):
            return attrgetter(path)(torch)
        value = getattr(torch, name, None) if module == "torch" else None
        return value if isinstance(value, torch.dtype | torch.layout) else None
    if module == "numpy" or module.startswith("numpy."):
        path = f"{module}.{name}".removeprefix("numpy.").removeprefix("_").removeprefix("core.")
        if path in _NUMPY:
            # NumPy 1.26 also has np._core once anything imports it, but it is empty
            core: Any = np.core if np.__version__.startswith("1.") else np._core  # type: ignore[attr-defined]
            return attrgetter(path)(core if "." in path else np)
        value = getattr(np, name, None)
        if isinstance(value, type) and issubclass(value, np.generic | np.dtype):
            return value
    return None


class PickleModule:
    """Replacement for the module ``pickle`` by which ``torch.load`` reads without running code."""

    Unpickler = RestrictedUnpickler
    load = staticmethod(lambda file, **options: RestrictedUnpickler(file, **options).load())
